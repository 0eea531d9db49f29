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
    """From call number ``at`` on nothing reaches Google, as if the process were gone.

    ``answer_lost``: that call itself does its work, and its answer finds nobody any more.
    """

    def __init__(self, at: int, *, answer_lost: bool = False) -> None:
        self.at = at
        self._answer_lost = answer_lost
        self._lock = threading.Lock()
        self.calls: list[str] = []

    def take(self, service: str, method: str, mailbox: str = "") -> Fault | None:
        if (service, method) in _GOOGLES_OWN:
            return None
        with self._lock:
            self.calls.append(method)
            number = len(self.calls) - 1
        if number < self.at:
            return None
        if number == self.at and self._answer_lost:
            return Fault(service, method, drop_answer=True)
        return Fault(service, method, status=_HTTP if service in ("oauth", "gmail", "jwks") else _GRPC)

    @property
    def has_struck(self) -> bool:
        return len(self.calls) > self.at

    @property
    def done(self) -> list[str]:
        """The calls that did their work."""
        return self.calls[: self.at + self._answer_lost]


class LostAnswer(Death):
    """Call number ``at`` does its work, and its answer gets lost; the function lives on and makes of it what it can."""

    def take(self, service: str, method: str, mailbox: str = "") -> Fault | None:
        if (service, method) in _GOOGLES_OWN:
            return None
        with self._lock:
            self.calls.append(method)
            return Fault(service, method, drop_answer=True) if len(self.calls) - 1 == self.at else None


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


def at_every_call(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[], Callable[[], object]],
    *,
    answer_lost: bool = False,
    lives_on: bool = False,
) -> Iterator[Death]:
    """Prepares, and lets the work die at its first call, its second and so on, until it has no more calls.

    ``lives_on``: it does not die, and just that call's answer is lost; of those that write.
    """
    for at in range(100):
        stack.reset()
        work = prepare()
        death = LostAnswer(at) if lives_on else Death(at, answer_lost=answer_lost)
        with dying(stack, monkeypatch, death):
            work()
        if not death.has_struck:
            return
        if not lives_on or death.calls[at] not in _READS:
            yield death
    raise AssertionError("this work never ends")


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


def clean_up(stack: Stack) -> None:
    """The tasks run, an hour passes, and the daily housekeeping comes."""
    stack.catch_up(120)
    stack.advance(3601)
    stack.run_job("housekeeping")
