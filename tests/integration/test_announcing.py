"""A changed status is told to the webhook once, wherever the function that changed it dies, and whoever tells it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from local import environment
from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, claim, ticket_of
from tests.integration.dying import at_every_call, clean_up
from tests.integration.magnet_rig import call_as
from tests.integration.webhook_rig import Receiver, hooked

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Receiver]]:
    with hooked(tmp_path_factory.mktemp("announcing")) as running:
        yield running


@pytest.fixture
def receiver(_running: tuple[Stack, Receiver]) -> Receiver:
    """The CRM's webhook, which has heard nothing yet."""
    _running[1].forget()
    return _running[1]


@pytest.fixture
def stack(_running: tuple[Stack, Receiver]) -> Iterator[Stack]:
    """A stack with a webhook and nobody connected."""
    _running[0].reset()
    yield _running[0]
    _running[0].google.tasks.resume()
    _running[0].faults.clear()


@contextmanager
def held_back(stack: Stack) -> Iterator[None]:
    """Tasks are left, and run only after the block."""
    stack.google.tasks.pause()
    try:
        yield
    finally:
        stack.google.tasks.resume()


def connect(stack: Stack, receiver: Receiver) -> None:
    """Anna is connected, which the webhook has been told."""
    stack.connect("anna")
    stack.settle()
    receiver.forget()


def revoke(stack: Stack) -> None:
    """Anna's grant ends at Google, and nothing here knows of it."""
    stack.google.accounts.revoke_account(stack.people["anna"].email)


def read_mail(stack: Stack) -> int:
    return stack.call("anna", "POST", "/mail_proxy/messages/search", json={}).status_code


def deactivate(stack: Stack) -> int:
    return stack.call("anna", "DELETE", f"{FUNCTION}/connection").status_code


def status(stack: Stack) -> str:
    """The status as it is stored."""
    return str(stack.documents().get("connections/YW5uYQ", {"status": "absent"})["status"])


def told(receiver: Receiver) -> list[str]:
    return [str(one["status"]) for one in receiver.told("connection.status")]


def owed(stack: Stack) -> list[str]:
    return [path for path in stack.documents() if path.startswith("announcements/")]


def paused(stack: Stack, work: Callable[[], object]) -> Callable[[], object]:
    """The work with its tasks held back, so that only it can die."""

    def run() -> None:
        with held_back(stack):
            work()

    return run


def test_what_no_task_was_left_for_is_told_within_ten_minutes(stack: Stack, receiver: Receiver) -> None:
    """Cloud Tasks that is down while somebody connects delays the news until the next dispatch."""
    stack.faults.inject(Fault("cloudtasks", "CreateTask", status=403, count=100))
    stack.connect("anna")
    stack.settle()
    stack.faults.clear()
    before = told(receiver)

    stack.advance(600)
    stack.run_job("label-sweep")
    stack.settle()

    assert ([], ["connected"], []) == (before, told(receiver), owed(stack))


