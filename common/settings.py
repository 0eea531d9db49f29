"""Owns what a user may set on a connection: which changes are taken, and what is left to other functions' tasks.

A change is one versioned write with its audit record; what follows at Gmail is a task's. Settings are read at every
step of every handler, so what is turned off stops at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from common import audit, clock, oauth, sharing, tasks
from common.auth import Caller
from common.config import config
from common.errors import Conflict, ReauthRequired, RetryableConflict
from common.membership import verify_allowed, verify_member
from common.model import Connection, ConnectionStatus, Feature, Mailbox, Policy, SharingLevel, SharingTerms, User
from common.policy import Domain, Domains, parse_domains
from common.store.client import Context, Lost, store

_TRIES: Final = 5
_LOOK_AFTER: Final = timedelta(seconds=60)


class TermsBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the administrators' policy keeps from colleagues, whatever the level."""

    internal_domains: Domains
    excluded_domains: Domains
    address_time_limit: bool


class ConnectionPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to change; what is left out stays.

    ``accepted_level`` accepts the level that the policy asks for, ``accepted_terms`` its terms: just those that
    ``GET /connection`` shows as asked. A narrower ``sharing`` may always be chosen, and takes an acceptance back.
    """

    sharing: SharingLevel | UnsetType = UNSET
    accepted_level: SharingLevel | UnsetType = UNSET
    accepted_terms: TermsBody | UnsetType = UNSET
    excluded_domains: Annotated[list[Domain], msgspec.Meta(max_length=100)] | UnsetType = UNSET
    mailmagnet: bool | UnsetType = UNSET
    labels: bool | UnsetType = UNSET
    locale: Literal["de", "en"] | UnsetType = UNSET


@dataclass(frozen=True)
class Start:
    """A task that follows from a change: ``kind`` is ``start`` or ``stop``, ``function`` who does it."""

    function: Literal["magnet_ingest", "label_sweep"]
    kind: Literal["start", "stop"]


def apply_patch(caller: Caller, patch: ConnectionPatch) -> None:
    """Changes the caller's connection. Raises Forbidden, or Conflict that says what stands against it."""
    for _ in range(_TRIES):
        context = store().load_context(caller.user_id)
        user = verify_member(caller, context.user)
        if context.connection is None:
            raise Conflict("not-connected", "connect a Gmail mailbox first: POST /authorize")
        changes = plan_changes(context.connection.value, patch, context.policy.value, user)
        _verify_labels_owner(context, changes)
        starts = plan_starts(context.connection.value, patch)
        for start in starts:
            if start.kind == "stop":
                # First, so that what is held goes even if this dies after the commit; while it is on, it does nothing.
                enqueue_start(context.connection.value, start, after=_LOOK_AFTER)
        try:
            _save(context, changes)
        except Lost:
            continue
        for start in starts:
            enqueue_start(context.connection.value, start)
        return
    raise RetryableConflict("connection-changed-meanwhile")


def plan_changes(connection: Connection, patch: ConnectionPatch, policy: Policy, user: User) -> dict[str, Any]:
    """The fields that change, by name. Raises Forbidden and Conflict."""
    wanted: dict[str, Any] = {
        name: value for name in ("sharing", "accepted_level", "locale", "mailmagnet", "labels")
        if (value := getattr(patch, name)) is not UNSET
    }  # fmt: skip
    if patch.excluded_domains is not UNSET:
        wanted["excluded_domains"] = parse_domains(patch.excluded_domains)
    if patch.sharing is not UNSET:
        _verify_sharing_free(connection, patch.sharing, policy, user)
        # Whoever narrows what is shown has accepted no more than that, whatever the policy asks for later.
        wanted.setdefault("accepted_level", sharing.narrower(connection.accepted_level, patch.sharing))
    if patch.accepted_level is not UNSET:
        _verify_asked(patch.accepted_level, policy, user)
    wanted |= _plan_terms(connection, patch, wanted, policy)
    if patch.mailmagnet is False:
        if patch.labels is True:
            raise _mailmagnet_required()
        wanted["labels"] = False
    if wanted.get("mailmagnet") or wanted.get("labels"):
        _verify_startable(connection, wanted, policy)
    return {name: value for name, value in wanted.items() if value != getattr(connection, name)}


def _verify_startable(connection: Connection, wanted: dict[str, Any], policy: Policy) -> None:
    if wanted.get("labels") and not wanted.get("mailmagnet", connection.mailmagnet):
        raise _mailmagnet_required()
    if connection.status is ConnectionStatus.REAUTH_REQUIRED:
        raise ReauthRequired(reason=connection.reauth_reason)
    features = [feature for feature in (Feature.MAILMAGNET, Feature.LABELS) if wanted.get(feature.value)]
    verify_allowed(features, policy)
    granted = oauth.granted_features(connection.scopes)
    missing = [feature.value for feature in features if feature not in granted]
    if missing:
        raise Conflict("scope-missing", "POST /authorize with these features asks for it", features=missing)


