"""Owns the reading of Gmail's message resources: the one module of the mail package that knows their shape.

May import only the mail package. Nothing here raises on what a mail holds. Bodies come from Gmail as UTF-8 in
base64url, whatever charset the part's own header names (developers.google.com/gmail/api, format=full).
"""

from __future__ import annotations

import base64
import binascii
import html as markup
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from common.mail import headers as header
from common.mail.addresses import Address, from_address, parse_addresses
from common.mail.authentication import is_authenticated
from common.mail.calendar import parse_invitation
from common.mail.filenames import clean_filename
from common.mail.html import INLINE_IMAGE_TYPES, text_to_html
from common.mail.limits import (
    MAX_ADDRESSES,
    MAX_BODY_BYTES,
    MAX_HTML_CHARS,
    MAX_LEVELS,
    MAX_NAME_CHARS,
    MAX_PARTS,
    MAX_TEXT_CHARS,
    MOST_IN_A_ROW,
)
from common.mail.plain import html_to_text
from common.mail.reports import parse_delivery_report, parse_failed_recipients
from common.mail.view import Attachment, AttachmentKind, Invitation, MessageView, RecipientReport, Summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from common.mail.headers import Headers

    Resource = Mapping[str, Any]

FULL_FIELDS = "id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate,payload"
"""The ``fields`` of messages.get with format=full for ``read_message``."""

SUMMARY_HEADERS = (
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Authentication-Results",
)
"""The ``metadataHeaders`` of messages.get with format=metadata for ``read_summary``."""

SUMMARY_FIELDS = (
    "id,threadId,labelIds,snippet,historyId,internalDate,"
    "payload(headers,mimeType,filename,parts(mimeType,filename,parts(mimeType,filename,parts(mimeType,filename))))"
)
"""The ``fields`` of messages.get with format=full for ``read_summary``: no bodies, but names of attachments."""

NOTICE_HEADERS = ("From", "Authentication-Results")
"""The ``metadataHeaders`` that a notice needs."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONTENT_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
_CID = re.compile(r"""(?i)\bcid:([^"'\s<>)]{1,998})""")
_REPORTS = frozenset({"message/delivery-status", "message/global-delivery-status", "message/disposition-notification"})
_CALENDARS = frozenset({"text/calendar", "application/ics"})
_MAX_SUBJECT_CHARS = 2_000
_MAX_CALENDAR_BYTES = 200_000
_MESSAGES = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})


@dataclass(frozen=True)
class PartSource:
    """Where the content of a part is: in ``data``, or to be fetched by ``attachment_id`` (which changes at each get).

    With neither, Gmail gives the part only within the whole source (``raw_part``).
    """

    part_id: str
    filename: str
    content_type: str
    size_bytes: int
    attachment_id: str | None
    data: bytes | None


def header_pairs(resource: Resource) -> list[tuple[str, str]]:
    """The top headers of a message resource, in order, as (name, value)."""
    return _header_pairs(_mapping(resource.get("payload")))


def read_summary(resource: Resource) -> Summary:
    """The row of a message resource got with SUMMARY_HEADERS or SUMMARY_FIELDS."""
    payload = _mapping(resource.get("payload"))
    headers = _header_pairs(payload)
    has_tree = "parts" in payload or not str(payload.get("mimeType", "")).startswith("multipart/")
    files = any(part.get("filename") for part, _level in _walk(payload))
    return Summary(**_row(resource, headers, MOST_IN_A_ROW), has_attachments=files if has_tree else None)


def read_message(resource: Resource, fetched: Mapping[str, bytes] | None = None) -> MessageView:
    """The mail of a message resource got with format=full.

    ``fetched`` holds, by part id, what ``missing_bodies`` named: long texts that Gmail keeps apart.
    """
    return read_known(resource, fetched)[0]


