"""Owns the writing of mails: from what a user wants to send to the bytes that Gmail takes.

May import only the mail package. Errors name a field and a code, never a value.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING

from common.mail.addresses import Address, is_address, normalise, normalise_domain
from common.mail.filenames import clean_filename
from common.mail.html import text_to_html
from common.mail.limits import MAX_CONTENT_BYTES, MAX_LEVELS, MAX_MESSAGE_BYTES, MAX_NAME_CHARS, MAX_RECIPIENTS
from common.mail.plain import html_to_text
from common.mail.stream import Base64, Piece, open_stream

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

_LINE_BREAKS = re.compile(r"[\r\n\x00\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_CONTENT_TYPE = re.compile(r"([A-Za-z0-9!#$&^_.+-]{1,64})/([A-Za-z0-9!#$&^_.+-]{1,64})")
_MESSAGE_ID = re.compile(r"<[^<>\s\x00-\x20\x7f]{1,900}>")
_EXTRA_NAME = re.compile(r"X-[A-Za-z0-9-]{1,70}")
_PRINTABLE = re.compile(r"[\x20-\x7e]{0,900}")
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,250}")
_ATOM_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_MAX_SUBJECT_CHARS = 4_000
_MAIL = ("message", "rfc822")
_BINARY = ("application", "octet-stream")
_FIELD_START = re.compile(rb"[!-9;-~]+[ \t]*:")
# RFC 5322, 2.1.1.
_MAX_LINE_BYTES = 998
# Its base64 is free of padding and longer than chance could repeat.
_STAND_IN_BYTES = 30


class MailInputError(ValueError):
    """What a user wants to send cannot be sent. ``code`` is kebab-case; ``field`` names the field. Holds no content."""

    def __init__(self, code: str, field_name: str) -> None:
        super().__init__(f"{code}: {field_name}")
        self.code = code
        self.field = field_name


@dataclass(frozen=True, repr=False)
class OutgoingAttachment:
    """A file to send; with ``content_id`` (no angle brackets) an image that the HTML shows by ``cid:``."""

    filename: str
    content_type: str
    data: bytes
    content_id: str = ""


@dataclass(frozen=True, repr=False)
class Outgoing:
    """A mail to send. Without ``text`` it is made of ``html``; text alone goes out as text alone.

    ``in_reply_to`` and ``references`` are message ids with their angle brackets; ``extra`` are our own headers (X-…).
    """

    from_: Address
    to: Sequence[Address] = ()
    cc: Sequence[Address] = ()
    bcc: Sequence[Address] = ()
    reply_to: Sequence[Address] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: Sequence[OutgoingAttachment] = ()
    in_reply_to: str | None = None
    references: Sequence[str] = ()
    extra: Mapping[str, str] = field(default_factory=dict)


def compose(draft: Outgoing, *, now: datetime, unaddressed: bool = False) -> io.BufferedReader:
    """The mail as a seekable stream of RFC 5322 bytes, with ``now`` as its Date. Gmail itself sets the Message-ID.

    Attachments are encoded while it is read. ``unaddressed`` lets it have no recipients yet, as a draft may. Raises
    MailInputError for line breaks in headers, what is no address, no or more than 500 recipients, more than 25 MB, and
    text that is no Unicode.
    """
    _verify_recipients(draft, unaddressed=unaddressed)
    _verify_size(draft)
    lines = [
        _address_header("From", [draft.from_]),
        *(_address_header(name, addresses) for name, addresses in _recipient_fields(draft) if addresses),
        _subject_header(draft.subject),
        f"Date: {format_datetime(now.astimezone(UTC))}",
        *_threading_headers(draft),
        *(_extra_header(name, value) for name, value in draft.extra.items()),
    ]
    # Written by hand, for the library folds long message ids into encoded words, which no mailer reads back.
    head = "".join(f"{line}\r\n" for line in lines)
    pieces = [head.encode("utf-8"), *_plan_body(draft)]
    if sum(map(len, pieces)) > MAX_MESSAGE_BYTES:
        raise MailInputError("message-too-large", "attachments")
    return open_stream(pieces)


def _recipient_fields(draft: Outgoing) -> list[tuple[str, Sequence[Address]]]:
    return [("To", draft.to), ("Cc", draft.cc), ("Bcc", draft.bcc), ("Reply-To", draft.reply_to)]


def _verify_recipients(draft: Outgoing, *, unaddressed: bool) -> None:
    recipients = {normalise(address.address) for address in (*draft.to, *draft.cc, *draft.bcc)}
    if not recipients and not unaddressed:
        raise MailInputError("no-recipients", "to")
    if len(recipients) > MAX_RECIPIENTS or len(draft.reply_to) > MAX_RECIPIENTS:
        raise MailInputError("too-many-recipients", "to")


def _verify_size(draft: Outgoing) -> None:
    texts_bytes = sum(len((text or "").encode("utf-8", "replace")) for text in (draft.text, draft.html))
    # A mail in a mail is encoded already: for it the finished mail's limit is enough.
    files_bytes = sum(len(one.data) for one in draft.attachments if _content_type(one) != _MAIL)
    if texts_bytes + files_bytes > MAX_CONTENT_BYTES:
        raise MailInputError("message-too-large", "attachments")


def verify_header_text(value: str, field_name: str) -> str:
    """The value, unless it holds a line break, a NUL or a lone surrogate: then raises MailInputError."""
    if _LINE_BREAKS.search(value):
        raise MailInputError("header-injection", field_name)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise MailInputError("invalid-text", field_name) from None
    return value


def _subject_header(subject: str) -> str:
    text = verify_header_text(subject, "subject")
    if len(text) > _MAX_SUBJECT_CHARS:
        raise MailInputError("subject-too-long", "subject")
    return f"Subject: {_encoded(text, len('Subject: '))}"


def _encoded(text: str, used: int) -> str:
    """The text folded; as encoded words (RFC 2047) where it is not printable ASCII, or would be read as such words."""
    # A line cannot be folded within a word, and must not exceed 998 characters (RFC 5322, 2.1.1).
    plain = bool(_PRINTABLE.fullmatch(text)) and "=?" not in text and text == text.strip()
    charset = "us-ascii" if plain else "utf-8"
    return Header(text, charset, maxlinelen=76, header_name="x" * max(used - 2, 0)).encode(linesep="\r\n")


def _address_header(name: str, addresses: Sequence[Address]) -> str:
    # One a line, so that five hundred of them keep within a line's length.
    return f"{name}: " + ",\r\n ".join(_mailbox(address, name.lower().replace("-", "_")) for address in addresses)


def _mailbox(address: Address, field_name: str) -> str:
    verify_header_text(address.address, field_name)
    name = verify_header_text(address.name, field_name).strip()
    if len(name) > MAX_NAME_CHARS:
        raise MailInputError("name-too-long", field_name)
    if not is_address(address.address):
        raise MailInputError("invalid-address", field_name)
    local, _at, host = address.address.rpartition("@")
    spec = f"{local}@{normalise_domain(host)}"
    if not name:
        return spec
    return f"{_phrase(name)} <{spec}>"


def _phrase(name: str) -> str:
    if _ATOM_PHRASE.fullmatch(name) and "=?" not in name:
        return name
    if _PRINTABLE.fullmatch(name) and "=?" not in name:
        escaped = re.sub(r'(["\\])', r"\\\1", name)
        return f'"{escaped}"'
    return _encoded(name, 10)


def _threading_headers(draft: Outgoing) -> list[str]:
    ids = [*([draft.in_reply_to] if draft.in_reply_to else []), *draft.references]
    for message_id in ids:
        verify_header_text(message_id, "references")
        if not _MESSAGE_ID.fullmatch(message_id):
            raise MailInputError("invalid-message-id", "references")
    lines = [f"In-Reply-To: {draft.in_reply_to}"] if draft.in_reply_to else []
    return lines + (["References: " + "\r\n ".join(draft.references)] if draft.references else [])


def _extra_header(name: str, value: str) -> str:
    verify_header_text(name, "extra")
    verify_header_text(value, "extra")
    if not _EXTRA_NAME.fullmatch(name) or not _PRINTABLE.fullmatch(value):
        raise MailInputError("invalid-header", "extra")
    return f"{name}: {value}"


class _StandIns:
    """Random words in place of the attachments' contents, while the library writes all that stands around them."""

    def __init__(self) -> None:
        self._waiting: list[tuple[bytes, Piece]] = []

    def encoded(self, data: bytes) -> bytes:
        """What the library shall encode in base64 instead of ``data``."""
        word = secrets.token_bytes(_STAND_IN_BYTES)
        self._waiting.append((b64encode(word), Base64(data)))
        return word

    def plain(self, data: bytes) -> str:
        """What stands for ``data`` that goes out as it is."""
        word = secrets.token_urlsafe(_STAND_IN_BYTES)
        self._waiting.append((word.encode(), data))
        return word

    def replaced(self, written: bytes) -> list[Piece]:
        """What the library has written, with the contents in place again. They stand in the order of their adding."""
        pieces: list[Piece] = []
        for word, content in self._waiting:
            before, _, written = written.partition(word)
            pieces += [before, content]
        return [*pieces, written]


