"""The main job in eight steps, from consent to deactivation, on a running stack.

Each step does what a user, a customer or the CRM would do, then looks at what it really left: in Gmail, in
Firestore, in Secret Manager. A step that did not do what it says raises ``StepLied``. Owns the play; prints nothing.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from local.crm.people import BACKEND
from local.demo_mails import CLOSING, CUSTOMER, CUSTOMERS, OPEN, Mails, Words, no_words
from local.gmail.mailbox import Message
from local.ledger import Call, units
from local.stack import Stack

_LABELS = {CLOSING, OPEN, CUSTOMERS}
_ANNA = "anna@demo-crm.example"


class StepLied(Exception):
    """A step of the play did not do what it says; the text says what had to hold."""


def verify(holds: bool, what: str) -> None:
    """Raises StepLied unless it holds."""
    if not holds:
        raise StepLied(f"this does not hold: {what}")


@dataclass(frozen=True)
class Told:
    """What a step did, in words, and what it cost: Gmail units, and calls by method."""

    number: int
    title: str
    what: str
    units: int
    calls: Mapping[str, int] = field(default_factory=dict)


class MainJob:
    """The play on one stack; ``words`` gives each part of a mail a word of its own, for tests that search for them."""

    def __init__(self, stack: Stack, words: Words = no_words) -> None:
        self.stack = stack
        self.mails = Mails(stack, words)
        self._words = words
        self._offer = f"Angebot {words('reply_file')}".strip() + ".pdf"
        self._offer_content = b"%PDF-1.7 " + words("reply_content").encode() * 3

    def play(self) -> Iterator[Told]:
        """The eight steps one by one. Raises StepLied at the first that did not do what it says."""
        self._set_the_scene()
        steps: tuple[tuple[str, Callable[[], str]], ...] = (
            ("Anna connects her Gmail", self._connect),
            ("She turns on MailMagnet and labels", self._switch_on),
            ("Mail arrives", self._mail_arrives),
            ("The scheduler fires", self._sweep),
            ("She opens a contact and replies", self._open_and_reply),
            ("Ben looks at Anna's mail", self._ben_looks),
            ("A deal is won", self._win),
            ("Anna deactivates", self._deactivate),
        )
        for number, (title, step) in enumerate(steps, start=1):
            mark = self.stack.ledger.mark()
            what = step()
            calls = self.stack.ledger.since(mark, service="gmail")
            yield Told(number, title, what, units(calls), _by_method(calls))

    def still_stored(self) -> dict[str, int]:
        """How many documents each collection still holds, and how many secrets and tasks there are."""
        counts: dict[str, int] = {}
        for path in self.stack.documents():
            collection = path.split("/")[-2]
            counts[collection] = counts.get(collection, 0) + 1
        counts["(secrets)"] = len(self.stack.google.secrets.dump())
        counts["(tasks)"] = len(self.stack.google.tasks.pending())
        return counts

    def _set_the_scene(self) -> None:
        """What was there before: the CRM's records, a customer with a mailbox, Anna's mail of the last weeks."""
        self.stack.google.add_account(CUSTOMER, "Mia Schneider")
        self.stack.load_directory()
        self.mails.write_backlog()

    # 1

    def _connect(self) -> str:
        connection = self.stack.connect("anna", features=("mail", "mailmagnet", "actions", "labels"))
        verify(connection["status"] == "connected", "GET /connection says connected")
        verify(connection["address"] == _ANNA, "the mailbox is Anna's")
        verify(len(self._secrets()) == 1, "one secret holds the refresh token")
        verify(self._count("pending_connections") == 0, "the pending connection is gone")
        granted = ", ".join(connection["features"]["granted"])
        return f"consent given, ticket claimed, refresh token in Secret Manager; granted: {granted}"

    # 2

    def _switch_on(self) -> str:
        settings = {"mailmagnet": True, "labels": True, "locale": "en"}
        self.stack.ask("anna", "PATCH", "/oauth_callback/connection", json=settings)
        self.stack.catch_up(within_s=900)
        self.stack.sweep()
        self.stack.catch_up(within_s=60)
        connection = self.stack.ask("anna", "GET", "/oauth_callback/connection")
        verify(connection["mailmagnet"]["state"] == "on", "MailMagnet is on")
        verify(connection["labels"]["state"] == "on", "labels are on")
        verify(self._is_watched(), "Gmail watches the mailbox")
        verify(self.stack.label_names("anna") >= _LABELS, "the three labels are there")
        self._verify_labels({mail_id: mail.label for mail_id, mail in self.mails.backlog.items()})
        filed = sum(1 for mail in self.mails.backlog.values() if mail.label)
        return f"watch runs, three labels made, {filed} mails of the last 30 days filed, {self._notices()} noticed"

    # 3

    def _mail_arrives(self) -> str:
        before = self._notices()
        self.mails.write_new()
        shown = self.stack.ask("anna", "GET", "/mail_proxy/notices?unread=true")["notices"]
        from_customers = {mail_id for mail_id, mail in self.mails.new.items() if mail.is_noticed}
        verify({notice["mail_id"] for notice in shown} == from_customers, "notices are of customers' mail only")
        verify(self._notices() == before + len(from_customers), "Firestore has these notices and no other")
        others = len(self.mails.new) - len(from_customers)
        return f"{len(self.mails.new)} mails pushed: {len(from_customers)} notices, none for the {others} others"

    # 4

    def _sweep(self) -> str:
        self.stack.sweep()
        self._verify_labels({mail_id: mail.label for mail_id, mail in self.mails.new.items()})
        mark = self.stack.ledger.mark()
        self.stack.sweep()
        again = [call for call in self.stack.ledger.since(mark, service="gmail") if call.method.endswith("Modify")]
        verify(again == [], "a second sweep moves nothing")
        moved = [mail.label for mail in self.mails.new.values() if mail.label]
        return "filed: " + ", ".join(f"{moved.count(label)} under {label}" for label in sorted(_LABELS))

    # 5

    def _open_and_reply(self) -> str:
        page = self.stack.ask("anna", "POST", "/mail_proxy/contacts/mia/emails", json={})
        verify(page["contact"]["name"] == "Mia Schneider", "the contact's details are there")
        verify(page["category"]["category"] == "closing_this_month", "and the category")
        verify([deal["id"] for deal in page["deals"]] == ["d-01"], "and the deals")
        shown = {entry["id"] for entry in page["entries"]}
        verify(shown == set(self.mails.of("Mia")), "and all mails with Mia, live")
        answered = self.mails.filed_of("Mia")[-1]
        self._reply(answered)
        reply = self._newest_in(CUSTOMER)
        verify(_files(reply) == {self._offer: self._offer_content}, "the reply arrived with its attachment, whole")
        asked = _parse(self._message_of(_ANNA, answered))["Message-ID"]
        verify(_parse(reply)["In-Reply-To"] == asked, "the reply answers the mail it was written to")
        return f"{len(shown)} mails with Mia shown beside her deal; the reply arrived with {len(reply.raw)} bytes"

    def _reply(self, mail_id: str) -> None:
        message = {
            "mode": "reply",
            "message_id": mail_id,
            "text": f"Guten Tag, anbei das Angebot. {self._words('reply_text')}",
        }
        sent = self.stack.ask(
            "anna",
            "POST",
            "/mail_proxy/messages",
            headers={"Idempotency-Key": str(uuid.uuid4())},
            files={
                "message": (None, json.dumps(message), "application/json"),
                "file": (self._offer, self._offer_content, "application/pdf"),
            },
        )
        verify(sent["state"] == "sent", "Gmail took the reply")
        self.stack.settle()

    # 6

    def _ben_looks(self) -> str:
        self.stack.connect("ben", features=("mail",))
        self.stack.ask("anna", "PATCH", "/oauth_callback/connection", json={"sharing": "custom"})
        self.stack.ask("anna", "PUT", "/mail_proxy/contacts/mia/share")
        page = self.stack.ask("ben", "POST", "/mail_proxy/contacts/mia/emails", json={})
        annas = [entry for entry in page["entries"] if entry["owner"] == "anna"]
        verify(len(annas) > 0, "Ben sees Anna's mail with Mia")
        one = self.stack.call("ben", "GET", f"/mail_proxy/contacts/mia/emails/anna/{annas[0]['id']}")
        verify(one.status_code == 200, "and can open it")
        other = self.mails.of("Jonas")[-1]
        hidden = self.stack.call("ben", "GET", f"/mail_proxy/contacts/jonas/emails/anna/{other}")
        verify(hidden.status_code == 404, "what was not shared is not found")
        jonas = self.stack.ask("ben", "POST", "/mail_proxy/contacts/jonas/emails", json={})
        verify(jonas["entries"] == [], "and not listed")
        reads = self.stack.ask("anna", "GET", "/oauth_callback/connection/data")["reads_by_colleagues"]
        verify([read["actor"] for read in reads] == ["ben"], "Anna sees that Ben read")
        return f"{len(annas)} mails with Mia, which Anna shared; nothing with Jonas; Anna sees that Ben read"

    # 7

    def _win(self) -> str:
        won = self.stack.records.change("deals", "d-01", state="won")
        self.stack.ask(BACKEND.id, "POST", "/mail_proxy/directory", json={"deals": [won]})
        self.stack.advance(600)
        self.stack.sweep()
        self.stack.catch_up(within_s=60)
        followed = dict.fromkeys(self.mails.filed_of("Mia"), CUSTOMERS)
        self._verify_labels(followed)
        return f"{len(followed)} mails of Mia went from {CLOSING} to {CUSTOMERS}"

    # 8

    def _deactivate(self) -> str:
        self.stack.ask("anna", "DELETE", "/oauth_callback/connection")
        self.stack.catch_up(within_s=60)
        accounts = self.stack.google.accounts
        account = accounts.find(_ANNA)
        verify(not self._is_watched(), "the watch is stopped")
        verify(account is not None and accounts.granted(account.sub) == (), "the grant is revoked")
        verify(len(self._secrets()) == 1, "of the two secrets only Ben's is left")
        verify(self._notices() == 0, "no notice is left")
        state = self.stack.ask("anna", "GET", "/oauth_callback/connection")["status"]
        verify(state == "absent", "there is no connection")
        page = self.stack.ask("ben", "POST", "/mail_proxy/contacts/mia/emails", json={})
        verify(page["entries"] == [], "the related list is empty")
        return "watch stopped, grant revoked, secret destroyed, notices deleted; the related list is empty"

    # What is really there

    def _verify_labels(self, wanted: Mapping[str, str]) -> None:
        """Each mail is under the label it belongs to and no other of ours; without one it lies in the inbox."""
        for mail_id, label in wanted.items():
            found = self.stack.labels_of("anna", mail_id)
            verify(found & _LABELS == ({label} if label else set()), f"a mail is under {label or 'no label of ours'}")
            verify(("INBOX" in found) == (not label), "filed mail has left the inbox, other mail has not")

    def _is_watched(self) -> bool:
        return self.stack.google.gmail.mailbox(_ANNA).watch is not None

    def _notices(self) -> int:
        return self._count("notices")

    def _count(self, collection: str) -> int:
        return sum(1 for path in self.stack.documents() if path.split("/")[-2] == collection)

    def _secrets(self) -> list[str]:
        return list(self.stack.google.secrets.dump())

    def _newest_in(self, address: str) -> Message:
        mailbox = self.stack.google.gmail.mailbox(address)
        with mailbox.lock:
            return next(iter(mailbox.newest_first()))

    def _message_of(self, address: str, mail_id: str) -> Message:
        mailbox = self.stack.google.gmail.mailbox(address)
        with mailbox.lock:
            return mailbox.message(mail_id)


def _by_method(calls: list[Call]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for call in calls:
        counts[call.method] = counts.get(call.method, 0) + 1
    return counts


def _parse(message: Message) -> EmailMessage:
    return message_from_bytes(message.raw, policy=policy.default)


def _files(message: Message) -> dict[str, bytes]:
    return {part.get_filename() or "": part.get_content() for part in _parse(message).iter_attachments()}
