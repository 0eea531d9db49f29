"""What category a contact has."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from common.categories import AddressCategory, Decision, categorise, closes_in_month_of, decide_category
from common.model import Category, Contact, ContactAddress, Deal, DealState, User

TODAY = date(2026, 11, 24)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def deal(deal_id: str, state: str = "open", closing: date | None = None, **more: object) -> Deal:
    settings: dict[str, object] = {"contact_ids": ("c1",), "visible_to": ("everyone",), **more}
    return Deal(deal_id=deal_id, title="", state=DealState(state), closing_date=closing, **settings)  # type: ignore[arg-type]


def contact(contact_id: str, *addresses: str, **more: object) -> Contact:
    settings: dict[str, object] = {"visible_to": ("everyone",), **more}
    entries = tuple(ContactAddress(address=one, added_at=LONG_AGO) for one in addresses)
    return Contact(contact_id=contact_id, name="", addresses=entries, **settings)  # type: ignore[arg-type]


def user(user_id: str = "anna", role: str = "sales") -> User:
    return User(user_id=user_id, active=True, role=role)


@pytest.mark.parametrize(
    ("deals", "expected"),
    [
        ([], Category.NONE),
        ([deal("lost", "lost", TODAY)], Category.NONE),
        ([deal("won", "won", TODAY)], Category.CUSTOMERS),
        ([deal("open", "open", None)], Category.OPEN_DEALS),
        ([deal("next", "open", date(2026, 12, 1))], Category.OPEN_DEALS),
        ([deal("passed-month", "open", date(2026, 10, 31))], Category.OPEN_DEALS),
        ([deal("same-month-other-year", "open", date(2025, 11, 24))], Category.OPEN_DEALS),
        ([deal("first", "open", date(2026, 11, 1))], Category.CLOSING_THIS_MONTH),
        ([deal("last", "open", date(2026, 11, 30))], Category.CLOSING_THIS_MONTH),
        ([deal("won-this-month", "won", TODAY), deal("open", "open", None)], Category.OPEN_DEALS),
        ([deal("won", "won"), deal("open", "open"), deal("now", "open", TODAY)], Category.CLOSING_THIS_MONTH),
        ([deal("won", "won"), deal("lost", "lost")], Category.CUSTOMERS),
        ([deal("gone", "open", TODAY, deleted=True), deal("won", "won")], Category.CUSTOMERS),
    ],
)
def test_the_first_category_that_fits_is_taken(deals: list[Deal], expected: Category) -> None:
    """An open deal closing this month comes before any open one, that before any won one, else none."""
    assert expected == decide_category(deals, TODAY).category


def test_a_decision_names_the_deals_that_decided() -> None:
    """What was considered and what decided are told apart."""
    deals = [deal("b", "open", TODAY), deal("a", "won"), deal("c", "open", TODAY)]
    assert Decision(Category.CLOSING_THIS_MONTH, ("a", "b", "c"), ("b", "c")) == decide_category(deals, TODAY)


def test_a_deal_without_closing_date_closes_in_no_month() -> None:
    """A missing closing date is no month's."""
    assert closes_in_month_of(deal("d"), TODAY) is False


def test_two_contacts_that_share_an_address_are_decided_by_the_union_of_their_deals() -> None:
    """One contact's won deal and the other's open deal make the address an open deal's."""
    contacts = {"info@customer.example": [contact("c1"), contact("c2")]}
    deals = [deal("won", "won", contact_ids=("c1",)), deal("open", "open", contact_ids=("c2",))]
    expected = AddressCategory(
        "info@customer.example", ("c1", "c2"), Decision(Category.OPEN_DEALS, ("open", "won"), ("open",))
    )
    assert {"info@customer.example": expected} == categorise(contacts, deals, user(), TODAY)


def test_an_address_of_a_contact_that_the_user_may_not_see_is_no_contacts() -> None:
    """Invisible and deleted contacts are left out as if they were not there."""
    contacts = {
        "hidden@customer.example": [contact("c1", visible_to=("ben",))],
        "gone@customer.example": [contact("c2", deleted=True)],
    }
    assert {} == categorise(contacts, [], user(), TODAY)


def test_a_deal_that_the_user_may_not_see_does_not_count() -> None:
    """Only visible deals decide."""
    contacts = {"mia@customer.example": [contact("c1")]}
    deals = [deal("hidden", "open", TODAY, visible_to=("ben",)), deal("won", "won", visible_to=("role:sales",))]
    assert Category.CUSTOMERS == categorise(contacts, deals, user(), TODAY)["mia@customer.example"].category


def test_a_deal_of_a_contact_that_the_user_may_not_see_does_not_count() -> None:
    """The union is over the visible contacts of an address alone."""
    contacts = {"info@customer.example": [contact("c1"), contact("c2", visible_to=("ben",))]}
    deals = [deal("open", "open", contact_ids=("c2",))]
    assert Category.NONE == categorise(contacts, deals, user(), TODAY)["info@customer.example"].category
