"""Owns the timeline: mails with one or more contacts over every mailbox that the caller may see, merged by time.

Who may see what is decided anew at each page, mail by mail, on what was fetched just now; no mail is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec

from common import clock, sharing
from common.audiences import Scope, load_own_scope
from common.colleagues import Door, Doors, Facts, View, load_doors
from common.mail.addresses import normalise
from common.mail.view import summary_as_json
from common.paging import parse_page, seal_page
from common.store.client import store
from common.timeline_api import MOST_MAILBOXES, EmailsBody, EntryRow, MailboxRow, Timeline
from common.timeline_fetch import MOST_LOOKED_AT, Found, Look, Wanted, fetch_looks
from common.timeline_merge import Entry, Page, Position, plan_page
from common.timeline_owners import Owners, find_owners
from common.timeline_query import parse_search
from common.timeline_words import Audience, plan_audience

# What the owner's own state is: told of the caller's mail alone.
_OWN_FIELDS: Final = ("thread_id", "labels", "unread", "starred")


@dataclass(frozen=True)
class Loaded:
    """A page of a timeline, and the mailboxes that it was made of."""

    timeline: Timeline
    doors: Doors
    own: Door | None


@dataclass(frozen=True)
class _Cursor:
    """Where a page begins: the mailboxes that go on, with their positions, and the entries told before.

    ``left_out``: pages before have named, or left unnamed, mailboxes that this one does not ask.
    """

    positions: Mapping[str, Position | None] = field(default_factory=dict)
    remembered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: bool = False

    def sealed(self, *bound: str) -> str:
        owners = list(self.positions)
        rows = [[owner, _position_row(position)] for owner, position in self.positions.items()]
        told = [
            [identity, [owners.index(one) for one in whose if one in owners]]
            for identity, whose in self.remembered.items()
        ]
        return seal_page([rows, told, self.left_out], *bound)

    @staticmethod
    def parse(unverified_token: str, *bound: str) -> _Cursor | None:
        sealed = parse_page(unverified_token, *bound)
        if sealed is None:
            return None
        rows, told, left_out = sealed
        owners = [owner for owner, _ in rows]
        positions = {owner: _parse_position(row) for owner, row in rows}
        remembered = {identity: tuple(owners[one] for one in whose) for identity, whose in told}
        return _Cursor(positions, remembered, left_out)


def _position_row(position: Position | None) -> list[Any] | None:
    return [position.received_ms, position.passed] if position else None


def _parse_position(row: list[Any] | None) -> Position | None:
    return Position(row[0], tuple((at_ms, mail_id) for at_ms, mail_id in row[1])) if row else None


@dataclass(frozen=True)
class _Choice:
    """The mailboxes that are asked for this page, and those that could be and are not."""

    asked: Sequence[Door]
    disconnected: Sequence[Door]
    not_asked: Sequence[Door]


def load_timeline(view: View, body: EmailsBody, route: str) -> Loaded:
    """A page of mails with the view's contacts. ``route`` names what is looked at: page tokens are good for it alone.

    Raises BadRequest for a foreign token or a search that is not taken here; no trouble of any mailbox.
    """
    search = parse_search(body.q)
    bound = ("emails", route, view.viewer.user_id, _hash(body.q, *(body.mailboxes or ())))
    begin = _Cursor.parse(body.page_token, *bound)
    cursor = begin or _Cursor()
    owners = _owners(view, body, begin)
    doors = load_doors(view, owners.user_ids)
    choice = _choose(doors, view)
    looks = fetch_looks(choice.asked, cursor.positions, Wanted(view, search, body.page_size))
    page = plan_page([look.part for look in looks], body.page_size, cursor.remembered)
    left_out = cursor.left_out or owners.more
    closed = [*choice.disconnected, *choice.not_asked, *(look for look in looks if look.state == "disconnected")]
    following = _Cursor(page.positions, page.remembered, left_out or bool(closed))
    goes_on = any(look.part.owner in page.positions and not look.part.troubled for look in looks)
    timeline = Timeline(
        entries=_Rows(looks, view, doors, load_own_scope(view, doors, _own_facts(page, looks))).of(page),
        mailboxes=_mailbox_rows(
            choice,
            looks,
            page,
            view,
            doors,
            own_wanted=view.viewer.user_id in owners.user_ids,
            has_words=bool(search.q),
        ),
        more_mailboxes=left_out,
        next_page_token=following.sealed(*bound) if goes_on else "",
    )
    _count_reads(timeline, view)
    return Loaded(timeline, doors, doors.by_owner.get(view.viewer.user_id))


def _owners(view: View, body: EmailsBody, begin: _Cursor | None) -> Owners:
    if begin is not None:
        return Owners(tuple(begin.positions))
    return Owners(tuple(dict.fromkeys(body.mailboxes))) if body.mailboxes else find_owners(view)


def _choose(doors: Doors, view: View) -> _Choice:
    own = doors.by_owner.get(view.viewer.user_id)
    # A mailbox that the caller has connected too shows the same mails, and more.
    others = [
        door
        for door in doors.by_owner.values()
        if not door.own and (own is None or door.connection.mailbox_key != own.connection.mailbox_key)
    ]
    candidates = [own, *others] if own else others
    connected = [door for door in candidates if door.is_connected]
    return _Choice(
        asked=_in_order(connected[:MOST_MAILBOXES]),
        disconnected=_in_order(door for door in candidates if not door.is_connected),
        not_asked=_in_order(connected[MOST_MAILBOXES:]),
    )


def _in_order(doors: Iterable[Door]) -> list[Door]:
    """One's own first. The order in which they were found would tell who has had mail, be it hidden or not."""
    return sorted(doors, key=lambda door: (not door.own, door.owner))


