from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.mail.addresses import Address
from common.mail.html import SanitisedHtml, contained
from common.mail.limits import MAX_NAME_CHARS, MAX_PARTS, MAX_TEXT_CHARS, MOST_IN_A_ROW
from common.mail.plain import html_to_text
from common.mail.reading import (
    SUMMARY_HEADERS,
    find_part,
    header_pairs,
    missing_bodies,
    read_message,
    read_summary,
)
from common.mail.view import Attachment, MessageView, RecipientReport, as_json, displayed_html, summary_as_json
from tests.unit.mail_payloads import all_mails, mail, needs_mails, resource

MULTIPART = """From: Mia <mia@customer.example>
To: anna@demo-crm.example
Subject: Angebot
MIME-Version: 1.0
Content-Type: multipart/{kind}; boundary=b{more}

{parts}
--b--
"""
TEXT = "Content-Type: text/plain; charset=utf-8\n\nplain text"
HTML = "Content-Type: text/html; charset=utf-8\n\n<p>rich <b>text</b></p>"
PDF = 'Content-Type: application/pdf; name="a.pdf"\nContent-Disposition: attachment; filename="a.pdf"\n\n%PDF'


def multipart(kind: str, *parts: str, more: str = "") -> dict[str, Any]:
    body = "\n".join(f"--b\n{part}" for part in parts)
    return resource(MULTIPART.format(kind=kind, parts=body, more=more).encode())


def view(kind: str, *parts: str) -> MessageView:
    return read_message(multipart(kind, *parts))


def listed(message: MessageView) -> list[tuple[str, str, str]]:
    return [(file.part_id, file.filename, file.kind) for file in message.attachments]


def nested(kind: str, inner: str) -> str:
    return f"Content-Type: multipart/{kind}; boundary=c\n\n{inner}\n--c--"


def test_the_fields_of_a_mail_are_read() -> None:
    """Ids, labels, people, times and the unescaped snippet come out of the resource."""
    raw = (
        b"From: =?utf-8?Q?M=C3=BCller?= <mia@customer.example>\n"
        b"To: Anna <anna@demo-crm.example>, ben@demo-crm.example\n"
        b"Cc: carla@demo-crm.example\nBcc: x@y.example\n"
        b"Reply-To: office@customer.example\nSubject: =?utf-8?Q?=C3=84?=\n"
        b"Date: Fri, 21 Nov 1997 09:55:06 -0600\nMessage-ID: <1@x>\nReferences: <0@x>\n\nHello"
    )
    found = read_message(resource(raw))
    assert (found.id, found.thread_id, found.label_ids) == ("m1", "t1", ("INBOX", "UNREAD"))
    assert found.from_ == Address("Müller", "mia@customer.example")
    assert found.to == (Address("Anna", "anna@demo-crm.example"), Address("", "ben@demo-crm.example"))
    assert found.cc == (Address("", "carla@demo-crm.example"),)
    assert found.bcc == (Address("", "x@y.example"),)
    assert found.reply_to == (Address("", "office@customer.example"),)
    assert (found.subject, found.text, found.snippet) == ("Ä", "Hello", "Tom & I")
    assert found.date == datetime(1997, 11, 21, 15, 55, 6, tzinfo=UTC)
    assert found.received_at == datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)
    assert (found.message_id, found.references) == ("<1@x>", ("<0@x>",))
    assert (found.is_unread, found.is_starred, found.is_authenticated) == (True, False, False)


def test_gmails_verdict_on_from_is_part_of_the_mail() -> None:
    """A mail that Gmail authenticated says so."""
    raw = b"Authentication-Results: mx.google.com; dmarc=pass\nFrom: mia@customer.example\n\nx"
    assert read_message(resource(raw)).is_authenticated


@pytest.mark.parametrize(
    ("found", "text", "html"),
    [
        (view("alternative", TEXT, HTML), "plain text", "<p>rich <b>text</b></p>"),
        (view("alternative", HTML, TEXT), "plain text", "<p>rich <b>text</b></p>"),
        (view("alternative", TEXT), "plain text", None),
        (view("mixed", HTML), None, "<p>rich <b>text</b></p>"),
        (view("mixed", TEXT, TEXT), "plain text\nplain text", None),
        (view("alternative", TEXT, nested("related", f"--c\n{HTML}")), "plain text", "<p>rich <b>text</b></p>"),
        (view("signed", nested("alternative", f"--c\n{TEXT}\n--c\n{HTML}")), "plain text", "<p>rich <b>text</b></p>"),
    ],
)
def test_the_right_alternative_is_the_body(found: MessageView, text: str | None, html: str | None) -> None:
    """Text and HTML of a choice are one body; pieces that follow each other are read in order."""
    assert (found.text, found.unverified_html) == (text, html)


