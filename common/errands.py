"""Owns what ``magnet_ingest`` does when it is pushed or sent a task, and what is left when it cannot be done now.

The trouble of one mailbox becomes a task for later; only trouble of our own, Firestore's or Tasks', reaches the caller.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal

import msgspec

from common import backfill, clock, log, magnet_tasks, tokens, watching
from common.drain import Outcome, announce, drain
from common.errors import Problem, RateLimited, ReauthRequired
from common.gmail.client import Gmail, open_gmail
from common.keys import keys, random_token
from common.lazy import passing_errors
from common.magnet import running
from common.mail.addresses import normalise
from common.model import Connection, ConnectionStatus
from common.store.client import Context, Lost, store

_MOST_ADDRESS_CHARS: Final = 320
_MOST_ID_BITS: Final = 64
_TRIES: Final = 4
# Longer than a working day at the longest pause; by then the daily renewal has come by.
_MOST_ATTEMPTS: Final = 60
_TOLD_FROM: Final = 2
# Well within the time in which Pub/Sub waits for an answer.
_TIMEOUT_S: Final = 40.0
_RUN_BYTES: Final = 9
_RUNS: Final = frozenset({"backfill", "resync", "search_contact"})


class Errand(msgspec.Struct, kw_only=True):
    """A task for one user: what to do, for which generation, at which try. ``id`` and ``page`` are a run's."""

    kind: Literal["start", "stop", "drain", "renew", "backfill", "resync", "search_contact", "fan_out"]
    user: str
    generation: str = ""
    attempt: int = 0
    id: str = ""
    page: str = ""
    contact: str = ""


@dataclass(frozen=True)
class Push:
    """What Gmail pushes: whose mailbox has come to which history id."""

    address: str
    history_id: int


class _Envelope(msgspec.Struct):
    class Message(msgspec.Struct):
        data: str = ""

    message: Message


class _Data(msgspec.Struct, rename="camel"):
    email_address: str
    history_id: int | str


def parse_push(unverified_body: bytes) -> Push | None:
    """The push in Pub/Sub's envelope, its data in base64 or base64url; None for what is none."""
    try:
        data = msgspec.json.decode(unverified_body, type=_Envelope).message.data
        raw = base64.b64decode(data.translate(_TO_STANDARD) + "=" * (-len(data) % 4), validate=True)
        told = msgspec.json.decode(raw, type=_Data)
        history_id = int(told.history_id)
    except (msgspec.MsgspecError, binascii.Error, ValueError, UnicodeError):
        return None
    address = normalise(told.email_address)
    if "@" not in address or len(address) > _MOST_ADDRESS_CHARS or not 0 < history_id < 2**_MOST_ID_BITS:
        return None
    return Push(address, history_id)


_TO_STANDARD: Final = str.maketrans("-_", "+/")


def apply_push(push: Push) -> None:
    """Drains every connection of the mailbox that the push names, each on its own.

    Raises GoogleAPICallError where the store or the tasks fail, after the others have had their turn.
    """
    connections = store().connections.find_by_address(push.address)
    if not connections:
        log.event("push-unknown")
    troubles: list[Exception] = []
    for connection in connections:
        if not connection.mailmagnet or connection.status is not ConnectionStatus.CONNECTED:
            continue
        errand = Errand(kind="drain", user=connection.user_id, generation=connection.generation)
        try:
            _guard(errand, connection, partial(_drain, connection, push=push))
        except passing_errors() as error:
            troubles.append(error)
    if troubles:
        raise troubles[0]


def apply_errand(errand: Errand) -> None:
    """Does one task. An absent connection and an older generation are passed over.

    Raises GoogleAPICallError where the store or the tasks fail.
    """
    if errand.kind == "fan_out":
        watching.fan_out(errand.user)
        return
    context = store().load_context(errand.user)
    connection = context.connection.value if context.connection else None
    if connection is None or connection.generation != errand.generation:
        log.event("errand-passed", kind=errand.kind, reason="generation" if connection else "absent")
        return
    _guard(errand, connection, partial(_apply, errand, context, connection))


