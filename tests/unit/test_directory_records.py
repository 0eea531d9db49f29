"""What an upserted record means, given the one known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.directory_records import (
    DirectoryAddress,
    DirectoryContact,
    DirectoryDeal,
    DirectoryUser,
    RecordRefused,
    is_permitted,
    plan_contact,
    plan_deal,
    plan_user,
)
from common.model import PERMISSION, Contact, ContactAddress, Deal, DealState, User

NOW = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
KNOWN_AT = NOW - 10 * DAY
MIA = Contact(
    contact_id="mia",
    name="Mia",
    addresses=(ContactAddress(address="mia@customer.example", added_at=KNOWN_AT, added_by="anna"),),
)
DEAL = Deal(deal_id="d1", title="t", state=DealState.OPEN, closing_date=None, contact_ids=("a", "b"))


def contact(*addresses: DirectoryAddress | str, **fields: Any) -> DirectoryContact:
    """Mia, stated with these addresses."""
    return DirectoryContact(id="mia", name="Mia", addresses=list(addresses), **fields)


def planned_address(given: DirectoryAddress | str, known: Contact | None = None) -> ContactAddress:
    """What becomes of one stated address."""
    planned = plan_contact(contact(given), known, NOW)
    assert planned is not None
    (address,) = planned.addresses
    return address


def test_a_new_address_stands_since_now() -> None:
    """An address without a time of its own counts from now, in its normalised form."""
    expected = ContactAddress(address="mia@xn--bcher-kva.example", added_at=NOW)

    assert expected == planned_address(" Mia@Bücher.example ")


def test_a_new_address_stands_since_the_crms_own_date() -> None:
    """A time given with a new address is taken, in UTC, and so is who put it there."""
    given = DirectoryAddress(
        address="mia@customer.example",
        added_at=(NOW - DAY).astimezone(timezone(timedelta(hours=9))),
        added_by="anna",
    )

    assert ContactAddress(address="mia@customer.example", added_at=NOW - DAY, added_by="anna") == planned_address(given)


@pytest.mark.parametrize(
    ("given_at", "expected"),
    [(None, KNOWN_AT), (KNOWN_AT - DAY, KNOWN_AT), (KNOWN_AT + DAY, KNOWN_AT + DAY)],
    ids=["none", "earlier", "later"],
)
def test_a_known_address_never_moves_back(given_at: datetime | None, expected: datetime) -> None:
    """A known address keeps its time unless a later one is given."""
    given = DirectoryAddress(address="MIA@customer.example", added_at=given_at)

    assert ContactAddress(address="mia@customer.example", added_at=expected, added_by="anna") == planned_address(
        given, MIA
    )


def test_a_deleted_contact_remembers_since_when() -> None:
    """An address of a contact that was deleted and comes back has not become older."""
    deleted = plan_contact(DirectoryContact(id="mia", deleted=True), MIA, NOW)
    given = DirectoryAddress(address="mia@customer.example", added_at=KNOWN_AT - DAY)

    assert KNOWN_AT == planned_address(given, deleted).added_at


def test_who_put_a_known_address_there_is_not_changed() -> None:
    """Another user named later does not get the first one's place; one that was unknown can be named."""
    given = DirectoryAddress(address="mia@customer.example", added_by="ben")
    nameless = replace(MIA, addresses=(replace(MIA.addresses[0], added_by=""),))

    assert ("anna", "ben") == (planned_address(given, MIA).added_by, planned_address(given, nameless).added_by)


def test_the_future_is_refused() -> None:
    """A time in the future is refused, beyond what clocks differ; within that it counts as now."""
    soon = DirectoryAddress(address="mia@customer.example", added_at=NOW + timedelta(seconds=20))
    late = DirectoryAddress(address="mia@customer.example", added_at=NOW + timedelta(seconds=31))

    assert NOW == planned_address(soon).added_at
    with pytest.raises(RecordRefused) as refused:
        planned_address(late, MIA)
    assert "added-at-in-future" == refused.value.code


@given(st.datetimes(timezones=st.timezones()))
def test_any_time_is_taken_or_refused(added_at: datetime) -> None:
    """However far away a time is, a known address neither moves back nor ahead of now."""
    given_address = DirectoryAddress(address="mia@customer.example", added_at=added_at)
    try:
        later = planned_address(given_address, MIA).added_at
        first = planned_address(given_address).added_at
    except RecordRefused:
        assert added_at > NOW
        return
    assert KNOWN_AT <= later <= NOW
    assert first <= NOW


