"""Owns the words of the product as plain data. Imports nothing of the project; knows neither Firestore nor Gmail.

What each record is for, and every field that is stored, stands in ``docs/data-manifest.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Final


class Category(StrEnum):
    """Of a contact, for one user; the first that fits, in this order."""

    CLOSING_THIS_MONTH = "closing_this_month"
    OPEN_DEALS = "open_deals"
    CUSTOMERS = "customers"
    NONE = "none"


LABELLED: Final = (Category.CLOSING_THIS_MONTH, Category.OPEN_DEALS, Category.CUSTOMERS)


class SharingLevel(StrEnum):
    """Who may see an owner's mail; ordered by ``sharing.narrower``."""

    PRIVATE = "private"
    CUSTOM = "custom"
    PUBLIC = "public"


class ConnectionStatus(StrEnum):
    CONNECTED = "connected"
    REAUTH_REQUIRED = "reauth_required"


class DealState(StrEnum):
    OPEN = "open"
    WON = "won"
    LOST = "lost"


class Feature(StrEnum):
    """A rung of the consent ladder."""

    MAIL = "mail"
    MAILMAGNET = "mailmagnet"
    ACTIONS = "actions"
    LABELS = "labels"


class SendState(StrEnum):
    """SCHEDULED → CLAIMED (may be taken over) → HANDING_OVER (never) → SENT, FAILED or UNKNOWN; or CANCELLED."""

    SCHEDULED = "scheduled"
    CLAIMED = "claimed"
    HANDING_OVER = "handing_over"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


# Where a notice's mail is: in the inbox, untouched by us; or kept out of it by the user's own filters. Else a Category.
IN_INBOX: Final = ""
OUTSIDE: Final = "outside"

PERMISSION: Final = "mail_integration"
DIRECTORY_PERMISSION: Final = "directory_write"
EVERYONE: Final = "everyone"
ROLE_PREFIX: Final = "role:"


@dataclass(frozen=True, kw_only=True)
class SharingTerms:
    """What a policy keeps from colleagues, whatever the level; ``address_time_limit``: mail older than an address."""

    internal_domains: tuple[str, ...] = ()
    excluded_domains: tuple[str, ...] = ()
    address_time_limit: bool = True


@dataclass(frozen=True, kw_only=True)
class Connection:
    """One CRM user's link to one Gmail mailbox: what people set. ``secret`` is the short name of the secret.

    ``connected_at`` is when the present grant was made, ``changed_at`` when its user last turned something on or off.
    ``accepted_terms`` are the policy's that its user was last shown and took.
    """

    user_id: str
    address: str
    mailbox_key: str
    generation: str
    secret: str
    scopes: frozenset[str]
    connected_at: datetime
    status: ConnectionStatus = ConnectionStatus.CONNECTED
    reauth_reason: str = ""
    sharing: SharingLevel = SharingLevel.PRIVATE
    accepted_level: SharingLevel = SharingLevel.PRIVATE
    accepted_terms: SharingTerms = SharingTerms()
    excluded_domains: tuple[str, ...] = ()
    mailmagnet: bool = False
    labels: bool = False
    label_ids: dict[str, str] = field(default_factory=dict)
    hidden_label_id: str = ""
    locale: str = "en"
    aliases: tuple[str, ...] = ()
    changed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Parked:
    """A message that keeps failing: the drain passes it after ten tries over an hour."""

    mail_id: str
    attempts: int
    first_failed_at: datetime


@dataclass(frozen=True, kw_only=True)
class Sync:
    """What handlers set for one connection; exists only while MailMagnet runs. ``cursor`` is a history id (uint64).

    ``caught_up_at`` is when a drain last reached the history's end; ``watch_expires_at`` is None until the first watch.
    ``backfill`` and ``resync`` name the runs under way, ``backfill_until`` and ``resync_from`` are how far back they
    go; ``resync_at`` is when history was lost last. ``announce`` are mails of which the webhook is still to be told.
    ``labels_error`` is why Gmail makes no label.
    """

    user_id: str
    generation: str
    mailbox_key: str
    cursor: int
    caught_up_at: datetime | None = None
    watch_expires_at: datetime | None = None
    notices_version: int = 0
    backfill: str = ""
    backfill_until: datetime | None = None
    resync: str = ""
    resync_from: datetime | None = None
    resync_at: datetime | None = None
    announce: tuple[str, ...] = ()
    parked: tuple[Parked, ...] = ()
    last_push_at: datetime | None = None
    last_sweep_at: datetime | None = None
    last_error: str = ""
    last_error_at: datetime | None = None
    labels_error: str = ""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Exists only while something is to be filed for the user. ``mark`` is the store's, new at each writing."""

    user_id: str
    due_at: datetime
    generation: str
    mark: str = field(default="", compare=False)


@dataclass(frozen=True, kw_only=True)
class Notice:
    """MailMagnet's record of one mail from a contact: where a sweep put it (``filed``), or will (``intent``).

    ``begun_at`` is since when somebody is about to do so; None where it is known that nobody is.
    """

    mail_id: str
    from_address: str
    received_at: datetime
    mailbox_key: str
    expires_at: datetime
    filed: str = IN_INBOX
    intent: str = ""
    begun_at: datetime | None = None
    pinned: bool = False
    seen: bool = False
    unverified: bool = False


