"""Owns how mail to send comes in and what is answered: Structs, multipart bodies, the Idempotency-Key.

A mail with files comes as multipart, parsed in memory: no temporary file is ever made. Knows no Gmail, no store.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from werkzeug import Request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header

from common.config import config
from common.errors import BadRequest, Problem, TooLarge
from common.mail.writing import OutgoingAttachment
from common.memory import byte_budget
from common.web import MAX_JSON_BYTES, Call, parse_json

B = TypeVar("B", bound="DraftBody")

_MESSAGE_PART: Final = "message"
_INLINE_PREFIX: Final = "cid:"
_MOST_PARTS: Final = 200
# Heads of parts, and the lines between them.
_FRAME_BYTES: Final = 256 * 1024
# The upload is held once and encoded while it goes out; with what the allocator adds, as measured.
_COPIES: Final = 1.5
# More than a platform lets through (Cloud Run: 32 MiB); what is refused is read up to here, so that the answer arrives.
_MOST_DISCARDED_BYTES: Final = 48 * 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_KEY: Final = re.compile(r"[!-.0-~]{1,128}")


class Recipient(Struct, forbid_unknown_fields=True, kw_only=True):
    address: str
    name: str = ""


Recipients = Annotated[list[Recipient], Meta(max_length=1000)]


class DraftBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """A mail; with files the JSON is the part ``message`` of a multipart body and every other part is a file.

    ``reply``, ``reply_all`` and ``forward`` name the mail meant by ``message_id``; recipients and subject that are left
    out follow from it. A file in a part called ``cid:<id>`` is an image that the HTML shows by that URL. ``quote``:
    the original stands below; a forwarded mail takes its attachments along, or goes as one (``as_attachment``).
    """

    mode: Literal["new", "reply", "reply_all", "forward"] = "new"
    message_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = ""
    from_address: str = msgspec.field(name="from", default="")
    to: Recipients | None = None
    cc: Recipients | None = None
    bcc: Recipients = []
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    quote: bool = True
    as_attachment: bool = False


class SendBody(DraftBody, forbid_unknown_fields=True, kw_only=True):
    """With ``send_at`` the mail waits as a draft in Gmail until then."""

    send_at: datetime | None = None


class MoveBody(Struct, forbid_unknown_fields=True, kw_only=True):
    send_at: datetime


class SendAnswer(Struct, kw_only=True):
    """What became of a mail. ``pending``: under way, ask again; ``unknown``: it may have gone out, look under Sent.

    ``id`` and ``thread_id`` are the sent mail's; ``draft_id`` names the draft of one that waits, failed or was
    cancelled; ``reason`` is a code.
    """

    state: Literal["scheduled", "pending", "sent", "failed", "unknown", "cancelled"]
    id: str = ""
    thread_id: str = ""
    draft_id: str = ""
    send_at: datetime | None = None
    reason: str = ""


class IdentityRow(Struct, kw_only=True):
    """An address that the caller may send from; ``signature`` is sanitised HTML."""

    address: str
    name: str
    signature: str
    reply_to: str
    primary: bool
    default: bool


class IdentitiesAnswer(Struct, kw_only=True):
    identities: list[IdentityRow]


@dataclass(frozen=True, repr=False)
class Parcel:
    """A mail to send as it came in: what the JSON says, and the files."""

    body: DraftBody
    files: tuple[OutgoingAttachment, ...] = ()

    @property
    def send_at(self) -> datetime | None:
        return self.body.send_at if isinstance(self.body, SendBody) else None

    @property
    def fingerprint(self) -> list[str]:
        """Texts that are the same for the same mail, however it was written down; hash them with a key."""
        files = [
            [one.filename, one.content_type, one.content_id, hashlib.sha256(one.data).hexdigest()] for one in self.files
        ]
        return [msgspec.json.encode(self.body, order="deterministic").decode(), *map(repr, files)]


def parse_key(call: Call) -> str:
    """The request's Idempotency-Key, with or without quotes. Raises BadRequest."""
    key = call.request.headers.get("Idempotency-Key", "").strip()
    if not key:
        raise BadRequest("idempotency-key-missing", "send an Idempotency-Key, the same one when trying again")
    return verify_key(key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key)


def verify_key(unverified_key: str) -> str:
    """The key, if it is one. Raises BadRequest."""
    if not _KEY.fullmatch(unverified_key):
        raise BadRequest("invalid-idempotency-key", "1 to 128 visible ASCII characters without a slash")
    return unverified_key


