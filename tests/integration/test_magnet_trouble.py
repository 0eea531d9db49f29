"""MailMagnet in trouble, over HTTP: Gmail's refusals, switching in the middle of work, figures of completeness."""

from __future__ import annotations

import pytest

from local.crm.people import ANNA
from local.faults import Fault
from local.ledger import units
from local.stack import Stack
from tests.integration.magnet_rig import (
    MIA,
    STRANGER,
    counted,
    deliver_all,
    gmail_calls,
    held,
    notices,
    sync,
    unpushed,
)
from tests.integration.sweep_rig import while_calling

pytestmark = pytest.mark.integration


def off(stack: Stack) -> None:
    stack.ask("anna", "PATCH", "/oauth_callback/connection", json={"mailmagnet": False})


def is_watched(stack: Stack) -> bool:
    return stack.google.gmail.mailbox(ANNA.email).watch is not None


# Gmail's refusals


@pytest.mark.parametrize("method", ["users.history.list", "users.messages.get"])
@pytest.mark.parametrize(
    ("status", "reason"),
    [(429, "rateLimitExceeded"), (403, "userRateLimitExceeded"), (403, "dailyLimitExceeded"), (500, "backendError")],
)
def test_refusal_loses_and_doubles_nothing(magnet: Stack, method: str, status: int, reason: str) -> None:
    """Whatever Gmail refuses in passing, of the list or of one of the gets, is acknowledged and noticed once later."""
    magnet.faults.inject(Fault("gmail", method, status=status, reason=reason, count=2))
    mark = magnet.ledger.mark()
    mails = {magnet.mail("anna", MIA) for _ in range(3)}
    magnet.settle()
    magnet.catch_up(within_s=4000)
    pushes = {call.status for call in magnet.ledger.since(mark, service="pubsub")}

    assert mails == set(notices(magnet))
    assert {200, 204} >= pushes
    assert [] == sync(magnet)["parked"]


def test_five_thousand_mails_after_an_outage_are_worked_off(magnet: Stack) -> None:
    """Over ten pages of history, each mail is got once, within the background's share, and the cursor only grows."""
    cursors, mark = [int(sync(magnet)["cursor"])], magnet.ledger.mark()
    with unpushed(magnet):
        *_, last = deliver_all(magnet, *[STRANGER] * 4999, MIA)
    spent: list[int] = []
    while cursors[-1] < magnet.google.gmail.mailbox(ANNA.email).history.current_id and len(spent) < 100:
        before = magnet.ledger.mark()
        magnet.advance(61)
        magnet.settle()
        spent.append(units(gmail_calls(magnet, before)))
        cursors.append(int(sync(magnet)["cursor"]))

    assert [last] == list(notices(magnet))
    assert 5000 == counted(gmail_calls(magnet, mark))["messages.get"]
    assert cursors == sorted(cursors)
    assert max(spent) <= 2000


# Switching in the middle


@pytest.mark.parametrize("method", ["users.history.list", "users.messages.get"])
def test_off_during_a_push_leaves_nothing(magnet: Stack, method: str) -> None:
    """Turned off while a push reads the history, or the mail: nothing of it is held, and the watch ends."""
    with while_calling(magnet, method, lambda: off(magnet)):
        magnet.mail("anna", MIA)
        magnet.settle()
    magnet.catch_up(within_s=120)

    assert ([], False) == (held(magnet), is_watched(magnet))


def test_off_while_the_watch_is_made_leaves_no_watch(crm: Stack) -> None:
    """Turned off while Gmail is being asked for a watch, MailMagnet holds nothing and watches nothing in the end."""
    crm.connect("anna")
    with while_calling(crm, "users.watch", lambda: off(crm)):
        crm.switch_on("anna", mailmagnet=True)
        crm.settle()
    crm.catch_up(within_s=120)

    assert ([], False) == (held(crm), is_watched(crm))


def test_off_during_the_daily_round_leaves_nothing(magnet: Stack) -> None:
    """Turned off while the renewal lists the day's mail: nothing is held, and the watch just renewed ends."""
    magnet.mail("anna", MIA)
    magnet.settle()
    magnet.run_job("magnet-renew")
    with while_calling(magnet, "users.messages.list", lambda: off(magnet)):
        magnet.catch_up(within_s=3100)
    magnet.catch_up(within_s=120)

    assert ([], False) == (held(magnet), is_watched(magnet))


def test_on_again_during_the_end_of_the_first_starts_afresh(magnet: Stack) -> None:
    """Turned off and on again while the end is under way, MailMagnet runs, and mail that comes is noticed."""

    def on() -> None:
        magnet.ask("anna", "PATCH", "/oauth_callback/connection", json={"mailmagnet": True})

    with while_calling(magnet, "users.stop", on):
        off(magnet)
        magnet.settle()
    magnet.catch_up(within_s=120)
    mail = magnet.mail("anna", MIA)
    magnet.settle()

    assert (True, True) == (mail in notices(magnet), is_watched(magnet))
