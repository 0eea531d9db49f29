"""Owns the comparison of where notices say that mail lies with where it lies, after a history was lost."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from common.gmail.client import Gmail
from common.history import INBOX
from common.lazy import firestore
from common.model import IN_INBOX, LABELLED, OUTSIDE, Category, Connection, Notice
from common.store.client import Before, Lost, Versioned, store

_LIST: Final = 500
_MOST_LISTS: Final = 8
_NOTICES_PAGE: Final = 500
_MOST_NOTICES: Final = 5000
_A_DAY_S: Final = 86_400


@dataclass(frozen=True)
class Members:
    """The mails of one place. ``complete`` tells that there are no others."""

    mail_ids: frozenset[str] = frozenset()
    complete: bool = True


def plan_place(notice: Notice, places: Mapping[str, Members]) -> dict[str, Any]:
    """The fields of the notice to change: an open intent is settled by where the mail is; elsewhere is a hand's work.

    ``places`` is by IN_INBOX and categories; of one that is not there nothing is concluded.
    """
    if notice.pinned or notice.filed == OUTSIDE:
        return {}
    if notice.intent and _is_in(notice.mail_id, notice.intent, places):
        return {"filed": notice.intent, "intent": ""}
    where = places.get(_place(notice.filed))
    if where is None or notice.mail_id in where.mail_ids:
        return {"intent": ""} if notice.intent and where is not None else {}
    return {"pinned": True, "intent": ""} if where.complete else {}


def _is_in(mail_id: str, place: str, places: Mapping[str, Members]) -> bool:
    where = places.get(_place(place))
    return where is not None and mail_id in where.mail_ids


def _place(filed: str) -> str:
    # Back to the inbox is in the inbox.
    return IN_INBOX if filed == Category.NONE else filed


def apply_places(connection: Connection, gmail: Gmail) -> None:
    """Pins what lies elsewhere than where its notice says. The labels' list, and 5 units a place for 500 mails."""
    # The notices first: one that changes while the places are listed fails its precondition, and stays.
    notices = _load_notices(connection)
    if not notices:
        return
    places = _fetch_places(connection, gmail, min(notice.value.received_at for notice in notices))
    changed = 0
    for notice in notices:
        changes = plan_place(notice.value, places)
        if changes:
            with contextlib.suppress(Lost):
                store().notices.update(notice, **changes)
                changed += 1
    if changed:
        store().syncs.patch(connection.user_id, notices_version=firestore.Increment(1))


def _load_notices(connection: Connection) -> list[Versioned[Notice]]:
    found: list[Versioned[Notice]] = []
    before: Before | None = None
    while len(found) < _MOST_NOTICES:
        page = store().notices.page(connection.user_id, connection.mailbox_key, before=before, limit=_NOTICES_PAGE)
        found += page
        if len(page) < _NOTICES_PAGE:
            break
        before = Before(page[-1].value.received_at, page[-1].value.mail_id)
    return found


def _fetch_places(connection: Connection, gmail: Gmail, since: datetime) -> dict[str, Members]:
    existing = {label.label_id for label in gmail.list_labels()}
    places = {IN_INBOX: _fetch_members(gmail, INBOX, since)}
    for name, label_id in connection.label_ids.items():
        # A label that was deleted says nothing of hands: the next sweep heals it.
        if name in LABELLED and label_id in existing:
            places[name] = _fetch_members(gmail, label_id, since)
    return places


def _fetch_members(gmail: Gmail, label_id: str, since: datetime) -> Members:
    ids: list[str] = []
    token = ""
    for _ in range(_MOST_LISTS):
        # Through a day before: Gmail dates mail to the second, and searches by it.
        query = f"after:{int(since.timestamp()) - _A_DAY_S}"
        listed = gmail.list_messages(q=query, label_ids=[label_id], page_token=token, limit=_LIST)
        ids += listed.ids
        token = listed.next_page_token
        if not token:
            break
    return Members(frozenset(ids), complete=not token)
