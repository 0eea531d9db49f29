"""The demo CRM's webhook: verifies what the product tells it (Standard Webhooks), once each.

Owns the ids that it has heard. Source: https://www.standardwebhooks.com, specification 1.0.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

_OLDEST_S = 300
_REMEMBERED = 1_000


class Refused(Exception):
    """News that cannot be believed: unsigned, wrongly signed or too old."""


class Webhook:
    """``take`` answers the news, or None for one that was heard before."""

    def __init__(self, key: str, now: Callable[[], datetime]) -> None:
        self._key = base64.b64decode(key)
        self._now = now
        self._heard: OrderedDict[str, None] = OrderedDict()

    def take(self, headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
        """The verified news; the case of the headers' names does not count. Raises Refused."""
        given = {name.lower(): value for name, value in headers.items()}
        message_id = given.get("webhook-id", "")
        self._verify(message_id, given.get("webhook-timestamp", ""), given.get("webhook-signature", ""), body)
        if message_id in self._heard:
            return None
        self._heard[message_id] = None
        while len(self._heard) > _REMEMBERED:
            self._heard.popitem(last=False)
        news: dict[str, Any] = json.loads(body)
        return news

    def _verify(self, message_id: str, timestamp: str, unverified_signatures: str, body: bytes) -> None:
        if not (timestamp.isascii() and timestamp.isdigit()):
            raise Refused("no time")
        if abs(self._now().timestamp() - int(timestamp)) > _OLDEST_S:
            raise Refused("too old")
        signed = b".".join([message_id.encode(), timestamp.encode(), body])
        wanted = base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
        given = [one[3:] for one in unverified_signatures.split() if one.startswith("v1,")]
        if not any(hmac.compare_digest(one.encode(), wanted.encode()) for one in given):
            raise Refused("wrongly signed")
