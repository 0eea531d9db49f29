"""The gRPC server of the embedded Firestore: the wire, the faults and the ledger around ``service``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import grpc
from google.cloud.firestore_v1.types import firestore

from local.firestore import names, values
from local.firestore.errors import FirestoreError, from_http, invalid, unimplemented
from local.firestore.indexes import IndexList
from local.firestore.service import Result, Service
from local.firestore.written import Written, parse_written
from local.ledger import Call, Ledger

if TYPE_CHECKING:
    from local.clock import LocalClock
    from local.faults import Fault, Faults

_SERVICE = "google.firestore.v1.Firestore"
_LEDGER_NAME = "firestore"
_THREADS = 64
_MAX_REQUEST_BYTES = 10 * 1024 * 1024  # https://cloud.google.com/firestore/quotas
_MAX_WIRE_BYTES = 64 * 1024 * 1024  # so that a request above the limit is refused in Firestore's words, not in gRPC's


class _Rpc(NamedTuple):
    request: Any
    streams: bool
    cost: str  # the kind under which a call without any cost, such as one that failed, is on record


_RPCS = {
    "GetDocument": _Rpc(firestore.GetDocumentRequest, streams=False, cost="read"),
    "BatchGetDocuments": _Rpc(firestore.BatchGetDocumentsRequest, streams=True, cost="read"),
    "ListDocuments": _Rpc(firestore.ListDocumentsRequest, streams=False, cost="read"),
    "ListCollectionIds": _Rpc(firestore.ListCollectionIdsRequest, streams=False, cost="read"),
    "BeginTransaction": _Rpc(firestore.BeginTransactionRequest, streams=False, cost=""),
    "Rollback": _Rpc(firestore.RollbackRequest, streams=False, cost=""),
    "Commit": _Rpc(firestore.CommitRequest, streams=False, cost="write"),
    "BatchWrite": _Rpc(firestore.BatchWriteRequest, streams=False, cost="write"),
    "CreateDocument": _Rpc(firestore.CreateDocumentRequest, streams=False, cost="write"),
    "UpdateDocument": _Rpc(firestore.UpdateDocumentRequest, streams=False, cost="write"),
    "DeleteDocument": _Rpc(firestore.DeleteDocumentRequest, streams=False, cost="delete"),
    "RunQuery": _Rpc(firestore.RunQueryRequest, streams=True, cost="read"),
    "RunAggregationQuery": _Rpc(firestore.RunAggregationQueryRequest, streams=True, cost="read"),
}


class FirestoreServer:
    """A running server on loopback; ``address`` is what FIRESTORE_EMULATOR_HOST takes. ``stop`` ends it.

    ``observe``, where somebody has set it, hears of each request, as sent, before it is done; ``observe_writes`` of
    what was written, in names alone.
    """

    observe: Callable[[str, bytes], None] | None = None
    observe_writes: Callable[[list[Written]], None] | None = None

    def __init__(self, clock: LocalClock, ledger: Ledger, faults: Faults, indexes: IndexList, port: int = 0) -> None:
        self._service = Service(clock.now, indexes)
        self._ledger = ledger
        self._faults = faults
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="firestore"),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _MAX_WIRE_BYTES)],
        )
        self._server.add_generic_rpc_handlers((_Handlers(self._run),))
        self.port: int = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def stop(self) -> None:
        """Ends the server and waits until its calls have ended."""
        self._server.stop(grace=0.2).wait(5)

    def clear(self) -> None:
        """Deletes all documents and forgets open transactions."""
        self._service.clear()

    def dump(self) -> dict[str, dict[str, Any]]:
        """All documents as plain data by their path (``connections/anna``): what is still stored."""
        with self._service.documents.lock:
            return {names.path_of(doc.name): _plain(doc.message.fields) for doc in self._service.documents}

    def fill(self, root: str, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Stores documents by their path below ``root``, past wire, faults and ledger: a crowd in seconds."""
        self._service.fill(root, records)

    def count(self, collection: str) -> int:
        """How many documents the collection of this full name has."""
        return self._service.count(collection)

    def _run(self, method: str, request: Any, context: grpc.ServicerContext) -> list[Any]:
        """One call: its answers, after faults and with its cost on record; or the call's abortion."""
        started_s, http_id = time.monotonic(), self._ledger.next_http_id()
        if self.observe is not None:
            self.observe(method, _serialise(request))
        fault = self._faults.take(_LEDGER_NAME, method)
        result, status, error = Result([], {}), 200, None
        try:
            result = self._work(method, request, fault)
        except FirestoreError as raised:
            status, error = raised.http_status, raised
        for name, units in _costs(method, result.cost):
            self._ledger.record(Call(_LEDGER_NAME, name, "", units, status, started_s, time.monotonic(), http_id))
        if error is None and self.observe_writes is not None and (written := parse_written(method, request)):
            self.observe_writes(written)
        if error is None and fault is not None and fault.drop_answer:
            error = from_http(503, "The answer was lost.")
        if error is not None:
            _abort(context, error)
        return result.answers

    def _work(self, method: str, request: Any, fault: Fault | None) -> Result:
        if fault is not None and fault.delay_s:
            time.sleep(fault.delay_s)
        if fault is not None and fault.status:
            raise from_http(fault.status, fault.message or fault.reason or "An injected fault.")
        if request.ByteSize() > _MAX_REQUEST_BYTES:
            raise invalid(f"Request payload size exceeds the limit: {_MAX_REQUEST_BYTES} bytes.")
        handler: Callable[[Any], Result] = getattr(self._service, _snake_case(method))
        return handler(request)


class _Handlers(grpc.GenericRpcHandler):
    """Finds the handler of a method of the service; what Firestore has and this server has not says so."""

    def __init__(self, run: Callable[[str, Any, grpc.ServicerContext], list[Any]]) -> None:
        self._run = run

    def service(self, handler_call_details: Any) -> Any:
        service, _, method = handler_call_details.method.removeprefix("/").partition("/")
        if service != _SERVICE:
            return None
        if method not in _RPCS:
            return grpc.stream_stream_rpc_method_handler(lambda _, context: _refuse(context, method))
        rpc = _RPCS[method]
        parse = rpc.request.pb().FromString
        if rpc.streams:
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: iter(self._run(method, request, context)), parse, _serialise
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._run(method, request, context)[0], parse, _serialise
        )


def _refuse(context: grpc.ServicerContext, method: str) -> Iterator[bytes]:
    _abort(context, unimplemented(method))
    yield b""


def _abort(context: grpc.ServicerContext, error: FirestoreError) -> NoReturn:
    context.abort(error.code, error.message)
    raise AssertionError("abort raises")


def _serialise(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _costs(method: str, cost: dict[str, int]) -> list[tuple[str, int]]:
    """The ledger's lines of one call: one for each kind of cost, at least one."""
    kinds = [(f"{method}.{kind}", units) for kind, units in cost.items() if units]
    default = _RPCS[method].cost
    return kinds or [(f"{method}.{default}" if default else method, 0)]


def _snake_case(method: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in method).removeprefix("_")


def _plain(fields: Any) -> dict[str, Any]:
    return {name: values.to_plain(value) for name, value in fields.items()}