@dataclass(frozen=True, kw_only=True)
class Sender:
    """One From address of a user's notices. ``category`` is the one last filed under."""

    address: str
    contact_ids: tuple[str, ...]
    mailbox_key: str
    expires_at: datetime
    category: str = ""
    last_received_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Move:
    """One mail's step in a sweep; ``source`` and ``target`` as in ``Notice.filed``, ``none`` for back to the inbox."""

    mail_id: str
    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What one sweep moved; kept so that it can be undone."""

    sweep_id: str
    at: datetime
    mailbox_key: str
    moves: tuple[Move, ...]
    expires_at: datetime
    undone_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Mailbox:
    """A Gmail account, whoever connected it. ``retry_after`` is Google's own hint, shared by all instances.

    Until ``revoking_until`` a revocation may be on its way to Google, which ends a grant made meanwhile too.
    """

    mailbox_key: str
    user_ids: tuple[str, ...] = ()
    labels_owner: str = ""
    retry_after: datetime | None = None
    revoking_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class PendingConnection:
    """A consent under way. ``sealed`` opens with the state before Google's redirect, with the ticket after it."""

    state_hash: str
    user_id: str
    return_to: str
    features: tuple[str, ...]
    generation: str
    sealed: str
    expires_at: datetime
    ticket_hash: str = ""
    consumed: bool = False


@dataclass(frozen=True, kw_only=True)
class Send:
    """The ledger's line for one Idempotency-Key. ``draft_id`` and ``send_at`` are a scheduled mail's.

    ``seen_at`` is when its user last took note of it.
    """

    user_id: str
    key_hash: str
    body_hash: str
    state: SendState
    version: int
    generation: str
    expires_at: datetime
    changed_at: datetime
    gmail_id: str = ""
    draft_id: str = ""
    send_at: datetime | None = None
    marker: str = ""
    reason: str = ""
    seen_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Share:
    """An owner's custom share of one contact: the addresses that the owner saw."""

    owner: str
    contact_id: str
    addresses: tuple[str, ...]
    mailbox_key: str
    shared: bool
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Revocation:
    """What Google has still to revoke. It owns the secret until then, at the latest until ``until``.

    ``label_ids`` are those of our labels that the user wants removed from the mailbox, ``scopes`` those granted.
    Until ``claim_until`` a claim may still make a connection of the grant; the commit that does so deletes the record.
    """

    revocation_id: str
    user_id: str
    mailbox_key: str
    secret: str
    until: datetime
    attempts: int = 0
    stop_watch: bool = False
    generation: str = ""
    scopes: frozenset[str] = frozenset()
    label_ids: tuple[str, ...] = ()
    claim_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """That the webhook is still to be told of a changed status of the user's connection of ``generation``."""

    announcement_id: str
    user_id: str
    generation: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """Who did what. ``count`` and ``day`` are used by reads of shared mail, which are counted per day."""

    record_id: str
    at: datetime
    actor: str
    action: str
    subject: str
    expires_at: datetime
    contact_id: str = ""
    day: str = ""
    count: int = 1
    what: str = ""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Administrators' settings. ``sharing`` None is the users' choice."""

    sharing: SharingLevel | None = None
    sharing_by_role: dict[str, SharingLevel] = field(default_factory=dict)
    sharing_by_user: dict[str, SharingLevel] = field(default_factory=dict)
    internal_domains: tuple[str, ...] = ()
    excluded_domains: tuple[str, ...] = ()
    time_zone: str = "UTC"
    notice_retention_days: int = 30
    audit_retention_days: int = 365
    features: tuple[Feature, ...] = tuple(Feature)
    address_time_limit: bool = True
    file_unverified: bool = False
    mailbox_must_match_user: bool = False
    mailbox_domains: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DispatchState:
    """How far the dispatch has read the directory, and for which month and zone it filed last.

    ``turn`` is the month and zone that are followed just now, page by page, and ``turn_page`` how far.
    """

    contacts_cursor: datetime | None = None
    deals_cursor: datetime | None = None
    users_cursor: datetime | None = None
    month: str = ""
    time_zone: str = ""
    turn: str = ""
    turn_page: str = ""


@dataclass(frozen=True, kw_only=True)
class FullLoad:
    """The full load of the directory under way or last done: since when, and which kinds of records it has named."""

    load_id: str = ""
    started_at: datetime | None = None
    kinds: tuple[str, ...] = ()
    ended_at: datetime | None = None


# Of users, contacts and deals: ``full_load`` is the last full load that named the record; ``expires_at`` is set while
# it is deleted, so that the mark is gone when nobody needs it any more.


@dataclass(frozen=True, kw_only=True)
class User:
    """A CRM user in the directory. ``heard_at`` is when the CRM or a verified token last told of the user.

    While ``suspension_owed``, work in flight has still to be ended, since the user stopped being one.
    """

    user_id: str
    active: bool
    role: str = ""
    permissions: frozenset[str] = frozenset()
    email: str = ""
    name: str = ""
    heard_at: datetime | None = None
    inactive_since: datetime | None = None
    suspension_owed: bool = False
    deleted: bool = False
    updated_at: datetime | None = None
    full_load: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ContactAddress:
    """An address of a contact, since when and by whom it stands there."""

    address: str
    added_at: datetime
    added_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Contact:
    contact_id: str
    name: str
    addresses: tuple[ContactAddress, ...]
    owner: str = ""
    visible_to: tuple[str, ...] = ()
    deleted: bool = False
    updated_at: datetime | None = None
    full_load: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Deal:
    """``contact_ids`` are its contacts now, ``former_contact_ids`` those that it once had."""

    deal_id: str
    title: str
    state: DealState
    closing_date: date | None
    contact_ids: tuple[str, ...] = ()
    former_contact_ids: tuple[str, ...] = ()
    owner: str = ""
    visible_to: tuple[str, ...] = ()
    deleted: bool = False
    updated_at: datetime | None = None
    full_load: str = ""
    expires_at: datetime | None = None
