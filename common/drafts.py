"""Owns the caller's drafts: listed, opened, saved, deleted. They live in Gmail alone; sending one is ``sending``'s."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from common import send_ledger
from common.composing import write_letter
from common.errors import NotFound
from common.gmail.results import DraftRef, Message
from common.mail.reading import FULL_FIELDS, read_summary
from common.mailbox_view import fetch_summaries
from common.opening import Look, named_thing, open_message
from common.paging import parse_page, seal_page
from common.reading_api import MessageAnswer, MessageRow, row
from common.send_api import Parcel
from common.session import Session


class DraftsQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    page_token: str = ""
    page_size: Annotated[int, Meta(ge=1, le=50)] = 20


class DraftSaved(Struct, kw_only=True):
    """``id`` names the draft; ``message_id`` its mail, which is another each time it is saved."""

    id: str
    message_id: str
    thread_id: str


class DraftRow(Struct, kw_only=True):
    """A draft in a list; ``problem`` is a code where its mail could not be read just now."""

    id: str
    message: MessageRow | None = None
    problem: str = ""


class DraftsAnswer(Struct, kw_only=True):
    drafts: list[DraftRow]
    next_page_token: str = ""


class DraftAnswer(Struct, kw_only=True):
    id: str
    message: MessageAnswer


_FIELDS: Final = f"message({FULL_FIELDS})"
_HEAD: Final = "message(threadId,payload/headers)"


def list_drafts(session: Session, query: DraftsQuery) -> DraftsAnswer:
    """A page of drafts, the last saved first: 5 units and 20 a draft. Raises BadRequest for a foreign page token."""
    bound = ("drafts", session.user_id, session.connection.generation)
    position = parse_page(query.page_token, *bound)
    page = session.gmail.list_drafts(page_token=position or "", limit=query.page_size)
    fetched = fetch_summaries(session.gmail, [one.message_id for one in page.drafts])
    rows: list[DraftRow] = []
    for draft in page.drafts:
        shown = DraftRow(id=draft.draft_id)
        if draft.message_id in fetched.messages:
            shown.message = row(read_summary(fetched.messages[draft.message_id]))
        elif draft.message_id in fetched.failed:
            shown.problem = fetched.failed[draft.message_id].code
        else:
            # Saved again or sent between the two calls.
            shown.problem = NotFound.code
        rows.append(shown)
    following = seal_page(page.next_page_token, *bound) if page.next_page_token else ""
    return DraftsAnswer(drafts=rows, next_page_token=following)


def open_draft(session: Session, draft_id: str) -> DraftAnswer:
    """A draft with all that its body needs. Raises NotFound."""
    with named_thing():
        resource = session.gmail.fetch_draft(draft_id, fields=_FIELDS)
    return DraftAnswer(id=draft_id, message=open_message(session.gmail, resource, Look(with_bcc=True)))


def save_draft(session: Session, parcel: Parcel, draft_id: str = "") -> DraftSaved:
    """Saves a new draft, or over the one named, which costs 20 units more: it stays in its conversation.

    Raises NotFound, and what ``write_letter`` does.
    """
    before = _fetch_head(session, draft_id) if draft_id and parcel.body.mode == "new" else None
    with write_letter(session, parcel, send_ledger.new_marker(), unaddressed=True, before=before) as letter:
        if draft_id:
            return _saved(session.gmail.update_draft(draft_id, letter.raw, thread_id=letter.thread_id))
        return _saved(session.gmail.create_draft(letter.raw, thread_id=letter.thread_id))


def _fetch_head(session: Session, draft_id: str) -> Message:
    with named_thing():
        return session.gmail.fetch_draft(draft_id, format="metadata", fields=_HEAD)


def delete_draft(session: Session, draft_id: str) -> None:
    """Deletes a draft. Raises NotFound."""
    with named_thing():
        session.gmail.delete_draft(draft_id)


def _saved(draft: DraftRef) -> DraftSaved:
    return DraftSaved(id=draft.draft_id, message_id=draft.message_id, thread_id=draft.thread_id)
