"""Owns the records of people's doings: sends, shares, the audit, policies, and how far the dispatch has come."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from common import clock
from common.keys import keys
from common.lazy import firestore
from common.model import AuditRecord, DispatchState, FullLoad, Policy, Send, SendState, Share
from common.store import codec
from common.store.batch import Batch, Versioned, Write
from common.store.records import NAME, Collection, Records, T, where

READ_SHARED = "shared_mail_read"


class Sends(Records[Send]):
    """sends/{user_id}:{key_hash}"""

    def of_user(self, user_id: str, states: Iterable[SendState] = (), *, limit: int = 100) -> list[Versioned[Send]]:
        """The user's sends, those in ``states`` where any are named; in no particular order."""
        query = where(self._collection, "user_id", "==", user_id)
        wanted = sorted(state.value for state in states)
        if wanted:
            query = where(query, "state", "in", wanted)
        return self._fetch(query, limit)

    def delete_all(self, user_id: str, *, limit: int = 1000) -> int:
        """Deletes up to ``limit`` sends of the user and returns how many."""
        return self._delete_found(where(self._collection, "user_id", "==", user_id), limit)


class Shares(Records[Share]):
    """shares/{owner}:{contact_id}"""

    def of_owner(self, owner: str, *, after: str = "", limit: int = 500) -> list[Share]:
        """The owner's shares, in the order of their contacts' ids, from behind the contact ``after``."""
        query = where(self._collection, "owner", "==", owner).order_by("contact_id")
        return [record.value for record in self._fetch(query, limit, [after] if after else None)]

    def of_contact(self, contact_id: str, *, limit: int = 500) -> list[Share]:
        """Everyone's shares of this contact."""
        return [record.value for record in self._fetch(where(self._collection, "contact_id", "==", contact_id), limit)]

    def load_of(self, owners: Iterable[str], contact_ids: Iterable[str]) -> dict[tuple[str, str], Share]:
        """The shares of these owners for these contacts, by (owner, contact id), in one round trip."""
        contacts = list(contact_ids)
        references = [self.reference(owner, one) for owner in owners for one in contacts]
        found = self._get_all(references).values()
        return {(record.value.owner, record.value.contact_id): record.value for record in found}

    def delete_all(self, owner: str, *, limit: int = 1000) -> int:
        """Deletes up to ``limit`` shares of the owner and returns how many."""
        return self._delete_found(where(self._collection, "owner", "==", owner), limit)


# When and under which id a record stands: several may be of one moment.
AuditPosition = tuple[datetime, str]


class Audit:
    """audit/{id}. Nobody edits it: records are added and, for reads, counted."""

    def __init__(self, client: firestore.Client) -> None:
        self._records = _AuditRecords(client, "audit", AuditRecord, ("record_id",))

    def add(self, record: AuditRecord, batch: Batch | None = None) -> None:
        """Keeps what somebody did."""
        self._records.create(record, batch)

    def count_read(
        self, viewer: str, owner: str, contact_id: str, day: str, *, expires_at: datetime, batch: Batch | None = None
    ) -> None:
        """Counts one read of an owner's mail with a contact by a viewer on a day (ISO, UTC): one write."""
        record = AuditRecord(
            record_id=keys().hash("audit-read", viewer, owner, contact_id, day),
            at=clock.now(),
            actor=viewer,
            action=READ_SHARED,
            subject=owner,
            expires_at=expires_at,
            contact_id=contact_id,
            day=day,
        )
        self._records.count(record, batch)

    def page(self, *, before: AuditPosition | None = None, limit: int = 100) -> list[AuditRecord]:
        """Everything, newest first, for administrators."""
        return self._records.newest(None, before, limit)

    def reads_of_owner(self, owner: str, *, before: AuditPosition | None = None, limit: int = 100) -> list[AuditRecord]:
        """Who read this owner's mail, newest first."""
        return self._records.newest({"subject": owner, "action": READ_SHARED}, before, limit)

    def about(self, user_id: str, *, before: AuditPosition | None = None, limit: int = 100) -> list[AuditRecord]:
        """What was done to this user's connection and mail, newest first."""
        return self._records.newest({"subject": user_id}, before, limit)

    def by(self, user_id: str, *, before: AuditPosition | None = None, limit: int = 100) -> list[AuditRecord]:
        """What this user did, newest first."""
        return self._records.newest({"actor": user_id}, before, limit)


class _AuditRecords(Records[AuditRecord]):
    def count(self, record: AuditRecord, batch: Batch | None) -> None:
        data = {**codec.encode(record), "count": firestore.Increment(1)}
        self._write(Write("merge", self.reference(record.record_id), data), batch)

    def newest(self, equal: dict[str, str] | None, before: AuditPosition | None, limit: int) -> list[AuditRecord]:
        query: Any = self._collection
        for name, value in (equal or {}).items():
            query = where(query, name, "==", value)
        for name in ("at", NAME):
            query = query.order_by(name, direction=firestore.Query.DESCENDING)
        start_after = [before[0], self.reference(before[1])] if before else None
        return [record.value for record in self._fetch(query, limit, start_after)]


class _Single(Collection[T]):
    """A collection with one document, which reads as the default until it is written."""

    def __init__(self, client: firestore.Client, name: str, kind: type[T], document: str) -> None:
        super().__init__(client, name, kind)
        self._document = document

    def reference(self, *key: str) -> firestore.DocumentReference:
        if key:
            raise ValueError(f"{self._name} has one document")
        return self._client.collection(self._name).document(self._document)

    def parse_or_default(self, snapshot: Any) -> Versioned[T]:
        """The record that the document holds; the default, of version None, if it does not exist."""
        return self.parse(snapshot) or self._default()

    def _load_or_default(self) -> Versioned[T]:
        return self.load() or self._default()

    def _default(self) -> Versioned[T]:
        return Versioned(self._kind(), None, self.reference().path)


class Policies(_Single[Policy]):
    """policies/organisation"""

    def load_policy(self) -> Versioned[Policy]:
        """The administrators' settings; the defaults, of version None, until they set any."""
        return self._load_or_default()


class FullLoads(_Single[FullLoad]):
    """dispatch/full_load"""

    def load_state(self) -> Versioned[FullLoad]:
        """The full load under way or last done; of version None before the first."""
        return self._load_or_default()


class Dispatch(_Single[DispatchState]):
    """dispatch/state"""

    def load_state(self) -> Versioned[DispatchState]:
        """How far the dispatch has come; the beginning, of version None, before its first run."""
        return self._load_or_default()


__all__ = ["READ_SHARED", "Audit", "AuditPosition", "Dispatch", "FullLoads", "Policies", "Sends", "Shares"]
