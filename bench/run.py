"""Measures every figure on this machine and writes the table: ``python -m bench.run`` (``--quick`` for small sizes).

Owns the order of the groups, the time they may take, and ``bench/results/latest.md`` and ``.json``.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Final

from bench import colleagues, cpu, days, latency, pushes, round_trips, startup, sweeping, units, warm_pages
from bench.figures import Figure, shown
from bench.results import RESULTS, machine, write
from bench.rig import Rig
from local.stack import Stack

GROUPS: Final[dict[str, Callable[[Rig], Iterator[Figure]]]] = {
    "units": units.measure,
    "round trips": round_trips.measure,
    "latency": latency.measure,
    "cpu": cpu.measure,
    "startup": startup.measure,
    "warm pages": warm_pages.measure,
    "colleagues": colleagues.measure,
    "pushes": pushes.measure,
    "sweeping": sweeping.measure,
    "days": days.measure,
}
_BUDGET_S: Final = 870
_QUICK_BUDGET_S: Final = 115


class _TimeIsUp(Exception):
    """The run has had its time; what was measured is written."""


class Run:
    """One run: group after group on one stack, until all are done or the time is up."""

    def __init__(self, *, quick: bool, say: Callable[[str], None]) -> None:
        self._quick = quick
        self._say = say
        self._began_s = time.monotonic()
        self.figures: list[Figure] = []
        self.missing: list[str] = []

    def measure(self, groups: Sequence[str]) -> None:
        """Measures the groups; those for which no time was left are ``missing``."""
        self.missing = list(groups)
        budget_s = _QUICK_BUDGET_S if self._quick else _BUDGET_S
        signal.signal(signal.SIGALRM, _give_up)
        signal.alarm(budget_s)
        try:
            with Stack() as stack:
                for name in groups:
                    self._measure_group(name, Rig(stack, self._quick, self._say))
        except _TimeIsUp:
            self._say(f"{budget_s} seconds are over; not measured: {', '.join(self.missing)}")
        finally:
            signal.alarm(0)

    def _measure_group(self, name: str, rig: Rig) -> None:
        self._say(f"{time.monotonic() - self._began_s:4.0f} s  {name}")
        rig.stack.reset()
        try:
            for figure in GROUPS[name](rig):
                self.figures.append(figure)
                self._say(f"        {_line(figure)}")
        finally:
            rig.stop_processes()
        self.missing.remove(name)

    @property
    def took_s(self) -> float:
        return time.monotonic() - self._began_s


def _give_up(_signal: int, _frame: FrameType | None) -> None:
    raise _TimeIsUp


def _line(figure: Figure) -> str:
    met = {True: "meets", False: "MISSES", None: ""}[figure.meets]
    return f"{figure.figure}: {shown(figure.value):g} {figure.unit} {figure.goal and f'(goal {figure.goal})'} {met}"


def as_table(figures: Sequence[Figure]) -> str:
    """The figures as a table of Markdown."""
    rows = ["| figure | value | goal | meets | spread | beside |", "|---|---|---|---|---|---|"]
    for one in figures:
        met = {True: "yes", False: "**no**", None: ""}[one.meets]
        spread = f"{shown(one.spread[0]):g} to {shown(one.spread[1]):g}" if one.spread else ""
        rows.append(
            f"| {one.figure} | {shown(one.value):g} {one.unit} | {one.goal} | {met} | {spread} | {one.baseline} |"
        )
    return "\n".join(rows)


def main() -> int:
    """Runs it and writes the results; 1 where a figure is missing, not where it misses its goal: the table says so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, in less than two minutes")
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="these groups alone; writes nothing")
    given = parser.parse_args()
    run = Run(quick=given.quick, say=lambda line: print(line, flush=True))
    run.measure(given.only or list(GROUPS))
    print(f"\n{as_table(run.figures)}\n")
    if not given.only:
        _write(run, quick=given.quick)
    return 1 if run.missing else 0


def _write(run: Run, *, quick: bool) -> None:
    about: dict[str, Any] = machine() | {"quick": quick, "seconds": round(run.took_s), "missing": run.missing}
    size = "a quick run, small sizes" if quick else "a full run"
    how = f"{size}, {run.took_s:.0f} seconds. Ratios, medians and quartiles are of this run alone."
    text = f"{how}\n\n{as_table(run.figures)}"
    if run.missing:
        text += f"\n\nNo time was left for: {', '.join(run.missing)}."
    write("latest", "What it takes", {"about": about, "figures": [one.as_json() for one in run.figures]}, text)
    print(f"written: {RESULTS / 'latest.md'}")


if __name__ == "__main__":
    sys.exit(main())
