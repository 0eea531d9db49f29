"""The book of what just happened inside, for people who watch: a line each, numbered, the last few thousand.

Of a written document it holds the path and the names of the fields, of a request its path without the query: never a
value, so that no mail can be in it. Owns the lines; the stand-ins tell them by their ``observe``, and know no book.
"""

from __future__ import annotations

import base64
import itertools
import re
import threading
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from local.clock import LocalClock
    from local.cloudtasks import TaskSeen
    from local.firestore.written import Written
    from local.google import Google
    from local.ledger import Call

Kind = Literal[
    "request", "gmail", "oauth", "secret", "firestore", "task_created", "task_run", "push", "job", "webhook", "done"
]
_KEPT = 4_000
_MOST_AT_ONCE = 400
# What the ledger tells; Firestore, Tasks and the scheduler tell more than it does, and by themselves.
_FROM_LEDGER: dict[str, Kind] = {"gmail": "gmail", "oauth": "oauth", "secretmanager": "secret"}


@dataclass(frozen=True)
class Happening:
    """One line. ``where`` is a mailbox, a document's path or a route; ``ms`` is how long it took."""

    number: int
    at: datetime
    kind: Kind
    what: str
    where: str = ""
    status: int = 0
    units: int = 0
    fields: tuple[str, ...] = ()
    ms: int = 0


def readable(path: str) -> str:
    """A path whose ids are shown as they were before the product encoded them (base64url), where they are words."""
    return "/".join(_decoded(segment) for segment in path.split("/"))


def _decoded(segment: str) -> str:
    try:
        found = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)).decode("ascii")
    except ValueError:
        return segment
    is_word = re.fullmatch(r"[a-z0-9][\w.:@-]*", found) is not None
    return found if is_word and base64.urlsafe_b64encode(found.encode()).decode().rstrip("=") == segment else segment


class Happenings:
    """The book. Readers ask for what came since a mark, and get the mark to go on from."""

    def __init__(self, clock: LocalClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._lines: deque[Happening] = deque(maxlen=_KEPT)

    def watch(self, google: Google) -> None:
        """Hears from now on what the stand-ins do. Google's own emulators tell nothing of what they write."""
        google.ledger.observe = self._note_call
        google.tasks.observe = self._note_task
        google.scheduler.observe = self._note_job
        if hasattr(google.firestore, "observe_writes"):
            google.firestore.observe_writes = self._note_writes

    def add(self, kind: Kind, what: str, where: str = "", **more: Any) -> None:
        """Enters a line: ``status``, ``units``, ``fields`` and ``ms`` as in ``Happening``."""
        with self._lock:
            self._lines.append(Happening(next(self._numbers), self._clock.now(), kind, what, where, **more))

    def since(self, mark: int) -> dict[str, Any]:
        """What came after the mark, oldest first, as JSON; ``missed`` is how many lines before it are not shown."""
        with self._lock:
            newer = [line for line in self._lines if line.number > mark]
        last = newer[-1].number if newer else mark
        shown = newer[-_MOST_AT_ONCE:]
        rows = [{**asdict(line), "at": line.at.isoformat()} for line in shown]
        now = self._clock.now().isoformat()
        return {"now": now, "mark": last, "missed": last - mark - len(shown), "happenings": rows}

    def note_request(self, method: str, url: str, status: int, took_s: float) -> None:
        """A request of the CRM's page to a public function; what Google's own services ask is told by them."""
        path = urlsplit(url).path.removeprefix("/")
        if method != "OPTIONS" and path.startswith(("oauth_callback/", "mail_proxy/")) and "/tasks/" not in path:
            self.add("request", method, path, status=status, ms=round(took_s * 1000))

    def _note_call(self, call: Call) -> None:
        ms = round((call.ended_s - call.started_s) * 1000)
        if kind := _FROM_LEDGER.get(call.service):
            method = call.method.removeprefix("users.")
            units = call.units if kind == "gmail" else 0
            self.add(kind, method, call.mailbox, status=call.status, units=units, ms=ms)
        elif (call.service, call.method) == ("pubsub", "push"):
            self.add("push", "push", "magnet_ingest", status=call.status, ms=ms)

    def _note_writes(self, writes: Iterable[Written]) -> None:
        for one in writes:
            self.add("firestore", one.operation, readable(one.path), status=200, fields=one.fields)

    def _note_task(self, task: TaskSeen) -> None:
        route = readable(urlsplit(task.url).path.removeprefix("/"))
        self.add("task_run" if task.status is not None else "task_created", task.queue, route, status=task.status or 0)

    def _note_job(self, job: str, status: int) -> None:
        self.add("job", job, status=status)
