"""Firestore values: their order across types, their limits, and their sizes.

The order is the server's (https://cloud.google.com/firestore/docs/concepts/data-types#value_type_ordering): a key is a
tuple that Python compares just so. Equal keys are equal values for filters, whichever type of number they are.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any, cast

from google.cloud.firestore_v1.types import document

from local.firestore import names
from local.firestore.errors import invalid, unimplemented

_Value: Any = document.Value.pb()
Key = tuple[Any, ...]

NULL: Key = (0,)
NAN: Key = (2,)
NUMBER, REFERENCE, ARRAY = 3, 7, 9

MAX_DOCUMENT_BYTES = 1024 * 1024
MAX_FIELD_BYTES = MAX_DOCUMENT_BYTES - 89
MAX_FIELD_NAME_BYTES = 1500
MAX_NESTING = 20

_DOCUMENT_OVERHEAD_BYTES = 32  # https://cloud.google.com/firestore/docs/storage-size
_NAME_OVERHEAD_BYTES = 16
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799  # the years 1 to 9999


def sort_key(value: Any) -> Key:
    """The key by which the value is ordered and compared."""
    kind = value.WhichOneof("value_type")
    match kind:
        case "null_value":
            return NULL
        case "boolean_value":
            return (1, value.boolean_value)
        case "integer_value":
            return (NUMBER, value.integer_value)
        case "double_value":
            return NAN if math.isnan(value.double_value) else (NUMBER, value.double_value)
        case "timestamp_value":
            return (4, value.timestamp_value.seconds, value.timestamp_value.nanos)
        case "string_value":
            return (5, value.string_value)
        case "bytes_value":
            return (6, value.bytes_value)
        case "reference_value":
            return (REFERENCE, names.sort_key(value.reference_value))
        case "geo_point_value":
            return (8, value.geo_point_value.latitude, value.geo_point_value.longitude)
        case "array_value":
            return (ARRAY, tuple(sort_key(element) for element in value.array_value.values))
        case "map_value":
            fields = value.map_value.fields
            return (10, tuple((name, sort_key(fields[name])) for name in sorted(fields)))
        case _:
            raise invalid(f"Cannot convert firestore.v1.Value with type {kind or 'unset'}.")


def normalise(value: Any, *, depth: int = 0, in_array: bool = False) -> None:
    """Cuts timestamps to microseconds, in place. Raises INVALID_ARGUMENT for what Firestore would not store."""
    match value.WhichOneof("value_type"):
        case None:
            raise invalid("Cannot convert firestore.v1.Value with type unset.")
        case "timestamp_value":
            _normalise_timestamp(value.timestamp_value)
        case "geo_point_value":
            _verify_geo_point(value.geo_point_value)
        case "reference_value":
            names.verify_document(value.reference_value)
        case "array_value":
            if in_array:
                raise invalid("Cannot convert an array value in an array value.")
            for element in value.array_value.values:
                normalise(element, depth=depth + 1, in_array=True)
        case "map_value":
            if depth >= MAX_NESTING:
                raise invalid("Property contains an invalid nested entity.")
            normalise_fields(value.map_value.fields, depth=depth + 1)
        case "string_value" | "bytes_value" if size(value) > MAX_FIELD_BYTES:
            raise invalid(f"The value of a property is longer than {MAX_FIELD_BYTES} bytes.")
        case "function_value" | "pipeline_value" | "field_reference_value" | "variable_reference_value":
            raise unimplemented("pipeline values")
        case _:
            pass


def normalise_fields(fields: Any, *, depth: int = 0) -> None:
    """The same for a whole map, and the rules for names of fields."""
    for name, value in fields.items():
        if name == "":
            raise invalid("field name is empty")
        if name == "__type__":
            raise unimplemented("vectors")
        if re.fullmatch(r"__.*__", name, re.DOTALL):
            raise invalid(f"field name {name} is reserved")
        if len(name.encode()) > MAX_FIELD_NAME_BYTES:
            raise invalid(f"field name is longer than {MAX_FIELD_NAME_BYTES} bytes")
        normalise(value, depth=depth)


def size(value: Any) -> int:
    """Bytes of the value as Firestore counts them."""
    match value.WhichOneof("value_type"):
        case "null_value" | "boolean_value":
            return 1
        case "string_value":
            return len(value.string_value.encode()) + 1
        case "bytes_value":
            return len(value.bytes_value)
        case "reference_value":
            return _name_size(value.reference_value)
        case "geo_point_value":
            return 16
        case "array_value":
            return sum(size(element) for element in value.array_value.values)
        case "map_value":
            return _fields_size(value.map_value.fields)
        case _:
            return 8


def verify_size(document: Any) -> None:
    """Raises INVALID_ARGUMENT for a document above 1 MiB."""
    total = _name_size(document.name) + _fields_size(document.fields) + _DOCUMENT_OVERHEAD_BYTES
    if total > MAX_DOCUMENT_BYTES:
        raise invalid(
            f"Document cannot be written because its size ({total:,} bytes) "
            f"exceeds the maximum allowed size of {MAX_DOCUMENT_BYTES:,} bytes."
        )


def to_plain(value: Any) -> Any:
    """The value as plain Python data; timestamps aware, references as paths, geo points as pairs."""
    kind = value.WhichOneof("value_type")
    match kind:
        case "null_value":
            return None
        case "timestamp_value":
            return value.timestamp_value.ToDatetime(tzinfo=UTC)
        case "reference_value":
            return names.path_of(value.reference_value)
        case "geo_point_value":
            return (value.geo_point_value.latitude, value.geo_point_value.longitude)
        case "array_value":
            return [to_plain(element) for element in value.array_value.values]
        case "map_value":
            return {name: to_plain(inner) for name, inner in value.map_value.fields.items()}
        case _:
            return getattr(value, cast("str", kind))


def from_plain(plain: Any) -> Any:
    """The value of plain Python data: what ``to_plain`` gives, but for references and geo points."""
    value = _Value()
    match plain:
        case None:
            value.null_value = 0
        case bool():
            value.boolean_value = plain
        case int():
            value.integer_value = plain
        case float():
            value.double_value = plain
        case str():
            value.string_value = plain
        case datetime():
            value.timestamp_value.FromDatetime(plain)
        case list():
            value.array_value.values.extend(from_plain(element) for element in plain)
            value.array_value.SetInParent()
        case dict():
            value.map_value.SetInParent()
            for name, inner in plain.items():
                value.map_value.fields[name].CopyFrom(from_plain(inner))
        case _:
            raise TypeError(f"no value of Firestore's: {type(plain).__name__}")
    return value


def _normalise_timestamp(timestamp: Any) -> None:
    if not _MIN_SECONDS <= timestamp.seconds <= _MAX_SECONDS or not 0 <= timestamp.nanos < 10**9:
        raise invalid("Timestamp is out of range.")
    timestamp.nanos -= timestamp.nanos % 1000


def _verify_geo_point(point: Any) -> None:
    if not (-90 <= point.latitude <= 90 and -180 <= point.longitude <= 180):
        raise invalid("Latitude or longitude is out of range.")


def _name_size(name: str) -> int:
    return sum(len(part.encode()) + 1 for part in names.path_of(name).split("/")) + _NAME_OVERHEAD_BYTES


def _fields_size(fields: Any) -> int:
    return sum(len(name.encode()) + 1 + size(value) for name, value in fields.items())
