"""Names of databases, documents and collections: their parts and Firestore's rules for them."""

from __future__ import annotations

import functools
import re

import grpc

from local.firestore.errors import FirestoreError, invalid

MAX_ID_BYTES = 1500  # https://cloud.google.com/firestore/quotas, as all limits of this package
MAX_NAME_BYTES = 6 * 1024
MAX_DEPTH = 100

_DATABASE = re.compile(r"projects/[^/]+/databases/([^/]+)")
_ROOT_SEGMENTS = 5  # projects, P, databases, D, documents


def verify_database(name: str) -> None:
    """Raises NOT_FOUND for a database other than the default one, INVALID_ARGUMENT for what is no name of one."""
    match = _DATABASE.fullmatch(name)
    if match is None:
        raise invalid(f'Invalid database name "{name}".')
    if match[1] != "(default)":
        raise FirestoreError(grpc.StatusCode.NOT_FOUND, f'The database "{match[1]}" does not exist.')


@functools.lru_cache(maxsize=100_000)
def verify_document(name: str) -> None:
    """Raises INVALID_ARGUMENT unless this is a document's full name that keeps to the limits."""
    ids = _ids(name)
    if not ids or len(ids) % 2:
        raise invalid(f'Document name "{name}" has no even number of ids.')
    _verify_ids(name, ids)


@functools.lru_cache(maxsize=10_000)
def verify_parent(name: str) -> None:
    """Raises INVALID_ARGUMENT unless this is the root of documents, or a document's full name."""
    if _ids(name):
        verify_document(name)


@functools.lru_cache(maxsize=1_000)
def verify_collection_id(collection_id: str) -> None:
    """Raises INVALID_ARGUMENT for an id that Firestore does not allow."""
    if not collection_id:
        raise invalid("The collection id is empty.")
    _verify_ids(collection_id, (collection_id,))


def root_of(name: str) -> str:
    """``projects/P/databases/D/documents`` of any name below it."""
    return "/".join(name.split("/", _ROOT_SEGMENTS)[:_ROOT_SEGMENTS])


def database_of(name: str) -> str:
    """``projects/P/databases/D`` of any name below it."""
    return root_of(name).removesuffix("/documents")


def path_of(name: str) -> str:
    """The document's path below the root, as people write it."""
    return name.split("/", _ROOT_SEGMENTS)[-1]


def collection_of(name: str) -> str:
    """The full name of the collection that holds the document."""
    return name.rpartition("/")[0]


def sort_key(name: str) -> tuple[str, ...]:
    """What names are ordered by: segment by segment."""
    return tuple(name.split("/"))


def _ids(name: str) -> tuple[str, ...]:
    segments = name.split("/")
    if len(segments) < _ROOT_SEGMENTS or segments[4] != "documents":
        raise invalid(f'Invalid document name "{name}".')
    verify_database("/".join(segments[:4]))
    return tuple(segments[_ROOT_SEGMENTS:])


def _verify_ids(name: str, ids: tuple[str, ...]) -> None:
    if len(ids) > 2 * MAX_DEPTH or len(name.encode()) > MAX_NAME_BYTES:
        raise invalid("The name is too long or too deep.")
    for part in ids:
        if part in ("", ".", "..") or "/" in part:
            raise invalid(f'Name "{name}" contains a resource id "{part}".')
        if re.fullmatch(r"__.*__", part, re.DOTALL):
            raise invalid(f'Resource id "{part}" is invalid because it is reserved.')
        if len(part.encode()) > MAX_ID_BYTES:
            raise invalid(f"The key path element name is longer than {MAX_ID_BYTES} bytes.")
