"""The errors of the Gmail stand-in, in Google's JSON shape.

GmailError
 └─ HtmlError (the functions below make the usual ones)

AnswerDropped is no error of Gmail's: the work is done and the connection closes without an answer.
"""

from __future__ import annotations

from typing import Any

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# Reasons by status where a fault names none (developers.google.com/workspace/gmail/api/guides/handle-errors).
_REASON = {
    400: "badRequest",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "aborted",
    429: "rateLimitExceeded",
}


class AnswerDropped(ConnectionAbortedError):
    """The call has done its work; its answer is lost."""


class GmailError(Exception):
    """A refused call: HTTP status, Google's reason and message, and more fields of the entry in ``errors``."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        domain: str = "global",
        entry: dict[str, str] | None = None,
        status: str = "",
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason
        self.message = message
        self.status = status or _STATUS.get(code, "UNKNOWN")
        self.entry = {"message": message, "domain": domain, "reason": reason} | (entry or {})
        self.details = details

    def as_json(self) -> dict[str, Any]:
        """The body that Google answers with."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "errors": [self.entry],
            "status": self.status,
        }
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid_argument(message: str) -> GmailError:
    return GmailError(400, "invalidArgument", message)


def failed_precondition(message: str) -> GmailError:
    return GmailError(400, "failedPrecondition", message, status="FAILED_PRECONDITION")


def invalid_parameter(message: str, parameter: str) -> GmailError:
    entry = {"location": parameter, "locationType": "parameter"}
    return GmailError(400, "invalidParameter", message, entry=entry)


def not_found(message: str = "Requested entity was not found.") -> GmailError:
    return GmailError(404, "notFound", message)


def invalid_credentials() -> GmailError:
    """401 as Google answers an unknown, expired or revoked token."""
    return GmailError(
        401,
        "authError",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
        entry={"message": "Invalid Credentials", "location": "Authorization", "locationType": "header"},
    )


def insufficient_scopes(method: str) -> GmailError:
    """403 where the token's scopes do not cover the method."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "domain": "googleapis.com",
        "metadata": {"service": "gmail.googleapis.com", "method": method},
    }
    return GmailError(
        403,
        "insufficientPermissions",
        "Request had insufficient authentication scopes.",
        entry={"message": "Insufficient Permission"},
        details=[info],
    )


def too_many_concurrent() -> GmailError:
    return GmailError(429, "rateLimitExceeded", "Too many concurrent requests for user", domain="usageLimits")


class HtmlError(GmailError):
    """An error of Google's front end, which answers with a page and not with JSON."""

    def page(self) -> str:
        return f"<!DOCTYPE html><html lang=en><title>Error {self.code}</title><p><b>{self.code}.</b> That’s an error."


def injected(code: int, reason: str, message: str) -> GmailError:
    """What a fault asked for; reason and message are filled in where it names none. Reason ``html`` is a page."""
    if reason == "html":
        return HtmlError(code, reason, message)
    reason = reason or _REASON.get(code, "backendError")
    domain = "usageLimits" if reason.lower().endswith("limitexceeded") else "global"
    return GmailError(code, reason, message or ("Backend Error" if code >= 500 else reason), domain=domain)
