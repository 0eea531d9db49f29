"""Tasks and requests that nobody else stands behind, dying at any of their calls: done again, all is as it must be."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from bench.crowd import ROOT
from local import environment
from local.faults import Fault
from local.firestore import FirestoreServer
from local.stack import Stack
from tests.integration.connecting import FUNCTION, is_granted, kept
from tests.integration.dying import each_trouble
from tests.integration.magnet_rig import encoded, generation
from tests.integration.magnet_rig import send_task as send_magnet_task
from tests.integration.sending_rig import SENDS, begin, mail, pass_time, post, received
from tests.integration.sweep_rig import MIA, arrive, write

pytestmark = pytest.mark.integration
Work = Callable[[], object]


@pytest.fixture
def held_back(stack: Stack) -> Iterator[Stack]:
    """Tasks wait, but where a test lets them run."""
    stack.google.tasks.pause()
    yield stack
    stack.google.tasks.clear()
    stack.google.tasks.resume()


def let_run(stack: Stack, seconds: float) -> None:
    """All tasks run that are due within the time."""
    stack.google.tasks.resume()
    pass_time(stack, seconds)
    stack.google.tasks.pause()


def waiting(stack: Stack) -> Counter[str]:
    """How many tasks of each kind wait."""
    return Counter(json.loads(task.http_request.body)["kind"] for task in stack.google.tasks.pending())


def last_task(stack: Stack) -> bytes:
    body: bytes = stack.google.tasks.payload_log[-1].body
    return body


# A mail whose answer from Gmail was lost


@pytest.mark.parametrize(
    ("status", "after_s", "left"),
    [(0, 60, ("sent", 1)), (503, 60, ("unknown", 0)), (503, 700, ("unknown", 0))],
    ids=["is found", "is not found yet", "is given up"],
)
def test_a_look_for_a_mail(
    held_back: Stack, monkeypatch: pytest.MonkeyPatch, status: int, after_s: float, left: tuple[str, int]
) -> None:
    """Whether it went out or not is known in the end, and it goes out no second time."""
    stack = begin(held_back)
    token = stack.google.tokens.mint(environment.TASKS, stack.front.url_of("mail_proxy"))
    bearer = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def prepare(number: int) -> Work:
        send = Fault("gmail", "users.messages.send", status=status, drop_answer=not status)
        for fault in (send, Fault("gmail", "users.messages.list", status=503, count=4)):
            stack.faults.inject(fault)
        post(stack, mail(subject=f"mail {number}"), key=f"key-{number}")
        stack.faults.clear()
        task = last_task(stack)
        stack.advance(after_s)
        return lambda: stack.call(None, "POST", "/mail_proxy/tasks/send", data=task, headers=bearer)

    for number, trouble in each_trouble(stack, monkeypatch, prepare):
        let_run(stack, 900)
        post(stack, mail(subject=f"mail {number}"), key=f"key-{number}")
        said = stack.ask("anna", "GET", f"{SENDS}/key-{number}")["state"]
        arrived = sum(one["Subject"] == f"mail {number}" for one in received(stack))
        assert left == (said, arrived), trouble.calls


# Housekeeping


def keep_house(stack: Stack, **errand: str) -> Work:
    """What calls the internal route as Scheduler or Tasks would."""
    token = stack.google.tokens.mint(environment.HOUSEKEEPING, stack.url(FUNCTION))
    headers = {"Authorization": f"Bearer {token}"}
    return lambda: stack.call(None, "POST", f"{FUNCTION}/tasks/housekeeping", json=errand, headers=headers)


def leave(stack: Stack, user: str = "anna") -> None:
    """Connected, and gone a week ago."""
    person = stack.people[user]
    told = {"id": user, "role": person.role, "permissions": list(person.permissions), "email": person.email}
    write(stack, users=[told | {"active": True}])
    stack.connect(user)
    write(stack, users=[told | {"active": False}])
    stack.advance(7 * 86_400 + 60)


def owe(stack: Stack) -> str:
    """Deactivated while Google took no revocation; returns the id of what is owed."""
    stack.connect("anna")
    stack.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"mailmagnet": True})
    stack.faults.inject(Fault("oauth", "revoke", status=503))
    stack.call("anna", "DELETE", f"{FUNCTION}/connection")
    revocation = next(record for path, record in stack.documents().items() if path.startswith("revocations/"))
    found: str = revocation["revocation_id"]
    return found


def test_a_user_who_left(held_back: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ends, and nothing of it is left at Google or with us."""
    stack = held_back

    def prepare(_: int) -> Work:
        stack.reset()
        leave(stack)
        stack.google.tasks.clear()
        return keep_house(stack, kind="leave", user="anna")

    # The end of a connection, and what it leaves owed, meet each trouble where a user asks for it, in
    # ``test_connection_deaths``.
    for _, trouble in each_trouble(stack, monkeypatch, prepare, stride=4):
        let_run(stack, 300)
        assert ({}, False) == (kept(stack), is_granted(stack)), trouble.calls


