"""Owns what a figure is: a value with goal and spread, and the arithmetic of medians and ratios. Measures nothing."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Spread = tuple[float, float]
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    ``goal`` is a comparison and a number (``< 2.0``), empty where the figure alone is wanted. ``baseline`` is what the
    value stands beside, measured in the same run, in the unit that its group names. ``spread`` is the lower and the
    upper quartile of the single measurements.
    """

    figure: str
    value: float
    unit: str
    goal: str = ""
    baseline: str = ""
    spread: Spread | None = None

    @property
    def meets(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if not self.goal:
            return None
        sign, _, number = self.goal.partition(" ")
        return _COMPARE[sign](self.value, float(number))

    def as_json(self) -> dict[str, Any]:
        """As it stands in ``latest.json``."""
        return {
            "figure": self.figure,
            "value": shown(self.value),
            "unit": self.unit,
            "goal": self.goal or None,
            "meets": self.meets,
            "baseline": self.baseline or None,
            "spread": [shown(one) for one in self.spread] if self.spread else None,
        }


def shown(value: float) -> float:
    """The value with three significant digits; whole numbers as they are."""
    return value if float(value).is_integer() else float(f"{value:.3g}")


def quartiles(values: Sequence[float]) -> Spread:
    """The lower and the upper quartile."""
    if len(values) < 2:
        return (values[0], values[0])
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return (lower, upper)


def median(figure: str, values: Sequence[float], unit: str, goal: str = "", baseline: str = "") -> Figure:
    """The median of repeated measurements."""
    return Figure(figure, statistics.median(values), unit, goal, baseline, quartiles(values))


def ratio(figure: str, pairs: Iterable[tuple[float, float]], goal: str = "", unit: str = "ms") -> Figure:
    """The median of ratios, each of a measurement and the baseline's beside it in time; ``unit`` is theirs."""
    own, base = zip(*pairs, strict=True)
    ratios = [one / other for one, other in zip(own, base, strict=True)]
    beside = f"{shown(statistics.median(own))} against {shown(statistics.median(base))} {unit}"
    return Figure(figure, statistics.median(ratios), "x", goal, beside, quartiles(ratios))


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that is not below ``share`` of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
