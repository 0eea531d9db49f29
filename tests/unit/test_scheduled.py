"""When a mail for later may be due, and when it is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from common import clock
from common.errors import Problem, RateLimited, ReauthRequired, Unavailable, Unprocessable
from common.scheduled import plan_next_try, verify_time

DUE = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def test_time_is_kept_in_utc() -> None:
    """A time of any zone is taken, and kept as UTC."""
    ahead = (clock.now() + HOUR).astimezone(timezone(timedelta(hours=5)))

    assert (ahead, UTC) == (verify_time(ahead), verify_time(ahead).tzinfo)


@pytest.mark.parametrize("distance", [-DAY, timedelta(0), timedelta(days=367)])
def test_time_must_lie_ahead(distance: timedelta) -> None:
    """What is past, or more than a year ahead, is refused."""
    with pytest.raises(Unprocessable):
        verify_time(clock.now() + distance)


def test_time_needs_a_zone() -> None:
    """A time without a zone could mean anything."""
    with pytest.raises(Unprocessable):
        verify_time((clock.now() + HOUR).replace(tzinfo=None))


@pytest.mark.parametrize(
    ("attempt", "pause"), [(0, MINUTE), (1, 2 * MINUTE), (5, 32 * MINUTE), (6, HOUR), (1000, HOUR)]
)
def test_pauses_grow(attempt: int, pause: timedelta) -> None:
    """Between tries it waits twice as long each time, an hour at most."""
    assert DUE + pause == plan_next_try(Unavailable(), attempt, DUE, DUE)


@pytest.mark.parametrize(("hint", "pause"), [(10 * HOUR, 10 * HOUR), (timedelta(seconds=5), MINUTE)])
def test_gmails_hint_is_kept(hint: timedelta, pause: timedelta) -> None:
    """It waits at least as long as Gmail says."""
    assert DUE + pause == plan_next_try(RateLimited(retry_at=DUE + hint), 0, DUE, DUE)


@pytest.mark.parametrize(
    ("problem", "late"), [(ReauthRequired(), timedelta(0)), (Unprocessable(), timedelta(0)), (Unavailable(), 27 * HOUR)]
)
def test_what_does_not_pass_has_failed(problem: Problem, late: timedelta) -> None:
    """What only a person can mend, or has lasted for more than a day, is not tried again."""
    assert plan_next_try(problem, 3, DUE, DUE + late) is None
