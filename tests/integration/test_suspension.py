"""Users who are made inactive or lose the permission: what stops at once, and what goes on if they come back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest

from local.crm.people import BACKEND
from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, claim, is_granted, kept, refusal, ticket_of
from tests.integration.dying import at_every_call

pytestmark = pytest.mark.integration


def tell(stack: Stack, user: str, **changes: Any) -> None:
    """What the CRM's back end writes about a user."""
    answer = stack.ask(BACKEND.id, "POST", "/mail_proxy/directory", json={"users": [record_of(stack, user, **changes)]})
    assert [True] == [one["ok"] for one in answer["results"]]


def record_of(stack: Stack, user: str, **changes: Any) -> dict[str, Any]:
    """A user as the CRM states them."""
    person = stack.people[user]
    return {
        "id": user,
        "active": True,
        "role": person.role,
        "permissions": list(person.permissions),
        "email": person.email,
        **changes,
    }


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


def suspensions(stack: Stack) -> int:
    """How often the audit says that a connection was suspended."""
    records = [one for path, one in stack.documents().items() if path.startswith("audit/")]
    return sum(one["action"] == "connection_suspended" for one in records)


def told_dying(
    stack: Stack, body: Callable[[], dict[str, Any]]
) -> tuple[Callable[[], Callable[[], object]], list[str]]:
    """What ``at_every_call`` takes to have the back end's call die, and the generation that Anna had before it."""
    before: list[str] = []

    def prepare() -> Callable[[], object]:
        tell(stack, "anna")
        tell(stack, "ben")
        stack.connect("anna")
        before[:] = [generation(stack)]
        given = body()
        return lambda: stack.call(BACKEND.id, "POST", "/mail_proxy/directory", json=given)

    return prepare, before


def test_a_suspension_that_dies_at_any_call_is_finished_by_the_next_try(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The back end tells it again, as it hears of trouble, and work in flight ends once."""
    prepare, before = told_dying(stack, lambda: {"users": [record_of(stack, "anna", active=False)]})

    for death in at_every_call(stack, monkeypatch, prepare):
        tell(stack, "anna", active=False)
        assert (before[0] != generation(stack), suspensions(stack)) == (True, 1), death.calls


def test_a_suspension_that_dies_at_any_call_is_finished_by_housekeeping(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody tells it again, the daily run ends the work in flight of whoever was made inactive."""
    prepare, before = told_dying(stack, lambda: {"users": [record_of(stack, "anna", active=False)]})

    for death in at_every_call(stack, monkeypatch, prepare):
        is_written = not next(one for path, one in stack.documents().items() if path == "users/YW5uYQ")["active"]
        stack.run_job("housekeeping")
        stack.run_job("housekeeping")
        assert (before[0] != generation(stack), suspensions(stack)) == (is_written, int(is_written)), death.calls


def test_the_end_of_a_full_load_that_dies_at_any_call_is_finished(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users whom a full load left out are suspended by the repeated end of it, which deletes nobody any more."""

    def begin() -> dict[str, Any]:
        load_id = f"load-{stack.clock.now().timestamp()}"
        stack.ask(
            BACKEND.id,
            "POST",
            "/mail_proxy/directory",
            json={"users": [record_of(stack, "ben")], "full_load": load_id},
        )
        return {"full_load": load_id, "done": True}

    bodies: list[dict[str, Any]] = []

    def body() -> dict[str, Any]:
        bodies[:] = [begin()]
        return bodies[0]

    prepare, before = told_dying(stack, body)

    for death in at_every_call(stack, monkeypatch, prepare):
        stack.ask(BACKEND.id, "POST", "/mail_proxy/directory", json=bodies[0])
        assert (before[0] != generation(stack), suspensions(stack)) == (True, 1), death.calls


def test_coming_back_before_the_suspension_does_not_undo_it(magnet: Stack) -> None:
    """Whoever is made active again after a call that died has lost the work in flight all the same."""
    before = generation(magnet)
    magnet.faults.inject(Fault("firestore", "Commit", status=403, skip=1))
    body = {"users": [record_of(magnet, "anna", active=False)]}
    assert magnet.call(BACKEND.id, "POST", "/mail_proxy/directory", json=body).status_code >= 500
    assert before == generation(magnet)

    tell(magnet, "anna")

    assert before != generation(magnet) == generation(magnet, "sync")


def test_two_who_come_by_at_once_suspend_once(magnet: Stack) -> None:
    """Where two calls find the same suspension owed, one of them ends the work in flight."""
    magnet.faults.inject(Fault("firestore", "Commit", status=403, skip=1))
    body = {"users": [record_of(magnet, "anna", active=False)]}
    assert magnet.call(BACKEND.id, "POST", "/mail_proxy/directory", json=body).status_code >= 500
    magnet.faults.inject(Fault("firestore", "Commit", delay_s=0.5, count=2))

    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(tell, magnet, "anna", active=False) for _ in range(2)]

    assert [None, None] == [call.result() for call in calls]
    assert 1 == suspensions(magnet)


def test_who_was_never_connected_owes_nothing_for_long(stack: Stack) -> None:
    """Without a connection there is nothing to end: it is settled at once, and nothing is said of it in the audit."""
    tell(stack, "anna")
    tell(stack, "anna", active=False)

    assert (False, 0) == (stack.documents()["users/YW5uYQ"]["suspension_owed"], suspensions(stack))
