"""Owns the records of connections: what people set, what handlers set, work due, mailboxes, consents, what is owed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from common.keys import random_token
from common.lazy import firestore
from common.model import (
    Announcement,
    Connection,
    ConnectionStatus,
    Mailbox,
    PendingConnection,
    Revocation,
    SharingLevel,
    Work,
)
from common.store import codec
from common.store.batch import CALL_TIMEOUT_S, Batch, Lost, Versioned, Write, read_retry
from common.store.records import NAME, Records, pieces, where

# More users than that share no mailbox in earnest; it bounds what one address can cost.
_USERS_OF_A_MAILBOX = 200


class Connections(Records[Connection]):
    """connections/{user_id}"""

    def find_by_address(self, address: str) -> list[Connection]:
        """The connections of the mailbox with this address, which is normalised."""
        found = self._fetch(where(self._collection, "address", "==", address), _USERS_OF_A_MAILBOX)
        return [record.value for record in found]

    def find_by_mailbox(self, mailbox_key: str) -> list[Connection]:
        """The connections of one Gmail account."""
        found = self._fetch(where(self._collection, "mailbox_key", "==", mailbox_key), _USERS_OF_A_MAILBOX)
        return [record.value for record in found]

    def find_public(self, limit: int) -> list[str]:
        """Up to ``limit`` users who chose, and as many who accepted, that their mail is seen with every contact."""
        found: dict[str, None] = {}
        for name in ("sharing", "accepted_level"):
            query = where(self._collection, name, "==", SharingLevel.PUBLIC.value)
            found.update((record.value.user_id, None) for record in self._fetch(query, limit))
        return list(found)

    def page_of(self, *, after: str, limit: int, sharing_only: bool) -> list[Versioned[Connection]]:
        """Connections from behind that of the user ``after``: all, or those whose users chose to share something."""
        if not sharing_only:
            return self.page(after, limit)
        levels = [SharingLevel.CUSTOM.value, SharingLevel.PUBLIC.value]
        query = where(self._collection, "sharing", "in", levels).order_by(NAME)
        return self._fetch(query, limit, [self.reference(after)] if after else None)

    def count(self, status: ConnectionStatus) -> int:
        """How many connections have this status; Firestore counts, at one read a thousand."""
        counted = where(self._collection, "status", "==", status.value).count()
        ((answer,),) = counted.get(retry=read_retry(), timeout=CALL_TIMEOUT_S)
        return int(answer.value)

    def find_secrets(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the secrets named that a connection owns."""
        return _secrets_in_use(self._collection, names)

    def find_inside(self, addresses: Iterable[str]) -> frozenset[str]:
        """Those of ``addresses`` (normalised) that are a connected mailbox's own or one of its aliases."""
        inside: set[str] = set()
        for piece in pieces(addresses):
            queries = (
                where(self._collection, "address", "in", piece),
                where(self._collection, "aliases", "array_contains_any", piece),
            )
            for query in queries:
                # Without a limit: an address left out would count as a customer's.
                for snapshot in query.select(["address", "aliases"]).stream(retry=read_retry(), timeout=CALL_TIMEOUT_S):
                    stored = snapshot.to_dict()
                    inside.update({stored["address"], *stored.get("aliases", ())} & set(piece))
        return frozenset(inside)


class WorkRecords(Records[Work]):
    """work/{user_id}; exists only while something is due."""

    def _encode(self, value: Work) -> dict[str, Any]:
        # A write that changes nothing keeps the version, and a sweep that read the old one would delete new work.
        return {**codec.encode(value), "mark": random_token(9)}

    def due(self, now: datetime, limit: int, after: Versioned[Work] | None = None) -> list[Versioned[Work]]:
        """What is due by ``now``, the longest first, from behind ``after``."""
        query = where(self._collection, "due_at", "<=", now).order_by("due_at").order_by(NAME)
        start_after = [after.value.due_at, self._client.document(after.path)] if after else None
        return self._fetch(query, limit, start_after)


