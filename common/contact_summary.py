"""Owns what a list of contacts shows beside each: category, unread notices, last mail received. Never asks Gmail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from common.colleagues import in_threads
from common.contact_details import Details, load_details
from common.directory import directory
from common.model import Category, Contact
from common.session import Member
from common.sharing import may_see
from common.store.client import store


class ContactsBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Up to 100 contacts' ids."""

    ids: Annotated[list[Annotated[str, Meta(min_length=1, max_length=128)]], Meta(max_length=100)]


class ContactSummary(Struct, kw_only=True):
    """One contact; ``unread`` and ``last_received_at`` are of the caller's own mailbox, as MailMagnet noticed."""

    id: str
    category: Category
    unread: int = 0
    last_received_at: datetime | None = None


class ContactsAnswer(Struct, kw_only=True):
    """The contacts that the caller may see, in the order asked for; others are left out."""

    contacts: list[ContactSummary]


@dataclass(frozen=True)
class _Noticed:
    """By From address: how many notices are unread, and when the last mail came."""

    unread: Mapping[str, int]
    last_received_at: Mapping[str, datetime]


def summarise(member: Member, body: ContactsBody) -> ContactsAnswer:
    """The contacts' summaries, from Firestore alone."""
    ids = list(dict.fromkeys(body.ids))
    known = directory().contacts(ids)
    visible = [known[one] for one in ids if one in known and may_see(known[one], member.user)]
    details: Details
    noticed: _Noticed
    details, noticed = in_threads(
        lambda: load_details(member.user, member.policy, visible), lambda: _load_noticed(member, visible)
    )
    return ContactsAnswer(contacts=[_summary(contact, details, noticed) for contact in visible])


def _summary(contact: Contact, details: Details, noticed: _Noticed) -> ContactSummary:
    addresses = {entry.address for entry in contact.addresses}
    times = [noticed.last_received_at[one] for one in addresses if one in noticed.last_received_at]
    return ContactSummary(
        id=contact.contact_id,
        category=details.decisions[contact.contact_id].category,
        unread=sum(noticed.unread.get(one, 0) for one in addresses),
        last_received_at=max(times, default=None),
    )


def _load_noticed(member: Member, contacts: Sequence[Contact]) -> _Noticed:
    addresses = {entry.address for contact in contacts for entry in contact.addresses}
    if not addresses or member.context.connection is None:
        return _Noticed({}, {})
    mailbox_key = member.connection.mailbox_key
    senders = store().senders.load_many(member.user_id, addresses)
    received = {
        address: held.value.last_received_at
        for address, held in senders.items()
        if held.value.mailbox_key == mailbox_key and held.value.last_received_at is not None
    }
    return _Noticed(store().notices.count_unread_by(member.user_id, mailbox_key, received), received)
