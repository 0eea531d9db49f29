"""What only the embedded Firestore does: it enforces indexes and limits, lets transactions race, counts and fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import Aborted, FailedPrecondition
from google.cloud import firestore
from google.cloud.firestore_v1 import FieldFilter

from local.faults import Fault
from local.ledger import sequential_round_trips
from tests.integration.firestore_rig import Embedded, embedded, error_of

pytestmark = pytest.mark.integration

INDEXES = """
{"indexes": [{"collectionGroup": "c", "queryScope": "COLLECTION", "fields": [
    {"fieldPath": "kind", "order": "ASCENDING"}, {"fieldPath": "rank", "order": "ASCENDING"}]}],
 "fieldOverrides": [{"collectionGroup": "c", "fieldPath": "plain", "indexes": []}]}
"""


@pytest.fixture(scope="module")
def _started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with embedded(tmp_path_factory.mktemp("firestore"), INDEXES) as one:
        yield one


@pytest.fixture
def google(_started: Embedded) -> Iterator[Embedded]:
    """An empty embedded Firestore without faults."""
    _started.server.clear()
    yield _started
    _started.faults.clear()


@pytest.fixture
def db(google: Embedded) -> firestore.Client:
    return google.client


def _costs(google: Embedded, mark: int) -> list[tuple[str, int, int]]:
    return [(call.method, call.units, call.status) for call in google.ledger.since(mark, service="firestore")]


# Indexes


def test_a_query_without_its_composite_index_is_refused(db: firestore.Client) -> None:
    """The error is FailedPrecondition and names the index, ready to be declared; declared ones serve."""
    base = db.collection("c").where(filter=FieldFilter("kind", "==", "x"))
    assert [one.id for one in base.order_by("rank").stream()] == []
    with pytest.raises(FailedPrecondition) as refusal:
        list(base.order_by("rank", direction="DESCENDING").stream())
    assert (
        '{"collectionGroup": "c", "queryScope": "COLLECTION", "fields": [{"fieldPath": "kind", "order": "ASCENDING"}, '
        '{"fieldPath": "rank", "order": "DESCENDING"}]}'
    ) in str(refusal.value)


def test_an_aggregation_without_its_index_is_refused(db: firestore.Client) -> None:
    """A sum over a filtered collection needs an index that holds the summed field too."""
    base: Any = db.collection("c").where(filter=FieldFilter("kind", "==", "x"))
    assert error_of(lambda: base.sum("rank").get()) == ""
    assert error_of(lambda: base.sum("other").get()) == "FailedPrecondition"


def test_an_exempted_field_cannot_be_filtered(db: firestore.Client) -> None:
    """A field that is declared without indexes refuses filters and orders."""
    base = db.collection("c")
    assert error_of(base.where(filter=FieldFilter("plain", "==", 1)).get) == "FailedPrecondition"
    assert error_of(base.order_by("plain").get) == "FailedPrecondition"


def test_a_document_has_at_most_forty_thousand_index_entries(db: firestore.Client) -> None:
    """A long list is refused where its elements are indexed, and stored where the field is exempt."""
    long = list(range(40_001))
    assert error_of(lambda: db.document("c/a").set({"indexed": long})) == "InvalidArgument"
    db.document("c/a").set({"plain": long})
    assert db.document("c/a").get().get("plain") == long


# Limits


def test_a_request_has_at_most_ten_mebibytes(db: firestore.Client) -> None:
    """A commit above ten MiB is refused and stores nothing."""
    batch = db.batch()
    for number in range(11):
        batch.set(db.document(f"c/{number}"), {"plain": "x" * 1_000_000})
    assert error_of(batch.commit) == "InvalidArgument"
    assert list(db.collection("c").stream()) == []


def test_a_document_takes_at_most_five_hundred_transforms(db: firestore.Client) -> None:
    """A commit with 501 transforms of one document is refused."""
    fields = {f"f{number}": firestore.Increment(1) for number in range(501)}
    assert error_of(lambda: db.document("c/a").set(fields)) == "InvalidArgument"


@pytest.mark.parametrize("method", ["Listen", "Write", "PartitionQuery", "ExecutePipeline"])
def test_what_the_store_never_calls_is_not_there(db: firestore.Client, method: str) -> None:
    """Other methods of Firestore answer that they are not implemented."""
    channel = db._firestore_api.transport._grpc_channel
    call: Any = channel.unary_unary(f"/google.firestore.v1.Firestore/{method}")
    with pytest.raises(Exception, match=f"The embedded Firestore has no {method}"):
        call(b"", timeout=5)


def test_only_the_default_database_exists(db: firestore.Client) -> None:
    """A commit to another database is not found, and one to another project's documents is refused."""
    api = db._firestore_api
    other = {"database": "projects/local-project/databases/other", "writes": []}
    foreign = {"delete": "projects/other/databases/(default)/documents/c/a"}
    assert error_of(lambda: api.commit(request=other)) == "NotFound"
    assert (
        error_of(lambda: api.commit(request={"database": db._database_string, "writes": [foreign]}))
        == "InvalidArgument"
    )


