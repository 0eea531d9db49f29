"""Runs chaos: histories by seeds, and of one that fails the shortest part that still does. ``make chaos SEEDS=…``.

Owns the search for that part (delta debugging: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing
input", 2002).
"""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from local.stack import Stack
from tests.chaos.events import Dice, Event
from tests.chaos.world import World
from tests.integration.webhook_rig import Receiver, hooked

LENGTH = 40
# So long the shortest history is searched for.
_SHRINK_S = 300.0


def play(stack: Stack, receiver: Receiver, events: Sequence[Event]) -> list[str]:
    """What is wrong after the events; stops at the first that shows something. A crash of the run is wrong, too."""
    try:
        world = World(stack, receiver)
        for event in events:
            world.play(event)
            if world.wrong:
                break
    except Exception:  # noqa: BLE001  (whatever it is, its history is to be found)
        return [traceback.format_exc(limit=-4)]
    return world.wrong


def shortest(events: Sequence[Event], fails: Callable[[Sequence[Event]], bool]) -> list[Event]:
    """A part of the events that still fails, of which no single one can be left out (as far as ``fails`` is sure)."""
    left, pieces = list(events), 2
    while len(left) >= 2:
        size = max(1, -(-len(left) // pieces))
        parts = [left[start : start + size] for start in range(0, len(left), size)]
        for index in range(len(parts) - 1, -1, -1):
            rest = [event for number, part in enumerate(parts) if number != index for event in part]
            if rest and fails(rest):
                left, pieces = rest, max(pieces - 1, 2)
                break
        else:
            if size == 1:
                break
            pieces = min(len(left), pieces * 2)
    return left


def report(stack: Stack, receiver: Receiver, seed: int, *, shrink_s: float = _SHRINK_S, length: int = LENGTH) -> str:
    """Empty where the seed's run is as it must be; else what is wrong, and the shortest history that shows it."""
    events = Dice(seed).history(length)
    wrong = play(stack, receiver, events)
    if not wrong:
        return ""
    ends_s = time.monotonic() + shrink_s

    def fails(part: Sequence[Event]) -> bool:
        if time.monotonic() > ends_s:
            return False
        return bool(play(stack, receiver, [*part, *([] if part[-1].kind == "peace" else [Event("peace")])]))

    found = shortest(events, fails)
    told = "\n".join(f"    {event}," for event in found)
    return f"seed {seed}:\n  " + "\n  ".join(wrong) + f"\nthe shortest history found that fails:\n[\n{told}\n]"


def parse_seeds(text: str) -> list[int]:
    """``100`` is the seeds 0 to 99, ``7,8,9`` these, ``7,`` the one."""
    return [int(one) for one in text.split(",") if one] if "," in text else list(range(int(text)))


def main(seeds: Sequence[int]) -> int:
    """How many of the seeds fail; each is printed as it ends."""
    failures = 0
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory, hooked(Path(directory)) as (stack, receiver):
        for seed in seeds:
            started_s = time.monotonic()
            told = report(stack, receiver, seed)
            failures += bool(told)
            told = told or f"seed {seed}: as it must be, {time.monotonic() - started_s:.0f} s"
            sys.stdout.write(f"{told}\n")
            sys.stdout.flush()
    return failures


if __name__ == "__main__":
    sys.exit(min(main(parse_seeds(sys.argv[1] if len(sys.argv) > 1 else "20")), 100))
