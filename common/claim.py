"""Owns the claim of a consent by the same signed-in user: the code is exchanged here, and the connection made.

In this order, so that a death between any two steps leaves nothing that housekeeping does not find: the consent is
consumed by one preconditioned write; the code is exchanged; what was granted is noted as owed to Google
(``common.revocation``); the secret is made under a name that follows from the user and the generation; one commit makes
the connection and strikes out what was owed; what it replaces is taken down.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Annotated, Any, Final

import msgspec

from common import announcing, audit, clock, log, oauth, revocation, secrets, sharing, tokens
from common.auth import Caller
from common.consent import SEALED_CODE
from common.errors import BadRequest, Conflict, Forbidden, Problem, Unavailable
from common.keys import Unsealable, keys, random_token, sha256
from common.lazy import google_errors
from common.mail.addresses import normalise
from common.membership import is_mailbox_allowed, verify_allowed, verify_member
from common.model import (
    Connection,
    ConnectionStatus,
    Feature,
    PendingConnection,
    Policy,
    Revocation,
    User,
    Work,
)
from common.oauth import AccessToken, Grant, Identity
from common.settings import Start, enqueue_start
from common.store.client import Batch, Context, Lost, Versioned, store

_GENERATION_BYTES: Final = 12
_ALIASES_TIMEOUT_S: Final = 5.0


class ClaimBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The one-time ticket from the fragment of the URL to which Google's redirect led."""

    ticket: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


@dataclass(frozen=True)
class Claim:
    """Everything that decides on one claim, what Google granted, and the generation that it is to become."""

    pending: Versioned[PendingConnection]
    context: Context
    user: User
    grant: Grant
    generation: str

    @property
    def former(self) -> Connection | None:
        """The connection that this one replaces."""
        return self.context.connection.value if self.context.connection else None


def mailbox_key(sub: str) -> str:
    """How a Google account is named in our store: a keyed hash of its ``sub``, which no change of address changes."""
    return keys().hash("mailbox", sub)


def apply_claim(caller: Caller, body: ClaimBody, *, locale: str) -> Connection:
    """Makes the caller's connection from a ticket. Raises a Problem, after which nothing is minted or left behind."""
    held = _load_pending(caller, body.ticket)
    context = store().load_context(caller.user_id)
    user = verify_member(caller, context.user)
    verify_allowed([Feature(name) for name in held.value.features], context.policy.value)
    if held.value.generation != (context.connection.value.generation if context.connection else ""):
        store().pending.delete(held.value.state_hash)
        raise _changed_meanwhile()
    consumed, grant = _exchange(held, body.ticket)
    return _apply(Claim(consumed, context, user, grant, random_token(_GENERATION_BYTES)), locale)


def _load_pending(caller: Caller, unverified_ticket: str) -> Versioned[PendingConnection]:
    state_hash = unverified_ticket.partition(".")[0]
    held = store().pending.load(state_hash) if state_hash else None
    if held is None or not hmac.compare_digest(held.value.ticket_hash, sha256(unverified_ticket)):
        raise _invalid_ticket()
    if held.value.user_id != caller.user_id:
        _refuse_claimer(caller, held)
    if held.value.consumed:
        raise _invalid_ticket()
    return held


def _refuse_claimer(caller: Caller, held: Versioned[PendingConnection]) -> None:
    policy = store().policies.load_policy().value
    record = audit.new_record(policy, actor=caller.user_id, action=audit.CLAIM_REFUSED, subject=held.value.user_id)
    with store().batch() as batch:
        store().pending.delete(held.value.state_hash, batch=batch)
        store().audit.add(record, batch=batch)
    raise Forbidden("ticket-of-another-user", "this sign-in was begun by somebody else; it is void now")


def _exchange(held: Versioned[PendingConnection], ticket: str) -> tuple[Versioned[PendingConnection], Grant]:
    """Consumes the consent, then exchanges its code. Raises a Problem."""
    try:
        code, verifier = keys().unseal(SEALED_CODE, held.value.sealed, under=ticket)
        consumed = store().pending.update(held, consumed=True)
    except (Lost, Unsealable) as error:
        raise _invalid_ticket() from error
    refusal: Problem
    try:
        return consumed, oauth.exchange_code(code, verifier)
    except Unavailable as error:
        # The same ticket may try again. If Google had taken the code after all, it refuses the second use, and ends
        # what the first one minted (RFC 6749, 4.1.2).
        with contextlib.suppress(Lost):
            store().pending.update(consumed, consumed=False)
        raise error from None
    except oauth.InvalidGrant as error:
        refusal = _plan_refusal(error)
    except oauth.OAuthRefused as error:
        refusal = error
    store().pending.delete(held.value.state_hash)
    raise refusal


