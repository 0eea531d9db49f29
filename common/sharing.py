"""Owns who may see what (rule 3 and the section Sharing of the design). Pure: plain data in, plain data out.

Whoever shows or files mail asks here, with records that were read for this very request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from common.model import (
    EVERYONE,
    PERMISSION,
    ROLE_PREFIX,
    Connection,
    ConnectionStatus,
    Contact,
    Policy,
    Share,
    SharingLevel,
    SharingTerms,
    User,
)

HEARD_OF_WITHIN: Final = timedelta(days=90)
UNSHARED_LABELS: Final = frozenset({"DRAFT", "SPAM", "TRASH", "CHAT"})
_WIDTH: Final = {SharingLevel.PRIVATE: 0, SharingLevel.CUSTOM: 1, SharingLevel.PUBLIC: 2}


class _Visible(Protocol):
    @property
    def owner(self) -> str: ...
    @property
    def visible_to(self) -> tuple[str, ...]: ...


def may_see(record: _Visible, viewer: User) -> bool:
    """Whether ``viewer`` may see a contact or deal: its owner, a named user, a holder of a named role, or everyone."""
    if record.owner == viewer.user_id:
        return True
    names = {viewer.user_id, EVERYONE}
    if viewer.role:
        names.add(ROLE_PREFIX + viewer.role)
    return not names.isdisjoint(record.visible_to)


def is_serviceable(user: User | None, now: datetime) -> bool:
    """Whether anything may be done for or shown from this user's connection: active, permitted, heard of in 90 days."""
    if user is None or user.deleted or not user.active or PERMISSION not in user.permissions:
        return False
    return user.heard_at is not None and now - user.heard_at <= HEARD_OF_WITHIN


def narrower(first: SharingLevel, second: SharingLevel) -> SharingLevel:
    """The one of two levels that shows less."""
    return min(first, second, key=_WIDTH.__getitem__)


def wider(first: SharingLevel, second: SharingLevel) -> SharingLevel:
    """The one of two levels that shows more."""
    return max(first, second, key=_WIDTH.__getitem__)


def policy_level(policy: Policy, user: User) -> SharingLevel | None:
    """What administrators have set for this user, else for the role, else for all; None is the user's choice."""
    by_user = policy.sharing_by_user.get(user.user_id)
    return by_user or policy.sharing_by_role.get(user.role) or policy.sharing


def reach(connection: Connection) -> SharingLevel:
    """The widest level that the owner has agreed to, by choice or by acceptance."""
    return wider(connection.sharing, connection.accepted_level)


def effective_level(connection: Connection, policy: Policy, owner: User) -> SharingLevel:
    """The level that holds: the policy's, but never wider than what the owner chose or accepted."""
    asked = policy_level(policy, owner)
    if asked is None:
        return connection.sharing
    return narrower(asked, reach(connection))


def asked_level(connection: Connection, policy: Policy, owner: User) -> SharingLevel | None:
    """The wider level that the policy asks the owner to accept, if it does."""
    asked = policy_level(policy, owner)
    if asked is None or effective_level(connection, policy, owner) == asked:
        return None
    return asked


def policy_terms(policy: Policy) -> SharingTerms:
    """What the policy keeps from colleagues by itself."""
    return SharingTerms(
        internal_domains=policy.internal_domains,
        excluded_domains=policy.excluded_domains,
        address_time_limit=policy.address_time_limit,
    )


def effective_terms(connection: Connection, policy: Policy) -> SharingTerms:
    """The terms that hold for one owner's mail: the narrower of the policy's and those that the owner last accepted.

    Whoever has agreed to no level but private shows nothing: the policy's are those that a first level comes with.
    """
    asked = policy_terms(policy)
    if reach(connection) is SharingLevel.PRIVATE:
        return asked
    accepted = connection.accepted_terms
    if accepted == asked:
        return asked
    return SharingTerms(
        internal_domains=_both(asked.internal_domains, accepted.internal_domains),
        excluded_domains=_both(asked.excluded_domains, accepted.excluded_domains),
        address_time_limit=asked.address_time_limit or accepted.address_time_limit,
    )


def _both(first: Collection[str], second: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(_cover({*first, *second})))


def _cover(domains: Collection[str]) -> frozenset[str]:
    # Whoever names a domain has named all below it.
    known = frozenset(domains)
    return frozenset(one for one in known if known.isdisjoint(_parents(one)))


def _parents(domain: str) -> list[str]:
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(1, len(labels))]