def _plan_body(draft: Outgoing) -> list[Piece]:
    message = EmailMessage(policy=SMTP)
    stand_ins = _StandIns()
    text, html = _texts(draft)
    message.set_content(_as_lines(text, "text"), subtype="plain", charset="utf-8")
    inline = [attachment for attachment in draft.attachments if attachment.content_id]
    if html is not None:
        message.add_alternative(_as_lines(html, "html"), subtype="html", charset="utf-8")
        _add_related(_last_part(message), inline, stand_ins)
    files = [attachment for attachment in draft.attachments if html is None or not attachment.content_id]
    for attachment in files:
        _add(message, attachment, stand_ins)
    return stand_ins.replaced(message.as_bytes(policy=SMTP))


def _last_part(message: EmailMessage) -> EmailMessage:
    *_others, last = message.iter_parts()
    assert isinstance(last, EmailMessage)  # noqa: S101 - what add_alternative has just made
    return last


def _texts(draft: Outgoing) -> tuple[str, str | None]:
    text = draft.text if draft.text is not None else html_to_text(draft.html or "")
    has_inline = any(attachment.content_id for attachment in draft.attachments)
    # Text alone is sent as text alone; but an image to be shown needs HTML to show it.
    html = text_to_html(text) if draft.html is None and has_inline else draft.html
    return text, html


