"""Owns what ``label_sweep`` does for one user when it is sent a task, and what is left when it cannot be done now.

The trouble of one mailbox becomes a task for later, or waits for the next dispatch; only trouble of our own reaches the
caller. Knows no route.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal

import msgspec

from common import clock, log, magnet_tasks, tokens
from common.dispatch import leave_sweep
from common.errors import Problem, RateLimited, ReauthRequired, Unavailable
from common.filing import PIECE, drained, filing_for, open_background
from common.keys import keys
from common.labels import apply_labels
from common.magnet import running
from common.model import Connection, Work
from common.store.client import Context, Lost, store
from common.sweep import Outcome, settle_echoes, sweep

# After that a sweep's work waits for the next dispatch, which comes within ten minutes; nothing recalls the others.
_MOST_ATTEMPTS: Final = {"sweep": 5, "settle": 5, "follow": 5, "start": 60, "stop": 60}
_SENDERS_PAGE: Final = 300
_GO_ON_IN: Final = timedelta(seconds=5)

Kind = Literal["sweep", "settle", "follow", "start", "stop"]


class Errand(msgspec.Struct, kw_only=True):
    """A task for one user."""

    user: str
    kind: Kind = "sweep"
    generation: str = ""
    attempt: int = 0


def apply_errand(errand: Errand) -> None:
    """Does one task. An absent connection and an older generation are passed over.

    Raises GoogleAPICallError where the store or the tasks fail.
    """
    match errand.kind:
        case "sweep":
            _guard(errand, partial(_sweep, errand))
        case "settle":
            _guard(errand, partial(settle_echoes, errand.user, errand.generation))
        case "follow":
            _guard(errand, partial(_follow, errand))
        case "start":
            _guard(errand, partial(_start, errand))
        case "stop":
            _guard(errand, partial(_stop, errand))


def _guard(errand: Errand, work: Callable[[], None]) -> None:
    """Does the work; where this mailbox keeps it from being done, leaves it for later."""
    try:
        work()
    except RateLimited as problem:
        _leave(errand, problem.retry_at or clock.now() + magnet_tasks.pause(errand.attempt + 1))
    except ReauthRequired as problem:
        _end(errand, str(problem.members.get("reason", "")))
    except Lost:
        _leave(errand, clock.now() + _GO_ON_IN)
    except Problem as problem:
        log.event(
            "errand-failed",
            severity="WARNING" if problem.retryable else "ERROR",
            kind=errand.kind,
            code=problem.code,
            attempt=errand.attempt,
            user=keys().hash("log", errand.user),
        )
        if isinstance(problem, Unavailable) or errand.kind in ("start", "stop"):
            _leave(errand, clock.now() + magnet_tasks.pause(errand.attempt + 1))


def _leave(errand: Errand, at: datetime) -> None:
    if errand.attempt >= _MOST_ATTEMPTS[errand.kind]:
        log.event("errand-given-up", severity="WARNING", kind=errand.kind, attempt=errand.attempt)
        return
    due = magnet_tasks.plan_slot(at, clock.now())
    leave_sweep(
        errand.user,
        errand.generation,
        kind=errand.kind,
        slot=f"again {due.isoformat()}",
        at=due,
        attempt=errand.attempt + 1,
    )


def _end(errand: Errand, reason: str) -> None:
    """The grant is dead: all work for this connection ends."""
    held = store().connections.load(errand.user)
    if held is not None and held.value.generation == errand.generation:
        tokens.mark_reauth(held.value, reason)
        store().work.delete(errand.user)


def _sweep(errand: Errand) -> None:
    if sweep(errand.user, errand.generation) is Outcome.UNFINISHED:
        _leave(errand, clock.now() + _GO_ON_IN)


def _follow(errand: Errand) -> None:
    """The user has come back, or sees other contacts and deals: all that is noticed is looked at anew."""
    context = store().load_context(errand.user)
    if filing_for(context, errand.generation) is None or context.connection is None:
        return
    if errand.attempt == 0:
        _unsettle(context.connection.value)
        store().work.save(Work(user_id=errand.user, due_at=clock.now(), generation=errand.generation))
    _sweep(errand)


def _start(errand: Errand) -> None:
    """Labels were turned on: has all that is noticed looked at, and makes the labels. Raises Lost."""
    context = store().load_context(errand.user)
    if filing_for(context, errand.generation) is None or context.connection is None:
        return
    _unsettle(context.connection.value)
    # Before the labels: where Gmail makes none, each dispatch has it tried again, as long as they are on.
    store().work.save(Work(user_id=errand.user, due_at=clock.now(), generation=errand.generation))
    apply_labels(context.connection, open_background(context), verify=True)


def _unsettle(connection: Connection) -> None:
    """Has the mail of all senders looked at again: what their deals did while labels were off, nobody has followed."""
    after = ""
    while True:
        page = store().senders.all_of(connection.user_id, after=after, limit=_SENDERS_PAGE)
        with store().batch() as batch:
            for sender in page:
                if sender.category:
                    store().senders.patch(connection.user_id, sender.address, batch=batch, category="")
        if len(page) < _SENDERS_PAGE:
            return
        after = page[-1].address


def _stop(errand: Errand) -> None:
    """Labels were turned off, and are off still: what is filed stays, nothing begun goes on. Raises Lost.

    What a sweep had done last is read from the history first, so that its own steps are never taken for hands. Two
    units where steps are open, else none. What sweeps did can still be undone.
    """
    context = store().load_context(errand.user)
    connection = context.connection
    if connection is None or connection.value.labels or connection.value.generation != errand.generation:
        return
    store().work.delete(errand.user)
    _end_steps(context, errand)


def _end_steps(context: Context, errand: Errand) -> None:
    if not store().notices.open_intents(errand.user, limit=1):
        return
    if running(context, errand.generation) is not None and drained(context, open_background(context)) is None:
        raise Lost
    _forget_intents(errand.user)


def _forget_intents(user_id: str) -> None:
    while True:
        open_ones = store().notices.open_intents(user_id, limit=PIECE)
        with store().batch() as batch:
            for notice in open_ones:
                store().notices.update(notice, batch, intent="")
        if len(open_ones) < PIECE:
            return