def _plan_refusal(error: oauth.InvalidGrant) -> Problem:
    if error.reason == "policy":
        return Forbidden("google-policy", "the administrators of this Google account do not allow it")
    return BadRequest("code-refused", "Google does not take this sign-in any more: start again")


def verify_grant(identity: Identity, scopes: frozenset[str], user: User, policy: Policy) -> None:
    """Raises Forbidden unless the grant lets mail be read, from a verified address that the policy takes."""
    if not identity.email_verified:
        raise Forbidden("email-not-verified", "Google has not verified this address")
    if not is_mailbox_allowed(identity.email, user, policy):
        raise Forbidden("mailbox-not-allowed", "the administrators' policy does not take this mailbox")
    if not scopes & {oauth.READONLY, oauth.MODIFY}:
        raise Forbidden("scopes-missing", "without leave to read mail there is nothing to connect")


def plan_connection(claim: Claim, identity: Identity, locale: str) -> Connection:
    """The new connection: the former one's settings if it is the same mailbox, else everything afresh."""
    key = mailbox_key(identity.sub)
    fresh = Connection(
        user_id=claim.user.user_id,
        address=normalise(identity.email),
        mailbox_key=key,
        generation=claim.generation,
        secret=secrets.secret_name(claim.user.user_id, claim.generation),
        scopes=claim.grant.scopes,
        connected_at=clock.now(),
        accepted_terms=sharing.policy_terms(claim.context.policy.value),
        locale=locale,
    )
    if claim.former is None or claim.former.mailbox_key != key:
        return fresh
    return replace(
        claim.former,
        address=fresh.address,
        generation=fresh.generation,
        secret=fresh.secret,
        scopes=fresh.scopes,
        connected_at=fresh.connected_at,
        status=ConnectionStatus.CONNECTED,
        reauth_reason="",
    )


def _apply(claim: Claim, locale: str) -> Connection:
    key = mailbox_key(oauth.parse_sub(claim.grant.unverified_id_token))
    owed = revocation.plan_claim(claim.user.user_id, key, claim.generation, clock.now())
    try:
        held = store().revocations.create(owed)
        connection, token = _prepare(claim, owed, locale)
    except (Problem, secrets.SecretNotFound, google_errors.GoogleAPIError):
        _undo(claim, owed)
        raise
    try:
        _commit(claim, connection, held)
    except Lost as error:
        _undo(claim, owed)
        raise _changed_meanwhile() from error
    except google_errors.GoogleAPIError:
        # Perhaps it was written all the same. If not, what is owed stays noted, and housekeeping comes by.
        if not _is_made(connection):
            raise
    tokens.forget(connection.user_id)
    if token is not None:
        tokens.keep(connection, token)
    _apply_aftermath(claim, connection)
    return connection


def _prepare(claim: Claim, owed: Revocation, locale: str) -> tuple[Connection, AccessToken | None]:
    """All but the commit: the secret, whose mailbox it is, and whether the grant still lives. Raises a Problem."""
    secrets.create(owed.secret)
    secrets.add_version(owed.secret, claim.grant.refresh_token)
    identity = oauth.verify_identity(claim.grant.unverified_id_token)
    verify_grant(identity, claim.grant.scopes, claim.user, claim.context.policy.value)
    _verify_not_revoking(owed.mailbox_key)
    token = _fetch_token(claim.grant.refresh_token)
    if claim.former is None:
        # What an earlier connection may have left must not come back to life with this one.
        revocation.delete_held_data(claim.user.user_id)
    return plan_connection(claim, identity, locale), token


def _verify_not_revoking(key: str) -> None:
    # Read after the claim was noted: a revocation that begins later finds it (revocation._apply_at_oauth).
    mailbox = store().mailboxes.load(key)
    until = mailbox.value.revoking_until if mailbox else None
    if until is not None and until > clock.now():
        raise _ended_meanwhile()


def _fetch_token(refresh_token: str) -> AccessToken | None:
    """The first access token; None if Google cannot say now. Raises Conflict where a revocation was faster."""
    try:
        return oauth.refresh(refresh_token)
    except oauth.InvalidGrant as error:
        raise _ended_meanwhile() from error
    except Problem as problem:
        log.failure("claim-token", problem)
        return None


