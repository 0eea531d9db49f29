"""Owns what the CRM's webhook is told: leaves a task with ids alone, which ``magnet_ingest`` delivers.

Nothing is left where no webhook is configured. A webhook that cannot be told delays nobody.
"""

from __future__ import annotations

from google.api_core import exceptions as google_errors

from common import clock, log, tasks
from common.config import config
from common.model import Connection


def enqueue_status(connection: Connection) -> None:
    """Leaves the news that the status of the user's connection changed; what it is then is read at delivery."""
    settings = config()
    if not settings.webhook_url:
        return
    try:
        tasks.enqueue(
            settings.webhook_queue,
            f"{settings.magnet_ingest_url}/deliver",
            {"kind": "status", "user": connection.user_id, "generation": connection.generation},
            user_id=connection.user_id,
            generation=connection.generation,
            slot=clock.now().isoformat(timespec="milliseconds"),
            audience=settings.magnet_ingest_url,
        )
    except google_errors.GoogleAPICallError as error:
        log.failure("webhook-task", error)


def enqueue_notice(connection: Connection, mail_id: str) -> None:
    """Leaves the news of one notice; what it says is read at delivery. Left again, it is still one task.

    Nothing is left where no webhook is configured. Raises GoogleAPICallError.
    """
    settings = config()
    if not settings.webhook_url:
        return
    tasks.enqueue(
        settings.webhook_queue,
        f"{settings.magnet_ingest_url}/deliver",
        {"kind": "notice", "user": connection.user_id, "generation": connection.generation, "mail": mail_id},
        user_id=connection.user_id,
        generation=connection.generation,
        slot=mail_id,
        audience=settings.magnet_ingest_url,
    )
