"""From a request to an answer: route, token, scope, mailbox, fault, quota, checks, handler, ledger.

The same for an ordinary request, an upload and each part of a batch.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.gmail import account, drafts, messages, threads
from local.gmail.call import ApiCall, Gmail, Handler
from local.gmail.discovery import Method, find, verify_body, verify_query
from local.gmail.errors import (
    AnswerDropped,
    GmailError,
    HtmlError,
    failed_precondition,
    injected,
    insufficient_scopes,
    invalid_argument,
    invalid_credentials,
)
from local.gmail.fields import parse_fields, select, verify_fields
from local.gmail.quota import UNITS
from local.gmail.upload import too_large
from local.ledger import Call

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

    from local.faults import Fault, Faults
    from local.gmail.contract import AccessChecker
    from local.gmail.mailbox import Mailbox
    from local.gmail.quota import Concurrency, Quota
    from local.ledger import Ledger

HANDLERS: dict[str, Handler] = account.HANDLERS | drafts.HANDLERS | messages.HANDLERS | threads.HANDLERS

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RawCall:
    """A request before anything of it is trusted. Header names are lower-case; ``media`` is an uploaded mail."""

    verb: str
    path: str
    query: MultiDict[str, str]
    headers: Mapping[str, str]
    body: bytes
    media: bytes | None = None

    def header(self, name: str) -> str:
        return self.headers.get(name, "")


@dataclass(frozen=True)
class Reply:
    """An answer: status, JSON text (empty for 204), more headers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=UTF-8"


@dataclass(frozen=True)
class Turn:
    """The HTTP request that a call is part of. ``refusal`` is what its calls are answered where it got no place."""

    http_id: int
    started_s: float
    refusal: GmailError | None = None


@dataclass
class _Progress:
    """What the ledger will tell of a call, as far as is known."""

    method: str = "unknown"
    mailbox: str = ""
    units: int = 0
    fault: Fault | None = None


def error_reply(error: GmailError) -> Reply:
    if isinstance(error, HtmlError):
        return Reply(error.code, error.page().encode(), content_type="text/html; charset=UTF-8")
    headers = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'} if error.code == 401 else {}
    return Reply(error.code, json.dumps(error.as_json()).encode(), headers)