def _undo(claim: Claim, owed: Revocation) -> None:
    revocation.give_back(owed, claim.grant.refresh_token)
    try:
        store().pending.delete(claim.pending.value.state_hash)
    except google_errors.GoogleAPIError as error:
        # It is consumed, and its time is over soon.
        log.failure("claim-undo", error)


def _is_made(connection: Connection) -> bool:
    held = store().connections.load(connection.user_id)
    return held is not None and held.value.generation == connection.generation


def _commit(claim: Claim, connection: Connection, owed: Versioned[Revocation]) -> None:
    policy, former = claim.context.policy.value, claim.former
    action = audit.CONNECTED if former is None else audit.RECONNECTED
    record = audit.new_record(policy, actor=connection.user_id, action=action, subject=connection.user_id)
    with store().batch() as batch:
        if claim.context.connection is None:
            store().connections.create(connection, batch=batch)
        else:
            store().connections.update(claim.context.connection, batch=batch, **_all_fields(connection))
        store().mailboxes.join(connection.mailbox_key, connection.user_id, batch=batch)
        if former is not None and former.mailbox_key != connection.mailbox_key:
            revocation.take_down(claim.context, batch)
        elif former is not None:
            _carry_over(claim.context, connection, batch)
        # Both with their versions: whoever has voided the consent meanwhile, or taken back the grant, wins.
        store().pending.delete(claim.pending.value.state_hash, version=claim.pending.version, batch=batch)
        store().revocations.delete(owed.value.revocation_id, version=owed.version, batch=batch)
        store().audit.add(record, batch=batch)
        announcing.note(connection, connection.status.value, batch)


def _all_fields(connection: Connection) -> dict[str, Any]:
    return {entry.name: getattr(connection, entry.name) for entry in fields(connection)}


def _carry_over(context: Context, connection: Connection, batch: Batch) -> None:
    """The same mailbox again: what handlers noted goes on under the new generation."""
    if context.sync is not None:
        store().syncs.patch(connection.user_id, batch=batch, generation=connection.generation)
    if connection.labels:
        work = Work(user_id=connection.user_id, due_at=clock.now(), generation=connection.generation)
        store().work.save(work, batch=batch)


def _apply_aftermath(claim: Claim, connection: Connection) -> None:
    """What follows from the commit. Each step is found again by housekeeping or the daily renewal if it is lost."""
    former = claim.former
    if former is not None and former.mailbox_key != connection.mailbox_key:
        revocation.enqueue(revocation.revocation_id(former), former.user_id, attempt=0)
    elif former is not None:
        _attempt(partial(secrets.destroy, former.secret))
        if connection.mailmagnet:
            _attempt(partial(enqueue_start, connection, Start("magnet_ingest", "start")))
    _attempt(partial(note_aliases, connection))
    _attempt(partial(_note_hidden_label, connection))
    _attempt(partial(announcing.send_owed, connection.user_id))
    log.event("connected", user=keys().hash("log", connection.user_id), outcome="again" if former else "new")


def _attempt(step: Callable[[], None]) -> None:
    try:
        step()
    except (Problem, google_errors.GoogleAPIError) as error:
        log.failure("claim-aftermath", error)


def _note_hidden_label(connection: Connection) -> None:
    # As in note_aliases: most requests never need Gmail's client.
    from common.mail_actions import note_hidden_label

    note_hidden_label(connection)


def note_aliases(connection: Connection) -> None:
    """Keeps the mailbox's verified aliases: they count as inside (design, section Sharing)."""
    # Imported here: most requests of the function that owns this never need Gmail's client.
    from common.gmail.client import open_gmail

    found = open_gmail(connection, timeout_s=_ALIASES_TIMEOUT_S).list_send_as()
    aliases = {normalise(one.address) for one in found if one.verified} - {connection.address}
    held = store().connections.load(connection.user_id)
    if held is None or held.value.generation != connection.generation:
        return
    with contextlib.suppress(Lost):
        store().connections.update(held, aliases=tuple(sorted(aliases)))


def _invalid_ticket() -> BadRequest:
    return BadRequest("invalid-ticket", "this ticket is unknown, over or used: start again")


def _ended_meanwhile() -> Conflict:
    return Conflict("grant-ended-meanwhile", "another user of this mailbox was leaving: start again")


def _changed_meanwhile() -> Conflict:
    return Conflict("connection-changed-meanwhile", "the connection changed since the sign-in began: start again")


__all__ = [
    "Claim", "ClaimBody", "apply_claim", "mailbox_key", "plan_connection",
    "verify_grant",
]  # fmt: skip
