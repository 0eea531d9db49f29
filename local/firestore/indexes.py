"""The project's one list of indexes, and whether Firestore could serve a query from it.

Emulators serve every query; Firestore serves a query only from indexes
(https://firebase.google.com/docs/firestore/query-data/index-overview): for a collection each field has automatic ones,
ascending, descending and by array element, unless an override says otherwise; for a collection group there are only
declared ones; several fields need a composite index, except where equalities can be merged. The file has the shape of
Firebase's firestore.indexes.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from local.firestore.documents import Document, Scope
from local.firestore.errors import FirestoreError
from local.firestore.fields import NAME, FieldPath, leaves, parse_path, path_text

MAX_INDEX_ENTRIES = 40_000

ASCENDING, DESCENDING, CONTAINS = "ASCENDING", "DESCENDING", "CONTAINS"
_COLLECTION, _GROUP = "COLLECTION", "COLLECTION_GROUP"
_AUTOMATIC = frozenset((_COLLECTION, mode) for mode in (ASCENDING, DESCENDING, CONTAINS))


class IndexField(NamedTuple):
    """A field of an index and how it is held: ASCENDING, DESCENDING or CONTAINS (the elements of an array)."""

    path: FieldPath
    mode: str


@dataclass(frozen=True)
class Needs:
    """What one disjunct of a query needs of the indexes of its scope."""

    scope: Scope
    equal: frozenset[FieldPath]
    contains: frozenset[FieldPath]
    sort: tuple[IndexField, ...]  # what is ordered or bounded, the name last


@dataclass(frozen=True)
class _Index:
    collection_id: str
    query_scope: str
    fields: tuple[IndexField, ...]

    def serves(self, needs: Needs) -> frozenset[IndexField] | None:
        """The equalities that this index covers while it gives the order needed, or None."""
        split = len(self.fields) - len(needs.sort)
        if split < 0 or self.fields[split:] != needs.sort:
            return None
        covered = frozenset(_matching(one, needs) for one in self.fields[:split])
        return None if None in covered else frozenset(one for one in covered if one is not None)


@dataclass(frozen=True)
class IndexList:
    """Composite indexes and overrides of single fields, as declared."""

    composites: tuple[_Index, ...] = ()
    overrides: dict[tuple[str, FieldPath], frozenset[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | str) -> IndexList:
        """The list in the file. Raises ValueError, naming the entry, for what Firestore would not take."""
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
        _verify_keys(raw, {"indexes", "fieldOverrides"})
        composites = tuple(_parse_index(entry) for entry in raw.get("indexes", []))
        if len(set(composites)) != len(composites):
            raise ValueError("an index is declared twice")
        overrides = dict(_parse_override(entry) for entry in raw.get("fieldOverrides", []))
        if len(overrides) != len(raw.get("fieldOverrides", [])):
            raise ValueError("a field is overridden twice")
        return cls(composites, overrides)

    def verify_served(self, needs: Needs) -> None:
        """Raises FAILED_PRECONDITION, with the index to declare, if no index or merge of indexes serves the query."""
        wanted = {IndexField(path, ASCENDING) for path in needs.equal}
        wanted |= {IndexField(path, CONTAINS) for path in needs.contains}
        if not wanted and needs.sort == (IndexField(NAME, ASCENDING),):
            return
        served = [cover for index in self._indexes(needs) if (cover := index.serves(needs)) is not None]
        if not served or wanted - frozenset().union(*served):
            raise FirestoreError(grpc.StatusCode.FAILED_PRECONDITION, _missing(needs, wanted))

    def entry_count(self, document: Document) -> int:
        """How many index entries Firestore would hold for the document."""
        collection_id = document.name_key[-2]
        count = 0
        for path, value in leaves(document.message.fields):
            modes = self._modes(collection_id, path)
            elements = len(set(document.elements(path))) if value.WhichOneof("value_type") == "array_value" else 0
            count += sum(elements if mode == CONTAINS else 1 for _, mode in modes)
        return count + sum(
            _composite_entries(index, document) for index in self.composites if index.collection_id == collection_id
        )

    def _indexes(self, needs: Needs) -> Iterator[_Index]:
        collection_id, scope = needs.scope.collection_id, _GROUP if needs.scope.group else _COLLECTION
        paths = needs.equal | needs.contains | {one.path for one in needs.sort if one.path != NAME}
        for path in paths:
            for query_scope, mode in self._modes(collection_id, path):
                if query_scope == scope:
                    yield _Index(collection_id, scope, _with_name((IndexField(path, mode),)))
        for index in self.composites:
            if (index.collection_id, index.query_scope) == (collection_id, scope):
                yield index

    def _modes(self, collection_id: str, path: FieldPath) -> frozenset[tuple[str, str]]:
        # An override holds for the fields below it, and "*" for all that have none of their own.
        for length in range(len(path), 0, -1):
            if (collection_id, path[:length]) in self.overrides:
                return self.overrides[collection_id, path[:length]]
        return self.overrides.get((collection_id, ("*",)), _AUTOMATIC)


def _matching(one: IndexField, needs: Needs) -> IndexField | None:
    if one.mode == CONTAINS:
        return one if one.path in needs.contains else None
    # For an equality the direction does not matter.
    return IndexField(one.path, ASCENDING) if one.path in needs.equal else None


def _with_name(fields: tuple[IndexField, ...]) -> tuple[IndexField, ...]:
    """Every index ends with the document's name, in the direction of its last field."""
    if fields[-1].path == NAME:
        return fields
    return (*fields, IndexField(NAME, DESCENDING if fields[-1].mode == DESCENDING else ASCENDING))


