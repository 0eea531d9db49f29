"""Pub/Sub's pull: messages are leased, acknowledged or given back, and come again when a lease is over.

Owns the messages of one pull subscription. May import nothing of ``local`` but types. Behaviour:
https://cloud.google.com/pubsub/docs/pull and https://cloud.google.com/pubsub/docs/lease-management.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.pubsub import PubSubMessage


@dataclass
class _Held:
    message: PubSubMessage
    ack_id: str = ""
    leased_until: datetime | None = None


@dataclass
class PullSubscription:
    """A subscription without an endpoint; its caller holds the lock."""

    name: str
    topic: str
    ack_deadline_s: int
    _held: list[_Held] = field(default_factory=list)
    _leases: int = 0

    def add(self, message: PubSubMessage) -> None:
        self._held.append(_Held(message))

    def clear(self) -> None:
        self._held.clear()

    def pull(self, now: datetime, limit: int) -> list[tuple[str, PubSubMessage]]:
        """Up to ``limit`` messages that nobody holds, each with the id that acknowledges this lease of it."""
        free = [one for one in self._held if one.leased_until is None or one.leased_until <= now][:limit]
        for one in free:
            self._leases += 1
            one.ack_id = f"{self.name.rpartition('/')[2]}-{self._leases}"
            one.leased_until = now + timedelta(seconds=self.ack_deadline_s)
        return [(one.ack_id, one.message) for one in free]

    def acknowledge(self, ack_ids: Iterable[str], now: datetime) -> None:
        """Forgets what is leased under these ids. One whose time is over does nothing: the message comes again."""
        done = set(ack_ids)
        self._held = [one for one in self._held if not (one.ack_id in done and _is_leased(one, now))]

    def modify(self, ack_ids: Iterable[str], seconds: int, now: datetime) -> None:
        """Ends these leases after so many seconds from now; 0 gives the messages back at once."""
        wanted = set(ack_ids)
        for one in self._held:
            if one.ack_id in wanted and _is_leased(one, now):
                one.leased_until = now + timedelta(seconds=seconds)


def _is_leased(one: _Held, now: datetime) -> bool:
    return one.leased_until is not None and one.leased_until > now