class Mailboxes(Records[Mailbox]):
    """mailboxes/{mailbox_key}"""

    def join(self, mailbox_key: str, user_id: str, batch: Batch | None = None) -> None:
        """Notes that the user has connected this mailbox."""
        data = {"mailbox_key": mailbox_key, "user_ids": firestore.ArrayUnion([user_id])}
        self._write(Write("merge", self.reference(mailbox_key), data), batch)

    def leave(self, mailbox_key: str, user_id: str, batch: Batch | None = None) -> None:
        """Notes that the user has left it; raises Lost if there is no such mailbox.

        Whoever loads it after that and finds nobody left is the last; two at once may both be.
        """
        self.patch(mailbox_key, batch=batch, user_ids=firestore.ArrayRemove([user_id]))

    def mark_revoking(self, mailbox_key: str, until: datetime) -> None:
        """Notes that a revocation may be on its way to Google until then."""
        data = {"mailbox_key": mailbox_key, "revoking_until": until}
        self._write(Write("merge", self.reference(mailbox_key), data), None)

    def set_retry_after(self, mailbox_key: str, until: datetime) -> None:
        """Keeps Google's hint for all instances; a later one that is already there stays. Nothing if it is gone."""
        try:
            self.patch(mailbox_key, retry_after=firestore.Maximum(codec.encode_milliseconds(until)))
        except Lost:
            return


class PendingConnections(Records[PendingConnection]):
    """pending_connections/{state_hash}"""

    def find_by_ticket(self, ticket_hash: str) -> Versioned[PendingConnection] | None:
        """The consent that this ticket belongs to."""
        found = self._fetch(where(self._collection, "ticket_hash", "==", ticket_hash), 1)
        return found[0] if found else None

    def of_user(self, user_id: str) -> list[Versioned[PendingConnection]]:
        """The user's consents under way."""
        return self._fetch(where(self._collection, "user_id", "==", user_id), 100)

    def delete_all(self, user_id: str, *, limit: int = 1000) -> int:
        """Deletes up to ``limit`` consents of the user and returns how many."""
        return self._delete_found(where(self._collection, "user_id", "==", user_id), limit)

    def expired(self, now: datetime, limit: int) -> list[Versioned[PendingConnection]]:
        """Consents whose time was over at ``now``, the oldest first."""
        query = where(self._collection, "expires_at", "<=", now).order_by("expires_at")
        return self._fetch(query, limit, include_expired=True)


class Revocations(Records[Revocation]):
    """revocations/{revocation_id}; its ``until`` hides nothing, since the secret must still be destroyed."""

    def of_user(self, user_id: str) -> list[Versioned[Revocation]]:
        """What Google has still to revoke for the user."""
        return self._fetch(where(self._collection, "user_id", "==", user_id), 100)

    def claims_of(self, mailbox_key: str, now: datetime) -> list[Revocation]:
        """What claims under way were granted of this Gmail account."""
        found = self._fetch(where(self._collection, "mailbox_key", "==", mailbox_key), _USERS_OF_A_MAILBOX)
        return [one.value for one in found if one.value.claim_until is not None and one.value.claim_until > now]

    def find_secrets(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the secrets named that a revocation owns."""
        return _secrets_in_use(self._collection, names)


class Announcements(Records[Announcement]):
    """announcements/{announcement_id}"""

    def of_user(self, user_id: str) -> list[Versioned[Announcement]]:
        """What the webhook is still to be told of the user's connections."""
        return self._fetch(where(self._collection, "user_id", "==", user_id), 100)


def _secrets_in_use(collection: firestore.CollectionReference, names: Iterable[str]) -> frozenset[str]:
    used: set[str] = set()
    for piece in pieces(names):
        query = where(collection, "secret", "in", piece).select(["secret"])
        for snapshot in query.stream(retry=read_retry(), timeout=CALL_TIMEOUT_S):
            used.add(snapshot.to_dict()["secret"])
    return frozenset(used)
