"""Anna writes to Mia: what tests of sending ask of the stack, and what they look at afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import requests

from local.faults import Fault
from local.stack import Stack

ANNA, BEN, MIA = "anna@demo-crm.example", "ben@demo-crm.example", "mia@customer.example"
MESSAGES, SENDS, DRAFTS = "/mail_proxy/messages", "/mail_proxy/sends", "/mail_proxy/drafts"
Files = Iterable[tuple[str, tuple[str, bytes, str]]]


def begin(stack: Stack) -> Stack:
    """Connects Anna, makes her known to the directory, and gives Mia a mailbox."""
    stack.google.add_account(MIA, "Mia Kunde")
    stack.load_directory()
    stack.connect("anna")
    stack.ask("anna", "GET", "/mail_proxy/labels")
    return stack


def mail(**changes: Any) -> dict[str, Any]:
    """The JSON of a mail to Mia."""
    return {"to": [{"address": MIA}], "subject": "Angebot", "text": "Guten Tag"} | changes


def post(
    stack: Stack, body: dict[str, Any], key: str = "key", *, files: Files = (), path: str = MESSAGES, user: str = "anna"
) -> requests.Response:
    """``POST /messages`` with a key; as multipart where there are files."""
    headers = {"Idempotency-Key": key}
    parts = list(files)
    if not parts:
        return stack.call(user, "POST", path, json=body, headers=headers)
    message = ("message", (None, json.dumps(body), "application/json"))
    return stack.call(user, "POST", path, headers=headers, files=[message, *parts])


def sent(stack: Stack, address: str = ANNA) -> list[EmailMessage]:
    """The mails under SENT, newest first, parsed."""
    return [parsed(one.raw) for one in _messages(stack, address) if "SENT" in one.labels]


def received(stack: Stack, address: str = MIA) -> list[EmailMessage]:
    """The mails in somebody's inbox, newest first, parsed."""
    return [parsed(one.raw) for one in _messages(stack, address) if "INBOX" in one.labels]


def _messages(stack: Stack, address: str) -> list[Any]:
    mailbox = stack.google.gmail.mailbox(address)
    with mailbox.lock:
        return list(mailbox.newest_first())


def parsed(raw: bytes) -> EmailMessage:
    found = message_from_bytes(raw, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    """The body, with plain line ends."""
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n").strip()


def files_of(message: EmailMessage) -> dict[str, bytes]:
    """The attached files by name."""
    return {part.get_filename() or "": part.get_payload(decode=True) for part in message.iter_attachments()}  # type: ignore[misc]


def inject(stack: Stack, service: str, method: str, **fault: Any) -> None:
    stack.faults.inject(Fault(service, method, **fault))


def pass_time(stack: Stack, seconds: float) -> None:
    """Lets so much time pass, with everything that is due in it."""
    end = stack.clock.now() + timedelta(seconds=seconds)
    stack.catch_up(within_s=seconds)
    stack.advance(max(0.0, (end - stack.clock.now()).total_seconds()))
    stack.settle()


def calls_of(stack: Stack, work: Callable[[], Any], service: str = "gmail") -> list[str]:
    """The methods that were called while ``work`` ran."""
    mark = stack.ledger.mark()
    work()
    return [call.method.removeprefix("users.") for call in stack.ledger.since(mark, service=service)]


def state(stack: Stack, key: str = "key") -> tuple[str, str]:
    """What ``GET /sends/{key}`` says: state and reason."""
    answer = stack.ask("anna", "GET", f"{SENDS}/{key}")
    return answer["state"], answer["reason"]


def problem(response: requests.Response) -> tuple[int, str]:
    """Status and code of a problem."""
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.status_code, response.json()["code"]
