"""Owns the figures of dispatch and sweeps: rates, CPU, memory, and that a dispatch costs what is due."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from bench.crowd import Crowd
from bench.dispatch import call_dispatch, cost_of_dispatch
from bench.figures import Figure, median
from bench.processes import cpu_s
from bench.rig import Rig
from bench.volume import Volume

_DUE: Final = 50
_MANY: Final = 2000
# A run's share of the whole; what is not swept by then is left, and the figures are of what was.
_SWEEPING_S: Final = 330.0


def measure(rig: Rig) -> Iterator[Figure]:
    """The cost of a dispatch, its rate, and a crowd swept to its end."""
    yield from _costs(rig)
    yield from _own_rate(rig)
    yield from _volume(rig)


def _costs(rig: Rig) -> Iterator[Figure]:
    costs = {}
    for users in (100, rig.size(10_000, 1_000), rig.size(100_000, 5_000)):
        rig.stack.reset()
        costs[users] = cost_of_dispatch(rig.stack, users - _DUE, _DUE)
    for users, cost in list(costs.items())[1:]:
        name = f"dispatch of {_DUE} due among {users:,} users costs what it does among 100 (1 is yes)"
        beside = f"{cost.firestore_calls} calls, {cost.documents_read} reads, {cost.tasks} tasks"
        yield Figure(name, float(cost == costs[100]), "", "= 1", beside)


def _own_rate(rig: Rig) -> Iterator[Figure]:
    rates = []
    for _ in range(rig.size(5, 2)):
        rig.stack.reset()
        count = rig.size(_MANY, 1000)
        Crowd(rig.stack).add_due(count)
        rig.stack.google.tasks.pause()
        started_s = time.perf_counter()
        call_dispatch(rig.stack)
        rates.append(count / (time.perf_counter() - started_s))
        rig.stack.google.tasks.clear()
        rig.stack.google.tasks.resume()
    yield median("dispatch's own rate, users a second", rates, "/s", "> 500")


def _volume(rig: Rig) -> Iterator[Figure]:
    rig.stack.reset()
    users = rig.size(10_000, 200)
    group = rig.stack.functions["label_sweep"].pid
    volume = Volume(rig.stack, users, lambda line: rig.say(f"        {line}"))
    before_s = cpu_s(group)
    figures = volume.run(_SWEEPING_S, settle=False)
    used_s = cpu_s(group) - before_s
    swept = users - figures.left
    rate = "due users a second through dispatch and sweep"
    yield Figure(rate, swept / figures.sweeping_s, "/s", baseline="the queue gives 50 at most")
    yield Figure("CPU of label_sweep a swept user", used_s / max(1, swept) * 1000, "ms")
    wrong = figures.lost + swept - figures.swept_once
    yield Figure("due users lost, or swept twice", wrong, "users", "= 0", f"{swept} swept")
    first, last = (figures.resident_mib[at] for at in (min(1000, swept), swept))
    name = f"memory of label_sweep after {swept:,} swept users over that after {min(1000, swept):,}"
    yield Figure(name, last / first, "x", "< 1.05", f"{last} against {first} MiB")