def _mailbox_rows(
    choice: _Choice, looks: Sequence[Look], page: Page, view: View, doors: Doors, *, own_wanted: bool, has_words: bool
) -> list[MailboxRow]:
    rows = [
        MailboxRow(
            owner=look.door.owner,
            name=doors.name(look.door.owner),
            own=look.door.own,
            state=look.state,
            has_more=look.part.owner in page.positions,
            retry_at=look.retry_at,
            # Told of every search, found or not: that it gave up would answer for what is not to be seen.
            search_limit=MOST_LOOKED_AT if has_words and not look.door.own else 0,
        )
        for look in looks
    ]
    rows += [_closed_row(door, doors, "disconnected") for door in choice.disconnected]
    rows += [_closed_row(door, doors, "not_asked") for door in choice.not_asked]
    viewer = view.viewer.user_id
    if own_wanted and viewer not in doors.by_owner:
        rows.insert(0, MailboxRow(owner=viewer, name=doors.name(viewer), own=True, state="disconnected"))
    return rows


def _closed_row(door: Door, doors: Doors, state: Literal["disconnected", "not_asked"]) -> MailboxRow:
    return MailboxRow(owner=door.owner, name=doors.name(door.owner), own=door.own, state=state, has_more=True)


def _own_facts(page: Page, looks: Sequence[Look]) -> list[Facts]:
    found = {look.door.owner: look.found for look in looks if look.door.own}
    firsts = [entry.copies[0] for entry in page.entries]
    return [found[first.owner][first.mail_id].facts for first in firsts if first.owner in found]


class _Rows:
    """How a page's entries are shown."""

    def __init__(self, looks: Sequence[Look], view: View, doors: Doors, own_scope: Scope | None) -> None:
        self._looks = {look.door.owner: look for look in looks}
        self._view = view
        self._doors = doors
        self._own_scope = own_scope

    def of(self, page: Page) -> list[EntryRow]:
        return [self._row(entry) for entry in page.entries]

    def _row(self, entry: Entry) -> EntryRow:
        first = entry.copies[0]
        look = self._looks[first.owner]
        door, found = look.door, look.found[first.mail_id]
        shown = summary_as_json(found.summary)
        row: dict[str, Any] = {name: value for name, value in shown.items() if name not in _OWN_FIELDS or door.own}
        row |= {
            "owner": first.owner,
            "owner_name": self._doors.name(first.owner),
            "own": door.own,
            "direction": "out" if self._is_outgoing(entry, found) else "in",
            "contact_ids": _contacts_of(door, found, self._view),
            "audience": self._audience(door, found.facts),
            "copies": [{"owner": copy.owner, "id": copy.mail_id} for copy in entry.copies[1:]],
        }
        return msgspec.convert(row, EntryRow)

    def _audience(self, door: Door, facts: Facts) -> Audience:
        if door.own and self._own_scope is not None:
            return self._own_scope.audience(facts)
        return plan_audience(door, facts, self._view, self._doors)

    def _is_outgoing(self, entry: Entry, found: Found) -> bool:
        labels = (self._looks[copy.owner].found[copy.mail_id].summary.label_ids for copy in entry.copies)
        if any("SENT" in one for one in labels):
            return True
        if found.summary.from_ is None:
            return False
        sender = normalise(found.summary.from_.address)
        if sender in self._view.addresses and sender not in self._doors.inside:
            return False
        doors = [look.door.connection for look in self._looks.values()]
        ours = {one for connection in doors for one in (connection.address, *connection.aliases)}
        is_internal = sharing.is_in_domains(sender, self._view.policy.internal_domains)
        return is_internal or sender in ours | self._doors.inside


def _contacts_of(door: Door, found: Found, view: View) -> list[str]:
    if not door.own:
        return list(door.shared_by(found.facts))
    involved = found.facts.mail.addresses | found.facts.bcc
    return [
        contact.contact_id
        for contact in view.contacts
        if not involved.isdisjoint(entry.address for entry in contact.addresses)
    ]


def _count_reads(timeline: Timeline, view: View) -> None:
    """Each colleague whose mails are shown sees that they were: subjects and first words are read here, too."""
    read = {(row.owner, contact_id) for row in timeline.entries if not row.own for contact_id in row.contact_ids}
    count_reads(view, sorted(read))


def count_reads(view: View, read: Sequence[tuple[str, str]]) -> None:
    """Counts one read of each owner's mail with a contact, in one commit; nothing is shown uncounted."""
    if not read:
        return
    now = clock.now()
    expires_at = now + timedelta(days=view.policy.audit_retention_days)
    with store().batch() as batch:
        for owner, contact_id in read:
            store().audit.count_read(
                view.viewer.user_id, owner, contact_id, now.date().isoformat(), expires_at=expires_at, batch=batch
            )


def _hash(*parts: str) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
