"""Owns the beginning of every request of a CRM user: all that decides, read anew, and the user's own mailbox.

Nothing is kept between requests: whoever was made inactive, revoked or narrowed a moment ago is so here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from common.auth import Caller
from common.errors import Conflict, ReauthRequired
from common.gmail.client import Gmail, open_gmail
from common.membership import verify_allowed, verify_member
from common.model import Connection, ConnectionStatus, Feature, Policy, User
from common.oauth import MODIFY, READONLY, SEND
from common.store.client import Context, store


class Access(Enum):
    """What a request does in the mailbox."""

    READ = "read"
    SEND = "send"
    CHANGE = "change"


# The feature that the policy must allow, and the scopes of which one suffices (Gmail's discovery document, by method).
_NEEDS: Final[Mapping[Access, tuple[Feature, frozenset[str]]]] = {
    Access.READ: (Feature.MAIL, frozenset({READONLY, MODIFY})),
    Access.SEND: (Feature.MAIL, frozenset({SEND, MODIFY})),
    Access.CHANGE: (Feature.ACTIONS, frozenset({MODIFY})),
}


@dataclass(frozen=True)
class Member:
    """An active user of the CRM, and what decided that; perhaps without a connection."""

    caller: Caller
    context: Context
    user: User

    @property
    def user_id(self) -> str:
        return self.user.user_id

    @property
    def policy(self) -> Policy:
        return self.context.policy.value

    @property
    def connection(self) -> Connection:
        """The user's connection, usable or not. Raises Conflict where there is none."""
        if self.context.connection is None:
            raise Conflict("not-connected", "connect a Gmail mailbox first: POST /authorize")
        return self.context.connection.value

    def verify_access(self, access: Access) -> None:
        """Raises Forbidden, Conflict or ReauthRequired where the mailbox may not be used in this way."""
        connection = self.connection
        feature, scopes = _NEEDS[access]
        verify_allowed([feature], self.policy)
        if connection.status is ConnectionStatus.REAUTH_REQUIRED:
            raise ReauthRequired(reason=connection.reauth_reason)
        if scopes.isdisjoint(connection.scopes):
            detail = "POST /authorize with these features asks for it"
            raise Conflict("scope-missing", detail, features=[feature.value])


@dataclass(frozen=True)
class Session(Member):
    """An active user whose own mailbox is open."""

    gmail: Gmail


def open_member(caller: Caller) -> Member:
    """The caller as a user of the CRM, in one round trip to Firestore. Raises Forbidden unless active."""
    context = store().load_context(caller.user_id)
    return Member(caller, context, verify_member(caller, context.user))


def open_mailbox(member: Member, *, timeout_s: float | None = None) -> Gmail:
    """The user's own mailbox; nothing is asked of Gmail yet. ``timeout_s`` bounds all calls together.

    Raises RateLimited while Google asks us to wait, ReauthRequired.
    """
    mailbox = member.context.mailbox
    return open_gmail(
        member.connection,
        viewer=member.user_id,
        timeout_s=timeout_s,
        retry_after=mailbox.value.retry_after if mailbox else None,
    )


def open_session(caller: Caller, access: Access = Access.READ, *, timeout_s: float | None = None) -> Session:
    """The caller's own mailbox, for ``access``, after everything that decides was read anew.

    Raises Forbidden (``user-inactive``, ``feature-not-allowed``), Conflict (``not-connected``, ``scope-missing``),
    ReauthRequired, and RateLimited while Google asks us to wait.
    """
    member = open_member(caller)
    member.verify_access(access)
    return Session(member.caller, member.context, member.user, open_mailbox(member, timeout_s=timeout_s))