def _as_lines(text: str, field_name: str) -> str:
    if "\x00" in text:
        raise MailInputError("invalid-text", field_name)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise MailInputError("invalid-text", field_name) from None
    return text


def _add_related(html_part: EmailMessage, attachments: Iterable[OutgoingAttachment], stand_ins: _StandIns) -> None:
    for attachment in attachments:
        content_id = verify_header_text(attachment.content_id, "attachments")
        if not _CONTENT_ID.fullmatch(content_id):
            raise MailInputError("invalid-content-id", "attachments")
        maintype, subtype = _encodable_type(attachment)
        html_part.add_related(
            stand_ins.encoded(attachment.data),
            maintype=maintype,
            subtype=subtype,
            cid=f"<{content_id}>",
            filename=_filename(attachment),
            disposition="inline",
        )


def _add(message: EmailMessage, attachment: OutgoingAttachment, stand_ins: _StandIns) -> None:
    if _content_type(attachment) == _MAIL and _is_mail(attachment.data):
        _add_mail(message, attachment, stand_ins)
        return
    maintype, subtype = _encodable_type(attachment)
    message.add_attachment(
        stand_ins.encoded(attachment.data),
        maintype=maintype,
        subtype=subtype,
        filename=_filename(attachment),
        disposition="attachment",
    )


def _is_mail(data: bytes) -> bool:
    """Whether the bytes are a mail that may stand in another one as it is: RFC 2046, 5.2.1 allows no encoding."""
    breaks = data.count(b"\r\n")
    if not _FIELD_START.match(data) or b"\0" in data or not breaks == data.count(b"\r") == data.count(b"\n"):
        return False
    if data.count(b"message/rfc822") > MAX_LEVELS:
        # A file is safe from parsers that go down into what they find.
        return False
    start = 0
    while start < len(data):
        end = data.find(b"\r\n", start)
        end = len(data) if end < 0 else end
        if end - start > _MAX_LINE_BYTES:
            return False
        start = end + 2
    return True


def _add_mail(message: EmailMessage, attachment: OutgoingAttachment, stand_ins: _StandIns) -> None:
    is_ascii = attachment.data.isascii()
    part = EmailMessage(policy=SMTP)
    part["Content-Type"] = "/".join(_MAIL)
    part["Content-Transfer-Encoding"] = "7bit" if is_ascii else "8bit"
    part["Content-Disposition"] = "attachment"
    part.set_param("filename", _filename(attachment), header="Content-Disposition")
    part.set_payload(stand_ins.plain(attachment.data))
    if message.get_content_type() != "multipart/mixed":
        message.make_mixed()
    message.attach(part)
    if not is_ascii and "Content-Transfer-Encoding" not in message:
        # RFC 2045, 6.4: what is around 8-bit data says so too.
        message["Content-Transfer-Encoding"] = "8bit"


def _filename(attachment: OutgoingAttachment) -> str:
    return clean_filename(verify_header_text(attachment.filename, "attachments"), attachment.content_type)


def _content_type(attachment: OutgoingAttachment) -> tuple[str, str]:
    claimed = verify_header_text(attachment.content_type, "attachments").partition(";")[0].strip().lower()
    found = _CONTENT_TYPE.fullmatch(claimed)
    return (found[1], found[2]) if found else _BINARY


def _encodable_type(attachment: OutgoingAttachment) -> tuple[str, str]:
    # RFC 2045, 6.4: composite types must not be encoded in base64.
    maintype, subtype = _content_type(attachment)
    return _BINARY if maintype in {"multipart", "message"} else (maintype, subtype)
