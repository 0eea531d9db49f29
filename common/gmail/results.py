"""Owns what the Gmail client hands out, as plain data. Imports no client library.

Messages themselves stay as Gmail's JSON: ``common/mail/reading.py`` makes mails of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from common.errors import Problem

Message = dict[str, Any]


@dataclass(frozen=True)
class Profile:
    address: str
    history_id: int


@dataclass(frozen=True)
class MessageRef:
    message_id: str
    thread_id: str


@dataclass(frozen=True)
class MessagePage:
    """``estimate`` is Gmail's guess at how many there are in all."""

    refs: list[MessageRef]
    next_page_token: str
    estimate: int

    @property
    def ids(self) -> list[str]:
        return [ref.message_id for ref in self.refs]


@dataclass
class Fetched:
    """Messages by id; those that are gone; and those that failed, each with what is to be told."""

    messages: dict[str, Message] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    failed: dict[str, Problem] = field(default_factory=dict)


@dataclass(frozen=True)
class HistoryPage:
    """``history_id`` is where the mailbox stands: a cursor only once ``next_page_token`` is empty."""

    records: list[dict[str, Any]]
    history_id: int
    next_page_token: str


@dataclass(frozen=True)
class Watch:
    history_id: int
    expires_at: datetime


@dataclass(frozen=True)
class Label:
    """``own`` is one that the user, or we, made; Gmail's system labels are not."""

    label_id: str
    name: str
    own: bool


@dataclass(frozen=True)
class SendAs:
    """An address that the user may send from, where ``verified``. ``signature`` is HTML."""

    address: str
    name: str
    signature: str
    reply_to: str
    primary: bool
    default: bool
    verified: bool


@dataclass(frozen=True)
class DraftRef:
    draft_id: str
    message_id: str
    thread_id: str


@dataclass(frozen=True)
class DraftPage:
    drafts: list[DraftRef]
    next_page_token: str


@dataclass(frozen=True)
class ThreadPage:
    thread_ids: list[str]
    next_page_token: str
