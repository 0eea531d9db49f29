"""Cron lines in unix form: five fields with ``*``, steps, ranges, lists and names, in a time zone.

Pure. Cloud Scheduler's rules: https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules. A wall time that
a change to summer time skips is not run; one that comes twice is run twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# 29 February may be eight years away (1896 to 1904, 2096 to 2104).
_HORIZON = timedelta(days=8 * 366)


@dataclass(frozen=True)
class Cron:
    """A parsed line."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The first run after the moment, in UTC. Raises ValueError if there is none, as for 30 February."""
        at = moment.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = at + _HORIZON
        while at < end:
            local = at.astimezone(zone)
            if not self._matches_day(local) or local.hour not in self.hours:
                # Zones change their offset by half hours at least, so this never jumps over one.
                at += timedelta(minutes=30 - local.minute % 30)
            elif local.minute in self.minutes:
                return at
            else:
                at += timedelta(minutes=1)
        raise ValueError("this schedule never runs")

    def _matches_day(self, local: datetime) -> bool:
        if local.month not in self.months:
            return False
        day, weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return (day or weekday) if self.either_day else (day and weekday)


def parse_cron(text: str) -> Cron:
    """The parsed line. Raises ValueError for anything but five valid fields."""
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError("a schedule has five fields")
    minutes, hours, days, months, weekdays = fields
    return Cron(
        _parse_field(minutes, 0, 59),
        _parse_field(hours, 0, 23),
        _parse_field(days, 1, 31),
        _parse_field(months, 1, 12, _MONTHS, 1),
        frozenset(day % 7 for day in _parse_field(weekdays, 0, 7, _DAYS)),
        # Cron's old rule: where both are restricted, either one suffices.
        either_day=not days.startswith("*") and not weekdays.startswith("*"),
    )


def _parse_field(text: str, low: int, high: int, names: Sequence[str] = (), first: int = 0) -> frozenset[int]:
    values: set[int] = set()
    for item in text.split(","):
        span, slash, step = item.partition("/")
        if slash and not (step.isdecimal() and int(step) > 0):
            raise ValueError(f"{item} has no valid step")
        start, end = _parse_span(span, low, high, names, first)
        if slash and start == end:
            end = high
        values.update(range(start, end + 1, int(step) if slash else 1))
    return frozenset(values)


def _parse_span(span: str, low: int, high: int, names: Sequence[str], first: int) -> tuple[int, int]:
    if span == "*":
        return low, high
    left, dash, right = span.partition("-")
    start = _parse_value(left, names, first)
    end = _parse_value(right, names, first) if dash else start
    if not low <= start <= end <= high:
        raise ValueError(f"{span} is not within {low}-{high}")
    return start, end


def _parse_value(text: str, names: Sequence[str], first: int) -> int:
    if text in names:
        return names.index(text) + first
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a number")
    return int(text)
