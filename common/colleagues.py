"""Owns into whose mailboxes a user may look for a contact's mail: it reads all that decides, anew for each request.

The decisions themselves are ``sharing``'s. Asks Gmail nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from common import clock, sharing
from common.directory import directory
from common.errors import NotFound
from common.gmail.client import Gmail, open_gmail
from common.gmail.results import Message
from common.mail.addresses import normalise, parse_address_list
from common.mail.headers import all_values
from common.mail.limits import MAX_HEADER_CHARS
from common.mail.reading import header_pairs
from common.model import EVERYONE, ROLE_PREFIX, Connection, ConnectionStatus, Contact, Policy, Share, SharingLevel, User
from common.oauth import MODIFY, READONLY
from common.sharing import MailFacts, Owner, may_see
from common.store.client import store

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Viewers of one contact whose names are looked up.
_MOST_NAMED: Final = 30
# Whatever looks like an address's end, also where a header is too broken for one to be parsed.
_MENTIONED: Final = re.compile(r"@[^\s\"'(),:;<>@\[\]\\]{1,255}")
Opening = Mapping[str, datetime | None]


@dataclass(frozen=True)
class View:
    """Who looks at which contacts, all of which the viewer may see, under which policy."""

    viewer: User
    policy: Policy
    contacts: tuple[Contact, ...]

    @cached_property
    def addresses(self) -> frozenset[str]:
        """The contacts' addresses."""
        return frozenset(entry.address for contact in self.contacts for entry in contact.addresses)

    @property
    def contact_ids(self) -> list[str]:
        return [contact.contact_id for contact in self.contacts]


@dataclass(frozen=True)
class Facts:
    """What decides on a fetched mail. ``complete``: no address of its headers was left unread."""

    mail: MailFacts
    bcc: frozenset[str] = frozenset()
    complete: bool = True


@dataclass(frozen=True)
class Door:
    """A mailbox, and what of it colleagues may see: by contact, the addresses that open it and since when.

    ``own``: the viewer's. ``shares`` are the owner's of this mailbox, by contact.
    """

    connection: Connection
    own: bool
    level: SharingLevel
    opening: Mapping[str, Opening]
    excluded_domains: tuple[str, ...] = ()
    shares: Mapping[str, Share] = field(default_factory=dict)
    retry_after: datetime | None = None

    @property
    def owner(self) -> str:
        return self.connection.user_id

    @property
    def shared_contacts(self) -> frozenset[str]:
        """The contacts that the owner has shared by themselves."""
        return frozenset(contact_id for contact_id, share in self.shares.items() if share.shared)

    @property
    def is_connected(self) -> bool:
        """Whether Google lets us read there."""
        connected = self.connection.status is ConnectionStatus.CONNECTED
        return connected and not self.connection.scopes.isdisjoint({READONLY, MODIFY})

    @property
    def is_open(self) -> bool:
        """Whether there is anything that colleagues may see."""
        return any(self.opening.values())

    @property
    def leads_anywhere(self) -> bool:
        """Whether the viewer is to hear of this mailbox at all."""
        return self.own or self.is_open

    def shared_by(self, facts: Facts) -> tuple[str, ...]:
        """The contacts by which colleagues may see the mail; none where it is not shared."""
        if not facts.complete:
            return ()
        return tuple(
            contact_id
            for contact_id, opening in self.opening.items()
            if sharing.is_mail_shared(
                facts.mail,
                opening,
                excluded_domains=self.excluded_domains,
                hidden_label_id=self.connection.hidden_label_id,
            )
        )

    def is_visible(self, facts: Facts, view: View) -> bool:
        """Whether the viewer may see this mail as one of the contacts'."""
        if not self.own:
            return bool(self.shared_by(facts))
        if not facts.mail.label_ids.isdisjoint(sharing.UNSHARED_LABELS):
            return False
        return not view.addresses.isdisjoint(facts.mail.addresses | facts.bcc)

    def asked_addresses(self, view: View) -> dict[str, datetime | None]:
        """The addresses whose mail is asked for, each from its time on: the least limited of all contacts'."""
        if self.own:
            return dict.fromkeys(view.addresses)
        asked: dict[str, datetime | None] = {}
        for opening in self.opening.values():
            for address, since in opening.items():
                known = asked.get(address, since)
                asked[address] = None if known is None or since is None else min(known, since)
        return asked

    def open(self, viewer: User, timeout_s: float | None = None) -> Gmail:
        """The mailbox, on the viewer's budget for it. Raises RateLimited while Google asks us to wait."""
        return open_gmail(self.connection, viewer=viewer.user_id, timeout_s=timeout_s, retry_after=self.retry_after)


@dataclass(frozen=True)
class Doors:
    """The mailboxes that the viewer may look into, by their owner, in the order asked for; and names of people."""

    by_owner: Mapping[str, Door] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    inside: frozenset[str] = frozenset()

    def name(self, user_id: str) -> str:
        """A user's name as the directory has it, else the id."""
        return self.names.get(user_id) or user_id


