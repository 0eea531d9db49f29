"""Owns MailMagnet's notices as their user sees them: a page with its contacts, what is read, and an ETag for polling.

Subjects and snippets are fetched live, and only when asked for. Writes nothing but what has been seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from common import clock
from common.auth import Caller
from common.colleagues import in_threads
from common.directory import directory
from common.errors import BadRequest, Problem, RetryableConflict
from common.keys import Unsealable, keys
from common.lazy import firestore
from common.mail.reading import read_summary
from common.mailbox_view import fetch_summaries
from common.model import IN_INBOX, Category, Contact, Notice, Send, Sync
from common.paging import parse_page, seal_page
from common.reading_api import MessageRow, row
from common.send_ledger import failed_scheduled, is_seen
from common.session import Access, Member, open_mailbox, open_member
from common.sharing import may_see
from common.store.client import Batch, Before, Lost, Versioned, store

_TRIES: Final = 3
# One commit holds so many; one request marks at most ten times as many.
_MARKED_AT_ONCE: Final = 300
_MOST_MARKED: Final = 3000
# What a header of a request may hold with certainty; a longer tag is not given.
_MAX_TAG_CHARS: Final = 4000


class NoticesQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    """``unread`` leaves out what was marked as read; ``expand=summary`` fetches subjects and snippets from Gmail."""

    unread: bool = False
    expand: Literal["", "summary"] = ""
    page_token: str = ""
    page_size: Annotated[int, Meta(ge=1, le=50)] = 20


class ReadBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Either the notices' ids, or ``until``: all that were received by then."""

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

    ``id`` is what ``POST /notices/read`` takes.
    ``place`` is where MailMagnet knows the mail: in the inbox, under a category's label, or kept out by a filter.
    ``summary`` is null where it was not asked for, where the mail is ``gone``, or where ``problem`` says why.
    """

    kind: Literal["mail", "scheduled_send_failed"] = "mail"
    id: str = ""
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


@dataclass(frozen=True)
class _Tag:
    """What names an answer until something changes: our own records, and how the contacts of its addresses look."""

    state: str
    addresses: list[str]
    shown: str

    def sealed(self, user_id: str) -> str:
        sealed = keys().seal("etag", [user_id, self.state, self.addresses, self.shown])
        return f'W/"{sealed}"' if len(sealed) <= _MAX_TAG_CHARS else ""

    @staticmethod
    def parse(unverified_tag: str, user_id: str) -> _Tag | None:
        if len(unverified_tag) > _MAX_TAG_CHARS:
            return None
        try:
            whose, *parts = keys().unseal("etag", unverified_tag)
        except (Unsealable, UnicodeError):
            return None
        return _Tag(*parts) if whose == user_id else None


def poll(caller: Caller, query: NoticesQuery, unverified_tags: Iterable[str]) -> tuple[Member, str]:
    """The caller; and, of the ETags that came along, one that still names the answer, if any does.

    One round trip to Firestore: the directory is asked beside what decides on the caller. Raises Forbidden.
    """
    listed = ((one, _Tag.parse(one, caller.user_id)) for one in unverified_tags)
    known = next(((one, tag) for one, tag in listed if tag is not None), None)
    if known is None:
        return open_member(caller), ""
    sent, tag = known
    member: Member
    member, contacts = in_threads(lambda: open_member(caller), lambda: _load_contacts(tag.addresses))
    is_same = tag.state == _state(member, query) and tag.shown == _shown(_visible(member, contacts))
    return member, f'W/"{sent}"' if is_same else ""


def new_etag(member: Member, query: NoticesQuery, answer: NoticesAnswer) -> str:
    """What names this answer until something changes; empty where nobody would notice a change.

    Notices that expire change it at midnight.
    """
    state = _state(member, query)
    if not state:
        return ""
    listed = {one.from_address: one.contacts for one in answer.notices if one.kind == "mail"}
    return _Tag(state, sorted(listed), _shown(listed)).sealed(member.user_id)


def _state(member: Member, query: NoticesQuery) -> str:
    sync = _live_sync(member)
    if sync is None:
        return ""
    today = clock.now().date().isoformat()
    asked = (str(query.unread), query.expand, query.page_token, str(query.page_size))
    return keys().hash("etag", member.user_id, sync.generation, str(sync.notices_version), today, *asked)


def _shown(contacts: Mapping[str, Sequence[ContactRef]]) -> str:
    rows = sorted((address, one.id, one.name) for address, listed in contacts.items() for one in listed)
    return keys().hash("etag-contacts", *(part for row in rows for part in row))


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
    failed = failed_scheduled(user_id)
    if position.before is None:
        told = [_failed_row(one) for one in failed if not (query.unread and is_seen(one))]
        rows = sorted([*told, *rows], key=lambda one: one.received_at, reverse=True)
    following = Before(notices[-1].received_at, notices[-1].mail_id) if len(notices) == query.page_size else None
    return NoticesAnswer(
        notices=rows,
        unread=store().notices.count_unread(user_id, mailbox_key) + sum(not is_seen(one) for one in failed),
        mailmagnet=member.connection.mailmagnet,
        next_page_token=_Position(following).sealed(*bound),
    )


def mark_read(member: Member, body: ReadBody) -> ReadAnswer:
    """Marks notices as seen; Gmail's own unread mark stays. Raises BadRequest unless one of both is given."""
    if (body.ids is None) == (body.until is None):
        raise BadRequest("invalid-body", "give ids or until")
    if body.until is not None and body.until.tzinfo is None:
        raise BadRequest("invalid-body", "until has no time zone")
    marked = _mark_sends(member, body)
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


