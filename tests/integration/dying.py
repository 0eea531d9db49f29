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
# What Google does of itself: tasks and pushes that reach a function, and a mailbox's pushes on their way.
_GOOGLES_OWN = {("cloudtasks", "dispatch"), ("pubsub", "push"), ("pubsub", "publish"), ("scheduler", "fire")}
# What changes nothing may be asked again.
_READS = {
    "BatchGetDocuments", "RunQuery", "AccessSecretVersion", "ListSecrets", "users.history.list", "users.messages.get",
    "users.messages.list", "users.labels.list", "users.getProfile",
}  # fmt: skip
# No work has so many calls.
NEVER = 10**9


class Death:
    """From call number ``at`` on nothing reaches Google, as if the process were gone."""

    def __init__(self, at: int) -> None:
        self.at = at
        self._lock = threading.Lock()
        self.calls: list[str] = []

    def take(self, service: str, method: str, mailbox: str = "") -> Fault | None:
        if (service, method) in _GOOGLES_OWN or self._count(method) < self.at:
            return None
        return Fault(service, method, status=_HTTP if service in ("oauth", "gmail", "jwks") else _GRPC)

    def _count(self, method: str) -> int:
        with self._lock:
            self.calls.append(method)
            return len(self.calls) - 1

    @property
    def has_struck(self) -> bool:
        return len(self.calls) > self.at

    @property
    def done(self) -> list[str]:
        """The calls that did their work."""
        return self.calls[: self.at]


class LostAnswer(Death):
    """Call number ``at`` does its work, and its answer gets lost; the function lives on and makes of it what it can."""

    def take(self, service: str, method: str, mailbox: str = "") -> Fault | None:
        if (service, method) in _GOOGLES_OWN or self._count(method) != self.at:
            return None
        return Fault(service, method, drop_answer=True)

    @property
    def done(self) -> list[str]:
        return self.calls


def troubles(calls: list[str]) -> list[Death]:
    """A death at each of the calls, and for each that writes one whose answer alone is lost.

    That a function dies as soon as a call has done its work needs no case of its own: nothing outside of it could tell
    that from a death at the next call, or after the last one.
    """
    return [
        *(Death(at) for at in range(len(calls))),
        *(LostAnswer(at) for at, method in enumerate(calls) if method not in _READS),
    ]


@contextmanager
def dying(stack: Stack, monkeypatch: pytest.MonkeyPatch, death: Death) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(stack.faults, "take", death.take)
        yield


def each_trouble(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[int], Callable[[], object]],
    *,
    stride: int = 1,
    again: bool = True,
) -> Iterator[tuple[int, Death]]:
    """Round after round, what is prepared meets another trouble and is done again; the first meets none.

    Which troubles there are, the first round tells (``troubles``). With a ``stride`` not each of them: where each round
    is long. Not ``again``: whoever tries it again is the caller.
    """
    counting = Death(NEVER)
    work = prepare(0)
    with dying(stack, monkeypatch, counting):
        work()
    yield 0, counting
    for number, trouble in enumerate(troubles(counting.calls)[::stride], start=1):
        work = prepare(number)
        with dying(stack, monkeypatch, trouble):
            work()
        if again:
            work()
        yield number, trouble


def at_every_call(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[], Callable[[], object]]
) -> Iterator[Death]:
    """As ``each_trouble``, each round on an emptied stack; whoever tries it again is the caller."""

    def prepare_anew(_: int) -> Callable[[], object]:
        stack.reset()
        return prepare()

    for _, trouble in each_trouble(stack, monkeypatch, prepare_anew, again=False):
        yield trouble


def clean_up(stack: Stack) -> None:
    """The tasks run, an hour passes, and the daily housekeeping comes."""
    stack.catch_up(120)
    stack.advance(3601)
    stack.run_job("housekeeping")