def read_known(resource: Resource, fetched: Mapping[str, bytes] | None = None) -> tuple[MessageView, list[PartSource]]:
    """``read_message`` and ``missing_bodies`` in one walk: what is known already, and what has to be fetched for it."""
    payload = _mapping(resource.get("payload"))
    headers = _header_pairs(payload)
    reader = _Reader(fetched or {})
    text, html = _merged(reader.bodies(payload, 0))
    shown = _referenced_cids(html or "")
    view = MessageView(
        **_row(resource, headers),
        has_attachments=any(file.content_id not in shown for file in reader.attachments),
        bcc=_addresses(headers, "Bcc"),
        reply_to=_addresses(headers, "Reply-To"),
        references=tuple(header.references(headers)),
        text=text if text is None else text[:MAX_TEXT_CHARS],
        unverified_html=html,
        attachments=tuple(_with_inline(file, shown) for file in reader.attachments),
        delivery_report=reader.delivery_report or _failed_recipients(headers),
        calendar_method=reader.calendar_method,
        invitation=reader.invitation,
        cut=reader.cut or len(text or "") > MAX_TEXT_CHARS,
    )
    return view, reader.missing


def missing_bodies(resource: Resource) -> list[PartSource]:
    """The body parts whose text is not in the resource and has to be fetched by attachment id first."""
    reader = _Reader({})
    reader.bodies(_mapping(resource.get("payload")), 0)
    return reader.missing


def missing_calendar(resource: Resource) -> PartSource | None:
    """The calendar part that has to be fetched by attachment id before ``read_message`` can say what it invites to."""
    parts = [part for part, _level in _walk(_mapping(resource.get("payload"))) if _mime_type(part) in _CALENDARS]
    sources = [_source(part) for part in parts]
    if any(source.data for source in sources):
        return None
    return next((one for one in sources if one.attachment_id and one.size_bytes <= _MAX_CALENDAR_BYTES), None)


def find_part(resource: Resource, part_id: str) -> PartSource | None:
    """The part with this id (``root`` for a mail that is one part), or None."""
    for part, _level in _walk(_mapping(resource.get("payload"))):
        if _part_id(part) == part_id:
            return _source(part)
    return None


def _row(resource: Resource, headers: Headers, most: int = MAX_ADDRESSES) -> dict[str, Any]:
    sender = from_address(headers)
    return {
        "id": str(resource.get("id", "")),
        "thread_id": str(resource.get("threadId", "")),
        "from_": _from(headers),
        "to": _addresses(headers, "To", most),
        "cc": _addresses(headers, "Cc", most),
        "subject": header.decode(header.first_value(headers, "Subject"))[:_MAX_SUBJECT_CHARS],
        "date": header.parse_date(header.first_value(headers, "Date")),
        "received_at": _received_at(resource.get("internalDate")),
        "snippet": header.clean_text(markup.unescape(str(resource.get("snippet", "")))).strip(),
        "label_ids": tuple(str(label) for label in _list(resource.get("labelIds"))),
        "message_id": header.message_id(headers),
        "is_authenticated": sender is not None and is_authenticated(headers, sender),
    }


def _from(headers: Headers) -> Address | None:
    """The first From address; where none can be read, what is written there, as a name without an address."""
    values = header.all_values(headers, "From")
    found = parse_addresses(values, most=1)
    if found:
        return found[0]
    written = header.decode(values[0]) if values else ""
    return Address(written[:MAX_NAME_CHARS], "") if written else None


def _addresses(headers: Headers, name: str, most: int = MAX_ADDRESSES) -> tuple[Address, ...]:
    return tuple(parse_addresses(header.all_values(headers, name), most=most))


