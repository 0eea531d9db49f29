"""Owns how the CRM directory is read: ``Directory``, one small interface. Firestore is its first implementation.

Others (a CRM's own REST API) will follow: whoever asks here knows users, contacts and deals, and no store.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Final, Generic, Protocol, TypeVar

from common import clock
from common.auth import Caller
from common.mail.addresses import normalise
from common.model import Contact, Deal, User
from common.store.client import Lost, Store, store
from common.store.directory import DirectoryRecords

R = TypeVar("R", User, Contact, Deal)
C = TypeVar("C", Contact, Deal)

HEARD_EVERY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Changes(Generic[C]):
    """A page of what changed, the oldest first. ``next_page`` is empty at the end."""

    records: list[C]
    next_page: str = ""


class Directory(Protocol):
    """The CRM's users, contacts and deals, as they are now. Addresses are normalised (``addresses.normalise``)."""

    def load_user(self, user_id: str) -> User | None:
        """The user, active or not, or None if none is known."""
        ...

    def load_users(self, user_ids: Iterable[str]) -> dict[str, User]:
        """The users with these ids, active or not."""
        ...

    def contact(self, contact_id: str) -> Contact | None:
        """The contact, or None if there is none or it is deleted."""
        ...

    def contacts(self, contact_ids: Iterable[str]) -> dict[str, Contact]:
        """The contacts with these ids that are not deleted."""
        ...

    def contacts_by_addresses(self, addresses: Iterable[str]) -> dict[str, list[Contact]]:
        """The contacts that have each address; addresses of nobody are left out, deleted contacts too."""
        ...

    def deal(self, deal_id: str) -> Deal | None:
        """The deal, or None if there is none or it is deleted."""
        ...

    def deals_of_contacts(self, contact_ids: Iterable[str]) -> list[Deal]:
        """The deals, not deleted, that any of these contacts has now."""
        ...

    def changed_contacts(self, since: datetime | None, *, page: str = "", limit: int = 300) -> Changes[Contact]:
        """Contacts that changed at or after ``since``, deleted ones too."""
        ...

    def changed_deals(self, since: datetime | None, *, page: str = "", limit: int = 300) -> Changes[Deal]:
        """Deals that changed at or after ``since``, deleted ones too."""
        ...

    def open_deals_closing(self, first: date, last: date, *, page: str = "", limit: int = 300) -> Changes[Deal]:
        """Open deals that close on a day from ``first`` to ``last``."""
        ...


class FirestoreDirectory:
    """The directory that ``POST /directory`` fills."""

    def __init__(self, records: Store) -> None:
        self._store = records

    def load_user(self, user_id: str) -> User | None:
        found = self._store.users.load(user_id)
        return found.value if found else None

    def load_users(self, user_ids: Iterable[str]) -> dict[str, User]:
        return {user_id: found.value for user_id, found in self._store.users.load_many(user_ids).items()}

    def contact(self, contact_id: str) -> Contact | None:
        found = self._store.contacts.load(contact_id)
        return found.value if found and not found.value.deleted else None

    def contacts(self, contact_ids: Iterable[str]) -> dict[str, Contact]:
        found = self._store.contacts.load_many(contact_ids)
        return {contact_id: one.value for contact_id, one in found.items() if not one.value.deleted}

    def contacts_by_addresses(self, addresses: Iterable[str]) -> dict[str, list[Contact]]:
        wanted = set(addresses)
        by_address: dict[str, list[Contact]] = {}
        for contact in self._store.contacts.by_address(wanted):
            for address in sorted({entry.address for entry in contact.addresses} & wanted):
                by_address.setdefault(address, []).append(contact)
        return by_address

    def deal(self, deal_id: str) -> Deal | None:
        found = self._store.deals.load(deal_id)
        return found.value if found and not found.value.deleted else None

    def deals_of_contacts(self, contact_ids: Iterable[str]) -> list[Deal]:
        return self._store.deals.of_contacts(contact_ids)

    def changed_contacts(self, since: datetime | None, *, page: str = "", limit: int = 300) -> Changes[Contact]:
        return _changed(self._store.contacts, since, page, limit)

    def changed_deals(self, since: datetime | None, *, page: str = "", limit: int = 300) -> Changes[Deal]:
        return _changed(self._store.deals, since, page, limit)

    def open_deals_closing(self, first: date, last: date, *, page: str = "", limit: int = 300) -> Changes[Deal]:
        day, _, deal_id = page.partition(" ")
        after = (date.fromisoformat(day), deal_id) if page else None
        found = [record.value for record in self._store.deals.open_closing(first, last, limit, after)]
        following = f"{found[-1].closing_date} {found[-1].deal_id}" if len(found) == limit else ""
        return Changes(found, following)


