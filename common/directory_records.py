"""Owns what an upserted record means: the form in which the CRM states it, and what becomes of the one known. Pure.

A record is stated whole: what it leaves out is empty. Of addresses the directory remembers since when they stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta, Struct

from common.auth import is_crm_id
from common.mail.addresses import is_address, normalise
from common.model import EVERYONE, PERMISSION, ROLE_PREFIX, Contact, ContactAddress, Deal, DealState, User

# A mark outlives every token and every retry; after that nobody asks for what is gone.
MARK_KEPT: Final = timedelta(days=90)
_CLOCKS_APART: Final = timedelta(seconds=30)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)

Id = Annotated[str, Meta(min_length=1, max_length=128)]
OptionalId = Annotated[str, Meta(max_length=128)]
Text = Annotated[str, Meta(max_length=500)]
AddressText = Annotated[str, Meta(max_length=320)]
Viewers = Annotated[list[Annotated[str, Meta(max_length=140)]], Meta(max_length=500)]


class DirectoryUser(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A user of the CRM. ``active`` is required unless ``deleted``."""

    id: Id
    active: bool | None = None
    role: OptionalId = ""
    permissions: Annotated[list[OptionalId], Meta(max_length=100)] = []
    email: AddressText = ""
    name: Text = ""
    deleted: bool = False


