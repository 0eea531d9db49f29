"""Owns the question whether the caller is a user for whom anything may be done: by the token and by the directory."""

from __future__ import annotations

from common import clock, sharing
from common.auth import Caller
from common.directory import refresh_user
from common.errors import Forbidden
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


def verify_allowed(features: list[Feature], policy: Policy) -> None:
    """Raises Forbidden if the administrators' policy leaves out one of ``features``."""
    refused = [feature.value for feature in features if feature not in policy.features]
    if refused:
        raise Forbidden("feature-not-allowed", "the administrators' policy leaves this out", features=refused)
