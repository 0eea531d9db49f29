"""Owns how many of the repeated pages are warm on four instances behind one front, and what a cold one costs there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench.figures import Figure, median
from bench.rig import PAGE, SEARCH, Rig, wall_ms
from local import environment
from local.front import Route
from local.ledger import units

INSTANCES: Final = 4
# A page stays in memory for five minutes: someone who comes back to it asks so often within them.
_AGAIN: Final = 15
_EVERY_S: Final = 20
_COLD_UNITS: Final = 406


def measure(rig: Rig) -> Iterator[Figure]:
    """Three users who come back to the same page, every request to the next instance in turn."""
    stack = rig.connected()
    for user in ("ben", "carla"):
        stack.connect(user, features=("mail",))
    users = ("anna", "ben", "carla")
    for user in users:
        rig.fill(user, 20)
    first = stack.functions["mail_proxy"]
    others = [rig.start("mail_proxy", first.env) for _ in range(INSTANCES - 1)]
    stack.front.add(Route("mail_proxy", [one.url for one in (first, *others)], environment.INVOKERS.get("mail_proxy")))
    try:
        costs, cold_ms, warm_ms = _come_back(rig, users)
    finally:
        stack.front.add(Route("mail_proxy", [first.url], environment.INVOKERS.get("mail_proxy")))
    repeated = costs[len(users) :]
    share = sum(cost < _COLD_UNITS for cost in repeated) / len(repeated)
    what = f"warm pages among {len(repeated)} repeated, {INSTANCES} instances"
    yield Figure(f"{what}: share", share, "", baseline=f"{_AGAIN} times each, every {_EVERY_S} s, round robin")
    yield Figure(
        f"{what}: units of each on average", sum(repeated) / len(repeated), "units", baseline="7 warm, 406 cold"
    )
    yield median("cold page there", cold_ms, "ms", baseline=f"{median('', warm_ms, '').value:.0f} ms warm")


def _come_back(rig: Rig, users: tuple[str, ...]) -> tuple[list[int], list[float], list[float]]:
    costs: list[int] = []
    cold_ms: list[float] = []
    warm_ms: list[float] = []
    for _ in range(1 + _AGAIN):
        for user in users:
            mark = rig.stack.ledger.mark()
            took_ms = wall_ms(lambda user=user: rig.stack.ask(user, "POST", SEARCH, json=PAGE))  # type: ignore[misc]
            costs.append(units(rig.stack.ledger.since(mark, service="gmail")))
            (cold_ms if costs[-1] >= _COLD_UNITS else warm_ms).append(took_ms)
        rig.stack.advance(_EVERY_S)
    return costs, cold_ms, warm_ms
