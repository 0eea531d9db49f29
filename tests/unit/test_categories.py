"""What category a contact has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from common.categories import AddressCategory, Decision, categorise, closes_in_month_of, decide_category
from common.clock import day_of
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


# The month in a zone: UTC at which a deal that closes on ``closing`` begins or ceases to close this month there.
BERLIN, TOKYO, KIRITIMATI, PAGO = "Europe/Berlin", "Asia/Tokyo", "Pacific/Kiritimati", "Pacific/Pago_Pago"
NEW_YORK, ST_JOHNS, LORD_HOWE, CAIRO = "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo"
CLOSING, OPEN = Category.CLOSING_THIS_MONTH, Category.OPEN_DEALS


@pytest.mark.parametrize(
    ("time_zone", "at", "closing", "expected"),
    [
        ("UTC", "2026-11-30T23:59:59.999999+00:00", "2026-11-30", CLOSING),
        ("UTC", "2026-12-01T00:00:00+00:00", "2026-11-30", OPEN),
        ("UTC", "2026-11-30T23:59:59.999999+00:00", "2026-12-01", OPEN),
        ("UTC", "2026-12-01T00:00:00+00:00", "2026-12-01", CLOSING),
        # Winter time, an hour ahead; at the end of March it is summer time already, two hours ahead.
        (BERLIN, "2027-01-31T22:59:59+00:00", "2027-02-01", OPEN),
        (BERLIN, "2027-01-31T23:00:00+00:00", "2027-02-01", CLOSING),
        (BERLIN, "2027-03-31T21:59:59+00:00", "2027-04-01", OPEN),
        (BERLIN, "2027-03-31T22:00:00+00:00", "2027-04-01", CLOSING),
        # Clocks change on the month's very last day (2027-10-31, 2024-03-31): it has 25, or 23, hours.
        (BERLIN, "2027-10-30T22:00:00+00:00", "2027-10-31", CLOSING),
        (BERLIN, "2027-10-31T22:59:59+00:00", "2027-11-01", OPEN),
        (BERLIN, "2027-10-31T23:00:00+00:00", "2027-11-01", CLOSING),
        (BERLIN, "2024-03-30T23:00:00+00:00", "2024-03-31", CLOSING),
        (BERLIN, "2024-03-31T21:59:59+00:00", "2024-04-01", OPEN),
        (BERLIN, "2024-03-31T22:00:00+00:00", "2024-04-01", CLOSING),
        # Clocks change on the month's first day (2026-11-01): its first hour comes twice.
        (NEW_YORK, "2026-11-01T03:59:59+00:00", "2026-11-01", OPEN),
        (NEW_YORK, "2026-11-01T04:00:00+00:00", "2026-11-01", CLOSING),
        (NEW_YORK, "2026-11-01T05:30:00+00:00", "2026-11-01", CLOSING),
        (NEW_YORK, "2026-11-01T06:30:00+00:00", "2026-11-01", CLOSING),
        (NEW_YORK, "2026-12-01T04:59:59+00:00", "2026-12-01", OPEN),
        (NEW_YORK, "2026-12-01T05:00:00+00:00", "2026-12-01", CLOSING),
        # Half hours off, and by half an hour off in summer.
        (ST_JOHNS, "2026-12-01T03:29:59+00:00", "2026-12-01", OPEN),
        (ST_JOHNS, "2026-12-01T03:30:00+00:00", "2026-12-01", CLOSING),
        (LORD_HOWE, "2026-11-30T12:59:59+00:00", "2026-12-01", OPEN),
        (LORD_HOWE, "2026-11-30T13:00:00+00:00", "2026-12-01", CLOSING),
        (LORD_HOWE, "2026-06-30T13:30:00+00:00", "2026-07-01", CLOSING),
        (CAIRO, "2026-10-31T21:59:59+00:00", "2026-11-01", OPEN),
        (CAIRO, "2026-10-31T22:00:00+00:00", "2026-11-01", CLOSING),
        # The farthest ahead and behind: at one moment three dates, and at the turn of a month two months.
        (KIRITIMATI, "2026-11-30T10:00:00+00:00", "2026-12-01", CLOSING),
        (TOKYO, "2026-11-30T10:00:00+00:00", "2026-12-01", OPEN),
        (PAGO, "2026-12-01T10:59:59+00:00", "2026-11-01", CLOSING),
        (PAGO, "2026-12-01T11:00:00+00:00", "2026-11-01", OPEN),
        # Leap days, and years of which the hundredth is none.
        ("UTC", "2028-02-29T23:59:59+00:00", "2028-02-29", CLOSING),
        ("UTC", "2028-02-01T00:00:00+00:00", "2028-02-29", CLOSING),
        ("UTC", "2028-03-01T00:00:00+00:00", "2028-02-29", OPEN),
        ("UTC", "2027-02-28T23:59:59+00:00", "2027-02-28", CLOSING),
        ("UTC", "2100-02-28T23:59:59+00:00", "2100-03-01", OPEN),
        # The turn of a year, and the same month of another one.
        (BERLIN, "2026-12-31T22:59:59+00:00", "2027-01-01", OPEN),
        (BERLIN, "2026-12-31T23:00:00+00:00", "2027-01-01", CLOSING),
        (BERLIN, "2026-12-31T23:00:00+00:00", "2026-12-31", OPEN),
        (BERLIN, "2026-12-15T12:00:00+00:00", "2025-12-15", OPEN),
    ],
)
def test_the_organisations_calendar_decides_on_the_month(
    time_zone: str, at: str, closing: str, expected: Category
) -> None:
    """An open deal closes this month from the first moment of the month in the organisation's zone to its last."""
    today = day_of(datetime.fromisoformat(at), time_zone)
    assert expected == decide_category([deal("d", "open", date.fromisoformat(closing))], today).category


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, CLOSING),
        ({"state": DealState.WON}, Category.CUSTOMERS),
        ({"state": DealState.LOST}, Category.NONE),
        ({"closing_date": None}, OPEN),
        ({"closing_date": date(2026, 11, 1)}, CLOSING),
        ({"closing_date": date(2026, 10, 31)}, OPEN),
        ({"closing_date": date(2026, 12, 1)}, OPEN),
        ({"closing_date": date(2027, 11, 24)}, OPEN),
        ({"contact_ids": ()}, Category.NONE),
        ({"contact_ids": ("c2", "c3")}, Category.NONE),
        ({"contact_ids": ("c3", "c2", "c1")}, CLOSING),
        ({"contact_ids": ("c2",), "former_contact_ids": ("c1",)}, Category.NONE),
        ({"deleted": True}, Category.NONE),
        ({"visible_to": (), "owner": "anna"}, CLOSING),
        ({"visible_to": ("anna",)}, CLOSING),
        ({"visible_to": ("role:sales",)}, CLOSING),
        ({"visible_to": ("role:service", "ben")}, Category.NONE),
        ({"visible_to": ()}, Category.NONE),
    ],
)
def test_one_change_of_a_deal(changes: dict[str, object], expected: Category) -> None:
    """What becomes of a contact's category when one thing about its only deal, open and closing today, changes."""
    changed = replace(deal("d", "open", TODAY), **changes)  # type: ignore[arg-type]
    contacts = {"mia@customer.example": [contact("c1", "mia@customer.example")]}
    assert expected == categorise(contacts, [changed], user(), TODAY)["mia@customer.example"].category


