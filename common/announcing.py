"""Owns that each change of a connection's status is told to the CRM's webhook: noted by the commit that makes it.

A note lasts until the webhook has taken or refused the news (``webhook.deliver``). So whoever dies after the commit is
followed up by the next who comes by, at the latest by the next dispatch, and news told twice has the same id.
Nothing is noted where no webhook is configured. Knows no route.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from common import clock, log
from common.config import config
from common.keys import keys
from common.lazy import google_errors
from common.model import Announcement, Connection
from common.store.client import Batch, store

# A webhook that is down for longer has more to learn than this: it asks for the connections as they are.
OWED_FOR: Final = timedelta(days=30)
ABSENT: Final = "absent"
_PAGE: Final = 100


def note(connection: Connection, status: str, batch: Batch) -> Announcement | None:
    """Adds to ``batch`` that the webhook is to be told; None where there is no webhook.

    A generation comes to each status once, so all who note the same change note the same announcement.
    """
    if not config().webhook_url:
        return None
    announcement = Announcement(
        announcement_id=keys().hash("announcement", connection.user_id, connection.generation, status),
        user_id=connection.user_id,
        generation=connection.generation,
        expires_at=clock.now() + OWED_FOR,
    )
    store().announcements.save(announcement, batch=batch)
    return announcement


def send(announcement: Announcement | None) -> None:
    """Leaves the task that tells it. Where that fails, what was noted is sent by whoever comes by."""
    if announcement is None:
        return
    try:
        _send(announcement)
    except google_errors.GoogleAPIError as error:
        log.failure("webhook-task", error)


def send_owed(user_id: str) -> None:
    """Leaves what is still owed of this user's connections, once more where it was left already: that adds no task.

    Raises GoogleAPIError where the store fails.
    """
    if config().webhook_url:
        for held in store().announcements.of_user(user_id):
            send(held.value)


def send_all_owed() -> None:
    """Leaves everything that is still owed. Raises GoogleAPIError."""
    after = ""
    while True:
        page = store().announcements.page(after=after, limit=_PAGE)
        for held in page:
            _send(held.value)
        if len(page) < _PAGE:
            return
        after = page[-1].value.announcement_id


def settle(announcement_id: str) -> None:
    """Nothing is owed of it any more."""
    store().announcements.delete(announcement_id)


def _send(announcement: Announcement) -> None:
    if not config().webhook_url:
        # There was one when it was noted.
        settle(announcement.announcement_id)
        return
    # Imported here: it brings Cloud Tasks along, and few processes ever come this way.
    from common import webhook

    webhook.enqueue_status(announcement)
