"""Owns parts taken out of a mail's whole source, where Gmail gives them in no other way. Imports nothing of ours."""

from __future__ import annotations

from email import message_from_bytes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import Message


_MAX_INDEX_DIGITS = 6


def extract_part(raw: bytes, part_id: str) -> bytes | None:
    """The decoded content of the part that Gmail numbers ``part_id`` (``root`` for the whole), or None.

    A forwarded mail (message/rfc822) comes out as its source, a delivery report as its fields.
    """
    part: Message | None = message_from_bytes(raw)
    for index in [] if part_id == "root" else part_id.split("."):
        part = _child(part, index) if part is not None else None
    return None if part is None else _content(part)


def _child(part: Message, index: str) -> Message | None:
    children = part.get_payload()
    if not isinstance(children, list) or not index.isascii() or not index.isdigit() or len(index) > _MAX_INDEX_DIGITS:
        return None
    child = next(iter(children[int(index) : int(index) + 1]), None)
    return None if isinstance(child, str) else child


def _content(part: Message) -> bytes | None:
    if not part.is_multipart():
        content = part.get_payload(decode=True)
        return content if isinstance(content, bytes) else None
    if part.get_content_maintype() != "message":
        return None
    return b"\n".join(child.as_bytes() for child in part.get_payload() if not isinstance(child, str))
