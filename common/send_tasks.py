"""Owns the tasks that sending leaves for itself: what ``POST /tasks/send`` will do later. They carry ids alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec import Struct

from common import clock, tasks
from common.config import config
from common.model import Send

ROUTE: Final = "/tasks/send"


class SendTask(Struct, kw_only=True):
    """``send``: a scheduled mail of this ``version`` is due; ``lookup``: find out whether a mail went out.

    ``key`` is the hash that names the record; ``attempt`` counts tries and hops.
    """

    kind: Literal["send", "lookup"]
    user: str
    key: str
    generation: str
    version: int = 0
    attempt: int = 0


def leave(send: Send, kind: Literal["send", "lookup"], at: datetime, *, version: int = 0, attempt: int = 0) -> None:
    """Leaves the task for ``at``, or for as near to it as Cloud Tasks can: its handler looks at the time again.

    Who leaves the same one again leaves nothing. Raises GoogleAPICallError.
    """
    settings = config()
    tasks.enqueue(
        settings.send_queue,
        f"{settings.mail_proxy_url}{ROUTE}",
        {
            "kind": kind,
            "user": send.user_id,
            "key": send.key_hash,
            "generation": send.generation,
            "version": version,
            "attempt": attempt,
        },
        user_id=send.user_id,
        generation=send.generation,
        slot=f"{send.key_hash} {version} {attempt} {_due(at).isoformat()}",
        audience=settings.mail_proxy_url,
        at=at,
    )


def _due(at: datetime) -> datetime:
    # Within the same hour, hops to a far time are the same task.
    farthest = clock.now() + tasks.FARTHEST
    return at if at <= farthest else farthest.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
