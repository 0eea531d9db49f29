"""Owns what Gmail's refusals mean. Pure; imports no client library.

Their texts hold addresses, search terms and URLs: nothing of them gets into a Problem but a time and a word of ours.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

from common import clock
from common.errors import (
    BadRequest,
    Conflict,
    NotFound,
    Problem,
    RateLimited,
    ReauthRequired,
    TooLarge,
    Unavailable,
)


class NotSent(Exception):
    """No connection: Gmail has seen nothing of the request."""


class AnswerLost(Exception):
    """Gmail may have done what was asked, or not."""


class Refused(Exception):
    """An answer of 300 or above. Its content is not for eyes: it may quote what was asked."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.content = content


class HistoryLost(Exception):
    """The history no longer reaches back to the cursor: a full resync is due."""


class WatchedElsewhere(Conflict):
    """The mailbox has a watch for another topic: it must be stopped before another begins."""

    code = "watched-elsewhere"


class SendAmbiguous(Exception):
    """The mail may have been sent, or not: the answer was lost, or Gmail failed while it worked."""


class Remedy(Enum):
    """What can be done about a refusal, before it is told to anybody."""

    REFRESH = "refresh"
    BACK_OFF = "back off"
    REPEAT = "repeat"
    NONE = "none"


@dataclass(frozen=True)
class Trouble:
    """A refusal; ``keep_until`` is Google's own hint for the whole mailbox."""

    problem: Problem
    remedy: Remedy = Remedy.NONE
    keep_until: datetime | None = None


_RATE_REASONS: Final = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"})
_SCOPE_REASONS: Final = frozenset({"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})
_HINT: Final = re.compile(r"Retry after (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)Z")
_BUSY_PAUSE: Final = timedelta(seconds=5)
_DAILY_PAUSE: Final = timedelta(hours=1)


def unreachable() -> Trouble:
    """No connection, no answer, or one that cannot be read."""
    return Trouble(Unavailable("gmail-unavailable"), Remedy.REPEAT)


def parse_trouble(status: int, content: bytes) -> Trouble:
    """What an answer of 300 or above means (https://developers.google.com/gmail/api/guides/handle-errors)."""
    reasons, message = _parse_body(content)
    if status == HTTPStatus.UNAUTHORIZED:
        return Trouble(ReauthRequired(reason="unauthorized"), Remedy.REFRESH)
    if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.FORBIDDEN and reasons & _RATE_REASONS):
        return _parse_rate_limit(message)
    if status == HTTPStatus.FORBIDDEN:
        return Trouble(_parse_forbidden(reasons))
    if status < HTTPStatus.BAD_REQUEST or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return unreachable()
    return Trouble(_parse_refusal(status, message))


def _parse_rate_limit(message: str) -> Trouble:
    until = _parse_hint(message)
    if until is None:
        return Trouble(RateLimited("gmail-busy", retry_at=clock.now() + _BUSY_PAUSE), Remedy.BACK_OFF)
    problem = RateLimited("gmail-rate-limited", retry_at=until)
    # The limit on mail sent in a day carries a hint as well, and reading goes on.
    return Trouble(problem, keep_until=None if "mail sending" in message.lower() else until)


def _parse_hint(message: str) -> datetime | None:
    hint = _HINT.search(message)
    try:
        return datetime.fromisoformat(hint[1]).replace(tzinfo=UTC) if hint else None
    except ValueError:
        return None


def _parse_forbidden(reasons: frozenset[str]) -> Problem:
    if reasons & _SCOPE_REASONS:
        return ReauthRequired(reason="scope")
    if "domainPolicy" in reasons:
        return ReauthRequired(reason="policy")
    if "dailyLimitExceeded" in reasons:
        return RateLimited("gmail-daily-limit", retry_at=clock.now() + _DAILY_PAUSE)
    return Conflict("gmail-refused")


def _parse_refusal(status: int, message: str) -> Problem:
    match status:
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            return NotFound()
        case HTTPStatus.CONFLICT:
            return Conflict("gmail-conflict")
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return TooLarge("mail-too-large")
        case HTTPStatus.BAD_REQUEST if "user push notification client" in message:
            return WatchedElsewhere()
        case HTTPStatus.BAD_REQUEST if "mail service not enabled" in message.lower():
            return ReauthRequired(reason="no-mailbox")
        case _:
            return BadRequest("gmail-refused")


def _parse_body(content: bytes) -> tuple[frozenset[str], str]:
    try:
        error: Any = json.loads(content)["error"]
        listed = [*error.get("errors", ()), *error.get("details", ())]
        reasons = frozenset(str(entry["reason"]) for entry in listed if "reason" in entry)
        return reasons, str(error.get("message", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return frozenset(), ""
