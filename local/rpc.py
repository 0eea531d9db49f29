"""Serves one of Google's gRPC services on loopback: which method does what, faults, the ledger, Google's status codes.

Owns the wire; knows no service. May not import any stand-in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.message import Message

from local.ledger import Call, Ledger

if TYPE_CHECKING:
    from local.faults import Fault, Faults

HTTP_BY_CODE: Mapping[grpc.StatusCode, int] = {
    # As google.rpc.Code maps them (googleapis/google/rpc/code.proto).
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_FAULT_CODES: Mapping[int, grpc.StatusCode] = {
    **{status: code for code, status in reversed(list(HTTP_BY_CODE.items()))},
    412: grpc.StatusCode.FAILED_PRECONDITION,
}


class Refusal(Exception):
    """A service's refusal: the gRPC status and its text."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def refuse(code: grpc.StatusCode, message: str) -> NoReturn:
    """Raises the refusal."""
    raise Refusal(code, message)


@dataclass(frozen=True)
class Method:
    """One rpc: the type of its request (proto-plus or plain protobuf) and what answers it."""

    request_type: Any
    answer: Callable[[Any], Any]


class RpcServer:
    """A running gRPC server of one service.

    ``address`` is host:port for ``grpc.insecure_channel``. What is not in ``methods`` answers UNIMPLEMENTED. A fault's
    ``status`` becomes the gRPC status of that HTTP code, unless its ``reason`` names one (``ABORTED``); with
    ``drop_answer`` the work is done and the caller sees UNAVAILABLE.
    """

    def __init__(
        self,
        service: str,
        methods: Mapping[str, Method],
        *,
        ledger: Ledger,
        ledger_service: str,
        faults: Faults,
        port: int = 0,
        max_workers: int = 16,
    ) -> None:
        self._service = ledger_service
        self._ledger = ledger
        self._faults = faults
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers, thread_name_prefix=f"grpc-{ledger_service}"),
            # Two servers on one port would share its calls silently.
            options=[("grpc.so_reuseport", 0)],
        )
        self._server.add_generic_rpc_handlers((_Routes(service, methods, self._serve),))
        self.port: int = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(grace=0.2).wait(timeout=2)

    def _serve(self, name: str, method: Method | None, request: Any, context: grpc.ServicerContext) -> Any:
        started_s = time.monotonic()
        code, response = grpc.StatusCode.OK, None
        try:
            response = self._answer(name, method, request)
        except Refusal as refusal:
            code, text = refusal.code, refusal.message
        except Exception as bug:
            code, text = grpc.StatusCode.INTERNAL, f"the stand-in broke: {bug!r}"
            raise
        finally:
            self._record(name, HTTP_BY_CODE[code], started_s)
        if code is not grpc.StatusCode.OK:
            context.abort(code, text)
        return response

    def _answer(self, name: str, method: Method | None, request: Any) -> Any:
        if method is None:
            refuse(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not part of this stand-in")
        fault = self._faults.take(self._service, name)
        if fault is None:
            return method.answer(request)
        time.sleep(fault.delay_s)
        if fault.status >= 400 and not fault.drop_answer:
            refuse(_fault_code(fault), fault.message or "injected fault")
        response = method.answer(request)
        if fault.drop_answer:
            refuse(grpc.StatusCode.UNAVAILABLE, fault.message or "Socket closed")
        return response

    def _record(self, name: str, status: int, started_s: float) -> None:
        http_id = self._ledger.next_http_id()
        self._ledger.record(Call(self._service, name, "", 1, status, started_s, time.monotonic(), http_id))


def _fault_code(fault: Fault) -> grpc.StatusCode:
    named = getattr(grpc.StatusCode, fault.reason, None)
    if isinstance(named, grpc.StatusCode):
        return named
    return _FAULT_CODES.get(fault.status, grpc.StatusCode.UNKNOWN)


class _Routes(grpc.GenericRpcHandler):
    """Finds the method of a call's path."""

    def __init__(
        self,
        service: str,
        methods: Mapping[str, Method],
        serve: Callable[[str, Method | None, Any, grpc.ServicerContext], Any],
    ) -> None:
        self._prefix = f"/{service}/"
        self._methods = methods
        self._serve = serve

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        path = handler_call_details.method
        name = path.removeprefix(self._prefix)
        method = self._methods.get(name) if path.startswith(self._prefix) else None

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            return self._serve(name, method, request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=_reader(method.request_type) if method else None,
            response_serializer=_as_bytes,
        )


def _reader(request_type: Any) -> Callable[[bytes], Any]:
    reader: Callable[[bytes], Any] = (
        request_type.FromString if issubclass(request_type, Message) else request_type.deserialize
    )
    return reader


def _as_bytes(response: Any) -> bytes:
    if isinstance(response, Message):
        return response.SerializeToString()
    return bytes(type(response).serialize(response))
