"""A Gmail stand-in on loopback with two colleagues and a customer, and Google's own client for it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError

from local.clock import LocalClock
from local.faults import Faults
from local.gmail import GmailService
from local.gmail.discovery import document
from local.http import HttpServer
from local.ledger import Ledger

ANNA = "anna@demo-crm.example"
BEN = "ben@demo-crm.example"
MIA = "mia@customer.example"
MODIFY = "https://www.googleapis.com/auth/gmail.modify"
READONLY = "https://www.googleapis.com/auth/gmail.readonly"
SEND = "https://www.googleapis.com/auth/gmail.send"
EVERYTHING = "https://mail.google.com/"


@dataclass(frozen=True)
class FixedGrant:
    account: str
    address: str
    scopes: frozenset[str]
    client_id: str = "client"


class FixedAccess:
    """Tokens as a table; what is not in it is unknown."""

    def __init__(self) -> None:
        self.grants: dict[str, FixedGrant] = {}

    def check(self, access_token: str) -> FixedGrant | None:
        return self.grants.get(access_token)


@dataclass
class Rig:
    """The running stand-in and all that a test looks at."""

    gmail: GmailService
    url: str
    clock: LocalClock
    ledger: Ledger
    faults: Faults
    access: FixedAccess
    pushes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def token(self, address: str, *scopes: str) -> str:
        """A token of that account with those scopes, all of Gmail's if none is named."""
        name = f"token-{len(self.access.grants)}"
        self.access.grants[name] = FixedGrant("1" * 21, address, frozenset(scopes or (EVERYTHING,)))
        return name

    def client(self, address: str, *scopes: str) -> Any:
        """``users()`` of Google's Python client, bound to the stand-in."""
        described = copy.deepcopy(document())
        described["rootUrl"] = f"{self.url}/"
        token = self.token(address, *scopes)
        return build_from_document(described, credentials=Credentials(token)).users()  # type: ignore[no-untyped-call]

    def get(self, path: str, token: str, **query: Any) -> requests.Response:
        return requests.get(f"{self.url}{path}", params=query, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    def post(self, path: str, token: str, body: Any = None, **query: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(f"{self.url}{path}", params=query, json=body, headers=headers, timeout=10)


@contextmanager
def running(directory: Path, **options: Any) -> Iterator[Rig]:
    """The stand-in with the mailboxes of Anna, Ben and Mia, as long as the block lasts."""
    clock, ledger, faults, access = LocalClock(directory / "clock"), Ledger(), Faults(), FixedAccess()
    pushes: list[tuple[str, dict[str, Any]]] = []

    def publish(topic: str, data: bytes) -> None:
        pushes.append((topic, json.loads(data)))

    gmail = GmailService(clock, ledger, faults, access, publish, **options)
    for address, name in ((ANNA, "Anna Lindt"), (BEN, "Ben Weiss"), (MIA, "Mia Kunde")):
        gmail.add_mailbox(address, name=name)
    server = HttpServer(gmail.app)
    try:
        yield Rig(gmail, server.url, clock, ledger, faults, access, pushes)
    finally:
        server.stop()


def mail(
    subject: str = "Angebot",
    *,
    sender: str = f"Mia Kunde <{MIA}>",
    to: str = ANNA,
    text: str = "Guten Tag",
    headers: str = "",
) -> bytes:
    """A short mail; ``headers`` are whole lines, each with its line end."""
    return f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n{headers}\r\n{text}\r\n".encode()


def refused(call: Any) -> tuple[int, str, str]:
    """Executes a call that must fail: its status, Google's reason, the message."""
    try:
        call.execute()
    except HttpError as error:
        described = json.loads(error.content)["error"]
        return described["code"], described["errors"][0]["reason"], described["message"]
    raise AssertionError("the call was not refused")
