"""Owns the figures of one proxied read at load: its CPU over the floor's, saturation, and waiting at half of that.

The floor is a bare function on the framework that makes the same upstream calls by the same client libraries.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Final

from bench.figures import Figure, median, percentile, ratio
from bench.load import Target, keep_rate, repeat, saturate
from bench.processes import cpu_of
from bench.rig import Rig, interleaved
from local.functions import FunctionProcess

_WARM_UP: Final = 60
_LATENCY_S: Final = 0.06
# One answer of Firestore, one of Gmail, one after the other.
_UPSTREAM_S: Final = 2 * _LATENCY_S


def measure(rig: Rig) -> Iterator[Figure]:
    """CPU first, near Google; then as many as go, near and at 60 ms; then half as many, and how long they wait."""
    rig.connected()
    mail_id = rig.fill("anna", 1)[0]
    upstream = rig.start_upstream()
    proxy, floor = rig.start_proxy(upstream), rig.start_floor("anna", upstream)
    token = rig.stack.token("anna")
    read = Target(proxy.port, f"/messages/{mail_id}", {"Authorization": f"Bearer {token}"})
    bare = Target(floor.port, f"/{mail_id}")
    for target in (read, bare):
        repeat(target, _WARM_UP)
    yield _cpu(rig, (proxy, read), (floor, bare))
    seconds = rig.size(4, 2)
    near = interleaved(rig.size(5, 2), lambda: saturate(read, seconds), lambda: saturate(bare, seconds))
    yield ratio("saturation rate over the floor's", near, "> 0.8", "/s")
    upstream.set_latency(_LATENCY_S)
    far = interleaved(rig.size(3, 1), lambda: saturate(read, seconds), lambda: saturate(bare, seconds))
    yield ratio("saturation rate over the floor's, at 60 ms upstream", far, "> 0.8", "/s")
    yield _waiting(rig, read, statistics.median(one for one, _ in far) / 2)


def _cpu(rig: Rig, own: tuple[FunctionProcess, Target], base: tuple[FunctionProcess, Target]) -> Figure:
    count = rig.size(150, 60)

    def used_ms(process: FunctionProcess, target: Target) -> float:
        return cpu_of(process.pid, lambda: repeat(target, count)) / count * 1000

    pairs = interleaved(rig.size(9, 5), lambda: used_ms(*own), lambda: used_ms(*base))
    return ratio("CPU of a proxied read over its floor's", pairs, "< 1.25")


def _waiting(rig: Rig, read: Target, rate: float) -> Figure:
    found = []
    for _ in range(rig.size(5, 2)):
        took_s = keep_rate(read, rate, rig.size(8, 5))
        found.append(percentile(took_s, 0.99) / _UPSTREAM_S)
    beside = f"{_UPSTREAM_S * 1000:.0f} ms upstream, {rate:.0f}/s, open loop"
    return median("p99 over upstream latency at half the saturation rate", found, "x", "< 2", beside)
