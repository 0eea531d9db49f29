"""The examples of oauth_callback's bodies and answers, as openapi.yaml shows them; what is left out has its default."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from common import audit, claim, connection, consent, held_data, housekeeping, policy, settings
from common.model import Connection, Notice, User

_AT = "2026-03-02T09:15:00Z"
_TIME = datetime.fromisoformat(_AT)
_LATER = "2026-03-09T09:15:00Z"
_MAILBOX_KEY = "bXlib3gtYS1rZXllZC1oYXNo"

EXAMPLES: Final[Mapping[Any, Mapping[str, Any]]] = {
    consent.AuthorizeBody: {
        "return_to": "https://crm.example.com/connected",
        "features": ["mail", "mailmagnet"],
        "login_hint": "anna@example.com",
    },
    consent.AuthorizeAnswer: {
        "url": "https://accounts.google.com/o/oauth2/v2/auth?client_id=…&state=…",
        "expires_at": _AT,
    },
    claim.ClaimBody: {"ticket": "q1w2e3r4t5.z6u7i8o9p0"},
    settings.ConnectionPatch: {"sharing": "custom", "mailmagnet": True, "labels": True, "locale": "de"},
    settings.TermsBody: {"internal_domains": ["example.com"], "excluded_domains": [], "address_time_limit": True},
    connection.Repair: {"features": ["labels"]},
    connection.MissingFeature: {
        "feature": "labels",
        "reason": "scope-missing",
        "scopes": ["https://www.googleapis.com/auth/gmail.modify"],
    },
    connection.Features: {"granted": ["mail", "mailmagnet"]},
    connection.TermsState: {"internal_domains": ["example.com"], "excluded_domains": [], "address_time_limit": True},
    connection.SharingState: {
        "level": "custom",
        "effective": "custom",
        "accepted_level": "custom",
        "asked": "public",
    },
    connection.MailMagnetState: {
        "state": "on",
        "watch_expires_at": _LATER,
        "last_push_at": _AT,
        "caught_up_at": _AT,
    },
    connection.LabelsState: {"state": "off"},
    connection.HealthState: {"word": "healthy"},
    connection.ConnectionAnswer: {
        "status": "connected",
        "address": "anna@example.com",
        "aliases": ["anna.berger@example.com"],
        "connected_at": _AT,
        "locale": "en",
    },
    connection.ConnectionRow: {
        "user_id": "anna",
        "name": "Anna Berger",
        "address": "anna@example.com",
        "status": "connected",
        "connected_at": _AT,
        "features": ["mail", "mailmagnet"],
        "mailmagnet": "on",
        "labels": "off",
    },
    connection.ConnectionPage: {"next_page_token": "u8Tz…"},
    policy.PolicyBody: {
        "sharing": "users_choice",
        "sharing_by_role": {"apprentice": "private"},
        "internal_domains": ["example.com"],
        "excluded_domains": ["lawyers.example"],
        "time_zone": "Europe/Berlin",
        "notice_retention_days": 30,
    },
    policy.PolicyAnswer: {"not_accepted": 2},
    audit.AuditEntry: {
        "at": _AT,
        "actor": "ben",
        "action": "shared_mail_read",
        "subject": "anna",
        "contact_id": "mia",
        "day": "2026-03-02",
        "count": 3,
    },
    audit.AuditPage: {"next_page_token": "u8Tz…"},
    held_data.HeldMailbox: {
        "mailbox_key": _MAILBOX_KEY,
        "users": 1,
        "labels_are_mine": True,
        "retry_after": None,
    },
    held_data.HeldConsent: {
        "return_to": "https://crm.example.com/connected",
        "features": ["labels"],
        "expires_at": _AT,
    },
    held_data.HeldData: {
        "user": User(user_id="anna", active=True, role="sales", email="anna@example.com", heard_at=_TIME),
        "connection": Connection(
            user_id="anna",
            address="anna@example.com",
            mailbox_key=_MAILBOX_KEY,
            generation="Zm9vYmFy",
            secret="projects/crm/secrets/refresh-YW5uYQ/versions/1",  # noqa: S106  (a name)
            scopes=frozenset({"https://www.googleapis.com/auth/gmail.readonly"}),
            connected_at=_TIME,
        ),
        "holds_refresh_token": True,
        "notices": [
            Notice(
                mail_id="18df3a5c0b7e1d42",
                from_address="mia@customer.example",
                received_at=_TIME,
                mailbox_key=_MAILBOX_KEY,
                expires_at=_TIME + timedelta(days=30),
            )
        ],
        "next_page_token": "u8Tz…",
    },
    housekeeping.Errand: {"kind": "daily"},
    "application/secevent+jwt": {"body": "eyJ0eXAiOiJzZWNldmVudCtqd3QiLCJhbGciOiJSUzI1NiJ9.…"},
}
