from __future__ import annotations

import pytest

from common.mail.source import extract_part

RAW = b"""Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

text
--b
Content-Type: application/pdf
Content-Transfer-Encoding: base64

JVBERg==
--b
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/mixed; boundary=c

--c
Content-Type: text/plain

deep
--c--
--b--
"""


@pytest.mark.parametrize(
    ("part_id", "expected"),
    [
        ("0", b"text"),
        ("1", b"%PDF"),
        ("2.0.0", b"deep"),
        ("7", None),
        ("x", None),
        ("-1", None),
        ("0.0", None),
        ("", None),
    ],
)
def test_a_part_is_taken_out_by_gmails_number(part_id: str, expected: bytes | None) -> None:
    """Part ids count as Gmail counts; an id of nothing gives nothing."""
    assert extract_part(RAW, part_id) == expected


def test_a_forwarded_mail_comes_out_as_its_source() -> None:
    """The whole inner mail, with its headers, is the part's content."""
    found = extract_part(RAW, "2")
    assert found is not None
    assert found.startswith(b"Subject: inner\n")
    assert b"deep" in found


def test_a_mail_of_one_part_is_its_root() -> None:
    """Root is the content of a mail that is one part."""
    assert (
        extract_part(b"Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\nJVBERg==", "root") == b"%PDF"
    )
