"""The one exception of the embedded Firestore: a gRPC status with its text."""

from __future__ import annotations

import grpc

# Google's mapping of HTTP to gRPC codes (google/rpc/code.proto), as the faults name statuses.
_CODE_OF_HTTP = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_HTTP_OF_CODE = {code: http for http, code in _CODE_OF_HTTP.items()} | {
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
}


class FirestoreError(Exception):
    """What a call answers instead of a result."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The status for the ledger."""
        return _HTTP_OF_CODE.get(self.code, 500)


def invalid(message: str) -> FirestoreError:
    return FirestoreError(grpc.StatusCode.INVALID_ARGUMENT, message)


def unimplemented(what: str) -> FirestoreError:
    return FirestoreError(grpc.StatusCode.UNIMPLEMENTED, f"The embedded Firestore has no {what}.")


def from_http(status: int, message: str) -> FirestoreError:
    """The error that an injected fault names by its HTTP status; INTERNAL for a status without a gRPC code."""
    return FirestoreError(_CODE_OF_HTTP.get(status, grpc.StatusCode.INTERNAL), message)
