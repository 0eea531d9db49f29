"""Owns what is left to do when a connection has ended: at Google, in Secret Manager, in the store.

A ``Revocation`` is the durable list of it, written by the commit that ends the connection. Whoever finishes it may run
twice, at the same time, or die at any line: the record goes last. Knows no route.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from google.api_core import exceptions as google_errors

from common import audit, clock, log, oauth, secrets, tasks, tokens
from common.config import config
from common.errors import NotFound, Problem, ReauthRequired
from common.keys import keys
from common.model import Connection, Revocation
from common.store.client import Batch, Context, Lost, Versioned, store

OWED_FOR: Final = timedelta(hours=72)
_FIRST_LOOK_AFTER: Final = timedelta(seconds=60)
_LONGEST_PAUSE: Final = timedelta(hours=6)
_DELETE_PIECE: Final = 1000
_MOST_PIECES: Final = 100


def revocation_id(connection: Connection) -> str:
    """The id of what is owed for one connection's one generation."""
    return keys().hash("revocation", connection.user_id, connection.generation)


def plan_revocation(connection: Connection, now: datetime, *, remove_labels: bool) -> Revocation:
    """What Google has to do once the connection has ended."""
    return Revocation(
        revocation_id=revocation_id(connection),
        user_id=connection.user_id,
        mailbox_key=connection.mailbox_key,
        secret=connection.secret,
        until=now + OWED_FOR,
        stop_watch=connection.mailmagnet,
        generation=connection.generation,
        scopes=connection.scopes,
        label_ids=tuple(sorted(set(connection.label_ids.values()))) if remove_labels else (),
    )


def take_down(context: Context, batch: Batch, *, remove_labels: bool = False) -> None:
    """Adds to ``batch`` what ends the connection of ``context``, its own record apart: nothing works for it afterwards.

    Raises LookupError where there is no connection.
    """
    if context.connection is None:
        raise LookupError("there is no connection to take down")
    connection = context.connection.value
    planned = plan_revocation(connection, clock.now(), remove_labels=remove_labels)
    store().revocations.save(planned, batch=batch)
    # Without them, whatever a handler is about to commit loses its precondition.
    store().syncs.delete(connection.user_id, batch=batch)
    store().work.delete(connection.user_id, batch=batch)
    if context.mailbox is None:
        return
    store().mailboxes.leave(connection.mailbox_key, connection.user_id, batch=batch)
    if context.mailbox.value.labels_owner == connection.user_id:
        store().mailboxes.patch(connection.mailbox_key, batch=batch, labels_owner="")


def enqueue(revocation: str, user_id: str, *, attempt: int) -> None:
    """Leaves a task that looks after the revocation, later with each attempt; where it cannot, the daily run does."""
    settings = config()
    pause = min(_FIRST_LOOK_AFTER * 2 ** min(attempt, 20), _LONGEST_PAUSE)
    try:
        tasks.enqueue(
            settings.housekeeping_queue,
            f"{settings.oauth_callback_url}/tasks/housekeeping",
            {"kind": "revoke", "user": user_id, "id": revocation, "attempt": attempt},
            user_id=user_id,
            generation=revocation,
            slot=str(attempt),
            audience=settings.oauth_callback_url,
            at=clock.now() + pause,
            service_account=settings.housekeeping_service_account,
        )
    except google_errors.GoogleAPICallError as error:
        log.failure("revocation-task", error)


def apply_revocation(revocation: str) -> bool:
    """Does what is owed. False if Google would not yet: it is tried again by a task, for 72 hours in all."""
    held = store().revocations.load(revocation)
    if held is None:
        return True
    is_settled = _apply_at_google(held)
    _delete_data(held.value)
    if is_settled:
        secrets.destroy(held.value.secret)
        _forget_mailbox(held.value.mailbox_key)
        store().revocations.delete(revocation)
        return True
    attempt = held.value.attempts + 1
    try:
        store().revocations.update(held, attempts=attempt)
    except Lost:
        # Somebody else looks after it at the same time, and leaves the next task.
        return False
    enqueue(revocation, held.value.user_id, attempt=attempt)
    return False


