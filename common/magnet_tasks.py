"""Owns the tasks that MailMagnet leaves for itself: what ``POST /users/{id}`` of ``magnet_ingest`` will do later.

Names are such that the same errand is left once, and a later one is never taken for it.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from common import clock, tasks
from common.config import config
from common.model import Connection

Kind = Literal["start", "stop", "drain", "renew", "backfill", "resync", "search_contact", "fan_out"]

_GRID_S: Final = 15
# Nearer than that, the clocks of two machines may disagree on whether a slot has passed.
_LEAST_AHEAD_S: Final = 5
_FIRST_PAUSE_S: Final = 30.0
_LONGEST_PAUSE_S: Final = 600.0
_LOOK_EVERY_S: Final = 60


def plan_slot(at: datetime, now: datetime) -> datetime:
    """The next time on a grid of 15 seconds, at ``at`` or later and always ahead of ``now``.

    Who asks again for the same slot before it has come gets the same name, and so the same task; afterwards nobody
    gets it, so that its name, blocked for an hour (Cloud Tasks, task de-duplication), hides no other task.
    """
    earliest_s = max(at.timestamp(), now.timestamp() + _LEAST_AHEAD_S)
    return datetime.fromtimestamp(math.ceil(earliest_s / _GRID_S) * _GRID_S, tz=UTC)


def pause(attempt: int) -> timedelta:
    """How long to wait after try ``attempt`` (1, 2 …): half a minute at first, ten at last: eleven tries an hour."""
    return timedelta(seconds=min(_FIRST_PAUSE_S * 2 ** min(attempt - 1, 20), _LONGEST_PAUSE_S))


def leave_retry(kind: Kind, connection: Connection, at: datetime, *, attempt: int = 0, contact: str = "") -> None:
    """Leaves ``kind`` for the connection at about ``at``; several who ask for about the same time leave one task."""
    due = plan_slot(at, clock.now())
    _enqueue(kind, connection, slot=f"{contact} {due.isoformat()}", at=_spread(due), attempt=attempt, contact=contact)


def leave_step(
    kind: Kind,
    connection: Connection,
    at: datetime,
    *,
    run: str,
    step: int,
    page: str = "",
    contact: str = "",
    again: str = "",
) -> None:
    """Leaves step ``step`` of the run ``run``; however often the step before is done, the next is left once.

    ``again`` is another name for the same step, where the first task of it may have got lost.
    """
    slot = f"{run}:{step}:{again}"
    _enqueue(kind, connection, slot=slot, at=at, attempt=step, id=run, page=page, contact=contact)


def leave_daily(kind: Kind, connection: Connection, at: datetime) -> None:
    """Leaves ``kind`` for the connection once a day (UTC)."""
    _enqueue(kind, connection, slot=clock.now().date().isoformat(), at=at, attempt=0)


def leave_look(connection: Connection) -> None:
    """Leaves the next drain of a mailbox of which nothing is pushed, at a full minute: several chains become one."""
    earliest_s = clock.now().timestamp() + _LEAST_AHEAD_S
    due = datetime.fromtimestamp(math.ceil(earliest_s / _LOOK_EVERY_S) * _LOOK_EVERY_S, tz=UTC)
    _enqueue("drain", connection, slot=f"look {due.isoformat()}", at=due, attempt=0)


def _enqueue(kind: Kind, connection: Connection, *, slot: str, at: datetime, attempt: int, **ids: str) -> None:
    settings = config()
    tasks.enqueue(
        settings.ingest_queue,
        tasks.user_url(settings.magnet_ingest_url, connection.user_id),
        {
            "kind": kind,
            "user": connection.user_id,
            "generation": connection.generation,
            "attempt": attempt,
            **{name: value for name, value in ids.items() if value},
        },
        user_id=connection.user_id,
        generation=connection.generation,
        slot=slot,
        audience=settings.magnet_ingest_url,
        at=at,
    )


def _spread(due: datetime) -> datetime:
    return due + timedelta(seconds=random.uniform(0, _GRID_S / 2))  # noqa: S311  (spreads, hides nothing)
