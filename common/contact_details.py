"""Owns what stands beside a contact's mails: its addresses, its deals, its category and why. Reads the directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common import clock
from common.categories import Decision, decide_category
from common.colleagues import Door, Doors
from common.directory import directory
from common.model import Contact, Deal, Policy, User
from common.sharing import may_see
from common.timeline_api import AddressRow, CategoryRow, ContactRow, DealContact, DealRow, UserRef
from common.timeline_words import plan_category_text


@dataclass(frozen=True)
class Details:
    """The deals that the viewer may see, and each contact's category for the viewer."""

    deals: Sequence[Deal]
    decisions: Mapping[str, Decision]

    def of(self, contact: Contact) -> list[Deal]:
        """The contact's deals."""
        return [deal for deal in self.deals if contact.contact_id in deal.contact_ids]

    def category_row(self, contact: Contact) -> CategoryRow:
        """The contact's category and what decided."""
        decision = self.decisions[contact.contact_id]
        return CategoryRow(
            category=decision.category,
            considered=list(decision.considered),
            deciding=list(decision.deciding),
            text=plan_category_text(decision, self.deals),
        )


def load_details(viewer: User, policy: Policy, contacts: Sequence[Contact]) -> Details:
    """What decides on the contacts' categories: of contacts that share an address, the union of their deals."""
    addresses = {entry.address for contact in contacts for entry in contact.addresses}
    sharing_one = directory().contacts_by_addresses(addresses) if addresses else {}
    ids = {contact.contact_id for contact in [*contacts, *(one for found in sharing_one.values() for one in found)]}
    deals = [deal for deal in directory().deals_of_contacts(ids) if may_see(deal, viewer)] if ids else []
    today = clock.today(policy.time_zone)
    decisions = {}
    for contact in contacts:
        together = {contact.contact_id} | {
            other.contact_id
            for entry in contact.addresses
            for other in sharing_one.get(entry.address, ())
            if may_see(other, viewer)
        }
        theirs = [deal for deal in deals if not together.isdisjoint(deal.contact_ids)]
        decisions[contact.contact_id] = decide_category(theirs, today)
    return Details(deals, decisions)


def contact_row(contact: Contact, own: Door | None, doors: Doors) -> ContactRow:
    """The contact's details; ``own`` is the caller's mailbox, where there is one."""
    share = own.shares.get(contact.contact_id) if own else None
    confirmed = share.addresses if share else ()
    addresses = [
        AddressRow(address=one.address, added_at=one.added_at, confirmed=one.address in confirmed)
        for one in contact.addresses
    ]
    return ContactRow(
        id=contact.contact_id,
        name=contact.name,
        addresses=addresses,
        owner=_user_ref(contact.owner, doors),
        shared=share is not None and share.shared,
    )


def deal_contact(contact: Contact, own: Door | None, doors: Doors, details: Details) -> DealContact:
    """The details of a deal's contact."""
    row = contact_row(contact, own, doors)
    return DealContact(
        id=row.id,
        name=row.name,
        addresses=row.addresses,
        owner=row.owner,
        shared=row.shared,
        category=details.category_row(contact),
    )


def deal_row(deal: Deal, doors: Doors) -> DealRow:
    """The deal as it is shown."""
    return DealRow(
        id=deal.deal_id,
        title=deal.title,
        state=deal.state,
        closing_date=deal.closing_date,
        owner=_user_ref(deal.owner, doors),
    )


def _user_ref(user_id: str, doors: Doors) -> UserRef | None:
    return UserRef(id=user_id, name=doors.name(user_id)) if user_id else None
