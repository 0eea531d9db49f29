from __future__ import annotations

import io
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, compat32
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.mail import headers
from common.mail.addresses import Address, parse_addresses
from common.mail.limits import MAX_CONTENT_BYTES
from common.mail.writing import MailInputError, Outgoing, OutgoingAttachment, compose

NOW = datetime(2026, 2, 3, 10, 15, tzinfo=UTC)
ANNA = Address("Anna Müller", "anna@demo-crm.example")
MIA = Address("Mia", "mia@customer.example")
MEGABYTE = 1024 * 1024
DRAFT = Outgoing(from_=ANNA, to=[MIA], subject="Angebot", text="Hello")


def composed(**changes: Any) -> bytes:
    return compose(replace(DRAFT, **changes), now=NOW).read()


def parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=SMTP)
    assert isinstance(message, EmailMessage)
    return message


def read_back(raw: bytes, name: str) -> str:
    return headers.decode(message_from_bytes(raw, policy=compat32)[name])


def content(part: Any) -> Any:
    return part.get_content()


def test_a_plain_mail_has_its_headers_and_its_text() -> None:
    """People, subject, date and text stand in the mail; the Message-ID is left to Gmail."""
    message = parsed(composed(cc=[Address("", "ben@demo-crm.example")], bcc=[Address("", "c@demo-crm.example")]))
    assert str(message["From"]) == "Anna Müller <anna@demo-crm.example>"
    assert (message["To"], message["Cc"], message["Bcc"]) == (
        "Mia <mia@customer.example>", "ben@demo-crm.example", "c@demo-crm.example",
    )  # fmt: skip
    assert (message["Subject"], message["Date"]) == ("Angebot", "Tue, 03 Feb 2026 10:15:00 +0000")
    assert (message["Message-ID"], message.get_content_type()) == (None, "text/plain")
    assert content(message) == "Hello\r\n"


def test_html_comes_with_its_text() -> None:
    """HTML alone is sent with a text made of it, as a choice of both."""
    message = parsed(composed(text=None, html="<p>Grüße</p>"))
    assert message.get_content_type() == "multipart/alternative"
    assert [(part.get_content_type(), content(part)) for part in message.iter_parts()] == [
        ("text/plain", "Grüße\r\n"),
        ("text/html", "<p>Grüße</p>\r\n"),
    ]


def test_files_come_through_unchanged() -> None:
    """Attachments keep their bytes, their type and their name, in any language and length."""
    name = "Angebot für " + "ä" * 60 + " & co.pdf"
    message = parsed(composed(attachments=[OutgoingAttachment(name, "application/pdf", bytes(range(256)))]))
    (part,) = message.iter_attachments()
    assert (part.get_filename(), part.get_content_type(), part.get_content_disposition()) == (
        name, "application/pdf", "attachment",
    )  # fmt: skip
    assert content(part) == bytes(range(256))


def test_inline_images_belong_to_the_html() -> None:
    """An image with a Content-ID is related to the HTML that shows it, files are mixed in after."""
    image = OutgoingAttachment("logo.png", "image/png", b"\x89PNG", content_id="logo@crm")
    file = OutgoingAttachment("a.pdf", "application/pdf", b"%PDF")
    message = parsed(composed(html='<img src="cid:logo@crm">', attachments=[image, file]))
    kinds = [part.get_content_type() for part in message.walk()]
    assert kinds == [
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
        "application/pdf",
    ]  # fmt: skip
    related = next(part for part in message.walk() if part.get_content_type() == "image/png")
    assert (related["Content-ID"], related.get_content_disposition()) == ("<logo@crm>", "inline")


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/html; charset=x", "text/html"),
        ("message/rfc822", "application/octet-stream"),
        ("multipart/mixed", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
    ],
)
def test_what_cannot_be_encoded_in_base64_is_sent_as_bytes(content_type: str, expected: str) -> None:
    """Composite and unreadable types become octet streams (RFC 2045, 6.4)."""
    message = parsed(composed(attachments=[OutgoingAttachment("a.eml", content_type, b"From: x\n\ny")]))
    assert [part.get_content_type() for part in message.iter_attachments()] == [expected]


