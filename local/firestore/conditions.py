"""Filters of queries: from the wire into disjuncts of plain comparisons, and whether a document meets one.

The rules are those of google.firestore.v1.StructuredQuery: a comparison matches values of the operand's type only, and
no comparison but "is null" matches null.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

from google.cloud.firestore_v1.types import query

from local.firestore import values
from local.firestore.documents import Document
from local.firestore.errors import invalid, unimplemented
from local.firestore.fields import NAME, FieldPath, parse_path
from local.firestore.values import NAN, NULL, Key

MAX_DISJUNCTS = 30
MAX_FILTERS = 100
MAX_NOT_IN = 10
MAX_INEQUALITY_FIELDS = 10

EQUALITIES = frozenset({"EQUAL", "IN", "IS_NULL", "IS_NAN"})
CONTAINS = frozenset({"ARRAY_CONTAINS", "ARRAY_CONTAINS_ANY"})
RANGES = frozenset({"LESS_THAN", "LESS_THAN_OR_EQUAL", "GREATER_THAN", "GREATER_THAN_OR_EQUAL"})
_EXCLUSIONS = frozenset({"NOT_EQUAL", "NOT_IN", "IS_NOT_NULL", "IS_NOT_NAN"})
_MANY = frozenset({"IN", "ARRAY_CONTAINS_ANY"})

_FieldOperator = query.StructuredQuery.FieldFilter.Operator
_UnaryOperator = query.StructuredQuery.UnaryFilter.Operator
_CompositeOperator = query.StructuredQuery.CompositeFilter.Operator


@dataclass(frozen=True)
class Condition:
    """One comparison of a field with one key, or with several."""

    path: FieldPath
    operator: str
    keys: tuple[Key, ...] = ()

    @property
    def is_inequality(self) -> bool:
        return self.operator in RANGES or self.operator in _EXCLUSIONS

    def holds(self, document: Document) -> bool:
        """Whether the document has the field and the field compares so."""
        if self.operator in CONTAINS:
            return any(key in document.elements(self.path) for key in self.keys)
        key = document.key(self.path)
        return key is not None and self._compares(key)

    def _compares(self, key: Key) -> bool:
        match self.operator:
            case "EQUAL" | "IN" | "IS_NULL" | "IS_NAN":
                return key in self.keys
            case "IS_NOT_NULL":
                return key != NULL
            case "NOT_EQUAL" | "NOT_IN" | "IS_NOT_NAN":
                return key != NULL and NULL not in self.keys and key not in self.keys
        (bound,) = self.keys
        if key[0] != bound[0]:
            return False
        match self.operator:
            case "LESS_THAN":
                return key < bound
            case "LESS_THAN_OR_EQUAL":
                return key <= bound
            case "GREATER_THAN":
                return key > bound
            case _:
                return key >= bound


Conjunction = tuple[Condition, ...]


def parse_filter(raw: Any) -> tuple[Conjunction, ...]:
    """The filter as disjuncts of conjunctions; one empty conjunction for no filter. Raises INVALID_ARGUMENT."""
    disjuncts = _disjuncts(raw) if raw.WhichOneof("filter_type") else ((),)
    if sum(_normalised(conjunction) for conjunction in disjuncts) > MAX_DISJUNCTS:
        raise invalid(f"Too many disjunctions after normalization. The maximum is {MAX_DISJUNCTS}.")
    every = {condition for conjunction in disjuncts for condition in conjunction}
    if len(every) > MAX_FILTERS:
        raise invalid(f"A query has at most {MAX_FILTERS} filters.")
    _verify_exclusions(every, len(disjuncts))
    _verify_names(every)
    if len({condition.path for condition in every if condition.is_inequality}) > MAX_INEQUALITY_FIELDS:
        raise invalid(f"A query has inequalities on at most {MAX_INEQUALITY_FIELDS} fields.")
    if any(sum(one.operator in CONTAINS for one in conjunction) > 1 for conjunction in disjuncts):
        raise invalid("A maximum of 1 'ARRAY_CONTAINS' filter is allowed per disjunction.")
    return disjuncts


def _verify_names(every: Iterable[Condition]) -> None:
    unequal = {one.path for one in every if one.is_inequality}
    if unequal and NAME not in unequal and any(one.path == NAME for one in every):
        raise invalid("Equality on key is not allowed if there are other inequality fields.")


def _verify_exclusions(every: Iterable[Condition], disjuncts: int) -> None:
    exclusions = [one for one in every if one.operator in _EXCLUSIONS]
    if len(exclusions) > 1:
        raise invalid("Only a single 'NOT_EQUAL', 'NOT_IN', 'IS_NOT_NAN', or 'IS_NOT_NULL' filter allowed per query.")
    if any(one.operator == "NOT_IN" for one in exclusions) and (
        disjuncts > 1 or any(one.operator in _MANY for one in every)
    ):
        raise invalid("'NOT_IN' cannot be used in the same query with 'IN', 'ARRAY_CONTAINS_ANY' or 'OR'.")


def _disjuncts(raw: Any) -> tuple[Conjunction, ...]:
    match raw.WhichOneof("filter_type"):
        case "composite_filter":
            return _composite(raw.composite_filter)
        case "field_filter":
            return ((_field_condition(raw.field_filter),),)
        case "unary_filter":
            return ((_unary_condition(raw.unary_filter),),)
        case _:
            raise invalid("A filter has no type.")


def _composite(raw: Any) -> tuple[Conjunction, ...]:
    parts = [_disjuncts(part) for part in raw.filters]
    if not parts:
        raise invalid("A composite filter has no filters.")
    match _CompositeOperator(raw.op).name:
        case "OR":
            return tuple(conjunction for part in parts for conjunction in part)
        case "AND":
            _verify_product(parts)
            return tuple(tuple(one for part in choice for one in part) for choice in product(*parts))
        case _:
            raise invalid("A composite filter has no operator.")


def _verify_product(parts: list[tuple[Conjunction, ...]]) -> None:
    total = 1
    for part in parts:
        total *= len(part)
    if total > MAX_DISJUNCTS:
        raise invalid(f"Too many disjunctions after normalization. The maximum is {MAX_DISJUNCTS}.")


def _normalised(conjunction: Conjunction) -> int:
    count = 1
    for condition in conjunction:
        count *= max(1, len(condition.keys)) if condition.operator in _MANY else 1
    return count


def _field_condition(raw: Any) -> Condition:
    path, operator = parse_path(raw.field.field_path), _FieldOperator(raw.op).name
    if operator == "OPERATOR_UNSPECIFIED":
        raise invalid("A filter has no operator.")
    keys = _operands(operator, raw.value)
    if path == NAME:
        _verify_name_filter(operator, keys)
    if operator in _MANY:
        # Neither null nor NaN equals anything; only the unary filters find them.
        keys = tuple(key for key in keys if key not in (NULL, NAN))
    return Condition(path, operator, keys)


def _operands(operator: str, value: Any) -> tuple[Key, ...]:
    if operator not in ("IN", "NOT_IN", "ARRAY_CONTAINS_ANY"):
        values.normalise(value)
        return (values.sort_key(value),)
    if not value.array_value.values:
        raise invalid(f"'{operator}' requires an non-empty ArrayValue.")
    limit = MAX_NOT_IN if operator == "NOT_IN" else MAX_DISJUNCTS
    if len(value.array_value.values) > limit:
        raise invalid(f"'{operator}' supports up to {limit} comparison values.")
    for element in value.array_value.values:
        values.normalise(element)
    return tuple(values.sort_key(element) for element in value.array_value.values)


def _verify_name_filter(operator: str, keys: tuple[Key, ...]) -> None:
    if operator in CONTAINS:
        raise invalid("__name__ is no array.")
    if any(key[0] != values.REFERENCE for key in keys):
        raise invalid("__key__ filter value must be a Key")


def _unary_condition(raw: Any) -> Condition:
    path = parse_path(raw.field.field_path)
    if path == NAME:
        raise unimplemented("unary filters on names")
    match _UnaryOperator(raw.op).name:
        case "IS_NULL" | "IS_NOT_NULL" as operator:
            return Condition(path, operator, (NULL,) if operator == "IS_NULL" else ())
        case "IS_NAN" | "IS_NOT_NAN" as operator:
            return Condition(path, operator, (NAN,))
        case _:
            raise invalid("A filter has no operator.")
