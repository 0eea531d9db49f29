"""The book of calls that the stand-ins keep: what was called, for which mailbox, at what cost, and when.

Tests and benchmarks read costs from here: units (the table in Google's quota pages) and sequential round trips.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """One call as the stand-in saw it. Its times are monotonic; calls of one batch share ``http_id``."""

    service: str
    method: str
    mailbox: str
    units: int
    status: int
    started_s: float
    ended_s: float
    http_id: int


class Ledger:
    """Calls in the order in which they ended. ``mark()`` gives a position; readers ask for what came since.

    ``observe``, where somebody has set it, hears of each call.
    """

    observe: Callable[[Call], None] | None = None

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._next_http_id = 0

    def next_http_id(self) -> int:
        """A number for one HTTP request, shared by the inner calls of a batch."""
        with self._lock:
            self._next_http_id += 1
            return self._next_http_id

    def record(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)
        if self.observe is not None:
            self.observe(call)

    def mark(self) -> int:
        with self._lock:
            return len(self._calls)

    def since(self, mark: int = 0, *, service: str | None = None, mailbox: str | None = None) -> list[Call]:
        with self._lock:
            calls = self._calls[mark:]
        return [
            call
            for call in calls
            if (service is None or call.service == service) and (mailbox is None or call.mailbox == mailbox)
        ]


def units(calls: Iterable[Call]) -> int:
    """The sum of the calls' units."""
    return sum(call.units for call in calls)


def sequential_round_trips(calls: Iterable[Call]) -> int:
    """The length of the longest chain of HTTP requests of which each began after the one before had ended."""
    spans: dict[int, tuple[float, float]] = {}
    for call in calls:
        start, end = spans.get(call.http_id, (call.started_s, call.ended_s))
        spans[call.http_id] = (min(start, call.started_s), max(end, call.ended_s))
    chain, free_at = 0, float("-inf")
    for start, end in sorted(spans.values(), key=lambda span: span[1]):
        if start >= free_at:
            chain, free_at = chain + 1, end
    return chain


def as_rows(calls: Iterable[Call], key: Callable[[Call], bool] = lambda _: True) -> list[dict[str, Any]]:
    """The calls as JSON rows."""
    return [asdict(call) for call in calls if key(call)]
