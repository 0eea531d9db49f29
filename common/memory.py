"""Owns how many bytes of mail one instance holds at a time: whoever takes in or hands out a big one reserves first.

In memory, per process. Imports the configuration alone.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import cache
from types import TracebackType
from typing import Final

from common import clock
from common.config import config
from common.errors import Unavailable

_PAUSE: Final = timedelta(seconds=5)


class ByteBudget:
    """So many bytes, shared by all requests of the process."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._held_bytes = 0

    @property
    def limit_bytes(self) -> int:
        return self._limit_bytes

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    def reserve(self, size_bytes: int) -> Reservation:
        """Holds ``size_bytes`` until released. Raises Unavailable where others hold too many.

        What is bigger than the whole budget is let through alone: its size has a limit of its own.
        """
        reservation = Reservation(self)
        reservation.resize(size_bytes)
        return reservation

    def _change(self, old_bytes: int, new_bytes: int) -> int:
        """Holds ``new_bytes``, or the whole budget, in place of ``old_bytes``, and returns how many are held."""
        wanted_bytes = min(new_bytes, self._limit_bytes)
        with self._lock:
            if wanted_bytes > old_bytes and self._held_bytes + wanted_bytes - old_bytes > self._limit_bytes:
                raise Unavailable("instance-busy", retry_at=clock.now() + _PAUSE)
            self._held_bytes += wanted_bytes - old_bytes
        return wanted_bytes


class Reservation:
    """Bytes held; releasing them twice does nothing. As a context manager it releases at the block's end."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._size_bytes = 0

    def resize(self, size_bytes: int) -> None:
        """Holds so many bytes from now on. Raises Unavailable, and holds what it held, where others hold too many."""
        self._size_bytes = self._budget._change(self._size_bytes, size_bytes)

    def release(self) -> None:
        """Gives the bytes back."""
        self.resize(0)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@cache
def byte_budget() -> ByteBudget:
    """This process's budget, by the configuration's ``body_budget_bytes``."""
    return ByteBudget(config().body_budget_bytes)
