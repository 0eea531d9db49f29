"""A function that dies at any of its calls to Google leaves nothing over: claim and deactivation, call by call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, claim, is_granted, kept, ticket_of

pytestmark = pytest.mark.integration
WHOLE = {"connections": 1, "secrets": 1}
# Refusals that no client library repeats.
_GRPC, _HTTP = 403, 500


class Death:
    """From call number ``at`` on nothing reaches Google, as if the process were gone."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._lock = threading.Lock()
        self.calls: list[str] = []

    def take(self, service: str, method: str, mailbox: str = "") -> Fault | None:
        with self._lock:
            self.calls.append(method)
            number = len(self.calls) - 1
        if number < self._at:
            return None
        return Fault(service, method, status=_HTTP if service in ("oauth", "gmail", "jwks") else _GRPC)

    @property
    def has_struck(self) -> bool:
        return len(self.calls) > self._at

    @property
    def done(self) -> list[str]:
        """The calls that did their work."""
        return self.calls[: self._at]


@contextmanager
def dying(stack: Stack, monkeypatch: pytest.MonkeyPatch, death: Death) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(stack.faults, "take", death.take)
        yield


def at_every_call(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[], Callable[[], object]]
) -> Iterator[Death]:
    """Prepares, and lets the work die at its first call, its second and so on, until it has no more calls."""
    for at in range(100):
        stack.reset()
        work = prepare()
        death = Death(at)
        with dying(stack, monkeypatch, death):
            work()
        if not death.has_struck:
            return
        yield death
    raise AssertionError("this work never ends")


def clean_up(stack: Stack) -> None:
    """The tasks run, an hour passes, and the daily housekeeping comes."""
    stack.catch_up(120)
    stack.advance(3601)
    stack.run_job("housekeeping")


def test_a_claim_that_dies_at_any_call(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a connection that works, or neither secret nor grant; and connecting again works.

    What was consented but never exchanged minted nothing; a refresh token that died in memory, before Secret Manager
    had it, is held by nobody and can be given back by nobody.
    """

    def prepare() -> Callable[[], object]:
        ticket = ticket_of(stack)
        return lambda: claim(stack, "anna", ticket)

    for death in at_every_call(stack, monkeypatch, prepare):
        clean_up(stack)
        left = kept(stack)
        assert left in ({}, WHOLE), death.calls
        if "AddSecretVersion" in death.done:
            assert bool(left) == is_granted(stack), death.calls
        assert "healthy" == stack.connect("anna")["health"]["word"]


def test_a_deactivation_that_dies_at_any_call(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is as it was, or there is neither connection, nor secret, nor grant, nor watch."""

    def prepare() -> Callable[[], object]:
        stack.connect("anna")
        stack.switch_on("anna", mailmagnet=True)
        return lambda: stack.call("anna", "DELETE", f"{FUNCTION}/connection")

    for death in at_every_call(stack, monkeypatch, prepare):
        clean_up(stack)
        left = kept(stack)
        assert left in ({}, WHOLE), death.calls
        assert bool(left) == is_granted(stack), death.calls
        others = [path for path in stack.documents() if path.startswith(("sync/", "work/", "mailboxes/"))]
        assert bool(left) == bool(others), death.calls
