"""Owns users made in bulk: the records of one who was really connected, copied for others past wire and ledger.

Whose mailboxes are wanted too gets an account, a grant, labels and mail of its own. Never imports the product.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from local import environment
from local.accounts import CodeRequest, Minted
from local.crm.people import BACKEND
from local.firestore import FirestoreServer
from local.stack import Stack

CUSTOMER: Final = "customer@customer.example"
PATTERN: Final = "pattern"
ROOT: Final = f"projects/{environment.PROJECT}/databases/(default)/documents"
_AT_ONCE: Final = 1000
_NAME: Final = "user-{:06}"

Records = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Member:
    """One of the crowd. ``mail_id`` is that of the mail that waits to be filed; empty where there is no mailbox."""

    user_id: str
    address: str
    mail_id: str = ""


class Crowd:
    """Makes users after the pattern of one: connected, MailMagnet and labels on, one customer, nothing left to do."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._made = 0
        self._load_directory()
        stack.add_person(PATTERN)
        stack.connect(PATTERN)
        stack.switch_on(PATTERN, mailmagnet=True, labels=True)
        stack.catch_up(300)
        mail_id = stack.mail(PATTERN, CUSTOMER)
        stack.settle()
        for _ in range(2):
            stack.advance(600)
            stack.sweep()
            stack.catch_up(60)
        self.label = next(iter(stack.labels_of(PATTERN, mail_id) - {"UNREAD"}))
        self._labels = _own_labels(stack, PATTERN)
        self._pattern = _records_of(stack.documents(), PATTERN)
        self._scopes = tuple(self._pattern["connection"]["scopes"])

    def add_idle(self, count: int) -> None:
        """Users with nothing to do, and without a mailbox: nobody is to ask for it."""
        for piece in self._pieces(count):
            records: Records = {}
            for user_id in piece:
                records |= self._records(Member(user_id, _address(user_id)), {}, {})
            self._fill(records)

    def add_due(self, count: int) -> list[str]:
        """Users with work due, and without a mailbox; returns their ids."""
        due_at, made = self._stack.clock.now(), []
        for piece in self._pieces(count):
            records: Records = {}
            for user_id in piece:
                records |= self._records(Member(user_id, _address(user_id)), {}, {})
                records |= self._work(user_id, due_at)
            self._fill(records)
            made += piece
        return made

    def add_with_mail(self, count: int) -> Iterator[list[Member]]:
        """Users with a mailbox, and in it a mail that is noticed and due to be filed; yields them piece by piece."""
        due_at = self._stack.clock.now()
        for piece in self._pieces(count):
            records: Records = {}
            members = [self._open_mailbox(user_id) for user_id in piece]
            for member in members:
                mailbox = self._stack.google.gmail.mailbox(member.address)
                secret = f"gmail-{member.user_id}"
                self._stack.google.secrets.put(
                    secret, (grant(self._stack, member.address, self._scopes).refresh_token or "").encode()
                )
                records |= self._records(member, {"secret": secret}, {"cursor": str(mailbox.history.current_id)})
                records |= self._work(member.user_id, due_at)
            self._fill(records)
            yield members

    # Inside

    def _pieces(self, count: int) -> Iterator[list[str]]:
        last = self._made + count
        while self._made < last:
            size = min(_AT_ONCE, last - self._made)
            yield [_NAME.format(self._made + number) for number in range(size)]
            self._made += size

    def _load_directory(self) -> None:
        contact = {"id": "customer", "name": "Customer", "addresses": [CUSTOMER], "visible_to": ["everyone"]}
        deal = {"id": "deal", "title": "Deal", "state": "open", "contacts": ["customer"], "visible_to": ["everyone"]}
        self._stack.ask(BACKEND.id, "POST", "/mail_proxy/directory", json={"contacts": [contact], "deals": [deal]})

    def _open_mailbox(self, user_id: str) -> Member:
        address = _address(user_id)
        google = self._stack.google
        google.add_account(address, user_id)
        for name in self._labels:
            google.gmail.person_creates_label(address, name)
        raw = f"From: {CUSTOMER}\r\nTo: {address}\r\nSubject: Hello\r\n\r\nHello!\r\n".encode()
        return Member(user_id, address, google.gmail.deliver(raw, to=address)[address])

    def _records(self, member: Member, connection: dict[str, Any], sync: dict[str, Any]) -> Records:
        """What is stored of one member; ``connection`` and ``sync`` are what differs there besides the ids."""
        name, key = encoded(member.user_id), f"mailbox-of-{member.user_id}"
        own = {"user_id": member.user_id, "mailbox_key": key}
        pattern = self._pattern
        sender, notice = pattern["sender"], pattern["notice"]
        records = {
            f"connections/{name}": pattern["connection"] | own | {"address": member.address} | connection,
            f"sync/{name}": pattern["sync"] | own | sync,
            f"users/{name}": pattern["user"] | {"user_id": member.user_id, "email": member.address},
            f"mailboxes/{encoded(key)}": {
                "mailbox_key": key,
                "user_ids": [member.user_id],
                "labels_owner": member.user_id,
            },
            f"connections/{name}/senders/{sender['name']}": sender["fields"] | {"mailbox_key": key},
        }
        if member.mail_id:
            fresh = {"mail_id": member.mail_id, "mailbox_key": key, "filed": "", "intent": ""}
            records[f"connections/{name}/notices/{encoded(member.mail_id)}"] = notice | fresh
        return records

    def _work(self, user_id: str, due_at: datetime) -> Records:
        generation = self._pattern["connection"]["generation"]
        work = {"user_id": user_id, "due_at": due_at, "generation": generation, "mark": f"mark-{user_id}"}
        return {f"work/{encoded(user_id)}": work}

    def _fill(self, records: Records) -> None:
        firestore = self._stack.google.firestore
        if not isinstance(firestore, FirestoreServer):
            raise TypeError("a crowd needs the embedded Firestore")
        firestore.fill(ROOT, records)


def grant(stack: Stack, address: str, scopes: Sequence[str]) -> Minted:
    """The tokens of a consent."""
    accounts = stack.google.accounts
    account = accounts.find(address)
    if account is None:
        raise LookupError("this account was not made")
    asked = CodeRequest(account.sub, tuple(scopes), "", None, "", nonce=None, offline=True, prompted=True)
    return accounts.redeem_code(accounts.issue_code(asked, include_granted=False), "", None)


def work_left(stack: Stack) -> int:
    """How many users have work."""
    firestore = stack.google.firestore
    return firestore.count(f"{ROOT}/work") if isinstance(firestore, FirestoreServer) else 0


def _records_of(documents: dict[str, dict[str, Any]], user_id: str) -> Any:
    name = encoded(user_id)
    below = f"connections/{name}"
    sender = next(path for path in documents if path.startswith(f"{below}/senders/"))
    notice = next(path for path in documents if path.startswith(f"{below}/notices/"))
    return {
        "connection": documents[below],
        "sync": documents[f"sync/{name}"],
        "user": documents[f"users/{name}"],
        "sender": {"name": sender.rpartition("/")[2], "fields": documents[sender]},
        "notice": documents[notice],
    }


def _own_labels(stack: Stack, user: str) -> list[str]:
    """The names of the labels that the product has made, in the order of their ids."""
    mailbox = stack.google.gmail.mailbox(stack.people[user].email)
    with mailbox.lock:
        return [str(label["name"]) for label in mailbox.labels.as_json() if label["type"] == "user"]


def _address(user_id: str) -> str:
    return f"{user_id}@demo-crm.example"


def encoded(text: str) -> str:
    """An id as it stands in names of documents and in addresses."""
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