def _changed(records: DirectoryRecords[C], since: datetime | None, page: str, limit: int) -> Changes[C]:
    at, _, record_id = page.partition(" ")
    after = (datetime.fromisoformat(at), record_id) if page else None
    found = [record.value for record in records.changed_since(since, limit, after)]
    return Changes(found, _page_after(found[-1]) if len(found) == limit else "")


def _page_after(last: Contact | Deal) -> str:
    record_id = last.contact_id if isinstance(last, Contact) else last.deal_id
    return f"{last.updated_at.isoformat()} {record_id}" if last.updated_at else ""


@cache
def directory() -> Directory:
    """The directory of this process."""
    return FirestoreDirectory(store())


def plan_refresh(caller: Caller, known: User | None, now: datetime) -> User | None:
    """The user as the verified token tells it, where that is news; None where nothing is to be written.

    The directory is the CRM's own word: a token issued before it was last written changes nothing but ``heard_at``,
    and revives no one. News is written at once, "still there" once a day.
    """
    if known is None:
        return _told(caller, User(user_id=caller.user_id, active=True), now)
    is_inactive = known.deleted or not known.active
    written_at = max((at for at in (known.updated_at, known.inactive_since) if at), default=None)
    if written_at is not None and caller.issued_at <= written_at:
        is_due = known.heard_at is None or now - known.heard_at >= HEARD_EVERY
        return replace(known, heard_at=now) if is_due and not is_inactive else None
    told = _told(caller, replace(known, active=True, deleted=False, inactive_since=None, expires_at=None), now)
    is_news = replace(told, heard_at=known.heard_at) != known
    is_due = known.heard_at is None or now - known.heard_at >= HEARD_EVERY
    return told if is_news or is_due else None


def _told(caller: Caller, user: User, now: datetime) -> User:
    # A CRM whose tokens lack a claim has not said that the role or the address is gone.
    return replace(
        user,
        role=caller.role or user.role,
        permissions=caller.permissions or user.permissions,
        email=normalise(caller.email) if caller.email else user.email,
        heard_at=now,
    )


def refresh_user(caller: Caller, known: User | None) -> User:
    """Notes what a verified token says of its user, at most daily unless it is news; returns the user as it is now.

    ``known`` is the record as read for this request. One write where there is something to write, else none.
    """
    planned = plan_refresh(caller, known, clock.now())
    if planned is None:
        return known or User(user_id=caller.user_id, active=False)
    try:
        if known is not None and planned == replace(known, heard_at=planned.heard_at):
            # Not a change of the user: ``updated_at`` stays, so that a newer token's news still counts.
            store().users.patch(caller.user_id, heard_at=planned.heard_at)
            return planned
        return _apply_news(caller)
    except Lost:
        # Somebody else has just written it, the CRM perhaps: that is what holds.
        return directory().load_user(caller.user_id) or User(user_id=caller.user_id, active=False)


def _apply_news(caller: Caller) -> User:
    # Read again, with its version: news must not overtake what the directory has said meanwhile.
    held = store().users.load(caller.user_id)
    planned = plan_refresh(caller, held.value if held else None, clock.now())
    if held is None and planned is not None:
        store().users.create(planned)
    elif held is not None and planned is not None:
        store().users.update(held, None, **_changes(held.value, planned))
    return planned or (held.value if held else User(user_id=caller.user_id, active=False))


def _changes(before: User, after: User) -> dict[str, Any]:
    names = ("active", "deleted", "inactive_since", "expires_at", "role", "permissions", "email", "heard_at")
    return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}
