"""Watches: which change of a mailbox makes a push, and how often.

Pushes are published in the thread of the call that caused them, after the mailbox's lock is free.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from local.gmail.errors import GmailError, failed_precondition, invalid_argument

if TYPE_CHECKING:
    from local.gmail.contract import Publish
    from local.gmail.history import Record
    from local.gmail.mailbox import Mailbox

# users.watch: "call watch at least once every 7 days"
WATCH_S = 7 * 24 * 3600
# "maximum notification rate of 1 event per second … above that rate will be dropped" (guides/push)
PUSH_INTERVAL_S = 1.0


@dataclass(slots=True)
class Watch:
    """A running watch. ``exclude`` turns the labels from those wanted into those not wanted."""

    topic: str
    labels: frozenset[str]
    exclude: bool
    expires_at_s: float
    pushed_at_s: float = float("-inf")

    def lets_through(self, record: Record) -> bool:
        """Whether the change is one to be told of."""
        if not self.labels:
            return True
        return bool(record.concerns() & self.labels) != self.exclude


class Watches:
    """Starts, stops and serves the watches of all mailboxes. One project, so one watch a mailbox."""

    def __init__(self, now: Callable[[], datetime], publish: Publish, project: str, topics: Collection[str]) -> None:
        self._now = now
        self._publish = publish
        self._project = project
        self._topics = topics

    def start(self, mailbox: Mailbox, body: dict[str, Any]) -> dict[str, str]:
        """Starts or renews, and pushes once at once.

        Returns the answer of ``users.watch``. Raises GmailError 400, 403 or 404 for a topic that is not ours to use.
        """
        topic = body.get("topicName", "")
        self._verify_topic(topic)
        labels = frozenset(body.get("labelIds", ()))
        behaviour = body.get("labelFilterBehavior") or body.get("labelFilterAction") or "include"
        now_s = self._now().timestamp()
        with mailbox.lock:
            mailbox.labels.verify_known(labels)
            running = mailbox.watch
            if running is not None and running.expires_at_s > now_s and running.topic != topic:
                raise failed_precondition(
                    "Only one user push notification client allowed per developer (call /stop then try again)"
                )
            mailbox.watch = Watch(topic, labels, behaviour == "exclude", now_s + WATCH_S)
            answer = {
                "historyId": str(mailbox.history.current_id),
                "expiration": str(int(mailbox.watch.expires_at_s * 1000)),
            }
            mailbox.watch.pushed_at_s = now_s
        self._push(topic, mailbox.address, int(answer["historyId"]))
        return answer

    def stop(self, mailbox: Mailbox) -> None:
        with mailbox.lock:
            mailbox.watch = None

    def notice(self, mailbox: Mailbox, records: Sequence[Record]) -> None:
        """Pushes if one of the changes passes the watch's filter and the last push is a second old; else drops."""
        now_s = self._now().timestamp()
        with mailbox.lock:
            watch = mailbox.watch
            if watch is None or now_s >= watch.expires_at_s or now_s - watch.pushed_at_s < PUSH_INTERVAL_S:
                return
            passed = [record for record in records if watch.lets_through(record)]
            if not passed:
                return
            watch.pushed_at_s = now_s
            address = mailbox.address
        self._push(watch.topic, address, passed[-1].id)

    def _push(self, topic: str, address: str, history_id: int) -> None:
        self._publish(topic, json.dumps({"emailAddress": address, "historyId": history_id}).encode())

    def _verify_topic(self, topic: str) -> None:
        parts = topic.split("/")
        if len(parts) != 4 or parts[0] != "projects" or parts[2] != "topics":
            raise invalid_argument(f"Invalid topicName: {topic}")
        if parts[1] != self._project:
            raise invalid_argument(f"Invalid topicName does not match projects/{self._project}/topics/*")
        if topic not in self._topics:
            raise GmailError(
                404,
                "notFound",
                f"Error sending test message to Cloud PubSub {topic} : Resource not found (resource={parts[3]}).",
            )
