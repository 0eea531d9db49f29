"""Owns what one request asks of a mailbox for a timeline: a list and a batch, verified mail by mail, in limited time.

Decides nothing on who may see what: a ``Door`` does. What goes wrong in a mailbox is told as its state, never raised.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from common import log
from common.colleagues import Door, Facts, View, parse_facts
from common.config import config
from common.errors import Problem, RateLimited, ReauthRequired, Unavailable
from common.gmail.results import Fetched, Message
from common.keys import keys
from common.mail.headers import all_values
from common.mail.reading import SUMMARY_FIELDS, header_pairs, read_summary
from common.mail.view import Summary
from common.timeline_api import State
from common.timeline_merge import Copy, Key, Part, Position
from common.timeline_query import Asked, Search, is_found_by_bcc, plan_query

# Beyond the mailbox's own budget, for the access token, which may have to be fetched.
_GRACE_S: Final = 1.0
_IDENTITY_CHARS: Final = 12


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
    started_s = time.monotonic()
    passed = position.passed_ids if position else frozenset()
    gmail = door.open(wanted.view.viewer, config().mailbox_timeout_s)
    asked = Asked(
        addresses,
        door.own,
        wanted.search,
        excluded_domains=door.excluded_domains,
        hides=bool(door.connection.hidden_label_id),
        before_ms=position.received_ms if position else None,
    )
    listed = gmail.list_messages(q=plan_query(asked), limit=wanted.size + len(passed))
    fresh = [one for one in listed.ids if one not in passed]
    ids = fresh[: wanted.size]
    fetched = gmail.fetch_messages(ids, fields=SUMMARY_FIELDS)
    has_more = bool(listed.next_page_token) or len(fresh) > len(ids)
    look = _read(door, position, wanted, _Listed(ids, fetched, has_more))
    if not look.part.troubled:
        return look
    trouble = _told(door, position, next(iter(fetched.failed.values())), time.monotonic() - started_s)
    return Look(door, look.part, look.found, trouble.state, trouble.retry_at)


@dataclass(frozen=True)
class _Listed:
    """The ids of a list, newest first, and what of them could be had."""

    ids: Sequence[str]
    fetched: Fetched
    has_more: bool

    def usable(self) -> list[Message]:
        """The messages down to the first that failed: what lies below it must not be told before it."""
        usable = []
        for one in self.ids:
            if one in self.fetched.failed:
                break
            if one in self.fetched.messages:
                usable.append(self.fetched.messages[one])
        return usable


def _read(door: Door, position: Position | None, wanted: Wanted, listed: _Listed) -> Look:
    looked_at: list[Key] = []
    shown: list[Copy] = []
    found: dict[str, Found] = {}
    usable = listed.usable()
    for message in usable:
        key = int(message["internalDate"]), str(message["id"])
        if position is not None and position.is_above(key):
            continue
        looked_at.append(key)
        facts = parse_facts(message)
        if door.is_visible(facts, wanted.view) and not _is_found_unseen(door, message, wanted.search):
            summary = read_summary(message)
            found[summary.id] = Found(summary, facts)
            shown.append(Copy(door.owner, summary.id, key[0], _identity(summary)))
    troubled = bool(listed.fetched.failed)
    part = Part(
        door.owner,
        position,
        tuple(looked_at),
        tuple(shown),
        has_more=listed.has_more or troubled,
        troubled=troubled,
        repeated=len(looked_at) < len(usable),
    )
    return Look(door, part, found)


def _is_found_unseen(door: Door, message: Message, search: Search) -> bool:
    if door.own or not search.words:
        return False
    headers = header_pairs(message)
    bcc = " ".join(all_values(headers, "Bcc"))
    shown = (value for name in ("From", "To", "Cc", "Subject") for value in all_values(headers, name))
    return is_found_by_bcc(search, bcc, " ".join([*shown, str(message.get("snippet", ""))]))


def _identity(summary: Summary) -> str:
    """The same for copies of one mail: a Message-ID alone may be forged. Empty where something is missing."""
    if not summary.message_id or summary.from_ is None or summary.date is None:
        return ""
    sender = summary.from_
    parts = (summary.message_id, sender.name, sender.address, summary.date.isoformat(), summary.subject)
    return keys().hash("timeline", *parts)[:_IDENTITY_CHARS]
