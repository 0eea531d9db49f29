"""Owns how records of one type are read and written: by key, by page, with preconditions. Knows no collection by name.

Expired records are never returned, except where a method says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from common.keys import encode_id
from common.lazy import firestore, lazy_module
from common.store import codec
from common.store.batch import CALL_TIMEOUT_S, Batch, Lost, Versioned, Write, as_version, is_expired, read_retry

if TYPE_CHECKING:
    from google.cloud.firestore_v1 import base_query
else:
    base_query = lazy_module("google.cloud.firestore_v1.base_query")

T = TypeVar("T")

NAME: Final = "__name__"
# Firestore takes at most 30 values in one "in" or "array-contains-any" (Firestore, query limitations).
PIECE: Final = 30
_DELETE_PAGE: Final = 300
_LEAST_PAGE: Final = 50


@cache
def _transforms() -> tuple[type, ...]:
    return (
        firestore.Increment,
        firestore.ArrayUnion,
        firestore.ArrayRemove,
        firestore.Maximum,
        firestore.Minimum,
    )


def pieces(values: Iterable[str]) -> Iterator[list[str]]:
    """The distinct values in pieces that one query takes."""
    distinct = sorted(set(values))
    for start in range(0, len(distinct), PIECE):
        yield distinct[start : start + PIECE]


def where(query: Any, name: str, operator: str, value: Any) -> Any:
    """The query narrowed by one filter."""
    return query.where(filter=base_query.FieldFilter(name, operator, value))


class Collection(Generic[T]):
    """The records of one type; subclasses say how a key becomes a document."""

    def __init__(self, client: firestore.Client, name: str, kind: type[T]) -> None:
        self._client = client
        self._name = name
        self._kind = kind
        self._expires = "expires_at" in codec.stored_fields(kind)

    def reference(self, *key: str) -> firestore.DocumentReference:
        """The document of the record with this key."""
        raise NotImplementedError

    def _encode(self, value: T) -> dict[str, Any]:
        return codec.encode(value)

    def load(self, *key: str) -> Versioned[T] | None:
        """The record, or None if there is none."""
        snapshot = self.reference(*key).get(retry=read_retry(), timeout=CALL_TIMEOUT_S)
        return self.parse(snapshot)

    def update(self, versioned: Versioned[T], batch: Batch | None = None, **changes: Any) -> Versioned[T]:
        """Writes these fields, if the record is still the one read; else raises Lost.

        A record that was never stored (version None) is created whole. Returns the record as written.
        """
        written = Versioned(replace(versioned.value, **changes), None, versioned.path)  # type: ignore[type-var]
        reference = self._client.document(versioned.path)
        if versioned.version is None:
            self._write(Write("create", reference, self._encode(written.value), None, self._expires, written), batch)
            return written
        stored = self._encode(written.value)
        names = set(changes) | codec.derived_fields(self._kind) | (stored.keys() & {"updated_at"})
        data = {name: stored[name] for name in names}
        self._write(Write("update", reference, data, versioned.version, result=written), batch)
        return written

    def replace(self, versioned: Versioned[T], value: T, batch: Batch | None = None) -> Versioned[T]:
        """Writes all fields of ``value``, if the record is still the one read; else raises Lost."""
        names = (entry.name for entry in fields(value))  # type: ignore[arg-type]
        return self.update(versioned, batch, **{name: getattr(value, name) for name in names})

    def patch(self, *key: str, version: datetime | None = None, batch: Batch | None = None, **changes: Any) -> None:
        """Writes these fields, whatever the rest is; raises Lost if there is no record. Takes Firestore's transforms.

        With a version: if the record is still of it, else raises Lost. Not for types with derived fields, which need
        the whole record.
        """
        data = {
            name: value if isinstance(value, _transforms()) else codec.encode_field(self._kind, name, value)
            for name, value in changes.items()
        }
        self._write(Write("update", self.reference(*key), data, version), batch)

    def delete(self, *key: str, version: Any = None, batch: Batch | None = None) -> None:
        """Deletes the record, if it is still of ``version``; else raises Lost. Without a version: if it is there."""
        self._write(Write("delete", self.reference(*key), {}, version), batch)

    def _create(self, reference: firestore.DocumentReference, value: T, batch: Batch | None) -> Versioned[T]:
        written = Versioned(value, None, reference.path)
        self._write(Write("create", reference, self._encode(value), None, self._expires, written), batch)
        return written

    def _save(self, reference: firestore.DocumentReference, value: T, batch: Batch | None) -> Versioned[T]:
        written = Versioned(value, None, reference.path)
        self._write(Write("set", reference, self._encode(value), result=written), batch)
        return written

    def _write(self, write: Write, batch: Batch | None) -> None:
        if batch is not None:
            batch.add(write)
            return
        with Batch(self._client) as own:
            own.add(write)

    def parse(self, snapshot: Any, *, include_expired: bool = False) -> Versioned[T] | None:
        """The record that a document holds, or None if it does not exist or its time is over."""
        if not snapshot.exists:
            return None
        stored = snapshot.to_dict()
        if not include_expired and is_expired(stored):
            return None
        return Versioned(codec.decode(self._kind, stored), as_version(snapshot.update_time), snapshot.reference.path)

    def _get_all(self, references: list[firestore.DocumentReference]) -> dict[str, Versioned[T]]:
        """The records by document path, in one round trip."""
        if not references:
            return {}
        snapshots = self._client.get_all(references, retry=read_retry(), timeout=CALL_TIMEOUT_S)
        parsed = ((snapshot.reference.path, self.parse(snapshot)) for snapshot in snapshots)
        return {path: record for path, record in parsed if record is not None}

    def _fetch(
        self, query: Any, limit: int, start_after: list[Any] | None = None, *, include_expired: bool = False
    ) -> list[Versioned[T]]:
        """Up to ``limit`` records of an ordered query; fewer only at its end, since expired ones are read past."""
        found: list[Versioned[T]] = []
        cursor: Any = start_after
        while len(found) < limit:
            size = min(limit, max(limit - len(found), _LEAST_PAGE))
            page = query.limit(size) if cursor is None else query.start_after(cursor).limit(size)
            snapshots = list(page.stream(retry=read_retry(), timeout=CALL_TIMEOUT_S))
            parsed = (self.parse(snapshot, include_expired=include_expired) for snapshot in snapshots)
            found.extend(record for record in parsed if record is not None)
            if len(snapshots) < size:
                break
            cursor = snapshots[-1]
        return found[:limit]

    def _delete_found(self, query: Any, limit: int) -> int:
        """Deletes up to ``limit`` documents of a query, page by page, and returns how many."""
        deleted = 0
        while deleted < limit:
            size = min(_DELETE_PAGE, limit - deleted)
            page = query.select([NAME]).limit(size).stream(retry=read_retry(), timeout=CALL_TIMEOUT_S)
            with Batch(self._client) as batch:
                for snapshot in page:
                    batch.add(Write("delete", snapshot.reference, {}))
                count = len(batch)
            deleted += count
            if count < size:
                break
        return deleted


class Records(Collection[T]):
    """A collection of its own. ``key`` names the fields that make a record's key; ids in names are encoded."""

    def __init__(self, client: firestore.Client, name: str, kind: type[T], key: Sequence[str]) -> None:
        super().__init__(client, name, kind)
        self._key = tuple(key)

    @property
    def _collection(self) -> firestore.CollectionReference:
        return self._client.collection(self._name)

    def reference(self, *key: str) -> firestore.DocumentReference:
        if len(key) != len(self._key):
            raise ValueError(f"{self._name} has a key of {len(self._key)} parts")
        return self._collection.document(":".join(encode_id(part) for part in key))

    def _reference_of(self, value: T) -> firestore.DocumentReference:
        return self.reference(*(getattr(value, name) for name in self._key))

    def id_of(self, value: T) -> str:
        """The record's id; for types whose key is one id."""
        (name,) = self._key
        return str(getattr(value, name))

    def create(self, value: T, batch: Batch | None = None) -> Versioned[T]:
        """Stores a record that must not exist yet, else raises Lost."""
        return self._create(self._reference_of(value), value, batch)

    def save(self, value: T, batch: Batch | None = None) -> Versioned[T]:
        """Stores a record over whatever is there."""
        return self._save(self._reference_of(value), value, batch)

    def load_many(self, ids: Iterable[str]) -> dict[str, Versioned[T]]:
        """The records with these ids, in one round trip; for types whose key is one id."""
        paths = {self.reference(one).path: one for one in ids}
        found = self._get_all([self._client.document(path) for path in paths])
        return {paths[path]: record for path, record in found.items()}

    def page(self, after: str = "", limit: int = 100) -> list[Versioned[T]]:
        """Records in the fixed order of their documents' names, from behind the one with the id ``after``."""
        start_after = [self.reference(after)] if after else None
        return self._fetch(self._collection.order_by(NAME), limit, start_after)