def _received_at(internal_date: object) -> datetime:
    try:
        return datetime.fromtimestamp(int(str(internal_date)) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return _EPOCH


def _failed_recipients(headers: Headers) -> tuple[RecipientReport, ...] | None:
    # Any sender may write this header; it counts in mails of mail systems only.
    sender = from_address(headers) or ""
    if sender.partition("@")[0] not in {"mailer-daemon", "postmaster"}:
        return None
    return parse_failed_recipients(header.all_values(headers, "X-Failed-Recipients")) or None


@dataclass(frozen=True)
class _Body:
    """One piece of the body: as text, as HTML, or as both where the sender offers a choice."""

    text: str | None
    html: str | None


class _Reader:
    """Walks a payload tree once, and collects what is body and what is not."""

    def __init__(self, fetched: Mapping[str, bytes]) -> None:
        self.fetched = fetched
        self.attachments: list[Attachment] = []
        self.missing: list[PartSource] = []
        self.delivery_report: tuple[RecipientReport, ...] | None = None
        self.calendar_method: str | None = None
        self.invitation: Invitation | None = None
        self.cut = False
        self._parts = 0

    def bodies(self, part: Resource, level: int) -> list[_Body]:
        """The pieces of the body in this part, in order; all else becomes attachments."""
        self._parts += 1
        if self._parts > MAX_PARTS or level > MAX_LEVELS:
            self.cut = True
            return []
        kind, children = _mime_type(part), _children(part)
        if kind == "multipart/alternative" and children:
            return self._alternative(children, level)
        if kind.startswith("multipart/") and children:
            return [body for child in children for body in self.bodies(child, level + 1)]
        return self._leaf(part, kind)

    def _alternative(self, children: Sequence[Resource], level: int) -> list[_Body]:
        """The best form of each kind (RFC 2046, 5.1.4: the last is the richest)."""
        offers = [_merged(self.bodies(child, level + 1)) for child in children]
        texts = [text for text, html in offers if text is not None and html is None]
        htmls = [html for _text, html in offers if html is not None]
        if not htmls and not texts:
            return []
        inner = [text for text, _html in offers if text is not None]
        text = texts[-1] if texts else (inner[-1] if inner else None)
        return [_Body(text, htmls[-1] if htmls else None)]

    def _leaf(self, part: Resource, kind: str) -> list[_Body]:
        if kind in _REPORTS:
            self._read_report(part)
        if (kind in {"text/plain", "text/html"} or kind.startswith("multipart/")) and not _is_file(part):
            text = self._text(part)
            if text is not None:
                return [_Body(None, text) if kind == "text/html" else _Body(text, None)]
            if not _body(part).get("attachmentId"):
                return []
        self.attachments.append(_attachment(part, kind))
        if kind in _CALENDARS:
            self._read_calendar(part)
        return []

    def _text(self, part: Resource) -> str | None:
        """The text of the part; None where there is none or it must be fetched first."""
        data = self.fetched.get(_part_id(part))
        source = _source(part)
        data = source.data if data is None else data
        if data is None:
            self.missing.extend([source] if source.attachment_id else [])
            return None
        self.cut = self.cut or len(data) > MAX_BODY_BYTES
        return header.clean_text(data[:MAX_BODY_BYTES].decode("utf-8", "replace"))

    def _read_calendar(self, part: Resource) -> None:
        self.calendar_method = self.calendar_method or _calendar_method(part)
        data = self.fetched.get(_part_id(part)) or _source(part).data
        if data and not self.invitation:
            self.invitation = parse_invitation(data[:MAX_BODY_BYTES].decode("utf-8", "replace"))

    def _read_report(self, part: Resource) -> None:
        text = self._text(part) or ""
        children = _children(part)[:MAX_PARTS]
        nested = [_header_pairs(child) for child in children]
        inner = [_source(child).data or b"" for child in children]
        blocks = [text, *(data.decode("utf-8", "replace") for data in inner)]
        blocks += ["\n".join(f"{name}: {value}" for name, value in pairs) for pairs in nested]
        self.delivery_report = (self.delivery_report or ()) + parse_delivery_report("\n\n".join(blocks))


def _merged(bodies: Sequence[_Body]) -> tuple[str | None, str | None]:
    """The pieces as one text and one HTML; a form that no piece has is None."""
    html = text = None
    if any(body.html is not None for body in bodies):
        html = "".join(text_to_html(body.text or "") if body.html is None else body.html for body in bodies)
    if any(body.text is not None for body in bodies):
        texts = (html_to_text(body.html or "") if body.text is None else body.text for body in bodies)
        text = "\n".join(texts)
    return text, html


def _referenced_cids(html: str) -> frozenset[str]:
    return frozenset(unquote(markup.unescape(found[1])) for found in _CID.finditer(html[:MAX_HTML_CHARS]))


def _with_inline(file: Attachment, shown: frozenset[str]) -> Attachment:
    return replace(file, inline=file.content_type in INLINE_IMAGE_TYPES and file.content_id in shown)


def _attachment(part: Resource, kind: str) -> Attachment:
    source = _source(part)
    content_id = header.first_value(_header_pairs(part), "Content-ID").strip().strip("<>").strip()
    return Attachment(
        part_id=source.part_id,
        filename=source.filename,
        content_type=source.content_type,
        size_bytes=source.size_bytes,
        inline=False,
        content_id=header.clean_text(content_id),
        kind=_attachment_kind(kind, source.filename),
    )


def _attachment_kind(kind: str, filename: str) -> AttachmentKind:
    if kind in _REPORTS:
        return "delivery_report"
    if kind in _MESSAGES:
        return "message"
    return "calendar" if kind in _CALENDARS or filename.lower().endswith(".ics") else "file"


def _source(part: Resource) -> PartSource:
    body = _body(part)
    data = body.get("data")
    attachment_id = body.get("attachmentId")
    kind = _mime_type(part)
    return PartSource(
        part_id=_part_id(part),
        filename=clean_filename(_filename(part) or _default_filename(part, kind), kind),
        content_type=kind if _CONTENT_TYPE.fullmatch(kind) else "application/octet-stream",
        size_bytes=_size_bytes(part),
        attachment_id=str(attachment_id) if attachment_id else None,
        data=_decoded(data) if isinstance(data, str) and data else (None if attachment_id or _children(part) else b""),
    )


def _decoded(data: str) -> bytes:
    digits = data.rstrip("=")
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    try:
        return base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    except (binascii.Error, ValueError):
        return b""


def _size_bytes(part: Resource) -> int:
    # A forwarded mail's own size is not told; that of its parts is.
    return sum(size for inner, _level in _walk(part) if isinstance(size := _body(inner).get("size"), int))


def _is_file(part: Resource) -> bool:
    disposition, _parameters = header.parse_parameters(header.first_value(_header_pairs(part), "Content-Disposition"))
    if disposition == "attachment":
        return True
    # A mail that is nothing but a text is read, whatever name the text has.
    return bool(_filename(part)) and not (_part_id(part) == "root" and bool(_body(part).get("data")))


def _filename(part: Resource) -> str:
    given = header.decode(str(part.get("filename") or ""))
    if given and "\ufffd" not in given:
        return given
    headers = _header_pairs(part)
    _disposition, named = header.parse_parameters(header.first_value(headers, "Content-Disposition"))
    if named.get("filename"):
        return named["filename"]
    content_type = header.first_value(headers, "Content-Type")
    # Most texts say a charset alone; RFC 2231 writes name*, too.
    typed = header.parse_parameters(content_type)[1] if "name" in content_type.lower() else {}
    return typed.get("name") or given


def _default_filename(part: Resource, kind: str) -> str:
    if kind in _CALENDARS:
        return "invite.ics"
    if kind in _REPORTS:
        return "delivery-report.txt"
    if kind not in _MESSAGES:
        return ""
    inner = _header_pairs(next(iter(_children(part)), {}))
    return f"{header.decode(header.first_value(inner, 'Subject'))[:80] or 'message'}.eml"


def _calendar_method(part: Resource) -> str | None:
    value = header.first_value(_header_pairs(part), "Content-Type")
    method = header.parse_parameters(value)[1].get("method", "").upper()
    return method if re.fullmatch(r"[A-Z-]{1,20}", method) else None


def _walk(payload: Resource) -> Iterator[tuple[Resource, int]]:
    """Every part with its level, depth first in document order, within the limits."""
    stack: list[tuple[Resource, int]] = [(payload, 0)]
    for _count in range(MAX_PARTS):
        if not stack:
            return
        part, level = stack.pop()
        yield part, level
        if level < MAX_LEVELS:
            stack.extend((child, level + 1) for child in reversed(_children(part)[:MAX_PARTS]))


def _header_pairs(part: Resource) -> list[tuple[str, str]]:
    pairs = (_mapping(pair) for pair in _list(part.get("headers")))
    return [(str(pair.get("name", "")), str(pair.get("value", ""))) for pair in pairs]


def _mime_type(part: Resource) -> str:
    return str(part.get("mimeType") or "text/plain").strip().lower()


def _part_id(part: Resource) -> str:
    return str(part.get("partId") or "") or "root"


def _children(part: Resource) -> list[Resource]:
    return [_mapping(child) for child in _list(part.get("parts"))]


def _body(part: Resource) -> Resource:
    return _mapping(part.get("body"))


def _mapping(value: object) -> Resource:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
