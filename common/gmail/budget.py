"""Owns what one process may ask of a mailbox: five requests at a time, and shares of its minute for work that waits.

In memory, per process: the shares are kept well below what Gmail gives, so that several instances fit beside people.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import Final
from weakref import WeakValueDictionary

from common import clock
from common.config import config
from common.errors import RateLimited

AT_ONCE: Final = 5
_KEPT: Final = 10_000
_MINUTE: Final = timedelta(minutes=1)
# All colleagues together spend as much as so many of them, so that however many look, the owner has the rest.
_COLLEAGUES_AT_ONCE: Final = 2


@dataclass(frozen=True)
class _Spent:
    """Units that count until a moment."""

    until: datetime
    units: int


class Windows:
    """What was spent within the last minute, by key; the keys unused longest are dropped, which frees them.

    A bucket that fills over the minute would give its whole content and a minute's filling within one minute.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._spent: OrderedDict[str, deque[_Spent]] = OrderedDict()

    def take(self, key: str, units: int, per_minute: float) -> None:
        """Takes ``units``. Raises RateLimited with the time at which they will be there.

        What costs more than the whole share is let through where nothing was spent, and counts for longer.
        """
        at = clock.now()
        with self._lock:
            spent = self._spent.setdefault(key, deque())
            self._spent.move_to_end(key)
            if len(self._spent) > self._kept:
                self._spent.popitem(last=False)
            while spent and spent[0].until <= at:
                spent.popleft()
            missing = sum(one.units for one in spent) + units - max(per_minute, units)
            if missing <= 0:
                _note(spent, at + _MINUTE * max(units / per_minute, 1.0), units)
                return
            freed = accumulate(one.units for one in spent)
            retry_at = next(one.until for one, units_free in zip(spent, freed, strict=True) if units_free >= missing)
        raise RateLimited("budget-used-up", retry_at=retry_at)


def _note(spent: deque[_Spent], until: datetime, units: int) -> None:
    """Adds it, beside what counts until the same second: so there are few to add up."""
    second = until.replace(microsecond=0) + timedelta(seconds=until.microsecond > 0)
    if spent and spent[-1].until == second:
        units += spent.pop().units
    spent.append(_Spent(second, units))


@dataclass(frozen=True)
class Share:
    """Who spends: nothing is counted for people in their own mailbox. ``within`` is a share that others spend, too."""

    key: str = ""
    per_minute: float = 0.0
    within: Share | None = None

    def take(self, units: int) -> None:
        """Raises RateLimited where this share of the mailbox's minute is used up."""
        if self.key:
            # First one's own: whoever has used it up takes nothing from the others.
            windows().take(self.key, units, self.per_minute)
        if self.within is not None:
            self.within.take(units)


def share_of(mailbox_key: str, *, background: bool, viewer: str) -> Share:
    """The share for background work, for a colleague (each has one, within one for all colleagues), or none."""
    settings = config()
    if background:
        return Share(f"background {mailbox_key}", settings.mailbox_units_per_minute * settings.background_share)
    if viewer:
        one = settings.mailbox_units_per_minute * settings.colleague_share
        together = Share(f"colleagues {mailbox_key}", one * _COLLEAGUES_AT_ONCE)
        return Share(f"colleague {mailbox_key} {viewer}", one, within=together)
    return Share()


class Slots:
    """At most so many requests at a time for each mailbox."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._slots: WeakValueDictionary[str, threading.BoundedSemaphore] = WeakValueDictionary()

    @contextmanager
    def hold(self, mailbox_key: str, timeout_s: float) -> Iterator[None]:
        """A slot while the block runs. Raises RateLimited where none came free in time."""
        with self._lock:
            slots = self._slots.get(mailbox_key)
            if slots is None:
                slots = self._slots[mailbox_key] = threading.BoundedSemaphore(self._at_once)
        if not slots.acquire(timeout=max(timeout_s, 0.0)):
            raise RateLimited("gmail-busy")
        try:
            yield
        finally:
            slots.release()


@cache
def windows() -> Windows:
    """This process's windows."""
    return Windows()


@cache
def slots() -> Slots:
    """This process's slots."""
    return Slots()
