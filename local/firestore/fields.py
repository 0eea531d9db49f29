"""Field paths: Firestore's syntax for them, and reading, setting and removing what they point to.

A path is a tuple of names; ``NAME`` is the document's own name. Works on the ``fields`` map of a Document or MapValue.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from local.firestore.errors import invalid

FieldPath = tuple[str, ...]

NAME: FieldPath = ("__name__",)
MAX_PATH_BYTES = 1500

# https://cloud.google.com/firestore/docs/reference/rpc/google.firestore.v1#document, "fields"
_SEGMENT = re.compile(r"([a-zA-Z_][a-zA-Z_0-9]*)|`((?:[^`\\]|\\.)+)`", re.DOTALL)


@functools.lru_cache(maxsize=10_000)
def parse_path(text: str) -> FieldPath:
    """The path's names. Raises INVALID_ARGUMENT for what is no path, or longer than 1,500 bytes."""
    if len(text.encode()) > MAX_PATH_BYTES:
        raise invalid(f"The field path is longer than {MAX_PATH_BYTES} bytes.")
    names: list[str] = []
    position = 0
    while True:
        match = _SEGMENT.match(text, position)
        if match is None:
            raise invalid(f'Invalid property path "{text}".')
        names.append(match[1] or re.sub(r"\\(.)", r"\1", match[2], flags=re.DOTALL))
        position = match.end()
        if position == len(text):
            return tuple(names)
        if text[position] != ".":
            raise invalid(f'Invalid property path "{text}".')
        position += 1


def path_text(path: FieldPath) -> str:
    """The path as Firestore writes it, for messages."""
    return ".".join(name if re.fullmatch(r"[a-zA-Z_]\w*", name, re.ASCII) else f"`{name}`" for name in path)


def value_at(fields: Any, path: FieldPath) -> Any | None:
    """The value at the path, or None."""
    for depth, name in enumerate(path):
        if name not in fields:
            return None
        value = fields[name]
        if depth == len(path) - 1:
            return value
        if value.WhichOneof("value_type") != "map_value":
            return None
        fields = value.map_value.fields
    return None


def set_field(fields: Any, path: FieldPath, value: Any) -> None:
    """Puts the value at the path; whatever stands in the way of a map is replaced by one."""
    for name in path[:-1]:
        holder = fields[name]
        if holder.WhichOneof("value_type") != "map_value":
            holder.map_value.SetInParent()
        fields = holder.map_value.fields
    fields[path[-1]].CopyFrom(value)


def remove_field(fields: Any, path: FieldPath) -> None:
    """Takes the value at the path away, where there is one. The maps around it stay."""
    holder = value_at(fields, path[:-1]) if len(path) > 1 else None
    if holder is not None and holder.WhichOneof("value_type") == "map_value":
        fields = holder.map_value.fields
    elif len(path) > 1:
        return
    if path[-1] in fields:
        del fields[path[-1]]


def masked(fields: Any, target: Any, paths: tuple[FieldPath, ...]) -> None:
    """Copies what the paths name into the empty map ``target``."""
    for path in paths:
        value = value_at(fields, path)
        if value is not None:
            set_field(target, path, value)


def leaves(fields: Any, above: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    """Every field and, below maps, every subfield, maps included."""
    for name, value in fields.items():
        yield (*above, name), value
        if value.WhichOneof("value_type") == "map_value":
            yield from leaves(value.map_value.fields, (*above, name))