# Transactions


def _begin(db: firestore.Client) -> firestore.Transaction:
    transaction = db.transaction()
    transaction._begin()
    return transaction


def test_the_transaction_that_read_what_changed_loses(db: firestore.Client) -> None:
    """A transaction whose document was changed by another is aborted and stores nothing; nobody waits."""
    ref = db.document("c/a")
    ref.set({"n": 1})
    transaction = _begin(db)
    ref.get(transaction=transaction)
    ref.update({"n": 2})
    transaction.set(ref, {"n": 3})
    with pytest.raises(Aborted):
        transaction._commit()
    assert ref.get().get("n") == 2


def test_a_transaction_that_asked_a_query_loses_to_a_new_match(db: firestore.Client) -> None:
    """A document that would now be found by the transaction's query aborts it."""
    transaction = _begin(db)
    list(db.collection("c").where(filter=FieldFilter("kind", "==", "x")).stream(transaction=transaction))
    db.document("c/a").set({"kind": "x"})
    transaction.set(db.document("c/b"), {"n": 1})
    with pytest.raises(Aborted):
        transaction._commit()


def test_a_transaction_that_found_nothing_loses_to_a_creation(db: firestore.Client) -> None:
    """A document that was missing when read, and is there at the commit, aborts the transaction."""
    transaction = _begin(db)
    db.document("c/a").get(transaction=transaction)
    db.document("c/a").create({"n": 1})
    transaction.set(db.document("c/b"), {"n": 1})
    with pytest.raises(Aborted):
        transaction._commit()


def test_an_idle_transaction_expires(google: Embedded, db: firestore.Client) -> None:
    """A transaction that was idle for more than 60 seconds of the stack's clock takes no commit."""
    transaction = _begin(db)
    google.clock.advance(61)
    assert error_of(transaction._commit) == "InvalidArgument"


def test_racing_transactions_lose_no_increment(db: firestore.Client) -> None:
    """Eight threads that add by transactions, trying again when aborted, add up."""
    ref = db.document("c/a")
    ref.set({"n": 0})

    @firestore.transactional
    def add(transaction: firestore.Transaction) -> None:
        transaction.update(ref, {"n": ref.get(transaction=transaction).get("n") + 1})

    _in_threads(8, lambda: add(db.transaction(max_attempts=200)), times=5)
    assert ref.get().get("n") == 40


def test_update_times_are_never_shared(db: firestore.Client) -> None:
    """Commits of many threads get different update times, growing with what each replaced."""
    ref = db.document("c/a")
    times: list[Any] = []
    _in_threads(8, lambda: times.append(ref.set({"n": firestore.Increment(1), "at": time.monotonic()}).update_time), 10)
    assert len(set(times)) == 80
    assert ref.get().update_time == max(times)


