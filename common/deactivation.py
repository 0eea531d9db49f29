"""Owns the end of a connection: gone at once in one commit, then whatever Google and the store still owe."""

from __future__ import annotations

from typing import Final

from common import announcing, audit, log, revocation
from common.errors import RetryableConflict
from common.keys import keys
from common.store.client import Context, Lost, store

_TRIES: Final = 5


def apply_deactivation(user_id: str, *, actor: str, remove_labels: bool = False) -> None:
    """Ends the user's connection, in whatever state it is; without one, what may be left of an earlier one goes.

    What Google does not take now is owed for 72 hours (``common.revocation``). Raises RetryableConflict where others
    keep changing the connection.
    """
    # First: a claim under way loses its consent and its grant, and one that was faster is seen below.
    store().pending.delete_all(user_id)
    voided = revocation.void_claims(user_id)
    _end(user_id, actor, remove_labels=remove_labels)
    for owed in voided:
        revocation.apply_revocation(owed)


def _end(user_id: str, actor: str, *, remove_labels: bool) -> None:
    for _ in range(_TRIES):
        context = store().load_context(user_id)
        if context.connection is None:
            announcing.send_owed(user_id)
            revocation.delete_held_data(user_id)
            return
        try:
            _apply(context, actor, remove_labels=remove_labels)
        except Lost:
            continue
        return
    raise RetryableConflict("connection-changed-meanwhile")


def _apply(context: Context, actor: str, *, remove_labels: bool) -> None:
    if context.connection is None:
        raise LookupError("there is no connection to end")
    connection = context.connection.value
    owed = revocation.revocation_id(connection)
    # First, so that a request that dies after the commit is finished by somebody else.
    revocation.enqueue(owed, connection.user_id, attempt=0)
    record = audit.new_record(context.policy.value, actor=actor, action=audit.DEACTIVATED, subject=connection.user_id)
    with store().batch() as batch:
        store().connections.delete(connection.user_id, version=context.connection.version, batch=batch)
        revocation.take_down(context, batch, remove_labels=remove_labels)
        store().audit.add(record, batch=batch)
        announcement = announcing.note(connection, announcing.ABSENT, batch)
    announcing.send(announcement)
    is_settled = revocation.apply_revocation(owed)
    log.event("deactivated", user=keys().hash("log", connection.user_id), outcome="settled" if is_settled else "owed")
