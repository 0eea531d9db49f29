"""Owns how mail is moved in a mailbox: intents first, then Gmail, and who may have it done. Used by sweeps and undo.

An intent stays open until a drain reads our own step in the history: only then can a person's hand that came between
plan and step be told, and the mail be put back. One alone makes a step: a second time, it might come after that hand
has been given its way. Who dies in between leaves intents that others carry out as they stand, once none can be at it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from common import clock
from common.drain import Outcome, drain
from common.errors import BadRequest, Problem, Unavailable
from common.gmail.client import Gmail, open_gmail
from common.keys import random_token
from common.label_names import lacking
from common.labels import apply_labels
from common.lazy import firestore
from common.magnet import allowed, running
from common.model import LABELLED, Category, Connection, Feature, Move, Notice, Policy, Sweep
from common.noticing import For, files_labels
from common.oauth import granted_features
from common.store.client import Batch, Context, Lost, Versioned, store
from common.sweep_plan import RETURNS_WITHIN, Plan, Step, plan_possible, plan_steps, plan_sweep

# Firestore takes 500 writes in one commit; each piece has a record of the sweep and a sync record besides.
PIECE: Final = 400
TRIES: Final = 3
# Who waits for another drain of this process has lost, as long as others are before it.
_DRAIN_TRIES: Final = 8
# One document holds 1 MiB; a move takes less than 100 bytes.
_MOST_IN_RECORD: Final = 5000
_RECORD_BYTES: Final = 12
_TIMEOUT_S: Final = 120.0
# The longest that Cloud Tasks waits for who writes an intent and then has Gmail do it (``common.tasks``).
STEP_WITHIN: Final = timedelta(minutes=5)
# A step that begins by then has its answer, or none, within the time above.
_STEP_BEGINS_WITHIN: Final = STEP_WITHIN - timedelta(seconds=_TIMEOUT_S)

Planner = Callable[[Iterable[Notice]], Plan]


def filing_for(context: Context, generation: str = "") -> For | None:
    """Whose mail may be filed now, or None: labels on and allowed, the scope granted, no colleague's in the mailbox."""
    whose = allowed(context, generation)
    if whose is None or not files_labels(whose) or Feature.LABELS not in granted_features(whose.connection.scopes):
        return None
    mailbox = context.mailbox.value if context.mailbox else None
    # One who has left the mailbox owns nothing in it any more.
    owner = mailbox.labels_owner if mailbox and mailbox.labels_owner in mailbox.user_ids else ""
    return whose if owner in ("", whose.connection.user_id) else None


def open_background(context: Context) -> Gmail:
    """The mailbox, for work that people do not wait for. Raises RateLimited while Google asks us to wait."""
    if context.connection is None:
        raise LookupError("there is no connection")
    retry_after = context.mailbox.value.retry_after if context.mailbox else None
    # Bounded, so that no step is made long after its intents were written.
    return open_gmail(context.connection.value, background=True, timeout_s=_TIMEOUT_S, retry_after=retry_after)


def drained(context: Context, gmail: Gmail) -> Context | None:
    """The context after a drain that came to the end of the history; None where it did not get there.

    Raises LookupError where MailMagnet does not run, and what Gmail raises.
    """
    for _ in range(_DRAIN_TRIES):
        result = drain(context, gmail)
        if result.outcome is Outcome.CAUGHT_UP:
            return result.context
        connection = result.context.connection
        if result.outcome is not Outcome.LOST or connection is None:
            return None
        context = store().load_context(connection.value.user_id)
        if running(context, connection.value.generation) is None:
            return None
    return None


def plan_filing(
    notices: Iterable[Notice], category_of: Mapping[str, Category], *, file_unverified: bool, now: datetime
) -> Plan:
    """What a sweep does with these mails: steps begun are ended as they were meant, the others go where they belong."""
    listed = list(notices)
    planned = plan_sweep(
        [one for one in listed if not one.intent], category_of, file_unverified=file_unverified, now=now
    )
    begun = [one for one in listed if one.intent and not one.pinned]
    old = {one.mail_id for one in begun if one.intent == Category.NONE and now - one.received_at > RETURNS_WITHIN}
    moves = tuple(Move(mail_id=one.mail_id, source=one.filed, target=one.intent) for one in begun)
    return Plan(moves + planned.moves, planned.staying, planned.old | old)


@dataclass(frozen=True)
class Claimed:
    """Moves whose intents are written, since when: what may be done at Gmail now."""

    moves: tuple[Move, ...] = ()
    old: frozenset[str] = frozenset()
    at: datetime | None = None


