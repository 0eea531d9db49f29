"""The documents in memory, by name, by collection and by collection group, with sorted indexes made when first needed.

Knows nothing of requests. Callers hold ``lock`` around whatever must be seen as one.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Any, NamedTuple

from local.firestore import fields, names, values
from local.firestore.fields import FieldPath
from local.firestore.values import Key


class Scope(NamedTuple):
    """What a query looks at: one collection by its full name, or a whole collection group of a database."""

    path: str
    group: bool

    @property
    def collection_id(self) -> str:
        """The last id of the path."""
        return self.path.rpartition("/")[2]


class Document:
    """One stored document. Its message is never changed: a write stores another one."""

    __slots__ = ("_keys", "message", "name", "name_key", "version")

    def __init__(self, message: Any) -> None:
        self.message = message
        self.name: str = message.name
        self.name_key = names.sort_key(self.name)
        self.version: int = message.update_time.ToMicroseconds()
        self._keys: dict[FieldPath, Key | None] = {fields.NAME: (values.REFERENCE, self.name_key)}

    def key(self, path: FieldPath) -> Key | None:
        """The key of the field's value, or None where the document has no such field."""
        if path not in self._keys:
            value = fields.value_at(self.message.fields, path)
            self._keys[path] = None if value is None else values.sort_key(value)
        return self._keys[path]

    def elements(self, path: FieldPath) -> tuple[Key, ...]:
        """The keys of the elements of the array in the field; none if there is no array."""
        key = self.key(path)
        return key[1] if key is not None and key[0] == values.ARRAY else ()


class IndexName(NamedTuple):
    """One sorted index: of the field's values, or of the elements of its arrays."""

    path: FieldPath
    of_elements: bool = False


# The document last: two entries never agree in both key and name, so documents are never compared.
Entry = tuple[Key, tuple[str, ...], Document]


class _Members:
    """The documents of one scope and its indexes."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.indexes: dict[IndexName, list[Entry]] = {}

    def add(self, document: Document) -> None:
        self.documents[document.name] = document
        for name, entries in self.indexes.items():
            for key in _keys(document, name):
                insort(entries, (key, document.name_key, document), key=_place)

    def discard(self, document: Document) -> None:
        del self.documents[document.name]
        for name, entries in self.indexes.items():
            for key in _keys(document, name):
                del entries[bisect_left(entries, (key, document.name_key), key=_place)]

    def index(self, name: IndexName) -> list[Entry]:
        if name not in self.indexes:
            entries = [(key, doc.name_key, doc) for doc in self.documents.values() for key in _keys(doc, name)]
            entries.sort(key=_place)
            self.indexes[name] = entries
        return self.indexes[name]


class Documents:
    """All documents. Every method is to be called with ``lock`` held."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._by_name: dict[str, Document] = {}
        self._members: dict[Scope, _Members] = {}

    def __iter__(self) -> Iterator[Document]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Document | None:
        return self._by_name.get(name)

    def put(self, document: Document) -> None:
        self.remove(document.name)
        self._by_name[document.name] = document
        for scope in _scopes(document.name):
            self._members.setdefault(scope, _Members()).add(document)

    def remove(self, name: str) -> None:
        old = self._by_name.pop(name, None)
        if old is None:
            return
        for scope in _scopes(name):
            self._members[scope].discard(old)

    def clear(self) -> None:
        self._by_name.clear()
        self._members.clear()

    def members(self, scope: Scope) -> dict[str, Document]:
        """The scope's documents by name."""
        return self._members[scope].documents if scope in self._members else {}

    def index(self, scope: Scope, name: IndexName) -> list[Entry]:
        """The scope's sorted entries; to be read only."""
        return self._members[scope].index(name) if scope in self._members else []

    def collections_below(self, parent: str) -> set[str]:
        """Full names of the collections, with documents, that lie directly or deeper below a document or the root."""
        prefix = parent + "/"
        return {
            scope.path
            for scope, members in self._members.items()
            if not scope.group and members.documents and scope.path.startswith(prefix)
        }


def group_of(root: str, collection_id: str) -> Scope:
    """The scope of a collection group."""
    return Scope(f"{root}/{collection_id}", group=True)


def _scopes(name: str) -> tuple[Scope, Scope]:
    collection = Scope(names.collection_of(name), group=False)
    return collection, group_of(names.root_of(name), collection.collection_id)


def _keys(document: Document, index: IndexName) -> set[Key]:
    if index.of_elements:
        return set(document.elements(index.path))
    key = document.key(index.path)
    return set() if key is None else {key}


def _place(entry: Any) -> Any:
    return entry[:2]
