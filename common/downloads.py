"""Owns downloads: a mail's source and its attachments, as files that no browser shows, under the instance's budget.

Works on an open mailbox, whosever it is: who may see the mail is decided before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from werkzeug import Response

from common.errors import NotFound
from common.gmail.client import Gmail
from common.gmail.results import Message
from common.mail.filenames import content_disposition
from common.mail.headers import decode, first_value
from common.mail.reading import find_part, header_pairs
from common.mail.source import extract_part
from common.memory import Reservation, byte_budget
from common.opening import COPIES, named_thing

_PART_ID: Final = re.compile(r"root|\d{1,4}(?:\.\d{1,4}){0,60}")
_SUBJECT_CHARS: Final = 80
_SOURCE_FIELDS: Final = "sizeEstimate,payload/headers"
# Above it an answer goes out in pieces: Cloud Run ends whole ones at 32 MiB.
_STREAMED_ABOVE_BYTES: Final = 1024 * 1024
_PIECE_BYTES: Final = 256 * 1024
# What a browser might run if anything made it show the file after all.
_ACTIVE: Final = re.compile(
    r"text/(?!(?:plain|csv|calendar)$).*|image/svg.*|.*[/+-](?:html|xhtml|xml|javascript|ecmascript|flash)(?:\+.*)?"
)
_BINARY: Final = "application/octet-stream"


@dataclass(frozen=True)
class Download:
    """A file on its way out; the instance's budget holds its bytes until ``reservation`` is released."""

    content: bytes
    filename: str
    content_type: str
    reservation: Reservation


def fetch_source(gmail: Gmail, message_id: str) -> Download:
    """The mail's source (RFC 5322), named by its subject. Raises NotFound; Unavailable where the instance is full."""
    # How big it is has to be known before it is in memory.
    with named_thing():
        about = gmail.fetch_message(message_id, format="metadata", fields=_SOURCE_FIELDS, headers=["Subject"])
    subject = decode(first_value(header_pairs(about), "Subject"))[:_SUBJECT_CHARS].strip()
    return _reserved(
        _source_size_bytes(about), lambda: gmail.fetch_raw(message_id), f"{subject or 'message'}.eml", "message/rfc822"
    )


def fetch_attachment(gmail: Gmail, resource: Message, unverified_part_id: str) -> Download:
    """The content of one part of a mail got by ``fetch_full``. Raises NotFound, Unavailable where the instance is full.

    Attachment ids are good only beside the message just fetched, so that parts are named by their place in it.
    """
    is_part_id = _PART_ID.fullmatch(unverified_part_id)
    part = find_part(resource, unverified_part_id) if is_part_id else None
    if part is None:
        raise NotFound
    message_id, data, attachment_id = str(resource["id"]), part.data, part.attachment_id
    if data is not None:
        return _reserved(len(data), lambda: data, part.filename, part.content_type)
    if attachment_id is not None:
        return _reserved(
            part.size_bytes,
            lambda: gmail.fetch_attachment(message_id, attachment_id),
            part.filename,
            part.content_type,
        )

    def extract() -> bytes:
        content = extract_part(gmail.fetch_raw(message_id), part.part_id)
        if content is None:
            raise NotFound
        return content

    return _reserved(_source_size_bytes(resource), extract, part.filename, part.content_type)


def _reserved(size_bytes: int, fetch: Callable[[], bytes], filename: str, content_type: str) -> Download:
    reservation = byte_budget().reserve(size_bytes * COPIES)
    try:
        content = fetch()
        reservation.resize(len(content))
        return Download(content, filename, content_type, reservation)
    except BaseException:
        reservation.release()
        raise


def _source_size_bytes(resource: Message) -> int:
    return int(resource.get("sizeEstimate", 0))


def file_response(download: Download) -> Response:
    """The file as an attachment that is saved, never shown; big ones go out in pieces."""
    kind = _BINARY if _ACTIVE.fullmatch(download.content_type) else download.content_type
    is_small = len(download.content) <= _STREAMED_ABOVE_BYTES
    body = download.content if is_small else _pieces(download.content)
    response = Response(body, content_type=kind)
    response.headers["Content-Disposition"] = content_disposition(download.filename)
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.call_on_close(download.reservation.release)
    return response


def _pieces(content: bytes) -> Iterator[bytes]:
    view = memoryview(content)
    for start in range(0, len(view), _PIECE_BYTES):
        yield bytes(view[start : start + _PIECE_BYTES])
