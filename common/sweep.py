"""Owns the sweep of one user's mail.

A sweep drains first, plans purely, writes its intents, and has Gmail do the rest (``filing``). It ends by deleting the
work that it read before it planned: who sets work meanwhile gets another sweep. Knows no route.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from enum import StrEnum
from itertools import zip_longest
from typing import Final

from common import clock, log
from common.categories import AddressCategory
from common.dispatch import leave_sweep
from common.filing import (
    STEP_WITHIN,
    Filer,
    drained,
    filing_for,
    forget_overtaken,
    open_background,
    plan_filing,
    settle,
)
from common.gmail.client import Gmail
from common.keys import keys
from common.label_names import lacking
from common.magnet import running
from common.magnet_tasks import plan_slot
from common.model import Category, Connection, Notice, Sender, Work
from common.noticing import For, load_categories
from common.store.client import Before, Lost, Versioned, store
from common.sweep_plan import Plan

NOTICES_PAGE: Final = 1000
_MOST_SENDERS: Final = 300
# What is not done by then is left to the next task; one may take five minutes.
_LONGEST_S: Final = 200.0
_ECHO_WITHIN: Final = timedelta(seconds=30)


class Outcome(StrEnum):
    """IDLE: nothing is due. PASSED: nothing may be done. WAITING: MailMagnet has not come to the end of the history,
    or somebody else is at work.

    After UNFINISHED the work stays, and a task should go on soon; after REFUSED, which is all but what Gmail makes no
    label for, it stays for the next dispatch.
    """

    IDLE = "idle"
    PASSED = "passed"
    WAITING = "waiting"
    DONE = "done"
    UNFINISHED = "unfinished"
    REFUSED = "refused"


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
        self._filer.heal()
        forget_overtaken(self._user_id, lacking(self._filer.connection.value))
        after = ""
        while True:
            work = store().work.load(self._user_id)
            if work is None:
                return Outcome.DONE
            senders = store().senders.unsettled(
                self._user_id, self._whose.connection.mailbox_key, after=after, limit=_MOST_SENDERS
            )
            # Anew, and on the day that it is by now: who was marked meanwhile, at the turn of a month perhaps, is read
            # above. Before their mails are read: what they are settled as is what all of their mails were filed by.
            self._decisions = Decisions(self._whose, clock.today(self._whose.policy.time_zone))
            self._decisions.load(sender.value.address for sender in senders)
            if not self._file(sender.value.address for sender in senders):
                return Outcome.UNFINISHED
            self._filer.settle_begun()
            if self._filer.moved:
                # Before the work is gone: whoever dies until then is swept again.
                leave_settling(self._whose.connection)
            if not self._filer.is_complete or not self._is_as_wanted:
                return Outcome.UNFINISHED
            if self._filer.is_busy:
                # Whoever is at it ends it; whoever has died leaves it to the next dispatch.
                return Outcome.WAITING
            has_more = len(senders) == _MOST_SENDERS
            self._finish(work, senders, has_more=has_more)
            if not has_more:
                return Outcome.REFUSED if self._filer.refused else Outcome.DONE
            # Who waits for a label would be found again and again; the work stays, and whoever is marked meanwhile.
            after = senders[-1].value.address if self._filer.refused else ""

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
        """Settles the senders and the work together. Raises Lost where somebody has set work since it was read.

        Not those whose label Gmail makes not: their mail, and the work, waits for it.
        """
        refused = self._filer.refused
        with store().batch() as batch:
            for sender in senders:
                if self._decisions.category(sender.value.address) in refused:
                    continue
                meaning = self._decisions.of(sender.value.address)
                contact_ids = meaning.contact_ids if meaning else ()
                category = self._decisions.category(sender.value.address)
                store().senders.update(sender, batch, category=category.value, contact_ids=contact_ids)
            if has_more or refused:
                store().work.update(work, batch, due_at=clock.now())
            else:
                store().work.delete(self._user_id, version=work.version, batch=batch)


def leave_settling(connection: Connection, wait: timedelta = _ECHO_WITHIN) -> None:
    """Leaves a task for soon after the echo of a sweep: Gmail drops pushes that follow another within a second."""
    due = plan_slot(clock.now() + wait, clock.now())
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
        if not forget_overtaken(user_id) and context.connection is not None:
            leave_settling(context.connection.value, STEP_WITHIN)
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
    unfiled = _paged(lambda before: notices.unfiled(user_id, mailbox_key, before=before, limit=NOTICES_PAGE))
    theirs = _paged(lambda before: notices.by_senders(user_id, mailbox_key, wanted, before=before, limit=NOTICES_PAGE))
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
        if len(page) < NOTICES_PAGE:
            return
