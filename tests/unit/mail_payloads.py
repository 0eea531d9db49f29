"""Builds Gmail-like message resources out of raw mails, for the tests of the mail package.

Follows what is known of format=full: part ids ``""``, ``0``, ``0.1``; texts in UTF-8, base64url; files behind an
attachment id; forwarded mails with their own tree.
"""

from __future__ import annotations

import base64
from email import message_from_bytes
from email.header import decode_header
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from email.message import Message

MAILS = Path(__file__).parents[3] / "shared" / "mail"
PYTHON_CHARSETS = {"ks_c_5601-1987": "cp949", "x-unknown": "utf-8", "iso-8859-1": "cp1252", "us-ascii": "utf-8"}

needs_mails = pytest.mark.skipif(not MAILS.is_dir(), reason=f"SKIPPED LOUDLY: the hundred mails are not at {MAILS}")


def all_mails() -> list[Path]:
    """The hundred mails, or none where they are absent."""
    return sorted(MAILS.glob("*/*.eml"))


def mail(name: str) -> dict[str, Any]:
    """The resource of one of the hundred mails, by its path below the folder."""
    return resource((MAILS / name).read_bytes())


def resource(raw: bytes, **more: Any) -> dict[str, Any]:
    """A message resource as messages.get with format=full answers it."""
    fields = {"id": "m1", "threadId": "t1", "labelIds": ["INBOX", "UNREAD"], "internalDate": "1767225600123"}
    return {**fields, "snippet": "Tom &amp; I", "payload": part_of(message_from_bytes(raw), ""), **more}


def part_of(message: Message, part_id: str) -> dict[str, Any]:
    """One part of the payload tree, with those below it."""
    payload = message.get_payload()
    children = [child for child in payload if not isinstance(child, str)] if isinstance(payload, list) else []
    filename = _decoded(message.get_filename() or "")
    part: dict[str, Any] = {
        "partId": part_id,
        "mimeType": message.get_content_type(),
        "filename": filename,
        "headers": [{"name": name, "value": _printable(str(value))} for name, value in message.raw_items()],
    }
    if children:
        prefix = f"{part_id}." if part_id else ""
        parts = [part_of(child, f"{prefix}{index}") for index, child in enumerate(children)]
        return {**part, "body": {"size": 0}, "parts": parts}
    return {**part, "body": _body(message, is_file=bool(filename))}


def _body(message: Message, *, is_file: bool) -> dict[str, Any]:
    content = message.get_payload(decode=True)
    data = content if isinstance(content, bytes) else b""
    if is_file or message.get_content_maintype() not in {"text", "multipart"}:
        return {"attachmentId": "changes-at-each-get", "size": len(data)}
    charset = str(message.get_content_charset() or "utf-8").lower()
    try:
        text = data.decode(PYTHON_CHARSETS.get(charset, charset), "replace").encode()
    except LookupError:
        text = data.decode("utf-8", "replace").encode()
    return {"size": len(text), "data": base64.urlsafe_b64encode(text).decode()} if text else {"size": 0}


def _decoded(value: str) -> str:
    pieces = decode_header(value)
    return "".join(
        piece.decode(charset or "utf-8", "replace") if isinstance(piece, bytes) else piece for piece, charset in pieces
    )


def _printable(value: str) -> str:
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
