"""Owns what is searched for in a mailbox beside its history: the first 30 days, a gap, a new address, a daily sample.

A run is a chain of tasks, each of at most 50 gets, a minute apart; it gives way at the first rate limit. A run's state
stands in its tasks (ids still to be looked at) and in the sync record (that it is under way). Knows no route.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from common import clock, log, magnet_tasks, places
from common.config import config
from common.directory import directory
from common.drain import FARTHEST_BACK, announce
from common.errors import RateLimited
from common.gmail.client import Gmail
from common.gmail.results import Fetched
from common.keys import keys, random_token
from common.magnet import Magnet, running
from common.mail.addresses import is_address
from common.model import Connection, Contact, Sync
from common.noticing import FIELDS, HEADERS, Noticed, load_noticed, save_noticed
from common.pieces import plan_parked
from common.sharing import may_see
from common.store.client import Context, Versioned, store

Search = Literal["backfill", "resync", "search_contact"]

STEP_EVERY: Final = timedelta(minutes=1)
_GETS: Final = 50
_LIST: Final = 500
# Listed at one moment, so that what is filed or deleted meanwhile shifts nothing; beyond that, Gmail's page token.
_LISTS_AT_ONCE: Final = 4
_SAMPLE: Final = 10
_SAMPLED: Final = timedelta(days=1)
_MOST_ADDRESSES: Final = 20
_RUN_BYTES: Final = 9
_RECEIVED: Final = "-in:sent -in:drafts -in:chats"


@dataclass(frozen=True)
class Page:
    """Where a run stands: mails still to be looked at, and Gmail's token for those not listed yet."""

    mail_ids: tuple[str, ...] = ()
    token: str = ""

    @property
    def is_end(self) -> bool:
        return not self.mail_ids and not self.token

    def __str__(self) -> str:
        return f"{self.token} {','.join(self.mail_ids)}"


def parse_page(text: str) -> Page:
    """What ``str(page)`` was; empty for an empty text."""
    token, _, listed = text.partition(" ")
    return Page(tuple(one for one in listed.split(",") if one), token)


@dataclass(frozen=True)
class Step:
    """One step of a run, as its task says it. ``page`` is empty at the beginning."""

    kind: Search
    run: str
    number: int = 0
    page: str = ""
    contact: str = ""


def apply_step(context: Context, open_mailbox: Callable[[], Gmail], step: Step) -> None:
    """Does one step and leaves the next; a run that is no longer under way ends.

    Raises Lost where the records change meanwhile, and what Gmail raises: then nothing of the step is done.
    """
    magnet = running(context)
    if magnet is None or not _is_under_way(magnet.sync.value, step):
        return
    gmail = open_mailbox()
    page = parse_page(step.page)
    if step.kind == "resync" and not step.page:
        places.apply_places(magnet.connection, gmail)
        leave(magnet.connection, step, str(page), clock.now())
        return
    if not page.mail_ids:
        page = _list(magnet, gmail, step, page.token)
    if page.mail_ids:
        sync, rest = _look_at(magnet, gmail, page.mail_ids[:_GETS], seen=step.kind != "resync")
        page = Page((*rest.mail_ids, *page.mail_ids[_GETS:]), page.token)
        at = max(clock.now() + STEP_EVERY, rest.retry_at or clock.now())
    else:
        sync, at = magnet.sync, clock.now()
    if page.is_end:
        _finish(sync, step)
    else:
        leave(magnet.connection, step, str(page), at)


def leave(connection: Connection, step: Step, page: str, at: datetime) -> None:
    """Leaves what follows ``step``, which is to go on at ``page``, for the time ``at``."""
    magnet_tasks.leave_step(
        step.kind, connection, at, run=step.run, step=step.number + 1, page=page, contact=step.contact
    )


def _is_under_way(sync: Sync, step: Step) -> bool:
    match step.kind:
        case "backfill":
            return sync.backfill == step.run
        case "resync":
            return sync.resync == step.run
        case _:
            return True


def _finish(sync: Versioned[Sync], step: Step) -> None:
    log.event("run-done", kind=step.kind, count=step.number + 1)
    if step.kind == "backfill":
        store().syncs.update(sync, backfill="", backfill_until=None)
    elif step.kind == "resync":
        store().syncs.update(sync, resync="", resync_from=None)


def _list(magnet: Magnet, gmail: Gmail, step: Step, token: str) -> Page:
    """The mails that the run is to look at, without those that are noticed already."""
    query = _query(magnet, step)
    if not query:
        return Page()
    ids: list[str] = []
    for _ in range(_LISTS_AT_ONCE):
        listed = gmail.list_messages(q=query, page_token=token, limit=_LIST)
        ids += listed.ids
        token = listed.next_page_token
        if not token:
            break
    return Page(tuple(_unnoticed(magnet, ids)), token)


def _query(magnet: Magnet, step: Step) -> str:
    """Gmail's search for the run; empty where there is nothing to search for."""
    sync = magnet.sync.value
    if step.kind == "backfill" and sync.backfill_until is not None:
        # What came since the start is the drain's, which does not call it seen.
        started_at = sync.backfill_until + FARTHEST_BACK
        return f"after:{_seconds(sync.backfill_until)} before:{_seconds(started_at)} {_RECEIVED}"
    if step.kind == "resync" and sync.resync_from is not None:
        return f"after:{_seconds(sync.resync_from)} {_RECEIVED}"
    contact = directory().contact(step.contact) if step.contact else None
    if contact is None or not may_see(contact, magnet.whose.user):
        return ""
    return plan_contact_query(contact)