def _apply_at_google(held: Versioned[Revocation]) -> bool:
    owed = held.value
    if clock.now() >= owed.until:
        _note_given_up(owed)
        return True
    try:
        refresh_token = secrets.access_latest(owed.secret)
        others = store().connections.find_by_mailbox(owed.mailbox_key)
        _apply_at_gmail(owed, others)
        # It would end the grants of everybody who has connected this mailbox.
        if not others:
            oauth.revoke(refresh_token)
    except secrets.SecretNotFound:
        return True
    except (Problem, google_errors.GoogleAPICallError) as error:
        log.failure("revocation", error, user=keys().hash("log", owed.user_id), attempt=owed.attempts)
        return False
    finally:
        tokens.forget(owed.user_id)
    return True


def _apply_at_gmail(owed: Revocation, others: list[Connection]) -> None:
    """Removes labels and stops the watch, before the grant goes. A grant that is dead has nothing to be done for it."""
    # Imported here: most requests of the function that owns this never need Gmail's client.
    from common.gmail.client import open_gmail

    gmail = open_gmail(_as_connection(owed), background=True)
    kept = {label_id for other in others if other.labels for label_id in other.label_ids.values()}
    steps: list[Callable[[], object]] = [
        partial(gmail.delete_label, label_id) for label_id in owed.label_ids if label_id not in kept
    ]
    if owed.stop_watch and not any(other.mailmagnet for other in others):
        steps.append(gmail.stop)
    for step in steps:
        try:
            step()
        except (NotFound, ReauthRequired) as problem:
            log.event("revocation-step", outcome="passed", code=problem.code)


def _as_connection(owed: Revocation) -> Connection:
    return Connection(
        user_id=owed.user_id,
        address="",
        mailbox_key=owed.mailbox_key,
        generation=owed.generation,
        secret=owed.secret,
        scopes=owed.scopes,
        connected_at=clock.now(),
    )


def _note_given_up(owed: Revocation) -> None:
    policy = store().policies.load_policy().value
    record = audit.new_record(policy, actor=audit.SYSTEM, action=audit.GIVEN_UP, subject=owed.user_id)
    store().audit.add(record)
    log.event("revocation-given-up", severity="ERROR", user=keys().hash("log", owed.user_id), attempt=owed.attempts)


def _forget_mailbox(mailbox_key: str) -> None:
    held = store().mailboxes.load(mailbox_key)
    if held is not None and not held.value.user_ids:
        # Whoever joins at the same time keeps it.
        with contextlib.suppress(Lost):
            store().mailboxes.delete(mailbox_key, version=held.version)


def _delete_data(owed: Revocation) -> None:
    current = store().connections.load(owed.user_id)
    if current is None:
        delete_held_data(owed.user_id)
    elif current.value.mailbox_key != owed.mailbox_key:
        delete_foreign_data(owed.user_id, current.value.mailbox_key)


def delete_held_data(user_id: str) -> None:
    """Deletes all that is held for a user without a connection, in bounded batches.

    What is owed to Google stays, and so do consents under way: the user may be connecting anew.
    """
    s = store()
    for delete_all in (
        s.notices.delete_all,
        s.senders.delete_all,
        s.sweeps.delete_all,
        s.shares.delete_all,
        s.sends.delete_all,
    ):
        _repeat(partial(delete_all, user_id, limit=_DELETE_PIECE))
    s.syncs.delete(user_id)
    s.work.delete(user_id)


def delete_foreign_data(user_id: str, mailbox_key: str) -> None:
    """Deletes what is held of the user's former mailboxes, the one of ``mailbox_key`` being the present one."""
    s = store()
    for delete_foreign in (s.notices.delete_foreign, s.senders.delete_foreign, s.sweeps.delete_foreign):
        _repeat(partial(delete_foreign, user_id, mailbox_key, limit=_DELETE_PIECE))
    for share in s.shares.of_owner(user_id, limit=_DELETE_PIECE):
        if share.mailbox_key != mailbox_key:
            s.shares.delete(user_id, share.contact_id)


def _repeat(delete_piece: Callable[[], int]) -> None:
    for _ in range(_MOST_PIECES):
        if delete_piece() < _DELETE_PIECE:
            return