@contextmanager
def receive(call: Call, kind: type[B]) -> Iterator[Parcel]:
    """The request's mail, JSON or multipart; the instance's budget holds its bytes while the block runs.

    Raises BadRequest, TooLarge, or Unavailable where the instance holds too much already.
    """
    content_type, options = parse_options_header(call.request.content_type)
    if content_type.lower() != "multipart/form-data":
        yield Parcel(call.body(kind))
        return
    limit_bytes = config().max_upload_bytes + MAX_JSON_BYTES + _FRAME_BYTES
    stream = _Limited(call.request, limit_bytes)
    try:
        stream.verify_declared_size()
        reservation = byte_budget().reserve(int((call.request.content_length or limit_bytes) * _COPIES))
    except Problem:
        stream.discard()
        raise
    with reservation:
        try:
            parcel = _parse_multipart(stream, options.get("boundary", ""), kind)
        except Problem:
            stream.discard()
            raise
        yield parcel


class _Limited:
    """A request's stream that ends with TooLarge."""

    def __init__(self, request: Request, limit_bytes: int) -> None:
        self._stream: IO[bytes] = request.stream
        self._declared_bytes = request.content_length
        self._limit_bytes = limit_bytes
        self._read_bytes = 0

    def verify_declared_size(self) -> None:
        if (self._declared_bytes or 0) > self._limit_bytes:
            raise self._too_large()

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self._read_bytes += len(piece)
        if self._read_bytes > self._limit_bytes:
            raise self._too_large()
        return piece

    def discard(self) -> None:
        """Reads what is left: a server that closes on unread bytes takes its answer down with them."""
        if (self._declared_bytes or 0) > _MOST_DISCARDED_BYTES:
            return
        try:
            while self._read_bytes < _MOST_DISCARDED_BYTES and (piece := self._stream.read(_PIECE_BYTES)):
                self._read_bytes += len(piece)
        except (HTTPException, OSError):
            return

    def _too_large(self) -> TooLarge:
        return TooLarge("body-too-large", f"at most {self._limit_bytes} bytes are taken here")


def _parse_multipart(stream: Any, boundary: str, kind: type[B]) -> Parcel:
    if not boundary:
        raise BadRequest("invalid-multipart", "the Content-Type names no boundary")
    parser = MultiPartParser(
        # Werkzeug's own factory makes temporary files of big parts.
        stream_factory=lambda *_, **__: io.BytesIO(),
        max_form_memory_size=MAX_JSON_BYTES,
        max_form_parts=_MOST_PARTS,
    )
    try:
        fields, files = parser.parse(stream, boundary.encode(), None)
    except RequestEntityTooLarge as error:
        raise TooLarge("body-too-large", f"at most {MAX_JSON_BYTES} bytes of JSON and {_MOST_PARTS} parts") from error
    except (HTTPException, ValueError) as error:
        raise BadRequest("invalid-multipart", "the body is not multipart/form-data") from error
    if fields.keys() - {_MESSAGE_PART}:
        raise BadRequest("invalid-multipart", "every part but message is a file, and has a file name")
    message = fields.get(_MESSAGE_PART)
    # A browser's FormData gives a Blob a file name.
    stored = files.poplist(_MESSAGE_PART)
    if message is None and stored:
        message = _content(stored[0])[: MAX_JSON_BYTES + 1].decode("utf-8", "surrogateescape")
    if message is None:
        raise BadRequest("invalid-multipart", "the part called message, with the JSON, is missing")
    if len(message) > MAX_JSON_BYTES:
        raise TooLarge("body-too-large", f"at most {MAX_JSON_BYTES} bytes of JSON")
    body = parse_json(message.encode("utf-8", "surrogateescape"), kind)
    return Parcel(body, tuple(_attachment(name or "", one) for name, one in files.items(multi=True)))


def _attachment(part_name: str, file: FileStorage) -> OutgoingAttachment:
    is_inline = part_name.startswith(_INLINE_PREFIX)
    return OutgoingAttachment(
        filename=file.filename or "",
        content_type=file.content_type or "application/octet-stream",
        data=_content(file),
        content_id=part_name.removeprefix(_INLINE_PREFIX) if is_inline else "",
    )


def _content(file: FileStorage) -> bytes:
    # Of a BytesIO, this shares its memory.
    return file.stream.getvalue() if isinstance(file.stream, io.BytesIO) else file.stream.read()
