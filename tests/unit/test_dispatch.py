"""How far a dispatch has read, and which months it looks at."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from common.dispatch import OVERLAP, plan_cursor, plan_months, plan_slot
from common.model import DispatchState

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = AT + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("cursor", "newest", "is_end", "expected"),
    [
        (None, None, True, None),
        (AT, None, True, AT),
        (None, AT, True, AT),
        (AT, LATER, True, LATER),
        (AT, LATER, False, LATER),
        (AT, AT - timedelta(minutes=1), False, AT),
        (AT, AT - timedelta(hours=1), True, AT),
    ],
)
def test_cursor_follows_what_was_seen(
    cursor: datetime | None, newest: datetime | None, *, is_end: bool, expected: datetime | None
) -> None:
    """It moves to the newest change seen, never back, and stays where nothing was."""
    assert expected == plan_cursor(cursor, newest, is_end=is_end)


def test_overlap_without_news_is_not_read_again() -> None:
    """A run that saw only what the one before had seen leaves a cursor behind whose overlap lies none of it."""
    cursor = plan_cursor(AT, AT, is_end=True)
    assert cursor is not None
    assert AT < cursor - OVERLAP <= AT + timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("month", "time_zone", "today", "expected"),
    [
        ("", "", date(2026, 11, 24), None),
        ("2026-11", "UTC", date(2026, 11, 30), None),
        ("2026-11", "UTC", date(2026, 12, 1), (date(2026, 11, 1), date(2026, 12, 31))),
        ("2026-11", "UTC", date(2027, 2, 3), (date(2026, 11, 1), date(2027, 2, 28))),
        ("2026-12", "Asia/Tokyo", date(2026, 11, 30), (date(2026, 11, 1), date(2026, 12, 31))),
        ("2026-11", "Asia/Tokyo", date(2026, 11, 30), (date(2026, 11, 1), date(2026, 11, 30))),
    ],
    ids=["first run", "same month", "turn", "months standing still", "zone in an earlier month", "zone changed"],
)
def test_months_to_look_at(month: str, time_zone: str, today: date, expected: tuple[date, date] | None) -> None:
    """All days from the first of the earlier month to the last of the later one; none where nothing turned."""
    assert expected == plan_months(DispatchState(month=month, time_zone=time_zone), today, "UTC")


def test_ten_minutes_are_one_slot() -> None:
    """Times of the same ten minutes share a slot, which the next ten minutes do not."""
    slots = {plan_slot(AT + timedelta(minutes=minutes)) for minutes in range(20)}
    assert 2 == len(slots)