@pytest.mark.parametrize(
    ("source", "encoding"),
    [
        (b"Subject: x\r\n\r\ny\r\n" + b"z" * 998, "7bit"),
        ("From: Jörg\r\n\r\nKöln\r\n".encode(), "8bit"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", "7bit"),
    ],
)
def test_a_mail_is_attached_as_it_is(source: bytes, encoding: str) -> None:
    """A mail in a mail stands there byte by byte, without an encoding (RFC 2046, 5.2.1)."""
    files = [
        OutgoingAttachment("Grüße.eml", "message/rfc822", source),
        OutgoingAttachment("a", "application/pdf", b"x"),
    ]
    raw = composed(html="<b>x</b>", attachments=files)
    message = parsed(raw)
    first, second = message.iter_attachments()
    assert (first.get_content_type(), first["Content-Transfer-Encoding"]) == ("message/rfc822", encoding)
    assert (first.get_content_disposition(), first.get_filename()) == ("attachment", "Grüße.eml")
    assert f"\r\n\r\n{source.decode()}\r\n--{message.get_boundary()}\r\n".encode() in raw
    assert (message["Content-Transfer-Encoding"] == "8bit", content(second)) == (encoding == "8bit", b"x")


@pytest.mark.parametrize(
    "source",
    [
        b"Subject: x\r\n\r\n" + b"z" * 999,
        b"Subject: x\r\n\r\n\0",
        b"Subject: x\r\n\r\ny\nz",
        b"Subject: x\r\n\r\ny\rz",
        b"no field\r\n\r\nz",
        b"Content-Type: message/rfc822\r\n\r\n" * 60,
        b"",
    ],
)
def test_a_mail_that_cannot_stand_as_it_is_is_a_file(source: bytes) -> None:
    """Lines too long, NULs, bare line ends, nesting without reason, and what is no mail go as bytes, unchanged."""
    message = parsed(composed(attachments=[OutgoingAttachment("a.eml", "message/rfc822", source)]))
    (part,) = message.iter_attachments()
    assert (part.get_content_type(), content(part)) == ("application/octet-stream", source)


def test_a_mail_of_the_greatest_size_can_be_attached() -> None:
    """A mail with 25 MB of files is encoded already, and fits as it is; one above Gmail's limit is refused."""
    source = b"Subject: x\r\n\r\n" + (b"x" * 76 + b"\r\n") * (MAX_CONTENT_BYTES * 4 // 3 // 76)
    mail = compose(replace(DRAFT, attachments=[OutgoingAttachment("a.eml", "message/rfc822", source)]), now=NOW)
    assert mail.seek(0, io.SEEK_END) > len(source) > MAX_CONTENT_BYTES
    with pytest.raises(MailInputError, match="message-too-large"):
        composed(attachments=[OutgoingAttachment("a.eml", "message/rfc822", source + source)])


def test_attachments_are_not_copied() -> None:
    """A mail holds the contents that it was given, and encodes them while it is read."""
    data = bytes(4 * MEGABYTE)
    tracemalloc.start()
    mail = compose(replace(DRAFT, attachments=[OutgoingAttachment("a", "a/b", data)]), now=NOW)
    sizes = [len(piece) for piece in iter(lambda: mail.read(16 * 1024), b"")]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(sizes) == mail.seek(0, io.SEEK_END) == len(mail_of(data))
    assert peak_bytes < MEGABYTE


def mail_of(data: bytes) -> bytes:
    return composed(attachments=[OutgoingAttachment("a", "a/b", data)])


def test_threading_headers_stand_as_given() -> None:
    """In-Reply-To and References keep every id whole, however long and many they are."""
    ids = [f"<{'x' * 200}{number}@mail.example>" for number in range(50)]
    raw = composed(in_reply_to=ids[-1], references=ids)
    message = message_from_bytes(raw)
    assert headers.parse_message_ids([message["References"]]) == ids
    assert message["In-Reply-To"] == ids[-1]


def test_own_headers_are_added() -> None:
    """A header of ours, by which a send is found again, stands in the mail."""
    assert message_from_bytes(composed(extra={"X-CRM-Send": "a1b2"}))["X-CRM-Send"] == "a1b2"


def test_addresses_in_every_language_are_written() -> None:
    """A domain goes out in A-labels; a local part that is not ASCII goes out in UTF-8 (RFC 6532)."""
    raw = composed(to=[Address("Jörg", "jörg@bücher.example"), Address("", "x@straße.example")])
    message = message_from_bytes(raw, policy=SMTPUTF8)
    assert parse_addresses([str(message["To"])]) == [
        Address("Jörg", "jörg@xn--bcher-kva.example"),
        Address("", "x@xn--strae-oqa.example"),
    ]


@pytest.mark.parametrize("bad", ["a\r\nBcc: x@evil.test", "a\nb", "a\rb", "a\x00b", "a\u2028b", "a\x0bb", "a\x85b"])
@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("subject", lambda bad: {"subject": bad}),
        ("from", lambda bad: {"from_": Address(bad, "a@b.c")}),
        ("to", lambda bad: {"to": [Address(bad, "a@b.c")]}),
        ("to", lambda bad: {"to": [Address("", f"{bad}@b.c")]}),
        ("cc", lambda bad: {"cc": [Address("", f"a@{bad}")]}),
        ("bcc", lambda bad: {"bcc": [Address(bad, "a@b.c")]}),
        ("reply_to", lambda bad: {"reply_to": [Address(bad, "a@b.c")]}),
        ("references", lambda bad: {"in_reply_to": f"<{bad}@x>"}),
        ("references", lambda bad: {"references": [f"<{bad}@x>"]}),
        ("extra", lambda bad: {"extra": {"X-CRM-Send": bad}}),
        ("extra", lambda bad: {"extra": {f"X-{bad}": "a"}}),
        ("attachments", lambda bad: {"attachments": [OutgoingAttachment(bad, "a/b", b"")]}),
        ("attachments", lambda bad: {"attachments": [OutgoingAttachment("a", f"a/b{bad}", b"")]}),
        ("attachments", lambda bad: {"html": "x", "attachments": [OutgoingAttachment("a", "a/b", b"", bad)]}),
    ],
)
def test_line_breaks_in_headers_are_refused(field: str, make: Any, bad: str) -> None:
    """CR, LF, NUL and what some read as a line's end are refused in every value, without repeating it."""
    with pytest.raises(MailInputError) as caught:
        composed(**make(bad))
    assert (caught.value.code, caught.value.field) == ("header-injection", field)
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"to": []}, "no-recipients", "to"),
        ({"to": [Address("", f"u{number}@x.example") for number in range(501)]}, "too-many-recipients", "to"),
        ({"to": [Address("", "nobody")]}, "invalid-address", "to"),
        ({"cc": [Address("", "a@b.c, d@e.f")]}, "invalid-address", "cc"),
        ({"from_": Address("", "a@b.c> <d@e.f")}, "invalid-address", "from"),
        ({"to": [Address("x" * 251, "a@b.c")]}, "name-too-long", "to"),
        ({"subject": "x" * 4_001}, "subject-too-long", "subject"),
        ({"subject": "\ud800"}, "invalid-text", "subject"),
        ({"text": "a\x00b"}, "invalid-text", "text"),
        ({"html": "\ud800"}, "invalid-text", "html"),
        ({"references": ["no-brackets@x"]}, "invalid-message-id", "references"),
        ({"extra": {"Bcc": "a@b.c"}}, "invalid-header", "extra"),
        ({"extra": {"X-CRM-Send": "ä"}}, "invalid-header", "extra"),
        (
            {"html": "x", "attachments": [OutgoingAttachment("a", "a/b", b"", "a b")]},
            "invalid-content-id",
            "attachments",
        ),
        (
            {"attachments": [OutgoingAttachment("a", "a/b", bytes(MAX_CONTENT_BYTES // 2))] * 2},
            "message-too-large",
            "attachments",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_by_code(changes: dict[str, Any], code: str, field: str) -> None:
    """Each refusal has a code and names its field."""
    with pytest.raises(MailInputError) as caught:
        composed(**changes)
    assert (caught.value.code, caught.value.field) == (code, field)


def test_five_hundred_recipients_fit() -> None:
    """Gmail's limit of recipients is allowed, whatever their names, in lines within RFC 5322's length."""
    people = [Address("Ä" * 100, f"u{number}@x.example") for number in range(500)]
    raw = composed(to=people)
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert parse_addresses([message_from_bytes(raw)["To"]]) == people


NAMES = st.text(
    alphabet=st.characters(exclude_categories=["C", "Z"], exclude_characters="\"'\\=?()<>@,;:[]"), max_size=80
)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=200)


@settings(deadline=None)
@given(
    NAMES, TEXTS, st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=200)
)
def test_what_is_composed_reads_back(name: str, subject: str, text: str) -> None:
    """Names, subject and text of any language come back as they were, in lines that every server takes."""
    raw = composed(to=[Address(name, "mia@customer.example")], subject=subject, text=text)
    (found,) = parse_addresses([message_from_bytes(raw)["To"]])
    message = message_from_bytes(raw)
    body = message.get_payload(decode=True)
    assert found == Address(name.strip(), "mia@customer.example")
    assert " ".join(read_back(raw, "Subject").split()) == " ".join(subject.split())
    assert isinstance(body, bytes)
    assert lines_of(body.decode()) == lines_of(text)
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


def lines_of(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_no_input_adds_a_header(name: str, address: str, subject: str) -> None:
    """Whatever is typed, a mail has the headers that it is meant to have, or is refused."""
    try:
        raw = composed(to=[Address(name, f"{address}@x.example")], subject=subject)
    except MailInputError:
        return
    found = [key for key, _value in message_from_bytes(raw).items()]
    assert found == ["From", "To", "Subject", "Date", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
