"""Owns the question whether MailMagnet may work for a connection now, by records that were read for this very step."""

from __future__ import annotations

from dataclasses import dataclass

from common import clock
from common.model import Connection, ConnectionStatus, Feature, Sync
from common.noticing import For
from common.sharing import is_serviceable
from common.store.client import Context, Versioned


@dataclass(frozen=True)
class Magnet:
    """A connection for which MailMagnet runs: whose it is, and the sync record as read."""

    whose: For
    sync: Versioned[Sync]

    @property
    def connection(self) -> Connection:
        return self.whose.connection


def allowed(context: Context, generation: str = "") -> For | None:
    """Whose MailMagnet it is, or None where nothing may be done.

    Nothing is done for an absent connection or another generation, one that must sign in again, with MailMagnet off
    or not allowed, or for a user who is not serviceable.
    """
    if context.connection is None:
        return None
    connection, policy = context.connection.value, context.policy.value
    user = context.user.value if context.user else None
    if generation and connection.generation != generation:
        return None
    if connection.status is not ConnectionStatus.CONNECTED or not connection.mailmagnet:
        return None
    if Feature.MAILMAGNET not in policy.features or user is None or not is_serviceable(user, clock.now()):
        return None
    return For(connection, user, policy)


def running(context: Context, generation: str = "") -> Magnet | None:
    """The running MailMagnet of ``context``, or None where it may not work or has not started for this connection."""
    whose = allowed(context, generation)
    sync = context.sync
    if whose is None or sync is None or not is_of(sync.value, whose.connection) or not sync.value.cursor:
        return None
    return Magnet(whose, sync)


def is_of(sync: Sync, connection: Connection) -> bool:
    """Whether the sync record belongs to this very connection, and not to an earlier one."""
    return (sync.generation, sync.mailbox_key) == (connection.generation, connection.mailbox_key)