def _plan_terms(
    connection: Connection, patch: ConnectionPatch, wanted: dict[str, Any], policy: Policy
) -> dict[str, SharingTerms]:
    """The terms that the owner has been shown with this change, if any."""
    if patch.accepted_terms is not UNSET:
        return {"accepted_terms": _verify_terms(patch.accepted_terms, policy)}
    levels = {name: wanted[name] for name in ("sharing", "accepted_level") if name in wanted}
    agreed = sharing.reach(replace(connection, **levels))
    if sharing.narrower(agreed, sharing.reach(connection)) is agreed:
        return {}
    # A first level comes with the policy's terms. A wider one takes no others than hold: those are asked for apart.
    return {"accepted_terms": sharing.effective_terms(connection, policy)}


def _verify_terms(unverified: TermsBody, policy: Policy) -> SharingTerms:
    # Whoever accepts was shown just these terms, not those that another administrator has set meanwhile.
    asked = sharing.policy_terms(policy)
    terms = SharingTerms(
        internal_domains=parse_domains(unverified.internal_domains),
        excluded_domains=parse_domains(unverified.excluded_domains),
        address_time_limit=unverified.address_time_limit,
    )
    if not sharing.are_same_terms(terms, asked):
        raise Conflict("terms-not-asked", "these are not the terms of the administrators' policy: read them again")
    return asked


def _verify_sharing_free(connection: Connection, level: SharingLevel, policy: Policy, user: User) -> None:
    # Narrower than what the owner chose or what holds may always be chosen: so what was accepted is taken back.
    known = sharing.wider(connection.sharing, sharing.effective_level(connection, policy, user))
    if sharing.policy_level(policy, user) is not None and sharing.narrower(level, known) is not level:
        raise Conflict("sharing-set-by-policy", "the administrators' policy sets the level")


def _verify_asked(level: SharingLevel, policy: Policy, user: User) -> None:
    # Whoever accepts was shown just this level; taking an acceptance back is always possible.
    asked = sharing.policy_level(policy, user)
    if level is not SharingLevel.PRIVATE and level is not asked:
        raise Conflict("level-not-asked", "the administrators' policy does not ask for this level")


def _mailmagnet_required() -> Conflict:
    return Conflict("mailmagnet-required", "labels can be on only while MailMagnet is on")


def _verify_labels_owner(context: Context, changes: dict[str, Any]) -> None:
    """Raises Conflict if labels are on for another user of the mailbox: two would undo each other's filing."""
    mailbox = context.mailbox.value if context.mailbox else None
    if not changes.get("labels") or mailbox is None or context.connection is None:
        return
    owner = _other_owner(mailbox, context.connection.value)
    if owner:
        raise Conflict("labels-elsewhere", "another user of this mailbox has labels on", owner=owner)


def _other_owner(mailbox: Mailbox, connection: Connection) -> str:
    is_other = mailbox.labels_owner not in ("", connection.user_id) and mailbox.labels_owner in mailbox.user_ids
    return mailbox.labels_owner if is_other else ""


def _save(context: Context, changes: dict[str, Any]) -> None:
    if context.connection is None or not changes:
        return
    connection = context.connection.value
    what = "; ".join(
        name if isinstance(value, tuple | SharingTerms) else f"{name}={value}".lower()
        for name, value in changes.items()
    )
    record = audit.new_record(
        context.policy.value, actor=connection.user_id, action=audit.CHANGED, subject=connection.user_id, what=what
    )
    with store().batch() as batch:
        store().connections.update(context.connection, batch=batch, changed_at=clock.now(), **changes)
        if "labels" in changes and context.mailbox is not None:
            owner = connection.user_id if changes["labels"] else ""
            if owner or context.mailbox.value.labels_owner == connection.user_id:
                store().mailboxes.update(context.mailbox, batch=batch, labels_owner=owner)
        if changes.get("labels") is False:
            store().work.delete(connection.user_id, batch=batch)
        if changes.get("mailmagnet") is False:
            # Without it, whatever a drain is about to commit loses its precondition.
            store().syncs.delete(connection.user_id, batch=batch)
        store().audit.add(record, batch=batch)


def plan_starts(connection: Connection, patch: ConnectionPatch) -> list[Start]:
    """The tasks that a change leaves. Asked again, it leaves them again: the first may have got lost on the way."""
    starts: list[Start] = []
    if patch.mailmagnet is not UNSET and (patch.mailmagnet or connection.mailmagnet):
        starts.append(Start("magnet_ingest", "start" if patch.mailmagnet else "stop"))
    if patch.labels is True:
        starts.append(Start("label_sweep", "start"))
    elif patch.labels is False and connection.labels and patch.mailmagnet is not False:
        starts.append(Start("label_sweep", "stop"))
    return starts


def enqueue_start(connection: Connection, start: Start, *, after: timedelta = timedelta()) -> None:
    """Leaves the task; the time in its slot keeps the same change an hour later from being taken for this one."""
    at = clock.now() + after
    settings = config()
    is_magnet = start.function == "magnet_ingest"
    function_url = settings.magnet_ingest_url if is_magnet else settings.label_sweep_url
    tasks.enqueue(
        settings.ingest_queue if is_magnet else settings.sweep_queue,
        tasks.user_url(function_url, connection.user_id),
        {"kind": start.kind, "user": connection.user_id, "generation": connection.generation},
        user_id=connection.user_id,
        generation=connection.generation,
        slot=f"{start.function} {at.isoformat(timespec='milliseconds')}",
        audience=function_url,
        at=at if after else None,
    )
