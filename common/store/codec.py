"""Owns the form in which records are stored: dataclasses to plain Firestore values and back. Pure; no client library.

A field is stored under its own name. Exceptions, each with its reason, stand in ``_SPECIAL``; fields that exist only
to be queried in ``_DERIVED``. ``stored_fields`` lists all of them for the data manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from common.keys import decode_id, encode_id
from common.model import Contact, Mailbox, Move, Policy, SharingLevel, Sweep, Sync

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Codec:
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def encode(value: Any) -> dict[str, Any]:
    """All stored fields of a record."""
    kind = type(value)
    stored = {name: codec.encode(getattr(value, name)) for name, codec in _codecs(kind).items()}
    for name, derive in _DERIVED.get(kind, {}).items():
        stored[name] = derive(value)
    return stored


def encode_field(kind: type, name: str, value: Any) -> Any:
    """One field as it is stored. Raises KeyError for a name that ``kind`` does not have."""
    return _codecs(kind)[name].encode(value)


def decode(kind: type[T], stored: Mapping[str, Any]) -> T:
    """The record that ``stored`` holds; what it lacks takes its default, what it has besides is ignored.

    Raises TypeError where a field without a default is missing.
    """
    codecs = _codecs(kind)
    return kind(**{name: codecs[name].decode(value) for name, value in stored.items() if name in codecs})


def derived_fields(kind: type) -> frozenset[str]:
    """The names of the fields that exist only to be queried."""
    return frozenset(_DERIVED.get(kind, {}))


def stored_fields(kind: type) -> frozenset[str]:
    """The names of all fields that ``encode`` writes for ``kind``; those of nested records with a dot."""
    hints = get_type_hints(kind)
    names = set(derived_fields(kind))
    for entry in fields(kind):
        nested = _SPECIAL_NAMES.get((kind, entry.name)) or _nested_names(hints[entry.name])
        names.add(entry.name)
        names.update(f"{entry.name}.{inner}" for inner in nested)
    return frozenset(names)


def _nested_names(hint: Any) -> frozenset[str]:
    inner = [one for one in (hint, *get_args(hint)) if isinstance(one, type) and is_dataclass(one)]
    return stored_fields(inner[0]) if inner else frozenset()


def _codecs(kind: Any) -> dict[str, _Codec]:
    return _build_codecs(kind)


@cache
def _build_codecs(kind: Any) -> dict[str, _Codec]:
    hints = get_type_hints(kind)
    return {entry.name: _SPECIAL.get((kind, entry.name)) or _codec_of(hints[entry.name]) for entry in fields(kind)}


def _codec_of(hint: Any) -> _Codec:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _optional(_codec_of(next(one for one in arguments if one is not NoneType)))
    if origin in (tuple, frozenset):
        return _list(origin, _codec_of(arguments[0]))
    if origin is dict:
        return _map(_codec_of(arguments[1]))
    if is_dataclass(hint):
        kind: Any = hint
        return _Codec(encode, lambda stored: decode(kind, stored))
    return _scalar(hint)


def _scalar(kind: Any) -> _Codec:
    if issubclass(kind, Enum):
        return _Codec(lambda value: kind(value).value, kind)
    if kind is datetime:
        return _Codec(_encode_time, _decode_time)
    if kind is date:
        # As text, dates compare as they do as dates, and no time zone can move them.
        return _Codec(date.isoformat, date.fromisoformat)
    if kind not in (str, int, bool):
        raise TypeError(f"no stored form for {kind}")
    return _Codec(_same, _same)


def _same(value: Any) -> Any:
    return value


def _optional(inner: _Codec) -> _Codec:
    return _Codec(
        lambda value: None if value is None else inner.encode(value),
        lambda stored: None if stored is None else inner.decode(stored),
    )


def _list(kind: Any, inner: _Codec) -> _Codec:
    order = sorted if kind is frozenset else list
    return _Codec(
        lambda values: order(inner.encode(one) for one in values),
        lambda stored: kind(inner.decode(one) for one in stored),
    )


def _map(inner: _Codec) -> _Codec:
    return _Codec(
        lambda values: {key: inner.encode(one) for key, one in values.items()},
        lambda stored: {key: inner.decode(one) for key, one in stored.items()},
    )


def _encode_time(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time without a zone")
    return value.astimezone(UTC)


def _decode_time(stored: datetime) -> datetime:
    # Firestore's own class carries nanoseconds and compares differently; records hold plain times.
    return datetime.combine(stored.date(), stored.timetz()).astimezone(UTC)


def encode_milliseconds(value: datetime) -> int:
    """A time as whole milliseconds since 1970, rounded up."""
    return -((_EPOCH - value) // timedelta(milliseconds=1))


def _decode_milliseconds(stored: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=stored)


def _encode_moves(moves: tuple[Move, ...]) -> list[dict[str, Any]]:
    chunks: dict[tuple[str, str], list[str]] = {}
    for move in moves:
        chunks.setdefault((move.source, move.target), []).append(move.mail_id)
    return [{"source": source, "target": target, "mail_ids": ids} for (source, target), ids in chunks.items()]


def _decode_moves(stored: list[dict[str, Any]]) -> tuple[Move, ...]:
    return tuple(
        Move(mail_id=mail_id, source=chunk["source"], target=chunk["target"])
        for chunk in stored
        for mail_id in chunk["mail_ids"]
    )


_LEVELS: Final = _Codec(
    # Firestore reserves map keys such as __x__, and these are ids from outside.
    lambda levels: {encode_id(name): SharingLevel(level).value for name, level in levels.items()},
    lambda stored: {decode_id(name): SharingLevel(level) for name, level in stored.items()},
)

_SPECIAL: Final[dict[tuple[type, str], _Codec]] = {
    # A uint64 does not fit into Firestore's signed integers.
    (Sync, "cursor"): _Codec(str, int),
    # Firestore's maximum transform takes numbers only.
    (Mailbox, "retry_after"): _optional(_Codec(encode_milliseconds, _decode_milliseconds)),
    # A sweep moves thousands of mails: their ids stand once per source and target.
    (Sweep, "moves"): _Codec(_encode_moves, _decode_moves),
    (Policy, "sharing_by_user"): _LEVELS,
    (Policy, "sharing_by_role"): _LEVELS,
}
_SPECIAL_NAMES: Final[dict[tuple[type, str], frozenset[str]]] = {
    (Sweep, "moves"): frozenset({"source", "target", "mail_ids"})
}

_DERIVED: Final[dict[type, dict[str, Callable[[Any], Any]]]] = {
    # An array of maps cannot be searched by one field; a deleted contact is not found at all.
    Contact: {
        "address_index": lambda contact: (
            [] if contact.deleted else sorted({entry.address for entry in contact.addresses})
        )
    },
}
