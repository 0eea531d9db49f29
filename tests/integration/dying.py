"""A function that dies at one of its calls to Google, for tests that let it die at each; and what comes by then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from local.faults import Fault
from local.stack import Stack

# Refusals that no client library repeats.
_GRPC, _HTTP = 403, 500
_DELIVERY = "dispatch"


class Death:
    """From call number ``at`` on nothing reaches Google, as if the process were gone.

    ``answer_lost``: that call itself does its work, and its answer finds nobody any more.
    """

    def __init__(self, at: int, *, answer_lost: bool = False) -> None:
        self._at = at
        self._answer_lost = answer_lost
        self._lock = threading.Lock()
        self.calls: list[str] = []

    def take(self, service: str, method: str, mailbox: str = "") -> Fault | None:
        if method == _DELIVERY:
            # Google's call to the function, none of the function's own.
            return None
        with self._lock:
            self.calls.append(method)
            number = len(self.calls) - 1
        if number < self._at:
            return None
        if number == self._at and self._answer_lost:
            return Fault(service, method, drop_answer=True)
        return Fault(service, method, status=_HTTP if service in ("oauth", "gmail", "jwks") else _GRPC)

    @property
    def has_struck(self) -> bool:
        return len(self.calls) > self._at

    @property
    def done(self) -> list[str]:
        """The calls that did their work."""
        return self.calls[: self._at + self._answer_lost]


@contextmanager
def dying(stack: Stack, monkeypatch: pytest.MonkeyPatch, death: Death) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(stack.faults, "take", death.take)
        yield


def at_every_call(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[], Callable[[], object]],
    *,
    answer_lost: bool = False,
) -> Iterator[Death]:
    """Prepares, and lets the work die at its first call, its second and so on, until it has no more calls."""
    for at in range(100):
        stack.reset()
        work = prepare()
        death = Death(at, answer_lost=answer_lost)
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
