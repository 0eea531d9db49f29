"""A function that dies at any of its calls to Google sends no mail twice: call by call, or an answer that is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from local import environment
from local.stack import Stack
from tests.integration.dying import Death, at_every_call
from tests.integration.sending_rig import DRAFTS, SENDS, begin, mail, pass_time, post, received, sent

pytestmark = pytest.mark.integration
SEND_CALLS = {"users.messages.send", "users.drafts.send"}


def outcome(stack: Stack) -> tuple[str, int]:
    """What is said of the mail in the end, and how often it has arrived."""
    answer = stack.call("anna", "GET", f"{SENDS}/key").json()
    assert len(sent(stack)) == len(received(stack))
    return answer.get("state", "none"), len(received(stack))


def expected(death: Death, *, handed_over_by: int) -> tuple[str, int]:
    """Sent once; only who had written that it hands over, and did not, leaves a mail of which nobody knows."""
    is_out = any(call in SEND_CALLS for call in death.done)
    is_handed_over = death.done.count("Commit") >= handed_over_by
    return ("unknown", 0) if is_handed_over and not is_out else ("sent", 1)


def test_a_mail(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks again with the same key gets the mail sent once, or hears that nobody knows."""

    def prepare() -> Callable[[], object]:
        begin(stack)
        return lambda: post(stack, mail())

    for death in at_every_call(stack, monkeypatch, prepare):
        stack.advance(200)
        post(stack, mail())
        pass_time(stack, 900)
        post(stack, mail())
        assert expected(death, handed_over_by=2) == outcome(stack), death.calls


def test_a_draft(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same holds for a draft that is sent."""
    path = ""

    def prepare() -> Callable[[], object]:
        nonlocal path
        begin(stack)
        path = f"{DRAFTS}/{stack.ask('anna', 'POST', DRAFTS, json=mail())['id']}/send"
        return lambda: post(stack, {}, path=path)

    for death in at_every_call(stack, monkeypatch, prepare):
        stack.advance(200)
        post(stack, {}, path=path)
        pass_time(stack, 900)
        post(stack, {}, path=path)
        assert expected(death, handed_over_by=2) == outcome(stack), death.calls


def test_a_mail_that_is_scheduled(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever schedules again with the same key has one mail go out at its time."""
    body: dict[str, object] = {}

    def prepare() -> Callable[[], object]:
        nonlocal body
        begin(stack)
        body = mail(send_at=(stack.clock.now() + timedelta(seconds=600)).isoformat())
        return lambda: post(stack, body)

    for death in at_every_call(stack, monkeypatch, prepare):
        stack.advance(100)
        post(stack, body)
        pass_time(stack, 900)
        assert ("sent", 1) == outcome(stack), death.calls


def test_a_mail_that_is_due(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduled mail goes out once, though nobody asks for it again."""
    queues = stack.google.tasks

    def prepare() -> Callable[[], object]:
        begin(stack)
        before = len(queues.payload_log)
        queues.pause()
        post(stack, mail(send_at=(stack.clock.now() + timedelta(seconds=30)).isoformat()))
        stack.advance(31)
        (task,) = queues.payload_log[before:]
        bearer = {"Authorization": f"Bearer {tasks_token(stack)}", "Content-Type": "application/json"}
        return lambda: stack.call(None, "POST", "/mail_proxy/tasks/send", data=task.body, headers=bearer)

    try:
        for death in at_every_call(stack, monkeypatch, prepare):
            queues.resume()
            pass_time(stack, 3600)
            assert expected(death, handed_over_by=1) == outcome(stack), death.calls
    finally:
        queues.resume()


def tasks_token(stack: Stack) -> str:
    """What Cloud Tasks shows to mail_proxy."""
    return stack.google.tokens.mint(environment.TASKS, stack.front.url_of("mail_proxy"))
