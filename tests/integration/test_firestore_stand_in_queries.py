"""The contract of Firestore's queries, on the embedded one and on Google's emulator: both must agree on all of it.

Where the Cloud SDK is missing, the official half is skipped with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from google.cloud import firestore
from google.cloud.firestore_v1 import FieldFilter, Or
from google.cloud.firestore_v1.base_query import BaseCompositeFilter

from tests.integration.firestore_rig import Service, error_of, running

pytestmark = pytest.mark.integration

# What the queries below need; the emulator asks for none.
INDEXES = """
{"indexes": [
  {"collectionGroup": "things", "queryScope": "COLLECTION", "fields": [
    {"fieldPath": "kind", "order": "ASCENDING"}, {"fieldPath": "rank", "order": "ASCENDING"}]},
  {"collectionGroup": "things", "queryScope": "COLLECTION", "fields": [
    {"fieldPath": "kind", "order": "ASCENDING"}, {"fieldPath": "rank", "order": "DESCENDING"}]},
  {"collectionGroup": "things", "queryScope": "COLLECTION", "fields": [
    {"fieldPath": "tags", "arrayConfig": "CONTAINS"}, {"fieldPath": "rank", "order": "ASCENDING"}]},
  {"collectionGroup": "things", "queryScope": "COLLECTION", "fields": [
    {"fieldPath": "kind", "order": "ASCENDING"}, {"fieldPath": "label", "order": "ASCENDING"},
    {"fieldPath": "rank", "order": "ASCENDING"}]},
  {"collectionGroup": "things", "queryScope": "COLLECTION", "fields": [
    {"fieldPath": "label", "order": "ASCENDING"}, {"fieldPath": "rank", "order": "ASCENDING"}]},
  {"collectionGroup": "things", "queryScope": "COLLECTION", "fields": [
    {"fieldPath": "rank", "order": "ASCENDING"}, {"fieldPath": "label", "order": "ASCENDING"}]}],
 "fieldOverrides": [
  {"collectionGroup": "notes", "fieldPath": "text", "indexes": [
    {"order": "ASCENDING", "queryScope": "COLLECTION_GROUP"}]}]}
"""


@pytest.fixture(scope="module", params=["embedded", pytest.param("official", marks=pytest.mark.emulator)])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(request.param, tmp_path_factory.mktemp("firestore"), INDEXES) as one:
        yield one


@pytest.fixture
def db(service: Service) -> firestore.Client:
    """A client of an empty database."""
    service.empty()
    return service.client


@pytest.fixture
def things(db: firestore.Client) -> Any:
    """Six documents of two kinds."""
    rows: dict[str, dict[str, Any]] = {
        "a": {"kind": "x", "rank": 3, "label": "one", "tags": ["red", "blue"]},
        "b": {"kind": "x", "rank": 1, "label": "two", "tags": ["red"]},
        "c": {"kind": "y", "rank": 2, "label": "one", "tags": []},
        "d": {"kind": "y", "rank": 2, "label": "two", "more": {"deep": 5}},
        "e": {"kind": "x", "rank": None, "label": None},
        "f": {"kind": "z"},
    }
    collection = db.collection("things")
    batch = db.batch()
    for name, row in rows.items():
        batch.set(collection.document(name), row)
    batch.commit()
    return collection


def _ids(found: Any) -> list[str]:
    return [snapshot.id for snapshot in found.stream()]


def _where(base: Any, *conditions: tuple[str, str, Any]) -> Any:
    for condition in conditions:
        base = base.where(filter=FieldFilter(*condition))
    return base


def _any_of(*conditions: tuple[str, str, Any]) -> BaseCompositeFilter:
    return Or([FieldFilter(*condition) for condition in conditions])


def _mixed(db: firestore.Client) -> dict[str, Any]:
    """Values of every type, named in the order that Firestore gives them."""
    values = [
        None, False, True, math.nan, -math.inf, -1, 0.5, 1, datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, microsecond=1, tzinfo=UTC), "", "B", "a", "é", "\uffff", "😀", b"", b"a",
        db.document("c/x"), db.document("c/x/d/y"), firestore.GeoPoint(1, 2), firestore.GeoPoint(1, 3),
        [], [1], [1, 2], [2], {}, {"a": 1}, {"a": 1, "b": 0}, {"b": 0},
    ]  # fmt: skip
    return {f"{number:02}": value for number, value in enumerate(values)}


def test_values_are_ordered_across_types(db: firestore.Client) -> None:
    """Ordering by a field sorts all types as Firestore documents it, both ways, without who has no such field."""
    rows = _mixed(db)
    batch = db.batch()
    for name, value in rows.items():
        batch.set(db.collection("mixed").document(name), {"value": value})
    batch.set(db.collection("mixed").document("none"), {"other": 1})
    batch.commit()
    assert _ids(db.collection("mixed").order_by("value")) == list(rows)
    assert _ids(db.collection("mixed").order_by("value", direction="DESCENDING")) == list(reversed(rows))


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([("kind", "==", "x")], "abe"), ([("rank", "==", 2.0)], "cd"), ([("rank", "==", None)], "e"),
        ([("rank", "!=", None)], "bcda"), ([("rank", "!=", 2)], "ba"), ([("rank", "<", 3)], "bcd"),
        ([("rank", "<=", 2)], "bcd"), ([("rank", ">", 1)], "cda"), ([("rank", ">=", 2), ("rank", "<", 3)], "cd"),
        ([("rank", ">", "text")], ""), ([("kind", "in", ["y", "z"])], "cdf"), ([("rank", "in", [1, None])], "b"),
        ([("rank", "not-in", [1, 3])], "cd"), ([("rank", "not-in", [1, None])], ""),
        ([("tags", "array_contains", "red")], "ab"), ([("tags", "array_contains_any", ["blue", "green"])], "a"),
        ([("tags", "==", [])], "c"), ([("more.deep", "==", 5)], "d"), ([("more", "==", {"deep": 5})], "d"),
        ([("kind", "==", "x"), ("label", "==", "one")], "a"), ([("kind", "==", "x"), ("rank", ">", 0)], "ba"),
        ([("kind", "==", "x"), ("tags", "array_contains", "red")], "ab"),
        ([("kind", "in", ["x", "y"]), ("rank", ">=", 2)], "cda"),
        ([("rank", ">", 1), ("label", ">", "p")], "d"),
    ],
)  # fmt: skip
def test_filters(things: Any, conditions: list[tuple[str, str, Any]], expected: str) -> None:
    """Filters find what they say, in the order that they imply, of the operand's type, never null by comparison."""
    assert "".join(_ids(_where(things, *conditions))) == expected


