"""Owns the sweep of one user's mail, and what users see and do about sweeps: preview, undo, the release of a pin.

A sweep drains first, plans purely, writes its intents, and has Gmail do the rest (``filing``). It ends by deleting the
work that it read before it planned: who sets work meanwhile gets another sweep. Knows no route.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import zip_longest
from typing import Final, Literal

from google.cloud import firestore
from msgspec import Struct, field

from common import clock, log
from common.categories import AddressCategory
from common.dispatch import leave_sweep
from common.errors import Conflict, NotFound, RetryableConflict
from common.filing import (
    PIECE,
    TRIES,
    Filer,
    drained,
    filing_for,
    forget_overtaken,
    open_background,
    pin,
    plan_filing,
    settle,
)
from common.gmail.client import Gmail
from common.history import INBOX
from common.keys import keys
from common.magnet import Magnet, running
from common.magnet_tasks import plan_slot
from common.model import IN_INBOX, LABELLED, OUTSIDE, Category, Connection, Move, Notice, Sender, Sweep, Work
from common.noticing import For, files_labels, load_categories, our_labels
from common.paging import parse_page, seal_page
from common.store.client import Before, Context, Lost, Versioned, store
from common.sweep_plan import Plan

_PAGE: Final = 1000
_MOST_SENDERS: Final = 300
# What is not done by then is left to the next task; one may take five minutes.
_LONGEST_S: Final = 200.0
_SWEEPS_PAGE: Final = 20
_ECHO_WITHIN: Final = timedelta(seconds=30)
_THROWN_AWAY: Final = frozenset({"SPAM", "TRASH"})


class Outcome(StrEnum):
    """IDLE: nothing is due. PASSED: nothing may be done. WAITING: MailMagnet has not come to the end of the history.

    After UNFINISHED the work stays, and a task should go on soon.
    """

    IDLE = "idle"
    PASSED = "passed"
    WAITING = "waiting"
    DONE = "done"
    UNFINISHED = "unfinished"


def sweep(user_id: str, generation: str = "") -> Outcome:
    """Files the user's mail, if work is due for this generation of the connection.

    Two units and 50 for each target and 1,000 mails; nothing where nothing is due. Raises RateLimited, ReauthRequired,
    Unavailable and other Problems that Gmail gives rise to; the work stays then.
    """
    context = store().load_context(user_id)
    work = store().work.load(user_id)
    connection = context.connection.value if context.connection else None
    if connection is not None and generation and connection.generation != generation:
        return Outcome.PASSED
    if work is None or work.value.due_at > clock.now():
        return Outcome.IDLE
    if filing_for(context, work.value.generation) is None:
        with suppress(Lost):
            store().work.delete(user_id, version=work.version)
        return Outcome.PASSED
    if running(context) is None:
        return Outcome.WAITING
    gmail = open_background(context)
    current = drained(context, gmail)
    whose = filing_for(current, work.value.generation) if current else None
    if current is None or current.connection is None or whose is None:
        return Outcome.WAITING
    return _Sweep(whose, current.connection, gmail).run()


class _Sweep:
    """One sweep under way, in a mailbox whose history has been read to its end."""

    def __init__(self, whose: For, connection: Versioned[Connection], gmail: Gmail) -> None:
        self._whose = whose
        self._user_id = whose.connection.user_id
        self._gmail = gmail
        self._filer = Filer(connection, whose.policy, gmail)
        self._decisions = Decisions(whose, clock.today(whose.policy.time_zone))
        self._is_as_wanted = True
        self._ends_s = time.monotonic() + _LONGEST_S

    def run(self) -> Outcome:
        outcome = Outcome.UNFINISHED
        with suppress(Lost):
            outcome = self._run()
        log.event(
            "sweep",
            user=keys().hash("log", self._user_id),
            sweep=self._filer.sweep_id or None,
            outcome=outcome.value,
            count=self._filer.moved,
            units=self._gmail.units,
        )
        return outcome

    def _run(self) -> Outcome:
        forget_overtaken(self._user_id)
        self._filer.heal()
        while True:
            work = store().work.load(self._user_id)
            if work is None:
                return Outcome.DONE
            senders = store().senders.unsettled(self._user_id, self._whose.connection.mailbox_key, limit=_MOST_SENDERS)
            # Decided before their mails are read: what they are settled as is what all of their mails were filed by.
            self._decisions.load(sender.value.address for sender in senders)
            if not self._file(sender.value.address for sender in senders):
                return Outcome.UNFINISHED
            self._filer.settle_begun()
            if self._filer.moved:
                # Before the work is gone: whoever dies until then is swept again.
                leave_settling(self._whose.connection)
            if not self._filer.is_complete or not self._is_as_wanted:
                return Outcome.UNFINISHED
            has_more = len(senders) == _MOST_SENDERS
            self._finish(work, senders, has_more=has_more)
            if not has_more:
                return Outcome.DONE

    def _file(self, addresses: Iterable[str]) -> bool:
        """Files what lies in the inbox unfiled, and whatever came from ``addresses``. False where time runs out."""
        wanted = list(addresses)
        for notices in load_pages(self._whose.connection, wanted):
            if time.monotonic() > self._ends_s:
                return False
            self._decisions.load(notice.value.from_address for notice in notices)
            self._filer.file(notices, self._plan)
        return True

    def _plan(self, notices: Iterable[Notice]) -> Plan:
        listed = list(notices)
        planned = self._decisions.plan(listed)
        wanted = {move.mail_id: move.target for move in self._decisions.plan_anew(listed).moves}
        begun = [one for one in listed if one.intent and not one.pinned]
        if any(wanted.get(one.mail_id, one.filed or Category.NONE.value) != one.intent for one in begun):
            # Begun by a sweep that knew other deals: it is ended as begun, and the next one goes on from there.
            self._is_as_wanted = False
        return planned

    def _finish(self, work: Versioned[Work], senders: list[Versioned[Sender]], *, has_more: bool) -> None:
        """Settles the senders and the work together. Raises Lost where somebody has set work since it was read."""
        with store().batch() as batch:
            for sender in senders:
                meaning = self._decisions.of(sender.value.address)
                contact_ids = meaning.contact_ids if meaning else ()
                category = self._decisions.category(sender.value.address)
                store().senders.update(sender, batch, category=category.value, contact_ids=contact_ids)
            if has_more:
                store().work.update(work, batch, due_at=clock.now())
            else:
                store().work.delete(self._user_id, version=work.version, batch=batch)


def leave_settling(connection: Connection) -> None:
    """Leaves a task for soon after the echo of a sweep: Gmail drops pushes that follow another within a second."""
    due = plan_slot(clock.now() + _ECHO_WITHIN, clock.now())
    leave_sweep(connection.user_id, connection.generation, kind="settle", slot=f"settle {due.isoformat()}", at=due)


def settle_echoes(user_id: str, generation: str) -> None:
    """Drains for the echo of a sweep, where no push has had it drained. Two units then, else none.

    What has no echo once the work is done has changed nothing at Gmail, and is settled. Raises what Gmail raises.
    """
    context = store().load_context(user_id)
    if filing_for(context, generation) is None or running(context) is None:
        return
    if not store().notices.open_intents(user_id, limit=1) or drained(context, open_background(context)) is None:
        return
    if store().work.load(user_id) is None:
        forget_overtaken(user_id)
        settle(user_id, [notice.value.mail_id for notice in store().notices.open_intents(user_id)])


class Decisions:
    """What addresses mean to one user on one day, each decided once."""

    def __init__(self, whose: For, today: date) -> None:
        self._whose = whose
        self._today = today
        self._asked: set[str] = set()
        self._meanings: dict[str, AddressCategory] = {}

    def load(self, addresses: Iterable[str]) -> None:
        """Decides on those not decided yet."""
        fresh = set(addresses) - self._asked
        if fresh:
            self._meanings |= load_categories(fresh, self._whose.user, self._today)
            self._asked |= fresh

    def of(self, address: str) -> AddressCategory | None:
        """What the address means; None for one of nobody whom the user may see."""
        return self._meanings.get(address)

    def category(self, address: str) -> Category:
        """The category of its mail."""
        meaning = self._meanings.get(address)
        return meaning.category if meaning else Category.NONE

    def plan(self, notices: Iterable[Notice]) -> Plan:
        """What a sweep does with these mails."""
        listed = list(notices)
        return plan_filing(
            listed,
            {one.from_address: self.category(one.from_address) for one in listed},
            file_unverified=self._whose.policy.file_unverified,
            now=clock.now(),
        )

    def plan_anew(self, notices: Iterable[Notice]) -> Plan:
        """What it would do with them, had nobody begun anything."""
        return self.plan(_without_intents(notices))


def _without_intents(notices: Iterable[Notice]) -> Iterator[Notice]:
    for notice in notices:
        yield replace(notice, intent="")


Page = list[Versioned[Notice]]


def load_pages(connection: Connection, addresses: Iterable[str]) -> Iterator[Page]:
    """The notices that are unfiled, and those from ``addresses``, in pages, each mail once a page."""
    user_id, mailbox_key, wanted = connection.user_id, connection.mailbox_key, list(addresses)
    notices = store().notices
    unfiled = _paged(lambda before: notices.unfiled(user_id, mailbox_key, before=before, limit=_PAGE))
    theirs = _paged(lambda before: notices.by_senders(user_id, mailbox_key, wanted, before=before, limit=_PAGE))
    nothing: Page = []
    for one, other in zip_longest(unfiled, theirs, fillvalue=nothing):
        yield list({notice.path: notice for notice in one + other}.values())


def _paged(fetch: Callable[[Before | None], Page]) -> Iterator[Page]:
    before: Before | None = None
    while True:
        page = fetch(before)
        if page:
            before = Before(page[-1].value.received_at, page[-1].value.mail_id)
            yield page
        if len(page) < _PAGE:
            return


# ---- What users see and do

Place = Literal["inbox", "outside", "closing_this_month", "open_deals", "customers"]


class SweepMove(Struct, kw_only=True):
    """One mail's step, from a place to a place."""

    mail_id: str
    source: Place = field(name="from")
    target: Place = field(name="to")


