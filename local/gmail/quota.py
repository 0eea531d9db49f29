"""What calls cost and how many may be made: units by minute and mailbox, units by project, calls at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from local.gmail.errors import GmailError, too_many_concurrent

# developers.google.com/workspace/gmail/api/reference/quota, for projects made since 1 May 2026. drafts.get and
# untrash are taken to have become dearer together with messages.get and trash.
UNITS: dict[str, int] = {
    "users.getProfile": 1,
    "users.watch": 100,
    "users.stop": 50,
    "users.drafts.create": 10,
    "users.drafts.delete": 10,
    "users.drafts.get": 20,
    "users.drafts.list": 5,
    "users.drafts.send": 100,
    "users.drafts.update": 15,
    "users.history.list": 2,
    "users.labels.create": 5,
    "users.labels.delete": 5,
    "users.labels.get": 1,
    "users.labels.list": 1,
    "users.labels.patch": 5,
    "users.labels.update": 5,
    "users.messages.attachments.get": 20,
    "users.messages.batchDelete": 50,
    "users.messages.batchModify": 50,
    "users.messages.delete": 20,
    "users.messages.get": 20,
    "users.messages.import": 25,
    "users.messages.insert": 25,
    "users.messages.list": 5,
    "users.messages.modify": 5,
    "users.messages.send": 100,
    "users.messages.trash": 20,
    "users.messages.untrash": 20,
    "users.settings.sendAs.get": 1,
    "users.settings.sendAs.list": 1,
    "users.threads.delete": 20,
    "users.threads.get": 40,
    "users.threads.list": 10,
    "users.threads.modify": 10,
    "users.threads.trash": 20,
    "users.threads.untrash": 20,
}
WINDOW_S = 60.0
DAY_S = 86_400.0
# A hint may lie as far as this in the future, however often a caller comes too early.
MAX_BLOCK_S = 900.0


@dataclass(slots=True)
class _Window:
    started: float
    used: int = 0
    blocked_until: float = 0.0
    last_refused: int = -1
    refusals: int = 0


class Quota:
    """Units by minute, counted by the stack's clock from a caller's first call on.

    ``status`` is what a mailbox over its limit answers: 403, 429 or both in turn (0), as Gmail does either.
    A call that comes before its hint pushes the hint out by ``early_penalty_s``, once an HTTP request.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        units_per_minute: int = 6000,
        project_units_per_minute: int = 1_200_000,
        status: int = 0,
        early_penalty_s: float = 1.0,
    ) -> None:
        self.units_per_minute = units_per_minute
        self.project_units_per_minute = project_units_per_minute
        self.status = status
        self.early_penalty_s = early_penalty_s
        self._now = now
        self._lock = threading.Lock()
        self._windows: dict[object, _Window] = {}
        self._project = _Window(0.0)

    def charge(self, owner: object, units: int, http_id: int) -> None:
        """Counts a call. Raises GmailError 403 or 429 where it does not fit into the minute."""
        now = self._now().timestamp()
        with self._lock:
            window = self._windows.setdefault(owner, _Window(now))
            if now < window.blocked_until:
                if window.last_refused != http_id:
                    window.blocked_until = min(window.blocked_until + self.early_penalty_s, now + MAX_BLOCK_S)
                raise self._refusal(window, http_id)
            _restart_if_over(window, now)
            _restart_if_over(self._project, now)
            if window.used + units > self.units_per_minute:
                window.blocked_until = window.started + WINDOW_S
                raise self._refusal(window, http_id)
            if self._project.used + units > self.project_units_per_minute:
                raise _project_refusal()
            window.used += units
            self._project.used += units

    def used(self, owner: object) -> int:
        """The units that the owner has spent in the present minute."""
        with self._lock:
            window = self._windows.get(owner)
            if window is None or self._now().timestamp() >= window.started + WINDOW_S:
                return 0
            return window.used

    def use_up(self, owner: object) -> None:
        """Spends all that is left of the owner's present minute, as another program of the user's would."""
        now = self._now().timestamp()
        with self._lock:
            window = self._windows.setdefault(owner, _Window(now))
            _restart_if_over(window, now)
            window.used = self.units_per_minute

    def _refusal(self, window: _Window, http_id: int) -> GmailError:
        window.last_refused = http_id
        window.refusals += 1
        code = self.status or (429, 403)[window.refusals % 2]
        return _over_limit(code, window.blocked_until)


def _over_limit(code: int, until_s: float, what: str = "") -> GmailError:
    """The refusal whose hint stands in its message: "User-rate limit exceeded.  Retry after …"."""
    until = datetime.fromtimestamp(until_s, UTC)
    hint = until.strftime("%Y-%m-%dT%H:%M:%S.") + f"{until.microsecond // 1000:03d}Z"
    return GmailError(
        code, "rateLimitExceeded", f"User-rate limit exceeded.  Retry after {hint}{what}", domain="usageLimits"
    )


def _restart_if_over(window: _Window, now: float) -> None:
    if now >= window.started + WINDOW_S:
        window.started, window.used = now, 0


def _project_refusal() -> GmailError:
    return GmailError(
        403,
        "rateLimitExceeded",
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'gmail.googleapis.com'.",
        domain="usageLimits",
    )


class SendLimit:
    """How many mails a mailbox sends in a day (support.google.com/a/answer/166852). Its hint is about sending alone."""

    def __init__(self, now: Callable[[], datetime], sends_per_day: int) -> None:
        self.sends_per_day = sends_per_day
        self._now = now
        self._lock = threading.Lock()
        self._sent: dict[object, deque[float]] = {}

    def count(self, owner: object) -> None:
        """Counts a mail. Raises GmailError 429 where the last day's are too many."""
        now = self._now().timestamp()
        with self._lock:
            sent = self._sent.setdefault(owner, deque())
            while sent and sent[0] <= now - DAY_S:
                sent.popleft()
            if len(sent) >= self.sends_per_day:
                raise _over_limit(429, sent[0] + DAY_S, " (Mail sending)")
            sent.append(now)


class Concurrency:
    """How many requests of one mailbox run at once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._running: dict[object, int] = {}

    def enter(self, owner: object) -> None:
        """Takes a place; ``leave`` gives it back. Raises GmailError 429 where all are taken."""
        with self._lock:
            running = self._running.get(owner, 0)
            if running >= self.limit:
                raise too_many_concurrent()
            self._running[owner] = running + 1

    def leave(self, owner: object) -> None:
        with self._lock:
            running = self._running[owner] - 1
            if running:
                self._running[owner] = running
            else:
                del self._running[owner]
