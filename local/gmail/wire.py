"""Raw mail as bytes: header blocks cut, edited and put together again without touching what is not edited.

Pure. Decoded header values, for reading only, come from here too.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.utils import getaddresses

CRLF = b"\r\n"
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BLANK_LINE = re.compile(rb"\r\n\r\n|\A\r\n")
_FIELD_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_ADDRESS = re.compile(r"[^\s<>,;:\"()]+@[^\s<>,;:\"()]+")
_ENCODED_WORD = re.compile(r"=\?([^?\s*]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?]*)\?=")
# What cannot stand in a display name outside quotes (RFC 5322, section 3.2.3).
_SPECIALS = re.compile(r'[()<>\[\]:;@\\,."]')


def to_crlf(raw: bytes) -> bytes:
    """The mail with SMTP's line ends."""
    return _BARE_LF.sub(CRLF, raw)


def split_header(raw: bytes) -> tuple[bytes, bytes]:
    """The header block with its last line end, and the blank line with the body. ``raw`` has CRLF line ends."""
    blank = _BLANK_LINE.search(raw)
    if blank is None:
        return (raw if raw.endswith(CRLF) else raw + CRLF), CRLF
    cut = blank.end() - 2
    return raw[:cut], raw[cut:]


def fields(header: bytes) -> list[tuple[str, bytes]]:
    """The block's fields: lower-case name, whole bytes with folds and line end. A line that is no field has no name."""
    found: list[tuple[str, list[bytes]]] = []
    for line in header.splitlines(keepends=True):
        if line[:1] in (b" ", b"\t") and found:
            found[-1][1].append(line)
            continue
        match = _FIELD_NAME.match(line)
        found.append((match.group(1).decode("ascii").lower() if match else "", [line]))
    return [(name, b"".join(lines)) for name, lines in found]


def without(raw: bytes, *names: str) -> bytes:
    """The mail without those header fields."""
    header, body = split_header(raw)
    return b"".join(whole for name, whole in fields(header) if name not in names) + body


def with_first(raw: bytes, *lines: str) -> bytes:
    """The mail with those header lines before all others."""
    return b"".join(line.encode("utf-8") + CRLF for line in lines) + raw


def header_values(raw: bytes, name: str) -> list[str]:
    """The decoded values of a header field, in their order."""
    header, _ = split_header(raw)
    return [decode_value(field, whole) for field, whole in fields(header) if field == name.lower()]


def header_value(raw: bytes, name: str) -> str:
    """The first decoded value of a header field, or an empty text."""
    return next(iter(header_values(raw, name)), "")


def decode_value(name: str, whole: bytes) -> str:
    """A field's value: unfolded, in Unicode, encoded words decoded (RFC 2047)."""
    text = guess_text(whole.split(b":", 1)[-1])
    return decode_words(unfold(text), quote=name in _ADDRESS_FIELDS)


def guess_text(data: bytes) -> str:
    """Header bytes as text: UTF-8 (RFC 6532), else the Western code page that old mailers meant."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def unfold(text: str) -> str:
    return re.sub(r"[\r\n]+", "", text).strip()


_ADDRESS_FIELDS = frozenset({"from", "to", "cc", "bcc", "reply-to", "sender", "resent-from", "resent-to", "resent-cc"})


def decode_words(text: str, *, quote: bool = False) -> str:
    """Encoded words decoded. With ``quote`` those that need quotes in a display name get them."""
    if "=?" not in text:
        return text
    pieces: list[str] = []
    at = 0
    for run in _runs(text):
        pieces.append(text[at : run[0].start()])
        decoded = _decode_run(run)
        quoted_already = text[: run[0].start()].count('"') % 2 == 1
        pieces.append(_quoted(decoded) if quote and not quoted_already and _SPECIALS.search(decoded) else decoded)
        at = run[-1].end()
    return "".join(pieces) + text[at:]


def _runs(text: str) -> list[list[re.Match[str]]]:
    """Encoded words, those that only white space parts together: the space between them does not count."""
    runs: list[list[re.Match[str]]] = []
    for word in _ENCODED_WORD.finditer(text):
        if runs and not text[runs[-1][-1].end() : word.start()].strip():
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def _decode_run(run: Sequence[re.Match[str]]) -> str:
    """Neighbours of one charset are joined before decoding: mailers cut through characters."""
    chunks: list[tuple[str, bytes]] = []
    for word in run:
        charset, data = word.group(1).lower(), _word_bytes(word)
        if chunks and chunks[-1][0] == charset:
            chunks[-1] = (charset, chunks[-1][1] + data)
        else:
            chunks.append((charset, data))
    return "".join(decode_bytes(data, charset) for charset, data in chunks)


def _word_bytes(word: re.Match[str]) -> bytes:
    """The bytes that an encoded word stands for; the word itself where it cannot be decoded."""
    encoding, data = word.group(2).lower(), word.group(3).encode("utf-8", "replace")
    if encoding == "q":
        return quopri.decodestring(data.replace(b"_", b" "))
    with suppress(binascii.Error, ValueError):
        decoded = base64.b64decode(data + b"=" * (-len(data) % 4))
        if decoded or not data:
            return decoded
    return word.group().encode("utf-8", "replace")


def decode_bytes(data: bytes, charset: str) -> str:
    """Bytes as text; what the charset cannot read, or a charset that nobody knows, never fails."""
    try:
        return data.decode(charset)
    except (LookupError, ValueError):
        pass
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_known(charset), errors="replace")


def _known(charset: str) -> str:
    """The charset where Python knows it as one of text; else the Western code page."""
    try:
        "".encode(charset)
    except (LookupError, ValueError):
        return "cp1252"
    return charset


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_LONGEST_PARSED_CHARS = 200_000
_MOST_COMMENTS = 200


def addresses(raw: bytes, *names: str) -> list[str]:
    """The addresses in those header fields, lower-case, in their order; display names are not looked at."""
    header, _ = split_header(raw)
    found: list[str] = []
    for name, whole in fields(header):
        if name in names:
            value = unfold(guess_text(whole.split(b":", 1)[-1]))
            # Nested without end, or a million of them, is nothing for Python's parser.
            is_short = len(value) <= _LONGEST_PARSED_CHARS and value.count("(") <= _MOST_COMMENTS
            pairs = getaddresses([value]) if is_short else []
            parsed = [address.strip().lower() for _, address in pairs if "@" in address]
            # Python's parser gives up on some lists that mail servers read all the same.
            found += parsed or [address.lower() for address in _ADDRESS.findall(value)]
    return found


def edited(raw: bytes, edit: Callable[[str, bytes], bytes]) -> bytes:
    """The mail with each header field (name, whole bytes) replaced by what ``edit`` answers."""
    header, body = split_header(raw)
    return b"".join(edit(name, whole) for name, whole in fields(header)) + body
