"""Chaos: seeded histories of everything that may happen, each ending as an independent model says it must."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.chaos.events import Event
from tests.chaos.run import LENGTH, parse_seeds, report, shortest
from tests.integration.webhook_rig import Receiver, hooked

pytestmark = pytest.mark.integration

SEEDS = 20
# A failure is worth its shortest history, but no endless wait for it.
_SHRINK_S = 60.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Receiver]]:
    """A stack with a webhook for all seeds; each run empties it."""
    with hooked(tmp_path_factory.mktemp("chaos")) as started:
        yield started


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_the_end_is_as_it_must_be(running: tuple[Stack, Receiver], seed: int) -> None:
    """After any history, notices, labels, news and what is held are what the rules make of what was done."""
    told = report(*running, seed, shrink_s=_SHRINK_S, length=LENGTH)

    assert "" == told, told


def test_the_shortest_history_that_fails_is_found() -> None:
    """Of a hundred events of which two together fail, just the two are left."""
    events = [Event("advance", {"seconds": number}) for number in range(100)]
    culprits = [events[17], events[83]]

    found = shortest(events, lambda part: all(one in part for one in culprits))

    assert culprits == found


def test_a_printed_event_is_python_that_makes_it_again() -> None:
    """What a failure prints replays, events within events too."""
    hand = Event("hand", {"box": "anna", "mail": "m1", "move": "archive"})
    event = Event("sweep", {"between": [hand], "rush": False})

    assert event == eval(str(event))


@pytest.mark.parametrize(("text", "seeds"), [("3", [0, 1, 2]), ("7,8,9", [7, 8, 9]), ("7,", [7])])
def test_seeds_are_a_number_of_them_or_a_list(text: str, seeds: list[int]) -> None:
    """A bare number says how many seeds, a comma which."""
    assert seeds == parse_seeds(text)