class Filer:
    """Moves mail in one mailbox. ``connection`` is kept up to date; ``is_complete``: all was done that was planned.

    ``is_busy``: somebody else is at some of it. ``refused`` are categories for which Gmail makes no label: their mail
    stays where it lies. Without ``keep_record`` no record of a sweep is made: an undo.
    """

    def __init__(
        self, connection: Versioned[Connection], policy: Policy, gmail: Gmail, *, keep_record: bool = True
    ) -> None:
        self.connection = connection
        self.is_complete = True
        self.is_busy = False
        self.moved = 0
        self.refused: frozenset[Category] = frozenset()
        self._gmail = gmail
        self._policy = policy
        self._keep_record = keep_record
        self._record: Versioned[Sweep] | None = None
        self._begun: set[str] = set()
        self._mine: set[str] = set()

    @property
    def sweep_id(self) -> str:
        """The id of the sweep's record; empty where nothing was moved."""
        return self._record.value.sweep_id if self._record else ""

    def heal(self, *, verify: bool = False) -> None:
        """Makes the labels that lack, as far as Gmail does. Raises Lost where the connection has changed meanwhile."""
        if verify or lacking(self.connection.value):
            self.connection = apply_labels(self.connection, self._gmail, verify=verify)

    def file(self, notices: Sequence[Versioned[Notice]], plan: Planner) -> None:
        """Plans, writes the intents, then has Gmail do it: one batchModify a target and 1,000 mails."""
        claimed = Claimed()
        for start in range(0, len(notices), PIECE):
            more = self._claim(notices[start : start + PIECE], plan)
            claimed = Claimed(claimed.moves + more.moves, claimed.old | more.old, claimed.at or more.at)
        self._apply(claimed)

    def _claim(self, notices: Sequence[Versioned[Notice]], plan: Planner) -> Claimed:
        """Writes the intents of one piece, and settles what stays; plans anew where a record has changed meanwhile."""
        for _ in range(TRIES):
            held = {notice.value.mail_id: notice for notice in notices}
            planned, refused = plan_possible(plan(notice.value for notice in notices), lacking(self.connection.value))
            self.refused |= refused
            now = clock.now()
            planned = replace(planned, moves=tuple(self._free(planned.moves, held, now)))
            if not planned.moves and not planned.staying:
                return Claimed()
            try:
                record = self._save(planned, held, now)
            except Lost:
                found = store().notices.load_many(self.connection.value.user_id, held)
                notices = [found[mail_id] for mail_id in held if mail_id in found]
                continue
            self._record = record
            self._begun |= {move.mail_id for move in planned.moves if held[move.mail_id].value.intent}
            self._mine |= {move.mail_id for move in planned.moves}
            self.moved += len(planned.moves)
            return Claimed(planned.moves, planned.old, now)
        self.is_complete = False
        return Claimed()

    def _free(self, moves: Iterable[Move], held: Mapping[str, Versioned[Notice]], now: datetime) -> Iterator[Move]:
        """The moves that nobody is making, neither this one, whose echo has not been read yet, nor another."""
        for move in moves:
            notice = held[move.mail_id].value
            if notice.intent and notice.mail_id in self._mine:
                continue
            if is_under_way(notice, now):
                self.is_busy = True
                continue
            yield move

    def _save(self, planned: Plan, held: Mapping[str, Versioned[Notice]], now: datetime) -> Versioned[Sweep] | None:
        fresh = tuple(move for move in planned.moves if not held[move.mail_id].value.intent)
        with store().batch() as batch:
            for move in planned.moves:
                store().notices.update(held[move.mail_id], batch, intent=move.target, begun_at=now)
            for mail_id in planned.staying:
                store().notices.update(held[mail_id], batch, filed=Category.NONE.value)
            record = self._save_record(fresh, batch) if fresh and self._keep_record else self._record
            if planned.moves:
                # Fails where MailMagnet was turned off meanwhile.
                store().syncs.patch(
                    self.connection.value.user_id,
                    batch=batch,
                    last_sweep_at=now,
                    notices_version=firestore.Increment(1),
                )
        return record

    def _save_record(self, moves: tuple[Move, ...], batch: Batch) -> Versioned[Sweep]:
        """The sweep's record with these moves more: kept with the intents, so that what was begun can be undone."""
        user_id = self.connection.value.user_id
        if self._record is not None and len(self._record.value.moves) + len(moves) <= _MOST_IN_RECORD:
            return store().sweeps.update(self._record, batch, moves=self._record.value.moves + moves)
        now = clock.now()
        fresh = Sweep(
            sweep_id=random_token(_RECORD_BYTES),
            at=now,
            mailbox_key=self.connection.value.mailbox_key,
            moves=moves,
            expires_at=now + timedelta(days=self._policy.notice_retention_days),
        )
        return store().sweeps.create(user_id, fresh, batch)

    def _apply(self, claimed: Claimed) -> None:
        plan = Plan(claimed.moves, (), claimed.old)
        steps = plan_steps(plan, self.connection.value.label_ids)
        for index in range(len(steps)):
            if claimed.at is None or clock.now() > claimed.at + _STEP_BEGINS_WITHIN:
                self.is_complete = False
                return
            try:
                self._verify_wanted()
                steps = self._make(steps, index, plan)
            except (Problem, Lost) as trouble:
                # Without an answer, Gmail may still be about to make it.
                is_open = isinstance(trouble, Unavailable)
                self._release(mail_id for step in steps[index + is_open :] for mail_id in step.mail_ids)
                raise

    def _make(self, steps: list[Step], index: int, plan: Plan) -> list[Step]:
        """Has Gmail make one step; returns the steps, anew where one of our labels had gone."""
        try:
            self._modify(steps[index])
        except BadRequest:
            # One of our labels has gone just now; where it has not, Gmail means what it says.
            before = self.connection
            self.heal(verify=True)
            if self.connection is before:
                raise
            steps = plan_steps(plan, self.connection.value.label_ids)
            self._modify(steps[index])
        return steps

    def _release(self, mail_ids: Iterable[str]) -> None:
        """Says of steps that will not be made that nobody is at them: whoever comes next may make them at once."""
        user_id, listed = self.connection.value.user_id, sorted(mail_ids)
        for start in range(0, len(listed), PIECE):
            found = store().notices.load_many(user_id, listed[start : start + PIECE])
            with contextlib.suppress(Lost), store().batch() as batch:
                for notice in found.values():
                    if notice.value.intent:
                        store().notices.update(notice, batch, begun_at=None)

    def _verify_wanted(self) -> None:
        """Raises Lost where labels were turned off or the connection replaced since the intents were written.

        An undo needs no labels, but MailMagnet.
        """
        held = store().connections.load(self.connection.value.user_id)
        is_on = held is not None and (held.value.labels if self._keep_record else held.value.mailmagnet)
        if held is None or not is_on or held.value.generation != self.connection.value.generation:
            raise Lost

    def _modify(self, step: Step) -> None:
        if step.target in LABELLED and not step.add:
            # Gone since it was claimed, and refused.
            self.is_complete = False
            return
        self._gmail.batch_modify(step.mail_ids, add=sorted(step.add), remove=sorted(step.remove))

    def settle_begun(self) -> None:
        """Ends the steps that somebody else had begun: where a drain after them finds no echo, they changed nothing.

        Costs a history.list where there are such steps, else nothing.
        """
        if not self._begun:
            return
        user_id = self.connection.value.user_id
        context = store().load_context(user_id)
        is_over = running(context, self.connection.value.generation) is None
        if is_over or drained(context, self._gmail) is None or not settle(user_id, self._begun):
            self.is_complete = False