def plan_contact_query(contact: Contact) -> str:
    """Gmail's search for the inbox's mail from a contact in 30 days; empty where it has no address to search for."""
    terms = [f'from:"{one.address}"' for one in contact.addresses if is_address(one.address) and '"' not in one.address]
    return f"in:inbox newer_than:30d {{{' '.join(terms[:_MOST_ADDRESSES])}}}" if terms else ""


def _seconds(at: datetime) -> int:
    return math.ceil(at.timestamp())


def _unnoticed(magnet: Magnet, mail_ids: Iterable[str]) -> list[str]:
    wanted = list(dict.fromkeys(mail_ids))
    found = store().notices.load_many(magnet.connection.user_id, wanted) if wanted else {}
    noticed = {
        mail_id for mail_id, notice in found.items() if notice.value.mailbox_key == magnet.connection.mailbox_key
    }
    return [mail_id for mail_id in wanted if mail_id not in noticed]


@dataclass(frozen=True)
class _Rest:
    """Mails that a limit has left, and when to ask again; how many notices the others have made."""

    mail_ids: tuple[str, ...] = ()
    retry_at: datetime | None = None
    noticed: int = 0


def _look_at(magnet: Magnet, gmail: Gmail, mail_ids: Sequence[str], *, seen: bool) -> tuple[Versioned[Sync], _Rest]:
    """Gets mails and commits their notices. What fails otherwise than by a limit is parked, for the daily round."""
    wanted = _unnoticed(magnet, mail_ids)
    fetched = gmail.fetch_messages(wanted, format="metadata", fields=FIELDS, headers=HEADERS)
    noticed = load_noticed(fetched.messages.values(), magnet.whose, seen=seen)
    sync = _commit(magnet, noticed, fetched, seen=seen)
    limited = {mail_id: problem for mail_id, problem in fetched.failed.items() if isinstance(problem, RateLimited)}
    retries = [problem.retry_at for problem in limited.values() if problem.retry_at is not None]
    return sync, _Rest(tuple(limited), max(retries, default=None), len(noticed.notices))


def _commit(magnet: Magnet, noticed: Noticed, fetched: Fetched, *, seen: bool) -> Versioned[Sync]:
    sync, now = magnet.sync, clock.now()
    failed = [mail_id for mail_id, problem in fetched.failed.items() if not isinstance(problem, RateLimited)]
    done = fetched.messages.keys() | fetched.gone
    changes: dict[str, Any] = {}
    parked = plan_parked(sync.value.parked, failed=failed, done=done, now=now)
    if parked != sync.value.parked:
        changes["parked"] = parked
    if noticed.notices:
        changes["notices_version"] = sync.value.notices_version + 1
        if not seen and config().webhook_url:
            told = tuple(notice.mail_id for notice in noticed.notices)
            changes["announce"] = (*sync.value.announce, *told)
    if not changes:
        return sync
    with store().batch() as batch:
        save_noticed(noticed, magnet.whose, batch)
        written = store().syncs.update(sync, batch, **changes)
    return announce(magnet.connection, written)


def apply_sample(context: Context, gmail: Gmail) -> None:
    """Compares a sample of the last day's mail with the notices; where one is missing, the whole day is searched.

    What has been parked is tried again. One list of 5 units, and at most ten gets beside those of parked mails.
    """
    magnet = running(context)
    if magnet is None:
        return
    since = clock.now() - _SAMPLED
    listed = gmail.list_messages(q=f"after:{_seconds(since)} {_RECEIVED}", limit=_LIST).ids
    unknown = _unnoticed(magnet, listed)
    sample = random.sample(unknown, min(_SAMPLE, len(unknown)))
    parked = [one.mail_id for one in magnet.sync.value.parked][:_GETS]
    found = len(listed) - len(unknown)
    sync, rest = _look_at(magnet, gmail, [*sample, *parked], seen=False)
    missed = rest.noticed > 0
    log.event(
        "reconciled",
        severity="WARNING" if missed else "INFO",
        user=keys().hash("log", magnet.connection.user_id),
        expected=found + rest.noticed,
        found=found,
        healed=rest.noticed,
        outcome="incomplete" if missed else "complete",
    )
    if missed and len(unknown) > len(sample):
        _begin_search(magnet, sync, since)


def _begin_search(magnet: Magnet, sync: Versioned[Sync], since: datetime) -> None:
    run = random_token(_RUN_BYTES)
    magnet_tasks.leave_step("resync", magnet.connection, clock.now() + STEP_EVERY, run=run, step=0)
    earliest = min(sync.value.resync_from or since, since)
    store().syncs.update(sync, resync=run, resync_from=earliest)


def leave_runs(context: Context, *, again: str = "") -> None:
    """Leaves the first step of each run that the sync record says is under way; ``again`` makes another task of it."""
    magnet = running(context)
    if magnet is None:
        return
    under_way: dict[Search, str] = {"backfill": magnet.sync.value.backfill, "resync": magnet.sync.value.resync}
    for kind, run in under_way.items():
        if run:
            magnet_tasks.leave_step(kind, magnet.connection, clock.now(), run=run, step=0, again=again)
