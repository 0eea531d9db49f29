"""The rules by which a query is served from indexes, and the reader of the project's list of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from google.cloud.firestore_v1 import FieldFilter, Or

from local.firestore.errors import FirestoreError
from local.firestore.indexes import IndexList
from local.firestore.plans import parse_query

ROOT = "projects/local-project/databases/(default)/documents"
DB = firestore.Client(project="local-project", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Loads a list from these entries."""

    def loaded(*indexes: dict[str, Any], overrides: tuple[dict[str, Any], ...] = ()) -> IndexList:
        path = tmp_path / "indexes.json"
        path.write_text(json.dumps({"indexes": list(indexes), "fieldOverrides": list(overrides)}))
        return IndexList.load(path)

    return loaded


def _composite(*fields: str, scope: str = "COLLECTION") -> dict[str, Any]:
    """An index of ``c``: ``+name`` ascending, ``-name`` descending, ``*name`` by array element."""
    written = {"+": {"order": "ASCENDING"}, "-": {"order": "DESCENDING"}, "*": {"arrayConfig": "CONTAINS"}}
    return {
        "collectionGroup": "c",
        "queryScope": scope,
        "fields": [{"fieldPath": one[1:]} | written[one[0]] for one in fields],
    }


def _override(path: str, *modes: str, scope: str = "COLLECTION") -> dict[str, Any]:
    entries = [
        ({"arrayConfig": mode} if mode == "CONTAINS" else {"order": mode}) | {"queryScope": scope} for mode in modes
    ]
    return {"collectionGroup": "c", "fieldPath": path, "indexes": entries}


def _query(*conditions: tuple[str, str, Any], order: tuple[str, ...] = (), group: bool = False) -> Any:
    query: Any = DB.collection_group("c") if group else DB.collection("c").select(["a"])
    for condition in conditions:
        query = query.where(filter=FieldFilter(*condition))
    for one in order:
        query = query.order_by(one.lstrip("-"), direction="DESCENDING" if one.startswith("-") else "ASCENDING")
    return query


def _served(indexes: IndexList, query: Any) -> bool:
    try:
        for needs in parse_query(ROOT, query._to_protobuf()._pb).needs():
            indexes.verify_served(needs)
    except FirestoreError as error:
        if error.code == grpc.StatusCode.FAILED_PRECONDITION:
            return False
        raise
    return True


A, B, C = ("a", "==", 1), ("b", "==", 2), ("tags", "array_contains", "x")


@pytest.mark.parametrize(
    "query",
    [
        _query(), _query(A), _query(A, B), _query(A, B, C), _query(("a", "in", [1, 2]), B), _query(("a", ">", 1)),
        _query(("a", "!=", 1)), _query(("a", "not-in", [1])), _query(order=("a",)), _query(order=("-a",)),
        _query(("a", ">", 1), order=("-a",)), _query(A, order=("a",)), _query(A, order=("-__name__",)),
        _query(("a", "==", None)), _query(("m.deep", "==", 1)), _query(group=True), _query(order=("__name__",)),
        _query().where(filter=Or([FieldFilter(*A), FieldFilter(*B)])),
    ],
)  # fmt: skip
def test_automatic_indexes_serve(load: Any, query: Any) -> None:
    """In a collection, equalities merge, and one field is bounded or ordered, without any declared index."""
    assert _served(load(), query)


@pytest.mark.parametrize(
    "query",
    [
        _query(A, order=("b",)), _query(A, ("b", ">", 1)), _query(C, order=("b",)), _query(order=("a", "b")),
        _query(("a", ">", 1), ("b", ">", 1)), _query(("a", ">", 1), order=("b",)), _query(order=("-__name__",)),
        _query(("a", ">", 1), order=("a", "-__name__")), _query(A, group=True), _query(C, group=True),
        _query(order=("a",), group=True), _query(A, ("b", "!=", 1)),
        _query().where(filter=Or([FieldFilter(*A), FieldFilter(*B)])).order_by("d"),
    ],
)  # fmt: skip
def test_without_a_declared_index_other_queries_are_refused(load: Any, query: Any) -> None:
    """Several fields with an order, and any field of a collection group, need a declared index."""
    assert not _served(load(), query)


