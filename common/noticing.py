"""Owns how fetched mails become notices: what is read of them, whose they are, and what is written of them.

Reads the directory and the store; asks Gmail nothing. The mails come from ``drain`` and ``backfill``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from common import clock
from common.categories import AddressCategory, categorise
from common.directory import directory
from common.gmail.results import Message
from common.history import INBOX
from common.mail.addresses import from_address
from common.mail.authentication import is_authenticated
from common.model import (
    IN_INBOX,
    LABELLED,
    OUTSIDE,
    Category,
    Connection,
    Feature,
    Notice,
    Policy,
    Sender,
    User,
    Work,
)
from common.store.client import Batch, Versioned, store

# All that is ever asked of a mail for a notice.
FIELDS: Final = "id,labelIds,internalDate,payload/headers"
HEADERS: Final = ("From", "Authentication-Results")
_NEVER_NOTICED: Final = frozenset({"SENT", "DRAFT", "SPAM", "TRASH", "CHAT"})


@dataclass(frozen=True)
class Arrival:
    """What a notice needs of one mail, as fetched just now."""

    mail_id: str
    from_address: str
    received_at: datetime
    label_ids: frozenset[str]
    unverified: bool


def parse_arrival(message: Message) -> Arrival | None:
    """The mail's arrival, or None if it gets no notice: sent, a draft, spam, trash, a chat, or not from one address."""
    label_ids = frozenset(message.get("labelIds", ()))
    headers = [(entry["name"], entry["value"]) for entry in message.get("payload", {}).get("headers", ())]
    sender = from_address(headers)
    if sender is None or not label_ids.isdisjoint(_NEVER_NOTICED):
        return None
    return Arrival(
        mail_id=message["id"],
        from_address=sender,
        received_at=received_at(message),
        label_ids=label_ids,
        unverified=not is_authenticated(headers, sender),
    )


def received_at(message: Message) -> datetime:
    """When Gmail took the mail in (``internalDate``, milliseconds)."""
    return datetime.fromtimestamp(int(message["internalDate"]) / 1000, tz=UTC)


def place_of(arrival: Arrival, our_labels: Collection[str]) -> str:
    """Where the mail lies: in the inbox, or outside, where filters or hands have put it."""
    is_inside = INBOX in arrival.label_ids and arrival.label_ids.isdisjoint(our_labels)
    return IN_INBOX if is_inside else OUTSIDE


def our_labels(connection: Connection) -> dict[str, Category]:
    """Our labels in the mailbox by their ids."""
    return {label_id: Category(name) for name, label_id in connection.label_ids.items()}


def load_categories(addresses: Iterable[str], viewer: User, today: date) -> dict[str, AddressCategory]:
    """What each address means to ``viewer`` on ``today``; those of no contact that the viewer may see are left out."""
    wanted = set(addresses)
    contacts = directory().contacts_by_addresses(wanted) if wanted else {}
    ids = {contact.contact_id for found in contacts.values() for contact in found}
    deals = directory().deals_of_contacts(ids) if ids else []
    return categorise(contacts, deals, viewer, today)


@dataclass(frozen=True)
class Noticed:
    """New notices, by whose hands they are pinned already, and what their From addresses mean to the user."""

    notices: tuple[Notice, ...] = ()
    categories: Mapping[str, AddressCategory] = field(default_factory=dict)

    def has_to_file(self, policy: Policy) -> bool:
        """Whether a sweep would file one of them."""
        return any(_is_to_file(notice, self.categories[notice.from_address], policy) for notice in self.notices)


def _is_to_file(notice: Notice, meaning: AddressCategory, policy: Policy) -> bool:
    if notice.pinned or notice.filed != IN_INBOX or (notice.unverified and not policy.file_unverified):
        return False
    return meaning.category in LABELLED


@dataclass(frozen=True)
class For:
    """Whose notices are made: the connection, its user's record, and the organisation's policy."""

    connection: Connection
    user: User
    policy: Policy


def plan_notices(
    arrivals: Iterable[Arrival],
    whose: For,
    categories: Mapping[str, AddressCategory],
    *,
    now: datetime,
    seen: bool = False,
    pinned: Collection[str] = (),
) -> Noticed:
    """A notice for each arrival from an address of a contact; ``pinned`` are mails that a hand has already moved."""
    labels = our_labels(whose.connection)
    expires_at = now + timedelta(days=whose.policy.notice_retention_days)
    notices = tuple(
        Notice(
            mail_id=one.mail_id,
            from_address=one.from_address,
            received_at=one.received_at,
            mailbox_key=whose.connection.mailbox_key,
            expires_at=expires_at,
            filed=place_of(one, labels),
            pinned=one.mail_id in pinned,
            seen=seen,
            unverified=one.unverified,
        )
        for one in arrivals
        if one.from_address in categories
    )
    return Noticed(notices, categories)


def load_noticed(
    messages: Iterable[Message], whose: For, *, seen: bool = False, pinned: Collection[str] = ()
) -> Noticed:
    """The notices that fetched mails make for a user, by the directory as it is now."""
    arrivals = [arrival for message in messages if (arrival := parse_arrival(message)) is not None]
    today = clock.today(whose.policy.time_zone)
    categories = load_categories((one.from_address for one in arrivals), whose.user, today)
    return plan_notices(arrivals, whose, categories, now=clock.now(), seen=seen, pinned=pinned)


def save_noticed(noticed: Noticed, whose: For, batch: Batch, *, has_more_to_file: bool = False) -> None:
    """Adds to ``batch`` the notices, their senders, and work where something is to be filed.

    The batch must hold a precondition on the user's sync record, as it was read before the notices were looked for:
    it keeps two from being made of one mail. It raises Lost where a notice or sender has come or gone meanwhile.
    """
    user_id = whose.connection.user_id
    for notice in noticed.notices:
        store().notices.create(user_id, notice, batch)
    addresses = {notice.from_address for notice in noticed.notices}
    held = store().senders.load_many(user_id, addresses) if addresses else {}
    for address in sorted(addresses):
        _save_sender(noticed, address, held.get(address), user_id, batch)
    if files_labels(whose) and (has_more_to_file or noticed.has_to_file(whose.policy)):
        work = Work(user_id=user_id, due_at=clock.now(), generation=whose.connection.generation)
        store().work.save(work, batch=batch)


def files_labels(whose: For) -> bool:
    """Whether mail is to be filed for this user: labels are on, and the organisation allows them."""
    return whose.connection.labels and Feature.LABELS in whose.policy.features


def _save_sender(noticed: Noticed, address: str, held: Versioned[Sender] | None, user_id: str, batch: Batch) -> None:
    mine = [notice for notice in noticed.notices if notice.from_address == address]
    fresh = Sender(
        address=address,
        contact_ids=noticed.categories[address].contact_ids,
        mailbox_key=mine[0].mailbox_key,
        expires_at=max(notice.expires_at for notice in mine),
        last_received_at=max(notice.received_at for notice in mine),
    )
    if held is None:
        store().senders.create(user_id, fresh, batch)
        return
    known = held.value
    times = [at for at in (known.last_received_at, fresh.last_received_at) if at is not None]
    # Only these: what the address was last filed under is the sweep's.
    changes: dict[str, Any] = {
        "contact_ids": fresh.contact_ids,
        "expires_at": max(known.expires_at, fresh.expires_at),
        "last_received_at": max(times, default=None),
    }
    if known.mailbox_key != fresh.mailbox_key:
        changes |= {"mailbox_key": fresh.mailbox_key, "category": "", "last_received_at": fresh.last_received_at}
    store().senders.patch(user_id, address, batch=batch, **changes)
