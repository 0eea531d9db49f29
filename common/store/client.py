"""Owns the one way into Firestore: ``store()``, with a collection object for each type of record of ``common.model``.

Imports the Firestore client; knows nothing of Gmail, routes or decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from common.config import config
from common.lazy import firestore
from common.model import (
    Announcement,
    Connection,
    Contact,
    Deal,
    DispatchState,
    FullLoad,
    Mailbox,
    Notice,
    PendingConnection,
    Policy,
    Revocation,
    Send,
    Sender,
    Share,
    Sweep,
    Sync,
    User,
    Work,
)
from common.store.batch import CALL_TIMEOUT_S, Batch, Lost, Versioned, read_retry
from common.store.connections import Announcements, Connections, Mailboxes, PendingConnections, Revocations, WorkRecords
from common.store.directory import Contacts, Deals, Users
from common.store.magnet import Before, Notices, Senders, Sweeps
from common.store.people import Audit, Dispatch, FullLoads, Policies, Sends, Shares
from common.store.records import Records

_MOST_GUESSES: Final = 10_000


@dataclass(frozen=True)
class Context:
    """All that decides on one user's connection, read at one moment."""

    connection: Versioned[Connection] | None
    sync: Versioned[Sync] | None
    user: Versioned[User] | None
    policy: Versioned[Policy]
    mailbox: Versioned[Mailbox] | None


class Store:
    """Every collection, over one Firestore client; safe to share between threads."""

    def __init__(self, client: firestore.Client) -> None:
        self._client = client
        self._mailbox_keys: dict[str, str] = {}
        self.connections = Connections(client, "connections", Connection, ("user_id",))
        self.notices = Notices(client, "notices", Notice, "mail_id")
        self.senders = Senders(client, "senders", Sender, "address")
        self.sweeps = Sweeps(client, "sweeps", Sweep, "sweep_id")
        self.syncs = Records(client, "sync", Sync, ("user_id",))
        self.work = WorkRecords(client, "work", Work, ("user_id",))
        self.mailboxes = Mailboxes(client, "mailboxes", Mailbox, ("mailbox_key",))
        self.pending = PendingConnections(client, "pending_connections", PendingConnection, ("state_hash",))
        self.sends = Sends(client, "sends", Send, ("user_id", "key_hash"))
        self.shares = Shares(client, "shares", Share, ("owner", "contact_id"))
        self.revocations = Revocations(client, "revocations", Revocation, ("revocation_id",))
        self.announcements = Announcements(client, "announcements", Announcement, ("announcement_id",))
        self.audit = Audit(client)
        self.policies = Policies(client, "policies", Policy, "organisation")
        self.dispatch = Dispatch(client, "dispatch", DispatchState, "state")
        self.full_loads = FullLoads(client, "dispatch", FullLoad, "full_load")
        self.users = Users(client, "users", User, ("user_id",))
        self.contacts = Contacts(client, "contacts", Contact, ("contact_id",))
        self.deals = Deals(client, "deals", Deal, ("deal_id",))

    def batch(self) -> Batch:
        """An empty batch; give it to the writes that belong together, then commit it."""
        return Batch(self._client)

    def load_context(self, user_id: str) -> Context:
        """What decides on a user's connection, in one round trip; in two where the mailbox is not the one last seen."""
        guess = self._mailbox_keys.get(user_id, "")
        connections, syncs, users = self.connections, self.syncs, self.users
        references = [collection.reference(user_id) for collection in (connections, syncs, users)]
        references.append(self.policies.reference())
        if guess:
            references.append(self.mailboxes.reference(guess))
        found = {
            snapshot.reference.path: snapshot
            for snapshot in self._client.get_all(references, retry=read_retry(), timeout=CALL_TIMEOUT_S)
        }
        connection = connections.parse(found[references[0].path])
        mailbox = self.mailboxes.parse(found[references[4].path]) if guess else None
        key = connection.value.mailbox_key if connection else ""
        if key != guess:
            mailbox = self.mailboxes.load(key) if key else None
            self._remember(user_id, key)
        return Context(
            connection=connection,
            sync=syncs.parse(found[references[1].path]),
            user=users.parse(found[references[2].path]),
            policy=self.policies.parse_or_default(found[references[3].path]),
            mailbox=mailbox,
        )

    def _remember(self, user_id: str, mailbox_key: str) -> None:
        if len(self._mailbox_keys) >= _MOST_GUESSES:
            self._mailbox_keys.clear()
        self._mailbox_keys[user_id] = mailbox_key


@cache
def store() -> Store:
    """The store of this process: Google's Firestore, or what ``FIRESTORE_EMULATOR_HOST`` names."""
    settings = config()
    return Store(firestore.Client(project=settings.project_id, database=settings.firestore_database))


__all__ = ["Batch", "Before", "Context", "Lost", "Store", "Versioned", "store"]
