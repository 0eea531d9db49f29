from __future__ import annotations

from email.message import Message
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.mail.filenames import clean_filename, content_disposition


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Angebot Müller.pdf", "Angebot Müller.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system32\\cmd.exe", "cmd.exe"),
        ("a\x00b\r\nc.txt", "ab c.txt"),
        ("rechnung\u202efdp.exe", "rechnungfdp.exe"),
        ("in\u200bvisible.pdf", "invisible.pdf"),
        ('a<b>c:"d|e?f*.txt', "a_b_c__d_e_f_.txt"),
        ("invoice.pdf                              .exe", "invoice.pdf .exe"),
        ("  ..hidden.. ", "hidden"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("console.txt", "console.txt"),
        ("u\u0308ber.txt", "über.txt"),
        ("lone\ud800.txt", "lone.txt"),
    ],
)
def test_names_lose_their_tricks(name: str, expected: str) -> None:
    """Paths, control, bidi and reserved characters, and device names go; letters of all languages stay."""
    assert clean_filename(name) == expected


@pytest.mark.parametrize(
    ("content_type", "expected"), [("application/pdf", "attachment.pdf"), ("application/x-nothing", "attachment")]
)
def test_a_nameless_file_is_named_after_its_type(content_type: str, expected: str) -> None:
    """Where nothing usable is left, the type gives the extension."""
    assert clean_filename("../..", content_type) == expected


def test_long_names_keep_their_extension() -> None:
    """A name is cut to 200 bytes before its extension, never within a character."""
    assert clean_filename("ä" * 300 + ".pdf") == "ä" * 98 + ".pdf"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report.pdf", 'attachment; filename="report.pdf"'),
        ("Müller €.pdf", "attachment; filename=\"M_ller _.pdf\"; filename*=UTF-8''M%C3%BCller%20%E2%82%AC.pdf"),
        ("100%41.txt", "attachment; filename=\"100_41.txt\"; filename*=UTF-8''100%2541.txt"),
    ],
)
def test_content_disposition_follows_rfc_6266(name: str, expected: str) -> None:
    """A plain name stands alone; another one comes in ASCII and, encoded by RFC 8187, as it is."""
    assert content_disposition(name) == expected


@given(st.text(max_size=300))
def test_any_name_becomes_a_header_that_reads_back(name: str) -> None:
    """Whatever a sender calls a file, the header is one ASCII line that names the cleaned file."""
    value = content_disposition(name)
    message = Message()
    message["Content-Disposition"] = value
    starred = value.partition("filename*=UTF-8''")[2]
    assert value.isascii()
    assert value.isprintable()
    assert (unquote(starred) or message.get_filename()) == clean_filename(name)


@given(st.text(max_size=300))
def test_cleaning_twice_changes_nothing(name: str) -> None:
    """A cleaned name is clean."""
    once = clean_filename(name)
    assert clean_filename(once) == once