class DirectoryAddress(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """An address of a contact: since when it stands there (else now), and which user put it there."""

    address: AddressText
    added_at: Annotated[datetime, Meta(tz=True)] | None = None
    added_by: OptionalId = ""


class DirectoryContact(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A contact. ``visible_to`` names user ids, ``role:…`` or ``everyone``, besides the owner."""

    id: Id
    name: Text = ""
    addresses: Annotated[list[DirectoryAddress | AddressText], Meta(max_length=50)] = []
    owner: OptionalId = ""
    visible_to: Viewers = []
    deleted: bool = False


class DirectoryDeal(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A deal. ``state`` is required unless ``deleted``; ``closing_date`` an ISO date or null; ``contacts`` are ids."""

    id: Id
    title: Text = ""
    state: DealState | None = None
    closing_date: date | None = None
    contacts: Annotated[list[Id], Meta(max_length=500)] = []
    owner: OptionalId = ""
    visible_to: Viewers = []
    deleted: bool = False


class RecordRefused(Exception):
    """A record that cannot be taken. ``code`` is stable; ``detail`` names the place, never the value."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


def plan_user(given: DirectoryUser, known: User | None, now: datetime) -> User:
    """The user as it is to be stored. Raises RecordRefused.

    A deletion marks even a user nobody has heard of, so that a token issued before brings no one in.
    """
    user_id = _parse_id(given.id, "id")
    before = known or User(user_id=user_id, active=not given.deleted)
    if given.deleted:
        gone = replace(
            before,
            active=False,
            permissions=frozenset(),
            email="",
            name="",
            heard_at=now,
            deleted=True,
            expires_at=before.expires_at or now + MARK_KEPT,
        )
        return _plan_end(gone, known, now)
    if given.active is None:
        raise RecordRefused("invalid-record", "active is missing")
    told = replace(
        before,
        active=given.active,
        role=given.role,
        permissions=frozenset(name for name in given.permissions if name),
        email=_parse_address(given.email, "email") if given.email else "",
        name=given.name,
        heard_at=now,
        deleted=False,
        expires_at=None,
    )
    return replace(told, inactive_since=None) if is_permitted(told) else _plan_end(told, known, now)


def _plan_end(told: User, known: User | None, now: datetime) -> User:
    # Who loses the permission has left as well; what else is told of them later does not put that off.
    is_ending = known is not None and is_permitted(known)
    return replace(told, inactive_since=told.inactive_since or now, suspension_owed=told.suspension_owed or is_ending)


def is_permitted(user: User) -> bool:
    """Whether the directory lets anything be done for this user at all."""
    return user.active and not user.deleted and PERMISSION in user.permissions


def plan_contact(given: DirectoryContact, known: Contact | None, now: datetime) -> Contact | None:
    """The contact as it is to be stored; None where an unknown one is deleted. Raises RecordRefused.

    A deleted contact keeps its addresses until the mark expires: mail filed because of it is found by them.
    """
    contact_id = _parse_id(given.id, "id")
    if given.deleted:
        return known and replace(known, name="", deleted=True, expires_at=known.expires_at or now + MARK_KEPT)
    before = known or Contact(contact_id=contact_id, name="", addresses=())
    return replace(
        before,
        name=given.name,
        addresses=_plan_addresses(given.addresses, before.addresses, now),
        owner=_parse_optional_id(given.owner, "owner"),
        visible_to=_parse_viewers(given.visible_to),
        deleted=False,
        expires_at=None,
    )


def _plan_addresses(
    given: Iterable[DirectoryAddress | str], known: Iterable[ContactAddress], now: datetime
) -> tuple[ContactAddress, ...]:
    known_by_address = {entry.address: entry for entry in known}
    planned: dict[str, ContactAddress] = {}
    for index, one in enumerate(given):
        entry = one if isinstance(one, DirectoryAddress) else DirectoryAddress(address=one)
        place = f"addresses[{index}]"
        address = _parse_address(entry.address, place)
        if address not in planned:
            planned[address] = _plan_address(entry, address, known_by_address.get(address), now, place)
    return tuple(planned[address] for address in sorted(planned))


def _plan_address(
    entry: DirectoryAddress, address: str, known: ContactAddress | None, now: datetime, place: str
) -> ContactAddress:
    added_by = _parse_optional_id(entry.added_by, f"{place}.added_by")
    given_at = entry.added_at
    if given_at is not None and given_at > now + _CLOCKS_APART:
        raise RecordRefused("added-at-in-future", place)
    if known is None:
        since = max(min(given_at, now), _EARLIEST).astimezone(UTC) if given_at is not None else now
        return ContactAddress(address=address, added_at=since, added_by=added_by)
    # Never back: an earlier time would open mail that colleagues were not to see.
    later = min(given_at, now).astimezone(UTC) if given_at is not None and given_at > known.added_at else known.added_at
    return ContactAddress(address=address, added_at=later, added_by=known.added_by or added_by)


def plan_deal(given: DirectoryDeal, known: Deal | None, now: datetime) -> Deal | None:
    """The deal as it is to be stored; None where an unknown one is deleted. Raises RecordRefused.

    The contacts that it no longer has are kept as former ones, so that their mail is sorted anew.
    """
    deal_id = _parse_id(given.id, "id")
    if given.deleted:
        return known and replace(
            known,
            title="",
            contact_ids=(),
            former_contact_ids=_former(known, ()),
            deleted=True,
            expires_at=known.expires_at or now + MARK_KEPT,
        )
    if given.state is None:
        raise RecordRefused("invalid-record", "state is missing")
    before = known or Deal(deal_id=deal_id, title="", state=given.state, closing_date=None)
    contact_ids = tuple(sorted({_parse_id(one, "contacts") for one in given.contacts}))
    return replace(
        before,
        title=given.title,
        state=given.state,
        closing_date=given.closing_date,
        contact_ids=contact_ids,
        former_contact_ids=_former(before, contact_ids),
        owner=_parse_optional_id(given.owner, "owner"),
        visible_to=_parse_viewers(given.visible_to),
        deleted=False,
        expires_at=None,
    )


def _former(before: Deal, contact_ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({*before.contact_ids, *before.former_contact_ids} - set(contact_ids)))


def _parse_id(unverified_id: str, place: str) -> str:
    if not is_crm_id(unverified_id):
        raise RecordRefused("invalid-id", place)
    return unverified_id


def _parse_optional_id(unverified_id: str, place: str) -> str:
    return _parse_id(unverified_id, place) if unverified_id else ""


def _parse_viewers(unverified_viewers: Iterable[str]) -> tuple[str, ...]:
    viewers = set()
    for one in unverified_viewers:
        name = one.removeprefix(ROLE_PREFIX)
        if one != EVERYONE and not is_crm_id(name):
            raise RecordRefused("invalid-id", "visible_to")
        viewers.add(one)
    return tuple(sorted(viewers))


def _parse_address(unverified_address: str, place: str) -> str:
    if not is_address(unverified_address.strip()):
        raise RecordRefused("invalid-address", place)
    return normalise(unverified_address)
