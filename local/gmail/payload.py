"""MIME to Gmail's payload tree. Pure.

Bodies of text come out in UTF-8, whatever their charset was; what has a file name, is no text or is long stays behind
an attachment id. A broken mail gives a poorer tree, never an error.
"""

from __future__ import annotations

import base64
import email
import html
import re
from collections.abc import Callable, Collection, Iterator
from email.message import Message as MimePart
from email.parser import BytesHeaderParser
from email.policy import compat32
from html.parser import HTMLParser
from typing import Any

from local.gmail.wire import decode_bytes, decode_words, guess_text, unfold

# Longer texts are not put into the answer: Gmail gives them an attachment id as well.
INLINE_LIMIT_BYTES = 500_000
SNIPPET_CHARACTERS = 200
_MAX_DEPTH = 60
# Python would else fold long headers anew and put a ">" before lines that begin with "From ".
_AS_IT_CAME = compat32.clone(linesep="\r\n", mangle_from_=False, max_line_length=None)
_ADDRESS_HEADERS = frozenset({"from", "to", "cc", "bcc", "reply-to", "sender"})

NewAttachmentId = Callable[[str], str]


def parse_mime(raw: bytes) -> MimePart[str, str]:
    """The mail as Python's parser sees it: with defects noted, never refused."""
    try:
        return email.message_from_bytes(raw)
    except RecursionError:
        # Nested deeper than Python's parser goes: the header is all that is looked at.
        return BytesHeaderParser().parsebytes(raw)


def parse_payload(raw: bytes, new_attachment_id: NewAttachmentId) -> dict[str, Any]:
    """The whole tree, as ``format=full`` gives it."""
    return _node(parse_mime(raw), "", new_attachment_id)


def parse_metadata(raw: bytes, wanted: Collection[str]) -> dict[str, Any]:
    """The payload of ``format=metadata``: the headers asked for (all, if none is named), no tree."""
    mime = parse_mime(raw)
    names = {name.lower() for name in wanted}
    headers = [header for header in parse_headers(mime) if not names or header["name"].lower() in names]
    return {"mimeType": mime.get_content_type(), "headers": headers}


def parse_headers(mime: MimePart[str, str]) -> list[dict[str, str]]:
    """The part's headers, values unfolded and decoded."""
    found = []
    for name, value in mime.raw_items():
        text = unfold(guess_text(str(value).encode("utf-8", "surrogateescape")))
        found.append({"name": name, "value": decode_words(text, quote=name.lower() in _ADDRESS_HEADERS)})
    return found


def part_content(raw: bytes, part_id: str) -> bytes | None:
    """The decoded content behind an attachment id; None where the mail has no such part."""
    for found_id, mime in _walk(parse_mime(raw), ""):
        if found_id == part_id:
            return _content(mime)
    return None


def _children(mime: MimePart[str, str]) -> list[MimePart[str, str]]:
    payload = mime.get_payload()
    if not isinstance(payload, list):
        return []
    return [child for child in payload if isinstance(child, MimePart)]


def _child_id(part_id: str, index: int) -> str:
    return f"{part_id}.{index}" if part_id else str(index)


def _walk(mime: MimePart[str, str], part_id: str, depth: int = 0) -> Iterator[tuple[str, MimePart[str, str]]]:
    yield part_id, mime
    if depth < _MAX_DEPTH:
        for index, child in enumerate(_children(mime)):
            yield from _walk(child, _child_id(part_id, index), depth + 1)


def _node(mime: MimePart[str, str], part_id: str, new_attachment_id: NewAttachmentId, depth: int = 0) -> dict[str, Any]:
    children = _children(mime) if depth < _MAX_DEPTH else []
    name = file_name(mime)
    node: dict[str, Any] = {
        "partId": part_id,
        "mimeType": _mime_type(mime),
        "filename": name,
        "headers": parse_headers(mime),
        "body": _body(mime, part_id, name, new_attachment_id, container=bool(children)),
    }
    if children:
        node["parts"] = [
            _node(child, _child_id(part_id, index), new_attachment_id, depth + 1)
            for index, child in enumerate(children)
        ]
    return node


