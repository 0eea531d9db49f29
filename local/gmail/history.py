"""A mailbox's history: what changed, under growing ids that leave gaps, kept for a week."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from local.gmail.errors import not_found

Kind = Literal["messagesAdded", "messagesDeleted", "labelsAdded", "labelsRemoved"]
# historyTypes name the kinds in the singular.
KIND_OF_TYPE: dict[str, Kind] = {
    "messageAdded": "messagesAdded",
    "messageDeleted": "messagesDeleted",
    "labelAdded": "labelsAdded",
    "labelRemoved": "labelsRemoved",
}
# "typically available for at least one week" (users.history.list)
KEPT_S = 7 * 24 * 3600.0
_GAPS = (1, 3, 2, 7, 1, 5)


@dataclass(frozen=True, slots=True)
class Record:
    """One change of one message. ``labels`` are the message's after it, ``changed`` those put on or taken off.

    Records of one ``step`` came of the same action.
    """

    id: int
    kind: Kind
    message_id: str
    thread_id: str
    labels: tuple[str, ...]
    changed: tuple[str, ...]
    at_s: float
    step: int

    def concerns(self) -> frozenset[str]:
        """All labels that this change has to do with."""
        return frozenset(self.labels) | frozenset(self.changed)

    def as_json(self) -> dict[str, Any]:
        """The change as an entry of its kind's list."""
        message = {"id": self.message_id, "threadId": self.thread_id, "labelIds": list(self.labels)}
        if not self.labels:
            del message["labelIds"]
        if self.kind in ("labelsAdded", "labelsRemoved"):
            return {"message": message, "labelIds": list(self.changed)}
        return {"message": message}


def record_json(changes: Sequence[Record]) -> dict[str, Any]:
    """One record of ``users.history.list`` of one change, or of several that came together.

    Like Gmail's it lists each message once under ``messages``, and each change under its kind.
    """
    messages = {one.message_id: {"id": one.message_id, "threadId": one.thread_id} for one in changes}
    record: dict[str, Any] = {"id": str(changes[-1].id), "messages": list(messages.values())}
    for one in changes:
        record.setdefault(one.kind, []).append(one.as_json())
    return record


class History:
    """The records of one mailbox. Not locked: its mailbox is."""

    def __init__(self, first_id: int) -> None:
        self.current_id = first_id
        self._floor = first_id
        self._records: deque[Record] = deque()
        self._noted = 0

    def append(
        self,
        kind: Kind,
        message_id: str,
        thread_id: str,
        labels: Collection[str],
        changed: Collection[str],
        at_s: float,
        step: int,
    ) -> Record:
        """Notes a change under the next id and returns the record."""
        self.current_id += _GAPS[self._noted % len(_GAPS)]
        self._noted += 1
        record = Record(
            self.current_id, kind, message_id, thread_id, tuple(sorted(labels)), tuple(sorted(changed)), at_s, step
        )
        self._records.append(record)
        self.expire(at_s)
        return record

    def expire(self, now_s: float, kept_s: float = KEPT_S) -> None:
        """Forgets the records that are older than ``kept_s``."""
        while self._records and self._records[0].at_s <= now_s - kept_s:
            self._floor = self._records.popleft().id

    def forget(self) -> None:
        """Forgets all records: only the present id is a valid start from now on."""
        self._records.clear()
        self._floor = self.current_id

    def since(self, start_id: int, now_s: float) -> Iterator[Record]:
        """The records after ``start_id``. Raises GmailError 404 where history no longer reaches back so far."""
        self.expire(now_s)
        if start_id < self._floor:
            raise not_found()
        # Searched from the young end: callers ask for what just happened.
        count = 0
        for record in reversed(self._records):
            if record.id <= start_id:
                break
            count += 1
        return islice(self._records, len(self._records) - count, None)