class Owned(Collection[T]):
    """Records below a user's connection. ``id_field`` names the field whose value is their id."""

    def __init__(self, client: firestore.Client, name: str, kind: type[T], id_field: str) -> None:
        super().__init__(client, name, kind)
        self._id_field = id_field

    def _collection(self, user_id: str) -> firestore.CollectionReference:
        return self._client.collection("connections", encode_id(user_id), self._name)

    def _document_id(self, record_id: str) -> str:
        return encode_id(record_id)

    def reference(self, *key: str) -> firestore.DocumentReference:
        user_id, record_id = key
        return self._collection(user_id).document(self._document_id(record_id))

    def create(self, user_id: str, value: T, batch: Batch | None = None) -> Versioned[T]:
        """Stores a record of the user that must not exist yet, else raises Lost."""
        return self._create(self.reference(user_id, getattr(value, self._id_field)), value, batch)

    def save(self, user_id: str, value: T, batch: Batch | None = None) -> Versioned[T]:
        """Stores a record of the user over whatever is there."""
        return self._save(self.reference(user_id, getattr(value, self._id_field)), value, batch)

    def load_many(self, user_id: str, ids: Iterable[str]) -> dict[str, Versioned[T]]:
        """The user's records with these ids, in one round trip."""
        paths = {self.reference(user_id, one).path: one for one in ids}
        found = self._get_all([self._client.document(path) for path in paths])
        return {paths[path]: record for path, record in found.items()}

    def all_of(self, user_id: str, *, after: str = "", limit: int = 1000) -> list[T]:
        """Everything of the user's, of whichever mailbox, from behind the record with the id ``after``."""
        start_after = [self.reference(user_id, after)] if after else None
        return [record.value for record in self._fetch(self._collection(user_id).order_by(NAME), limit, start_after)]

    def delete_all(self, user_id: str, *, limit: int = 1000) -> int:
        """Deletes up to ``limit`` records of the user and returns how many; below ``limit`` none is left."""
        return self._delete_found(self._collection(user_id), limit)

    def delete_foreign(self, user_id: str, mailbox_key: str, *, limit: int = 1000) -> int:
        """Deletes up to ``limit`` records of the user's that belong to another mailbox, and returns how many."""
        return self._delete_found(where(self._collection(user_id), "mailbox_key", "!=", mailbox_key), limit)


__all__ = ["NAME", "PIECE", "Batch", "Collection", "Lost", "Owned", "Records", "Versioned", "pieces", "where"]
