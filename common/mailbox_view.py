"""Owns the caller's own mailbox as lists: search, a page at a time, dear when cold and cheap for five minutes after.

Knows Gmail's client and the cache; decides nothing on who may see what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from common import clock
from common.cache import Entry, Key, answers
from common.gmail.client import Gmail
from common.gmail.errors import HistoryLost
from common.gmail.results import Fetched, HistoryPage, Message, MessagePage
from common.mail.reading import SUMMARY_FIELDS, SUMMARY_HEADERS, read_summary
from common.memory import byte_budget
from common.opening import COPIES
from common.paging import parse_page, seal_page
from common.reading_api import MessageRow, Missing, row
from common.session import Session

_HIDDEN_PLACES: Final = frozenset({"SPAM", "TRASH"})
_MOST_HELD_BYTES: Final = 2 * 1024 * 1024
_KEPT_HEADERS: Final = frozenset(name.lower() for name in SUMMARY_HEADERS)


class SearchBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """``q`` is Gmail's search syntax; ``label`` a label's id, such as ``INBOX``. Without either: all mail."""

    q: Annotated[str, Meta(max_length=2000)] = ""
    label: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,100}$")] = ""
    page_token: str = ""
    page_size: Annotated[int, Meta(ge=1, le=50)] = 20


class MessagePageAnswer(Struct, kw_only=True):
    """Mails, newest first. ``missing`` are those that could not be fetched now; ``estimate`` is Gmail's guess."""

    messages: list[MessageRow]
    next_page_token: str = ""
    estimate: int = 0
    missing: list[Missing] = []


class _Held(Struct):
    """What the cache has of a page: its messages, as they were at ``history_id``."""

    history_id: int
    messages: dict[str, msgspec.Raw]


@dataclass(frozen=True)
class _Query:
    q: str
    label: str
    gmail_token: str
    limit: int

    def list(self, gmail: Gmail) -> MessagePage:
        return gmail.list_messages(
            q=self.q,
            label_ids=[self.label] if self.label else (),
            page_token=self.gmail_token,
            limit=self.limit,
            include_spam_trash=self.label in _HIDDEN_PLACES,
        )


@dataclass(frozen=True)
class _Page:
    """A page as it is now: every message as it was at ``history_id`` or later, the oldest got at ``fetched_at``."""

    listed: MessagePage
    messages: Mapping[str, Message]
    fetched: Fetched
    history_id: int
    fetched_at: datetime


def search(session: Session, body: SearchBody) -> MessagePageAnswer:
    """A page of the caller's mail. Raises BadRequest for a page token not of this query, and Gmail's Problems."""
    connection = session.connection
    bound = ("messages", session.user_id, connection.generation, _hash(body.q, body.label))
    query = _Query(body.q, body.label, parse_page(body.page_token, *bound) or "", body.page_size)
    page = _fetch_page(session, query)
    token = page.listed.next_page_token
    return MessagePageAnswer(
        messages=rows(page.listed.ids, page.messages, hidden_label_id=connection.hidden_label_id),
        next_page_token=seal_page(token, *bound) if token else "",
        estimate=page.listed.estimate,
        missing=missing(page.fetched),
    )


def rows(ids: Iterable[str], messages: Mapping[str, Message], *, hidden_label_id: str = "") -> list[MessageRow]:
    """The messages as rows, in the order of ``ids``; those that are not among them are left out."""
    return [row(read_summary(messages[one]), hidden_label_id=hidden_label_id) for one in ids if one in messages]


def missing(fetched: Fetched) -> list[Missing]:
    """What is there and could not be fetched."""
    return [
        Missing(id=one, code=problem.code, retryable=problem.retryable, retry_at=problem.retry_at)
        for one, problem in fetched.failed.items()
    ]


def fetch_summaries(gmail: Gmail, ids: Iterable[str]) -> Fetched:
    """The messages with what ``read_summary`` needs, in batches. Raises Unavailable where the instance is full.

    Their headers may hold half a megabyte each, so that the bytes count while they come in.
    """
    with byte_budget().reserve(0) as reservation:
        return gmail.fetch_messages(
            ids, fields=SUMMARY_FIELDS, take=lambda read_bytes: reservation.resize(read_bytes * COPIES)
        )


def _fetch_page(session: Session, query: _Query) -> _Page:
    key: Key = (
        session.user_id,
        session.connection.generation,
        "page",
        _hash(query.q, query.label, query.gmail_token, str(query.limit)),
    )
    entry = answers().get(key)
    page = _fetch_again(session.gmail, query, entry) if entry else _fetch_cold(session.gmail, query)
    if page.fetched.failed and not page.messages:
        raise next(iter(page.fetched.failed.values()))
    trimmed = {one: msgspec.Raw(msgspec.json.encode(_trim(message))) for one, message in page.messages.items()}
    held = msgspec.json.encode(_Held(page.history_id, trimmed))
    # One page of mails with huge headers must not drive out everybody else's.
    if len(held) <= _MOST_HELD_BYTES:
        answers().put(key, held, fetched_at=page.fetched_at)
    return page


def _fetch_cold(gmail: Gmail, query: _Query) -> _Page:
    fetched_at = clock.now()
    # The profile's history id is older than any of the gets below: what changes in between is asked for again.
    profile, listed = gmail.in_parallel(gmail.fetch_profile, lambda: query.list(gmail))
    fetched = fetch_summaries(gmail, listed.ids)
    return _Page(listed, fetched.messages, fetched, profile.history_id, fetched_at)


def _fetch_again(gmail: Gmail, query: _Query, entry: Entry) -> _Page:
    """The page anew: its list, and gets only of what is new on it or has changed since."""
    held = msgspec.json.decode(entry.value, type=_Held)
    history, listed = gmail.in_parallel(lambda: _fetch_history(gmail, held.history_id), lambda: query.list(gmail))
    fetched_at = clock.now()
    if history is None:
        known: dict[str, Message] = {}
        history_id = gmail.fetch_profile().history_id
    else:
        known = _unchanged(held, history)
        history_id = history.history_id
    fetched = fetch_summaries(gmail, [one for one in listed.ids if one not in known])
    messages = {**known, **fetched.messages}
    oldest = entry.fetched_at if any(one in known for one in listed.ids) else fetched_at
    return _Page(listed, {one: messages[one] for one in listed.ids if one in messages}, fetched, history_id, oldest)


def _fetch_history(gmail: Gmail, start: int) -> HistoryPage | None:
    try:
        return gmail.fetch_history(start)
    except HistoryLost:
        return None


def _unchanged(held: _Held, history: HistoryPage) -> dict[str, Message]:
    # With more pages to come nobody knows what has changed: asking for all of it costs no more than a cold page.
    if history.next_page_token:
        return {}
    changed = {message["id"] for record in history.records for message in _messages_of(record)}
    return {one: msgspec.json.decode(raw) for one, raw in held.messages.items() if one not in changed}


def _messages_of(record: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    yield from record.get("messages", ())
    for kind in ("messagesAdded", "messagesDeleted", "labelsAdded", "labelsRemoved"):
        for entry in record.get(kind, ()):
            yield entry["message"]


def _trim(message: Message) -> Message:
    """The message without the headers that no row needs: they are most of it."""
    payload = message.get("payload", {})
    headers = [one for one in payload.get("headers", ()) if str(one.get("name", "")).lower() in _KEPT_HEADERS]
    return {**message, "payload": {**payload, "headers": headers}}


def _hash(*parts: str) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


__all__ = ["MessagePageAnswer", "SearchBody", "fetch_summaries", "missing", "rows", "search"]
