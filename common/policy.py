"""Owns the administrators' policy as it is read and written: its form, its limits, what a change says in the audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from common import audit, clock, sharing
from common.directory import directory
from common.errors import PreconditionFailed, RetryableConflict, Unprocessable
from common.keys import keys
from common.mail.addresses import normalise_domain
from common.model import Feature, Policy, SharingLevel
from common.store.client import Lost, Versioned, store

USERS_CHOICE: Final = "users_choice"
_PAGE: Final = 200
# Two reads each, and a round trip or two a page: an administrator waits for it.
_MAX_COUNTED: Final = 2_000

Level = Literal["users_choice", "private", "custom", "public"]
CrmId = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern="^[^/]+$")]
Domain = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
Domains = Annotated[list[Domain], msgspec.Meta(max_length=500)]
Levels = Annotated[dict[CrmId, SharingLevel], msgspec.Meta(max_length=1000)]


class PolicyBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole policy; what is left out goes back to its default."""

    sharing: Level = USERS_CHOICE
    sharing_by_role: Levels = {}
    sharing_by_user: Levels = {}
    internal_domains: Domains = []
    excluded_domains: Domains = []
    time_zone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"
    notice_retention_days: Annotated[int, msgspec.Meta(ge=30, le=90)] = 30
    audit_retention_days: Annotated[int, msgspec.Meta(ge=30, le=3650)] = 365
    features: list[Feature] = msgspec.field(default_factory=lambda: list(Feature))
    address_time_limit: bool = True
    file_unverified: bool = False
    mailbox_must_match_user: bool = False
    mailbox_domains: Domains = []


class PolicyAnswer(PolicyBody, kw_only=True):
    """The policy, and how many connected users have not accepted the wider level or terms that it asks for.

    ``not_accepted_is_partial``: more may be waited for, as not all connections were looked at.
    """

    not_accepted: int = 0
    not_accepted_is_partial: bool = False


def parse_policy(body: PolicyBody) -> Policy:
    """The policy that the body means. Raises Unprocessable for a time zone or domain that is none."""
    try:
        ZoneInfo(body.time_zone)
    except (KeyError, ValueError, OSError) as error:
        raise Unprocessable("invalid-time-zone", "an IANA name is wanted, such as Europe/Berlin") from error
    return Policy(
        sharing=None if body.sharing == USERS_CHOICE else SharingLevel(body.sharing),
        sharing_by_role=body.sharing_by_role,
        sharing_by_user=body.sharing_by_user,
        internal_domains=parse_domains(body.internal_domains),
        excluded_domains=parse_domains(body.excluded_domains),
        time_zone=body.time_zone,
        notice_retention_days=body.notice_retention_days,
        audit_retention_days=body.audit_retention_days,
        features=tuple(feature for feature in Feature if feature in body.features),
        address_time_limit=body.address_time_limit,
        file_unverified=body.file_unverified,
        mailbox_must_match_user=body.mailbox_must_match_user,
        mailbox_domains=parse_domains(body.mailbox_domains),
    )


def parse_domains(unverified_domains: list[str]) -> tuple[str, ...]:
    """The domains in the form in which they compare, sorted, each once. Raises Unprocessable."""
    domains = {normalise_domain(one.strip().lstrip("@").rstrip(".")) for one in unverified_domains}
    for domain in domains:
        labels = domain.split(".")
        if len(labels) < 2 or not all(_is_label(label) for label in labels):
            raise Unprocessable("invalid-domain", "a domain such as example.com is wanted")
    return tuple(sorted(domains))


def _is_label(label: str) -> bool:
    plain = label.replace("-", "").replace("_", "")
    return 1 <= len(label) <= 63 and plain.isascii() and plain.isalnum() and not label.startswith("-")


def plan_changes(old: Policy, new: Policy) -> list[str]:
    """What changes, for the audit: the settings' names, and the new value where it is one word."""
    changes = []
    for field in fields(Policy):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before != after:
            changes.append(field.name if isinstance(after, tuple | dict) else f"{field.name}={_word(after)}")
    return changes


def _word(value: Any) -> str:
    if value is None:
        return USERS_CHOICE
    return str(value).lower() if isinstance(value, bool) else str(value)


def etag(held: Versioned[Policy]) -> str:
    """The entity tag of the policy as it was read (RFC 9110, 8.8.3); one tag for the defaults."""
    return f'"{keys().hash("policy", held.version.isoformat() if held.version else "")}"'


def apply_policy(
    body: PolicyBody, actor: str, is_expected: Callable[[str], bool] = lambda _: True
) -> Versioned[Policy]:
    """Stores the policy with its audit record, in one commit, if its tag is expected; returns it as stored.

    Raises Unprocessable, PreconditionFailed, or RetryableConflict.
    """
    new = parse_policy(body)
    held = store().policies.load_policy()
    if not is_expected(etag(held)):
        raise PreconditionFailed("policy-changed-meanwhile", "another administrator was faster: read it again")
    changes = plan_changes(held.value, new)
    if not changes:
        return held
    record = audit.new_record(new, actor=actor, action=audit.POLICY, subject="policy", what="; ".join(changes))
    try:
        with store().batch() as batch:
            stored = store().policies.replace(held, new, batch=batch)
            store().audit.add(record, batch=batch)
    except Lost as error:
        raise RetryableConflict(
            "policy-changed-meanwhile", "another administrator was faster: read it again"
        ) from error
    return stored


def answer(policy: Policy) -> PolicyAnswer:
    """The policy as it is shown to administrators."""
    shown = {name: getattr(policy, name) for name in PolicyBody.__struct_fields__ if name != "sharing"}
    for name, value in shown.items():
        if isinstance(value, tuple):
            shown[name] = list(value)
    level: Level = policy.sharing.value if policy.sharing is not None else USERS_CHOICE
    count, is_partial = count_not_accepted(policy)
    return PolicyAnswer(**shown, sharing=level, not_accepted=count, not_accepted_is_partial=is_partial)


def count_not_accepted(policy: Policy) -> tuple[int, bool]:
    """How many connected users have yet to accept what the policy asks for, and whether there may be more of them.

    Who shares nothing is looked at only where the policy sets a level, and no one where it lets no one share.
    """
    levels = {policy.sharing, *policy.sharing_by_role.values(), *policy.sharing_by_user.values()}
    if levels == {SharingLevel.PRIVATE}:
        return 0, False
    sharing_only = levels == {None}
    count, after, at = 0, "", clock.now()
    for _ in range(_MAX_COUNTED // _PAGE):
        page = [held.value for held in store().connections.page_of(after=after, limit=_PAGE, sharing_only=sharing_only)]
        users = directory().load_users([connection.user_id for connection in page])
        for connection in page:
            user = users.get(connection.user_id)
            if user is not None and sharing.is_serviceable(user, at) and sharing.is_asked(connection, policy, user):
                count += 1
        if len(page) < _PAGE:
            return count, False
        after = page[-1].user_id
    return count, True
