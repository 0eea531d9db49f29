"""Users who are made inactive or lose the permission: what stops at once, and what goes on if they come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest

from local.crm.people import BACKEND
from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, claim, is_granted, kept, refusal, ticket_of

pytestmark = pytest.mark.integration


def tell(stack: Stack, user: str, **changes: Any) -> None:
    """What the CRM's back end writes about a user."""
    person = stack.people[user]
    record = {
        "id": user,
        "active": True,
        "role": person.role,
        "permissions": list(person.permissions),
        "email": person.email,
        **changes,
    }
    answer = stack.ask(BACKEND.id, "POST", "/mail_proxy/directory", json={"users": [record]})
    assert [True] == [one["ok"] for one in answer["results"]]


def generation(stack: Stack, collection: str = "connections") -> str:
    """The generation that Anna's document in a collection has."""
    return next(str(one["generation"]) for path, one in stack.documents().items() if path == f"{collection}/YW5uYQ")


@pytest.fixture
def magnet(stack: Stack) -> Stack:
    """Anna and Ben in the directory, Anna with MailMagnet running."""
    for user in ("anna", "ben"):
        tell(stack, user)
    stack.connect("anna")
    stack.switch_on("anna", mailmagnet=True)
    return stack


@pytest.mark.parametrize("changes", [{"active": False}, {"permissions": []}, {"deleted": True}])
def test_work_in_flight_stops_at_once(magnet: Stack, changes: dict[str, Any]) -> None:
    """The connection and its cursor get a new generation in one commit, which the audit names, and nothing is lost."""
    before = generation(magnet)

    tell(magnet, "anna", **changes)

    assert before != generation(magnet) == generation(magnet, "sync")
    assert {"connections": 1, "secrets": 1} == kept(magnet)
    records = magnet.ask("carla", "GET", f"{FUNCTION}/audit")["records"]
    assert ("connection_suspended", BACKEND.id, "anna") == tuple(
        records[0][name] for name in ("action", "actor", "subject")
    )


def test_telling_it_again_changes_nothing(magnet: Stack) -> None:
    """A back end that repeats itself ends no more work."""
    tell(magnet, "anna", active=False)
    before = generation(magnet)

    tell(magnet, "anna", active=False)

    assert before == generation(magnet)


def test_a_consent_under_way_is_void(stack: Stack) -> None:
    """Whoever is made inactive during a consent is not connected by it, even if made active again meanwhile."""
    tell(stack, "anna")
    ticket = ticket_of(stack)
    tell(stack, "anna", active=False)
    stack.advance(1)
    tell(stack, "anna")

    assert (400, "invalid-ticket") == refusal(claim(stack, "anna", ticket))
    assert {} == kept(stack)


def test_who_comes_back_goes_on(magnet: Stack) -> None:
    """Made active again within the week, the user finds MailMagnet running and mail noticed that came meanwhile."""
    magnet.load_directory()
    tell(magnet, "anna", active=False)
    magnet.mail("anna", "mia@customer.example", "While away", auth="pass")
    magnet.settle()
    magnet.advance(60)
    tell(magnet, "anna")
    magnet.mail("anna", "mia@customer.example", "Back again", auth="pass")
    magnet.settle()

    shown = magnet.ask("anna", "GET", f"{FUNCTION}/connection")
    assert ("healthy", "on") == (shown["health"]["word"], shown["mailmagnet"]["state"])
    assert 2 == len(magnet.ask("anna", "GET", "/mail_proxy/notices")["notices"])


def test_nothing_of_an_inactive_users_mailbox_is_noticed(magnet: Stack) -> None:
    """Mail that arrives for a user made inactive costs no call to Gmail and leaves no notice."""
    magnet.load_directory()
    tell(magnet, "anna", active=False)
    mark = magnet.ledger.mark()

    magnet.mail("anna", "mia@customer.example", "Hello", auth="pass")
    magnet.settle()

    assert [] == magnet.ledger.since(mark, service="gmail")
    assert [] == [path for path in magnet.documents() if "/notices/" in path]


def test_a_week_later_the_connection_ends(magnet: Stack) -> None:
    """Seven days after the directory said so, the daily run deactivates, and revokes at Google."""
    tell(magnet, "anna", permissions=[])
    magnet.advance(6 * 86400)
    magnet.run_job("housekeeping")
    assert {"connections": 1, "secrets": 1} == kept(magnet)

    magnet.advance(86400 + 60)
    magnet.run_job("housekeeping")

    assert ({}, False) == (kept(magnet), is_granted(magnet))


def test_a_name_that_changes_does_not_put_off_the_end(magnet: Stack) -> None:
    """The week counts from the loss of the permission, whatever else the CRM tells of the user meanwhile."""
    tell(magnet, "anna", permissions=[])
    magnet.advance(5 * 86400)
    tell(magnet, "anna", permissions=[], name="Anna B.")
    magnet.advance(2 * 86400 + 60)

    magnet.run_job("housekeeping")

    assert ({}, False) == (kept(magnet), is_granted(magnet))


def test_leaving_at_the_same_moment_is_fine(magnet: Stack) -> None:
    """A connection that ends while it is being suspended stays ended."""
    slow = magnet.faults.inject(Fault("firestore", "Commit", delay_s=1.0, skip=1))
    token = magnet.token("anna")

    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(lambda: tell(magnet, "anna", active=False))
        while not slow.struck:
            sleep(0.02)
        magnet.call(None, "DELETE", f"{FUNCTION}/connection", headers={"Authorization": f"Bearer {token}"})

    telling.result()
    assert ({}, False) == (kept(magnet), is_granted(magnet))
