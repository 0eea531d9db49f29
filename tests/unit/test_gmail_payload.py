"""Payload trees of the Gmail stand-in, from mails whose parts are known."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from local.gmail.payload import INLINE_LIMIT_BYTES, parse_mime, parse_payload, part_content, readable_text, snippet_of

PNG = b"\x89PNG\r\n\x1a\n"


def _tree(raw: bytes) -> dict[str, Any]:
    return parse_payload(raw, lambda part_id: f"id-of-{part_id}")


def _text(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64decode(part["body"]["data"]).decode("utf-8")


def _shape(part: dict[str, Any]) -> Any:
    inner = [_shape(child) for child in part.get("parts", [])]
    return (part["partId"], part["mimeType"], *([inner] if inner else []))


NESTED = b"""From: mia@customer.example\r
Content-Type: multipart/mixed; boundary=out\r
\r
--out\r
Content-Type: multipart/alternative; boundary=in\r
\r
--in\r
Content-Type: text/plain; charset=iso-8859-1\r
Content-Transfer-Encoding: quoted-printable\r
\r
Gr=FC=DFe\r
--in\r
Content-Type: text/html; charset=utf-8\r
\r
<p>Gr\xc3\xbc\xc3\x9fe</p>\r
--in--\r
--out\r
Content-Type: image/png\r
Content-Disposition: attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe.png\r
Content-Transfer-Encoding: base64\r
\r
iVBORw0KGgo=\r
--out\r
Content-Type: message/rfc822\r
\r
Subject: Innen\r
\r
innen\r
--out--\r
"""


def test_parts_are_numbered_from_an_empty_root() -> None:
    """The root's id is empty, its children count from 0, theirs follow after a dot; a forwarded mail is a part too."""
    expected = ("", "multipart/mixed", [
        ("0", "multipart/alternative", [("0.0", "text/plain"), ("0.1", "text/html")]),
        ("1", "image/png"),
        ("2", "message/rfc822", [("2.0", "text/plain")]),
    ])  # fmt: skip
    assert expected == _shape(_tree(NESTED))


def test_texts_come_in_utf8_whatever_their_charset() -> None:
    """A Latin-1 body in quoted-printable arrives as UTF-8, and its size counts those bytes."""
    part = _tree(NESTED)["parts"][0]["parts"][0]
    assert ("Grüße", 7) == (_text(part), part["body"]["size"])


def test_a_file_stays_behind_its_attachment_id() -> None:
    """A part with a file name has an id and a size but no data; its content is fetched by part."""
    part = _tree(NESTED)["parts"][1]
    assert ("Grüße.png", {"attachmentId": "id-of-1", "size": len(PNG)}) == (part["filename"], part["body"])
    assert PNG == part_content(NESTED, "1")


def test_a_mail_that_is_one_file_has_it_at_the_root() -> None:
    """The part id of a mail that is a PDF itself is the empty text."""
    raw = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n"
    tree = _tree(raw)
    assert ("", "a.pdf", {"attachmentId": "id-of-", "size": 5}) == (tree["partId"], tree["filename"], tree["body"])
    assert b"%PDF-" == part_content(raw, "")


def test_a_forwarded_mail_with_a_name_is_a_file_byte_for_byte() -> None:
    """A named message/rfc822 part has an attachment id and its parts; the file is the mail as it came."""
    inner = b"Subject: " + b"lang " * 40 + b"\r\nTo: a@x.example\r\n\r\nFrom hier an\r\nEnde\r\n"
    header = b"Content-Type: message/rfc822; name=weiter.eml\r\n\r\n"
    tree = _tree(header + inner)
    assert ("weiter.eml", {"attachmentId": "id-of-", "size": len(inner)}) == (tree["filename"], tree["body"])
    assert [("0", "text/plain")] == [_shape(part) for part in tree["parts"]]
    assert inner == part_content(header + inner, "")


def test_a_long_text_stays_behind_an_attachment_id() -> None:
    """Beyond a limit even a body is not put into the answer."""
    limit = INLINE_LIMIT_BYTES
    short, long = (_tree(b"Content-Type: text/plain\r\n\r\n" + b"x" * size) for size in (limit, limit + 1))
    assert "data" in short["body"]
    assert {"attachmentId": "id-of-", "size": limit + 1} == long["body"]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"Subject: =?iso-8859-1?Q?Gr=FC?= =?iso-8859-1?Q?=DFe?=", "Grüße"),
        (b"Subject: =?utf-8?B?R3LD?= =?utf-8?B?vMOfZQ==?=", "Grüße"),
        (b"Subject: Gr\xc3\xbc\xc3\x9fe", "Grüße"),
        (b"Subject: Gr\xfc\xdfe", "Grüße"),
        (b"Subject: eins\r\n zwei", "eins zwei"),
        (b"Subject: =?nonsense?q?abc?=", "abc"),
        (b"Subject: =?utf-8?b?!?= x", "=?utf-8?b?!?= x"),
        (b"From: =?utf-8?q?M=C3=BCller=2C_Anna?= <a@b.example>", '"Müller, Anna" <a@b.example>'),
        (b"From: =?utf-8?q?J=C3=B6rg?= <a@b.example>", "Jörg <a@b.example>"),
    ],
)
def test_header_values_come_decoded(line: bytes, value: str) -> None:
    """Encoded words, raw bytes and folds are read; a decoded name with a comma gets the quotes it needs."""
    assert value == _tree(line + b"\r\n\r\nx")["headers"][0]["value"]


def test_a_multipart_without_parts_is_shown_as_text() -> None:
    """A mail that breaks its promise of parts is readable all the same."""
    tree = _tree(b"Content-Type: multipart/mixed; boundary=x\r\n\r\nkein Teil\r\n")
    assert ("text/plain", "kein Teil\r\n") == (tree["mimeType"], _text(tree))


def test_a_snippet_is_short_plain_and_escaped() -> None:
    """HTML gives its readable words; signs that mean something in HTML are escaped."""
    raw = b"Content-Type: text/html\r\n\r\n<style>p{}</style><p>Sie &amp; ich:</p><p>1 &lt; 2, it's so</p>"
    assert "Sie &amp; ich: 1 &lt; 2, it&#39;s so" == snippet_of(readable_text(parse_mime(raw)))
    assert len(snippet_of("wort " * 500)) <= 200


def test_deep_nesting_ends_somewhere() -> None:
    """A mail nested a thousand deep gives a tree and no error."""
    tree = _tree(b"Content-Type: message/rfc822\r\n\r\n" * 1000 + b"x")
    assert "message/rfc822" == tree["mimeType"]


def test_half_a_character_is_replaced() -> None:
    """A body in UTF-7 that spells half of a surrogate pair is a body all the same."""
    part = _tree(b"Content-Type: text/plain; charset=utf-7\r\n\r\nA +2AA- B\r\n")
    assert ["A", "B"] == _text(part).split()[::2]
