"""Owns what goes into a mail that a user sends: who it is from, what it answers or forwards, what it carries.

Reads the caller's own mailbox; sends and stores nothing. ``From`` is always an address that Gmail has verified as the
caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Final
from zoneinfo import ZoneInfo

from common import clock, downloads
from common.errors import BadRequest, NotFound, TooLarge, Unprocessable
from common.gmail.results import Message, SendAs
from common.mail.addresses import Address, normalise
from common.mail.headers import all_values, clean_text, decode, first_value, parse_message_ids
from common.mail.html import text_to_html
from common.mail.limits import MAX_CONTENT_BYTES, MAX_NAME_CHARS
from common.mail.reading import header_pairs
from common.mail.replies import plan_forward, plan_reply
from common.mail.view import Attachment, MessageView
from common.mail.writing import MailInputError, Outgoing, OutgoingAttachment, compose
from common.opening import fetch_full, read_whole
from common.send_api import DraftBody, Parcel, Recipient
from common.send_ledger import SEND_HEADER
from common.session import Access, Session

# Each is a call of 20 units; what has more goes as an attachment itself.
_MOST_CARRIED: Final = 100
# As ``writing.compose`` takes them; what a stranger's mail has besides is left out of the answer.
_SENDABLE_ID: Final = re.compile(r"<[^<>\s\x00-\x20\x7f]{1,900}>")
_SENDABLE_CONTENT_ID: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,250}")


@dataclass(frozen=True, repr=False)
class Letter:
    """A mail ready for Gmail: the stream of its source, and the conversation that it goes into.

    As a context manager it keeps the instance's budget for what it carries along until it is through.
    """

    raw: IO[bytes]
    thread_id: str = ""
    held: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Letter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.held.close()


@dataclass(frozen=True, repr=False)
class _Context:
    """What follows from the mail that is answered or forwarded."""

    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    subject: str = ""
    thread_id: str = ""
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    quoted_text: str = ""
    quoted_html: str = ""
    has_html: bool = False
    carried: tuple[OutgoingAttachment, ...] = ()
    own_address: str = ""


def write_letter(
    session: Session, parcel: Parcel, marker: str, *, unaddressed: bool = False, before: Message | None = None
) -> Letter:
    """The mail with our own header of the value ``marker``. ``unaddressed``: a draft may have no recipients yet.

    ``before`` is the draft (its metadata) whose place it takes: a new mail goes on answering what that one answered.
    Costs nothing at Gmail for a new mail from the mailbox's own address. Raises Unprocessable for what cannot be sent,
    NotFound where the mail meant is gone, TooLarge, Conflict for a missing scope.
    """
    held = ExitStack()
    try:
        context = _load_context(session, parcel.body, held)
        if before is not None and parcel.body.mode == "new":
            context = _plan_kept(before)
        outgoing = _address(session, parcel, context, marker)
        raw = _composed(outgoing, unaddressed=unaddressed)
    except BaseException:
        held.close()
        raise
    # Under another subject Gmail begins another conversation.
    return Letter(raw, context.thread_id if outgoing.subject == context.subject else "", held)


def _address(session: Session, parcel: Parcel, context: _Context, marker: str) -> Outgoing:
    body = parcel.body
    sender = _sender(session, body.from_address, context.own_address)
    text, html = _texts(body, context)
    return Outgoing(
        from_=sender,
        to=context.to if body.to is None else _addresses(body.to),
        cc=context.cc if body.cc is None else _addresses(body.cc),
        bcc=_addresses(body.bcc),
        subject=context.subject if body.subject is None else body.subject,
        text=text,
        html=html,
        attachments=[*parcel.files, *context.carried],
        in_reply_to=context.in_reply_to,
        references=context.references,
        extra={SEND_HEADER: marker},
    )


def _composed(outgoing: Outgoing, *, unaddressed: bool) -> IO[bytes]:
    problem: Unprocessable | TooLarge
    try:
        return compose(outgoing, now=clock.now(), unaddressed=unaddressed)
    except MailInputError as error:
        kind = TooLarge if error.code == "message-too-large" else Unprocessable
        problem = kind(error.code, field=error.field)
    raise problem


def _addresses(recipients: Iterable[Recipient]) -> list[Address]:
    return [Address(one.name, one.address.strip(" ")) for one in recipients]


def _sender(session: Session, named: str, expected: str) -> Address:
    """The address to send from: the one named, else the one expected if it still is the caller's, else the mailbox's.

    Raises Unprocessable where the one named is not the caller's.
    """
    own = Address(_clean_name(session.user.name), session.connection.address)
    wanted = normalise(named or expected)
    if not wanted or wanted == own.address:
        return own
    for identity in verified_identities(session):
        if normalise(identity.address) == wanted:
            return Address(_clean_name(identity.name), identity.address)
    if not named:
        return own
    raise Unprocessable("sender-not-verified", "GET /identities lists the addresses to send from", field="from")


def _clean_name(name: str) -> str:
    return " ".join(clean_text(name).split())[:MAX_NAME_CHARS]


def verified_identities(session: Session) -> list[SendAs]:
    """The addresses that Gmail lets the caller send from: 1 unit."""
    return [one for one in session.gmail.list_send_as() if one.verified]


def _texts(body: DraftBody, context: _Context) -> tuple[str | None, str | None]:
    """Text and HTML with the quote below, of which one may be missing."""
    text, html = body.text, body.html
    if not context.quoted_text:
        return (text or "") if html is None else text, html
    quoted_html = html
    if html is not None:
        quoted_html = f"{html}<br>{context.quoted_html}"
    elif context.has_html:
        quoted_html = f"{text_to_html(text or '')}<br>{context.quoted_html}"
    if text is None and html is not None:
        return None, quoted_html
    return f"{text or ''}\n\n{context.quoted_text}\n".lstrip("\n"), quoted_html


def _load_context(session: Session, body: DraftBody, held: ExitStack) -> _Context:
    if (body.mode == "new") == bool(body.message_id):
        raise BadRequest("invalid-body", "message_id goes with every mode but new")
    if body.mode == "new":
        return _Context()
    session.verify_access(Access.READ)
    resource = fetch_full(session.gmail, body.message_id)
    original = read_whole(session.gmail, resource)
    if body.mode == "forward":
        return _plan_forward(session, body, resource, original, held)
    return _plan_reply(session, body, original)


def _plan_kept(before: Message) -> _Context:
    """What a draft answers, from its own headers."""
    headers = header_pairs(before)
    answered = parse_message_ids(all_values(headers, "In-Reply-To"))
    if not answered:
        return _Context()
    references = parse_message_ids(all_values(headers, "References"))
    return _Context(
        subject=decode(first_value(headers, "Subject")),
        thread_id=str(before["threadId"]),
        in_reply_to=answered[0] if _is_sendable(answered[0]) else None,
        references=tuple(filter(_is_sendable, references)),
    )


def _plan_reply(session: Session, body: DraftBody, original: MessageView) -> _Context:
    connection = session.connection
    own = [connection.address, *connection.aliases]
    zone = ZoneInfo(session.policy.time_zone)
    reply = plan_reply(original, own, reply_all=body.mode == "reply_all", locale=connection.locale, zone=zone)
    return _Context(
        to=reply.to,
        cc=reply.cc,
        subject=reply.subject,
        thread_id=reply.thread_id,
        in_reply_to=reply.in_reply_to if _is_sendable(reply.in_reply_to) else None,
        references=tuple(filter(_is_sendable, reply.references)),
        quoted_text=reply.quoted_text if body.quote else "",
        quoted_html=reply.quoted_html,
        own_address=_addressed_alias(original, connection.aliases),
    )


def _is_sendable(message_id: str | None) -> bool:
    return bool(message_id and _SENDABLE_ID.fullmatch(message_id))


def _addressed_alias(original: MessageView, aliases: Sequence[str]) -> str:
    """The alias that the mail was sent to, from which the answer is expected; empty for the mailbox's own address."""
    addressed = [normalise(one.address) for one in (*original.to, *original.cc)]
    return next((one for one in addressed if one in aliases), "")


