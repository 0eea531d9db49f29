"""Owns what one request asks of a mailbox for a timeline: a list and a batch, verified mail by mail, in limited time.

Decides nothing on who may see what: a ``Door`` does. What goes wrong in a mailbox is told as its state, never raised.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from common import clock, log
from common.cache import answers
from common.colleagues import Door, Facts, View, parse_facts
from common.config import config
from common.errors import Problem, RateLimited, ReauthRequired, Unavailable
from common.gmail.client import Gmail
from common.gmail.results import Message, MessagePage
from common.keys import keys
from common.mail.headers import all_values
from common.mail.reading import SUMMARY_FIELDS, header_pairs, read_summary
from common.mail.view import Summary
from common.mail_actions import HIDDEN_LABEL
from common.mailbox_view import fetch_summaries
from common.timeline_api import State
from common.timeline_merge import Copy, Key, Part, Position
from common.timeline_query import Asked, Search, is_found_by_bcc, plan_query

# Beyond the mailbox's own budget, for the access token, which may have to be fetched.
_GRACE_S: Final = 1.0
_IDENTITY_CHARS: Final = 12
# Mails of a colleague's mailbox that one page looks at: what Gmail takes in one batch.
MOST_LOOKED_AT: Final = 50
# So many of a search's hits are looked at together, however small the page: the number of calls would count them.
_LEAST_OF_A_SEARCH: Final = 20
# An id as Gmail makes them, of no mail.
_NO_MAIL: Final = "0000000000000000"


@dataclass(frozen=True)
class Wanted:
    """What every mailbox is asked for."""

    view: View
    search: Search
    size: int


@dataclass(frozen=True)
class Found:
    """A mail that the viewer may see, as fetched just now."""

    summary: Summary
    facts: Facts


@dataclass(frozen=True)
class Look:
    """What a mailbox gave, and how it is. ``found`` has the mails of ``part.shown`` by their ids."""

    door: Door
    part: Part
    found: Mapping[str, Found] = field(default_factory=dict)
    state: State = "ok"
    retry_at: datetime | None = None


def fetch_looks(doors: Sequence[Door], positions: Mapping[str, Position | None], wanted: Wanted) -> list[Look]:
    """What each mailbox gives, all asked at once; one that takes longer than its time is told as ``slow``."""
    if not doors:
        return []
    threads = ThreadPoolExecutor(len(doors), "timeline")
    try:
        running = [threads.submit(_fetch_look, door, positions.get(door.owner), wanted) for door in doors]
        wait(running, timeout=config().mailbox_timeout_s + _GRACE_S)
        return [
            future.result() if future.done() else _in_trouble(door, positions.get(door.owner), "slow")
            for door, future in zip(doors, running, strict=True)
        ]
    finally:
        # Not waited for: a thread that hangs would hold up the answer it is no longer part of.
        threads.shutdown(wait=False, cancel_futures=True)


def _fetch_look(door: Door, position: Position | None, wanted: Wanted) -> Look:
    started_s = time.monotonic()
    try:
        return _ask(door, position, wanted)
    except Problem as problem:
        return _told(door, position, problem, time.monotonic() - started_s)
    except Exception as error:  # noqa: BLE001  (one mailbox's trouble stays its own; told by class and frames alone)
        log.failure("timeline", error, mailbox=door.connection.mailbox_key)
        return _in_trouble(door, position, "unavailable")


def _told(door: Door, position: Position | None, problem: Problem, took_s: float) -> Look:
    if isinstance(problem, ReauthRequired):
        return Look(door, Part(door.owner), state="disconnected")
    if isinstance(problem, RateLimited):
        return _in_trouble(door, position, "rate_limited", problem.retry_at)
    is_late = isinstance(problem, Unavailable) and took_s >= config().mailbox_timeout_s
    return _in_trouble(door, position, "slow" if is_late else "unavailable")


def _in_trouble(door: Door, position: Position | None, state: State, retry_at: datetime | None = None) -> Look:
    part = Part(door.owner, position, has_more=True, troubled=True)
    return Look(door, part, state=state, retry_at=retry_at)


def _ask(door: Door, position: Position | None, wanted: Wanted) -> Look:
    addresses = door.asked_addresses(wanted.view)
    if not addresses:
        return Look(door, Part(door.owner, position))
    gmail = door.open(wanted.view.viewer, config().mailbox_timeout_s)
    visit = _Visit(door, position, wanted, gmail, addresses)
    return _look_at_own(visit) if door.own else _look_through(visit)


@dataclass(frozen=True)
class _Visit:
    """A mailbox that is open, and what it is asked for."""

    door: Door
    position: Position | None
    wanted: Wanted
    gmail: Gmail
    addresses: Mapping[str, datetime | None]

    @property
    def passed(self) -> frozenset[str]:
        return self.position.passed_ids if self.position else frozenset()

    def list_ids(self, limit: int) -> tuple[list[str], bool]:
        """The ids that were not passed, newest first, and whether Gmail has more of them."""
        query = self._query()

        def ask() -> MessagePage:
            return self.gmail.list_messages(q=query, limit=limit + len(self.passed))

        if self._hides and answers().get(self._label_key) is None:
            listed, _ = self.gmail.in_parallel(ask, self._note_label_name)
        else:
            listed = ask()
        fresh = [one for one in listed.ids if one not in self.passed]
        return fresh[:limit], bool(listed.next_page_token) or len(fresh) > limit

    def _query(self) -> str:
        asked = Asked(
            self.addresses,
            self.door.own,
            self.wanted.search,
            excluded_domains=self.door.excluded_domains,
            hidden_label=self._label_name(),
            before_ms=self.position.received_ms if self.position else None,
        )
        return plan_query(asked)

    @property
    def _hides(self) -> bool:
        return not self.door.own and bool(self.door.connection.hidden_label_id)

    def _label_name(self) -> str:
        if not self._hides:
            return ""
        known = answers().get(self._label_key)
        return HIDDEN_LABEL if known is None else known.value.decode()

    @property
    def _label_key(self) -> tuple[str, ...]:
        connection = self.door.connection
        return connection.user_id, connection.generation, "label-name", connection.hidden_label_id

    def _note_label_name(self) -> None:
        """Learns what the label is called now, for later requests: what slips through until then is looked at."""
        fetched_at = clock.now()
        try:
            labels = self.gmail.list_labels()
        except Problem:
            return
        label_id = self.door.connection.hidden_label_id
        name = next((one.name for one in labels if one.label_id == label_id), "")
        answers().put(self._label_key, name.encode(), fetched_at=fetched_at)


def _look_at_own(visit: _Visit) -> Look:
    started_s = time.monotonic()
    ids, goes_on = visit.list_ids(visit.wanted.size)
    seen = _Seen(visit)
    problem = seen.read(ids)
    looked_at = tuple(seen.looked_at)
    part = _part(visit, looked_at, seen.shown, has_more=goes_on or problem is not None, seen=seen, problem=problem)
    return _with_state(Look(visit.door, part, seen.found), problem, started_s)


def _look_through(visit: _Visit) -> Look:
    """A colleague's mailbox: looked through until one mail more than wanted is visible, or the list ends.

    So that what is told comes of visible mail alone. Of a search it never tells that it gave up: only hits that are not
    for the reader make it, and their number would answer for words that stand in them.
    """
    started_s = time.monotonic()
    has_words = bool(visit.wanted.search.q)
    size = min(visit.wanted.size, MOST_LOOKED_AT - 1)
    step = max(size + 1, _LEAST_OF_A_SEARCH) if has_words else size + 1
    ids, goes_on = visit.list_ids(MOST_LOOKED_AT)
    seen = _Seen(visit)
    problem = seen.read_nothing() if has_words and not ids else None
    for start in range(0, len(ids), step):
        problem = seen.read(ids[start : start + step])
        if problem is not None or len(seen.shown) > size:
            break
    shown = sorted(seen.shown, key=lambda one: one.key, reverse=True)[:size]
    gave_up = goes_on and len(seen.shown) <= size and problem is None and not has_words
    looked_at = tuple(seen.looked_at if gave_up else [one.key for one in shown])
    has_more = gave_up or len(seen.shown) > size or problem is not None
    part = _part(visit, looked_at, shown, has_more=has_more, seen=seen, problem=problem)
    return _with_state(Look(visit.door, part, seen.found), problem, started_s)


def _part(
    visit: _Visit,
    looked_at: tuple[Key, ...],
    shown: Sequence[Copy],
    *,
    has_more: bool,
    seen: _Seen,
    problem: Problem | None,
) -> Part:
    return Part(
        visit.door.owner,
        visit.position,
        looked_at,
        tuple(shown),
        has_more=has_more,
        troubled=problem is not None,
        repeated=seen.repeated,
    )


def _with_state(look: Look, problem: Problem | None, started_s: float) -> Look:
    if problem is None:
        return look
    trouble = _told(look.door, look.part.position, problem, time.monotonic() - started_s)
    return replace(look, state=trouble.state, retry_at=trouble.retry_at)


class _Seen:
    """What was seen of a mailbox's mails so far. ``repeated``: some lie above its position."""

    def __init__(self, visit: _Visit) -> None:
        self._visit = visit
        self.looked_at: list[Key] = []
        self.shown: list[Copy] = []
        self.found: dict[str, Found] = {}
        self.repeated = False

    def read(self, ids: Sequence[str]) -> Problem | None:
        """Fetches these mails and keeps the visible ones; returns what the first failed of that could not be had.

        What lies below that one must not be told before it.
        """
        fetched = fetch_summaries(self._visit.gmail, ids)
        for one in ids:
            if one in fetched.failed:
                return fetched.failed[one]
            if one in fetched.messages:
                self._keep(fetched.messages[one])
        return None

    def read_nothing(self) -> Problem | None:
        """Fetches what is not there, for a search without hits: it costs, and fails, as one with a hidden hit does."""
        failed = self._visit.gmail.fetch_messages([_NO_MAIL], fields=SUMMARY_FIELDS).failed.get(_NO_MAIL)
        # That Gmail does not take such an id is no trouble.
        return failed if failed is not None and failed.retryable else None

    def _keep(self, message: Message) -> None:
        door, position, wanted = self._visit.door, self._visit.position, self._visit.wanted
        key = int(message["internalDate"]), str(message["id"])
        if position is not None and position.is_above(key):
            self.repeated = True
            return
        self.looked_at.append(key)
        facts = parse_facts(message)
        if door.is_visible(facts, wanted.view) and not _is_found_unseen(door, message, wanted.search):
            summary = read_summary(message)
            self.found[summary.id] = Found(summary, facts)
            identity = _identity(summary) or _identity_in(door.connection.mailbox_key, summary.id)
            self.shown.append(Copy(door.owner, summary.id, key[0], identity))


def _is_found_unseen(door: Door, message: Message, search: Search) -> bool:
    if door.own or not search.words:
        return False
    headers = header_pairs(message)
    bcc = " ".join(all_values(headers, "Bcc"))
    shown = (value for name in ("From", "To", "Cc", "Subject") for value in all_values(headers, name))
    return is_found_by_bcc(search, bcc, " ".join([*shown, str(message.get("snippet", ""))]))


def _identity_in(mailbox_key: str, mail_id: str) -> str:
    """The same for one mail in a mailbox that several users have connected."""
    return keys().hash("timeline", mailbox_key, mail_id)[:_IDENTITY_CHARS]


def _identity(summary: Summary) -> str:
    """The same for copies of one mail: a Message-ID alone may be forged. Empty where something is missing."""
    if not summary.message_id or summary.from_ is None or summary.date is None:
        return ""
    sender = summary.from_
    parts = (summary.message_id, sender.name, sender.address, summary.date.isoformat(), summary.subject)
    return keys().hash("timeline", *parts)[:_IDENTITY_CHARS]
