"""Owns what a process remembers of Gmail's answers: five minutes, in memory, bounded in bytes. Knows no Gmail.

Ask it only after everything that decides was read anew: it holds upstream answers, never decisions. Keys begin with
owner and generation, so that nothing survives a reconnect.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from common import clock
from common.config import config

MAX_AGE: Final = timedelta(minutes=5)
Key = tuple[str, ...]
# What an entry costs beside its value: key, times, and the dictionary's own part.
_OVERHEAD_BYTES: Final = 500


@dataclass(frozen=True)
class Entry:
    """A value and when it was fetched: one that is made anew from it keeps that time."""

    value: bytes
    fetched_at: datetime


class Cache:
    """Values in bytes, the least used ones dropped first. Threads may share it."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def get(self, key: Key) -> Entry | None:
        """What is known under ``key``; never anything older than five minutes."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if _is_old(entry):
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return entry

    def put(self, key: Key, value: bytes, *, fetched_at: datetime) -> None:
        """Keeps ``value``, of which the oldest part was fetched at ``fetched_at``, unless it is too big or too old."""
        entry = Entry(value, fetched_at)
        with self._lock:
            self._drop(key)
            if _cost(entry) > self._limit_bytes or _is_old(entry):
                return
            self._entries[key] = entry
            self._size_bytes += _cost(entry)
            while self._size_bytes > self._limit_bytes:
                self._drop(next(iter(self._entries)))

    def purge(self) -> None:
        """Drops what is older than five minutes; to be called at each request."""
        with self._lock:
            for key in [key for key, entry in self._entries.items() if _is_old(entry)]:
                self._drop(key)

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size_bytes -= _cost(entry)


def _is_old(entry: Entry) -> bool:
    return clock.now() - entry.fetched_at >= MAX_AGE


def _cost(entry: Entry) -> int:
    return len(entry.value) + _OVERHEAD_BYTES


@cache
def answers() -> Cache:
    """This process's cache, of the configuration's ``cache_bytes``."""
    return Cache(config().cache_bytes)
