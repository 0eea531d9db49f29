"""Owns the time. The one seam for it: where ``CLOCK_OFFSET_FILE`` names a file, its number of seconds is added.

Imports nothing of the project.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

_OFFSET_FILE = os.environ.get("CLOCK_OFFSET_FILE", "")
# The file as last seen: it is replaced, never written over.
_seen: tuple[tuple[str, int, int, int], timedelta] | None = None


def now() -> datetime:
    """The current time, aware, in UTC."""
    real = datetime.now(UTC)
    if not _OFFSET_FILE:
        return real
    return real + _offset()


def _offset() -> timedelta:
    global _seen
    status = os.stat(_OFFSET_FILE)  # noqa: PTH116  (asked many times a request)
    version = (_OFFSET_FILE, status.st_ino, status.st_size, status.st_mtime_ns)
    seen = _seen
    if seen is None or seen[0] != version:
        # Read after the look: a newer file under an older version is only read once more.
        _seen = seen = version, timedelta(seconds=float(Path(_OFFSET_FILE).read_text()))
    return seen[1]


def today(time_zone: str) -> date:
    """The current date in ``time_zone``, an IANA name. Raises ZoneInfoNotFoundError for an unknown one."""
    return day_of(now(), time_zone)


def day_of(at: datetime, time_zone: str) -> date:
    """The date in ``time_zone`` at a time. Pure. Raises ZoneInfoNotFoundError for an unknown zone."""
    return at.astimezone(ZoneInfo(time_zone)).date()
