"""Owns the figures of pushes: how many a core takes through ingest, and what stale ones cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench.figures import Figure, median, quartiles
from bench.processes import cpu_of
from bench.rig import MIA, Rig
from local import environment

_BATCH: Final = 25
_STALE: Final = 1000


def measure(rig: Rig) -> Iterator[Figure]:
    """Pushes of one new mail each, then one push again and again."""
    stack = rig.sorted()
    group = stack.functions["magnet_ingest"].pid
    rates = []
    for _ in range(rig.size(8, 3)):
        rates.append(_BATCH / cpu_of(group, lambda: _arrive(rig, _BATCH)))
    yield median("pushes of a new mail each, a second and core", rates, "/s")
    last = rig.pubsub.messages(environment.TOPIC)[-1].message_id
    count = rig.size(_STALE, 200)
    used_s = 0.0

    def push_again() -> None:
        nonlocal used_s
        used_s = cpu_of(group, lambda: _redeliver(rig, last, count))

    calls = rig.gmail_calls(push_again)
    yield Figure(f"calls to Gmail for {count:,} stale pushes", len(calls), "calls", "= 0")
    yield Figure("stale pushes a second and core", count / used_s, "/s", spread=quartiles([count / used_s]))


def _arrive(rig: Rig, count: int) -> None:
    for _ in range(count):
        rig.stack.mail("anna", MIA)
        rig.stack.settle()


def _redeliver(rig: Rig, message_id: str, count: int) -> None:
    rig.pubsub.redeliver(message_id, times=count)
    rig.stack.settle(120)