def test_what_is_owed_to_a_former_user(held_back: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The revocation is settled, once, and its secret destroyed."""
    stack = held_back

    def prepare(_: int) -> Work:
        stack.reset()
        owed = owe(stack)
        stack.google.tasks.clear()
        return keep_house(stack, kind="revoke", user="anna", id=owed)

    for _, trouble in each_trouble(stack, monkeypatch, prepare, stride=2):
        let_run(stack, 300)
        assert ({}, False) == (kept(stack), is_granted(stack)), trouble.calls


def fill(stack: Stack, count: int, *, users: dict[str, Any], last: dict[str, Any]) -> None:
    """So many connections behind Anna's, copies of hers, with MailMagnet off but as ``last`` says."""
    server = stack.google.firestore
    assert isinstance(server, FirestoreServer)
    documents = stack.documents()
    connection, user = documents[f"connections/{encoded('anna')}"], documents[f"users/{encoded('anna')}"]
    records: dict[str, dict[str, Any]] = {}
    for number in range(count):
        user_id = f"z{number:03}"
        own = {"user_id": user_id, "mailbox_key": user_id, "secret": user_id, "mailmagnet": False}
        changes = last if number == count - 1 else {}
        records[f"connections/{encoded(user_id)}"] = connection | own | changes
        records[f"users/{encoded(user_id)}"] = user | {"user_id": user_id} | users
    server.fill(ROOT, records)


def test_a_look_through_all_users(held_back: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who left has one task a day, and the next page has one."""
    stack = held_back
    leave(stack)
    fill(stack, 100, users={"active": True, "inactive_since": None}, last={})

    def prepare(_: int) -> Work:
        stack.google.tasks.clear()
        stack.advance(86_400)
        return keep_house(stack, kind="users")

    for _, trouble in each_trouble(stack, monkeypatch, prepare):
        assert {"leave": 1, "users": 1} == waiting(stack), trouble.calls


# The day of MailMagnet


@pytest.mark.parametrize(("after", "left"), [("", {"renew": 1, "fan_out": 1}), ("z498", {"renew": 1})])
def test_the_fan_out_of_more_than_a_page(
    held_back: Stack, monkeypatch: pytest.MonkeyPatch, after: str, left: dict[str, int]
) -> None:
    """Each mailbox has one renewal, and the next page one task, however often it is tried."""
    stack = held_back
    stack.connect("anna")
    stack.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"mailmagnet": True})
    fill(stack, 500, users={}, last={"mailmagnet": True})

    def prepare(_: int) -> Work:
        stack.google.tasks.clear()
        stack.advance(86_400)
        user = after or "anna"
        errand = {"user": user, "kind": "fan_out", "generation": generation(stack, user), "page": after}
        return lambda: send_magnet_task(stack, errand)

    for _, trouble in each_trouble(stack, monkeypatch, prepare):
        assert left == waiting(stack), trouble.calls


# What changes nothing


def test_a_preview(sorted_mailbox: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes nothing, neither in the mailbox nor with us, and shows in the end what the sweep will do."""
    stack = sorted_mailbox
    mail_id = arrive(stack, MIA)
    stack.catch_up(within_s=60)
    before = unchanged(stack)
    shown: list[Any] = []

    def preview() -> None:
        answer = stack.call("anna", "GET", "/mail_proxy/sweep/preview")
        shown.append(answer.json()["moves"] if answer.ok else None)

    def prepare(_: int) -> Work:
        # No access token lives so long.
        stack.advance(timedelta(hours=1).total_seconds())
        return preview

    for _, trouble in each_trouble(stack, monkeypatch, prepare):
        assert [{"mail_id": mail_id, "from": "inbox", "to": "closing_this_month"}] == shown[-1], trouble.calls
        assert before == unchanged(stack), trouble.calls


def unchanged(stack: Stack) -> dict[str, Any]:
    """Everything stored, and the mailbox's labels; but until when history was read, which each drain may note."""
    documents = stack.documents()
    del documents[f"sync/{encoded('anna')}"]["caught_up_at"]
    mailbox = stack.google.gmail.mailbox(stack.people["anna"].email)
    with mailbox.lock:
        return documents | {"mailbox": {one.id: sorted(one.labels) for one in mailbox.newest_first()}}
