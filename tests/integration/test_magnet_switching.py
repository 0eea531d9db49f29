"""MailMagnet turned on and off, its daily renewal, its searches: what is left held, watched and asked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.cloud import firestore

from local import environment
from local.crm.people import ANNA
from local.faults import Fault
from local.ledger import units
from local.stack import Stack
from tests.integration.magnet_rig import (
    JONAS,
    MIA,
    STRANGER,
    call_as,
    counted,
    deliver_all,
    generation,
    gmail_calls,
    held,
    notices,
    send_task,
    start_magnet,
    sync,
    unpushed,
)

pytestmark = pytest.mark.integration


def health(stack: Stack) -> dict[str, str]:
    found: dict[str, str] = stack.ask("anna", "GET", "/oauth_callback/connection")["health"]
    return found


def is_watched(stack: Stack) -> bool:
    return stack.google.gmail.mailbox(ANNA.email).watch is not None


# On


def test_first_days_are_noticed_as_seen(crm: Stack) -> None:
    """Turning MailMagnet on notices the mail of 30 days, in the inbox and out of it, as seen; older mail is left."""
    now = crm.clock.now()
    crm.connect("anna")
    recent = crm.mail("anna", MIA, at=now - timedelta(days=29))
    archived = crm.mail("anna", JONAS, at=now - timedelta(days=3), labels=[])
    crm.mail("anna", MIA, at=now - timedelta(days=31))
    crm.mail("anna", STRANGER, at=now - timedelta(days=2))
    crm.switch_on("anna", mailmagnet=True)
    crm.catch_up(within_s=300)

    found = {name: (one["filed"], one["seen"]) for name, one in notices(crm).items()}
    assert {recent: ("", True), archived: ("outside", True)} == found
    assert ("", None) == (sync(crm)["backfill"], sync(crm)["backfill_until"])


def test_backfill_goes_in_chunks_of_fifty_a_minute(crm: Stack) -> None:
    """120 mails are looked at in three steps a minute apart, for one list and 120 gets."""
    crm.connect("anna")
    at = crm.clock.now() - timedelta(days=5)
    for number in range(120):
        crm.google.gmail.deliver(f"From: {MIA}\r\n\r\n{number}\r\n".encode(), to=ANNA.email, at=at)
    mark = crm.ledger.mark()
    crm.switch_on("anna", mailmagnet=True)
    counts = [len(notices(crm))]
    for _ in range(2):
        crm.advance(61)
        crm.settle()
        counts.append(len(notices(crm)))

    calls = counted(gmail_calls(crm, mark))
    assert ([50, 100, 120], 1, 120) == (counts, calls["messages.list"], calls["messages.get"])


def test_backfill_gives_way_at_a_rate_limit(crm: Stack) -> None:
    """A rate limit in the middle of a chunk stops the backfill until its time; then what was left is looked at."""
    crm.connect("anna")
    for day in range(1, 7):
        crm.mail("anna", MIA, at=crm.clock.now() - timedelta(days=day))
    until = crm.clock.now() + timedelta(minutes=5)
    message = f"User-rate limit exceeded.  Retry after {until:%Y-%m-%dT%H:%M:%S}.000Z"
    limit = Fault(
        "gmail", "users.messages.get", status=429, reason="rateLimitExceeded", message=message, skip=3, count=3
    )
    crm.faults.inject(limit)
    crm.switch_on("anna", mailmagnet=True)
    mark = crm.ledger.mark()
    crm.advance(120)
    crm.settle()
    during, calls = len(notices(crm)), gmail_calls(crm, mark)
    crm.catch_up(within_s=600)

    assert (3, [], 6) == (during, calls, len(notices(crm)))
    assert "" == sync(crm)["backfill"]


def test_run_that_gmail_refuses_begins_anew(crm: Stack) -> None:
    """Where Gmail no longer takes a run's page, the run starts from its beginning and comes to its end."""
    crm.connect("anna")
    mail_id = crm.mail("anna", MIA, at=crm.clock.now() - timedelta(days=2))
    crm.faults.inject(Fault("gmail", "users.messages.list", status=400, reason="invalidArgument"))
    crm.switch_on("anna", mailmagnet=True)
    crm.catch_up(within_s=300)

    assert ([mail_id], "") == (list(notices(crm)), sync(crm)["backfill"])


def test_long_run_outlives_an_outage(crm: Stack) -> None:
    """A run that Gmail fails at its two-hundredth step goes on all the same: its steps are no tries."""
    crm.connect("anna")
    mail_id = crm.mail("anna", MIA, at=crm.clock.now() - timedelta(days=2))
    crm.faults.inject(Fault("gmail", "users.messages.list", status=503, count=2))
    crm.switch_on("anna", mailmagnet=True)
    crm.google.tasks.clear()
    step = {"kind": "backfill", "user": "anna", "generation": generation(crm), "id": sync(crm)["backfill"]}
    send_task(crm, {**step, "attempt": 200})
    crm.catch_up(within_s=300)

    assert ([mail_id], "") == (list(notices(crm)), sync(crm)["backfill"])


