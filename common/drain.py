"""Owns the drain: a mailbox's history is read from the cursor up to now, and what it says is committed piece by piece.

``magnet_ingest`` drains when something is pushed, ``label_sweep`` before each sweep. The cursor moves only past what
is durably recorded; whoever loses the race for a commit has written nothing. Knows no route.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from common import clock, log, magnet_tasks, webhook
from common.config import config
from common.errors import NotFound, RateLimited, Unavailable
from common.gmail.client import MAX_MODIFY, Gmail
from common.gmail.errors import HistoryLost
from common.gmail.results import Fetched
from common.history import TAKEN_AWAY, Change, Modify, Verdict, judge
from common.keys import keys, random_token
from common.magnet import Magnet, running
from common.model import Category, Connection, Feature, Notice, Parked, Sync
from common.noticing import FIELDS, HEADERS, Noticed, load_noticed, our_labels, save_noticed
from common.oauth import granted_features
from common.pieces import MOST_NEW, Piece, passed, plan_parked, plan_pieces
from common.store.client import Batch, Context, Lost, Versioned, store
from common.turns import take_turn

# Errors of other work than draining, which a drain that succeeds does not clear.
KEPT_ERRORS: Final = frozenset({"watch-failed"})
# Nothing older is ever searched for: notices of it would soon expire.
FARTHEST_BACK: Final = timedelta(days=30)
# New mails that one drain looks at; a task goes on.
_MOST_NEW_IN_ONE: Final = 2 * MOST_NEW
# How long before the last full drain a lost history is searched for: mail is dated by whoever took it in.
_BEFORE_CAUGHT_UP: Final = timedelta(days=1)
_CAUGHT_UP_EVERY: Final = timedelta(hours=1)
_RESYNC_IN: Final = timedelta(seconds=30)
# Gmail keeps histories for days: what is lost again within the hour would be lost after another search, too.
_RESYNC_EVERY: Final = timedelta(hours=1)
# A batchModify costs as much as ten modifies.
_CHEAPER_TOGETHER: Final = 10
_RUN_BYTES: Final = 9


class Outcome(StrEnum):
    """How a drain ended. After MORE, HELD and RESYNC a task of ``magnet_ingest`` goes on: the caller leaves none."""

    CAUGHT_UP = "caught_up"
    MORE = "more"
    HELD = "held"
    RESYNC = "resync"
    LOST = "lost"


@dataclass(frozen=True)
class DrainResult:
    """``context`` has the records as they are after the drain, with their versions; after LOST it is out of date.

    ``noticed`` are the notices made. ``vanished`` are labels of ours that no longer exist: the connection has been
    freed of their ids and work set, so that a sweep heals them.
    """

    outcome: Outcome
    context: Context
    noticed: tuple[Notice, ...] = ()
    vanished: frozenset[str] = frozenset()


def drain(context: Context, gmail: Gmail, *, attempt: int = 0, pushed_at: datetime | None = None) -> DrainResult:
    """Reads the history from the cursor on and commits what it says: notices, hands, the cursor, work.

    ``attempt`` is the try of the task that asks, ``pushed_at`` when the push came. Raises LookupError where MailMagnet
    does not run for ``context``, RateLimited, ReauthRequired, Unavailable; what was committed before stays.
    """
    magnet = running(context)
    if magnet is None:
        raise LookupError("MailMagnet does not run here")
    draining = _Drain(context, magnet, gmail, attempt, pushed_at)
    with take_turn(f"drain {magnet.connection.user_id}") as is_overtaken:
        # Pushes come in bursts: what another has just read needs no reading again.
        if is_overtaken:
            return draining.result(Outcome.LOST)
        try:
            outcome = draining.run()
        except Lost:
            outcome = Outcome.LOST
        except HistoryLost:
            outcome = draining.begin_resync()
        return draining.result(outcome)


class _Drain:
    """One drain under way; what it has read and written so far."""

    def __init__(
        self, context: Context, magnet: Magnet, gmail: Gmail, attempt: int, pushed_at: datetime | None
    ) -> None:
        self._context, self._whose, self._gmail = context, magnet.whose, gmail
        self._connection = context.connection
        self._sync = magnet.sync
        self._attempt, self._pushed_at = attempt, pushed_at
        self._new = 0
        self._noticed: list[Notice] = []
        self._existing_labels: frozenset[str] | None = None
        self._vanished: frozenset[str] = frozenset()

    def result(self, outcome: Outcome) -> DrainResult:
        """What the caller hears, and one line in the log."""
        log.event(
            "drain",
            user=keys().hash("log", self._whose.connection.user_id),
            outcome=outcome.value,
            count=len(self._noticed),
            units=self._gmail.units,
        )
        context = replace(self._context, connection=self._connection, sync=self._sync)
        return DrainResult(outcome, context, tuple(self._noticed), self._vanished)

    def run(self) -> Outcome:
        self._announce()
        token = ""
        while True:
            page = self._gmail.fetch_history(self._sync.value.cursor, page_token=token)
            is_last = not page.next_page_token
            pieces = plan_pieces(page.records, self._ours, history_id=page.history_id if is_last else None)
            for number, piece in enumerate(pieces):
                if self._new and self._new + len(piece.candidates) > _MOST_NEW_IN_ONE:
                    magnet_tasks.leave_retry("drain", self._whose.connection, clock.now())
                    return Outcome.MORE
                if not self._apply(piece, is_end=is_last and number == len(pieces) - 1):
                    return Outcome.HELD
            if is_last:
                return Outcome.CAUGHT_UP
            # From the cursor on, which stands behind this page now; an empty page has nothing but its token.
            token = "" if page.records else page.next_page_token

    @property
    def _ours(self) -> dict[str, Category]:
        return our_labels(self._whose.connection)

    def _apply(self, piece: Piece, *, is_end: bool) -> bool:
        """Commits the piece. False where the cursor had to stop before a mail that failed."""
        held = self._load_notices(piece)
        now = clock.now()
        over = passed(self._sync.value.parked, now)
        fresh = [mail_id for mail_id in piece.candidates if mail_id not in held and mail_id not in over]
        fetched = self._fetch(fresh)
        parked = _plan_parked(self._sync.value, fetched, now)
        over = passed(parked, now)
        holding = [mail_id for mail_id in fresh if mail_id in fetched.failed and mail_id not in over]
        cursor = piece.through
        if holding:
            first = min(piece.candidates[mail_id] for mail_id in holding)
            cursor = piece.cursor_before(first, self._sync.value.cursor)
        verdicts = self._judge(held, [change for change in piece.changes if change.record_id <= cursor])
        noticed = load_noticed(fetched.messages.values(), self._whose, pinned=self._moved_since(piece, fetched))
        self._put_back(verdicts)
        changes: dict[str, Any] = {"cursor": max(cursor, self._sync.value.cursor), "parked": parked}
        if is_end and not holding:
            changes["caught_up_at"] = now
        self._commit(held, verdicts, noticed, changes)
        if holding:
            self._leave_retry(fetched, holding, now)
        return not holding

    def _load_notices(self, piece: Piece) -> dict[str, Versioned[Notice]]:
        ids = piece.mail_ids()
        found = store().notices.load_many(self._whose.connection.user_id, ids) if ids else {}
        mailbox_key = self._whose.connection.mailbox_key
        return {mail_id: notice for mail_id, notice in found.items() if notice.value.mailbox_key == mailbox_key}

    def _fetch(self, mail_ids: list[str]) -> Fetched:
        self._new += len(mail_ids)
        return self._gmail.fetch_messages(mail_ids, format="metadata", fields=FIELDS, headers=HEADERS)

    def _judge(self, held: Mapping[str, Versioned[Notice]], changes: list[Change]) -> dict[str, Verdict]:
        """What history says of each noticed mail. A label that came off is looked up once: it may have been deleted."""
        of_mail: dict[str, list[Change]] = {}
        for change in changes:
            if change.mail_id in held:
                of_mail.setdefault(change.mail_id, []).append(change)

        def judge_all() -> dict[str, Verdict]:
            return {
                mail_id: judge(held[mail_id].value, told, self._ours, vanished=self._vanished)
                for mail_id, told in of_mail.items()
            }

        verdicts = judge_all()
        doubtful = frozenset().union(*(verdict.unlabelled for verdict in verdicts.values())) - self._vanished
        gone = doubtful - self._fetch_existing_labels() if doubtful else frozenset()
        if not gone:
            return verdicts
        self._vanished |= gone
        return judge_all()

    def _fetch_existing_labels(self) -> frozenset[str]:
        if self._existing_labels is None:
            self._existing_labels = frozenset(label.label_id for label in self._gmail.list_labels())
        return self._existing_labels

    def _moved_since(self, piece: Piece, fetched: Fetched) -> frozenset[str]:
        """The new mails that a hand has moved between their arrival and now; being taken back is an arrival."""
        moved: set[str] = set()
        for mail_id in fetched.messages:
            since = [
                change
                for change in piece.changes
                if change.mail_id == mail_id
                and change.record_id > piece.candidates[mail_id]
                and change.labels.isdisjoint(TAKEN_AWAY)
            ]
            if since and judge(_unfiled(mail_id, self._whose.connection), since, self._ours).pinned:
                moved.add(mail_id)
        return frozenset(moved)

    def _put_back(self, verdicts: Mapping[str, Verdict]) -> None:
        """Takes back our own steps where a hand had come between.

        Before the commit: who dies in between does it again, and it comes to the same.
        """
        if Feature.LABELS not in granted_features(self._whose.connection.scopes):
            return
        of_modify: dict[Modify, list[str]] = {}
        for mail_id, verdict in verdicts.items():
            if verdict.put_back is not None:
                of_modify.setdefault(verdict.put_back, []).append(mail_id)
        for modify, mail_ids in of_modify.items():
            self._modify(mail_ids, sorted(modify.add - self._vanished), sorted(modify.remove - self._vanished))

    def _modify(self, mail_ids: list[str], add: list[str], remove: list[str]) -> None:
        if len(mail_ids) >= _CHEAPER_TOGETHER:
            for start in range(0, len(mail_ids), MAX_MODIFY):
                self._gmail.batch_modify(mail_ids[start : start + MAX_MODIFY], add=add, remove=remove)
            return
        for mail_id in mail_ids:
            with contextlib.suppress(NotFound):
                self._gmail.modify_message(mail_id, add=add, remove=remove)

    def _commit(
        self,
        held: Mapping[str, Versioned[Notice]],
        verdicts: Mapping[str, Verdict],
        noticed: Noticed,
        changes: dict[str, Any],
    ) -> None:
        """Writes it all, or raises Lost. Where nothing has changed, not even the time is written more than hourly."""
        with store().batch() as batch:
            self._save_verdicts(held, verdicts, batch)
            lost_labels = self._save_vanished(batch)
            save_noticed(noticed, self._whose, batch, has_more_to_file=lost_labels)
            sync = self._sync.value
            if len(batch):
                changes["notices_version"] = sync.notices_version + 1
            if noticed.notices and config().webhook_url:
                changes["announce"] = tuple(notice.mail_id for notice in noticed.notices)
            if not len(batch) and not self._is_worth_a_write(changes):
                return
            if self._pushed_at is not None:
                changes["last_push_at"] = self._pushed_at
            if _is_over(sync):
                changes |= {"last_error": "", "last_error_at": None}
            written = store().syncs.update(self._sync, batch, **changes)
        self._sync = written
        self._noticed += noticed.notices
        self._announce()

    def _save_verdicts(
        self, held: Mapping[str, Versioned[Notice]], verdicts: Mapping[str, Verdict], batch: Batch
    ) -> None:
        user_id = self._whose.connection.user_id
        for mail_id, verdict in verdicts.items():
            notice = held[mail_id]
            if verdict.gone:
                store().notices.delete(user_id, mail_id, version=notice.version, batch=batch)
                continue
            told = {"filed": verdict.filed, "intent": verdict.intent, "pinned": verdict.pinned}
            changes = {name: value for name, value in told.items() if value != getattr(notice.value, name)}
            if changes:
                store().notices.update(notice, batch, **changes)

    def _save_vanished(self, batch: Batch) -> bool:
        """Frees the connection of labels that no longer exist. True if it had some."""
        connection = self._connection
        if connection is None or self._vanished.isdisjoint(connection.value.label_ids.values()):
            return False
        left = {name: one for name, one in connection.value.label_ids.items() if one not in self._vanished}
        self._connection = store().connections.update(connection, batch, label_ids=left)
        return True

    def _is_worth_a_write(self, changes: Mapping[str, Any]) -> bool:
        sync = self._sync.value
        if changes["cursor"] != sync.cursor or changes["parked"] != sync.parked or _is_over(sync):
            return True
        caught_up_at = changes.get("caught_up_at")
        return caught_up_at is not None and (
            sync.caught_up_at is None or caught_up_at - sync.caught_up_at >= _CAUGHT_UP_EVERY
        )

    def _announce(self) -> None:
        self._sync = announce(self._whose.connection, self._sync)

    def _leave_retry(self, fetched: Fetched, holding: list[str], now: datetime) -> None:
        problem = fetched.failed[holding[0]]
        at = problem.retry_at or now + magnet_tasks.pause(self._attempt + 1)
        magnet_tasks.leave_retry("drain", self._whose.connection, at, attempt=self._attempt + 1)

    def begin_resync(self) -> Outcome:
        """Goes on from where the mailbox stands now, and notes that what lies between is still to be searched.

        Once an hour at most, so that no search follows another without end. Raises Unavailable.
        """
        sync, connection, now = self._sync.value, self._whose.connection, clock.now()
        if sync.resync_at is not None and now - sync.resync_at < _RESYNC_EVERY:
            raise Unavailable("history-unavailable", retry_at=sync.resync_at + _RESYNC_EVERY)
        profile = self._gmail.fetch_profile()
        lost_at = sync.caught_up_at or connection.connected_at
        since = max(min(sync.resync_from or now, lost_at - _BEFORE_CAUGHT_UP), now - FARTHEST_BACK)
        run = random_token(_RUN_BYTES)
        # Before the commit, so that it cannot get lost; without the commit it does nothing.
        magnet_tasks.leave_step("resync", connection, now + _RESYNC_IN, run=run, step=0)
        try:
            # Also where that is a step back: the cursor is one that Gmail does not know.
            self._sync = store().syncs.update(
                self._sync,
                cursor=profile.history_id,
                resync=run,
                resync_from=since,
                resync_at=now,
                caught_up_at=now,
            )
        except Lost:
            return Outcome.LOST
        return Outcome.RESYNC


def announce(connection: Connection, sync: Versioned[Sync]) -> Versioned[Sync]:
    """Leaves the webhook's tasks for mails of which it has not been told, then notes that it has been.

    The commit that makes notices lists them, so that who dies after it leaves them to whoever comes next; the tasks'
    names keep one from being left twice. Returns the record as it is now; raises Lost.
    """
    if not sync.value.announce:
        return sync
    for mail_id in sync.value.announce:
        webhook.enqueue_notice(connection, mail_id)
    return store().syncs.update(sync, announce=())


def _plan_parked(sync: Sync, fetched: Fetched, now: datetime) -> tuple[Parked, ...]:
    # A limit says nothing of the mail that met it.
    failed = [mail_id for mail_id, problem in fetched.failed.items() if not isinstance(problem, RateLimited)]
    return plan_parked(sync.parked, failed=failed, done=fetched.messages.keys() | fetched.gone, now=now)


def _is_over(sync: Sync) -> bool:
    # The error of an earlier drain, of which this one is the end.
    return bool(sync.last_error) and sync.last_error not in KEPT_ERRORS


def _unfiled(mail_id: str, connection: Connection) -> Notice:
    at = clock.now()
    return Notice(mail_id=mail_id, from_address="", received_at=at, mailbox_key=connection.mailbox_key, expires_at=at)
