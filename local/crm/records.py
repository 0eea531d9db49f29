"""The demo CRM's records as they are now: made once, changed by people, and dated by the day they were made.

Owns the state of the demo's contacts and deals. May import ``local.crm.people`` alone.
"""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

from local.crm.people import directory

Record = dict[str, Any]


class Records:
    """Users, contacts and deals in the form that ``POST /directory`` takes."""

    def __init__(self, today: date) -> None:
        self._lock = threading.Lock()
        self._kinds = directory(today)

    def renew(self, today: date) -> None:
        """Forgets all changes; closing dates are those seen from ``today``."""
        with self._lock:
            self._kinds = directory(today)

    def all(self) -> dict[str, list[Record]]:
        """A copy of everything."""
        with self._lock:
            return {kind: [dict(one) for one in records] for kind, records in self._kinds.items()}

    def change(self, kind: str, record_id: str, **changes: Any) -> Record:
        """Changes a record and returns it as it is then. Raises KeyError where there is none."""
        with self._lock:
            for one in self._kinds[kind]:
                if one["id"] == record_id:
                    one.update(changes)
                    return dict(one)
        raise KeyError(record_id)
