"""The demo CRM's webhook takes what the product signs, once, and nothing else."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from common.webhook import sign
from local.crm.webhook import Refused, Webhook

KEY = b"k" * 32
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BODY = b'{"type": "notice.created", "data": {"user": "anna"}}'


@pytest.fixture
def webhook() -> Webhook:
    return Webhook(base64.b64encode(KEY).decode(), lambda: NOW)


def test_signed_news_are_taken_once(webhook: Webhook) -> None:
    """What the product signed is believed, whatever the case of its headers; the same news again are passed over."""
    headers = {name.title(): value for name, value in sign("id-1", NOW, BODY, KEY).items()}

    assert {"type": "notice.created", "data": {"user": "anna"}} == webhook.take(headers, BODY)
    assert webhook.take(headers, BODY) is None
    assert webhook.take(sign("id-2", NOW, BODY, KEY), BODY) is not None


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (sign("id-1", NOW, BODY, b"x" * 32), BODY),
        (sign("id-1", NOW, BODY, KEY), BODY + b" "),
        (sign("id-1", NOW - timedelta(minutes=6), BODY, KEY), BODY),
        (sign("id-1", NOW, BODY, KEY) | {"webhook-id": "id-2"}, BODY),
        (sign("id-1", NOW, BODY, KEY) | {"webhook-timestamp": "soon"}, BODY),
        ({}, BODY),
    ],
)
def test_other_news_are_refused(webhook: Webhook, headers: dict[str, str], body: bytes) -> None:
    """A wrong key, a changed body or id, an old or unreadable time, and no signature at all are refused."""
    with pytest.raises(Refused):
        webhook.take(headers, body)
