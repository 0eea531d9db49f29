"""Owns MailMagnet's records of one user: notices, senders, sweeps. All of them expire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common import clock
from common.keys import decode_id, encode_id, keys
from common.lazy import firestore
from common.model import IN_INBOX, Notice, Sender, Sweep
from common.store.batch import CALL_TIMEOUT_S, Batch, Versioned, read_retry
from common.store.records import NAME, Owned, pieces, where

_SENDERS_PAGE = 300
_MOST_COUNTED = 1000


@dataclass(frozen=True)
class Before:
    """Where a page of notices goes on: behind this one, newest first."""

    received_at: datetime
    mail_id: str


class Notices(Owned[Notice]):
    """connections/{user_id}/notices/{mail_id}"""

    def update(self, versioned: Versioned[Notice], batch: Batch | None = None, **changes: Any) -> Versioned[Notice]:
        """As any record's; where no step is due any more, nobody has begun one."""
        if changes.get("intent") == "":
            changes["begun_at"] = None
        return super().update(versioned, batch, **changes)

    def page(
        self,
        user_id: str,
        mailbox_key: str,
        *,
        unread_only: bool = False,
        before: Before | None = None,
        limit: int = 50,
    ) -> list[Versioned[Notice]]:
        """The user's notices of this mailbox, newest first; fewer than ``limit`` only at the end."""
        query = where(self._collection(user_id), "mailbox_key", "==", mailbox_key)
        if unread_only:
            query = where(query, "seen", "==", False)
        return self._newest_first(user_id, query, before, limit)

    def unfiled(
        self, user_id: str, mailbox_key: str, *, before: Before | None = None, limit: int = 1000
    ) -> list[Versioned[Notice]]:
        """Notices of mail that no sweep has moved and no hand has pinned, newest first."""
        return self.filed_under(user_id, mailbox_key, IN_INBOX, before=before, limit=limit)

    def filed_under(
        self, user_id: str, mailbox_key: str, place: str, *, before: Before | None = None, limit: int = 1000
    ) -> list[Versioned[Notice]]:
        """Notices of mail that lies in ``place`` (as ``Notice.filed``) and that no hand has pinned, newest first."""
        query = where(self._collection(user_id), "mailbox_key", "==", mailbox_key)
        query = where(where(query, "filed", "==", place), "pinned", "==", False)
        return self._newest_first(user_id, query, before, limit)

    def by_senders(
        self,
        user_id: str,
        mailbox_key: str,
        addresses: Iterable[str],
        *,
        before: Before | None = None,
        limit: int = 1000,
    ) -> list[Versioned[Notice]]:
        """Notices of mail from these addresses, wherever it is filed, newest first, at most ``limit`` of them."""
        found: list[Versioned[Notice]] = []
        for piece in pieces(addresses):
            query = where(self._collection(user_id), "mailbox_key", "==", mailbox_key)
            query = where(query, "from_address", "in", piece)
            found += self._newest_first(user_id, query, before, limit)
        return sorted(found, key=lambda record: (record.value.received_at, record.path), reverse=True)[:limit]

    def open_intents(self, user_id: str, *, limit: int = 1000) -> list[Versioned[Notice]]:
        """Notices that a sweep meant to move and has not settled."""
        query = where(self._collection(user_id), "intent", ">", "").order_by("intent").order_by(NAME)
        return self._fetch(query, limit)

    def count_unread(self, user_id: str, mailbox_key: str) -> int:
        """How many notices of this mailbox are unseen; counts up to 1,000."""
        query = where(self._collection(user_id), "mailbox_key", "==", mailbox_key)
        query = where(where(query, "seen", "==", False), "expires_at", ">", clock.now())
        results = query.limit(_MOST_COUNTED).count(alias="unread").get(retry=read_retry(), timeout=CALL_TIMEOUT_S)
        return int(results[0][0].value)

    def count_unread_by(self, user_id: str, mailbox_key: str, addresses: Iterable[str]) -> dict[str, int]:
        """How many unseen notices each of these addresses has; those without any are left out. Up to 1,000 a piece."""
        counted: Counter[str] = Counter()
        for piece in pieces(addresses):
            query = where(self._collection(user_id), "mailbox_key", "==", mailbox_key)
            query = where(where(query, "seen", "==", False), "from_address", "in", piece)
            selected = query.select(["from_address", "expires_at"]).limit(_MOST_COUNTED)
            now = clock.now()
            for snapshot in selected.stream(retry=read_retry(), timeout=CALL_TIMEOUT_S):
                stored = snapshot.to_dict()
                if stored["expires_at"] > now:
                    counted[stored["from_address"]] += 1
        return dict(counted)

    def _newest_first(self, user_id: str, query: Any, before: Before | None, limit: int) -> list[Versioned[Notice]]:
        ordered = query.order_by("received_at", direction=firestore.Query.DESCENDING)
        ordered = ordered.order_by(NAME, direction=firestore.Query.DESCENDING)
        start_after = [before.received_at, self.reference(user_id, before.mail_id)] if before else None
        return self._fetch(ordered, limit, start_after)


