"""What the tests of magnet_ingest share: a user with MailMagnet on, and how to read what is stored and called."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local import environment
from local.ledger import Call
from local.pubsub import PubSub
from local.stack import Stack

MIA, JONAS, STRANGER = "mia@customer.example", "jonas.weber@weber-bau.example", "someone@stranger.example"


def start_magnet(stack: Stack, user: str = "anna", address: str | None = None) -> Stack:
    """A user connected, with MailMagnet on, its backfill done."""
    stack.connect(user, address=address)
    stack.switch_on(user, mailmagnet=True)
    stack.catch_up(within_s=300)
    return stack


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def notices(stack: Stack, user: str = "anna") -> dict[str, dict[str, Any]]:
    """The user's notices as they are stored, by mail id."""
    prefix = f"connections/{encoded(user)}/notices/"
    stored = stack.documents()
    return {record["mail_id"]: record for path, record in stored.items() if path.startswith(prefix)}


def held(stack: Stack, user: str = "anna") -> list[str]:
    """The collections in which something of MailMagnet's is held for the user."""
    name = encoded(user)
    prefixes = (f"connections/{name}/", f"sync/{name}", f"work/{name}")
    return sorted({path.removeprefix(f"connections/{name}/").split("/")[0] for path in stack.documents()
                   if path.startswith(prefixes)})  # fmt: skip


def sync(stack: Stack, user: str = "anna") -> dict[str, Any]:
    return stack.documents()[f"sync/{encoded(user)}"]


def pubsub(stack: Stack) -> PubSub:
    service = stack.google.pubsub
    assert isinstance(service, PubSub)
    return service


@contextmanager
def unpushed(stack: Stack) -> Iterator[None]:
    """What happens within the block is pushed only at its end."""
    pubsub(stack).pause(environment.SUBSCRIPTION)
    yield
    pubsub(stack).resume(environment.SUBSCRIPTION)
    stack.settle()


def gmail_calls(stack: Stack, mark: int, user: str = "anna") -> list[Call]:
    return stack.ledger.since(mark, service="gmail", mailbox=stack.people[user].email)


def counted(calls: list[Call]) -> dict[str, int]:
    return dict(Counter(call.method.removeprefix("users.") for call in calls))


def deliver_all(stack: Stack, *senders: str, user: str = "anna") -> list[str]:
    """Mails that arrive together, the first of them with a push."""
    address = stack.people[user].email
    stack.advance(2)
    raws = [f"From: {sender}\r\nTo: {address}\r\nSubject: x\r\n\r\nx\r\n".encode() for sender in senders]
    return [stack.google.gmail.deliver(raw, to=address)[address] for raw in raws]


def push(stack: Stack, data: bytes) -> None:
    """Publishes what Gmail might push, and waits until it has been dealt with."""
    pubsub(stack).publish(environment.TOPIC, data)
    stack.settle()


def send_task(stack: Stack, payload: dict[str, Any]) -> int:
    """Calls ``POST /users/{id}`` as Cloud Tasks would, and returns the status of the answer."""
    return call_as(stack, environment.TASKS, f"/users/{encoded(str(payload['user']))}", payload)


def call_as(stack: Stack, account: str, path: str, payload: Any) -> int:
    """Calls a route of magnet_ingest as a service account, through the front."""
    audience = stack.url("/magnet_ingest")
    token = stack.google.tokens.mint(account, audience)
    headers = {"Authorization": f"Bearer {token}"}
    return stack.call(None, "POST", f"/magnet_ingest{path}", json=payload, headers=headers).status_code


def generation(stack: Stack, user: str = "anna") -> str:
    found: str = stack.documents()[f"connections/{encoded(user)}"]["generation"]
    return found
