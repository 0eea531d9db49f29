"""Owns how read mail looks in JSON: Structs, made from the mail package's views. Knows no Gmail, no store."""

from __future__ import annotations

from datetime import date, datetime

import msgspec
from msgspec import Struct

from common.mail.html import FRAME_CSP, FRAME_CSP_REMOTE, FRAME_SANDBOX, FRAME_STYLE, SanitisedHtml
from common.mail.view import AttachmentKind, MessageView, Summary, as_json, summary_as_json


class LookQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """``remote``: load remote images. ``images``: inline ones stand in the body; else ``cid:`` names their parts."""

    remote: bool = False
    images: bool = True


class Person(Struct, kw_only=True):
    """A name and an address as a mail's header has them; either may be empty."""

    name: str
    address: str


class MessageRow(Struct, kw_only=True):
    """A mail in a list. ``authenticated``: Gmail vouches for its From; ``hidden``: its owner hid it from colleagues.

    A list has the first 100 of ``to`` and ``cc``; the opened mail has them all.
    """

    id: str
    thread_id: str
    from_: Person | None = msgspec.field(name="from")
    to: list[Person]
    cc: list[Person]
    subject: str
    date: datetime | None
    received_at: datetime
    snippet: str
    labels: list[str]
    unread: bool
    starred: bool
    message_id: str | None
    authenticated: bool
    has_attachments: bool | None
    hidden: bool = False


class AttachmentRow(Struct, kw_only=True):
    """A part to download by ``part_id``. The body shows ``inline`` ones; ``content_type`` is the sender's claim."""

    part_id: str
    filename: str
    content_type: str
    size_bytes: int
    inline: bool
    content_id: str
    kind: AttachmentKind


class RecipientReportRow(Struct, kw_only=True):
    """What a delivery report says of one recipient."""

    address: str
    action: str
    status: str
    diagnostic: str


class InvitationRow(Struct, kw_only=True):
    """The event of a mail's calendar file: times, or dates where it takes whole days (``ends_on`` is the day after)."""

    summary: str
    location: str
    starts_at: datetime | None
    ends_at: datetime | None
    starts_on: date | None
    ends_on: date | None
    organizer: Person | None
    attendees: list[Person]
    recurring: bool
    status: str


class Frame(Struct, kw_only=True):
    """How to show ``html``: a frame with this sandbox attribute, whose document has this policy and style."""

    csp: str
    sandbox: str
    style: str


class MessageAnswer(MessageRow, kw_only=True):
    """A whole mail. ``html`` is sanitised; ``blocked_remote`` images wait until the reader asks (``remote=1``).

    ``cut``: text or parts beyond our limits are missing. ``body_left_out``: open the mail by itself to see its body.
    """

    bcc: list[Person] = []
    reply_to: list[Person]
    text: str | None
    html: str
    blocked_remote: int
    attachments: list[AttachmentRow]
    delivery_report: list[RecipientReportRow] | None
    calendar_method: str | None
    invitation: InvitationRow | None
    cut: bool
    body_left_out: bool = False
    frame: Frame | None = None


class Missing(Struct, kw_only=True):
    """A mail that is there, and could not be fetched now: ask again, not before ``retry_at`` where it is set."""

    id: str
    code: str
    retryable: bool
    retry_at: datetime | None = None


class ThreadAnswer(Struct, kw_only=True):
    """A conversation, oldest first."""

    id: str
    messages: list[MessageAnswer]


def row(summary: Summary, *, hidden_label_id: str = "") -> MessageRow:
    """The summary as a row."""
    shown = msgspec.convert(summary_as_json(summary), MessageRow)
    shown.hidden = bool(hidden_label_id) and hidden_label_id in summary.label_ids
    return shown


def message(
    view: MessageView, body: SanitisedHtml, *, remote: bool = False, with_bcc: bool = False, hidden_label_id: str = ""
) -> MessageAnswer:
    """The mail with the ``body`` that may be shown; Bcc for its owner alone."""
    shown = msgspec.convert(as_json(view, body, with_bcc=with_bcc), MessageAnswer)
    shown.hidden = bool(hidden_label_id) and hidden_label_id in view.label_ids
    csp = FRAME_CSP_REMOTE if remote else FRAME_CSP
    shown.frame = Frame(csp=csp, sandbox=FRAME_SANDBOX, style=FRAME_STYLE)
    return shown
