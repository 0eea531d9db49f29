"""The contract of Firestore's documents, on the embedded one and on Google's emulator: both must agree on all of it.

Where the Cloud SDK is missing, the official half is skipped with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud import firestore

from tests.integration.firestore_rig import Service, error_of, running

pytestmark = pytest.mark.integration

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", params=["embedded", pytest.param("official", marks=pytest.mark.emulator)])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(request.param, tmp_path_factory.mktemp("firestore")) as one:
        yield one


@pytest.fixture
def db(service: Service) -> firestore.Client:
    """A client of an empty database."""
    service.empty()
    return service.client


# Documents and preconditions


def test_a_missing_document_does_not_exist(db: firestore.Client) -> None:
    """Reading a document that was never written says that it does not exist."""
    assert not db.document("c/a").get().exists


def test_set_replaces_and_merge_keeps(db: firestore.Client) -> None:
    """A plain set replaces the document; a merging one keeps the fields, nested ones too, that it does not name."""
    ref = db.document("c/a")
    ref.set({"gone": 1})
    ref.set({"map": {"one": 1}, "kept": True})
    ref.set({"map": {"two": 2}}, merge=True)
    assert ref.get().to_dict() == {"map": {"one": 1, "two": 2}, "kept": True}


def test_every_type_of_value_comes_back_as_it_was(db: firestore.Client) -> None:
    """Values of every type are read as they were written, times to the microsecond, integers to 64 bits."""
    values: dict[str, Any] = {
        "null": None, "bool": True, "small": -(2**63), "big": 2**63 - 1, "float": 1.0, "infinite": math.inf,
        "time": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), "text": "Grüße 😀", "bytes": b"\x00\xff",
        "ref": db.document("c/b"), "geo": firestore.GeoPoint(1.5, -2.5), "list": [1, "a", {"b": None}], "map": {},
    }  # fmt: skip
    db.document("c/a").set(values)
    read = db.document("c/a").get().to_dict() or {}
    assert {name: type(value) for name, value in read.items()} | {"time": datetime} == {
        name: type(value) for name, value in values.items()
    }
    assert read == values


def test_create_refuses_an_existing_document(db: firestore.Client) -> None:
    """create() of a document that exists raises AlreadyExists and changes nothing."""
    ref = db.document("c/a")
    ref.create({"n": 1})
    assert error_of(lambda: ref.create({"n": 2})) == "AlreadyExists"
    assert ref.get().to_dict() == {"n": 1}


def test_update_refuses_a_missing_document(db: firestore.Client) -> None:
    """update() of a document that does not exist raises NotFound and makes none."""
    assert error_of(lambda: db.document("c/a").update({"n": 1})) == "NotFound"
    assert not db.document("c/a").get().exists


def test_update_changes_and_deletes_single_fields(db: firestore.Client) -> None:
    """update() writes nested fields by path, deletes fields, and leaves all others."""
    ref = db.document("c/a")
    ref.set({"map": {"one": 1, "two": 2}, "gone": 1, "kept": 1})
    odd = db.field_path("map", "o.d`d\\")
    ref.update({"map.one": 10, odd: 3, "gone": firestore.DELETE_FIELD})
    assert ref.get().to_dict() == {"map": {"one": 10, "two": 2, "o.d`d\\": 3}, "kept": 1}


def test_a_map_in_the_way_is_made(db: firestore.Client) -> None:
    """Writing below a field that is no map replaces it by a map."""
    ref = db.document("c/a")
    ref.set({"field": "text"})
    ref.update({"field.inner": 1})
    assert ref.get().to_dict() == {"field": {"inner": 1}}


def test_the_update_time_as_precondition(db: firestore.Client) -> None:
    """A write with the update time that was read succeeds; with any other it raises FailedPrecondition."""
    ref = db.document("c/a")
    first: Any = ref.set({"n": 1}).update_time
    second = ref.update({"n": 2}, option=db.write_option(last_update_time=first)).update_time
    assert second > first
    assert (
        error_of(lambda: ref.update({"n": 3}, option=db.write_option(last_update_time=first))) == "FailedPrecondition"
    )
    assert error_of(lambda: ref.delete(option=db.write_option(last_update_time=first))) == "FailedPrecondition"
    ref.delete(option=db.write_option(last_update_time=second))
    assert not ref.get().exists


def test_the_update_time_of_a_missing_document(db: firestore.Client) -> None:
    """A precondition on an update time fails where there is no document."""
    option = db.write_option(last_update_time=LONG_AGO)
    assert error_of(lambda: db.document("c/a").update({"n": 1}, option=option)) == "FailedPrecondition"
    assert error_of(lambda: db.document("c/a").delete(option=option)) == "FailedPrecondition"


def test_deleting_what_is_not_there(db: firestore.Client) -> None:
    """A delete of a missing document succeeds, unless it must exist: then NotFound."""
    assert error_of(lambda: db.document("c/a").delete()) == ""
    assert error_of(lambda: db.document("c/a").delete(option=db.write_option(exists=True))) == "NotFound"


def test_a_write_that_changes_nothing_keeps_the_update_time(db: firestore.Client) -> None:
    """A write of what is already there leaves the update time; the create time stays through every update."""
    ref = db.document("c/a")
    first: Any = ref.set({"n": 1}).update_time
    assert ref.update({"n": 1}).update_time == first
    assert ref.set({"n": 1}).update_time == first
    later = ref.set({"n": 1.0}).update_time
    snapshot = ref.get()
    assert later > first
    assert (snapshot.create_time, snapshot.update_time) == (first, later)


def test_field_masks_on_reads(db: firestore.Client) -> None:
    """A read with field paths returns those alone; documents that do not exist are reported in get_all."""
    db.document("c/a").set({"map": {"one": 1, "two": 2}, "other": 3})
    assert db.document("c/a").get(field_paths=["map.one", "none"]).to_dict() == {"map": {"one": 1}}
    found = db.get_all([db.document("c/a"), db.document("c/b"), db.document("c/a")], field_paths=["other"])
    assert {one.id: one.to_dict() for one in found} == {"a": {"other": 3}, "b": None}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("__reserved__", {"n": 1}), (".", {"n": 1}), ("..", {"n": 1}), ("x" * 1501, {"n": 1}), ("a", {"__n__": 1}),
        ("a", {"list": [[1]]}), ("a", {"text": "x" * 1_048_488}), ("a", {"one": "x" * 600_000, "two": "y" * 600_000}),
    ],
    ids=["reserved id", "dot", "two dots", "long id", "reserved field", "nested list", "long field", "big document"],
)  # fmt: skip
def test_what_firestore_does_not_store(db: firestore.Client, name: str, fields: dict[str, Any]) -> None:
    """Names, fields and values beyond Firestore's rules and limits raise InvalidArgument."""
    assert error_of(lambda: db.collection("c").document(name).set(fields)) == "InvalidArgument"


