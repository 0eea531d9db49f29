"""The control endpoint of the local stack: faults, the clock, the ledger and arriving mail, over HTTP as JSON.

For tests in other processes, benchmarks and curious people. Owns nothing: it hands on to clock, faults, ledger and the
Gmail stand-in. Takes JSON only, so that no web page elsewhere can reach it without a CORS preflight, which it refuses.
"""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Protocol

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from local.faults import Fault
from local.ledger import as_rows

if TYPE_CHECKING:
    from local.clock import LocalClock
    from local.faults import Faults
    from local.ledger import Ledger

_FAULT_TYPES: dict[str, tuple[type, ...]] = {
    "service": (str,),
    "method": (str,),
    "mailbox": (str,),
    "status": (int,),
    "reason": (str,),
    "message": (str,),
    "delay_s": (int, float),
    "drop_answer": (bool,),
    "count": (int,),
    "skip": (int,),
}
_HEADERS = {
    "from": "From",
    "cc": "Cc",
    "reply_to": "Reply-To",
    "subject": "Subject",
    "message_id": "Message-ID",
    "in_reply_to": "In-Reply-To",
    "references": "References",
}
_MAIL_FIELDS = {"raw_base64", "to", "auth", "labels", "at", "text", "html", "headers", "attachments", *_HEADERS}


class MailDelivery(Protocol):
    """What the control endpoint needs of the Gmail stand-in."""

    def deliver(
        self,
        raw: bytes,
        *,
        to: str | Sequence[str],
        auth: str | None = None,
        labels: Sequence[str] = ("INBOX", "UNREAD"),
        at: datetime | None = None,
    ) -> dict[str, str]:
        """Delivers as SMTP does and returns the message's id by mailbox. Raises KeyError for an unknown mailbox."""
        ...


class BadInput(Exception):
    """A request that cannot be understood; the text says what must be changed."""


class Control:
    """The endpoint; ``app`` is its WSGI application."""

    def __init__(self, clock: LocalClock, faults: Faults, ledger: Ledger, mail: MailDelivery) -> None:
        self._clock = clock
        self._faults = faults
        self._ledger = ledger
        self._mail = mail
        self.app = self._make_app()

    def _make_app(self) -> Flask:
        app = Flask("local.control")
        for path, method, view in (
            ("/faults", "POST", self._post_fault),
            ("/faults", "GET", self._get_faults),
            ("/faults", "DELETE", self._delete_faults),
            ("/clock", "POST", self._post_clock),
            ("/clock", "GET", self._get_clock),
            ("/ledger", "GET", self._get_ledger),
            ("/ledger/summary", "GET", self._get_summary),
            ("/mail", "POST", self._post_mail),
        ):
            app.add_url_rule(path, f"{method} {path}", view, methods=[method])
        app.register_error_handler(BadInput, _bad_input)
        app.register_error_handler(HTTPException, _http_error)
        return app

    def _post_fault(self) -> tuple[Response, int]:
        fault = self._faults.inject(parse_fault(_body()))
        return jsonify(asdict(fault)), 201

    def _get_faults(self) -> Response:
        return jsonify({"faults": [asdict(fault) for fault in self._faults.waiting()]})

    def _delete_faults(self) -> tuple[str, int]:
        self._faults.clear()
        return "", 204

    def _post_clock(self) -> Response:
        body = _body()
        _refuse_unknown(body, {"advance_s"})
        seconds = _typed(body, "advance_s", (int, float))
        if seconds is None or not 0 <= seconds < float("inf"):
            raise BadInput("advance_s must be a number of seconds, 0 or more: the clock only moves forward")
        self._clock.advance(seconds)
        return self._get_clock()

    def _get_clock(self) -> Response:
        return jsonify({"now": self._clock.now().isoformat()})

    def _get_ledger(self) -> Response:
        mark = self._ledger.mark()
        calls = self._ledger.since(_since(), service=request.args.get("service"), mailbox=request.args.get("mailbox"))
        return jsonify({"mark": mark, "calls": as_rows(calls)})

    def _get_summary(self) -> Response:
        mark = self._ledger.mark()
        sums: defaultdict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        for call in self._ledger.since(_since(), service=request.args.get("service")):
            entry = sums[call.service, call.mailbox, call.method]
            entry[0] += 1
            entry[1] += call.units
        rows = [
            {"service": service, "mailbox": mailbox, "method": method, "calls": calls, "units": units}
            for (service, mailbox, method), (calls, units) in sorted(sums.items())
        ]
        return jsonify({"mark": mark, "rows": rows})

    def _post_mail(self) -> tuple[Response, int]:
        body = _body()
        _refuse_unknown(body, _MAIL_FIELDS)
        to = _addresses(body, "to")
        auth, at = _typed(body, "auth", (str,)), _parse_at(body)
        labels = _strings(body, "labels") or ["INBOX", "UNREAD"]
        raw = _parse_raw(body) if "raw_base64" in body else compose(body, to, at or self._clock.now())
        try:
            delivered = self._mail.deliver(raw, to=to, auth=auth, labels=labels, at=at)
        except KeyError as error:
            raise BadInput("to names a mailbox that does not exist here") from error
        return jsonify({"delivered": delivered}), 201


