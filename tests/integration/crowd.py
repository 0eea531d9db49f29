"""Many users with the same past, so that each can meet a death of its own while one of them meets none.

Who dies at call number n is user number n; what follows, minutes and tasks and jobs, all live through together. In the
end each must be left as the one is whom nothing has disturbed (``aftermath``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local import environment
from local.stack import Stack
from tests.integration.aftermath import left_of
from tests.integration.dying import NEVER, Death, dying, troubles
from tests.integration.magnet_rig import JONAS, MIA, STRANGER, pubsub
from tests.integration.sweep_rig import EMILY, LENA, load_directory
from tests.integration.webhook_rig import Receiver, hooked

CALM = "calm"
SIZE = 48
_AN_HOUR_S = 3700


class Crowd:
    """The users; all of them are connected, with MailMagnet and labels on, and nothing is left to do for any."""

    def __init__(self, stack: Stack, receiver: Receiver) -> None:
        self.stack = stack
        self.receiver = receiver
        self.users: tuple[str, ...] = ()
        # What the last test has left must be as expected, or nobody can go on from there.
        self.is_sound = False
        self._all: tuple[str, ...] = ()
        # Mails are numbered; a test looks at its own.
        self._letters = 0
        self._first_letter = 0
        self._blocks = 0

    def gather(self) -> None:
        """Makes the users anew."""
        self.stack.reset()
        self.receiver.forget()
        load_directory(self.stack)
        self._all = (CALM, *(f"user-{number:02}" for number in range(SIZE)))
        self.users = self._all
        for user in self.users:
            self.stack.add_person(user)
            self.stack.connect(user)
            self.switch(user, mailmagnet=True, labels=True)
        self.stack.settle()
        self.stack.catch_up(300)
        self.write_all(MIA, JONAS, EMILY, LENA, STRANGER)
        self.pass_time()
        self.is_sound = True

    def begin(self, others: int) -> None:
        """Has the calm one and so many others as after ``gather``: anew, where the last test came to no good end."""
        if not self.is_sound:
            self.gather()
        self.is_sound = False
        self.users = self._all[: others + 1]
        self._first_letter = self._letters + 1
        # No access token lives so long: whoever works has to ask for one.
        self.stack.advance(_AN_HOUR_S)

    def switch(self, user: str, *, must: bool = True, **settings: bool) -> None:
        answer = self.stack.call(user, "PATCH", "/oauth_callback/connection", json=settings)
        assert answer.ok or not must, answer.text

    def write(self, user: str, *senders: str) -> list[str]:
        """Mails to a user, each with a subject of its own; returns Gmail's ids. A sender may name the ``{user}``."""
        address = self.stack.people[user].email
        ids: list[str] = []
        for number, sender in enumerate(senders):
            head = f"From: {sender.format(user=user)}\r\nTo: {address}\r\nSubject: {self._letters:03} {number}"
            raw = f"{head}\r\n\r\nx\r\n".encode()
            ids.append(self.stack.google.gmail.deliver(raw, to=address)[address])
        return ids

    def write_all(self, *senders: str, also_to_others: bool = False) -> dict[str, list[str]]:
        """The same mails to everybody, by user; ``also_to_others``, who are no part of this test but of the next."""
        self._letters += 1
        self.stack.advance(2)
        return {user: self.write(user, *senders) for user in (self._all if also_to_others else self.users)}

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """What is pushed and what tasks would do comes only after the outermost of such blocks."""
        self._blocks += 1
        pubsub(self.stack).pause(environment.SUBSCRIPTION)
        self.stack.google.tasks.pause()
        try:
            yield
        finally:
            self._blocks -= 1
            if not self._blocks:
                self.stack.google.tasks.resume()
                pubsub(self.stack).resume(environment.SUBSCRIPTION)

    def last_waiting(self, kind: str) -> dict[str, dict[str, Any]]:
        """What the task of this kind carries that waits for each user, the last one left."""
        bodies = [json.loads(task.http_request.body) for task in self.stack.google.tasks.pending()]
        return {body["user"]: body for body in bodies if body["kind"] == kind}

    def pass_time(self) -> None:
        """Everything runs that is due within an hour; then the scheduler comes by twice."""
        self.stack.settle()
        self.stack.catch_up(_AN_HOUR_S)
        for _ in range(2):
            self.stack.advance(600)
            self.stack.sweep()
            self.stack.catch_up(120)

    def let_die(
        self,
        monkeypatch: pytest.MonkeyPatch,
        work: Callable[[str], object],
        *,
        before: Callable[[str], object] | None = None,
        between: Callable[[str], object] | None = None,
    ) -> dict[str, Death]:
        """Does the work for everybody, and each but the calm one meets trouble of their own: see ``troubles``.

        Then it is done again: nobody has heard an answer, whatever it was, and queues and people try again. What
        happens ``before`` and ``between`` is no part of the work.
        """
        counting = Death(NEVER)
        self._meet(monkeypatch, counting, CALM, work, before, between)
        met = troubles(counting.calls)
        spare = len(self.users) - 1 - len(met)
        assert spare > 0, f"needs {len(met) + 1} users: {counting.calls}"
        # Who is left over, one of them at least, has the work done twice without any trouble.
        met += [Death(NEVER) for _ in range(spare)]
        for user, trouble in zip(self.users[1:], met, strict=True):
            self._meet(monkeypatch, trouble, user, work, before, between)
        return dict(zip(self.users[1:], met, strict=True))

    def _meet(
        self,
        monkeypatch: pytest.MonkeyPatch,
        trouble: Death,
        user: str,
        work: Callable[[str], object],
        before: Callable[[str], object] | None,
        between: Callable[[str], object] | None,
    ) -> None:
        with self.held_back():
            if before is not None:
                before(user)
            with dying(self.stack, monkeypatch, trouble):
                work(user)
            if between is not None:
                between(user)
            if user != CALM:
                work(user)
        if not self._blocks:
            self.stack.settle()

    def verify_alike(self, deaths: dict[str, Death], *, besides: Collection[str] = ()) -> dict[str, Any]:
        """Everybody is left as the calm one is, ``besides`` these parts; returns how."""
        calm = self.left_of(CALM, besides)
        for user, death in deaths.items():
            left = self.left_of(user, besides)
            unlike = {name: (calm[name], left[name]) for name in calm if calm[name] != left[name]}
            assert {} == unlike, f"{unlike} after {type(death).__name__} at {death.at} of {death.calls}"
        self.is_sound = True
        return calm

    def left_of(self, user: str, besides: Collection[str] = ()) -> dict[str, Any]:
        left = left_of(self.stack, self.receiver, user, since=f"{self._first_letter:03}")
        return {name: value for name, value in left.items() if name not in besides}


@contextmanager
def gathered(directory: Path) -> Iterator[Crowd]:
    """A crowd, as long as the block lasts."""
    with hooked(directory) as (stack, receiver):
        yield Crowd(stack, receiver)