class PreviewAnswer(Struct, kw_only=True):
    """What the next sweep would do. ``more``: there are more mails than are listed here."""

    moves: list[SweepMove]
    counts: dict[Place, int]
    more: bool = False


class SweepEntry(Struct, kw_only=True):
    """What one sweep did."""

    id: str
    at: datetime
    moves: list[SweepMove]
    counts: dict[Place, int]
    undone_at: datetime | None = None


class SweepsQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    page_token: str = ""


class SweepsAnswer(Struct, kw_only=True):
    """The last sweeps, newest first."""

    sweeps: list[SweepEntry]
    next_page_token: str = ""


class UndoAnswer(Struct, kw_only=True):
    """How many mails went back to where they were, and how many stay where somebody has put them since."""

    restored: int
    kept: int


def place_of(filed: str) -> Place:
    """The place that ``Notice.filed`` names, in the word that users read."""
    if filed in LABELLED:
        return Category(filed).value  # type: ignore[return-value]
    return "outside" if filed == OUTSIDE else "inbox"


def preview(context: Context, gmail: Gmail) -> PreviewAnswer:
    """What the next sweep would do with what is known now: the mail that lies unfiled, and what follows a category.

    Costs a drain, two units, and changes nothing in the mailbox. Raises Conflict where labels are off,
    RetryableConflict where MailMagnet has not come to the end of the history.
    """
    if filing_for(context) is None or running(context) is None:
        raise Conflict("labels-off", "labels and MailMagnet must be on")
    current = drained(context, gmail)
    whose = filing_for(current) if current else None
    if whose is None:
        raise _busy()
    decisions = Decisions(whose, clock.today(whose.policy.time_zone))
    senders = _load_senders(whose.connection)
    decisions.load(sender.address for sender in senders)
    moved = [one.address for one in senders if decisions.category(one.address) != one.category]
    page = next(load_pages(whose.connection, moved), [])
    decisions.load(notice.value.from_address for notice in page)
    planned = decisions.plan(notice.value for notice in page)
    moves = _shown(planned.moves)
    return PreviewAnswer(moves=moves, counts=_counts(moves), more=len(page) >= _PAGE)


