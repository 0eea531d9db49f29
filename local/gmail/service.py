"""The Gmail stand-in as a whole: its mailboxes, mail that arrives and is sent, what people do by hand."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from local.gmail import wire
from local.gmail.contract import SendAs
from local.gmail.delivery import arrived, recipients, sent
from local.gmail.http import GmailApp
from local.gmail.labels import Label
from local.gmail.mailbox import Mailbox, Message
from local.gmail.pipeline import Pipeline
from local.gmail.quota import Concurrency, Quota, SendLimit
from local.gmail.watch import Watches

if TYPE_CHECKING:
    from local.clock import LocalClock
    from local.faults import Faults
    from local.gmail.contract import AccessChecker, Publish
    from local.ledger import Ledger

PROJECT = "local-project"
TOPIC = f"projects/{PROJECT}/topics/gmail-push"
# The ids soon get one digit longer: comparing them as text does not survive that.
FIRST_HISTORY_ID = 9_999_000


class GmailService:
    """Gmail on one machine; ``app`` is its WSGI application. Threads may use everything here at once.

    ``quota_status`` is what an exhausted mailbox answers: 403, 429 or, with 0, both in turn. Google does not say
    whether one action makes one history record or several: by default each change has its own; with
    ``joined_history`` what one action did stands in one.
    """

    def __init__(
        self,
        clock: LocalClock,
        ledger: Ledger,
        faults: Faults,
        access: AccessChecker,
        publish: Publish,
        search_lag_s: float = 0.0,
        *,
        topics: Collection[str] = (TOPIC,),
        project: str = PROJECT,
        units_per_minute: int = 6000,
        project_units_per_minute: int = 1_200_000,
        quota_status: int = 0,
        concurrent_requests: int = 10,
        sends_per_day: int = 2000,
        joined_history: bool = False,
    ) -> None:
        self.search_lag_s = search_lag_s
        self.joined_history = joined_history
        self.send_limit = SendLimit(clock.now, sends_per_day)
        self.quota = Quota(
            clock.now,
            units_per_minute=units_per_minute,
            project_units_per_minute=project_units_per_minute,
            status=quota_status,
        )
        self.concurrency = Concurrency(concurrent_requests)
        self.watches = Watches(clock.now, publish, project, topics)
        self._clock = clock
        self._lock = threading.Lock()
        self._mailboxes: dict[str, Mailbox] = {}
        pipeline = Pipeline(self, self._mailboxes, access, ledger, faults, self.quota, self.concurrency)
        self.app = GmailApp(pipeline, ledger)

    def now(self) -> datetime:
        """The stack's time."""
        return self._clock.now()

    # Mailboxes

    def add_mailbox(
        self,
        address: str,
        *,
        aliases: Sequence[SendAs] = (),
        name: str = "",
        first_history_id: int = FIRST_HISTORY_ID,
    ) -> Mailbox:
        """A new, empty mailbox. Its own address is its first, primary send-as address."""
        default = not any(alias.is_default for alias in aliases)
        primary = SendAs(address, display_name=name, is_primary=True, is_default=default)
        mailbox = Mailbox(address, [primary, *aliases], self.now, self.watches.notice, first_history_id)
        with self._lock:
            if address.lower() in self._mailboxes:
                raise ValueError("there is such a mailbox already")
            self._mailboxes[address.lower()] = mailbox
        return mailbox

    def mailbox(self, address: str) -> Mailbox:
        """Raises KeyError where there is none."""
        return self._mailboxes[address.lower()]

    def addresses(self) -> list[str]:
        """The mailboxes' addresses, in the order in which they were made."""
        return [mailbox.address for mailbox in list(self._mailboxes.values())]

    def rename(self, old: str, new: str) -> None:
        """Gives a mailbox another address; all else stays, its old address as an alias too, as Google does."""
        with self._lock:
            if new.lower() in self._mailboxes:
                raise ValueError("there is such a mailbox already")
            mailbox = self._mailboxes.pop(old.lower())
            self._mailboxes[new.lower()] = mailbox
        with mailbox.lock:
            mailbox.address = new
            primary = next(alias for alias in mailbox.aliases if alias.is_primary)
            kept = [alias for alias in mailbox.aliases if not alias.is_primary]
            mailbox.aliases = [replace(primary, address=new), *kept, SendAs(old, display_name=primary.display_name)]

    def _receiver(self, address: str) -> Mailbox | None:
        """The mailbox that takes an address's mail: its own, with or without ``+tag``, or by an alias."""
        user, _, domain = address.lower().rpartition("@")
        for candidate in (address.lower(), f"{user.partition('+')[0]}@{domain}"):
            if candidate in self._mailboxes:
                return self._mailboxes[candidate]
        for mailbox in list(self._mailboxes.values()):
            if len(mailbox.aliases) > 1 and any(alias.address.lower() == address.lower() for alias in mailbox.aliases):
                return mailbox
        return None

    # Mail

    def deliver(
        self,
        raw: bytes,
        *,
        to: str | Sequence[str],
        auth: str | None = None,
        labels: Sequence[str] = ("INBOX", "UNREAD"),
        at: datetime | None = None,
    ) -> dict[str, str]:
        """Delivers a mail as SMTP would.

        ``auth`` is what Gmail finds out about its sender: ``pass`` (the default), ``fail``, ``none`` (no DMARC record,
        nothing signed) or a whole value of Authentication-Results; ``at`` is when it arrives, now if not given.
        Returns each mailbox's message id by the mailbox's address. Raises KeyError where nobody here has an address.
        """
        ids: dict[str, str] = {}
        when = at or self.now()
        for address in [to] if isinstance(to, str) else to:
            mailbox = self._receiver(address)
            if mailbox is None:
                raise KeyError("no local mailbox takes this address")
            # Two addresses of one mailbox make one message.
            if mailbox.address not in ids:
                stored = arrived(raw, address, auth, when)
                ids[mailbox.address] = mailbox.add(stored, labels, internal_ms=int(when.timestamp() * 1000)).id
        return ids

    def send(self, mailbox: Mailbox, raw: bytes, thread_id: str | None) -> Message:
        """Sends a mail: keeps the sender's copy under SENT and delivers to those who have their mailbox here.

        ``thread_id`` is the thread that the copy goes to; without one it finds its own. Returns the sender's copy.
        Raises GmailError 400 where nobody can be sent to, 429 where the mailbox has sent its fill for a day.
        """
        to = recipients(raw)
        self.send_limit.count(mailbox)
        with mailbox.lock:
            allowed = [one for one in mailbox.aliases if one.is_primary or one.verification_status == "accepted"]
            name = next(alias.display_name for alias in mailbox.aliases if alias.is_primary)
            outgoing = sent(raw, mailbox.address, name, {one.address.lower() for one in allowed}, self.now())
        receivers = {address: receiver for address in to if (receiver := self._receiver(address)) is not None}
        # Mail to oneself is one message, sent and received.
        to_self = mailbox in receivers.values()
        copy = mailbox.add(outgoing, {"SENT", "INBOX", "UNREAD"} if to_self else {"SENT"}, thread_id=thread_id)
        others = [address for address, receiver in receivers.items() if receiver is not mailbox]
        self.deliver(wire.without(outgoing, "bcc"), to=others)
        return copy

    def expire_history(self, address: str) -> None:
        """Forgets a mailbox's history: cursors from before now get 404."""
        mailbox = self.mailbox(address)
        with mailbox.lock:
            mailbox.history.forget()

    # What people do in Gmail's own page: no token, no quota; history and pushes tell of it

    def person_moves(
        self, address: str, message_ids: str | Sequence[str], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Puts label ids on messages and takes others off."""
        mailbox = self.mailbox(address)
        ids = [message_ids] if isinstance(message_ids, str) else message_ids
        with mailbox.changing():
            mailbox.verify_changeable(add, remove)
            mailbox.change_labels([mailbox.message(message_id) for message_id in ids], add, remove)

    def person_trashes(self, address: str, message_id: str) -> None:
        self.person_moves(address, message_id, add=["TRASH"])

    def person_deletes(self, address: str, message_id: str) -> None:
        """Deletes a message for good."""
        self.mailbox(address).delete(message_id)

    def person_creates_label(self, address: str, name: str) -> Label:
        return self.mailbox(address).create_label(name)

    def person_renames_label(self, address: str, label_id: str, name: str) -> None:
        mailbox = self.mailbox(address)
        with mailbox.changing():
            mailbox.labels.change(label_id, {"name": name})

    def person_deletes_label(self, address: str, label_id: str) -> None:
        self.mailbox(address).delete_label(label_id)
