"""Many due users at once: none is lost, each is swept once, and users with nothing to do cost a dispatch nothing."""

from __future__ import annotations

import pytest

from bench.dispatch import cost_of_dispatch
from bench.volume import Volume
from local.stack import Stack

pytestmark = pytest.mark.integration


def test_many_due_users_are_swept_once_each(stack: Stack) -> None:
    """Of 200 users due at once each gets one task, one sweep and one move; 54 units each, as the design says."""
    figures = Volume(stack, 200, print).run()
    assert (0, 200, {1: 200}, 54.0) == (
        figures.lost,
        figures.swept_once,
        figures.tasks_a_user,
        figures.gmail_units_a_user,
    )


def test_dispatch_costs_what_is_due(stack: Stack) -> None:
    """With 20 users due a dispatch costs among 2,000 connected users what it costs among 30."""
    few = cost_of_dispatch(stack, 10, due=20)
    stack.reset()
    many = cost_of_dispatch(stack, 1980, due=20)
    assert (few, 20) == (many, many.tasks)