def _mime_type(mime: MimePart[str, str]) -> str:
    """The declared type; a multipart without parts is shown as the text that it is."""
    kind = mime.get_content_type()
    return "text/plain" if kind.startswith("multipart/") and not mime.is_multipart() else kind


def _body(
    mime: MimePart[str, str], part_id: str, name: str, new_attachment_id: NewAttachmentId, *, container: bool
) -> dict[str, Any]:
    if container and not (name and mime.get_content_maintype() == "message"):
        return {"size": 0}
    if _is_inline_text(mime, name):
        # UTF-7 can spell halves of a character, which UTF-8 has no bytes for.
        data = text_of(mime).encode("utf-8", "replace")
        if len(data) <= INLINE_LIMIT_BYTES:
            return {"size": len(data), "data": encode(data)} if data else {"size": 0}
    content = _content(mime)
    return {"attachmentId": new_attachment_id(part_id), "size": len(content)}


def _is_inline_text(mime: MimePart[str, str], name: str) -> bool:
    return _mime_type(mime).startswith("text/") and not name and _disposition(mime) != "attachment"


def _disposition(mime: MimePart[str, str]) -> str:
    return str(mime.get("Content-Disposition", "")).split(";")[0].strip().lower()


def file_name(mime: MimePart[str, str]) -> str:
    """The part's file name, RFC 2231 and encoded words decoded; empty where it has none."""
    try:
        name = mime.get_filename()
    except (ValueError, LookupError, TypeError):
        return ""
    if not name:
        return ""
    return decode_words(unfold(guess_text(name.encode("utf-8", "surrogateescape"))))


def _content(mime: MimePart[str, str]) -> bytes:
    children = _children(mime)
    if children and mime.get_content_maintype() == "message":
        return b"".join(child.as_bytes(policy=_AS_IT_CAME) for child in children)
    try:
        content = mime.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        content = None
    if isinstance(content, bytes):
        return content
    return str(mime.get_payload()).encode("utf-8", "surrogateescape")


def text_of(mime: MimePart[str, str]) -> str:
    """A text part in Unicode."""
    try:
        charset = mime.get_content_charset() or "utf-8"
    except (ValueError, LookupError, TypeError):
        charset = "utf-8"
    return decode_bytes(_content(mime), charset)


def encode(data: bytes) -> str:
    """Base64url with its padding, as Gmail writes it."""
    return base64.urlsafe_b64encode(data).decode("ascii")


class _Text(HTMLParser):
    """Collects the readable text of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - its signature
        self._hidden += tag in ("style", "script", "title")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script", "title"):
            self._hidden = max(0, self._hidden - 1)
        self.pieces.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data)


def plain_text(source: str) -> str:
    """The readable text of HTML."""
    parser = _Text()
    try:
        parser.feed(source)
        parser.close()
    except (AssertionError, ValueError):
        return re.sub(r"<[^>]*>", " ", source)
    return "".join(parser.pieces)


def readable_text(mime: MimePart[str, str]) -> str:
    """The text of a mail's body: plain where there is any, else what its HTML says."""
    texts: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    for _, part in _walk(mime, ""):
        if not part.is_multipart() and _is_inline_text(part, file_name(part)):
            texts.setdefault(_mime_type(part), []).append(text_of(part))
    if any(text.strip() for text in texts["text/plain"]):
        return "\n".join(texts["text/plain"])
    return "\n".join(plain_text(text) for text in texts["text/html"])


def file_names(mime: MimePart[str, str]) -> list[str]:
    """The names of all parts that have one."""
    return [name for _, part in _walk(mime, "") if (name := file_name(part))]


def snippet_of(text: str) -> str:
    """The short beginning of a mail, HTML-escaped as Gmail's snippets are."""
    words = " ".join(text[: SNIPPET_CHARACTERS * 20].split())
    if len(words) > SNIPPET_CHARACTERS:
        words = words[:SNIPPET_CHARACTERS].rsplit(" ", 1)[0]
    return html.escape(words, quote=True).replace("&#x27;", "&#39;")