def test_a_footer_after_html_is_shown_in_both_forms() -> None:
    """A list's footer in plain text follows the HTML body, and its text follows the text of that body."""
    found = view("mixed", nested("alternative", f"--c\n{TEXT}\n--c\n{HTML}"), TEXT.replace("plain text", "-- list"))
    assert found.text == "plain text\n-- list"
    assert found.unverified_html == '<p>rich <b>text</b></p><div style="white-space:pre-wrap">-- list</div>'


def test_files_are_listed_with_clean_names() -> None:
    """What is not the body is an attachment, with its part id, cleaned name, type and size."""
    found = view("mixed", TEXT, PDF.replace("a.pdf", "../a\u202e.pdf"))
    assert found.attachments == (Attachment("1", "a.pdf", "application/pdf", 4, False, "", "file"),)
    assert found.has_attachments


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (b"Content-Type: application/pdf; name=a.pdf", ("root", "a.pdf", "file")),
        (b"Content-Type: application/pdf", ("root", "attachment.pdf", "file")),
        (b"Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt", ("root", "a.txt", "file")),
        (b"Content-Type: text/calendar; method=REQUEST", ("root", "invite.ics", "calendar")),
    ],
)
def test_a_mail_of_one_part_has_an_attachment_named_root(headers: bytes, expected: tuple[str, str, str]) -> None:
    """Gmail's empty part id is called root."""
    message = read_message(resource(b"From: a@b.c\n" + headers + b"\n\ncontent"))
    assert (listed(message), message.text) == ([expected], None)


@pytest.mark.parametrize(
    "raw", [b"From: a@b.c\n\n", b"From: a@b.c\nContent-Type: multipart/mixed; boundary=b\n\n", b""]
)
def test_an_empty_mail_is_empty(raw: bytes) -> None:
    """A mail without a body shows nothing and lists nothing."""
    message = read_message(resource(raw))
    assert displayed_html(message, remote=False, cid_urls={}).html == ""
    assert message.attachments == ()


def test_an_image_is_inline_only_where_the_body_shows_it() -> None:
    """An image with a Content-ID that the HTML names is inline; one that it does not name is a file to see."""
    image = "Content-Type: image/png; name=l.png\nContent-ID: <{cid}>\nContent-Disposition: inline\n\nxx"
    html = 'Content-Type: text/html\n\n<img src="cid:one%40x">'
    found = view("related", html, image.format(cid="one@x"), image.format(cid="two@x"))
    assert [(file.content_id, file.inline) for file in found.attachments] == [("one@x", True), ("two@x", False)]


def test_an_svg_is_never_inline() -> None:
    """A drawing that may hold script is a file, whatever the body says."""
    svg = "Content-Type: image/svg+xml; name=l.svg\nContent-ID: <s@x>\n\n<svg/>"
    found = view("related", 'Content-Type: text/html\n\n<img src="cid:s@x">', svg)
    assert [file.inline for file in found.attachments] == [False]


def test_an_invitation_is_flagged() -> None:
    """A calendar part in a choice of forms is listed, and its method tells what it wants."""
    found = view(
        "alternative", TEXT, HTML, "Content-Type: text/calendar; method=request; charset=utf-8\n\nBEGIN:VCALENDAR"
    )
    assert (found.text, found.calendar_method, listed(found)) == (
        "plain text", "REQUEST", [("2", "invite.ics", "calendar")],
    )  # fmt: skip


def test_a_forwarded_mail_is_an_attachment_named_after_its_subject() -> None:
    """The text of a mail within the mail is not this mail's text."""
    inner = "Content-Type: message/rfc822\n\nSubject: Old offer\nFrom: x@y.z\n\ninner text"
    found = view("mixed", TEXT, inner)
    assert (found.text, listed(found)) == ("plain text", [("1", "Old offer.eml", "message")])


REPORT = """Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; mia@customer.example
Action: Failed
Status: 5.1.1 (no such user)
Diagnostic-Code: smtp; 550 unknown
"""


def test_a_delivery_report_names_who_did_not_get_the_mail() -> None:
    """Recipient, action, status and reason of each failed delivery are told."""
    found = view("report", TEXT, REPORT)
    assert found.delivery_report == (RecipientReport("mia@customer.example", "failed", "5.1.1", "550 unknown"),)


def test_only_mail_systems_report_by_header() -> None:
    """X-Failed-Recipients counts in a mail of a mail system, not in anyone's."""
    headers = b"X-Failed-Recipients: mia@customer.example\n\nx"
    system = read_message(resource(b"From: mailer-daemon@googlemail.com\n" + headers))
    stranger = read_message(resource(b"From: x@evil.test\n" + headers))
    assert system.delivery_report == (RecipientReport("mia@customer.example", "failed", "", ""),)
    assert stranger.delivery_report is None


