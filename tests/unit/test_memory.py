"""How many bytes of mail an instance holds at a time."""

from __future__ import annotations

import pytest

from common.errors import Unavailable
from common.memory import ByteBudget


def test_bytes_are_held_until_released() -> None:
    """What one request holds another cannot have, until it is given back; giving back twice is once."""
    budget = ByteBudget(100)
    first = budget.reserve(60)

    with pytest.raises(Unavailable):
        budget.reserve(50)
    first.release()
    first.release()

    assert 0 == budget.held_bytes
    budget.reserve(100)
    assert 100 == budget.held_bytes


def test_refusal_says_when_to_come_again() -> None:
    """A full instance answers 503 with a time, and holds nothing for the refused."""
    budget = ByteBudget(100)
    budget.reserve(100)

    with pytest.raises(Unavailable) as refused:
        budget.reserve(1)

    assert "instance-busy" == refused.value.code
    assert refused.value.retry_at is not None
    assert 100 == budget.held_bytes


def test_bigger_than_the_budget_goes_alone() -> None:
    """What is bigger than all of it is let through when nothing else is held."""
    budget = ByteBudget(100)

    with budget.reserve(1000), pytest.raises(Unavailable):
        budget.reserve(1)

    assert 0 == budget.held_bytes


def test_reservation_may_grow_and_shrink() -> None:
    """A reservation follows what is really held; one that cannot grow keeps what it has, and shrinks all the same."""
    budget = ByteBudget(100)
    first, second = budget.reserve(60), budget.reserve(30)

    with pytest.raises(Unavailable):
        second.resize(41)
    kept = budget.held_bytes
    second.resize(40)
    first.resize(10)

    assert (90, 50) == (kept, budget.held_bytes)
    second.resize(90)
    second.release()
    assert 10 == budget.held_bytes


def test_error_gives_the_bytes_back() -> None:
    """A block that fails holds nothing afterwards."""
    budget = ByteBudget(100)

    with pytest.raises(LookupError), budget.reserve(10):
        raise LookupError

    assert 0 == budget.held_bytes
