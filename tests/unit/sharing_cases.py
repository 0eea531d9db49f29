"""The product's records for a case of rule 3, and what the product decides on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from common.colleagues import Loaded, View, parse_facts, plan_door
from common.model import (
    PERMISSION,
    Connection,
    ConnectionStatus,
    Contact,
    ContactAddress,
    Policy,
    Share,
    SharingLevel,
    SharingTerms,
    User,
)
from common.oauth import READONLY, SEND
from common.sharing import may_see
from tests.unit.rule_three import Case, Terms

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
_HIDDEN = "Label_7"


def decide(case: Case) -> bool:
    """What the product says: whether the viewer may see the contact, the mailbox, and this mail in it."""
    contact, viewer, policy = (
        _contact(case),
        User(user_id=case.viewer, role=case.viewer_role, active=True),
        _policy(case),
    )
    if contact.deleted or not may_see(contact, viewer):
        return False
    view = View(viewer, policy, (contact,))
    connection = _connection(case)
    door = plan_door(view, connection, _loaded(case, connection), NOW)
    return door.leads_anywhere and door.is_connected and door.is_visible(parse_facts(_mail(case)), view)


def _ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def _contact(case: Case) -> Contact:
    addresses = tuple(
        ContactAddress(address=one.address, added_at=_ago(one.days_ago), added_by=one.added_by)
        for one in case.addresses
    )
    return Contact(
        contact_id="mia",
        name="Mia",
        addresses=addresses,
        owner=case.contact_owner,
        visible_to=tuple(sorted(case.visible_to)),
        deleted=case.contact_deleted,
    )


def _policy(case: Case) -> Policy:
    return Policy(
        sharing=SharingLevel(case.policy) if case.policy else None,
        sharing_by_role={role: SharingLevel(level) for role, level in case.policy_by_role},
        sharing_by_user={user: SharingLevel(level) for user, level in case.policy_by_user},
        internal_domains=tuple(sorted(case.terms.internal)),
        excluded_domains=tuple(sorted(case.terms.excluded)),
        address_time_limit=case.terms.time_limit,
    )


def _terms(terms: Terms) -> SharingTerms:
    return SharingTerms(
        internal_domains=tuple(sorted(terms.internal)),
        excluded_domains=tuple(sorted(terms.excluded)),
        address_time_limit=terms.time_limit,
    )


def _connection(case: Case) -> Connection:
    return Connection(
        user_id=case.owner,
        address="anna@demo-crm.example",
        mailbox_key="present",
        generation="g",
        secret="s",
        scopes=frozenset({READONLY, SEND} if case.may_read else {SEND}),
        connected_at=_ago(300),
        status=ConnectionStatus.CONNECTED if case.connected else ConnectionStatus.REAUTH_REQUIRED,
        sharing=SharingLevel(case.chosen),
        accepted_level=SharingLevel(case.accepted),
        accepted_terms=_terms(case.accepted_terms),
        excluded_domains=tuple(sorted(case.excluded_by_owner)),
        hidden_label_id=_HIDDEN,
    )


def _loaded(case: Case, connection: Connection) -> Loaded:
    owner = User(
        user_id=case.owner,
        active=case.owner_active,
        deleted=case.owner_deleted,
        role=case.owner_role,
        permissions=frozenset({PERMISSION} if case.owner_permitted else set()),
        heard_at=None if case.owner_heard_days_ago is None else _ago(case.owner_heard_days_ago),
    )
    shares = {}
    if case.share is not None:
        shares[case.owner, "mia"] = Share(
            owner=case.owner,
            contact_id="mia",
            addresses=tuple(sorted(case.share.addresses)),
            mailbox_key="present" if case.share.of_this_mailbox else "former",
            shared=case.share.shared,
            at=_ago(50),
        )
    return Loaded(
        connections={case.owner: connection},
        users={case.owner: owner} if case.owner_known else {},
        shares=shares,
        inside=case.inside,
    )


def _mail(case: Case) -> dict[str, Any]:
    headers = [("From", f"Somebody <{case.sender}>"), ("Subject", "Hello")]
    headers += [(name, ", ".join(one)) for name, one in [("To", case.to), ("Cc", case.cc), ("Bcc", case.bcc)] if one]
    return {
        "id": "a",
        "internalDate": str(int(_ago(case.received_days_ago).timestamp() * 1000)),
        "labelIds": sorted(case.places | ({_HIDDEN} if case.hidden else set())),
        "payload": {"headers": [{"name": name, "value": value} for name, value in headers]},
    }
