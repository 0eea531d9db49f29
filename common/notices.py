"""Owns MailMagnet's notices as their user sees them: a page with its contacts, what is read, and an ETag for polling.

Subjects and snippets are fetched live, and only when asked for. Writes nothing but what has been seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from google.cloud import firestore
from msgspec import Meta, Struct

from common import clock
from common.directory import directory
from common.errors import BadRequest, Problem, RetryableConflict
from common.keys import keys
from common.mail.reading import read_summary
from common.mailbox_view import fetch_summaries
from common.model import IN_INBOX, Category, Contact, Notice, Sync
from common.paging import parse_page, seal_page
from common.reading_api import MessageRow, row
from common.send_ledger import failed_scheduled
from common.session import Access, Member, open_mailbox
from common.sharing import may_see
from common.store.client import Batch, Before, Lost, Versioned, store

_TRIES: Final = 3
# One commit holds so many; one request marks at most ten times as many.
_MARKED_AT_ONCE: Final = 300
_MOST_MARKED: Final = 3000


class NoticesQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    """``unread`` leaves out what was marked as read; ``expand=summary`` fetches subjects and snippets from Gmail."""

    unread: bool = False
    expand: Literal["", "summary"] = ""
    page_token: str = ""
    page_size: Annotated[int, Meta(ge=1, le=50)] = 20


class ReadBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Either the notices' mail ids, or ``until``: all that were received by then."""

    ids: Annotated[list[str], Meta(max_length=1000)] | None = None
    until: datetime | None = None


class ReadAnswer(Struct, kw_only=True):
    """How many were marked. ``more``: repeat the request until it is false."""

    marked: int
    more: bool = False


class ContactRef(Struct, kw_only=True):
    id: str
    name: str


class NoticeRow(Struct, kw_only=True):
    """A mail from a contact, or a scheduled mail that failed: then ``draft_id`` names its draft, where there is one.

    ``place`` is where MailMagnet knows the mail: in the inbox, under a category's label, or kept out by a filter.
    ``summary`` is null where it was not asked for, where the mail is ``gone``, or where ``problem`` says why.
    """

    kind: Literal["mail", "scheduled_send_failed"] = "mail"
    mail_id: str = ""
    draft_id: str = ""
    from_address: str = ""
    received_at: datetime
    seen: bool = False
    unverified: bool = False
    place: Literal["inbox", "outside", "closing_this_month", "open_deals", "customers"] = "inbox"
    pinned: bool = False
    contacts: list[ContactRef] = []
    summary: MessageRow | None = None
    gone: bool = False
    problem: str = ""


class NoticesAnswer(Struct, kw_only=True):
    """Newest first. ``unread`` counts all unread ones, up to 1,000; ``mailmagnet``: whether new ones come at all."""

    notices: list[NoticeRow]
    unread: int
    mailmagnet: bool
    next_page_token: str = ""


@dataclass(frozen=True)
class _Position:
    """Where a page begins."""

    before: Before | None

    def sealed(self, *bound: str) -> str:
        if self.before is None:
            return ""
        return seal_page([self.before.received_at.isoformat(), self.before.mail_id], *bound)

    @staticmethod
    def parse(unverified_token: str, *bound: str) -> _Position:
        position = parse_page(unverified_token, *bound)
        return _Position(Before(datetime.fromisoformat(position[0]), position[1]) if position else None)


def etag(member: Member, query: NoticesQuery) -> str:
    """What names the answer to this query until something changes; empty where nobody would notice a change.

    Made of what the request has read anyway. Notices that expire change it at midnight.
    """
    sync = _live_sync(member)
    if sync is None:
        return ""
    today = clock.now().date().isoformat()
    asked = (str(query.unread), query.expand, query.page_token, str(query.page_size))
    return f'W/"{keys().hash("etag", member.user_id, sync.generation, str(sync.notices_version), today, *asked)}"'


def list_notices(member: Member, query: NoticesQuery) -> NoticesAnswer:
    """A page of the user's notices. Raises BadRequest for a page token that is not of this query."""
    user_id, mailbox_key = member.user_id, member.connection.mailbox_key
    bound = ("notices", user_id, mailbox_key, str(query.unread))
    position = _Position.parse(query.page_token, *bound)
    found = store().notices.page(
        user_id, mailbox_key, unread_only=query.unread, before=position.before, limit=query.page_size
    )
    notices = [record.value for record in found]
    rows = _with_contacts(member, notices)
    if query.expand:
        _expand(member, rows)
    if position.before is None:
        rows = sorted([*_failed_sends(user_id), *rows], key=lambda one: one.received_at, reverse=True)
    following = Before(notices[-1].received_at, notices[-1].mail_id) if len(notices) == query.page_size else None
    return NoticesAnswer(
        notices=rows,
        unread=store().notices.count_unread(user_id, mailbox_key),
        mailmagnet=member.connection.mailmagnet,
        next_page_token=_Position(following).sealed(*bound),
    )


