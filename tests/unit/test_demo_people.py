"""The demo CRM's people and directory."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from local.crm.people import ANNA, BACKEND, BEN, CARLA, USERS, Person, directory

DAYS = [date(2026, 11, 24), date(2026, 1, 1), date(2026, 12, 31), date(2028, 2, 29)]

# By the rules of the design, written down by hand; what is not visible to a person is not there for that person.
FOR_ANNA = {
    "mia": "closing_this_month",
    "jonas": "open_deals",
    "emily": "customers",
    "lukas": "none",
    "oliver": "none",
    "greta": "customers",
    "karl": "open_deals",
    "sofia": "customers",
    "petra": "closing_this_month",
    "frank": "customers",
    "noah": "customers",
    "emma": "open_deals",
    "lena": "closing_this_month",
    "yasmin": "open_deals",
}
FOR_BEN = FOR_ANNA | {"frank": "closing_this_month", "william": "open_deals"}
FOR_CARLA = FOR_ANNA | {"william": "none", "yasmin": "none"}
del FOR_BEN["petra"], FOR_CARLA["petra"], FOR_CARLA["emily"]


def sees(person: Person, record: dict[str, Any]) -> bool:
    return bool({"everyone", f"role:{person.role}", person.id} & set(record["visible_to"]))


def category(deals: list[dict[str, Any]], today: date) -> str:
    closings = [date.fromisoformat(deal["closing_date"]) for deal in deals if deal["state"] == "open"]
    if any((closing.year, closing.month) == (today.year, today.month) for closing in closings):
        return "closing_this_month"
    if closings:
        return "open_deals"
    return "customers" if any(deal["state"] == "won" for deal in deals) else "none"


@pytest.mark.parametrize("today", DAYS)
@pytest.mark.parametrize(("person", "expected"), [(ANNA, FOR_ANNA), (BEN, FOR_BEN), (CARLA, FOR_CARLA)])
def test_every_category_is_there_for_each_user_on_any_day(
    person: Person, expected: dict[str, str], today: date
) -> None:
    """Whatever the day, each user sees the same contacts in the same categories."""
    body = directory(today)
    deals = [deal for deal in body["deals"] if sees(person, deal)]

    seen = {
        contact["id"]: category([deal for deal in deals if contact["id"] in deal["contacts"]], today)
        for contact in body["contacts"]
        if sees(person, contact)
    }

    assert expected == seen


def test_three_users_have_mailboxes_and_one_is_administrator() -> None:
    """Three active users may use the integration; the back end may write the directory and nothing else."""
    users = directory(DAYS[0])["users"]

    assert [(user["id"], user["role"], user["active"]) for user in users] == [
        ("anna", "sales", True),
        ("ben", "sales", True),
        ("carla", "administrator", True),
    ]
    assert [["mail_integration"]] * 3 == [user["permissions"] for user in users]
    assert [user["email"] for user in users] == [person.email for person in USERS]
    assert ("directory_write",) == BACKEND.permissions


def test_references_lead_somewhere() -> None:
    """Ids are unique, and every owner, deal's contact and visible_to names something that exists."""
    body = directory(DAYS[0])
    users = {user["id"] for user in body["users"]}
    contacts = [contact["id"] for contact in body["contacts"]]
    deals = [deal["id"] for deal in body["deals"]]
    readers = {"everyone", "role:sales", "role:administrator"} | users

    assert (15, 10) == (len(set(contacts)), len(set(deals)))
    assert (len(contacts), len(deals)) == (15, 10)
    for record in [*body["contacts"], *body["deals"]]:
        assert record["owner"] in users
        assert set(record["visible_to"]) <= readers
    assert {name for deal in body["deals"] for name in deal["contacts"]} <= set(contacts)


def test_difficult_contacts_are_there() -> None:
    """One address is shared by two contacts, one contact has two, one is written in capitals."""
    addresses = {
        contact["id"]: [each["address"] for each in contact["addresses"]] for contact in directory(DAYS[0])["contacts"]
    }

    assert addresses["greta"] == addresses["karl"]
    assert 2 == len(addresses["sofia"])
    assert addresses["william"][0] != addresses["william"][0].lower()


def test_addresses_were_added_in_the_past() -> None:
    """Every address has the time at which it was added, in UTC and before today."""
    times = [
        datetime.fromisoformat(each["added_at"])
        for contact in directory(DAYS[0])["contacts"]
        for each in contact["addresses"]
    ]

    assert {UTC.utcoffset(None)} == {one.utcoffset() for one in times}
    assert max(times) < datetime(2026, 11, 24, tzinfo=UTC)
