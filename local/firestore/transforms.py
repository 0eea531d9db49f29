"""Field transforms: server timestamps, increments, extremes, and sets kept in arrays.

The rules are those of google.firestore.v1.DocumentTransform.FieldTransform.
"""

from __future__ import annotations

import math
from typing import Any

from google.cloud.firestore_v1.types import document, write

from local.firestore import values
from local.firestore.errors import invalid
from local.firestore.fields import parse_path, set_field, value_at

_Value: Any = document.Value.pb()
_REQUEST_TIME = write.DocumentTransform.FieldTransform.ServerValue.REQUEST_TIME
_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1
_NUMERIC = ("integer_value", "double_value")


def transform(fields: Any, field_transform: Any, request_time: Any) -> Any:
    """Changes the field in place and returns the transform's result. Raises INVALID_ARGUMENT for a bad operand."""
    path = parse_path(field_transform.field_path)
    kind = field_transform.WhichOneof("transform_type")
    old = value_at(fields, path)
    match kind:
        case "set_to_server_value":
            new = _server_value(field_transform.set_to_server_value, request_time)
        case "increment" | "maximum" | "minimum":
            new = _calculated(kind, old, getattr(field_transform, kind))
        case "append_missing_elements":
            new = _appended(old, field_transform.append_missing_elements.values)
        case "remove_all_from_array":
            new = _removed(old, field_transform.remove_all_from_array.values)
        case _:
            raise invalid("A field transform has no type.")
    set_field(fields, path, new)
    return _Value(null_value=0) if new.WhichOneof("value_type") == "array_value" else new


def _server_value(kind: int, request_time: Any) -> Any:
    if kind != _REQUEST_TIME:
        raise invalid("Unknown server value.")
    value = _Value(timestamp_value=request_time)
    value.timestamp_value.nanos -= value.timestamp_value.nanos % 1_000_000  # documented: millisecond precision
    return value


def _calculated(kind: str, old: Any, operand: Any) -> Any:
    if operand.WhichOneof("value_type") not in _NUMERIC:
        raise invalid(f"The operand of {kind} must be a number.")
    if old is None or old.WhichOneof("value_type") not in _NUMERIC:
        return operand
    if kind == "increment":
        return _sum(old, operand)
    # NaN is the least of numbers in the order of values, yet wins every maximum and minimum.
    for candidate in (old, operand):
        if values.sort_key(candidate) == values.NAN:
            return candidate
    first, second = values.sort_key(old), values.sort_key(operand)
    wins = second > first if kind == "maximum" else second < first
    return operand if wins else old


def _sum(old: Any, operand: Any) -> Any:
    left, right = _number(old), _number(operand)
    if isinstance(left, int) and isinstance(right, int):
        return _Value(integer_value=max(_MIN_INT, min(_MAX_INT, left + right)))
    try:
        return _Value(double_value=float(left) + float(right))
    except OverflowError:
        return _Value(double_value=math.inf)


def _number(value: Any) -> int | float:
    return value.integer_value if value.WhichOneof("value_type") == "integer_value" else value.double_value  # type: ignore[no-any-return]


def _appended(old: Any, elements: Any) -> Any:
    new = _Value()
    new.array_value.values.extend(_elements(old))
    present = {values.sort_key(element) for element in new.array_value.values}
    for element in elements:
        values.normalise(element, in_array=True)
        key = values.sort_key(element)
        if key not in present:
            present.add(key)
            new.array_value.values.append(element)
    new.array_value.SetInParent()
    return new


def _removed(old: Any, elements: Any) -> Any:
    gone = {values.sort_key(element) for element in elements}
    new = _Value()
    new.array_value.values.extend(element for element in _elements(old) if values.sort_key(element) not in gone)
    new.array_value.SetInParent()
    return new


def _elements(old: Any) -> Any:
    return old.array_value.values if old is not None and old.WhichOneof("value_type") == "array_value" else ()
