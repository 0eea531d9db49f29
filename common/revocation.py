"""Owns what is left to do when a connection has ended: at Google, in Secret Manager, in the store.

A ``Revocation`` is the durable list of it, written by the commit that ends the connection. A claim writes one too, as
soon as it was granted something, and the commit that makes its connection deletes it: so whatever dies in between is
ended here. Whoever finishes it may run twice, at the same time, or die at any line: the record goes last. Knows no
route.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from common import audit, clock, log, oauth, secrets, tasks, tokens
from common.config import config
from common.errors import NotFound, Problem, ReauthRequired
from common.keys import keys
from common.lazy import google_errors
from common.model import Connection, Revocation
from common.store.client import Batch, Context, Lost, store

OWED_FOR: Final = timedelta(hours=72)
CLAIM_FOR: Final = timedelta(hours=1)
_GMAIL_FOR: Final = timedelta(hours=1)
# Longer than a call of Google's revocation endpoint can take.
_ON_ITS_WAY_FOR: Final = timedelta(seconds=60)
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
        # Also where MailMagnet is off: the task that stops its watch may not have come yet.
        stop_watch=True,
        generation=connection.generation,
        scopes=connection.scopes,
        label_ids=tuple(sorted(set(connection.label_ids.values()))) if remove_labels else (),
    )


def plan_claim(user_id: str, mailbox_key: str, generation: str, now: datetime) -> Revocation:
    """What Google has to revoke if a claim, granted just now, does not become the connection of ``generation``."""
    return Revocation(
        revocation_id=keys().hash("revocation", user_id, generation),
        user_id=user_id,
        mailbox_key=mailbox_key,
        secret=secrets.secret_name(user_id, generation),
        until=now + OWED_FOR,
        generation=generation,
        claim_until=now + CLAIM_FOR,
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
    except google_errors.GoogleAPIError as error:
        log.failure("revocation-task", error)


def apply_revocation(revocation: str) -> bool:
    """Does what is owed. False if Google would not yet: it is tried again by a task, for 72 hours in all.

    False as well, and nothing is done, while a claim may still make a connection of it.
    """
    held = store().revocations.load(revocation)
    if held is None:
        return True
    if held.value.claim_until is not None and held.value.claim_until > clock.now():
        return False
    is_settled = _apply_at_google(held.value)
    _delete_data(held.value)
    if is_settled:
        _settle(held.value)
        return True
    attempt = held.value.attempts + 1
    try:
        store().revocations.update(held, attempts=attempt)
    except Lost:
        # Somebody else looks after it at the same time, and leaves the next task.
        return False
    enqueue(revocation, held.value.user_id, attempt=attempt)
    return False


def void_claims(user_id: str) -> list[str]:
    """Takes from the user's claims, dead or under way, what they were granted; returns the ids of what is owed now.

    A claim under way finds its note changed when it commits, and is lost.
    """
    voided = []
    for held in store().revocations.of_user(user_id):
        if held.value.claim_until is not None:
            with contextlib.suppress(Lost):
                store().revocations.update(held, claim_until=None)
                voided.append(held.value.revocation_id)
    return voided


def give_back(claimed: Revocation, refresh_token: str) -> None:
    """Ends what a claim was granted in vain; what Google does not take now is owed, as after a deactivation."""
    try:
        if _apply_at_google(claimed, refresh_token):
            _settle(claimed)
            return
        store().revocations.save(replace(claimed, attempts=1, claim_until=None))
        enqueue(claimed.revocation_id, claimed.user_id, attempt=1)
    except google_errors.GoogleAPIError as error:
        # The record, if it could be written, outlives this; housekeeping comes by.
        log.failure("give-back", error)


def _settle(owed: Revocation) -> None:
    secrets.destroy(owed.secret)
    _forget_mailbox(owed.mailbox_key)
    store().revocations.delete(owed.revocation_id)


def _apply_at_google(owed: Revocation, refresh_token: str = "") -> bool:
    """Whether nothing is owed to Google any more."""
    if clock.now() >= owed.until:
        _note_given_up(owed)
        return True
    try:
        token = refresh_token or secrets.access_latest(owed.secret)
        _apply_at_gmail(owed, store().connections.find_by_mailbox(owed.mailbox_key))
        _apply_at_oauth(owed, token)
    except secrets.SecretNotFound:
        return True
    except (Problem, google_errors.GoogleAPIError) as error:
        log.failure("revocation", error, user=keys().hash("log", owed.user_id), attempt=owed.attempts)
        return False
    finally:
        tokens.forget(owed.user_id)
    return True


def _apply_at_oauth(owed: Revocation, token: str) -> None:
    """Revokes, unless the mailbox is wanted: it would end the grants of everybody who has connected this mailbox.

    Whoever claims it writes first that they do and looks then for the mark that is made here, which is made before
    looking for claims: so one of the two sees the other.
    """
    if _is_wanted(owed):
        return
    until = clock.now() + _ON_ITS_WAY_FOR
    store().mailboxes.mark_revoking(owed.mailbox_key, until)
    try:
        if not _is_wanted(owed):
            oauth.revoke(token)
    finally:
        _unmark(owed.mailbox_key, until)


def _is_wanted(owed: Revocation) -> bool:
    if store().connections.find_by_mailbox(owed.mailbox_key):
        return True
    claims = store().revocations.claims_of(owed.mailbox_key, clock.now())
    return any(claim.revocation_id != owed.revocation_id for claim in claims)


def _unmark(mailbox_key: str, until: datetime) -> None:
    held = store().mailboxes.load(mailbox_key)
    if held is not None and held.value.revoking_until == until:
        with contextlib.suppress(Lost):
            store().mailboxes.update(held, revoking_until=None)


def _apply_at_gmail(owed: Revocation, others: list[Connection]) -> None:
    """Removes labels and stops the watch, before the grant goes. A grant that is dead has nothing to be done for it.

    What Gmail would not do for an hour is passed: a watch ends by itself within a week, a grant does not.
    """
    kept = {label_id for other in others if other.labels for label_id in other.label_ids.values()}
    label_ids = [label_id for label_id in owed.label_ids if label_id not in kept]
    is_watch_over = owed.stop_watch and not any(other.mailmagnet for other in others)
    if not label_ids and not is_watch_over:
        return
    # Imported here: most requests of the function that owns this never need Gmail's client.
    from common.gmail.client import open_gmail

    gmail = open_gmail(_as_connection(owed), background=True)
    steps: list[Callable[[], object]] = [partial(gmail.delete_label, label_id) for label_id in label_ids]
    if is_watch_over:
        steps.append(gmail.stop)
    for step in steps:
        try:
            step()
        except Problem as problem:
            is_over = isinstance(problem, NotFound | ReauthRequired)
            if not is_over and clock.now() < owed.until - OWED_FOR + _GMAIL_FOR:
                raise
            severity = "INFO" if is_over else "WARNING"
            log.event("revocation-step", severity=severity, outcome="passed", code=problem.code)


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

    What is owed to Google stays, and so do consents under way: the user may be connecting anew. Who has done so
    meanwhile keeps the rest: the claim has deleted what was left, and what there is now is the new connection's.
    """
    s = store()
    pieces = [
        *(
            partial(_repeat, partial(records.delete_all, user_id, limit=_DELETE_PIECE))
            for records in (s.notices, s.senders, s.sweeps, s.shares, s.sends)
        ),
        partial(s.syncs.delete, user_id),
        partial(s.work.delete, user_id),
    ]
    for delete_piece in pieces:
        if s.connections.load(user_id) is not None:
            return
        delete_piece()


def delete_foreign_data(user_id: str, mailbox_key: str) -> None:
    """Deletes what is held of the user's former mailboxes, the one of ``mailbox_key`` being the present one."""
    s = store()
    for delete_foreign in (s.notices.delete_foreign, s.senders.delete_foreign, s.sweeps.delete_foreign):
        _repeat(partial(delete_foreign, user_id, mailbox_key, limit=_DELETE_PIECE))
    after = ""
    while shares := s.shares.of_owner(user_id, after=after, limit=_DELETE_PIECE):
        for share in shares:
            if share.mailbox_key != mailbox_key:
                s.shares.delete(user_id, share.contact_id)
        after = shares[-1].contact_id


def _repeat(delete_piece: Callable[[], int]) -> None:
    for _ in range(_MOST_PIECES):
        if delete_piece() < _DELETE_PIECE:
            return
