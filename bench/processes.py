"""Owns what the processes of a function use: CPU time and memory of a process group, from /proc."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(group: int) -> float:
    """CPU seconds, user's and system's, that the living processes of a group have used, with those they waited for."""
    return sum(sum(int(one) for one in fields[11:15]) for _, fields in _members(group)) / _TICKS_A_SECOND


def cpu_of(group: int, work: Callable[[], object]) -> float:
    """CPU seconds that a group uses while a piece of work is done."""
    before_s = cpu_s(group)
    work()
    return cpu_s(group) - before_s


def resident_mib(group: int) -> float:
    """What the processes of a group hold in memory, in MiB (``VmRSS``)."""
    return _sum_mib(group, "status", "VmRSS:")


def proportional_mib(group: int) -> float:
    """The same, with what processes share counted once (``Pss``)."""
    return _sum_mib(group, "smaps_rollup", "Pss:")


def _sum_mib(group: int, name: str, field: str) -> float:
    total_kib = 0
    for folder, _ in _members(group):
        try:
            lines = (folder / name).read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total_kib += next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
    return round(total_kib / 1024, 1)


def _members(group: int) -> Iterator[tuple[Path, list[str]]]:
    """Each process of the group: its folder, and the fields of its ``stat`` from the state on."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group:
            yield stat.parent, fields
