"""A hundred real mails are answered and forwarded: whatever is in them, the answer goes out, and no file is lost."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from local.stack import Stack
from tests.integration.sending_rig import ANNA, BEN, begin, post
from tests.unit.mail_payloads import all_mails, needs_mails

pytestmark = [pytest.mark.integration, needs_mails]
T = TypeVar("T")
_A_MINUTE = 10
# What the connection's owner names where a mail names nobody to answer.
TO_BEN = {"to": [{"address": BEN}]}


@pytest.fixture
def delivered(stack: Stack) -> dict[Path, str]:
    """The mails in Anna's mailbox, by their files."""
    begin(stack)
    return {path: stack.google.gmail.deliver(path.read_bytes(), to=ANNA)[ANNA] for path in all_mails()}


def write(stack: Stack, mode: str, message_id: str, **changes: Any) -> tuple[int, dict[str, Any]]:
    body = {"mode": mode, "message_id": message_id, "text": "Danke", "html": "<p>Danke</p>"} | changes
    response = post(stack, body, str(uuid.uuid4()))
    return response.status_code, response.json()


def for_each(stack: Stack, delivered: dict[Path, str], work: Callable[[str], T]) -> dict[Path, T]:
    """What ``work`` says of each mail, done slowly enough for Gmail's units of a minute."""
    said: dict[Path, T] = {}
    for count, (path, message_id) in enumerate(delivered.items()):
        if count % _A_MINUTE == 0:
            stack.advance(61)
        said[path] = work(message_id)
    return said


def test_every_mail_can_be_answered(stack: Stack, delivered: dict[Path, str]) -> None:
    """A reply goes out for every mail; where it names nobody, for one whom the writer names."""

    def reply(message_id: str) -> tuple[int, str]:
        status, answer = write(stack, "reply_all", message_id)
        if answer.get("code") == "no-recipients":
            status, answer = write(stack, "reply_all", message_id, **TO_BEN)
        return status, answer.get("code", "")

    answers = for_each(stack, delivered, reply)

    assert {} == {path.name: answer for path, answer in answers.items() if answer != (200, "")}


def test_every_mail_can_be_forwarded(stack: Stack, delivered: dict[Path, str]) -> None:
    """Every mail can be forwarded, with as many files as it has, and as a file itself."""

    def forward(message_id: str) -> tuple[int, int, int]:
        opened = stack.ask("anna", "GET", f"/mail_proxy/messages/{message_id}?images=0")
        status, answer = write(stack, "forward", message_id, **TO_BEN)
        whole, _ = write(stack, "forward", message_id, **TO_BEN, as_attachment=True)
        copy = stack.ask("anna", "GET", f"/mail_proxy/messages/{answer['id']}?images=0") if status == 200 else {}
        return status, whole, len(copy.get("attachments", ())) - len(opened["attachments"])

    answers = for_each(stack, delivered, forward)

    assert {} == {path.name: answer for path, answer in answers.items() if answer != (200, 200, 0)}
