"""Owns the audit records of connections, settings and policy: what one says, and how administrators read them.

Records are only added. They name people and settings, never a mail. Counting reads of shared mail is the store's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from common import clock
from common.keys import random_token
from common.model import AuditRecord, Policy

CONNECTED: Final = "connection_created"
RECONNECTED: Final = "connection_reconnected"
CHANGED: Final = "connection_changed"
SUSPENDED: Final = "connection_suspended"
DEACTIVATED: Final = "connection_deactivated"
REAUTH_REQUIRED: Final = "reauth_required"
CLAIM_REFUSED: Final = "claim_refused"
GIVEN_UP: Final = "revocation_given_up"
POLICY: Final = "policy_changed"
# Who acts where no person does.
SYSTEM: Final = "system"
GOOGLE: Final = "google"
_MAX_WHAT_CHARS: Final = 1000


class AuditEntry(msgspec.Struct, kw_only=True):
    """One audit record as it is shown. ``count`` and ``day`` are those of reads of shared mail."""

    at: datetime
    actor: str
    action: str
    subject: str
    what: str = ""
    contact_id: str = ""
    day: str = ""
    count: int = 1


class AuditPage(msgspec.Struct, kw_only=True):
    """Audit records, newest first."""

    records: list[AuditEntry]
    next_page_token: str = ""


def new_record(policy: Policy, *, actor: str, action: str, subject: str, what: str = "") -> AuditRecord:
    """A record of what ``actor`` did just now, kept as long as the policy says."""
    at = clock.now()
    return AuditRecord(
        record_id=random_token(15),
        at=at,
        actor=actor,
        action=action,
        subject=subject,
        what=what[:_MAX_WHAT_CHARS],
        expires_at=at + timedelta(days=policy.audit_retention_days),
    )


def position_of(record: AuditRecord) -> list[str]:
    """Where the record stands among all, for a page token."""
    return [record.at.isoformat(), record.record_id]


def parse_position(position: list[str] | None) -> tuple[datetime, str] | None:
    """What ``position_of`` made; None at the beginning."""
    return (datetime.fromisoformat(position[0]), position[1]) if position else None


def entry(record: AuditRecord) -> AuditEntry:
    """The record as it is shown."""
    return AuditEntry(
        at=record.at,
        actor=record.actor,
        action=record.action,
        subject=record.subject,
        what=record.what,
        contact_id=record.contact_id,
        day=record.day,
        count=record.count,
    )
