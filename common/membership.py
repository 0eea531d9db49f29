"""Owns the question whether anything may be done for a user: by the token, the directory and the policy."""

from __future__ import annotations

from common import clock, sharing
from common.auth import Caller
from common.directory import refresh_user
from common.errors import Forbidden
from common.mail.addresses import domain, normalise
from common.model import Feature, Policy, User
from common.store.client import Versioned


def verify_member(caller: Caller, held: Versioned[User] | None) -> User:
    """The caller's record in the directory, refreshed by the token where due. Raises Forbidden unless active.

    A token issued before the directory made its user inactive revives nothing (design, section Sharing).
    """
    known = refresh_user(caller, held.value if held else None)
    if not sharing.is_serviceable(known, clock.now()):
        raise Forbidden("user-inactive", "the CRM's directory says that this user is not active or not permitted")
    return known


def is_mailbox_allowed(address: str, user: User, policy: Policy) -> bool:
    """Whether the mailbox's address is the user's own or of a listed domain, where the policy wants that."""
    if not policy.mailbox_must_match_user and not policy.mailbox_domains:
        return True
    compared = normalise(address)
    if policy.mailbox_must_match_user and user.email and compared == normalise(user.email):
        return True
    return domain(compared) in policy.mailbox_domains


def verify_allowed(features: list[Feature], policy: Policy) -> None:
    """Raises Forbidden if the administrators' policy leaves out one of ``features``."""
    refused = [feature.value for feature in features if feature not in policy.features]
    if refused:
        raise Forbidden("feature-not-allowed", "the administrators' policy leaves this out", features=refused)