def _plan_forward(
    session: Session, body: DraftBody, resource: Message, original: MessageView, held: ExitStack
) -> _Context:
    plan = plan_forward(original, locale=session.connection.locale, zone=ZoneInfo(session.policy.time_zone))
    if body.as_attachment:
        return _Context(subject=plan.subject, carried=(_source(session, original.id, held),))
    return _Context(
        subject=plan.subject,
        quoted_text=plan.quoted_text if body.quote else "",
        quoted_html=plan.quoted_html,
        has_html=original.unverified_html is not None,
        carried=_carry(session, resource, plan.attachments, held),
    )


def _source(session: Session, message_id: str, held: ExitStack) -> OutgoingAttachment:
    download = downloads.fetch_source(session.gmail, message_id)
    held.callback(download.reservation.release)
    return OutgoingAttachment(download.filename, download.content_type, download.content)


def _carry(
    session: Session, resource: Message, attachments: Sequence[Attachment], held: ExitStack
) -> tuple[OutgoingAttachment, ...]:
    """The contents of the forwarded mail's attachments, in their order."""
    if len(attachments) > _MOST_CARRIED:
        raise Unprocessable("too-many-attachments", "forward it with as_attachment", field="message_id")
    if sum(one.size_bytes for one in attachments) > MAX_CONTENT_BYTES:
        raise TooLarge("message-too-large", field="message_id")
    return tuple(_carried(session, resource, one, held) for one in attachments)


def _carried(session: Session, resource: Message, attachment: Attachment, held: ExitStack) -> OutgoingAttachment:
    unreadable: Unprocessable
    try:
        download = downloads.fetch_attachment(session.gmail, resource, attachment.part_id)
        held.callback(download.reservation.release)
        return OutgoingAttachment(
            filename=attachment.filename,
            content_type=attachment.content_type,
            data=download.content,
            content_id=attachment.content_id if _is_shown(attachment) else "",
        )
    except (NotFound, RecursionError):
        # A part that the library cannot take out of the source, of a mail that nests too deeply for it.
        unreadable = Unprocessable("attachment-unreadable", "forward it with as_attachment", field="message_id")
    raise unreadable


def _is_shown(attachment: Attachment) -> bool:
    return attachment.inline and bool(_SENDABLE_CONTENT_ID.fullmatch(attachment.content_id))
