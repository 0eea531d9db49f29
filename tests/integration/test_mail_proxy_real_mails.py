"""mail_proxy over HTTP: a hundred real mails, broken ones among them, go in raw and come out readable."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from local.crm.people import ANNA
from local.stack import Stack
from tests.integration.mailbox_rig import MIA, deliver, search

MAILS = Path(__file__).resolve().parents[3] / "shared" / "mail"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not MAILS.is_dir(), reason=f"SKIPPED LOUDLY: the hundred mails are not at {MAILS}"),
]


@pytest.fixture(scope="module")
def sources() -> dict[str, bytes]:
    """The mails' sources by their path."""
    return {str(path.relative_to(MAILS)): path.read_bytes() for path in sorted(MAILS.glob("*/*.eml"))}


@pytest.fixture
def delivered(stack: Stack, sources: dict[str, bytes]) -> dict[str, str]:
    """Gmail's ids of the mails, delivered to Anna, by their path."""
    stack.connect("anna")
    return {name: deliver(stack, raw) for name, raw in sources.items()}


def pages(stack: Stack) -> Iterator[Any]:
    token = ""
    while True:
        page = search(stack, page_size=50, page_token=token)
        yield page
        token = page["next_page_token"]
        if not token:
            return


def texts_with_a_declared_charset(raw: bytes) -> list[str]:
    """The words of the plain texts that are no files and say in what charset they are, as that charset reads them."""
    found: list[str] = []
    parts = [message_from_bytes(raw)]
    while parts:
        part = parts.pop()
        if part.get_content_maintype() == "message":
            continue
        if part.is_multipart():
            parts += [child for child in part.get_payload() if isinstance(child, Message)]
            continue
        charset = part.get_content_charset()
        is_body = part.get_content_type() == "text/plain" and not part.get_filename()
        content = part.get_payload(decode=True)
        if is_body and charset and isinstance(content, bytes) and part.get_content_disposition() != "attachment":
            try:
                found.append(content.decode(charset))
            except (LookupError, UnicodeDecodeError):
                continue
    return found


def named_files(raw: bytes) -> list[bytes | None]:
    """The contents of the parts with a file name, those within attached mails left out; None of an attached mail."""
    found: list[bytes | None] = []
    parts = [message_from_bytes(raw)]
    while parts:
        part = parts.pop()
        if part.get_filename():
            content = part.get_payload(decode=True)
            found.append(content if isinstance(content, bytes) else None)
        if part.get_content_maintype() == "multipart":
            parts += [child for child in part.get_payload() if isinstance(child, Message)]
    return found


def test_real_mails_are_listed_opened_and_saved(
    stack: Stack, sources: dict[str, bytes], delivered: dict[str, str]
) -> None:
    """Every mail is on a page, opens with its conversation, and hands out its source and its files, byte for byte."""
    listed = {row["id"] for page in pages(stack) for row in page["messages"]}
    answers: dict[str, set[int]] = {}
    lost: list[str] = []
    compared = 0
    for count, (name, mail_id) in enumerate(delivered.items()):
        if count % 25 == 0:
            # Gmail's minute holds a quarter of what is asked here.
            stack.advance(61)
        opened = stack.ask("anna", "GET", f"/mail_proxy/messages/{mail_id}")
        files = [one["part_id"] for one in opened["attachments"]]
        expected = named_files(sources[name])
        saved = [
            stack.call("anna", "GET", f"/mail_proxy/messages/{mail_id}/attachments/{part_id}") for part_id in files
        ]
        contents = {one.content for one in saved}
        compared += sum(content is not None for content in expected)
        if len(files) < len(expected) or any(one not in contents for one in expected if one is not None):
            lost.append(name)
        answers[name] = {one.status_code for one in saved}
        for path in (f"messages/{mail_id}/raw", f"threads/{opened['thread_id']}"):
            answers[name].add(stack.call("anna", "GET", f"/mail_proxy/{path}").status_code)

    assert set(delivered.values()) == listed
    assert {} == {name: statuses for name, statuses in answers.items() if statuses != {200}}
    assert [] == lost
    assert 20 < compared


def test_real_mails_are_readable(stack: Stack, sources: dict[str, bytes], delivered: dict[str, str]) -> None:
    """What a mail's plain text says in its declared charset is in what is shown, word for word."""
    unreadable: list[str] = []
    words_read = 0
    for count, (name, mail_id) in enumerate(delivered.items()):
        if count % 100 == 99:
            stack.advance(61)
        opened = stack.ask("anna", "GET", f"/mail_proxy/messages/{mail_id}?images=0")
        shown = f"{opened['text']} {opened['html']}"
        said = [word for text in texts_with_a_declared_charset(sources[name]) for word in text.split()]
        words = [word for word in said if word.isalnum()]
        words_read += len(words)
        if any(word not in shown for word in words):
            unreadable.append(name)

    assert [] == unreadable
    assert words_read > 1000


def test_broken_mail_spoils_no_page(stack: Stack) -> None:
    """A mail that is hardly one stands in the list beside the others, and opens."""
    stack.connect("anna")
    broken = deliver(stack, b"\xff\xfe no header at all \x00\r\n")
    good = stack.mail("anna", MIA)

    assert [good, broken] == [row["id"] for row in search(stack)["messages"]]
    assert 200 == stack.call("anna", "GET", f"/mail_proxy/messages/{broken}").status_code
    assert ANNA.email == stack.ask("anna", "GET", "/oauth_callback/connection")["address"]
