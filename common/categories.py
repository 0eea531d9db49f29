"""Owns which category a contact has, and why. Pure: plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from common.model import LABELLED, Category, Contact, Deal, DealState, User
from common.sharing import may_see


@dataclass(frozen=True)
class Decision:
    """A category, the deals that were considered, and those of them that decided."""

    category: Category
    considered: tuple[str, ...] = ()
    deciding: tuple[str, ...] = ()


def decide_category(deals: Iterable[Deal], today: date) -> Decision:
    """The category that ``deals`` give a contact on ``today``, a date in the organisation's zone.

    An open deal closing in the current month comes before any open one, that before any won one.
    """
    living = [deal for deal in deals if not deal.deleted]
    considered = tuple(sorted(deal.deal_id for deal in living))
    open_deals = [deal for deal in living if deal.state is DealState.OPEN]
    candidates = {
        Category.CLOSING_THIS_MONTH: [deal for deal in open_deals if closes_in_month_of(deal, today)],
        Category.OPEN_DEALS: open_deals,
        Category.CUSTOMERS: [deal for deal in living if deal.state is DealState.WON],
    }
    for category in LABELLED:
        if candidates[category]:
            deciding = tuple(sorted(deal.deal_id for deal in candidates[category]))
            return Decision(category, considered, deciding)
    return Decision(Category.NONE, considered)


def closes_in_month_of(deal: Deal, today: date) -> bool:
    """Whether the deal's closing date lies in the month of ``today``, passed days of it included."""
    closing = deal.closing_date
    return closing is not None and (closing.year, closing.month) == (today.year, today.month)


@dataclass(frozen=True)
class AddressCategory:
    """What one From address means to one user: its visible contacts, and what the union of their deals decides."""

    address: str
    contact_ids: tuple[str, ...]
    decision: Decision

    @property
    def category(self) -> Category:
        return self.decision.category


def categorise(
    contacts_by_address: Mapping[str, Sequence[Contact]], deals: Iterable[Deal], viewer: User, today: date
) -> dict[str, AddressCategory]:
    """The category of each address that belongs to a contact which ``viewer`` may see; others are left out."""
    visible_deals = [deal for deal in deals if not deal.deleted and may_see(deal, viewer)]
    result: dict[str, AddressCategory] = {}
    for address, contacts in contacts_by_address.items():
        contact_ids = {one.contact_id for one in contacts if not one.deleted and may_see(one, viewer)}
        if contact_ids:
            theirs = [deal for deal in visible_deals if not contact_ids.isdisjoint(deal.contact_ids)]
            decision = decide_category(theirs, today)
            result[address] = AddressCategory(address, tuple(sorted(contact_ids)), decision)
    return result