def _in_threads(count: int, work: Any, times: int) -> None:
    threads = [threading.Thread(target=lambda: [work() for _ in range(times)]) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_times_are_the_stacks(google: Embedded, db: firestore.Client) -> None:
    """Update times and server timestamps follow the clock when it is moved."""
    before = db.document("c/a").set({"at": firestore.SERVER_TIMESTAMP}).update_time
    google.clock.advance(3600)
    db.document("c/a").set({"at": firestore.SERVER_TIMESTAMP})
    snapshot: Any = db.document("c/a").get()
    assert timedelta(hours=1) <= snapshot.update_time - before < timedelta(hours=1, seconds=5)
    assert snapshot.update_time - snapshot.get("at") < timedelta(milliseconds=1)


# Ledger, faults, what is stored


def test_costs_are_on_record_by_kind(google: Embedded, db: firestore.Client) -> None:
    """Reads, writes and deletes are counted as Firestore bills them: missing documents too, at least one a query."""
    db.document("c/a").set({"kind": "x"})
    mark = google.ledger.mark()
    batch = db.batch()
    batch.set(db.document("c/b"), {"kind": "x"})
    batch.set(db.document("c/c"), {"kind": "x"})
    batch.delete(db.document("c/a"))
    batch.commit()
    list(db.get_all([db.document("c/a"), db.document("c/b")]))
    list(db.collection("c").stream())
    list(db.collection("none").stream())
    db.collection("c").count().get()  # type: ignore[no-untyped-call]
    assert _costs(google, mark) == [
        ("Commit.write", 2, 200), ("Commit.delete", 1, 200), ("BatchGetDocuments.read", 2, 200),
        ("RunQuery.read", 2, 200), ("RunQuery.read", 1, 200), ("RunAggregationQuery.read", 1, 200),
    ]  # fmt: skip
    assert sequential_round_trips(google.ledger.since(mark)) == 5


def test_a_call_that_fails_is_on_record(google: Embedded, db: firestore.Client) -> None:
    """A refused write is recorded with its status and without cost."""
    mark = google.ledger.mark()
    assert error_of(lambda: db.document("c/a").update({"n": 1})) == "NotFound"
    assert _costs(google, mark) == [("Commit.write", 0, 404)]


@pytest.mark.parametrize(
    ("status", "error"),
    [(503, "ServiceUnavailable"), (409, "Aborted"), (429, "ResourceExhausted"), (504, "DeadlineExceeded")],
)
def test_faults_name_their_status(google: Embedded, db: firestore.Client, status: int, error: str) -> None:
    """An injected fault answers with its status, by the method's name, and nothing is done."""
    google.faults.inject(Fault("firestore", "Commit", status=status))
    write: Any = db.document("c/a").set
    assert error_of(lambda: write({"n": 1}, retry=None)) == error
    assert google.server.dump() == {}


def test_a_dropped_answer_is_done_all_the_same(google: Embedded, db: firestore.Client) -> None:
    """A call whose answer is dropped is done; Google's client tries a commit again, and finds its own document."""
    google.faults.inject(Fault("firestore", "Commit", drop_answer=True))
    assert error_of(lambda: db.document("c/a").create({"n": 1})) == "AlreadyExists"
    assert google.server.dump() == {"c/a": {"n": 1}}


def test_everything_stored_can_be_dumped_and_cleared(google: Embedded, db: firestore.Client) -> None:
    """dump() shows all documents by path as plain data; after clear() there is none."""
    db.document("c/a").set({"list": [1, {"deep": "text"}], "ref": db.document("c/b"), "none": None})
    db.document("c/a/d/e").set({"n": 1.5})
    assert google.server.dump() == {
        "c/a": {"list": [1, {"deep": "text"}], "ref": "c/b", "none": None},
        "c/a/d/e": {"n": 1.5},
    }
    google.server.clear()
    assert google.server.dump() == {}


def test_paging_a_large_group_reads_little(google: Embedded, db: firestore.Client) -> None:
    """A page of a collection group costs its documents, and only what matches an equality is read."""
    for start in range(0, 2000, 500):
        batch = db.batch()
        for number in range(start, start + 500):
            batch.set(db.document(f"users/u{number % 50}/notes/{number:04}"), {"owner": f"o{number % 100}"})
        batch.commit()
    mark = google.ledger.mark()
    page = db.collection_group("notes").order_by("__name__").limit(20).get()
    found = db.collection("users/u1/notes").where(filter=FieldFilter("owner", "==", "o1")).get()
    assert [one.reference.path for one in page[:2]] == ["users/u0/notes/0000", "users/u0/notes/0050"]
    assert [one.id for one in found] == [f"{number:04}" for number in range(1, 2000, 100)]
    assert _costs(google, mark) == [("RunQuery.read", 20, 200), ("RunQuery.read", 20, 200)]


def test_the_projects_own_list_loads() -> None:
    """The list of indexes that the project declares can be read."""
    from local.firestore import IndexList

    IndexList.load(Path(__file__).parents[2] / "common" / "store" / "indexes.json")