def test_maps_nest_twenty_deep(db: firestore.Client) -> None:
    """Twenty maps in one another are stored, twenty-one are not."""
    deep: dict[str, Any] = {}
    for _ in range(20):
        deep = {"m": deep}
    db.document("c/a").set(deep)
    assert error_of(lambda: db.document("c/a").set({"m": deep})) == "InvalidArgument"


# Transforms


@pytest.mark.parametrize(
    ("before", "transform", "after"),
    [
        (1, firestore.Increment(2), 3), (1, firestore.Increment(0.5), 1.5), ("text", firestore.Increment(2), 2),
        (2**63 - 1, firestore.Increment(1), 2**63 - 1), (-(2**63), firestore.Increment(-1), -(2**63)),
        (3, firestore.Maximum(5), 5), (3, firestore.Maximum(2), 3), (3, firestore.Maximum(3.0), 3),
        (3, firestore.Minimum(2.5), 2.5), (3, firestore.Minimum(5), 3), ("text", firestore.Minimum(5), 5),
        ([1, "a"], firestore.ArrayUnion([1.0, "b", "b"]), [1, "a", "b"]), ("text", firestore.ArrayUnion([1]), [1]),
        ([1, 2, 1.0], firestore.ArrayRemove([1]), [2]), ("text", firestore.ArrayRemove([1]), []),
    ],
)  # fmt: skip
def test_transforms(db: firestore.Client, before: Any, transform: Any, after: Any) -> None:
    """Numbers and arrays change on the server: saturating, keeping the types, replacing what is of another type."""
    ref = db.document("c/a")
    ref.set({"field": before, "other": 1})
    ref.update({"field": transform})
    found = ref.get().to_dict()
    assert found == {"field": after, "other": 1}
    assert type(found["field"]) is type(after)