def test_a_claim_that_dies_at_any_call_is_told_once(
    stack: Stack, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is a connection the webhook has heard so once, and where there is none it has heard nothing."""

    def prepare() -> Callable[[], object]:
        ticket = ticket_of(stack)
        receiver.forget()
        return paused(stack, lambda: claim(stack, "anna", ticket))

    for death in at_every_call(stack, monkeypatch, prepare):
        clean_up(stack)
        expected = ["connected"] if status(stack) == "connected" else []
        assert (expected, []) == (told(receiver), owed(stack)), death.calls


def test_a_deactivation_that_dies_at_any_call_is_told_once(
    stack: Stack, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the connection is gone the webhook has heard so once, although nothing of it is left."""

    def prepare() -> Callable[[], object]:
        connect(stack, receiver)
        return paused(stack, lambda: deactivate(stack))

    for death in at_every_call(stack, monkeypatch, prepare):
        clean_up(stack)
        expected = ["absent"] if status(stack) == "absent" else []
        assert (expected, []) == (told(receiver), owed(stack)), death.calls


def test_a_dead_grant_is_told_once_wherever_its_finder_dies(
    stack: Stack, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next who asks, or housekeeping, tells what the one who found out could not."""

    def prepare() -> Callable[[], object]:
        connect(stack, receiver)
        revoke(stack)
        return paused(stack, lambda: read_mail(stack))

    for death in at_every_call(stack, monkeypatch, prepare):
        read_mail(stack)
        clean_up(stack)
        assert "reauth_required" == status(stack), death.calls
        assert (["reauth_required"], []) == (told(receiver), owed(stack)), death.calls


def test_a_delivery_that_dies_at_any_call_is_known_by_its_id(
    stack: Stack, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The webhook hears it at least once, and again only under the same id, as nothing can tell whether it heard."""

    def prepare() -> Callable[[], object]:
        stack.google.tasks.resume()
        connect(stack, receiver)
        stack.google.tasks.pause()
        deactivate(stack)
        (body,) = [
            task.http_request.body for task in stack.google.tasks.pending() if "deliver" in task.http_request.url
        ]
        return lambda: call_as(stack, environment.TASKS, "/deliver", json.loads(body))

    for death in at_every_call(stack, monkeypatch, prepare):
        stack.google.tasks.resume()
        clean_up(stack)
        assert {"absent"} == set(told(receiver)), death.calls
        assert (1, []) == (len(set(receiver.ids())), owed(stack)), death.calls


def test_leaving_again_tells_what_is_owed(stack: Stack, receiver: Receiver) -> None:
    """A deactivation whose news could not be left is told when its user asks for it once more."""
    connect(stack, receiver)
    stack.faults.inject(Fault("cloudtasks", "CreateTask", status=503, count=2))
    deactivate(stack)
    stack.settle()
    assert ([], 1) == (told(receiver), len(owed(stack)))

    deactivate(stack)
    stack.settle()

    assert (["absent"], []) == (told(receiver), owed(stack))


def test_the_task_of_a_deactivation_tells_what_is_owed(stack: Stack, receiver: Receiver) -> None:
    """Whoever looks after the revocation, a minute later, tells what the deactivation could not."""
    connect(stack, receiver)
    stack.faults.inject(Fault("cloudtasks", "CreateTask", status=503, skip=1))
    deactivate(stack)

    stack.catch_up(120)

    assert (["absent"], []) == (told(receiver), owed(stack))


def test_a_webhook_that_is_down_is_told_by_housekeeping(stack: Stack, receiver: Receiver) -> None:
    """News that waits in the queue is not left a second time, and one that the queue has lost is."""
    connect(stack, receiver)
    with held_back(stack):
        deactivate(stack)
        stack.google.run_job("housekeeping")
        assert 1 == sum("deliver" in task.http_request.url for task in stack.google.tasks.pending())
        stack.google.tasks.clear()
    stack.settle()
    assert ([], 1) == (told(receiver), len(owed(stack)))

    stack.run_job("housekeeping")

    assert (["absent"], []) == (told(receiver), owed(stack))


def test_what_was_heard_is_not_told_again(stack: Stack, receiver: Receiver) -> None:
    """A task left a second time, when its name was free again, finds nothing owed."""
    connect(stack, receiver)
    with held_back(stack):
        deactivate(stack)
        (body,) = [
            task.http_request.body for task in stack.google.tasks.pending() if "deliver" in task.http_request.url
        ]
    stack.settle()

    assert 204 == call_as(stack, environment.TASKS, "/deliver", json.loads(body))
    assert ["absent"] == told(receiver)


@pytest.mark.parametrize("answer", [410, 302])
def test_a_refusal_settles_it(stack: Stack, receiver: Receiver, answer: int) -> None:
    """What the webhook refuses for good is owed no longer."""
    connect(stack, receiver)
    receiver.statuses += [answer]

    deactivate(stack)
    stack.settle()
    stack.run_job("housekeeping")

    assert (1, []) == (len(receiver.requests), owed(stack))


def test_what_is_owed_is_shown_to_its_user(stack: Stack, receiver: Receiver) -> None:
    """As long as the webhook has not heard, the user sees that something is still held for that."""
    connect(stack, receiver)
    with held_back(stack):
        deactivate(stack)
        shown = stack.ask("anna", "GET", f"{FUNCTION}/connection/data")["announcements"]
    stack.settle()

    assert ["anna"] == [one["user_id"] for one in shown]
    assert [] == stack.ask("anna", "GET", f"{FUNCTION}/connection/data")["announcements"]