def parse_fault(body: Mapping[str, Any]) -> Fault:
    """The fault that a JSON object describes. Raises BadInput."""
    _refuse_unknown(body, _FAULT_TYPES)
    values = {name: _typed(body, name, kinds) for name, kinds in _FAULT_TYPES.items() if name in body}
    if not values.get("service"):
        raise BadInput("service must name the stand-in that fails")
    fault = Fault(**values)
    if fault.count < 1 or fault.skip < 0 or not 0 <= fault.delay_s <= 600:
        raise BadInput("count must be 1 or more, skip 0 or more, delay_s 0 to 600")
    if fault.status != 0 and not 400 <= fault.status <= 599:
        raise BadInput("status must be 0 (the call succeeds) or an HTTP error, 400 to 599")
    return fault


def compose(body: Mapping[str, Any], to: Sequence[str], date: datetime) -> bytes:
    """The mail that a JSON object describes, as MIME. Raises BadInput."""
    mail = EmailMessage()
    try:
        mail["To"] = ", ".join(to)
        mail["Date"] = format_datetime(date)
        for name, header in _HEADERS.items():
            value = _typed(body, name, (str,))
            if value is not None:
                mail[header] = value
        for header, value in _headers(body).items():
            mail[header] = value
    except (ValueError, MessageError) as error:
        raise BadInput("a header's value cannot stand in a mail") from error
    if mail["From"] is None:
        raise BadInput("from must say who sends; or give the whole mail as raw_base64")
    mail.set_content(_typed(body, "text", (str,)) or "")
    html = _typed(body, "html", (str,))
    if html is not None:
        mail.add_alternative(html, subtype="html")
    for attachment in _attachments(body):
        _attach(mail, attachment)
    return mail.as_bytes()


def _attach(mail: EmailMessage, attachment: Mapping[str, Any]) -> None:
    _refuse_unknown(attachment, {"filename", "content_type", "data_base64", "content_id"})
    kind = _typed(attachment, "content_type", (str,)) or "application/octet-stream"
    maintype, slash, subtype = kind.partition("/")
    if not (maintype and slash and subtype):
        raise BadInput("content_type must be like application/pdf")
    data = _decoded(_typed(attachment, "data_base64", (str,)) or "", "data_base64")
    content_id = _typed(attachment, "content_id", (str,))
    shown: dict[str, Any] = {"cid": f"<{content_id}>", "disposition": "inline"} if content_id else {}
    mail.add_attachment(data, maintype, subtype, filename=_typed(attachment, "filename", (str,)), **shown)


def _body() -> Mapping[str, Any]:
    if not request.is_json:
        raise BadInput("the body must be application/json")
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise BadInput("the body must be a JSON object")
    return body


def _refuse_unknown(body: Mapping[str, Any], known: Mapping[str, Any] | set[str]) -> None:
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise BadInput(f"unknown: {', '.join(unknown)}; known are {', '.join(sorted(known))}")


def _typed(body: Mapping[str, Any], name: str, kinds: tuple[type, ...]) -> Any:
    value = body.get(name)
    # A bool is an int in Python, but not in JSON.
    fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    if value is not None and not fits:
        raise BadInput(f"{name} must be {' or '.join(kind.__name__ for kind in kinds)}")
    return value


def _strings(body: Mapping[str, Any], name: str) -> list[str]:
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise BadInput(f"{name} must be a list of texts")
    return value


def _addresses(body: Mapping[str, Any], name: str) -> list[str]:
    addresses = [body[name]] if isinstance(body.get(name), str) else _strings(body, name)
    if not addresses or not all("@" in address for address in addresses):
        raise BadInput(f"{name} must be an address or a list of addresses")
    return addresses


def _headers(body: Mapping[str, Any]) -> dict[str, str]:
    headers = body.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise BadInput("headers must be an object of texts")
    return headers


def _attachments(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    attachments = body.get("attachments", [])
    if not isinstance(attachments, list) or not all(isinstance(one, dict) for one in attachments):
        raise BadInput("attachments must be a list of {filename, content_type, data_base64, content_id}")
    return attachments


def _parse_raw(body: Mapping[str, Any]) -> bytes:
    composed = sorted(set(body) & {"text", "html", "headers", "attachments", *_HEADERS})
    if composed:
        raise BadInput(f"raw_base64 is the whole mail: leave out {', '.join(composed)}")
    return _decoded(_typed(body, "raw_base64", (str,)) or "", "raw_base64")


def _parse_at(body: Mapping[str, Any]) -> datetime | None:
    text = _typed(body, "at", (str,))
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput("at must be an RFC 3339 time") from error
    if at.tzinfo is None:
        raise BadInput("at must say its time zone")
    return at.astimezone(UTC)


def _decoded(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(f"{name} must be base64") from error


def _since() -> int:
    since = request.args.get("since", "0")
    if not (since.isascii() and since.isdigit()):
        raise BadInput("since must be a mark of the ledger: a number, 0 or more")
    return int(since)


def _bad_input(error: BadInput) -> tuple[Response, int]:
    return jsonify({"message": str(error)}), 400


def _http_error(error: HTTPException) -> tuple[Response, int]:
    return jsonify({"message": error.description}), error.code or 500