@dataclass(frozen=True)
class Loaded:
    """What was read for this request: connections and users by id, shares by owner and contact, addresses inside."""

    connections: Mapping[str, Connection]
    users: Mapping[str, User]
    shares: Mapping[tuple[str, str], Share]
    inside: frozenset[str]


def load_visible_contact(contact_id: str, viewer: User) -> Contact:
    """The contact. Raises NotFound where there is none, or the viewer may not see it."""
    contact = directory().contact(contact_id)
    if contact is None or not may_see(contact, viewer):
        raise NotFound
    return contact


def load_doors(view: View, owners: Iterable[str]) -> Doors:
    """Those of the owners' mailboxes that are the viewer's own or show the viewer anything of the contacts."""
    wanted = list(dict.fromkeys(owners))
    loaded = _load(view, wanted)
    now = clock.now()
    doors = [plan_door(view, loaded.connections[one], loaded, now) for one in wanted if one in loaded.connections]
    visible = [door for door in doors if door.leads_anywhere]
    held = store().mailboxes.load_many(door.connection.mailbox_key for door in visible) if visible else {}
    limits = {key: record.value.retry_after for key, record in held.items()}
    by_owner = {door.owner: replace(door, retry_after=limits.get(door.connection.mailbox_key)) for door in visible}
    names = {user_id: user.name or user.email for user_id, user in loaded.users.items()}
    return Doors(by_owner, names, loaded.inside)


def _load(view: View, owners: list[str]) -> Loaded:
    records = store()
    people = {*owners, *(one for contact in view.contacts for one in named_viewers(contact))}

    def load_connections() -> dict[str, Connection]:
        return {one: held.value for one, held in records.connections.load_many(owners).items()}

    connections, users, shares, inside = in_threads(
        load_connections,
        lambda: directory().load_users(people),
        lambda: records.shares.load_of(owners, view.contact_ids),
        lambda: records.connections.find_inside(view.addresses),
    )
    return Loaded(connections, users, shares, inside)


def named_viewers(contact: Contact) -> list[str]:
    """The users who may see the contact because they are named, its owner first; not all where there are many."""
    named = [one for one in contact.visible_to if one != EVERYONE and not one.startswith(ROLE_PREFIX)]
    return [one for one in dict.fromkeys([contact.owner, *named]) if one][:_MOST_NAMED]


def in_threads(*calls: Callable[[], Any]) -> list[Any]:
    """The answers of calls made at once, in their order. Raises the error of the first that failed."""
    with ThreadPoolExecutor(len(calls), "colleagues") as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


def plan_door(view: View, connection: Connection, loaded: Loaded, now: datetime) -> Door:
    """What the viewer may see of this mailbox, which is often nothing."""
    user = loaded.users.get(connection.user_id)
    own = connection.user_id == view.viewer.user_id
    opening: dict[str, Opening] = {}
    shares: dict[str, Share] = {}
    for contact in view.contacts:
        share = loaded.shares.get((connection.user_id, contact.contact_id))
        # Asked as if it were connected: that Google takes the grant no more is told, and does not look like "no mail".
        connected = replace(connection, status=ConnectionStatus.CONNECTED)
        owner = Owner(connected, user, share)
        opening[contact.contact_id] = sharing.opening_addresses(
            contact, owner, view.policy, inside=loaded.inside, now=now
        )
        if share is not None and share.mailbox_key == connection.mailbox_key:
            shares[contact.contact_id] = share
    terms = sharing.effective_terms(connection, view.policy)
    return Door(
        connection=connection,
        own=own,
        level=sharing.effective_level(connection, view.policy, user or view.viewer),
        opening=opening,
        excluded_domains=(*connection.excluded_domains, *terms.excluded_domains),
        shares=shares,
    )


def parse_facts(resource: Message) -> Facts:
    """What decides on the mail: From, To and Cc as they stand there, received time, labels."""
    headers = header_pairs(resource)
    values = {name: all_values(headers, name) for name in ("From", "To", "Cc", "Bcc")}
    parsed = {name: parse_address_list(found) for name, found in values.items()}
    shown = [one.address for name in ("From", "To", "Cc") for one in parsed[name].found]
    complete = all(one.complete for one in parsed.values())
    mail = MailFacts(
        addresses=frozenset(normalise(address) for address in shown),
        received_at=_EPOCH + timedelta(milliseconds=int(resource.get("internalDate", 0))),
        label_ids=frozenset(resource.get("labelIds", ())),
        mentioned=frozenset(
            normalise(found)
            for name in ("From", "To", "Cc")
            for value in values[name]
            for found in _MENTIONED.findall(value[:MAX_HEADER_CHARS])
        ),
    )
    return Facts(mail, frozenset(normalise(one.address) for one in parsed["Bcc"].found), complete)