def test_transforms_make_what_is_missing(db: firestore.Client) -> None:
    """Transforms in a set make the document and nested fields; their results are in the answer, in order."""
    result = db.document("c/a").set({"n": firestore.Increment(5), "deep": {"list": firestore.ArrayUnion(["x"])}})
    assert db.document("c/a").get().to_dict() == {"n": 5, "deep": {"list": ["x"]}}
    kinds = {value._pb.WhichOneof("value_type") for value in result.transform_results}
    assert kinds == {"integer_value", "null_value"}


def test_server_timestamps_agree_within_a_commit(db: firestore.Client) -> None:
    """All server timestamps of a commit are one moment, in whole milliseconds, not after the update time."""
    batch = db.batch()
    batch.set(db.document("c/a"), {"at": firestore.SERVER_TIMESTAMP, "deep": {"at": firestore.SERVER_TIMESTAMP}})
    batch.set(db.document("c/b"), {"at": firestore.SERVER_TIMESTAMP})
    batch.commit()
    first, second = db.document("c/a").get(), db.document("c/b").get()
    moments = {first.get("at"), first.get("deep.at"), second.get("at")}
    assert len(moments) == 1
    (moment,) = moments
    assert moment.microsecond % 1000 == 0
    assert timedelta(0) <= first.update_time - moment < timedelta(seconds=5)


# Batches and transactions


def test_a_batch_is_all_or_nothing(db: firestore.Client) -> None:
    """If one write of a batch fails, none is done."""
    db.document("c/there").set({"n": 1})
    batch = db.batch()
    batch.set(db.document("c/a"), {"n": 1})
    batch.delete(db.document("c/there"))
    batch.update(db.document("c/missing"), {"n": 1})
    assert error_of(batch.commit) == "NotFound"
    assert [one.id for one in db.collection("c").stream()] == ["there"]


def test_writes_of_a_batch_see_those_before(db: firestore.Client) -> None:
    """A document may be written several times in one batch; each write, and its precondition, sees the ones before."""
    ref = db.document("c/a")
    batch = db.batch()
    batch.create(ref, {"n": 1})
    batch.update(ref, {"n": firestore.Increment(1)})
    batch.delete(ref)
    batch.create(ref, {"again": True})
    batch.commit()
    assert ref.get().to_dict() == {"again": True}


def test_a_batch_has_one_update_time(db: firestore.Client) -> None:
    """All documents of a batch, more than 500 too, get the same update time."""
    batch = db.batch()
    for number in range(501):
        batch.set(db.document(f"c/{number}"), {"n": number})
    results = batch.commit()
    assert len({result.update_time for result in results}) == 1


def test_a_transaction_writes_what_it_computed(db: firestore.Client) -> None:
    """A transaction reads, computes and writes."""
    ref = db.document("c/a")
    ref.set({"n": 1})

    @firestore.transactional
    def add(transaction: firestore.Transaction) -> int:
        before = int(ref.get(transaction=transaction).get("n"))
        names = [one.id for one in db.collection("c").stream(transaction=transaction)]
        transaction.update(ref, {"n": before + len(names)})
        return before

    assert add(db.transaction()) == 1
    assert ref.get().get("n") == 2


def test_a_transaction_that_raises_leaves_no_trace(db: firestore.Client) -> None:
    """An exception inside a transaction rolls it back; a failed precondition of one of its writes, too."""
    ref, other = db.document("c/a"), db.document("c/b")
    ref.set({"n": 1})
    other.set({"n": 1})

    @firestore.transactional
    def fail(transaction: firestore.Transaction) -> None:
        ref.get(transaction=transaction)
        transaction.update(ref, {"n": 2})
        transaction.create(other, {"n": 3})

    assert error_of(lambda: fail(db.transaction())) == "AlreadyExists"
    assert ref.get().to_dict() == {"n": 1}


