"""Raw mail in the Gmail stand-in: header blocks cut and edited, and anything at all survived."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from local.gmail import wire
from local.gmail.delivery import arrived, recipients, sent
from local.gmail.errors import GmailError
from local.gmail.mailbox import Mailbox
from local.gmail.payload import parse_payload
from local.gmail.search import parse_query

NOW = datetime(2026, 3, 10, tzinfo=UTC)
MAIL = b"From: a@x.example\r\nBcc: b@x.example,\r\n c@x.example\r\nSubject: s\r\n\r\nBcc: body\r\n"


def test_a_field_goes_with_its_folds_and_the_body_stays() -> None:
    """Removing a header takes its folded lines too, and nothing that looks like it in the body."""
    assert b"From: a@x.example\r\nSubject: s\r\n\r\nBcc: body\r\n" == wire.without(MAIL, "bcc")


@pytest.mark.parametrize(
    ("raw", "header", "body"),
    [
        (b"A: b\r\n\r\nc", b"A: b\r\n", b"\r\nc"),
        (b"\r\nc", b"", b"\r\nc"),
        (b"A: b", b"A: b\r\n", b"\r\n"),
        (b"A: b\r\n\r\n\r\nc", b"A: b\r\n", b"\r\n\r\nc"),
    ],
)
def test_a_mail_is_cut_at_its_first_blank_line(raw: bytes, header: bytes, body: bytes) -> None:
    """Header block and body, also where one of them is missing."""
    assert (header, body) == wire.split_header(raw)


def test_bare_line_feeds_become_crlf_once() -> None:
    """SMTP's line ends, without doubling those that are there."""
    assert b"a\r\nb\r\nc" == wire.to_crlf(b"a\nb\r\nc")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"To: A <a@x.example>, b@X.example", ["a@x.example", "b@x.example"]),
        (b'To: "x@fake.example" <a@x.example>', ["a@x.example"]),
        (b"To: =?utf-8?q?b=40x.example?= <a@x.example>", ["a@x.example"]),
        (b"To: nobody", []),
        (b"To: undisclosed-recipients:;", []),
    ],
)
def test_addresses_are_not_taken_from_names(header: bytes, expected: list[str]) -> None:
    """A display name that looks like an address, or decodes to one, is none."""
    assert expected == wire.addresses(header + b"\r\n\r\n", "to")


def test_five_hundred_recipients_are_the_limit() -> None:
    """500 go, 501 are refused."""
    lists = [", ".join(f"u{n}@x.example" for n in range(count)) for count in (500, 501)]
    assert 500 == len(recipients(f"To: {lists[0]}\r\n\r\n".encode()))
    with pytest.raises(GmailError) as refusal:
        recipients(f"To: {lists[1]}\r\n\r\n".encode())
    assert 400 == refusal.value.code


def test_a_senders_name_beyond_ascii_is_encoded() -> None:
    """A rewritten From is a header that every mail server reads."""
    raw = sent(b"To: a@x.example\r\n\r\n", "j@x.example", "Jörg, Weiß", {"j@x.example"}, NOW)
    assert '"Jörg, Weiß" <j@x.example>' == wire.header_value(raw, "from")
    assert wire.split_header(raw)[0].isascii()


@given(st.binary(max_size=300))
@example(b"Content-Type: text/plain; charset=\xff\r\n\r\n\xff")
@example(b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n\r\n")
@example(b"From: \x00 <a@b>\r\nContent-Disposition: attachment; filename*=x'y'%ff\r\n\r\n")
@example(b"Content-Type: text/plain; name*0*=utf-8''%; name*2=x\r\nContent-Transfer-Encoding: base64\r\n\r\n===a")
@example(b"Content-Type: text/plain; charset*=a'b'c\r\n\r\nx")
@example(b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n\xff\r\nend")
@example(b"Content-Type: text/x; charset=hex\r\n\r\nx")
def test_any_bytes_are_a_mail(raw: bytes) -> None:
    """Whatever arrives is stored, shown and found by a search, and its JSON can be written."""
    mailbox = Mailbox("anna@x.example", [], lambda: NOW, lambda *_: None, 1)
    message = mailbox.add(arrived(raw, "anna@x.example", None, NOW), {"INBOX"})
    tree = parse_payload(message.raw, lambda part_id: part_id)
    query = parse_query("has:attachment OR x OR from:x", mailbox, NOW)
    assert query.matches(message) in (True, False)
    assert "Delivered-To" == tree["headers"][0]["name"]
    assert json.dumps(tree, ensure_ascii=False).encode("utf-8", "replace")


@given(st.text(max_size=40))
def test_any_text_is_a_search(text: str) -> None:
    """No search fails, whatever is typed."""
    mailbox = Mailbox("anna@x.example", [], lambda: NOW, lambda *_: None, 1)
    message = mailbox.add(MAIL, {"INBOX"})
    assert parse_query(text, mailbox, NOW).matches(message) in (True, False)


STRUCTURES = st.lists(
    st.sampled_from(
        [
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b"Content-Type: message/rfc822\r\n",
            b"Content-Type: message/delivery-status\r\n",
            b"Content-Type: text/html; charset=utf-7\r\n",
            b"Content-Transfer-Encoding: quoted-printable\r\n",
            b"Content-Transfer-Encoding: base64\r\n",
            b'Content-Disposition: attachment; filename="\xe4"\r\n',
            b"\r\n",
            b"--b\r\n",
            b"--b--\r\n",
            b"=FF=\r\n",
            b"Subject: =?utf-8?b?/w==?=\r\n",
        ]
    ),
    max_size=14,
)


@given(STRUCTURES)
def test_any_structure_is_a_tree(lines: list[bytes]) -> None:
    """Parts, forwarded mails and reports in whatever disorder give a tree whose ids count from the root."""
    tree = parse_payload(b"".join(lines), lambda part_id: part_id)
    assert [str(index) for index in range(len(tree.get("parts", [])))] == [
        one["partId"] for one in tree.get("parts", [])
    ]