def _load_senders(connection: Connection) -> list[Sender]:
    found: list[Sender] = []
    after = ""
    while True:
        page = store().senders.all_of(connection.user_id, after=after, limit=_PAGE)
        found += [sender for sender in page if sender.mailbox_key == connection.mailbox_key]
        if len(page) < _PAGE:
            return found
        after = page[-1].address


def _shown(moves: Iterable[Move]) -> list[SweepMove]:
    return [SweepMove(mail_id=one.mail_id, source=place_of(one.source), target=place_of(one.target)) for one in moves]


def _counts(moves: Iterable[SweepMove]) -> dict[Place, int]:
    return dict(Counter(move.target for move in moves))


def list_sweeps(connection: Connection, page_token: str = "") -> SweepsAnswer:
    """The sweeps of the connection's mailbox, newest first. Raises BadRequest for a foreign token."""
    bound = ("sweeps", connection.user_id, connection.mailbox_key)
    position: str | None = parse_page(page_token, *bound)
    before = datetime.fromisoformat(position) if position else None
    found = store().sweeps.page(connection.user_id, connection.mailbox_key, before=before, limit=_SWEEPS_PAGE)
    token = seal_page(found[-1].value.at.isoformat(), *bound) if len(found) == _SWEEPS_PAGE else ""
    return SweepsAnswer(sweeps=[_entry(held.value) for held in found], next_page_token=token)


def _entry(held: Sweep) -> SweepEntry:
    moves = _shown(held.moves)
    return SweepEntry(id=held.sweep_id, at=held.at, moves=moves, counts=_counts(moves), undone_at=held.undone_at)


