"""The sentences beside a mail: who may see it and why, where a category comes from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.categories import Decision
from common.colleagues import Door, Doors, Facts, View
from common.model import (
    Category,
    Connection,
    Contact,
    ContactAddress,
    Deal,
    DealState,
    Policy,
    Share,
    SharingLevel,
    User,
)
from common.sharing import MailFacts
from common.timeline_words import Audience, plan_audience, plan_category_text

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MIA = "mia@customer.example"
PRIVATE, CUSTOM, PUBLIC = SharingLevel
DOORS = Doors(names={"anna": "Anna Berger", "ben": "Ben Okafor", "carla": "Carla Nowak"})
CONTACT = Contact(
    contact_id="mia", name="Mia", owner="anna", visible_to=("ben", "role:sales"),
    addresses=(ContactAddress(address=MIA, added_at=NOW),),
)  # fmt: skip
SHARE = Share(owner="anna", contact_id="mia", addresses=(MIA,), mailbox_key="m", shared=True, at=NOW)


def door(
    level: SharingLevel = CUSTOM, *, opens: bool = True, shares: dict[str, Share] | None = None, **more: Any
) -> Door:
    connection = Connection(
        user_id="anna", address="anna@demo-crm.example", mailbox_key="m", generation="g", secret="s",
        scopes=frozenset(), connected_at=NOW, hidden_label_id="Label_9",
    )  # fmt: skip
    opening: dict[str, dict[str, datetime | None]] = {"mia": {MIA: None} if opens else {}}
    held = {"mia": SHARE} if shares is None else shares
    return Door(connection, own=True, level=level, opening=opening, shares=held, **more)


def facts(*addresses: str, labels: tuple[str, ...] = ("INBOX",), at: datetime = NOW) -> Facts:
    return Facts(MailFacts(frozenset((MIA, *addresses)), at, frozenset(labels)))


def audience(of: Door, mail: Facts, viewer: str = "anna", contact: Contact = CONTACT) -> Audience:
    user = User(user_id=viewer, active=True, role="sales")
    return plan_audience(of, mail, View(user, Policy(), (contact,)), DOORS)


def test_a_shared_contact_names_who_may_see_it() -> None:
    """The owner reads who else sees the mail, and because of what."""
    told = audience(door(), facts())

    assert (True, "shared_contact") == (told.shared, told.reason)
    assert "Visible to: you, Ben Okafor, role sales (shared contact)." == told.text["en"]
    assert "Sichtbar für: Sie, Ben Okafor, Rolle sales (freigegebener Kontakt)." == told.text["de"]
    assert [("user", "anna"), ("user", "ben"), ("role", "sales")] == [(one.kind, one.id) for one in told.members]


def test_a_colleague_reads_the_same_from_the_other_side() -> None:
    """To the viewer, "you" is the viewer, also one who comes in by a role."""
    assert "Visible to: you, Anna Berger, role sales (shared contact)." == audience(door(), facts(), "ben").text["en"]
    assert audience(door(), facts(), "carla").text["en"].startswith("Visible to: you, Anna Berger, Ben Okafor, role")


def test_everyone_takes_the_place_of_names() -> None:
    """Where all of the CRM may see a contact, nobody is named one by one."""
    everyone = replace(CONTACT, visible_to=("ben", "everyone"))

    told = audience(door(PUBLIC), facts(), contact=everyone)

    assert "Visible to: you, everyone in the CRM (all mail with contacts is shared)." == told.text["en"]


def test_long_lists_are_cut() -> None:
    """Beyond six, the sentence counts; the data names all."""
    many = replace(CONTACT, visible_to=tuple(f"user{number}" for number in range(9)))

    told = audience(door(), facts(), contact=many)

    assert told.text["en"].endswith("user4, 4 more (shared contact).")
    assert 10 == len(told.members)


@pytest.mark.parametrize(
    ("of", "mail", "reason"),
    [
        (door(PRIVATE, opens=False), facts(), "private"),
        (door(CUSTOM, opens=False, shares={}), facts(), "contact_not_shared"),
        (door(), facts(labels=("INBOX", "Label_9")), "hidden"),
        (door(excluded_domains=("bank.example",)), facts("x@bank.example"), "excluded_domain"),
        (door(opens=False), facts(), "address_not_open"),
        (door(PUBLIC, opens=False), facts(at=NOW - timedelta(days=9)), "address_not_open"),
        (replace(door(), opening={"mia": {MIA: NOW}}), facts(at=NOW - timedelta(days=9)), "address_not_open"),
    ],
)
def test_mail_that_nobody_else_sees_says_why(of: Door, mail: Facts, reason: str) -> None:
    """Mail of one's own says that it is visible to oneself alone, and what keeps it so."""
    told = audience(of, mail)

    assert (False, reason) == (told.shared, told.reason)
    assert told.text["en"].startswith("Visible to you alone: ")
    assert told.text["de"].startswith("Nur für Sie sichtbar: ")
    assert ["anna"] == [one.id for one in told.members]


def test_a_mail_with_unread_addresses_is_shared_with_nobody() -> None:
    """Where headers are too long to be read whole, an excluded domain may stand in them."""
    assert not audience(door(), replace(facts(), complete=False)).shared


@pytest.mark.parametrize(
    ("category", "english"),
    [
        (Category.CLOSING_THIS_MONTH, "An open deal closes this month: Büro."),
        (Category.OPEN_DEALS, "There is an open deal, and none closes this month: Büro."),
        (Category.CUSTOMERS, "A deal was won, and none is open: Büro."),
        (Category.NONE, "No deal is open or won."),
    ],
)
def test_a_category_names_the_deals_that_decided(category: Category, english: str) -> None:
    """Each category has its reason in words."""
    deals = [Deal(deal_id="d1", title="Büro", state=DealState.OPEN, closing_date=None)]
    deciding = ("d1",) if category is not Category.NONE else ()

    assert english == plan_category_text(Decision(category, ("d1",), deciding), deals)["en"]