def is_under_way(notice: Notice, now: datetime) -> bool:
    """Whether somebody may still be about to make the step that this open intent stands for."""
    return bool(notice.intent) and notice.begun_at is not None and notice.begun_at > now - STEP_WITHIN


def forget_overtaken(user_id: str, refused: Collection[Category] = ()) -> bool:
    """Forgets what earlier sweeps meant to do with mail that a hand has moved since. To be called after a drain.

    So it does with mail meant for one of the ``refused`` labels, which have gone meanwhile: it may go elsewhere then.
    False where a sweep may still be about to do it: only the open intent has its step taken back then.
    """
    is_over = True
    for notice in store().notices.open_intents(user_id):
        if not notice.value.pinned and notice.value.intent not in refused:
            continue
        if is_under_way(notice.value, clock.now()):
            is_over = False
            continue
        with contextlib.suppress(Lost):
            store().notices.update(notice, intent="")
    return is_over


def pin(user_id: str, mail_ids: Collection[str]) -> bool:
    """Settles these mails' open intents and pins them. False where some keep changing meanwhile.

    In one write: a pin beside an open intent says that a hand came between, and would have it put back.
    """
    listed, is_complete = sorted(mail_ids), True
    for start in range(0, len(listed), PIECE):
        is_complete = _pin_piece(user_id, listed[start : start + PIECE]) and is_complete
    return is_complete


def _pin_piece(user_id: str, mail_ids: Sequence[str]) -> bool:
    for _ in range(TRIES):
        found = store().notices.load_many(user_id, mail_ids)
        try:
            with store().batch() as batch:
                for notice in found.values():
                    if not notice.value.pinned:
                        place = notice.value.intent or notice.value.filed
                        store().notices.update(notice, batch, filed=place, intent="", pinned=True)
        except Lost:
            continue
        return True
    return False


def settle(user_id: str, mail_ids: Collection[str]) -> bool:
    """Closes these mails' open intents as done. False where one changed meanwhile: it stays open."""
    listed, is_complete = sorted(mail_ids), True
    for start in range(0, len(listed), PIECE):
        found = store().notices.load_many(user_id, listed[start : start + PIECE])
        still = [notice for notice in found.values() if notice.value.intent and not notice.value.pinned]
        try:
            with store().batch() as batch:
                for notice in still:
                    store().notices.update(notice, batch, filed=notice.value.intent, intent="")
        except Lost:
            is_complete = False
    return is_complete
