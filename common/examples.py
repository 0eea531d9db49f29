"""Owns how the examples of the description are made: of fields named beside the routes, and those of nested Structs.

An example that does not fit its type is an error here, at the time the description is made. Knows no function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

Known = Mapping[Any, Mapping[str, Any]]
_CONTAINERS: Final = (msgspec.inspect.ListType, msgspec.inspect.SetType, msgspec.inspect.VarTupleType)


def body_example(kind: Any, known: Known) -> Any:
    """A body as a client might send it: the fields named for it and no others. Raises LookupError, ValidationError."""
    example = {_encoded_names(kind)[name]: value for name, value in known[kind].items()}
    msgspec.convert(example, kind)
    return example


def answer_example(kind: Any, known: Known) -> Any:
    """An answer, complete as all are. Raises LookupError, ValidationError."""
    return msgspec.to_builtins(msgspec.convert(_composed(kind, known), kind))


def _composed(kind: Any, known: Known) -> dict[str, Any]:
    """The fields named for the Struct or those it is made of, examples of nested Structs, and for the rest defaults."""
    named: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        named |= known.get(base, {})
    example: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        nested = _nested(msgspec.inspect.type_info(field.type))
        if field.name in named:
            # Dataclasses, too: only those made by themselves have all their fields.
            example[field.encode_name] = msgspec.to_builtins(named[field.name])
        elif nested is not None:
            struct, is_list = nested
            example[field.encode_name] = [_composed(struct, known)] if is_list else _composed(struct, known)
        elif field.required:
            raise LookupError(f"no example of {kind.__name__}.{field.name}")
    return example


def _nested(info: msgspec.inspect.Type) -> tuple[Any, bool] | None:
    """The Struct that stands in a field, and whether in a list; None where there is none."""
    if isinstance(info, msgspec.inspect.StructType):
        return info.cls, False
    if isinstance(info, _CONTAINERS):
        inner = _nested(info.item_type)
        return (inner[0], True) if inner else None
    if isinstance(info, msgspec.inspect.UnionType):
        found = [one for one in map(_nested, info.types) if one]
        return found[0] if found else None
    return None


def _encoded_names(kind: Any) -> dict[str, str]:
    return {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
