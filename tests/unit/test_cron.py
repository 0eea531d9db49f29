"""The cron parser: fields, and the next run in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cron import parse_cron

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("line", "after", "expected"),
    [
        ("* * * * *", "2026-03-01T00:00:00Z", "2026-03-01T00:01:00Z"),
        ("* * * * *", "2026-03-01T00:00:59.999Z", "2026-03-01T00:01:00Z"),
        ("*/10 * * * *", "2026-03-01T00:09:59Z", "2026-03-01T00:10:00Z"),
        ("*/10 * * * *", "2026-03-01T00:10:00Z", "2026-03-01T00:20:00Z"),
        ("5/20 * * * *", "2026-03-01T00:26:00Z", "2026-03-01T00:45:00Z"),
        ("10-30/10 8 * * *", "2026-03-01T08:30:00Z", "2026-03-02T08:10:00Z"),
        ("0 3,15 * * *", "2026-03-01T03:00:00Z", "2026-03-01T15:00:00Z"),
        ("0 0 1 * *", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ("0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 29 2 *", "2097-01-01T00:00:00Z", "2104-02-29T00:00:00Z"),
        ("0 9 * * mon-fri", "2026-03-06T09:00:00Z", "2026-03-09T09:00:00Z"),
        ("0 9 * * 7", "2026-03-06T09:00:00Z", "2026-03-08T09:00:00Z"),
        ("0 0 * jan,JUL *", "2026-03-01T00:00:00Z", "2026-07-01T00:00:00Z"),
        # Where day and weekday are both restricted, either one suffices.
        ("0 0 13 * fri", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00Z"),
        ("0 0 13 * fri", "2026-04-10T00:00:00Z", "2026-04-13T00:00:00Z"),
    ],
)
def test_next_run(line: str, after: str, expected: str) -> None:
    """The next run is the first matching minute after the moment."""
    assert at(expected) == parse_cron(line).next_after(at(after), UTC_ZONE)


@pytest.mark.parametrize(
    ("line", "after", "expected"),
    [
        # Winter is UTC+1, summer UTC+2.
        ("0 3 * * *", "2026-01-10T00:00:00Z", "2026-01-10T02:00:00Z"),
        ("0 3 * * *", "2026-07-10T00:00:00Z", "2026-07-10T01:00:00Z"),
        # On 29 March 2026 the clocks jump from 02:00 to 03:00: 02:30 does not exist.
        ("30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"),
        # On 25 October 2026 02:30 comes twice.
        ("30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
        # The month begins by the zone's calendar.
        ("0 0 1 * *", "2026-03-30T12:00:00Z", "2026-03-31T22:00:00Z"),
    ],
)
def test_next_run_in_a_zone(line: str, after: str, expected: str) -> None:
    """The schedule is read in its time zone, through both changes of the clocks."""
    assert at(expected) == parse_cron(line).next_after(at(after), BERLIN)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "*/x * * * *",
        "5-1 * * * *",
        "-1 * * * *",
        "1, * * * *",
        "moonday * * * *",
        "every 10 minutes",
        "@daily",
    ],
)
def test_bad_lines_are_refused(line: str) -> None:
    """Anything but five valid fields raises ValueError."""
    with pytest.raises(ValueError, match=r"."):
        parse_cron(line)


def test_impossible_day_is_refused() -> None:
    """A day that never comes raises ValueError instead of searching for ever."""
    with pytest.raises(ValueError, match="never runs"):
        parse_cron("0 0 30 2 *").next_after(at("2026-01-01T00:00:00Z"), UTC_ZONE)


@given(
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    step=st.integers(1, 59),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/New_York"]),
)
def test_steps_run_within_the_hour(moment: datetime, step: int, zone: str) -> None:
    """A step of minutes runs after the moment, on a full minute that the step divides, within two hours."""
    run = parse_cron(f"*/{step} * * * *").next_after(moment, ZoneInfo(zone))
    local = run.astimezone(ZoneInfo(zone))

    assert run > moment
    assert (run - moment).total_seconds() <= 7200
    assert (0, 0, 0) == (local.minute % step, local.second, local.microsecond)
