"""Owns what a mail looks like to a reader: plain data, and its JSON.

Knows nothing of Gmail; may import only the mail package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from common.mail.html import SanitisedHtml, contained, sanitise, text_to_html

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from common.mail.addresses import Address

AttachmentKind = Literal["file", "calendar", "message", "delivery_report"]


@dataclass(frozen=True)
class Attachment:
    """A part that is not the body. ``part_id`` is ``root`` for a mail that is one part itself.

    ``inline``: the HTML body shows it. ``filename`` is cleaned; ``content_type`` is what the sender claims.
    """

    part_id: str
    filename: str
    content_type: str
    size_bytes: int
    inline: bool
    content_id: str
    kind: AttachmentKind


@dataclass(frozen=True)
class RecipientReport:
    """What a delivery report (RFC 3464) says of one recipient: action such as ``failed``, status such as ``5.1.1``."""

    address: str
    action: str
    status: str
    diagnostic: str


@dataclass(frozen=True)
class Invitation:
    """What a calendar file says of its event: times in UTC, or dates for whole days (``ends_on`` is the day after)."""

    summary: str
    location: str
    starts_at: datetime | None
    ends_at: datetime | None
    starts_on: date | None
    ends_on: date | None
    organizer: Address | None
    attendees: tuple[Address, ...]
    recurring: bool
    status: str


@dataclass(frozen=True)
class Summary:
    """A mail's row in a list. ``has_attachments`` is None where only headers were asked for."""

    id: str
    thread_id: str
    from_: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    subject: str
    date: datetime | None
    received_at: datetime
    snippet: str
    label_ids: tuple[str, ...]
    message_id: str | None
    is_authenticated: bool
    has_attachments: bool | None

    @property
    def is_unread(self) -> bool:
        """Whether the owner has not read it yet."""
        return "UNREAD" in self.label_ids

    @property
    def is_starred(self) -> bool:
        """Whether the owner has starred it."""
        return "STARRED" in self.label_ids


@dataclass(frozen=True)
class MessageView(Summary):
    """A whole mail. ``unverified_html`` is the sender's markup: only ``displayed_html`` may be shown.

    ``delivery_report`` is None unless the mail is one; ``calendar_method`` such as ``REQUEST`` unless it invites to
    nothing. ``cut`` says that text or parts beyond the limits are missing.
    """

    bcc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    references: tuple[str, ...]
    text: str | None
    unverified_html: str | None
    attachments: tuple[Attachment, ...]
    delivery_report: tuple[RecipientReport, ...] | None
    calendar_method: str | None
    invitation: Invitation | None
    cut: bool


def displayed_html(view: MessageView, *, remote: bool, cid_urls: Mapping[str, str]) -> SanitisedHtml:
    """The body as safe markup: the sanitised HTML, or the text as HTML where the mail has none."""
    if view.unverified_html is not None:
        return sanitise(view.unverified_html, remote=remote, cid_urls=cid_urls)
    return SanitisedHtml(text_to_html(view.text or ""), 0)


def summary_as_json(summary: Summary) -> dict[str, object]:
    """The row as plain JSON; times in RFC 3339, UTC. Bcc is never in it."""
    return {
        "id": summary.id,
        "thread_id": summary.thread_id,
        "from": _address(summary.from_) if summary.from_ else None,
        "to": _addresses(summary.to),
        "cc": _addresses(summary.cc),
        "subject": summary.subject,
        "date": _time(summary.date),
        "received_at": _time(summary.received_at),
        "snippet": summary.snippet,
        "labels": list(summary.label_ids),
        "unread": summary.is_unread,
        "starred": summary.is_starred,
        "message_id": summary.message_id,
        "authenticated": summary.is_authenticated,
        "has_attachments": summary.has_attachments,
    }


def as_json(view: MessageView, body: SanitisedHtml, *, with_bcc: bool = False) -> dict[str, object]:
    """The mail as plain JSON, with the ``body`` that may be shown. Bcc only where asked for: for the owner."""
    return {
        **summary_as_json(view),
        **({"bcc": _addresses(view.bcc)} if with_bcc else {}),
        "reply_to": _addresses(view.reply_to),
        "text": view.text,
        "html": contained(body),
        "blocked_remote": body.blocked_remote,
        "attachments": [_attachment(attachment) for attachment in view.attachments],
        "delivery_report": None if view.delivery_report is None else [vars(report) for report in view.delivery_report],
        "calendar_method": view.calendar_method,
        "invitation": _invitation(view.invitation) if view.invitation else None,
        "cut": view.cut or body.cut,
    }


def _invitation(invitation: Invitation) -> dict[str, object]:
    organizer = invitation.organizer
    return {
        **vars(invitation),
        "organizer": _address(organizer) if organizer else None,
        "attendees": _addresses(invitation.attendees),
    }


def _address(address: Address) -> dict[str, str]:
    return {"name": address.name, "address": address.address}


def _addresses(addresses: Sequence[Address]) -> list[dict[str, str]]:
    return [_address(address) for address in addresses]


def _attachment(attachment: Attachment) -> dict[str, object]:
    return {
        "part_id": attachment.part_id,
        "filename": attachment.filename,
        "content_type": attachment.content_type,
        "size_bytes": attachment.size_bytes,
        "inline": attachment.inline,
        "content_id": attachment.content_id,
        "kind": attachment.kind,
    }


def _time(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z") if time else None