def test_mail_during_the_start_is_noticed_unseen(crm: Stack) -> None:
    """A mail that comes while MailMagnet starts is noticed as new."""
    crm.connect("anna")
    with unpushed(crm):
        crm.google.tasks.pause()
        crm.ask("anna", "PATCH", "/oauth_callback/connection", json={"mailmagnet": True})
        crm.google.tasks.resume()
        crm.google.tasks.drain(30)
        (mail_id,) = deliver_all(crm, MIA)
    crm.catch_up(within_s=300)

    assert {mail_id: False} == {name: one["seen"] for name, one in notices(crm).items()}


def test_started_twice_is_started_once(magnet: Stack) -> None:
    """A second start renews the watch and keeps cursor and notices."""
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()
    before = sync(magnet)["cursor"]
    magnet.switch_on("anna", mailmagnet=True)
    magnet.catch_up(within_s=300)

    assert ([mail_id], before) == (list(notices(magnet)), sync(magnet)["cursor"])


@pytest.mark.parametrize("status", [429, 503])
def test_start_that_fails_is_tried_again(crm: Stack, status: int) -> None:
    """Where Gmail refuses the watch in passing, MailMagnet starts a little later."""
    crm.connect("anna")
    crm.faults.inject(Fault("gmail", "users.watch", status=status, count=4))
    crm.switch_on("anna", mailmagnet=True)
    crm.catch_up(within_s=600)

    assert is_watched(crm)
    assert "on" == crm.ask("anna", "GET", "/oauth_callback/connection")["mailmagnet"]["state"]


# Off


def test_off_leaves_nothing(magnet: Stack) -> None:
    """Turned off, MailMagnet holds nothing about the user and watches nothing."""
    magnet.mail("anna", MIA)
    magnet.settle()
    before = held(magnet)
    magnet.switch_on("anna", mailmagnet=False)

    assert (["notices", "senders", "sync"], [], False) == (before, held(magnet), is_watched(magnet))


def test_off_during_a_backfill_leaves_nothing(crm: Stack) -> None:
    """Turned off in the middle of a backfill, nothing comes of the rest of it."""
    crm.connect("anna")
    at = crm.clock.now() - timedelta(days=5)
    for number in range(70):
        crm.google.gmail.deliver(f"From: {MIA}\r\n\r\n{number}\r\n".encode(), to=ANNA.email, at=at)
    crm.switch_on("anna", mailmagnet=True)
    crm.switch_on("anna", mailmagnet=False)
    crm.catch_up(within_s=600)

    assert [] == held(crm)


def test_on_again_starts_afresh(magnet: Stack) -> None:
    """Turned off and on again, at once, earlier notices are made anew."""
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()
    magnet.advance(2)
    magnet.google.gmail.person_moves(ANNA.email, mail_id, remove=["INBOX"])
    magnet.settle()
    magnet.google.tasks.pause()
    for wanted in (False, True):
        magnet.ask("anna", "PATCH", "/oauth_callback/connection", json={"mailmagnet": wanted})
    magnet.google.tasks.resume()
    magnet.catch_up(within_s=300)

    (notice,) = notices(magnet).values()
    assert (mail_id, "outside", False, True) == (
        notice["mail_id"],
        notice["filed"],
        notice["pinned"],
        notice["seen"],
    )


def test_team_mailbox_is_watched_until_the_last_leaves(magnet: Stack) -> None:
    """Two users of one mailbox each have their notices; the watch ends when the second turns MailMagnet off."""
    start_magnet(magnet, "ben", address=ANNA.email)
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()
    both = [list(notices(magnet, user)) for user in ("anna", "ben")]
    magnet.switch_on("anna", mailmagnet=False)
    watched = is_watched(magnet)
    magnet.switch_on("ben", mailmagnet=False)

    assert ([[mail_id], [mail_id]], True, False) == (both, watched, is_watched(magnet))


def test_trouble_of_one_connection_delays_no_other(magnet: Stack) -> None:
    """Of two connections of a mailbox, one that fails leaves the other's notice in time, and the push acknowledged."""
    start_magnet(magnet, "ben", address=ANNA.email)
    magnet.faults.inject(Fault("gmail", "users.history.list", status=503))
    mark = magnet.ledger.mark()
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()
    during = sorted(list(notices(magnet, user)) for user in ("anna", "ben"))
    nacks = [call for call in magnet.ledger.since(mark, service="pubsub") if call.status not in (200, 204)]
    magnet.catch_up(within_s=300)

    assert ([[], [mail_id]], []) == (during, nacks)
    assert [[mail_id], [mail_id]] == [list(notices(magnet, user)) for user in ("anna", "ben")]


# Every day


def test_idle_day_costs_little(magnet: Stack) -> None:
    """The daily renewal of a mailbox in which nothing happens: one watch, one list, one history.list, its address."""
    magnet.advance(24 * 3600)
    mark = magnet.ledger.mark()
    magnet.run_job("magnet-renew")
    magnet.catch_up(within_s=3600)

    calls = gmail_calls(magnet, mark)
    assert {"watch": 1, "messages.list": 1, "history.list": 1, "getProfile": 1} == counted(calls)
    assert 108 == units(calls)