class Senders(Owned[Sender]):
    """connections/{user_id}/senders/{address_hash}; the name is a keyed hash of the address."""

    def _document_id(self, record_id: str) -> str:
        return encode_id(keys().hash("sender", record_id))

    def find_by_addresses(self, addresses: Iterable[str]) -> Iterator[tuple[str, Versioned[Sender]]]:
        """All users' senders with these addresses, as (user id, sender), read as they are asked for."""
        group = self._client.collection_group(self._name)
        for piece in pieces(addresses):
            yield from self._of_all_users(where(group, "address", "in", piece))

    def of_contact(self, contact_id: str) -> Iterator[tuple[str, Versioned[Sender]]]:
        """All users' senders that belong to this contact, as (user id, sender)."""
        yield from self.of_contacts([contact_id])

    def of_contacts(self, contact_ids: Iterable[str]) -> Iterator[tuple[str, Versioned[Sender]]]:
        """All users' senders that belong to any of these contacts, as (user id, sender); some perhaps twice."""
        group = self._client.collection_group(self._name)
        for piece in pieces(contact_ids):
            yield from self._of_all_users(where(group, "contact_ids", "array_contains_any", piece))

    def unsettled(
        self, user_id: str, mailbox_key: str, *, after: str = "", limit: int = 300
    ) -> list[Versioned[Sender]]:
        """The user's senders of this mailbox whose mail a sweep has still to look at, in no particular order.

        ``after`` is the address of the last one read.
        """
        query = where(self._collection(user_id), "mailbox_key", "==", mailbox_key)
        query = where(query, "category", "==", "").order_by(NAME)
        return self._fetch(query, limit, [self.reference(user_id, after)] if after else None)

    def _of_all_users(self, query: Any) -> Iterator[tuple[str, Versioned[Sender]]]:
        start_after: list[Any] | None = None
        while True:
            found = self._fetch(query.order_by(NAME), _SENDERS_PAGE, start_after)
            for record in found:
                yield decode_id(record.path.split("/")[1]), record
            if len(found) < _SENDERS_PAGE:
                return
            start_after = [self._client.document(found[-1].path)]


class Sweeps(Owned[Sweep]):
    """connections/{user_id}/sweeps/{sweep_id}"""

    def page(
        self, user_id: str, mailbox_key: str, *, before: datetime | None = None, limit: int = 20
    ) -> list[Versioned[Sweep]]:
        """The user's sweeps of this mailbox, newest first."""
        query = where(self._collection(user_id), "mailbox_key", "==", mailbox_key)
        query = query.order_by("at", direction=firestore.Query.DESCENDING)
        return self._fetch(query, limit, [before] if before else None)
