"""Messages, threads and pages as the API shows them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from local.gmail.errors import invalid_argument
from local.gmail.payload import encode, parse_metadata, parse_payload
from local.gmail.search import parse_query

if TYPE_CHECKING:
    from local.gmail.call import ApiCall
    from local.gmail.mailbox import Message

_NONCE_BYTES = 150
_HIDDEN = frozenset({"SPAM", "TRASH"})


def short_json(message: Message) -> dict[str, Any]:
    """What writing calls answer: ids and labels. Like all of Google's JSON it leaves an empty list out."""
    resource: dict[str, Any] = {"id": message.id, "threadId": message.thread_id}
    if message.labels:
        resource["labelIds"] = sorted(message.labels)
    return resource


def message_json(message: Message, form: str, metadata_headers: Sequence[str] = ()) -> dict[str, Any]:
    """The message in one of the formats ``minimal``, ``metadata``, ``full``, ``raw``."""
    resource = short_json(message) | {
        "snippet": message.snippet,
        "sizeEstimate": len(message.raw),
        "historyId": str(message.history_id),
        "internalDate": str(message.internal_ms),
    }
    if form == "full":
        resource["payload"] = parse_payload(message.raw, lambda part_id: new_attachment_id(message.id, part_id))
    elif form == "metadata":
        resource["payload"] = parse_metadata(message.raw, metadata_headers)
    elif form == "raw":
        resource["raw"] = encode(message.raw)
    return resource


def new_attachment_id(message_id: str, part_id: str) -> str:
    """An id for a part, another one each time, as Gmail's are: only the message and the part count."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return "ANGjdJ" + encode(nonce + _masked(f"{message_id}/{part_id}".encode(), nonce)).rstrip("=")


def parse_attachment_id(attachment_id: str) -> tuple[str, str]:
    """The message and part that an attachment id stands for. Raises GmailError 400."""
    try:
        text = attachment_id.removeprefix("ANGjdJ")
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        message_id, part_id = _masked(data[_NONCE_BYTES:], data[:_NONCE_BYTES]).decode("ascii").split("/")
    except (ValueError, binascii.Error):
        raise invalid_argument("Invalid attachment token") from None
    return message_id, part_id


def _masked(data: bytes, nonce: bytes) -> bytes:
    mask = hashlib.shake_256(nonce).digest(len(data))
    return bytes(one ^ other for one, other in zip(data, mask, strict=True))


def matching(call: ApiCall) -> Iterator[Message]:
    """The messages that a list call asks for, newest first, from its page token on."""
    mailbox = call.mailbox
    wanted = set(call.query.getlist("labelIds"))
    mailbox.labels.verify_known(wanted)
    now = call.gmail.now()
    text = call.text("q").strip()
    query = parse_query(text, mailbox, now) if text else None
    everywhere = call.flag("includeSpamTrash") or bool(wanted & _HIDDEN) or (query is not None and query.everywhere)
    # The search index is behind; a plain list is not.
    indexed_until_s = now.timestamp() - call.gmail.search_lag_s
    for message in mailbox.newest_first(parse_list_token(call.text("pageToken"))):
        if not wanted <= message.labels or (not everywhere and message.labels & _HIDDEN):
            continue
        if query is not None and (message.added_at_s > indexed_until_s or not query.matches(message)):
            continue
        yield message


def list_token(message: Message) -> str:
    """A page token: the next page begins after this message, whatever arrives meanwhile."""
    return encode(f"{message.internal_ms}:{message.id}".encode()).rstrip("=")


def parse_list_token(token: str) -> tuple[int, str] | None:
    """The place that a page token stands for; None for no token. Raises GmailError 400."""
    if not token:
        return None
    match = re.fullmatch(r"(-?\d+):([0-9a-f]+)", decode_token(token))
    if match is None:
        raise invalid_argument("Invalid pageToken")
    return int(match.group(1)), match.group(2)


def decode_token(token: str) -> str:
    """The text inside a token; empty where it is none of ours."""
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii")
    except (ValueError, binascii.Error):
        return ""


def raw_mail(call: ApiCall, message: dict[str, Any]) -> bytes:
    """The mail that a call brings: uploaded, or in ``raw``. Raises GmailError 400."""
    if call.media is not None:
        return call.media
    text = message.get("raw") or ""
    if not text:
        raise invalid_argument("'raw' RFC822 payload message string or uploading message via /upload/* URL required")
    plain = re.sub(r"\s", "", text).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise invalid_argument("Invalid value at 'message.raw' (TYPE_BYTES), Base64 decoding failed") from None