def test_a_text_kept_apart_is_named_and_then_read() -> None:
    """A long text that Gmail does not put into the answer is fetched by its part id, and is the body then."""
    part = {"partId": "0", "mimeType": "text/plain", "body": {"attachmentId": "A1", "size": 5}}
    message = {"payload": {"mimeType": "multipart/mixed", "parts": [part]}}
    assert [(missing.part_id, missing.attachment_id) for missing in missing_bodies(message)] == [("0", "A1")]
    assert read_message(message, {"0": b"f\xc3\xa4r"}).text == "fär"
    assert listed(read_message(message)) == [("0", "attachment.txt", "file")]


def test_too_many_parts_are_cut() -> None:
    """A mail of ten thousand parts is read up to the limit, and says that it is cut."""
    part = {"mimeType": "image/png", "filename": "a.png", "body": {"attachmentId": "x", "size": 1}}
    parts = [{**part, "partId": str(index)} for index in range(10_000)]
    found = read_message({"payload": {"mimeType": "multipart/mixed", "parts": parts}})
    assert (len(found.attachments), found.cut) == (MAX_PARTS - 1, True)


def test_a_deep_tree_is_cut() -> None:
    """A tree of five thousand levels is read down to the limit without an error."""
    part: dict[str, Any] = {"mimeType": "text/plain", "body": {"data": "aGk="}}
    for _level in range(5_000):
        part = {"mimeType": "multipart/mixed", "parts": [part]}
    found = read_message({"payload": part})
    assert (found.text, found.cut, find_part({"payload": part}, "9")) == (None, True, None)


def test_a_long_text_is_cut() -> None:
    """Of a text above the limit the beginning is kept."""
    data = base64.urlsafe_b64encode(b"x" * (MAX_TEXT_CHARS + 5)).decode()
    found = read_message({"payload": {"mimeType": "text/plain", "body": {"data": data}}})
    assert (len(found.text or ""), found.cut) == (MAX_TEXT_CHARS, True)


def test_a_part_is_found_by_its_id() -> None:
    """The source of a part says where its content is."""
    message = multipart("mixed", TEXT, PDF)
    found = find_part(message, "1")
    text = find_part(message, "0")
    assert found is not None
    assert text is not None
    assert (found.filename, found.attachment_id, found.data) == ("a.pdf", "changes-at-each-get", None)
    assert (text.attachment_id, text.data) == (None, b"plain text")
    assert find_part(message, "7") is None


def test_a_row_says_what_a_list_needs() -> None:
    """A summary from headers alone does not know of attachments; one from the tree's names does."""
    message = multipart("mixed", TEXT, PDF)
    headers = [{"name": name, "value": value} for name, value in header_pairs(message) if name in SUMMARY_HEADERS]
    alone = read_summary({**message, "payload": {"mimeType": "multipart/mixed", "headers": headers}})
    assert (alone.subject, alone.has_attachments) == ("Angebot", None)
    assert read_summary(message).has_attachments is True
    assert read_summary(multipart("mixed", TEXT)).has_attachments is False


def test_json_shows_bcc_to_the_owner_only() -> None:
    """Bcc stands in the JSON only where it was asked for, and the sender's own markup never does."""
    raw = b"From: a@b.c\nBcc: secret@x.example\nContent-Type: text/html\n\n<script>x</script><p>hi</p>"
    message = read_message(resource(raw))
    body = displayed_html(message, remote=False, cid_urls={})
    assert "secret" not in json.dumps(as_json(message, body))
    assert as_json(message, body, with_bcc=True)["bcc"] == [{"name": "", "address": "secret@x.example"}]
    assert as_json(message, body)["html"] == contained(SanitisedHtml("<p>hi</p>", 0))
    assert "<script>" not in json.dumps(as_json(message, body))


def test_json_has_times_in_utc() -> None:
    """Times are RFC 3339 with a Z."""
    row = summary_as_json(read_summary(resource(b"Date: Fri, 21 Nov 1997 09:55:06 -0600\n\nx")))
    assert (row["date"], row["received_at"]) == ("1997-11-21T15:55:06Z", "2026-01-01T00:00:00Z")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["payload", "headers", "name", "value", "parts", "body", "data", "mimeType", "filename", "size",
                         "partId", "attachmentId", "labelIds", "internalDate", "snippet"]), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["payload", "labelIds", "internalDate", "snippet", "id"]), JSON_VALUES))
def test_no_resource_breaks_the_reader(message: dict[str, Any]) -> None:
    """Whatever Gmail answers, a mail comes out that can be shown."""
    found = read_message(message)
    body = displayed_html(found, remote=False, cid_urls={})
    assert json.loads(json.dumps(as_json(found, body)))["id"] == found.id