class Pipeline:
    """Answers calls. ``mailboxes`` is the service's own table of addresses (lower-case) to mailboxes."""

    def __init__(
        self,
        gmail: Gmail,
        mailboxes: Mapping[str, Mailbox],
        access: AccessChecker,
        ledger: Ledger,
        faults: Faults,
        quota: Quota,
        concurrency: Concurrency,
    ) -> None:
        self._gmail = gmail
        self._mailboxes = mailboxes
        self._access = access
        self._ledger = ledger
        self._faults = faults
        self._quota = quota
        self.concurrency = concurrency

    def owner(self, call: RawCall) -> Mailbox | None:
        """The mailbox that a request's token opens, for counting what runs at once; None for a bad token."""
        try:
            return self._mailbox_of_token(call)[0]
        except GmailError:
            return None

    def admit(self, call: RawCall) -> Method:
        """The method of a call whose token may use it. Raises GmailError 401, 403, 404."""
        method, path = find(call.verb, call.path)
        self._admitted(call, method, path)
        return method

    def perform(self, call: RawCall, turn: Turn) -> Reply:
        """Does the call and enters it into the ledger. Raises AnswerDropped where a fault swallows the answer."""
        progress = _Progress()
        reply = self._reply(call, turn, progress)
        self.record(progress.method, progress.mailbox, progress.units, reply.status, turn)
        if progress.fault is not None and progress.fault.drop_answer:
            raise AnswerDropped
        return reply

    def record(self, method: str, mailbox: str, units: int, status: int, turn: Turn) -> None:
        ended_s = time.monotonic()
        self._ledger.record(Call("gmail", method, mailbox, units, status, turn.started_s, ended_s, turn.http_id))

    def _reply(self, call: RawCall, turn: Turn, progress: _Progress) -> Reply:
        try:
            answer = self._answer(call, turn, progress)
        except GmailError as error:
            return error_reply(error)
        except Exception:
            # A bug of the stand-in must not look like a lost connection.
            _logger.exception("The Gmail stand-in failed in %s", progress.method)
            return error_reply(GmailError(500, "backendError", "The stand-in failed: see its log"))
        if answer is None:
            return Reply(204)
        return Reply(200, json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"))

    def _answer(self, call: RawCall, turn: Turn, progress: _Progress) -> dict[str, Any] | None:
        method, path = find(call.verb, call.path)
        progress.method = method.name
        mailbox = self._admitted(call, method, path)
        progress.mailbox = mailbox.address
        if turn.refusal is not None:
            raise turn.refusal
        self._strike(method, mailbox, progress)
        if method.name not in HANDLERS:
            raise GmailError(501, "notImplemented", f"The stand-in does not do gmail.{method.name}")
        units = UNITS[method.name]
        self._quota.charge(mailbox, units, turn.http_id)
        progress.units = units
        return self._handled(call, method, path, mailbox)

    def _handled(self, call: RawCall, method: Method, path: dict[str, str], mailbox: Mailbox) -> dict[str, Any] | None:
        verify_query(method, {name: call.query.getlist(name) for name in call.query})
        mask = parse_fields(call.query["fields"]) if call.query.get("fields") else {}
        verify_fields(mask, method.response)
        body = _parse_body(call, method)
        if _mail_bytes(call, body) > (method.upload_limit_bytes or float("inf")):
            raise too_large()
        answer = HANDLERS[method.name](ApiCall(self._gmail, method, path, call.query, body, call.media, mailbox))
        selected: dict[str, Any] | None = select(mask, answer)
        return selected

    def _admitted(self, call: RawCall, method: Method, path: dict[str, str]) -> Mailbox:
        mailbox, scopes = self._mailbox_of_token(call)
        if not scopes & method.scopes:
            raise insufficient_scopes(f"gmail.{method.name}")
        user = path["userId"].lower()
        if user not in ("me", mailbox.address.lower()):
            raise GmailError(403, "forbidden", f"Delegation denied for {mailbox.address}")
        return mailbox

    def _mailbox_of_token(self, call: RawCall) -> tuple[Mailbox, frozenset[str]]:
        kind, _, unverified_token = call.header("authorization").partition(" ")
        grant = self._access.check(unverified_token.strip()) if kind.lower() == "bearer" else None
        if grant is None:
            raise invalid_credentials()
        mailbox = self._mailboxes.get(grant.address.lower())
        if mailbox is None:
            raise failed_precondition("Mail service not enabled")
        return mailbox, grant.scopes

    def _strike(self, method: Method, mailbox: Mailbox, progress: _Progress) -> None:
        fault = self._faults.take("gmail", method.name, mailbox.address)
        if fault is None:
            return
        progress.fault = fault
        if fault.delay_s:
            time.sleep(fault.delay_s)
        if fault.status:
            raise injected(fault.status, fault.reason, fault.message)


def _parse_body(call: RawCall, method: Method) -> dict[str, Any]:
    if not call.body.strip():
        return {}
    kind = call.header("content-type").partition(";")[0].strip().lower()
    if call.media is None and kind not in ("application/json", ""):
        raise invalid_argument(f"Unsupported content type: {kind}")
    try:
        body = json.loads(call.body)
    except ValueError:
        raise GmailError(400, "parseError", "Invalid JSON payload received. Parse Error") from None
    if not method.request:
        raise invalid_argument("Invalid JSON payload received. This method takes no body.")
    verify_body(method, body)
    parsed: dict[str, Any] = body
    return parsed


def _mail_bytes(call: RawCall, body: dict[str, Any]) -> int:
    if call.media is not None:
        return len(call.media)
    raw = body.get("raw") or (body.get("message") or {}).get("raw") or ""
    return len(raw) * 3 // 4
