"""When a mail whose answer was lost is looked for again, and when it is given up as unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from common.errors import Problem, RateLimited, ReauthRequired, Unavailable
from common.send_lookup import plan_next_look

HANDED_OVER = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_ten_minutes_of_looking() -> None:
    """A mail that is not there is looked for about every few minutes, and given up once ten have passed."""
    looks, at = [HANDED_OVER + timedelta(seconds=10)], None
    while (at := plan_next_look(None, len(looks), HANDED_OVER, looks[-1])) is not None:
        looks.append(at)

    assert [10, 30, 70, 150, 310, 630] == [(one - HANDED_OVER).total_seconds() for one in looks]


@pytest.mark.parametrize(
    ("failure", "age", "goes_on"),
    [
        (None, 9 * MINUTE, True),
        (None, 10 * MINUTE, False),
        (Unavailable(), 11 * MINUTE, True),
        (Unavailable(), timedelta(days=1), False),
        (ReauthRequired(), 9 * MINUTE, True),
        (ReauthRequired(), 11 * MINUTE, False),
    ],
)
def test_a_look_that_failed_proves_nothing(failure: Problem | None, age: timedelta, goes_on: bool) -> None:
    """While Gmail cannot be asked, a mail is not unknown; where nobody will be able to, it is."""
    assert goes_on == (plan_next_look(failure, 3, HANDED_OVER, HANDED_OVER + age) is not None)


def test_gmails_hint_is_kept() -> None:
    """A mailbox that asks to be left alone is."""
    until = HANDED_OVER + timedelta(hours=1)

    assert until == plan_next_look(RateLimited(retry_at=until), 1, HANDED_OVER, HANDED_OVER + MINUTE)
