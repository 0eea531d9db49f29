"""Rule 3 a second time, from the words of the contract alone: who may see a mail of owner O about contact C.

Knows nothing of the product's code: plain sets and ifs, times in days ago. The tests hold the product to it.
"""

from __future__ import annotations

from dataclasses import dataclass

_RANK = {"private": 0, "custom": 1, "public": 2}


@dataclass(frozen=True)
class Terms:
    """What a policy keeps from colleagues by itself."""

    internal: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    time_limit: bool = True


@dataclass(frozen=True)
class Address:
    """An address of the contact: since how many days, and who put it there."""

    address: str
    days_ago: float
    added_by: str = ""


@dataclass(frozen=True)
class Shared:
    """The owner's record of this contact: the addresses that the owner saw. ``shared``: more than a confirmation."""

    addresses: frozenset[str]
    shared: bool = True
    of_this_mailbox: bool = True


@dataclass(frozen=True)
class Case:
    """All that may decide. ``inside`` are the addresses of all connected mailboxes and aliases."""

    viewer: str = "ben"
    viewer_role: str = "sales"
    owner: str = "anna"
    owner_role: str = "sales"
    owner_known: bool = True
    owner_active: bool = True
    owner_deleted: bool = False
    owner_permitted: bool = True
    owner_heard_days_ago: float | None = 1
    connected: bool = True
    may_read: bool = True
    chosen: str = "public"
    accepted: str = "private"
    policy: str | None = None
    policy_by_role: tuple[tuple[str, str], ...] = ()
    policy_by_user: tuple[tuple[str, str], ...] = ()
    terms: Terms = Terms()
    accepted_terms: Terms = Terms()
    excluded_by_owner: frozenset[str] = frozenset()
    share: Shared | None = None
    inside: frozenset[str] = frozenset({"anna@demo-crm.example", "ben@demo-crm.example"})
    contact_owner: str = "carla"
    visible_to: frozenset[str] = frozenset({"everyone"})
    contact_deleted: bool = False
    addresses: tuple[Address, ...] = (Address("mia@customer.example", 100),)
    sender: str = "mia@customer.example"
    to: tuple[str, ...] = ("anna@demo-crm.example",)
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    received_days_ago: float = 5
    places: frozenset[str] = frozenset({"INBOX"})
    hidden: bool = False


def is_visible(case: Case) -> bool:
    """Whether the viewer may see the mail as one of the contact's."""
    if case.contact_deleted or not _sees_contact(case) or not case.connected or not case.may_read:
        return False
    if case.places & {"DRAFT", "SPAM", "TRASH", "CHAT"}:
        return False
    shown = {case.sender, *case.to, *case.cc}
    if case.viewer == case.owner:
        return bool({one.address for one in case.addresses} & (shown | set(case.bcc)))
    if not _owner_counts(case) or case.hidden:
        return False
    excluded = case.terms.excluded | case.accepted_terms.excluded | case.excluded_by_owner
    if any(_is_of(address, excluded) for address in shown):
        return False
    return any(one.address in shown and _opens(one, case) for one in case.addresses)


def _sees_contact(case: Case) -> bool:
    if case.viewer == case.contact_owner:
        return True
    if case.viewer_role and f"role:{case.viewer_role}" in case.visible_to:
        return True
    return bool(case.visible_to & {"everyone", case.viewer})


def _owner_counts(case: Case) -> bool:
    if not case.owner_known or case.owner_deleted:
        return False
    if not case.owner_active or not case.owner_permitted:
        return False
    return case.owner_heard_days_ago is not None and case.owner_heard_days_ago <= 90


def _level(case: Case) -> str:
    asked = dict(case.policy_by_user).get(case.owner)
    if asked is None:
        asked = dict(case.policy_by_role).get(case.owner_role)
    if asked is None:
        asked = case.policy
    if asked is None:
        return case.chosen
    agreed = case.chosen if _RANK[case.chosen] >= _RANK[case.accepted] else case.accepted
    return asked if _RANK[asked] <= _RANK[agreed] else agreed


def _opens(one: Address, case: Case) -> bool:
    if one.address in case.inside or _is_of(one.address, case.terms.internal | case.accepted_terms.internal):
        return False
    seen = case.share.addresses if case.share is not None and case.share.of_this_mailbox else frozenset()
    is_the_owners = one.address in seen or one.added_by == case.owner
    level = _level(case)
    if level == "private":
        return False
    if level == "custom":
        return case.share is not None and case.share.shared and bool(seen) and is_the_owners
    if is_the_owners or not (case.terms.time_limit or case.accepted_terms.time_limit):
        return True
    return case.received_days_ago < one.days_ago


def _is_of(address: str, domains: frozenset[str]) -> bool:
    domain = address.split("@")[1]
    return any(domain == one or domain.endswith("." + one) for one in domains)
