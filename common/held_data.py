"""Owns the complete answer to "what do you hold about me?": the data manifest, filled in for one user.

No mail is among it, since none is held. Large collections come in pieces; the page token says where each goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from common import audit
from common.audit import AuditEntry
from common.model import (
    Announcement,
    AuditRecord,
    Connection,
    Mailbox,
    Notice,
    Revocation,
    Send,
    Sender,
    Share,
    SharingLevel,
    Sweep,
    Sync,
    User,
    Work,
)
from common.paging import parse_page, seal_page
from common.store.client import Context, store

_PIECE: Final = 1000


class HeldMailbox(msgspec.Struct, kw_only=True):
    """What is noted of the mailbox itself; who else has connected it is told as a number alone."""

    mailbox_key: str
    users: int
    labels_are_mine: bool
    retry_after: datetime | None


class HeldConsent(msgspec.Struct, kw_only=True):
    """A consent under way; its code and verifier are sealed, and open to nobody but the ticket's holder."""

    return_to: str
    features: list[str]
    expires_at: datetime


class HeldData(msgspec.Struct, kw_only=True):
    """Everything held about one user; ``holds_refresh_token`` tells of a secret whose value is never shown."""

    user: User | None = None
    connection: Connection | None = None
    holds_refresh_token: bool = False
    sync: Sync | None = None
    work: Work | None = None
    mailbox: HeldMailbox | None = None
    sharing_set_for_you: SharingLevel | None = None
    notices: list[Notice] = []
    senders: list[Sender] = []
    sweeps: list[Sweep] = []
    shares: list[Share] = []
    sends: list[Send] = []
    consents: list[HeldConsent] = []
    revocations: list[Revocation] = []
    announcements: list[Announcement] = []
    reads_by_colleagues: list[AuditEntry] = []
    done_to_you: list[AuditEntry] = []
    done_by_you: list[AuditEntry] = []
    next_page_token: str = ""


def collect(user_id: str, unverified_page_token: str) -> HeldData:
    """A piece of what is held about the user; the first holds all that is not in pages. Raises BadRequest."""
    position: dict[str, Any] | None = parse_page(unverified_page_token, "held-data", user_id)
    held = _collect_records(user_id) if position is None else HeldData()
    following: dict[str, str | list[str]] = {}
    for name, piece in _pieces(user_id, position).items():
        setattr(held, name, [audit.entry(one) if isinstance(one, AuditRecord) else one for one in piece])
        if len(piece) == _PIECE:
            following[name] = _position_of(piece[-1])
    held.next_page_token = seal_page(following, "held-data", user_id) if following else ""
    return held


def _pieces(user_id: str, position: dict[str, Any] | None) -> dict[str, Sequence[Any]]:
    s = store()

    def before(name: str) -> tuple[datetime, str] | None:
        return audit.parse_position(position[name]) if position else None

    def after(name: str) -> str:
        return str(position[name]) if position else ""

    readers: dict[str, Callable[[], Sequence[Any]]] = {
        "notices": lambda: s.notices.all_of(user_id, after=after("notices"), limit=_PIECE),
        "senders": lambda: s.senders.all_of(user_id, after=after("senders"), limit=_PIECE),
        "sweeps": lambda: s.sweeps.all_of(user_id, after=after("sweeps"), limit=_PIECE),
        "shares": lambda: s.shares.of_owner(user_id, after=after("shares"), limit=_PIECE),
        "reads_by_colleagues": lambda: s.audit.reads_of_owner(
            user_id, before=before("reads_by_colleagues"), limit=_PIECE
        ),
        "done_to_you": lambda: s.audit.about(user_id, before=before("done_to_you"), limit=_PIECE),
        "done_by_you": lambda: s.audit.by(user_id, before=before("done_by_you"), limit=_PIECE),
    }
    return {name: read() for name, read in readers.items() if position is None or name in position}


def _position_of(last: Any) -> str | list[str]:
    match last:
        case Notice():
            return last.mail_id
        case Sender():
            return last.address
        case Sweep():
            return last.sweep_id
        case Share():
            return last.contact_id
        case AuditRecord():
            return audit.position_of(last)
    raise TypeError(f"no page of {type(last).__name__}")


def _collect_records(user_id: str) -> HeldData:
    s = store()
    context = s.load_context(user_id)
    work = s.work.load(user_id)
    revocations = [held.value for held in s.revocations.of_user(user_id)]
    return HeldData(
        user=context.user.value if context.user else None,
        connection=context.connection.value if context.connection else None,
        # What is owed to Google owns the secret until it is settled.
        holds_refresh_token=context.connection is not None or bool(revocations),
        sync=context.sync.value if context.sync else None,
        work=work.value if work else None,
        mailbox=_mailbox(context, user_id),
        sharing_set_for_you=context.policy.value.sharing_by_user.get(user_id),
        sends=[held.value for held in s.sends.of_user(user_id, limit=_PIECE)],
        consents=[
            HeldConsent(
                return_to=held.value.return_to, features=list(held.value.features), expires_at=held.value.expires_at
            )
            for held in s.pending.of_user(user_id)
        ],
        revocations=revocations,
        announcements=[held.value for held in s.announcements.of_user(user_id)],
    )


def _mailbox(context: Context, user_id: str) -> HeldMailbox | None:
    if context.mailbox is None:
        return None
    mailbox: Mailbox = context.mailbox.value
    return HeldMailbox(
        mailbox_key=mailbox.mailbox_key,
        users=len(mailbox.user_ids),
        labels_are_mine=mailbox.labels_owner == user_id,
        retry_after=mailbox.retry_after,
    )
