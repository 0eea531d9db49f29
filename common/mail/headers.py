"""Owns header values: RFC 2047 words, message ids, dates, parameters. Never raises on a mail's own breakage.

May import only the mail package; knows nothing of Gmail.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from datetime import UTC, datetime
from email.message import Message
from email.utils import collapse_rfc2231_value, parsedate_to_datetime
from typing import TYPE_CHECKING

from common.mail.limits import MAX_HEADER_CHARS, MAX_REFERENCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Headers = Sequence[tuple[str, str]]

# RFC 2047 section 2, and what senders make of it: blanks and question marks inside, RFC 2231's language.
_ENCODED_WORD = re.compile(r"=\?([^?\s*]{1,60})(?:\*[^?\s]{0,60})?\?([bBqQ])\?([^?]*(?:\?(?!=)[^?]*){0,20})\?=")
_Q_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
# Every part has such headers, and the library reads them slowly.
_MAX_PARAMETERS_CHARS = 10_000
# What has no parameters, as most have not.
_ONE_TOKEN = re.compile(r"[A-Za-z0-9!#$&^_.+/-]*")
_LINE_END = re.compile(r"\r\n|[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_MESSAGE_ID = re.compile(r"<([^<>]{1,900})>")
_COMMENT = re.compile(r"\([^()]*\)")

# What browsers and mailers mean by these names, not what Python does (WHATWG Encoding, sections 4 and 10).
_CHARSETS = {
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "unicode-1-1-utf-7": "utf-7",
    "x-unknown": "utf-8",
}
# Python's own codecs that no mail may choose: they are no charsets, or slow on bad input.
_NO_CHARSETS = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "mbcs", "oem"}


def clean_text(text: str) -> str:
    """The text without control characters, lone surrogates and bidi overrides; line breaks stay."""
    return _CONTROLS.sub("", _SURROGATES.sub("\ufffd", text))


def decode_bytes(data: bytes, charset: str) -> str:
    """The text of ``data``; an unknown charset is read as UTF-8, what cannot be read becomes U+FFFD."""
    name = _CHARSETS.get(charset.lower().strip(), charset.strip())
    try:
        codec = codecs.lookup(name).name
        if codec.replace("-", "_") in _NO_CHARSETS:
            return data.decode("utf-8", "replace")
        return data.decode(codec, "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")


def decode(value: str) -> str:
    """A header's value as people read it: unfolded, encoded words decoded (RFC 2047), on one line."""
    unfolded = _unfolded(value[:MAX_HEADER_CHARS])
    if "=?" in unfolded:
        unfolded = _unfolded(_decode_words(unfolded))
    return clean_text(unfolded).strip()


def _unfolded(value: str) -> str:
    return " ".join(line.strip(" \t") for line in _LINE_END.split(value)).replace("\t", " ")


def _decode_words(value: str) -> str:
    pieces: list[str] = []
    pending: list[bytes] = []
    pending_charset = ""
    end = 0
    for found in _ENCODED_WORD.finditer(value):
        gap, charset = value[end : found.start()], found[1].lower()
        # Neighbours of one charset are joined as bytes, for senders split characters between them.
        if pending and (gap.strip() or charset != pending_charset):
            pieces.append(decode_bytes(b"".join(pending), pending_charset))
            pending = []
        # RFC 2047, 6.2: blanks between two encoded words are not shown.
        if gap.strip() or not end:
            pieces.append(gap)
        pending.append(_word_bytes(found[2], found[3]))
        pending_charset, end = charset, found.end()
    if pending:
        pieces.append(decode_bytes(b"".join(pending), pending_charset))
    return "".join(pieces) + value[end:]


def _word_bytes(encoding: str, payload: str) -> bytes:
    if encoding in "qQ":
        raw = payload.replace("_", " ").encode("utf-8", "replace")
        return _Q_ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), raw)
    digits = _NOT_BASE64.sub("", payload)
    # A single digit over holds less than a byte.
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4))
    except binascii.Error:  # pragma: no cover - the digits were made to fit
        return b""


def all_values(headers: Headers, name: str) -> list[str]:
    """Every value of the header, in order; names compare case-insensitively."""
    wanted = name.lower()
    return [value for key, value in headers if key.strip().lower() == wanted]


def first_value(headers: Headers, name: str) -> str:
    """The first value of the header, or an empty string."""
    return next(iter(all_values(headers, name)), "")


def message_id(headers: Headers) -> str | None:
    """The Message-ID with its angle brackets (RFC 5322, 3.6.4), or None."""
    return next(iter(parse_message_ids(all_values(headers, "Message-ID"))), None)


def references(headers: Headers) -> list[str]:
    """The ids of the mails before this one, oldest first (RFC 5322, 3.6.4): References, else a single In-Reply-To."""
    found = parse_message_ids(all_values(headers, "References"))
    if found:
        return found
    parents = parse_message_ids(all_values(headers, "In-Reply-To"))
    return parents if len(parents) == 1 else []


def parse_message_ids(values: Iterable[str]) -> list[str]:
    """The ids in the values with their angle brackets, without repeats, at most 100: the first and the latest."""
    ids: dict[str, None] = {}
    for value in values:
        for found in _MESSAGE_ID.finditer(value[:MAX_HEADER_CHARS]):
            # Blanks inside are left over from folding (RFC 5322, 4.5.4); comments are not part of it either.
            inner = re.sub(r"\s+", "", clean_text(_COMMENT.sub("", found[1])))
            if inner:
                ids.setdefault(f"<{inner}>")
    every = list(ids)
    return every if len(every) <= MAX_REFERENCES else [every[0], *every[-(MAX_REFERENCES - 1) :]]


def parse_date(value: str) -> datetime | None:
    """The Date header as a time in UTC (RFC 5322, 3.3 and 4.3), or None where it cannot be read."""
    text = _COMMENT.sub(" ", _COMMENT.sub(" ", decode(value[:200])))
    try:
        parsed = parsedate_to_datetime(re.sub(r"\s*:\s*", ":", text))
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def parse_parameters(value: str) -> tuple[str, dict[str, str]]:
    """The lower-case first token of a header such as Content-Type, and its parameters (RFC 2045, RFC 2231), decoded."""
    if _ONE_TOKEN.fullmatch(value):
        return value.lower(), {}
    message = Message()
    message["content-type"] = _unfolded(value[:_MAX_PARAMETERS_CHARS])
    try:
        listed = message.get_params(failobj=[], unquote=True)
    except (ValueError, IndexError, LookupError, TypeError, AttributeError):
        return value.partition(";")[0].strip().lower(), {}
    parameters: dict[str, str] = {}
    for name, parameter in listed[1:]:
        parameters.setdefault(name.lower(), decode(_parameter_text(parameter)))
    return (listed[0][0].strip().lower() if listed else ""), parameters


def _parameter_text(parameter: str | tuple[str | None, str | None, str]) -> str:
    if isinstance(parameter, str):
        return parameter
    charset, _language, text = parameter
    try:
        return decode_bytes(text.encode("raw-unicode-escape"), charset or "utf-8")
    except ValueError:
        return collapse_rfc2231_value(parameter)