def asked_terms(connection: Connection, policy: Policy, owner: User) -> SharingTerms | None:
    """The wider terms that the policy asks the owner to accept, if it does; no one is asked who shows nothing."""
    if effective_level(connection, policy, owner) is SharingLevel.PRIVATE:
        return None
    asked = policy_terms(policy)
    return None if are_same_terms(asked, effective_terms(connection, policy)) else asked


def are_same_terms(first: SharingTerms, second: SharingTerms) -> bool:
    """Whether both keep the same from colleagues, in whatever order the domains stand."""
    return (
        _cover(first.internal_domains) == _cover(second.internal_domains)
        and _cover(first.excluded_domains) == _cover(second.excluded_domains)
        and first.address_time_limit == second.address_time_limit
    )


def is_asked(connection: Connection, policy: Policy, owner: User) -> bool:
    """Whether the policy waits for this owner to accept a wider level or wider terms."""
    if asked_level(connection, policy, owner) is not None:
        return True
    return asked_terms(connection, policy, owner) is not None


def is_in_domains(address: str, domains: Collection[str]) -> bool:
    """Whether the address is of one of ``domains`` or of a domain below one."""
    # With a dot at its end it is the same domain (RFC 1034, 3.1).
    domain = address.rpartition("@")[2].lower().rstrip(".")
    return any(domain == one.lower() or domain.endswith("." + one.lower()) for one in domains)


@dataclass(frozen=True)
class Owner:
    """What decides on the owner's side: the connection, the user's record, and the share of this contact, if any."""

    connection: Connection
    user: User | None
    share: Share | None = None


def opening_addresses(
    contact: Contact, owner: Owner, policy: Policy, *, inside: Collection[str], now: datetime
) -> dict[str, datetime | None]:
    """The contact's addresses that open this owner's mail to colleagues, with the time from which mail counts.

    None as a time is no limit. ``inside`` are the addresses of all connected mailboxes and aliases among the contact's.
    Empty where the owner's mail is not to be shown at all.
    """
    if not is_serviceable(owner.user, now) or owner.connection.status is not ConnectionStatus.CONNECTED:
        return {}
    if owner.user is None or contact.deleted:
        return {}
    level = effective_level(owner.connection, policy, owner.user)
    seen = _addresses_seen(owner)
    is_shared = owner.share is not None and owner.share.shared and bool(seen)
    if level is SharingLevel.PRIVATE or (level is SharingLevel.CUSTOM and not is_shared):
        return {}
    terms = effective_terms(owner.connection, policy)
    opening: dict[str, datetime | None] = {}
    for entry in contact.addresses:
        if entry.address in inside or is_in_domains(entry.address, terms.internal_domains):
            continue
        confirmed = entry.address in seen or entry.added_by == owner.connection.user_id
        if level is SharingLevel.CUSTOM and not confirmed:
            continue
        unlimited = confirmed or not terms.address_time_limit
        opening[entry.address] = None if unlimited else entry.added_at
    return opening


def _addresses_seen(owner: Owner) -> frozenset[str]:
    # A share made with another mailbox says nothing about this one.
    if owner.share is None or owner.share.mailbox_key != owner.connection.mailbox_key:
        return frozenset()
    return frozenset(owner.share.addresses)


@dataclass(frozen=True)
class MailFacts:
    """The mail's side, as fetched just now; ``addresses`` are From, To and Cc, normalised, never Bcc.

    ``mentioned`` is whatever looks like an address in these headers, its domain with the @ before: it opens nothing,
    and may be excluded.
    """

    addresses: frozenset[str]
    received_at: datetime
    label_ids: frozenset[str]
    mentioned: frozenset[str] = frozenset()


def has_excluded_domain(mail: MailFacts, excluded_domains: Iterable[str]) -> bool:
    """Whether somebody of one of the domains takes part in the mail, or seems to."""
    excluded = tuple(excluded_domains)
    return any(is_in_domains(address, excluded) for address in mail.addresses | mail.mentioned)


def is_mail_shared(
    mail: MailFacts,
    opening: Mapping[str, datetime | None],
    *,
    excluded_domains: Iterable[str],
    hidden_label_id: str,
) -> bool:
    """Whether a colleague may see this mail, given the addresses that open the owner's mailbox for the contact."""
    if not mail.label_ids.isdisjoint(UNSHARED_LABELS) or (hidden_label_id and hidden_label_id in mail.label_ids):
        return False
    if has_excluded_domain(mail, excluded_domains):
        return False
    return any(
        address in mail.addresses and (since is None or mail.received_at > since) for address, since in opening.items()
    )