def _apply(errand: Errand, context: Context, connection: Connection) -> None:
    match errand.kind:
        case "start":
            watching.apply_start(context, partial(_open, context))
        case "stop":
            watching.apply_stop(context, partial(_open, context))
        case "renew":
            watching.apply_renew(context, partial(_open, context))
        case "drain":
            _drain(connection, attempt=errand.attempt)
        case _:
            backfill.apply_step(context, partial(_open, context), _step(errand))


def _open(context: Context) -> Gmail:
    if context.connection is None:
        raise LookupError("there is no mailbox to open")
    retry_after = context.mailbox.value.retry_after if context.mailbox else None
    return open_gmail(context.connection.value, background=True, timeout_s=_TIMEOUT_S, retry_after=retry_after)


def _drain(connection: Connection, *, push: Push | None = None, attempt: int = 0) -> None:
    """Drains, again if somebody else was faster; raises Lost where that does not end. An old push costs nothing."""
    for _ in range(_TRIES):
        context = store().load_context(connection.user_id)
        magnet = running(context, connection.generation)
        if magnet is None:
            return
        if push is not None and push.history_id <= magnet.sync.value.cursor:
            announce(magnet.connection, magnet.sync)
            return
        pushed_at = clock.now() if push is not None else None
        if drain(context, _open(context), attempt=attempt, pushed_at=pushed_at).outcome is not Outcome.LOST:
            watching.leave_look(connection)
            return
    raise Lost


def _guard(errand: Errand, connection: Connection, work: Callable[[], None]) -> None:
    """Does the work; where this mailbox keeps it from being done, leaves it for later."""
    try:
        work()
    except RateLimited as problem:
        _leave(errand, connection, problem.retry_at or clock.now() + magnet_tasks.pause(errand.attempt + 1))
    except ReauthRequired as problem:
        tokens.mark_reauth(connection, str(problem.members.get("reason", "")))
    except Lost:
        _leave(errand, connection, clock.now())
    except Problem as problem:
        _hear(errand, connection, problem)
    except passing_errors():
        # Trouble of our own that passes: the queue or the subscription tries again.
        raise
    except Exception as error:  # noqa: BLE001  (one mailbox's trouble, whatever it is, must delay no other)
        log.failure("errand", error, kind=errand.kind, attempt=errand.attempt)
        _hear(errand, connection, Problem())


def _hear(errand: Errand, connection: Connection, problem: Problem) -> None:
    log.event(
        "errand-failed",
        severity="WARNING",
        kind=errand.kind,
        code=problem.code,
        attempt=errand.attempt,
        user=keys().hash("log", connection.user_id),
    )
    if errand.attempt >= _TOLD_FROM or not problem.retryable:
        watching.save_error(connection, problem.code)
    if problem.retryable and errand.kind in _RUNS:
        # A run's tries are its steps: as long as it gets on, they do not count.
        _leave(errand, connection, clock.now() + magnet_tasks.pause(_TOLD_FROM))
    elif errand.attempt < _MOST_ATTEMPTS:
        # A run that Gmail refuses begins anew: its page token may be over.
        errand = msgspec.structs.replace(errand, page="")
        _leave(errand, connection, clock.now() + magnet_tasks.pause(errand.attempt + 1))


def _leave(errand: Errand, connection: Connection, at: datetime) -> None:
    if errand.kind in _RUNS:
        backfill.leave(connection, _step(errand), errand.page, at)
    elif errand.kind != "fan_out":
        magnet_tasks.leave_retry(errand.kind, connection, at, attempt=errand.attempt + 1)


def _step(errand: Errand) -> backfill.Step:
    kind: Any = errand.kind
    # Who asks for a contact's mail names no run: each time is one of its own.
    run = errand.id or random_token(_RUN_BYTES)
    return backfill.Step(kind, run, errand.attempt, errand.page, errand.contact)