def test_renewal_keeps_the_watch_alive(magnet: Stack) -> None:
    """Renewed daily, the watch still pushes after ten days."""
    for _ in range(10):
        magnet.advance(24 * 3600)
        magnet.run_job("magnet-renew")
        magnet.catch_up(within_s=3600)
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()

    assert [mail_id] == list(notices(magnet))


def test_renewal_that_fails_is_visible_and_tried_again(magnet: Stack) -> None:
    """A renewal that Gmail refuses is seen in the connection's health, and mended the same day."""
    magnet.faults.inject(Fault("gmail", "users.watch", status=503, count=3))
    magnet.run_job("magnet-renew")
    magnet.catch_up(within_s=3010)
    magnet.faults.inject(Fault("gmail", "users.watch", status=503))
    magnet.advance(24 * 3600)
    magnet.run_job("magnet-renew")
    words = set()
    for _ in range(40):
        magnet.advance(100)
        magnet.settle()
        words.add(health(magnet)["word"])

    assert {"healthy", "degraded"} == words
    assert "healthy" == health(magnet)["word"]


def test_renewal_follows_a_renamed_mailbox(magnet: Stack) -> None:
    """After a rename at Google, the daily renewal notes the new address, and pushes find the connection by it."""
    magnet.google.accounts.rename(ANNA.email, "anna.new@demo-crm.example")
    magnet.google.gmail.rename(ANNA.email, "anna.new@demo-crm.example")
    magnet.run_job("magnet-renew")
    magnet.catch_up(within_s=3600)
    mail_id = magnet.mail("anna.new@demo-crm.example", MIA)
    magnet.settle()

    assert [mail_id] == list(notices(magnet))


def test_daily_sample_heals_what_is_missing(magnet: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail of the last day without a notice is found by the daily sample, and the rest of the day searched."""
    ids = {magnet.mail("anna", MIA) for _ in range(14)}
    magnet.settle()
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", magnet.google.firestore.address)
    database = firestore.Client(project=environment.PROJECT)
    for path in [path for path in magnet.documents() if "/notices/" in path]:
        database.document(path).delete()
    database.close()  # type: ignore[no-untyped-call]
    magnet.run_job("magnet-renew")
    magnet.catch_up(within_s=3600)

    assert ids == set(notices(magnet))
    assert "" == sync(magnet)["resync"]


def test_renewal_restarts_a_search_that_got_lost(crm: Stack) -> None:
    """A backfill whose task got lost goes on with the next daily renewal."""
    crm.connect("anna")
    at = crm.clock.now() - timedelta(days=5)
    for number in range(70):
        crm.google.gmail.deliver(f"From: {MIA}\r\n\r\n{number}\r\n".encode(), to=ANNA.email, at=at)
    crm.switch_on("anna", mailmagnet=True)
    crm.google.tasks.clear()
    crm.advance(24 * 3600)
    crm.run_job("magnet-renew")
    crm.catch_up(within_s=4000)

    assert (70, "") == (len(notices(crm)), sync(crm)["backfill"])


def test_renewal_starts_what_never_started(crm: Stack) -> None:
    """MailMagnet whose first task got lost is started by the daily renewal."""
    crm.connect("anna")
    crm.google.tasks.pause()
    crm.ask("anna", "PATCH", "/oauth_callback/connection", json={"mailmagnet": True})
    crm.google.tasks.clear()
    crm.google.tasks.resume()
    crm.run_job("magnet-renew")
    crm.catch_up(within_s=3600)

    assert is_watched(crm)


@pytest.mark.parametrize("account", [environment.TASKS, environment.PUSH])
def test_renewal_takes_the_scheduler_alone(crm: Stack, account: str) -> None:
    """The daily route refuses every service account but the scheduler's."""
    assert 401 == call_as(crm, account, "/renew", {})


# A contact's mail


def test_new_contact_is_searched_for(magnet: Stack) -> None:
    """The inbox's mail from a contact that is new is noticed, as seen; what lies elsewhere and what is older is not."""
    now = magnet.clock.now()
    recent = magnet.mail("anna", STRANGER, at=now - timedelta(days=2))
    magnet.mail("anna", STRANGER, at=now - timedelta(days=2), labels=[])
    magnet.mail("anna", STRANGER, at=now - timedelta(days=40))
    magnet.settle()
    contact = {"id": "new", "name": "New", "addresses": [{"address": STRANGER}], "visible_to": ["anna"]}
    magnet.load_directory({"contacts": [contact]})
    send_task(magnet, {"kind": "search_contact", "user": "anna", "generation": generation(magnet), "contact": "new"})
    magnet.catch_up(within_s=120)

    assert {recent: True} == {name: one["seen"] for name, one in notices(magnet).items()}


def test_contact_that_the_user_may_not_see_is_not_searched_for(magnet: Stack) -> None:
    """A contact of others is asked for in nobody's mailbox."""
    mark = magnet.ledger.mark()
    send_task(
        magnet, {"kind": "search_contact", "user": "anna", "generation": generation(magnet), "contact": "william"}
    )

    assert [] == gmail_calls(magnet, mark)