def undo(context: Context, gmail: Gmail, sweep_id: str) -> UndoAnswer:
    """Puts each mail of a sweep back to where it was, where nothing has moved it since, and pins it there.

    Costs a drain and 50 for each place and 1,000 mails; doing it again does nothing more. Raises NotFound,
    Conflict where MailMagnet is off, RetryableConflict where the mailbox is busy.
    """
    if (magnet := running(context)) is None:
        raise Conflict("mailmagnet-required", "undoing a sweep needs MailMagnet")
    connection = magnet.connection
    held = store().sweeps.load(connection.user_id, sweep_id)
    if held is None or held.value.mailbox_key != connection.mailbox_key:
        raise NotFound
    current = drained(context, gmail)
    if current is None or current.connection is None:
        raise _busy()
    try:
        restored = _restore(held.value, current.connection, magnet, gmail)
        store().sweeps.update(held, undone_at=held.value.undone_at or clock.now())
    except Lost:
        raise _busy() from None
    return UndoAnswer(restored=restored, kept=len(held.value.moves) - restored)


def _restore(held: Sweep, connection: Versioned[Connection], magnet: Magnet, gmail: Gmail) -> int:
    """Moves back and pins; returns how many mails lie where they were before the sweep. Raises Lost."""
    user_id = connection.value.user_id
    former = {move.mail_id: move for move in held.moves}
    filer = Filer(connection, magnet.whose.policy, gmail, keep_record=False)
    filer.heal()
    filer.file(_load_notices(user_id, list(former)), partial(plan_undo, former))
    if not filer.is_complete:
        raise Lost
    back = [
        notice.value.mail_id
        for notice in _load_notices(user_id, list(former))
        if (notice.value.intent or notice.value.filed) == _former_place(former[notice.value.mail_id])
    ]
    if not pin(user_id, back):
        raise Lost
    return len(back)


def _load_notices(user_id: str, ids: list[str]) -> Page:
    found: Page = []
    for start in range(0, len(ids), PIECE):
        found += store().notices.load_many(user_id, ids[start : start + PIECE]).values()
    return found


def plan_undo(former: Mapping[str, Move], notices: Iterable[Notice]) -> Plan:
    """The moves back: of what lies where the sweep put it, or is on its way there, and of what an undo had begun."""
    moves: list[Move] = []
    for notice in notices:
        move = former[notice.mail_id]
        back = _former_place(move)
        is_there = notice.intent == move.target or (notice.filed == move.target and not notice.intent)
        if not notice.pinned and (is_there or notice.intent == back):
            moves.append(Move(mail_id=notice.mail_id, source=notice.filed, target=back))
    return Plan(tuple(moves))


def _former_place(move: Move) -> str:
    return move.source if move.source in LABELLED else Category.NONE.value


def release_pin(context: Context, gmail: Gmail, mail_id: str) -> None:
    """Lets the sweep have a mail again, from where it lies now; nothing happens to one that is not pinned.

    Costs a drain and a get. Raises NotFound without a notice, or where the mail is gone; Conflict where it lies in the
    trash or spam, or MailMagnet is off; RetryableConflict where the mailbox is busy.
    """
    if (magnet := running(context)) is None:
        raise Conflict("mailmagnet-required", "pins are MailMagnet's")
    # What hands have done so far is taken note of first: read later, it would pin the mail again.
    if drained(context, gmail) is None:
        raise _busy()
    for _ in range(TRIES):
        held = store().notices.load(magnet.connection.user_id, mail_id)
        if held is None or held.value.mailbox_key != magnet.connection.mailbox_key:
            raise NotFound
        if not held.value.pinned:
            return
        labels = frozenset(gmail.fetch_message(mail_id, format="minimal", fields="labelIds").get("labelIds", ()))
        if not labels.isdisjoint(_THROWN_AWAY):
            raise Conflict("mail-thrown-away", "the mail lies in the trash or in spam")
        with suppress(Lost):
            _save_release(held, plan_place(held.value, labels, magnet.connection), magnet.whose)
            return
    raise _busy()


def plan_place(notice: Notice, label_ids: frozenset[str], connection: Connection) -> str:
    """Where a mail with these labels lies, as in ``Notice.filed``; kept out of the inbox it stays only by a filter."""
    ours = our_labels(connection)
    for label_id in sorted(label_ids & ours.keys()):
        return ours[label_id].value
    return OUTSIDE if notice.filed == OUTSIDE and INBOX not in label_ids else IN_INBOX


def _save_release(held: Versioned[Notice], filed: str, whose: For) -> None:
    user_id = whose.connection.user_id
    with store().batch() as batch:
        store().notices.update(held, batch, pinned=False, intent="", filed=filed)
        # Whatever the mail's sender was settled as: this mail is to be looked at again.
        store().senders.patch(user_id, held.value.from_address, batch=batch, category="")
        store().syncs.patch(user_id, batch=batch, notices_version=firestore.Increment(1))
        if files_labels(whose):
            work = Work(user_id=user_id, due_at=clock.now(), generation=whose.connection.generation)
            store().work.save(work, batch=batch)


def _busy() -> RetryableConflict:
    return RetryableConflict("mailbox-busy", "the mailbox changes just now: try again in a minute")
