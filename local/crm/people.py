"""The demo CRM's people and records: three users, a back end, and contacts and deals of every kind.

Pure data, relative to a date. Owns the JSON bodies of ``POST /directory``; may import nothing of ``local``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

EVERYONE = ("everyone",)
SALES = ("role:sales",)


@dataclass(frozen=True)
class Person:
    """Someone who calls the product: a user with a mailbox, or the CRM's back end."""

    id: str
    name: str
    email: str
    role: str
    permissions: tuple[str, ...]


ANNA = Person("anna", "Anna Berger", "anna@demo-crm.example", "sales", ("mail_integration",))
BEN = Person("ben", "Ben Okafor", "ben@demo-crm.example", "sales", ("mail_integration",))
CARLA = Person("carla", "Carla Nowak", "carla@demo-crm.example", "administrator", ("mail_integration",))
USERS = (ANNA, BEN, CARLA)
BACKEND = Person("crm-backend", "Demo CRM", "backend@demo-crm.example", "service", ("directory_write",))


@dataclass(frozen=True)
class _Contact:
    id: str
    name: str
    addresses: tuple[tuple[str, int], ...]  # each with the days since it was put on the contact
    owner: Person
    visible_to: tuple[str, ...] = EVERYONE


@dataclass(frozen=True)
class _Deal:
    id: str
    title: str
    state: str
    closing: str  # a key of _closing_dates
    contacts: tuple[str, ...]
    owner: Person
    visible_to: tuple[str, ...] = EVERYONE


_CONTACTS = (
    _Contact("mia", "Mia Schneider", (("mia@customer.example", 400),), ANNA),
    _Contact("jonas", "Jonas Weber", (("jonas.weber@weber-bau.example", 380),), ANNA),
    _Contact("emily", "Emily Carter", (("emily@carter-design.example", 350),), ANNA, SALES),
    _Contact("lukas", "Lukas Groß", (("lukas.gross@gross-logistik.example", 300),), BEN),
    _Contact("oliver", "Oliver Brown", (("oliver@brown-consulting.example", 200),), BEN),
    # One address for two people: what counts is the union of their deals.
    _Contact("greta", "Greta Hoffmann", (("buero@hoffmann-soehne.example", 500),), ANNA),
    _Contact("karl", "Karl Hoffmann", (("buero@hoffmann-soehne.example", 500),), BEN),
    # Two addresses, one of them new: a colleague's older mail with it stays closed.
    _Contact("sofia", "Sofia Rossi", (("sofia@rossi-vini.example", 450), ("sofia.rossi@post.example", 3)), BEN),
    _Contact("petra", "Petra Lang", (("petra.lang@lang-praxis.example", 150),), ANNA, ("anna",)),
    _Contact("frank", "Frank Vogel", (("frank@vogel-metall.example", 250),), BEN),
    _Contact("noah", "Noah Williams", (("noah@williams-foods.example", 90),), CARLA),
    _Contact("emma", "Emma Davies", (("emma.davies@davies-legal.example", 120),), ANNA),
    _Contact("lena", "Lena Krüger", (("lena@krueger-energie.example", 600),), ANNA),
    # Written as people write addresses: case does not count.
    _Contact("william", "William Taylor", (("William.Taylor@Taylor-Partners.example", 60),), BEN, ("ben", "carla")),
    _Contact("yasmin", "Yasmin Özdemir", (("yasmin@oezdemir-textil.example", 30),), CARLA, ("carla", "role:sales")),
)

_DEALS = (
    _Deal("d-01", "Rahmenvertrag Büroausstattung", "open", "end of this month", ("mia", "lena"), ANNA),
    _Deal("d-02", "Neubau Lagerhalle", "open", "next month", ("jonas", "karl"), ANNA),
    _Deal("d-03", "Brand redesign", "won", "last month", ("emily", "lena", "sofia"), ANNA),
    _Deal("d-04", "Flottenmanagement", "lost", "last month", ("lukas",), BEN),
    _Deal("d-05", "Wartungsvertrag Heizung", "won", "last year", ("greta",), ANNA),
    _Deal("d-06", "Praxissoftware", "open", "today", ("petra",), ANNA, ("anna",)),
    # Ben alone sees this one: the same contact has another category for him than for Anna.
    _Deal("d-07", "Sondermaschine, vertraulich", "open", "end of this month", ("frank",), BEN, ("ben",)),
    # Won this month is not closing this month.
    _Deal("d-08", "Regional supply contract", "won", "today", ("frank", "noah"), CARLA),
    # Open past its date is open all the same, and closes in no month to come.
    _Deal("d-09", "Litigation support", "open", "last month", ("emma",), ANNA),
    _Deal("d-10", "Partner programme", "open", "next year", ("william", "yasmin"), BEN, SALES),
)


def directory(today: date) -> dict[str, list[dict[str, Any]]]:
    """The whole directory as of ``today`` (a date in the organisation's time zone), as ``POST /directory`` takes it."""
    dates = _closing_dates(today)
    return {
        "users": [_user(person) for person in USERS],
        "contacts": [_contact(contact, today) for contact in _CONTACTS],
        "deals": [_deal(deal, dates) for deal in _DEALS],
    }


def _user(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "active": True,
        "role": person.role,
        "permissions": list(person.permissions),
        "email": person.email,
        "name": person.name,
    }


def _contact(contact: _Contact, today: date) -> dict[str, Any]:
    return {
        "id": contact.id,
        "name": contact.name,
        "addresses": [
            {"address": address, "added_at": _midnight(today - timedelta(days=days))}
            for address, days in contact.addresses
        ],
        "owner": contact.owner.id,
        "visible_to": list(contact.visible_to),
    }


def _deal(deal: _Deal, dates: dict[str, date]) -> dict[str, Any]:
    return {
        "id": deal.id,
        "title": deal.title,
        "state": deal.state,
        "closing_date": dates[deal.closing].isoformat(),
        "contacts": list(deal.contacts),
        "visible_to": list(deal.visible_to),
        "owner": deal.owner.id,
    }


def _closing_dates(today: date) -> dict[str, date]:
    first = today.replace(day=1)
    next_month = (first + timedelta(days=31)).replace(day=1)
    return {
        "today": today,
        "end of this month": next_month - timedelta(days=1),
        "last month": first - timedelta(days=1),
        "next month": next_month,
        "last year": first - timedelta(days=366),
        "next year": first + timedelta(days=400),
    }


def _midnight(day: date) -> str:
    return datetime.combine(day, time(), UTC).isoformat().replace("+00:00", "Z")
