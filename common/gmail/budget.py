"""Owns what one process may ask of a mailbox: five requests at a time, and shares of its minute for work that waits.

In memory, per process: the shares are kept well below what Gmail gives, so that several instances fit beside people.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final
from weakref import WeakValueDictionary

from common import clock
from common.config import config
from common.errors import RateLimited

AT_ONCE: Final = 5
_KEPT: Final = 10_000
_MINUTE_S: Final = 60.0
# All colleagues together spend as much as so many of them, so that however many look, the owner has the rest.
_COLLEAGUES_AT_ONCE: Final = 2


@dataclass
class _Bucket:
    level: float
    at: datetime


class Buckets:
    """Token buckets, filled evenly over a minute; those unused longest are dropped, which fills them."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str, units: int, per_minute: float) -> None:
        """Takes ``units``. Raises RateLimited with the time at which they will be there.

        What costs more than a whole bucket is let through by a full one, and paid off.
        """
        at = clock.now()
        with self._lock:
            bucket = self._buckets.setdefault(key, _Bucket(per_minute, at))
            self._buckets.move_to_end(key)
            if len(self._buckets) > self._kept:
                self._buckets.popitem(last=False)
            passed_s = max((at - bucket.at).total_seconds(), 0.0)
            bucket.level = min(per_minute, bucket.level + per_minute * passed_s / _MINUTE_S)
            bucket.at = at
            missing = min(units, per_minute) - bucket.level
            if missing <= 0:
                bucket.level -= units
                return
        wait_s = missing / per_minute * _MINUTE_S
        raise RateLimited("budget-used-up", retry_at=at + timedelta(seconds=wait_s))


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
            buckets().take(self.key, units, self.per_minute)
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
def buckets() -> Buckets:
    """This process's buckets."""
    return Buckets()


@cache
def slots() -> Slots:
    """This process's slots."""
    return Slots()
