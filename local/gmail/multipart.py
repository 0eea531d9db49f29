"""Multipart bodies of HTTP requests, cut without changing a byte of what is inside. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from werkzeug.http import parse_options_header

from local.gmail.errors import GmailError

_HEADER_END = re.compile(rb"\r?\n\r?\n|\A\r?\n")


@dataclass(frozen=True)
class RawPart:
    """A part: its headers under lower-case names, its content."""

    headers: Mapping[str, str]
    content: bytes


def bad_request(message: str) -> GmailError:
    return GmailError(400, "badRequest", message)


def boundary_of(content_type: str, expected: str) -> bytes:
    """The boundary that a content type names. Raises GmailError 400 for another type or no boundary."""
    kind, options = parse_options_header(content_type)
    if kind.lower() != expected or not options.get("boundary"):
        raise bad_request(f"The content type must be {expected} with a boundary")
    return options["boundary"].encode("latin-1", "replace")


def split(body: bytes, boundary: bytes) -> list[RawPart]:
    """The parts between the boundaries. Raises GmailError 400 where there is none."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(?P<end>--)?[ \t]*(?:\r?\n|\Z)")
    found: list[RawPart] = []
    start: int | None = None
    for match in delimiter.finditer(body):
        if start is not None:
            found.append(parse_part(body[start : match.start()]))
        start = match.end()
        if match.group("end"):
            break
    if not found:
        raise bad_request("Failed to parse the multipart body")
    return found


def parse_part(data: bytes) -> RawPart:
    """Headers and content of one part."""
    end = _HEADER_END.search(data)
    if end is None:
        return RawPart(parse_headers(data), b"")
    return RawPart(parse_headers(data[: end.start()]), data[end.end() :])


def parse_headers(block: bytes) -> dict[str, str]:
    """Header lines under lower-case names; folds are unfolded."""
    text = re.sub(r"\r?\n[ \t]+", " ", block.decode("latin-1"))
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