@pytest.mark.parametrize(
    ("contacts", "expected"),
    [
        ([contact("c1")], CLOSING),
        ([contact("c2")], Category.CUSTOMERS),
        ([contact("c3")], Category.NONE),
        ([contact("c3"), contact("c2")], Category.CUSTOMERS),
        ([contact("c3"), contact("c2"), contact("c1")], CLOSING),
        ([contact("c1", deleted=True), contact("c2")], Category.CUSTOMERS),
        ([contact("c1", visible_to=("ben",)), contact("c2")], Category.CUSTOMERS),
        ([contact("c1", visible_to=("role:sales",)), contact("c2", visible_to=("ben",))], CLOSING),
        ([contact("c1", deleted=True)], None),
        ([contact("c1", visible_to=("ben",))], None),
        ([], None),
    ],
    ids=[
        "the first", "the second", "one without deals", "two", "three", "one deleted", "one hidden", "one by role",
        "none but a deleted one", "none but a hidden one", "none",
    ],
)  # fmt: skip
def test_whose_address_it_is(contacts: list[Contact], expected: Category | None) -> None:
    """Of the contacts that have an address now, those that are there and that the user may see decide together."""
    deals = [deal("open", "open", TODAY, contact_ids=("c1",)), deal("won", "won", contact_ids=("c2",))]
    found = categorise({"info@customer.example": contacts}, deals, user(), TODAY).get("info@customer.example")
    assert expected == (found.category if found else None)


def test_users_who_see_different_deals_have_different_categories() -> None:
    """The same address is another thing to each: by name, by role, by ownership, or nothing at all."""
    contacts = {"mia@customer.example": [contact("c1", visible_to=("anna", "role:service", "carla"))]}
    deals = [
        deal("closing", "open", TODAY, visible_to=("role:service",)),
        deal("open", "open", visible_to=(), owner="carla"),
        deal("won", "won"),
    ]
    viewers = [user("anna"), user("ben", "service"), user("carla", "administrator"), user("dora")]
    found = [categorise(contacts, deals, viewer, TODAY).get("mia@customer.example") for viewer in viewers]
    assert [Category.CUSTOMERS, CLOSING, OPEN, None] == [one.category if one else None for one in found]
