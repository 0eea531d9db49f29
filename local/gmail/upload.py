"""Media upload: simple, multipart and resumable (developers.google.com/workspace/gmail/api/guides/uploads).

Turns what comes in into an ordinary call with the mail beside its JSON. Resumable sessions live in memory.
"""

from __future__ import annotations

import re
import secrets
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from local.gmail.errors import GmailError, not_found
from local.gmail.multipart import bad_request, boundary_of, split

if TYPE_CHECKING:
    from local.gmail.pipeline import RawCall, Reply

_PREFIX = re.compile(r"^/(?:resumable/)?upload(?=/)")
# "multiples of 256 KB (256 x 1024 bytes)"
CHUNK_BYTES = 256 * 1024
_MAX_SESSIONS = 1000


def is_upload(path: str) -> bool:
    return _PREFIX.match(path) is not None


def api_path(path: str) -> str:
    """The path of the method behind an upload path."""
    return _PREFIX.sub("", path)


def too_large() -> GmailError:
    return GmailError(413, "uploadTooLarge", "Request Entity Too Large: the upload is larger than the method takes")


def plan_simple(call: RawCall) -> RawCall:
    """The call behind an upload of type ``media`` or ``multipart``. Raises GmailError 400."""
    call = replace(call, path=api_path(call.path))
    kind = call.query.get("uploadType", "")
    if kind == "media":
        _verify_type(call.header("content-type"))
        return replace(call, body=b"", media=call.body)
    if kind != "multipart":
        raise bad_request(f"Invalid upload type: {kind}")
    parts = split(call.body, boundary_of(call.header("content-type"), "multipart/related"))
    if len(parts) != 2:
        raise bad_request("A multipart upload has two parts: JSON, and the mail")
    _verify_type(parts[1].headers.get("content-type", ""))
    return replace(call, body=parts[0].content, media=parts[1].content)


def _verify_type(content_type: str) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    if not kind.startswith("message/"):
        raise bad_request(f"Media type '{kind}' is not supported. Valid media types: [message/*]")


@dataclass
class Session:
    """A resumable upload: the call that it becomes, what has arrived, and the answer once there is one."""

    call: RawCall
    limit_bytes: int
    received: bytearray = field(default_factory=bytearray)
    reply: Reply | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Sessions:
    """The resumable uploads under way. The oldest are forgotten where there are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def begin(self, call: RawCall, limit_bytes: int) -> str:
        """Opens a session for the call and returns its id. Raises GmailError 400 or 413."""
        _verify_type(call.header("x-upload-content-type") or "message/rfc822")
        announced = call.header("x-upload-content-length")
        if announced.isdecimal() and int(announced) > limit_bytes:
            raise too_large()
        upload_id = secrets.token_urlsafe(48)
        with self._lock:
            while len(self._sessions) >= _MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[upload_id] = Session(replace(call, path=api_path(call.path)), limit_bytes)
        return upload_id

    def find(self, upload_id: str) -> Session:
        """Raises GmailError 404."""
        with self._lock:
            if upload_id not in self._sessions:
                raise not_found()
            return self._sessions[upload_id]

    def cancel(self, upload_id: str) -> None:
        with self._lock:
            self._sessions.pop(upload_id, None)


_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


def take_chunk(session: Session, content_range: str, data: bytes) -> bool:
    """Adds a chunk; an empty one with ``bytes */total`` only asks. Returns whether the mail is complete.

    Raises GmailError 400 for a chunk that does not follow or has a wrong size, 413 beyond the limit.
    """
    match = _RANGE.fullmatch(content_range.strip()) if content_range else None
    if match is None and content_range:
        raise bad_request("Failed to parse Content-Range header.")
    total = match.group(3) if match else str(len(data))
    start = int(match.group(1)) if match and match.group(1) else len(session.received) if not data else 0
    if start > len(session.received) or (match and match.group(1) and int(match.group(2)) + 1 - start != len(data)):
        raise bad_request("Invalid request. The chunk does not follow what has arrived.")
    if start + len(data) > session.limit_bytes:
        raise too_large()
    last = total != "*" and start + len(data) == int(total)
    if data and not last and len(data) % CHUNK_BYTES:
        raise bad_request("Invalid request. The chunk's size must be a multiple of 262144 bytes.")
    session.received[start:] = data
    return total != "*" and len(session.received) == int(total)