@pytest.mark.parametrize(
    ("index", "query", "expected"),
    [
        (_composite("+a", "+b"), _query(A, order=("b",)), True),
        (_composite("-a", "+b"), _query(A, order=("b",)), True),
        (_composite("+a", "+b"), _query(A, ("b", ">", 1)), True),
        (_composite("+a", "+b"), _query(A, order=("-b",)), False),
        (_composite("+a", "+b", "+d"), _query(A, order=("b",)), False),
        (_composite("+a", "+b", "+d"), _query(A, B, order=("d",)), True),
        (_composite("+a", "+d"), _query(A, B, order=("d",)), False),
        (_composite("+b", "+a"), _query(("a", ">", 1), order=("b",)), True),
        (_composite("+a", "+b"), _query(("a", ">", 1), order=("b",)), False),
        (_composite("*tags", "-b"), _query(C, order=("-b",)), True),
        (_composite("+tags", "-b"), _query(C, order=("-b",)), False),
        (_composite("+a", "+b", scope="COLLECTION_GROUP"), _query(A, order=("b",)), False),
        (_composite("+a", "+b", scope="COLLECTION_GROUP"), _query(A, order=("b",), group=True), True),
        (_composite("+a", "+b"), _query(A, order=("b",), group=True), False),
        (_composite("+a", "-__name__"), _query(("a", ">", 1), order=("a", "-__name__")), True),
    ],
)
def test_a_composite_index_serves_its_own_queries(load: Any, index: Any, query: Any, expected: bool) -> None:
    """Equalities come first, in any order and direction; then exactly the query's orders, as directed, in its scope."""
    assert _served(load(index), query) == expected


def test_composite_indexes_of_the_same_order_merge(load: Any) -> None:
    """Two indexes that end in the same order serve the equalities of both."""
    indexes = load(_composite("+a", "+d"), _composite("+b", "+d"))
    assert _served(indexes, _query(A, B, order=("d",)))
    assert not _served(indexes, _query(A, B, order=("-d",)))


def test_collection_groups_are_served_by_overrides(load: Any) -> None:
    """An override for the group's scope serves filters there, and takes the collection's own indexes away."""
    indexes = load(overrides=(_override("a", "ASCENDING", scope="COLLECTION_GROUP"),))
    assert _served(indexes, _query(A, group=True))
    assert _served(indexes, _query(order=("a",), group=True))
    assert not _served(indexes, _query(order=("-a",), group=True))
    assert not _served(indexes, _query(A))


def test_exemptions_hold_for_what_is_below(load: Any) -> None:
    """A field without indexes refuses filters, its subfields too unless they have their own; ``*`` is for the rest."""
    indexes = load(overrides=(_override("m"), _override("m.kept", "ASCENDING")))
    assert not _served(indexes, _query(("m", "==", {})))
    assert not _served(indexes, _query(("m.deep", "==", 1)))
    assert _served(indexes, _query(("m.kept", "==", 1)))
    assert not _served(load(overrides=(_override("*"),)), _query(A))


def test_an_exempted_field_may_be_part_of_a_composite_index(load: Any) -> None:
    """What has no index of its own is found by a composite index that holds it."""
    assert _served(load(_composite("+a", "+b"), overrides=(_override("a"),)), _query(A, B))
    assert not _served(load(_composite("+a", "+b"), overrides=(_override("a"),)), _query(A))


def test_the_refusal_names_what_to_declare(load: Any) -> None:
    """The text holds the entry for the file; declared as it stands, it serves the query."""
    query = _query(A, C, order=("-b",))
    with pytest.raises(FirestoreError) as refusal:
        load().verify_served(parse_query(ROOT, query._to_protobuf()._pb).needs()[0])
    assert _served(load(json.loads(refusal.value.message.partition(": ")[2])), query)


def test_the_refusal_names_the_override_to_declare(load: Any) -> None:
    """For one field of a collection group, the entry is an override."""
    query = _query(C, group=True)
    with pytest.raises(FirestoreError) as refusal:
        load().verify_served(parse_query(ROOT, query._to_protobuf()._pb).needs()[0])
    assert _served(load(overrides=(json.loads(refusal.value.message.partition(": ")[2]),)), query)


@pytest.mark.parametrize(
    ("indexes", "overrides"),
    [
        ([_composite("+a")], []), ([_composite("+a", "+b"), _composite("+a", "+b")], []),
        ([_composite("*a", "*b")], []), ([_composite("+a", "+a")], []), ([_composite("+a", "+b", scope="ALL")], []),
        ([_composite("+a", "+b") | {"unknown": 1}], []), ([], [_override("a"), _override("a")]),
        ([], [{"collectionGroup": "c", "fieldPath": "a", "ttl": True}]), ([], [_override("a", "SIDEWAYS")]),
        ([], [_override("a") | {"ttl": "yes"}]),
    ],
)  # fmt: skip
def test_lists_that_firestore_would_not_take(
    load: Any, indexes: list[dict[str, Any]], overrides: list[dict[str, Any]]
) -> None:
    """An index of one field, duplicates, two arrays, unknown keys, scopes or orders raise ValueError."""
    with pytest.raises(ValueError, match=r"."):
        load(*indexes, overrides=tuple(overrides))