@needs_mails
def test_the_hundred_mails_are_readable() -> None:
    """Each of the hundred mails gives valid JSON with a body or an attachment, unless it has neither."""
    empty = []
    for path in all_mails():
        found = read_message(resource(path.read_bytes()))
        body = displayed_html(found, remote=False, cid_urls={})
        json.dumps(as_json(found, body)).encode()
        if not html_to_text(body.html).strip() and not found.attachments:
            empty.append(path.stem)
    # These have no body in their source either: they end after their headers.
    assert empty == ["bad_date_header", "bad_date_header2", "empty_in_reply_to", "missing_body", "must_supply_encoding"]


@needs_mails
@pytest.mark.parametrize(
    ("name", "subject", "text"),
    [
        ("multi_charset/japanese.eml", "まみむめも", "かきくえこ"),
        ("multi_charset/japanese_iso_2022.eml", "まみむめも", "すみません。"),
        ("multi_charset/japanese_shift_jis.eml", "test", "このメールはテスト用のメールです。"),
        ("multi_charset/ks_c_5601-1987.eml", "test", "스티해"),
        ("plain_emails/raw_email.eml", "NOTE: 한국말로 하는 것", "대부분의 마찬가지로"),
        ("plain_emails/raw_email_with_partially_quoted_subject.eml", 'Re: Test: "漢字" mid "漢字" tail', "Jamis"),
        ("error_emails/header_fields_with_empty_values.eml", "Testmail", "Jørn Støylen"),
        ("error_emails/bad_encoded_subject.eml", "TEST", "TEST"),
        ("rfc6532/utf8_headers.eml", "Säying Hello", "body"),
        ("mime_emails/raw_email_encoded_stack_level_too_deep.eml",
         "Nicolas Fouché has accepted your invitation to Gmail", "Nicolas Fouché"),
    ],
)  # fmt: skip
def test_every_declared_charset_is_readable(name: str, subject: str, text: str) -> None:
    """No mail with a declared charset comes out garbled."""
    found = read_message(mail(name))
    assert found.subject == subject
    assert text in (found.text or "")


@needs_mails
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("attachment_only_email", [("root", "blah.gz", "file")]),
        ("attachment_with_encoded_name", [("1", "01 Quien Te Dij\ufffdat. Pitbull.mp3", "file")]),
        ("attachment_with_base64_encoded_name", [("1", "This is a test.pdf", "file")]),
        ("attachment_with_quoted_filename", [("0", "Eelanalüüsi päring.jpg", "file")]),
        ("attachment_with_unquoted_name", [("1", "This is a test.txt", "file")]),
        ("attachment_message_rfc822", [("1", "ForwardedMessage.eml", "message")]),
        ("attachment_message_rfc822_inline_image", [("0.1", "img.png", "file"), ("1", "Testmail.eml", "message")]),
    ],
)
def test_the_files_of_real_mails_are_named(name: str, expected: list[tuple[str, str, str]]) -> None:
    """Names in every encoding that mailers use come out readable."""
    assert listed(read_message(mail(f"attachment_emails/{name}.eml"))) == expected


@needs_mails
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report_422", [("fraser@oooooooo.com.au", "delayed", "4.2.2")]),
        ("report_530", [("edwin@zzzzzzz.com", "failed", "5.3.0")]),
        ("multipart_report_multiple_status", [("u@ci.com", "failed", "5.3.0")]),
    ],
)
def test_real_delivery_reports_are_understood(name: str, expected: list[tuple[str, str, str]]) -> None:
    """The recipients of real reports come with what became of their mail."""
    found = read_message(mail(f"multipart_report_emails/{name}.eml")).delivery_report or ()
    assert [(report.address, report.action, report.status) for report in found] == expected


def test_a_row_has_the_first_recipients_and_the_mail_all() -> None:
    """A list must not show two thousand recipients fifty times; the opened mail does, once."""
    addresses = [f"u{number}@x.test" for number in range(MOST_IN_A_ROW + 1)]
    headers = [{"name": name, "value": ", ".join(addresses)} for name in ("To", "Cc")]
    message = {"id": "1", "payload": {"mimeType": "text/plain", "headers": headers}}

    row, whole = read_summary(message), read_message(message)

    assert [addresses[:-1]] * 2 == [[one.address for one in found] for found in (row.to, row.cc)]
    assert [addresses] * 2 == [[one.address for one in found] for found in (whole.to, whole.cc)]


def test_a_from_without_an_address_is_bounded() -> None:
    """What stands in From instead of an address is shown as a name, and no longer than one."""
    found = read_summary({"payload": {"mimeType": "text/plain", "headers": [{"name": "From", "value": "(" * 500_000}]}})
    assert found.from_ == Address("(" * MAX_NAME_CHARS, "")
