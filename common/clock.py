"""Owns the time. The one seam for it: where ``CLOCK_OFFSET_FILE`` names a file, its number of seconds is added.

Imports nothing of the project.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

_OFFSET_FILE = os.environ.get("CLOCK_OFFSET_FILE", "")


def now() -> datetime:
    """The current time, aware, in UTC."""
    real = datetime.now(UTC)
    if not _OFFSET_FILE:
        return real
    return real + timedelta(seconds=float(Path(_OFFSET_FILE).read_text()))


def today(time_zone: str) -> date:
    """The current date in ``time_zone``, an IANA name. Raises ZoneInfoNotFoundError for an unknown one."""
    return day_of(now(), time_zone)


def day_of(at: datetime, time_zone: str) -> date:
    """The date in ``time_zone`` at a time. Pure. Raises ZoneInfoNotFoundError for an unknown zone."""
    return at.astimezone(ZoneInfo(time_zone)).date()
