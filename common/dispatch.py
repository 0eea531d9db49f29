"""Owns the dispatch: what changed in the directory or with the month becomes work, and work due becomes tasks.

Its cost is what changed and what is due, never how many users there are. It may die anywhere and run twice: how far it
came is saved last, and what it does again comes to the same. Asks Gmail nothing.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain, islice
from typing import Any, Final, TypeVar

from common import clock, log, magnet_tasks, tasks
from common.categories import categorise
from common.config import config
from common.directory import Changes, directory
from common.filing import filing_for
from common.keys import keys
from common.magnet import allowed
from common.model import EVERYONE, ROLE_PREFIX, Category, Connection, Contact, Deal, DispatchState, Policy, User, Work
from common.store.client import Context, Lost, Versioned, store

# Directory records are dated by Firestore; so much may lie between its clock and what a query has seen.
OVERLAP: Final = timedelta(minutes=2)
_TICK: Final = timedelta(microseconds=1)
_SLOT_S: Final = 600
_WORK_PAGE: Final = 300
# One by one, each in a round trip, 10,000 tasks would take longer than the scheduler waits.
_TASKS_AT_ONCE: Final = 16
# Of new contacts, deals and users, and of a month's deals, in one run: 12,000 records each.
MOST_PAGES: Final = 40
_SENDERS_AT_ONCE: Final = 300
_MARKS_AT_ONCE: Final = 400

Found = tuple[str, Versioned[Any]]
T = TypeVar("T")
R = TypeVar("R")


def dispatch() -> None:
    """One run: changes since the last, the turn of a month, then a task for each user who has work due.

    What is due waits neither for a directory that cannot be read now nor for the whole of a large full load: a run
    follows so many changes, and the next one goes on.
    """
    marked = count = 0
    try:
        run = _Run()
        for follow in (run.follow_contacts, run.follow_deals, run.follow_month):
            follow()
            marked = run.marked
    finally:
        count = leave_due()
        log.event("dispatch", count=count, found=marked)


def plan_slot(now: datetime) -> str:
    """The ten minutes in which ``now`` lies."""
    return str(int(now.timestamp()) // _SLOT_S)


def leave_due() -> int:
    """Leaves a task for each user who has work due, once for each piece of work and ten minutes; returns how many."""
    now, after, count = clock.now(), None, 0

    def leave(work: Work) -> bool:
        return leave_sweep(work.user_id, work.generation, slot=f"{plan_slot(now)} {work.mark}")

    while True:
        page = store().work.due(now, _WORK_PAGE, after)
        count += sum(at_once(leave, [held.value for held in page]))
        if len(page) < _WORK_PAGE:
            return count
        after = page[-1]


def leave_sweep(
    user_id: str,
    generation: str,
    *,
    slot: str,
    kind: str = "sweep",
    at: datetime | None = None,
    attempt: int = 0,
) -> bool:
    """Leaves a task of ``label_sweep`` for one user; False where there is one of this slot already."""
    settings = config()
    return tasks.enqueue(
        settings.sweep_queue,
        tasks.user_url(settings.label_sweep_url, user_id),
        {"kind": kind, "user": user_id, "generation": generation, "attempt": attempt},
        user_id=user_id,
        generation=generation,
        slot=slot,
        audience=settings.label_sweep_url,
        at=at,
    )


def plan_cursor(cursor: datetime | None, newest: datetime | None, *, is_end: bool) -> datetime | None:
    """How far the directory has been read, in Firestore's time, after changes of which the last is of ``newest``.

    The next run reads ``OVERLAP`` before it again; once that has brought nothing new, it is not read a third time.
    Before the end of the changes, records of the same time may still be unread. Never back: another run may be ahead.
    """
    if newest is None:
        return cursor
    if cursor is None or newest > cursor or not is_end:
        return max(newest, cursor or newest)
    return max(newest + OVERLAP + _TICK, cursor)


def plan_months(state: DispatchState, today: date, time_zone: str) -> tuple[date, date] | None:
    """From which to which day open deals close whose category the turn of a month changes; None where none turned.

    All months from the one last seen to this one, also those in which nothing ran. Another time zone may be in
    another month, and is looked at likewise.
    """
    month = f"{today:%Y-%m}"
    if not state.month or (state.month == month and state.time_zone == time_zone):
        return None
    first, last = sorted([state.month, month])
    year, number = int(last[:4]), int(last[5:])
    return date.fromisoformat(f"{first}-01"), date(year, number, calendar.monthrange(year, number)[1])


class _Run:
    """One dispatch under way."""

    def __init__(self) -> None:
        self.marked = 0
        self._state = store().dispatch.load_state()
        self._policy = store().policies.load_policy()
        self._today = clock.today(self._policy.value.time_zone)

    def follow_contacts(self) -> None:
        """The senders of contacts that changed, and searches for mail from addresses that are new to somebody."""
        cursor = self._state.value.contacts_cursor
        page, news = "", 0
        while news < MOST_PAGES:
            changes = directory().changed_contacts(cursor - OVERLAP if cursor else None, page=page)
            addresses = {entry.address for contact in changes.records for entry in contact.addresses}
            self._follow({contact.contact_id for contact in changes.records}, addresses)
            # The overlap brings them again, and again after a death: their tasks' names tell that they are left.
            self._search(contact for contact in changes.records if not contact.deleted)
            self._save(contacts_cursor=_cursor_after(changes, self._state.value.contacts_cursor))
            if not changes.next_page:
                return
            page, news = changes.next_page, news + is_ahead(changes.records, cursor)

    def follow_deals(self) -> None:
        """The senders of the contacts that changed deals have or once had."""
        cursor = self._state.value.deals_cursor
        page, news = "", 0
        while news < MOST_PAGES:
            changes = directory().changed_deals(cursor - OVERLAP if cursor else None, page=page)
            self._follow_deals(changes.records)
            self._save(deals_cursor=_cursor_after(changes, self._state.value.deals_cursor))
            if not changes.next_page:
                return
            page, news = changes.next_page, news + is_ahead(changes.records, cursor)

    def follow_month(self) -> None:
        """At the turn of a month, the senders of the open deals that close in the old or the new one.

        Behind the last page that a run has followed the next one goes on, be it that it died or that they were many.
        """
        time_zone = self._policy.value.time_zone
        month = f"{self._today:%Y-%m}"
        turn = f"{month} {time_zone}"
        for _ in range(MOST_PAGES):
            state = self._state.value
            days = plan_months(state, self._today, time_zone)
            if days is None:
                break
            changes = directory().open_deals_closing(*days, page=state.turn_page if state.turn == turn else "")
            self._follow_deals(changes.records)
            if not changes.next_page:
                break
            self._save(turn=turn, turn_page=changes.next_page)
        else:
            return
        self._save(month=month, time_zone=time_zone, turn="", turn_page="")

    def _follow_deals(self, deals: Iterable[Deal]) -> None:
        ids = {one for deal in deals for one in (*deal.contact_ids, *deal.former_contact_ids)}
        contacts = directory().contacts(ids) if ids else {}
        self._follow(ids, {entry.address for contact in contacts.values() for entry in contact.addresses})

    def _follow(self, contact_ids: set[str], addresses: set[str]) -> None:
        """Marks the senders of these contacts and addresses whose category has changed for their user."""
        senders = store().senders
        found = chain(senders.find_by_addresses(addresses), senders.of_contacts(contact_ids))
        for piece in _pieces(found):
            self.marked += self._mark(piece)

    def _mark(self, found: list[Found]) -> int:
        of_user: dict[str, list[Versioned[Any]]] = {}
        for user_id, sender in found:
            of_user.setdefault(user_id, []).append(sender)
        people = _load_people(of_user, self._policy)
        addresses = {sender.value.address for user_id in people for sender in of_user[user_id]}
        contacts = directory().contacts_by_addresses(addresses) if addresses else {}
        ids = {contact.contact_id for one in contacts.values() for contact in one}
        deals = directory().deals_of_contacts(ids) if ids else []
        count = 0
        for user_id, person in people.items():
            meanings = categorise(contacts, deals, person.user, self._today)
            changed = [
                sender.value.address
                for sender in of_user[user_id]
                if sender.value.mailbox_key == person.connection.mailbox_key
                and sender.value.category
                != (meanings[sender.value.address].category if sender.value.address in meanings else Category.NONE)
            ]
            count += _save_marks(person, changed)
        return count

    def _search(self, contacts: Iterable[Contact]) -> None:
        """Leaves a search for mail from contacts with an address that is new to a user whom they name."""
        named: dict[str, list[Contact]] = {}
        for contact in contacts:
            for user_id in {contact.owner, *contact.visible_to} - {"", EVERYONE}:
                if not user_id.startswith(ROLE_PREFIX):
                    named.setdefault(user_id, []).append(contact)
        for piece in _pieces(iter(named.items())):
            for user_id, person in _load_people(dict(piece), self._policy).items():
                if allowed(person.context) is not None:
                    _leave_searches(person.connection, named[user_id])

    def _save(self, **changes: Any) -> None:
        if all(getattr(self._state.value, name) == value for name, value in changes.items()):
            return
        try:
            self._state = store().dispatch.update(self._state, **changes)
        except Lost:
            # Another run has saved how far it came, and has done the same work.
            self._state = store().dispatch.load_state()


@dataclass(frozen=True)
class _Person:
    """A user with labels or MailMagnet on, with what decides on the connection."""

    user: User
    connection: Connection
    context: Context


def _load_people(user_ids: Iterable[str], policy: Versioned[Policy]) -> dict[str, _Person]:
    """The connected ones among the users, by id, in three round trips."""
    wanted = list(user_ids)
    connections = store().connections.load_many(wanted)
    users = store().users.load_many(connections)
    mailboxes = store().mailboxes.load_many({held.value.mailbox_key for held in connections.values()})
    return {
        user_id: _Person(
            users[user_id].value,
            held.value,
            Context(held, None, users[user_id], policy, mailboxes.get(held.value.mailbox_key)),
        )
        for user_id, held in connections.items()
        if user_id in users and held.value.mailmagnet
    }


def _save_marks(person: _Person, addresses: list[str]) -> int:
    """Has these senders looked at again, and sets work; where nothing may be filed now, the marks wait alone."""
    if not person.connection.labels:
        return 0
    distinct = sorted(set(addresses))
    for start in range(0, len(distinct), _MARKS_AT_ONCE):
        piece = distinct[start : start + _MARKS_AT_ONCE]
        try:
            _save_piece(person, piece)
        except Lost:
            for address in piece:
                _save_one(person, address)
    return len(distinct)


def _save_one(person: _Person, address: str) -> None:
    try:
        _save_piece(person, [address])
    except Lost:
        # Its notices have expired or were deleted: there is nothing to file.
        return


def _save_piece(person: _Person, addresses: list[str]) -> None:
    user_id = person.user.user_id
    with store().batch() as batch:
        for address in addresses:
            store().senders.patch(user_id, address, batch=batch, category="")
        if filing_for(person.context) is not None:
            work = Work(user_id=user_id, due_at=clock.now(), generation=person.connection.generation)
            store().work.save(work, batch=batch)


def _leave_searches(connection: Connection, contacts: list[Contact]) -> None:
    addresses = {entry.address for contact in contacts for entry in contact.addresses}
    known = store().senders.load_many(connection.user_id, addresses) if addresses else {}

    def leave(contact: Contact) -> None:
        # The same change of the contact, seen twice, is searched for once.
        changed_at = contact.updated_at.isoformat() if contact.updated_at else ""
        run = keys().hash("search", contact.contact_id, changed_at)
        magnet_tasks.leave_step("search_contact", connection, clock.now(), run=run, step=0, contact=contact.contact_id)

    at_once(leave, [one for one in contacts if any(entry.address not in known for entry in one.addresses)])


def is_ahead(records: Iterable[User | Contact | Deal], cursor: datetime | None) -> bool:
    """Whether a page brings news: however much the overlap brings again, each run comes farther than the one before."""
    return cursor is None or any(record.updated_at and record.updated_at > cursor for record in records)


def _cursor_after(changes: Changes[Contact] | Changes[Deal], cursor: datetime | None) -> datetime | None:
    newest = max((record.updated_at for record in changes.records if record.updated_at), default=None)
    return plan_cursor(cursor, newest, is_end=not changes.next_page)


def _pieces(found: Iterator[Any]) -> Iterator[list[Any]]:
    while piece := list(islice(found, _SENDERS_AT_ONCE)):
        yield piece


def at_once(work: Callable[[T], R], items: list[T]) -> list[R]:
    """What the work makes of each item; several are worked on at a time."""
    with ThreadPoolExecutor(_TASKS_AT_ONCE) as pool:
        return list(pool.map(work, items))