def _mark_sends(member: Member, body: ReadBody) -> int:
    """Marks scheduled mails that failed, all that are meant, and returns how many."""
    for _ in range(_TRIES):
        unseen = [one for one in failed_scheduled(member.user_id) if not is_seen(one) and _is_meant(one, body)]
        if not unseen:
            return 0
        try:
            with store().batch() as batch:
                for one in unseen:
                    store().sends.patch(one.user_id, one.key_hash, batch=batch, seen_at=clock.now())
                if _live_sync(member):
                    note_change(member.user_id, batch)
        except Lost:
            continue
        return len(unseen)
    raise RetryableConflict("notices-busy")


def _is_meant(send: Send, body: ReadBody) -> bool:
    return send.changed_at <= body.until if body.until is not None else send.key_hash in (body.ids or ())


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
    visible = _visible(member, _load_contacts({one.from_address for one in listed}))
    return [_row(one, visible.get(one.from_address, [])) for one in listed]


def _load_contacts(addresses: Collection[str]) -> dict[str, list[Contact]]:
    return directory().contacts_by_addresses(addresses) if addresses else {}


def _visible(member: Member, contacts: Mapping[str, Iterable[Contact]]) -> dict[str, list[ContactRef]]:
    return {
        address: [ContactRef(id=one.contact_id, name=one.name) for one in listed if may_see(one, member.user)]
        for address, listed in contacts.items()
    }


def _row(notice: Notice, contacts: list[ContactRef]) -> NoticeRow:
    place: Any = "inbox" if notice.filed in (IN_INBOX, Category.NONE) else notice.filed
    return NoticeRow(
        id=notice.mail_id,
        mail_id=notice.mail_id,
        from_address=notice.from_address,
        received_at=notice.received_at,
        seen=notice.seen,
        unverified=notice.unverified,
        place=place,
        pinned=notice.pinned,
        contacts=contacts,
    )


def _failed_row(send: Send) -> NoticeRow:
    return NoticeRow(
        kind="scheduled_send_failed",
        id=send.key_hash,
        draft_id=send.draft_id,
        received_at=send.changed_at,
        seen=is_seen(send),
        problem=send.reason,
    )


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