def test_disjunctions(things: Any) -> None:
    """OR unites what its parts find, each document once, in one order."""
    either = things.where(filter=_any_of(("kind", "==", "z"), ("rank", "==", 2), ("label", "==", "one")))
    assert _ids(either) == ["a", "c", "d", "f"]
    ordered = things.where(filter=_any_of(("kind", "==", "x"), ("label", "==", "one"))).order_by("rank")
    assert _ids(ordered) == ["e", "b", "c", "a"]


def test_names_are_filtered_and_ordered(things: Any) -> None:
    """A document's name can be compared, and is the last order of every query."""
    assert _ids(_where(things, ("__name__", ">", things.document("d")))) == ["e", "f"]
    assert _ids(_where(things, ("__name__", "in", [things.document("f"), things.document("a")]))) == ["a", "f"]
    assert _ids(things.order_by("rank", direction="DESCENDING")) == ["a", "d", "c", "b", "e"]
    assert _ids(things.order_by("__name__").start_after({"__name__": things.document("c")}).limit(2)) == ["d", "e"]


def test_orders_combine(things: Any) -> None:
    """Several orders sort one after another; an equality's own order is no order."""
    assert _ids(_where(things, ("kind", "==", "x")).order_by("rank", direction="DESCENDING")) == ["a", "b", "e"]
    assert _ids(things.order_by("label").order_by("rank")) == ["e", "c", "a", "b", "d"]
    assert _ids(_where(things, ("kind", "==", "y")).order_by("kind")) == ["c", "d"]
    assert _ids(_where(things, ("kind", "==", "x")).order_by("label").order_by("rank")) == ["e", "a", "b"]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (lambda query: query.start_at({"rank": 2}), "cda"), (lambda query: query.start_after({"rank": 2}), "a"),
        (lambda query: query.end_at({"rank": 2}), "ebcd"), (lambda query: query.end_before({"rank": 2}), "eb"),
        (lambda query: query.start_at({"rank": "text"}), ""), (lambda query: query.limit(2), "eb"),
        (lambda query: query.offset(3).limit(5), "da"), (lambda query: query.limit(0), ""),
        (lambda query: query.limit_to_last(2).get(), "da"),
    ],
)  # fmt: skip
def test_pages(things: Any, page: Callable[[Any], Any], expected: str) -> None:
    """Cursors, limits and offsets cut the ordered answer where they say."""
    paged: Any = page(things.order_by("rank"))
    found: Iterable[Any] = paged if isinstance(paged, list) else paged.stream()
    assert "".join(one.id for one in found) == expected


@pytest.mark.parametrize("direction", ["ASCENDING", "DESCENDING"])
def test_paging_by_snapshot_misses_and_repeats_nothing(things: Any, direction: str) -> None:
    """Walking in pages of one, each starting after the last snapshot, sees every document once, ties included."""
    ordered = things.order_by("rank", direction=direction)
    walked: list[str] = []
    page = ordered.limit(1).get()
    while page:
        walked.append(page[0].id)
        page = ordered.start_after(page[0]).limit(1).get()
    assert walked == _ids(ordered)


def test_projections(things: Any) -> None:
    """select() returns the named fields alone, none for an empty list."""
    assert [one.to_dict() for one in things.order_by("rank").select(["rank", "none"]).limit(2).stream()] == [
        {"rank": None},
        {"rank": 1},
    ]
    assert [one.to_dict() for one in things.select([]).limit(1).stream()] == [{}]


