"""The RPCs of google.firestore.v1.Firestore on documents in memory: requests in, answers and their cost out.

Knows nothing of gRPC's wire, of faults or of the ledger: ``server`` does.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import grpc
from google.cloud.firestore_v1.types import common, document, firestore, write
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp

from local.firestore import listing, names, queries, values
from local.firestore.aggregations import parse_aggregations
from local.firestore.documents import Document, Documents, Scope
from local.firestore.errors import FirestoreError, invalid, unimplemented
from local.firestore.fields import NAME, FieldPath, masked, parse_path
from local.firestore.indexes import IndexList
from local.firestore.plans import parse_query
from local.firestore.transactions import Transaction, Transactions
from local.firestore.writes import plan_writes, target_of

_Document: Any = document.Document.pb()
_Write: Any = write.Write.pb()
_ID_ALPHABET = string.ascii_letters + string.digits
_ENTRIES_PER_READ = 1000  # https://cloud.google.com/firestore/pricing, aggregation queries
MAX_BATCH_WRITES = 500


class Result(NamedTuple):
    """The messages to answer, and the cost by kind: ``read``, ``write``, ``delete``."""

    answers: list[Any]
    cost: dict[str, int]


class Service:
    """The state of the server. Each public method is one RPC, named as the wire names it in lower case."""

    def __init__(self, now: Callable[[], datetime], indexes: IndexList) -> None:
        self.documents = Documents()
        self._indexes = indexes
        self._now = now
        self._transactions = Transactions(now)
        self._last_us = 0

    def clear(self) -> None:
        """Forgets all documents and transactions. Update times go on growing."""
        with self.documents.lock:
            self.documents.clear()
            self._transactions.clear()

    def fill(self, root: str, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Stores plain data (``values.to_plain``) by path below ``root``, as one commit without any check would."""
        with self.documents.lock:
            at = self._next_time()
            for path, plain in records.items():
                message = _Document(name=f"{root}/{path}", create_time=at, update_time=at)
                for name, value in plain.items():
                    message.fields[name].CopyFrom(values.from_plain(value))
                self.documents.put(Document(message))

    def count(self, collection: str) -> int:
        """How many documents the collection of this full name has."""
        with self.documents.lock:
            return len(self.documents.members(Scope(collection, group=False)))

    def get_document(self, request: Any) -> Result:
        _refuse_read_time(request)
        names.verify_document(request.name)
        with self.documents.lock:
            found = self._read(request.name, self._transaction(request))
        if found is None:
            raise FirestoreError(grpc.StatusCode.NOT_FOUND, f"Document ({request.name}) not found.")
        return Result([_shown(found, _mask(request))], {"read": 1})

    def batch_get_documents(self, request: Any) -> Result:
        _refuse_read_time(request)
        _refuse_new_transaction(request)
        names.verify_database(request.database)
        wanted = dict.fromkeys(request.documents)
        mask = _mask(request)
        for name in wanted:
            _verify_in(request.database, name)
        with self.documents.lock:
            transaction, read_time = self._transaction(request), self._read_time()
            answers = [_got(name, self._read(name, transaction), mask, read_time) for name in wanted]
        return Result(answers, {"read": len(answers)})

    def list_documents(self, request: Any) -> Result:
        _refuse_read_time(request)
        with self.documents.lock:
            transaction = self._transaction(request)
            page = listing.page_of(self.documents, request)
            listed = [(name, self._read(name, transaction)) for name in page.names]
        answer = firestore.ListDocumentsResponse.pb()(next_page_token=page.next_token)
        for name, found in listed:
            answer.documents.append(_Document(name=name) if found is None else _shown(found, _mask(request)))
        return Result([answer], {"read": max(1, len(page.names))})

    def list_collection_ids(self, request: Any) -> Result:
        _refuse_read_time(request)
        with self.documents.lock:
            ids, token = listing.collection_ids(self.documents, request)
        answer = firestore.ListCollectionIdsResponse.pb()(collection_ids=ids, next_page_token=token)
        return Result([answer], {"read": 1})

    def begin_transaction(self, request: Any) -> Result:
        names.verify_database(request.database)
        if request.options.HasField("read_only"):
            raise unimplemented("read-only transactions")
        with self.documents.lock:
            name = self._transactions.begin()
        return Result([firestore.BeginTransactionResponse.pb()(transaction=name)], {})

    def rollback(self, request: Any) -> Result:
        names.verify_database(request.database)
        with self.documents.lock:
            self._transactions.close(request.transaction)
        return Result([Empty()], {})

    def commit(self, request: Any) -> Result:
        names.verify_database(request.database)
        for one in request.writes:
            _verify_in(request.database, target_of(one))
        with self.documents.lock:
            if request.transaction:
                transaction = self._transactions.get(request.transaction)
                self._transactions.close(request.transaction)
                transaction.verify(self.documents)
            commit_time, results, cost = self._apply(request.writes)
        return Result([firestore.CommitResponse.pb()(commit_time=commit_time, write_results=results)], cost)

    def batch_write(self, request: Any) -> Result:
        names.verify_database(request.database)
        targets = [target_of(one) for one in request.writes]
        if len(targets) > MAX_BATCH_WRITES:
            raise invalid(f"maximum {MAX_BATCH_WRITES} writes allowed per request")
        if len(set(targets)) != len(targets):
            raise invalid("the same document cannot be written more than once in a single request")
        answer = firestore.BatchWriteResponse.pb()()
        total: dict[str, int] = {}
        for target, one in zip(targets, request.writes, strict=True):
            _verify_in(request.database, target)
            for kind, count in self._write_alone(one, answer).items():
                total[kind] = total.get(kind, 0) + count
        return Result([answer], total)

    def create_document(self, request: Any) -> Result:
        names.verify_parent(request.parent)
        names.verify_collection_id(request.collection_id)
        document_id = request.document_id or "".join(secrets.choice(_ID_ALPHABET) for _ in range(20))
        update = _Document(
            name=f"{request.parent}/{request.collection_id}/{document_id}", fields=request.document.fields
        )
        exists_not = common.Precondition.pb()(exists=False)
        return self._write_one(_Write(update=update, current_document=exists_not), update.name, request)

    def update_document(self, request: Any) -> Result:
        one = _Write(update=request.document)
        for name in ("update_mask", "current_document"):
            if request.HasField(name):
                getattr(one, name).CopyFrom(getattr(request, name))
        return self._write_one(one, request.document.name, request)

    def delete_document(self, request: Any) -> Result:
        one = _Write(delete=request.name)
        if request.HasField("current_document"):
            one.current_document.CopyFrom(request.current_document)
        with self.documents.lock:
            _, _, cost = self._apply([one])
        return Result([Empty()], cost)

    def run_query(self, request: Any) -> Result:
        _refuse_read_time(request)
        _refuse_new_transaction(request)
        query = parse_query(request.parent, request.structured_query)
        for needs in query.needs():
            self._indexes.verify_served(needs)
        with self.documents.lock:
            transaction, read_time = self._transaction(request), self._read_time()
            answer = queries.run(self.documents, query)
            if transaction is not None:
                transaction.note_query(query, answer.found)
        response = firestore.RunQueryResponse.pb()
        answers = [
            response(document=_shown(found, query.projection), read_time=read_time) for found in answer.found
        ] or [response(read_time=read_time)]
        answers[0].skipped_results = answer.skipped
        answers[-1].done = True
        return Result(answers, {"read": max(1, len(answer.found) + answer.skipped)})

    def run_aggregation_query(self, request: Any) -> Result:
        _refuse_read_time(request)
        _refuse_new_transaction(request)
        raw = request.structured_aggregation_query
        aggregations = parse_aggregations(raw.aggregations)
        summed = tuple(dict.fromkeys(one.path for one in aggregations if one.path is not None))
        query = parse_query(request.parent, raw.structured_query).summing(summed)
        for needs in query.needs():
            self._indexes.verify_served(needs)
        with self.documents.lock:
            transaction, read_time = self._transaction(request), self._read_time()
            answer = queries.run(self.documents, query)
            if transaction is not None:
                transaction.note_query(query, answer.found)
        response = firestore.RunAggregationQueryResponse.pb()(read_time=read_time)
        for one in aggregations:
            response.result.aggregate_fields[one.alias].CopyFrom(one.value(answer.found))
        entries = len(answer.found) + answer.skipped
        return Result([response], {"read": max(1, -(-entries // _ENTRIES_PER_READ))})

    def _transaction(self, request: Any) -> Transaction | None:
        return self._transactions.get(request.transaction) if request.transaction else None

    def _read(self, name: str, transaction: Transaction | None) -> Document | None:
        found = self.documents.get(name)
        if transaction is not None:
            transaction.note_document(name, found)
        return found

    def _write_one(self, one: Any, name: str, request: Any) -> Result:
        names.verify_document(name)
        with self.documents.lock:
            _, _, cost = self._apply([one])
            stored = self.documents.get(name)
        if stored is None:
            raise AssertionError("what was written just now is there")
        return Result([_shown(stored, _mask(request))], cost)

    def _write_alone(self, one: Any, answer: Any) -> dict[str, int]:
        status = answer.status.add()
        try:
            with self.documents.lock:
                _, results, cost = self._apply([one])
        except FirestoreError as error:
            status.code, status.message = error.code.value[0], error.message
            answer.write_results.add()
            return {}
        answer.write_results.append(results[0])
        return cost

    def _apply(self, writes: Iterable[Any]) -> tuple[Timestamp, list[Any], dict[str, int]]:
        """Stores what the writes say, all or nothing; the commit time, results and cost."""
        commit_time = self._next_time()
        plan = plan_writes(self.documents, writes, commit_time, self._indexes)
        for name, message in plan.changes.items():
            if message is None:
                self.documents.remove(name)
            else:
                self.documents.put(Document(message))
        return commit_time, plan.results, {"write": plan.written, "delete": plan.deleted}

    def _next_time(self) -> Timestamp:
        """A time, to the microsecond, after every other that this server has given."""
        self._last_us = max(self._last_us + 1, _microseconds(self._now()))
        return _timestamp(self._last_us)

    def _read_time(self) -> Timestamp:
        return _timestamp(max(self._last_us, _microseconds(self._now())))


def _microseconds(moment: datetime) -> int:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp.ToMicroseconds()


def _timestamp(microseconds: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMicroseconds(microseconds)
    return timestamp


def _mask(request: Any) -> tuple[FieldPath, ...] | None:
    return tuple(parse_path(text) for text in request.mask.field_paths) if request.HasField("mask") else None


def _shown(found: Document, mask: tuple[FieldPath, ...] | None) -> Any:
    """The document as a client gets it: with the fields of the mask only."""
    if mask is None:
        return found.message
    shown = _Document(name=found.name, create_time=found.message.create_time, update_time=found.message.update_time)
    masked(found.message.fields, shown.fields, tuple(path for path in mask if path != NAME))
    return shown


def _got(name: str, found: Document | None, mask: tuple[FieldPath, ...] | None, read_time: Timestamp) -> Any:
    answer = firestore.BatchGetDocumentsResponse.pb()(read_time=read_time)
    if found is None:
        answer.missing = name
    else:
        answer.found.CopyFrom(_shown(found, mask))
    return answer


def _verify_in(database: str, name: str) -> None:
    names.verify_document(name)
    if names.database_of(name) != database:
        raise invalid(f'Document name "{name}" is not of the database "{database}".')


def _refuse_read_time(request: Any) -> None:
    if request.HasField("read_time"):
        raise unimplemented("reads at a time in the past")


def _refuse_new_transaction(request: Any) -> None:
    if request.HasField("new_transaction"):
        raise unimplemented("transactions begun by a read")
    if "explain_options" in request.DESCRIPTOR.fields_by_name and request.HasField("explain_options"):
        raise unimplemented("query plans")
