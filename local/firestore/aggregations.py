"""count, sum and avg over a query's documents, by the rules of google.firestore.v1.StructuredAggregationQuery."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from google.cloud.firestore_v1.types import document

from local.firestore import values
from local.firestore.documents import Document
from local.firestore.errors import invalid
from local.firestore.fields import FieldPath, parse_path

_Value: Any = document.Value.pb()
MAX_AGGREGATIONS = 5
_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class Aggregation:
    """One named figure; ``path`` is None for a count, ``up_to`` its bound."""

    alias: str
    kind: str
    path: FieldPath | None
    up_to: int | None

    def value(self, found: list[Document]) -> Any:
        """The figure as a Firestore value."""
        if self.path is None:
            return _Value(integer_value=len(found[: self.up_to]))
        keys = [document.key(self.path) for document in found]
        numbers = [math.nan if key == values.NAN else key[1] for key in keys if key and key[0] in (2, values.NUMBER)]
        return _sum(numbers) if self.kind == "sum" else _average(numbers)


def parse_aggregations(raw: Any) -> tuple[Aggregation, ...]:
    """The aggregations asked for. Raises INVALID_ARGUMENT for none, more than five, or an alias used twice."""
    if not 1 <= len(raw) <= MAX_AGGREGATIONS:
        raise invalid(f"A query has 1 to {MAX_AGGREGATIONS} aggregations.")
    parsed: list[Aggregation] = []
    unnamed = 0
    for one in raw:
        unnamed += not one.alias
        parsed.append(_parse_one(one, one.alias or f"field_{unnamed}"))
    if len({one.alias for one in parsed}) != len(parsed):
        raise invalid("Aggregation aliases contain a duplicate.")
    return tuple(parsed)


def _parse_one(one: Any, alias: str) -> Aggregation:
    kind = one.WhichOneof("operator")
    if kind is None:
        raise invalid("An aggregation has no operator.")
    if kind == "count":
        return Aggregation(alias, kind, None, _up_to(one.count))
    return Aggregation(alias, kind, parse_path(getattr(one, kind).field.field_path), None)


def _up_to(count: Any) -> int | None:
    if not count.HasField("up_to"):
        return None
    if count.up_to.value <= 0:
        raise invalid("up_to must be positive")
    return int(count.up_to.value)


def _sum(numbers: list[int | float]) -> Any:
    # Documented: integers stay integers until they overflow.
    if all(isinstance(number, int) for number in numbers) and _MIN_INT <= sum(numbers) <= _MAX_INT:
        return _Value(integer_value=int(sum(numbers)))
    return _Value(double_value=_float_sum(numbers))


def _average(numbers: list[int | float]) -> Any:
    if not numbers:
        return _Value(null_value=0)
    return _Value(double_value=_float_sum(numbers) / len(numbers))


def _float_sum(numbers: list[int | float]) -> float:
    return sum(float(number) for number in numbers)