@pytest.mark.parametrize(
    "conditions",
    [
        [("rank", "in", [])], [("rank", "in", list(range(31)))], [("rank", "not-in", list(range(11)))],
        [("tags", "array_contains", 1), ("tags", "array_contains", 2)], [("rank", "!=", 1), ("label", "!=", "x")],
        [("rank", "not-in", [1]), ("kind", "in", ["x"])], [("__name__", ">", "text")],
        [("rank", "in", [1, 2, 3, 4, 5, 6]), ("kind", "in", ["a", "b", "c", "d", "e", "f"])],
    ],
)  # fmt: skip
def test_queries_that_firestore_refuses(things: Any, conditions: list[tuple[str, str, Any]]) -> None:
    """Queries beyond Firestore's limits, or that combine what cannot be combined, raise InvalidArgument."""
    assert error_of(lambda: _ids(_where(things, *conditions))) == "InvalidArgument"


def test_collections_of_the_same_name_are_apart(db: firestore.Client) -> None:
    """A query sees one collection; a group query sees all of that name, ordered by path, deleted ones no more."""
    for path in ("users/a/notes/1", "users/b/notes/2", "users/b/notes/3", "notes/4"):
        db.document(path).set({"text": "same"})
    db.document("users/b/notes/3").delete()
    assert _ids(db.collection("users/b/notes")) == ["2"]
    group = db.collection_group("notes")
    assert [one.reference.path for one in group.stream()] == ["notes/4", "users/a/notes/1", "users/b/notes/2"]
    assert _ids(_where(group, ("text", "==", "same"))) == ["4", "1", "2"]


def test_queries_follow_writes(things: Any) -> None:
    """What was found by a value is found by its new value after a write, and not by the old one."""
    before = _ids(_where(things, ("kind", "==", "y"))), _ids(_where(things, ("tags", "array_contains", "red")))
    things.document("c").update({"kind": "x"})
    things.document("d").delete()
    things.document("b").update({"tags": firestore.ArrayRemove(["red"])})
    things.document("f").update({"tags": firestore.ArrayUnion(["red"])})
    after = _ids(_where(things, ("kind", "==", "y"))), _ids(_where(things, ("tags", "array_contains", "red")))
    assert before == (["c", "d"], ["a", "b"])
    assert after == ([], ["a", "f"])
    assert _ids(_where(things, ("kind", "==", "x"))) == ["a", "b", "c", "e"]


def _figures(query: Any) -> dict[str, Any]:
    return {figure.alias: figure.value for (*figures,) in query.get() for figure in figures}


def test_aggregations(things: Any) -> None:
    """count, sum and avg are computed over the documents that have every aggregated field, numbers only."""
    assert _figures(things.count(alias="n")) == {"n": 6}
    assert _figures(things.limit(4).count(alias="n")) == {"n": 4}
    both = _where(things, ("kind", "==", "x")).sum("rank", alias="sum").avg("rank", alias="avg").count(alias="n")
    assert _figures(both) == {"sum": 4, "avg": 2.0, "n": 3}
    assert _figures(things.sum("more.deep", alias="sum").count(alias="n")) == {"sum": 5, "n": 1}


def test_an_alias_is_used_once(things: Any) -> None:
    """Two figures of the same name are refused."""
    assert error_of(things.count(alias="n").sum("rank", alias="n").get) == "InvalidArgument"


@pytest.mark.parametrize(
    "query",
    [
        lambda things: things.order_by("__name__").order_by("rank"),
        lambda things: _where(things, ("rank", ">", 1)).order_by("__name__"),
        lambda things: _where(things, ("rank", ">", 1), ("__name__", "==", things.document("a"))),
        lambda things: things.order_by("__name__").sum("rank"),
    ],
    ids=["order after the name", "inequality after the name", "name beside an inequality", "sum in order of names"],
)
def test_nothing_is_ordered_after_the_name(things: Any, query: Callable[[Any], Any]) -> None:
    """Queries that would need an index with fields after the document's name are refused."""
    assert error_of(lambda: list(query(things).get())) == "InvalidArgument"


def test_lists_as_operands(things: Any) -> None:
    """A list can be compared as a whole, also as one of several operands."""
    assert _ids(_where(things, ("tags", "in", [["red"], []]))) == ["b", "c"]


def test_a_sum_reads_in_the_order_of_its_field(things: Any) -> None:
    """An offset skips the lowest values of the summed field."""
    assert _figures(_where(things, ("rank", ">", 0)).offset(2).sum("rank", alias="sum")) == {"sum": 5}
    assert _figures(things.offset(3).sum("rank", alias="sum").count(alias="n")) == {"sum": 5, "n": 2}


def test_a_cursor_has_no_more_values_than_the_query_orders(things: Any) -> None:
    """A cursor with a value for an order that the query does not name is refused."""
    client = things._client
    request = {
        "parent": f"{client._database_string}/documents",
        "structured_query": {
            "from_": [{"collection_id": "things"}],
            "order_by": [{"field": {"field_path": "rank"}}],
            "start_at": {"values": [{"integer_value": 1}, {"reference_value": things.document("a")._document_path}]},
        },
    }
    assert error_of(lambda: list(client._firestore_api.run_query(request=request))) == "InvalidArgument"
