"""Owns the records of the CRM directory: users, contacts, deals. ``updated_at`` is always the commit's own time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any, TypeVar

from common.lazy import firestore
from common.model import Contact, Deal, DealState, User
from common.store import codec
from common.store.batch import Versioned
from common.store.records import NAME, Records, pieces, where

D = TypeVar("D", User, Contact, Deal)

_PAGE = 500


class DirectoryRecords(Records[D]):
    """Records that tell when they changed, by Firestore's clock, never by the caller's."""

    def _encode(self, value: D) -> dict[str, Any]:
        return {**codec.encode(value), "updated_at": firestore.SERVER_TIMESTAMP}

    def changed_since(
        self, since: datetime | None, limit: int, after: tuple[datetime, str] | None = None
    ) -> list[Versioned[D]]:
        """What changed at or after ``since`` (None: ever), the oldest change first.

        ``after`` is the time and the id of the last record read: all records of one commit have the same time.
        """
        query: Any = self._collection
        if since is not None:
            query = where(query, "updated_at", ">=", since)
        query = query.order_by("updated_at").order_by(NAME)
        return self._fetch(query, limit, [after[0], self.reference(after[1])] if after else None)

    def _fetch_all(self, query: Any) -> Iterator[Versioned[D]]:
        """All records that a query finds, page by page."""
        after: list[Any] | None = None
        while True:
            page = self._fetch(query.order_by(NAME), _PAGE, after)
            yield from page
            if len(page) < _PAGE:
                return
            after = [self._client.document(page[-1].path)]

    def named_by_others(self, load_id: str, limit: int) -> list[Versioned[D]]:
        """Records that the full load ``load_id`` has not named."""
        return self._fetch(where(self._collection, "full_load", "!=", load_id), limit)


class Users(DirectoryRecords[User]):
    """users/{id}"""

    def owing_suspension(self, *, after: str = "", limit: int = 100) -> list[str]:
        """Users whose work in flight has still to be ended, from behind the user ``after``."""
        query = where(self._collection, "suspension_owed", "==", True).order_by(NAME)
        found = self._fetch(query, limit, [self.reference(after)] if after else None)
        return [record.value.user_id for record in found]


class Contacts(DirectoryRecords[Contact]):
    """contacts/{id}; ``address_index`` finds them by address, while they are not deleted."""

    def by_address(self, addresses: Iterable[str]) -> list[Contact]:
        """The contacts that have any of these addresses, which are normalised."""
        found: dict[str, Contact] = {}
        for piece in pieces(addresses):
            query = where(self._collection, "address_index", "array_contains_any", piece)
            found.update({record.path: record.value for record in self._fetch_all(query)})
        return list(found.values())


class Deals(DirectoryRecords[Deal]):
    """deals/{id}; a deleted deal has only former contacts."""

    def of_contacts(self, contact_ids: Iterable[str]) -> list[Deal]:
        """The deals that any of these contacts has now."""
        found: dict[str, Deal] = {}
        for piece in pieces(contact_ids):
            query = where(self._collection, "contact_ids", "array_contains_any", piece)
            found.update({record.path: record.value for record in self._fetch_all(query)})
        return [deal for deal in found.values() if not deal.deleted]

    def open_closing(
        self, first: date, last: date, limit: int, after: tuple[date, str] | None = None
    ) -> list[Versioned[Deal]]:
        """Open deals that close on a day from ``first`` to ``last``, in that order.

        ``after`` is the day and the id of the last deal read.
        """
        query = where(self._collection, "state", "==", DealState.OPEN.value)
        query = where(query, "closing_date", ">=", first.isoformat())
        query = where(query, "closing_date", "<=", last.isoformat()).order_by("closing_date").order_by(NAME)
        return self._fetch(query, limit, [after[0].isoformat(), self.reference(after[1])] if after else None)
