"""One API call as a handler sees it: admitted, paid for and checked; and what a handler may use of the service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

    from local.gmail.discovery import Method
    from local.gmail.mailbox import Mailbox, Message
    from local.gmail.watch import Watches

Handler = Callable[["ApiCall"], dict[str, Any] | None]
"""Answers a call: the JSON, or None for 204. Raises GmailError."""

MAX_PAGE = 500


class Gmail(Protocol):
    """What handlers use of the service."""

    search_lag_s: float
    joined_history: bool
    watches: Watches

    def now(self) -> datetime: ...
    def send(self, mailbox: Mailbox, raw: bytes, thread_id: str | None) -> Message: ...


@dataclass(frozen=True)
class ApiCall:
    """The call: its method, parameters, JSON body, uploaded mail, the caller's mailbox."""

    gmail: Gmail
    method: Method
    path: dict[str, str]
    query: MultiDict[str, str]
    body: dict[str, Any]
    media: bytes | None
    mailbox: Mailbox

    def text(self, name: str, default: str = "") -> str:
        return self.query.get(name) or default

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("true", "1")

    def page_size(self) -> int:
        """``maxResults``: 100 where it is not given, 500 at most."""
        return min(int(self.query.get("maxResults") or 100) or 100, MAX_PAGE)