def _composite_entries(index: _Index, document: Document) -> int:
    count = 1
    for one in index.fields:
        if document.key(one.path) is None:
            return 0
        if one.mode == CONTAINS:
            count *= len(set(document.elements(one.path)))
    return count


def _missing(needs: Needs, wanted: Iterable[IndexField]) -> str:
    fields = [*sorted(wanted, key=lambda one: (one.mode != CONTAINS, one)), *needs.sort]
    if fields[-1] == _with_name(tuple(fields[:-1]) or (fields[-1],))[-1] and len(fields) > 1:
        fields.pop()
    scope = _GROUP if needs.scope.group else _COLLECTION
    collection_id = needs.scope.collection_id
    if len(fields) == 1:
        entry: dict[str, Any] = {"collectionGroup": collection_id, "fieldPath": path_text(fields[0].path)}
        entry["indexes"] = [_written(fields[0].mode) | {"queryScope": scope}]
        return f'The query requires a field override in "fieldOverrides" of the list of indexes: {json.dumps(entry)}'
    entry = {"collectionGroup": collection_id, "queryScope": scope}
    entry["fields"] = [{"fieldPath": path_text(one.path)} | _written(one.mode) for one in fields]
    return f'The query requires an index in "indexes" of the list of indexes: {json.dumps(entry)}'


def _written(mode: str) -> dict[str, str]:
    return {"arrayConfig": mode} if mode == CONTAINS else {"order": mode}


def _parse_index(entry: dict[str, Any]) -> _Index:
    _verify_keys(entry, {"collectionGroup", "queryScope", "fields"})
    fields = tuple(_parse_field(one) for one in entry["fields"])
    if len([one for one in fields if one.path != NAME]) < 2 and NAME not in {one.path for one in fields}:
        raise ValueError(f"an index of one field belongs into fieldOverrides: {entry}")
    if sum(one.mode == CONTAINS for one in fields) > 1 or len({one.path for one in fields}) != len(fields):
        raise ValueError(f"an index may have one array and each field once: {entry}")
    return _Index(entry["collectionGroup"], _parse_scope(entry), _with_name(fields))


def _parse_override(entry: dict[str, Any]) -> tuple[tuple[str, FieldPath], frozenset[tuple[str, str]]]:
    _verify_keys(entry, {"collectionGroup", "fieldPath", "ttl", "indexes"})
    if "indexes" not in entry:
        raise ValueError(f"an override lists its indexes, be it none: {entry}")
    if not isinstance(entry.get("ttl", False), bool):
        raise ValueError(f"ttl is true or false: {entry}")  # noqa: TRY004 - the file is wrong, not the program
    path = ("*",) if entry["fieldPath"] == "*" else parse_path(entry["fieldPath"])
    modes = []
    for one in entry["indexes"]:
        _verify_keys(one, {"order", "arrayConfig", "queryScope"})
        modes.append((_parse_scope(one), _parse_mode(one)))
    return (entry["collectionGroup"], path), frozenset(modes)


def _parse_field(one: dict[str, Any]) -> IndexField:
    _verify_keys(one, {"fieldPath", "order", "arrayConfig"})
    return IndexField(parse_path(one["fieldPath"]), _parse_mode(one))


def _parse_mode(one: dict[str, Any]) -> str:
    mode = one.get("order") or one.get("arrayConfig")
    allowed = {ASCENDING, DESCENDING} if "order" in one else {CONTAINS}
    if mode not in allowed or ("order" in one and "arrayConfig" in one):
        raise ValueError(f"an index field is ordered ASCENDING or DESCENDING, or has arrayConfig CONTAINS: {one}")
    return str(mode)


def _parse_scope(one: dict[str, Any]) -> str:
    scope = one.get("queryScope")
    if scope not in (_COLLECTION, _GROUP):
        raise ValueError(f"queryScope is {_COLLECTION} or {_GROUP}: {one}")
    return str(scope)


def _verify_keys(entry: dict[str, Any], allowed: set[str]) -> None:
    if unknown := set(entry) - allowed:
        raise ValueError(f"unknown keys {sorted(unknown)} in the list of indexes: {entry}")
