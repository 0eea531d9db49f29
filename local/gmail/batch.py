"""The batch endpoint: many calls in one HTTP request (developers.google.com/workspace/gmail/api/guides/batch)."""

from __future__ import annotations

import re
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from werkzeug.datastructures import MultiDict

from local.gmail.multipart import RawPart, bad_request, boundary_of, parse_part, split
from local.gmail.pipeline import RawCall, Reply

if TYPE_CHECKING:
    from local.gmail.pipeline import Pipeline, Turn

# "You're limited to 100 calls in a single batch request."
MAX_CALLS = 100
PATHS = frozenset({"/batch", "/batch/gmail/v1"})
_REQUEST_LINE = re.compile(rb"\A\s*([A-Z]+) (\S+)(?: HTTP/[\d.]+)?[ \t]*(?:\r?\n|\Z)")


def parse_batch(outer: RawCall) -> list[tuple[str, RawCall]]:
    """The inner calls with their Content-IDs. Raises GmailError 400 for no batch, or one that is too long."""
    parts = split(outer.body, boundary_of(outer.header("content-type"), "multipart/mixed"))
    if len(parts) > MAX_CALLS:
        raise bad_request(f"The batch request has {len(parts)} calls; the limit is {MAX_CALLS}.")
    return [(part.headers.get("content-id", ""), _inner(part, outer)) for part in parts]


def _inner(part: RawPart, outer: RawCall) -> RawCall:
    line = _REQUEST_LINE.match(part.content)
    if line is None:
        raise bad_request("Failed to parse an inner request")
    url = urlsplit(line.group(2).decode("ascii", "replace"))
    inner = parse_part(part.content[line.end() :])
    # An inner call without a token of its own is made with the batch's.
    headers = {"authorization": outer.header("authorization")} | dict(inner.headers)
    return RawCall(line.group(1).decode(), unquote(url.path), _parse_query(url.query), headers, inner.content.strip())


def _parse_query(query: str) -> MultiDict[str, str]:
    return MultiDict(parse_qsl(query, keep_blank_values=True))


def perform_batch(pipeline: Pipeline, calls: list[tuple[str, RawCall]], turn: Turn) -> tuple[Reply, str]:
    """Does the calls one after another. Returns the answer and its content type."""
    boundary = f"batch_{secrets.token_urlsafe(24)}"
    pieces = [_answer_part(boundary, content_id, pipeline.perform(call, turn)) for content_id, call in calls]
    body = b"".join(pieces) + f"--{boundary}--\r\n".encode()
    return Reply(200, body), f"multipart/mixed; boundary={boundary}"


def _answer_part(boundary: str, content_id: str, reply: Reply) -> bytes:
    answered = content_id.replace("<", "<response-", 1) if content_id.startswith("<") else f"response-{content_id}"
    lines = [
        f"--{boundary}",
        "Content-Type: application/http",
        f"Content-ID: {answered}",
        "",
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
        f"Content-Type: {reply.content_type}",
        f"Content-Length: {len(reply.body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1", "replace") + reply.body + b"\r\n"
