"""Owns what the CRM's webhook is told: leaves tasks with ids alone, and builds and signs the news when they run.

Nothing is left where no webhook is configured. A webhook that cannot be told delays nobody. How the news travels is
``webhook_transport``'s.

Source: the Standard Webhooks specification 1.0 (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from common import announcing, clock, log, tasks
from common.config import config
from common.errors import Unavailable
from common.keys import keys
from common.model import Announcement, Connection
from common.store.client import store


class News(msgspec.Struct, kw_only=True):
    """A task of the webhook's queue: ids alone."""

    kind: Literal["notice", "status"]
    user: str
    generation: str = ""
    mail: str = ""
    id: str = ""


def enqueue_status(announcement: Announcement) -> None:
    """Leaves the news that a status changed; what it is then is read at delivery. Left again, it is still one task.

    Raises GoogleAPICallError.
    """
    name = announcement.announcement_id
    _enqueue("status", announcement, name, id=name)


def enqueue_notice(connection: Connection, mail_id: str) -> None:
    """Leaves the news of one notice; what it says is read at delivery. Left again, it is still one task.

    Raises GoogleAPICallError.
    """
    _enqueue("notice", connection, mail_id, mail=mail_id)


def _enqueue(kind: str, of: Connection | Announcement, slot: str, **ids: str) -> None:
    settings = config()
    if not settings.webhook_url:
        return
    tasks.enqueue(
        settings.webhook_queue,
        f"{settings.magnet_ingest_url}/deliver",
        {"kind": kind, "user": of.user_id, "generation": of.generation, **ids},
        user_id=of.user_id,
        generation=of.generation,
        slot=slot,
        audience=settings.magnet_ingest_url,
    )


def deliver(news: News) -> None:
    """Tells the webhook, if what the news is of still is. Raises Unavailable where it is to be told again."""
    settings = config()
    if not settings.webhook_url:
        return
    body = _load_status(news) if news.kind == "status" else _load_notice(news)
    if body is None:
        log.event("webhook-passed", kind=news.kind)
        return
    payload = msgspec.json.encode(body)
    sent_at = clock.now()
    message_id = news.id or keys().hash("webhook", news.kind, news.user, news.mail)
    headers = sign(message_id, sent_at, payload, settings.webhook_key)
    # Imported here: whoever leaves a task needs none of it.
    from common.webhook_transport import Undeliverable, post

    try:
        status = post(settings.webhook_url, payload, headers, allow_loopback=settings.webhook_allow_loopback)
    except Undeliverable as trouble:
        log.event("webhook", severity="WARNING", kind=news.kind, reason=trouble.reason)
        raise Unavailable("webhook-unreachable") from trouble
    is_done = verify_taken(status)
    if news.kind == "status":
        announcing.settle(news.id)
    log.event("webhook", severity="INFO" if is_done else "ERROR", kind=news.kind, status=status)


def verify_taken(status: int) -> bool:
    """Whether the webhook took the news; False where it never will. Raises Unavailable where it may later.

    Another 4xx than 408, 425 and 429 is a refusal for good, and so is a redirect: none is followed.
    """
    if 200 <= status < 300:
        return True
    passing = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in passing:
        raise Unavailable("webhook-failing")
    return False


def sign(message_id: str, sent_at: datetime, payload: bytes, key: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks: id, time (seconds since 1970) and signature (HMAC-SHA256, scheme v1)."""
    timestamp = str(int(sent_at.timestamp()))
    signed = b".".join([message_id.encode(), timestamp.encode(), payload])
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


def _load_status(news: News) -> dict[str, Any] | None:
    if not news.id or store().announcements.load(news.id) is None:
        return None
    held = store().connections.load(news.user)
    now = clock.now()
    data = {
        "user": news.user,
        "status": held.value.status.value if held else announcing.ABSENT,
        "reason": held.value.reauth_reason if held else "",
    }
    return {"type": "connection.status", "timestamp": now, "data": data}


def _load_notice(news: News) -> dict[str, Any] | None:
    held = store().connections.load(news.user)
    if held is None or held.value.generation != news.generation or not held.value.mailmagnet:
        return None
    notice = store().notices.load(news.user, news.mail)
    if notice is None or notice.value.mailbox_key != held.value.mailbox_key:
        return None
    sender = store().senders.load(news.user, notice.value.from_address)
    data = {
        "user": news.user,
        "mail_id": notice.value.mail_id,
        "from": notice.value.from_address,
        "received_at": notice.value.received_at,
        "contact_ids": list(sender.value.contact_ids) if sender else [],
        "unverified": notice.value.unverified,
    }
    return {"type": "notice.created", "timestamp": clock.now(), "data": data}