def test_a_transaction_ends_with_its_commit(db: firestore.Client) -> None:
    """A transaction that was committed takes no second commit, and one that never was takes none."""
    api, database = db._firestore_api, db._database_string
    name = api.begin_transaction(request={"database": database}).transaction
    api.commit(request={"database": database, "transaction": name})
    for used in (name, b"nonsense"):
        request = {"database": database, "transaction": used}
        assert error_of(lambda request=request: api.commit(request=request)) == "InvalidArgument"  # type: ignore[misc]


def test_batch_writes_stand_alone(db: firestore.Client) -> None:
    """Each write of a BatchWrite succeeds or fails by itself, and no document comes twice."""
    root = f"{db._database_string}/documents"
    writes: list[dict[str, Any]] = [
        {"update": {"name": f"{root}/c/a", "fields": {"n": {"integer_value": 1}}}},
        {"delete": f"{root}/c/b", "current_document": {"exists": True}},
    ]
    request = {"database": db._database_string, "writes": writes}
    owner = [("authorization", "Bearer owner")]  # Google's emulator asks for an administrator
    answer = db._firestore_api.batch_write(request=request, metadata=owner)
    assert [status.code for status in answer.status] == [0, 5]
    assert db.document("c/a").get().to_dict() == {"n": 1}
    twice = {"database": db._database_string, "writes": writes[:1] * 2}
    assert error_of(lambda: db._firestore_api.batch_write(request=twice, metadata=owner)) == "InvalidArgument"


def test_writes_of_a_batch_must_not_contradict_each_other(db: firestore.Client) -> None:
    """A create after a write, an update after a delete, or another version asked for the same document is refused."""
    ref = db.document("c/a")
    version: Any = ref.set({"n": 1}).update_time
    create, update, versioned = db.batch(), db.batch(), db.batch()
    create.set(ref, {"n": 2})
    create.create(ref, {"n": 3})
    update.delete(ref)
    update.update(ref, {"n": 3})
    versioned.set(ref, {"n": 2})
    versioned.update(ref, {"n": 3}, option=db.write_option(last_update_time=version))
    assert [error_of(batch.commit) for batch in (create, update, versioned)] == ["InvalidArgument"] * 3
    assert ref.get().to_dict() == {"n": 1}


def test_a_batch_may_ask_for_one_version_twice(db: firestore.Client) -> None:
    """Two writes of a document with the same update time as precondition are both done."""
    ref = db.document("c/a")
    version: Any = ref.set({"n": 1}).update_time
    batch = db.batch()
    for name in ("one", "two"):
        batch.update(ref, {name: True}, option=db.write_option(last_update_time=version))
    batch.commit()
    assert ref.get().to_dict() == {"n": 1, "one": True, "two": True}


def test_a_field_and_one_below_it_are_not_transformed_together(db: firestore.Client) -> None:
    """Transforms of a field and of its subfield in one write are refused."""
    write = {
        "transform": {
            "document": db.document("c/a")._document_path,
            "field_transforms": [
                {"field_path": "m", "increment": {"integer_value": 1}},
                {"field_path": "m.n", "increment": {"integer_value": 1}},
            ],
        }
    }
    request = {"database": db._database_string, "writes": [write]}
    assert error_of(lambda: db._firestore_api.commit(request=request)) == "InvalidArgument"


def test_lists_show_missing_documents_above_others(db: firestore.Client) -> None:
    """Documents and collections are listed, also a document that does not exist but has documents below it."""
    db.document("users/a/notes/1").set({"n": 1})
    db.document("users/b").set({"n": 1})
    assert [one.id for one in db.collection("users").list_documents(page_size=1)] == ["a", "b"]
    assert [one.id for one in db.document("users/a").collections()] == ["notes"]
    assert [one.id for one in db.collections()] == ["users"]