@pytest.mark.parametrize(
    "address", ["", "mia", "@x.example", "a@b@c d", "Mia <mia@customer.example>", "a@x.example,b@x.example"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    """Only one bare address is taken."""
    with pytest.raises(RecordRefused) as refused:
        planned_address(address)
    assert ("invalid-address", "addresses[0]") == (refused.value.code, refused.value.detail)


def test_an_address_given_twice_stands_once() -> None:
    """Two spellings of one address are one."""
    planned = plan_contact(contact("mia@customer.example", "MIA@customer.example"), None, NOW)

    assert planned is not None
    assert 1 == len(planned.addresses)


def test_stating_a_contact_again_changes_nothing() -> None:
    """An upsert of what is known is what is known, also with the lists in another order."""
    given = contact("b@x.example", "mia@customer.example", visible_to=["role:sales", "everyone", "ben"])
    first = plan_contact(given, MIA, NOW - DAY)
    again = contact("mia@customer.example", "b@x.example", visible_to=["ben", "everyone", "role:sales"])

    assert first == plan_contact(again, first, NOW)


@pytest.mark.parametrize("viewer", ["", "role:", "a/b", "a\nb"])
def test_viewers_are_users_roles_or_everyone(viewer: str) -> None:
    """What names neither a user nor a role nor everyone is refused."""
    with pytest.raises(RecordRefused) as refused:
        plan_contact(contact(visible_to=[viewer]), None, NOW)
    assert "invalid-id" == refused.value.code


@pytest.mark.parametrize("record_id", ["", "a/b", "a\tb", "x" * 129])
def test_ids_are_printable_without_a_slash(record_id: str) -> None:
    """An id that no CRM may use is refused for every kind."""
    for plan in (
        lambda: plan_user(DirectoryUser(id=record_id, active=True), None, NOW),
        lambda: plan_contact(DirectoryContact(id=record_id), None, NOW),
        lambda: plan_deal(DirectoryDeal(id=record_id, state=DealState.OPEN), None, NOW),
    ):
        with pytest.raises(RecordRefused) as refused:
            plan()
        assert "invalid-id" == refused.value.code


@pytest.mark.parametrize(
    "gone",
    [
        DirectoryUser(id="anna", active=False, permissions=[PERMISSION]),
        DirectoryUser(id="anna", active=True),
        DirectoryUser(id="anna", deleted=True),
    ],
)
def test_a_user_made_inactive_is_so_since_then(gone: DirectoryUser) -> None:
    """The moment is kept while the user stays inactive or without the permission, and cleared when that is over."""
    permitted = DirectoryUser(id="anna", active=True, permissions=[PERMISSION])
    active = plan_user(permitted, None, NOW)
    inactive = plan_user(gone, active, NOW + DAY)
    still = plan_user(gone, inactive, NOW + 2 * DAY)
    again = plan_user(permitted, still, NOW + 3 * DAY)

    moments = [user.inactive_since for user in (active, inactive, still, again)]
    assert [None, NOW + DAY, NOW + DAY, None] == moments


def test_a_deletion_marks_even_an_unknown_user() -> None:
    """A user nobody has heard of is marked as gone, without name or address, so that no old token brings it in."""
    planned = plan_user(DirectoryUser(id="anna", name="Anna", email="a@x.example", deleted=True), None, NOW)

    expected = User(
        user_id="anna", active=False, heard_at=NOW, inactive_since=NOW, deleted=True, expires_at=NOW + 90 * DAY
    )
    assert expected == planned


def test_a_user_must_say_whether_it_is_active() -> None:
    """A record that leaves activity out does not make anyone active."""
    with pytest.raises(RecordRefused) as refused:
        plan_user(DirectoryUser(id="anna"), None, NOW)
    assert ("invalid-record", "active is missing") == (refused.value.code, refused.value.detail)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, True), ({"active": False}, False), ({"deleted": True}, False), ({"permissions": frozenset()}, False)],
)
def test_a_user_is_permitted_only_with_everything(changes: dict[str, Any], expected: bool) -> None:
    """Activity and the permission are both needed."""
    user = User(user_id="anna", active=True, permissions=frozenset({PERMISSION}))

    assert expected == is_permitted(replace(user, **changes))


def test_a_deal_keeps_its_former_contacts() -> None:
    """Contacts that a deal loses are former ones; one that comes back is not."""
    moved = plan_deal(DirectoryDeal(id="d1", state=DealState.OPEN, contacts=["b", "c"]), DEAL, NOW)
    back = plan_deal(DirectoryDeal(id="d1", state=DealState.OPEN, contacts=["a"]), moved, NOW)

    assert moved is not None
    assert back is not None
    assert (("b", "c"), ("a",)) == (moved.contact_ids, moved.former_contact_ids)
    assert (("a",), ("b", "c")) == (back.contact_ids, back.former_contact_ids)


def test_a_deleted_deal_has_only_former_contacts() -> None:
    """A deleted deal is nobody's, but tells whose it was; its title is gone, and its mark expires."""
    planned = plan_deal(DirectoryDeal(id="d1", deleted=True), DEAL, NOW)

    expected = replace(
        DEAL, title="", contact_ids=(), former_contact_ids=("a", "b"), deleted=True, expires_at=NOW + 90 * DAY
    )
    assert expected == planned


def test_deleting_what_is_unknown_stores_nothing() -> None:
    """A contact or deal nobody has heard of leaves no mark."""
    assert plan_contact(DirectoryContact(id="x", deleted=True), None, NOW) is None
    assert plan_deal(DirectoryDeal(id="x", deleted=True), None, NOW) is None


def test_a_deal_must_say_its_state() -> None:
    """A deal without a state is refused; with one, its closing date may be missing."""
    with pytest.raises(RecordRefused):
        plan_deal(DirectoryDeal(id="d1", closing_date=date(2026, 1, 1)), None, NOW)

    planned = plan_deal(DirectoryDeal(id="d1", state=DealState.WON), None, NOW)
    assert Deal(deal_id="d1", title="", state=DealState.WON, closing_date=None) == planned


def test_a_mark_does_not_move() -> None:
    """Deleting what is deleted changes nothing."""
    contact_once = plan_contact(DirectoryContact(id="mia", deleted=True), MIA, NOW)
    deal_once = plan_deal(DirectoryDeal(id="d1", deleted=True), DEAL, NOW)

    assert contact_once == plan_contact(DirectoryContact(id="mia", deleted=True), contact_once, NOW + DAY)
    assert deal_once == plan_deal(DirectoryDeal(id="d1", deleted=True), deal_once, NOW + DAY)