def mark_read(member: Member, body: ReadBody) -> ReadAnswer:
    """Marks notices as seen; Gmail's own unread mark stays. Raises BadRequest unless one of both is given."""
    if (body.ids is None) == (body.until is None):
        raise BadRequest("invalid-body", "give ids or until")
    if body.until is not None and body.until.tzinfo is None:
        raise BadRequest("invalid-body", "until has no time zone")
    marked = 0
    while marked < _MOST_MARKED:
        count = _mark_some(member, body)
        marked += count
        if count < _MARKED_AT_ONCE:
            return ReadAnswer(marked=marked)
    return ReadAnswer(marked=marked, more=True)


def note_change(user_id: str, batch: Batch) -> None:
    """Makes every ETag of the user's notices change when ``batch`` commits, which fails unless there is a sync."""
    store().syncs.patch(user_id, batch=batch, notices_version=firestore.Increment(1))


def _live_sync(member: Member) -> Sync | None:
    sync, connection = member.context.sync, member.connection
    return sync.value if sync and sync.value.generation == connection.generation else None


def _mark_some(member: Member, body: ReadBody) -> int:
    """Marks as many as one commit takes and returns how many."""
    for _ in range(_TRIES):
        unseen = _load_unseen(member, body)
        try:
            with store().batch() as batch:
                for record in unseen:
                    store().notices.patch(member.user_id, record.value.mail_id, batch=batch, seen=True)
                if unseen and _live_sync(member):
                    note_change(member.user_id, batch)
        except Lost:
            # One of them, or all with their sync, have just been deleted.
            continue
        return len(unseen)
    raise RetryableConflict("notices-busy")


def _load_unseen(member: Member, body: ReadBody) -> list[Versioned[Notice]]:
    user_id, mailbox_key = member.user_id, member.connection.mailbox_key
    if body.until is not None:
        # Times are of whole milliseconds at most, so nothing lies between.
        before = Before(body.until + timedelta(microseconds=1), "0")
        return store().notices.page(user_id, mailbox_key, unread_only=True, before=before, limit=_MARKED_AT_ONCE)
    held = store().notices.load_many(user_id, body.ids or ()).values()
    return [one for one in held if one.value.mailbox_key == mailbox_key and not one.value.seen][:_MARKED_AT_ONCE]


def _with_contacts(member: Member, notices: Iterable[Notice]) -> list[NoticeRow]:
    listed = list(notices)
    known = directory().contacts_by_addresses({one.from_address for one in listed}) if listed else {}
    return [
        _row(one, [contact for contact in known.get(one.from_address, ()) if may_see(contact, member.user)])
        for one in listed
    ]


def _row(notice: Notice, contacts: Iterable[Contact]) -> NoticeRow:
    place: Any = "inbox" if notice.filed in (IN_INBOX, Category.NONE) else notice.filed
    return NoticeRow(
        mail_id=notice.mail_id,
        from_address=notice.from_address,
        received_at=notice.received_at,
        seen=notice.seen,
        unverified=notice.unverified,
        place=place,
        pinned=notice.pinned,
        contacts=[ContactRef(id=one.contact_id, name=one.name) for one in contacts],
    )


def _failed_sends(user_id: str) -> list[NoticeRow]:
    return [
        NoticeRow(kind="scheduled_send_failed", draft_id=one.draft_id, received_at=one.changed_at, problem=one.reason)
        for one in failed_scheduled(user_id)
    ]


def _expand(member: Member, rows: Iterable[NoticeRow]) -> None:
    """Adds what Gmail says of the mails now, in one batch. Trouble with Gmail leaves the notices as they are."""
    by_id: Mapping[str, NoticeRow] = {one.mail_id: one for one in rows}
    if not by_id:
        return
    try:
        member.verify_access(Access.READ)
        fetched = fetch_summaries(open_mailbox(member), by_id)
    except Problem as problem:
        for one in by_id.values():
            one.problem = problem.code
        return
    for mail_id, shown in by_id.items():
        if mail_id in fetched.messages:
            summary = read_summary(fetched.messages[mail_id])
            shown.summary = row(summary, hidden_label_id=member.connection.hidden_label_id)
        shown.gone = mail_id in fetched.gone
        failure = fetched.failed.get(mail_id)
        shown.problem = failure.code if failure else ""
