"""Owns how a connection is shown: to its user, and in a list to administrators. Reads the store, changes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, TypeVar

import msgspec

from common import clock, health, sharing
from common.auth import Caller
from common.directory import refresh_user
from common.health import Facts, FeatureState, Health, Language, Word
from common.model import Category, Connection, ConnectionStatus, Feature, Policy, SharingLevel, SharingTerms
from common.oauth import SCOPES, granted_features
from common.paging import parse_page, seal_page
from common.store.client import Versioned, store

T = TypeVar("T")

Status = Literal["connected", "reauth_required", "absent"]
PAGE: Final = 100


class Repair(msgspec.Struct, kw_only=True):
    """The request that asks Google for what is missing."""

    method: str = "POST"
    path: str = "/authorize"
    features: list[Feature]


class MissingFeature(msgspec.Struct, kw_only=True):
    """A feature that cannot be used: the scopes that were not granted, or none where the policy leaves it out."""

    feature: Feature
    reason: Literal["scope-missing", "feature-not-allowed"]
    scopes: list[str] = []
    repair: Repair | None = None


class Features(msgspec.Struct, kw_only=True):
    granted: list[Feature] = []
    missing: list[MissingFeature] = []


class TermsState(msgspec.Struct, kw_only=True):
    """What is kept from colleagues, whatever the level; ``PATCH`` takes it in this form."""

    internal_domains: list[str]
    excluded_domains: list[str]
    address_time_limit: bool


class SharingState(msgspec.Struct, kw_only=True):
    """``level`` is the user's choice, ``effective`` what holds, ``asked`` what the policy asks the user to accept.

    ``terms`` are those of the policy that hold, ``asked_terms`` the wider ones that it asks the user to accept.
    """

    level: SharingLevel
    effective: SharingLevel
    accepted_level: SharingLevel
    asked: SharingLevel | None = None
    set_by_policy: bool = False
    terms: TermsState
    asked_terms: TermsState | None = None


class MailMagnetState(msgspec.Struct, kw_only=True):
    state: FeatureState = "off"
    reason: str = ""
    watch_expires_at: datetime | None = None
    last_push_at: datetime | None = None
    caught_up_at: datetime | None = None
    is_backfilling: bool = False


class LabelsState(msgspec.Struct, kw_only=True):
    """``elsewhere`` names the user of the same mailbox for whom labels are on, since one at a time may have them.

    ``refused`` are the categories for which Gmail makes no label; mail of the others is filed.
    """

    state: FeatureState = "off"
    reason: str = ""
    refused: list[Category] = []
    last_sweep_at: datetime | None = None
    pending_since: datetime | None = None
    elsewhere: str = ""


class HealthState(msgspec.Struct, kw_only=True):
    """One honest word, the reason's code, and what to do, in the language of Accept-Language."""

    word: Word
    reason: str = ""
    advice: str = ""


class ConnectionAnswer(msgspec.Struct, kw_only=True):
    """The caller's connection. ``revocation_owed_until`` is set while Google has yet to revoke a former grant."""

    status: Status
    reauth_reason: str = ""
    address: str = ""
    aliases: list[str] = []
    connected_at: datetime | None = None
    locale: str = ""
    features: Features = msgspec.field(default_factory=Features)
    sharing: SharingState | None = None
    excluded_domains: list[str] = []
    mailmagnet: MailMagnetState = msgspec.field(default_factory=MailMagnetState)
    labels: LabelsState = msgspec.field(default_factory=LabelsState)
    rate_limited_until: datetime | None = None
    revocation_owed_until: datetime | None = None
    health: HealthState | None = None


class ConnectionRow(msgspec.Struct, kw_only=True):
    """One connection as administrators see it."""

    user_id: str
    name: str = ""
    address: str
    status: Status
    reauth_reason: str = ""
    connected_at: datetime
    features: list[Feature]
    sharing: SharingState | None
    mailmagnet: FeatureState
    labels: FeatureState
    health: HealthState


class ConnectionPage(msgspec.Struct, kw_only=True):
    connections: list[ConnectionRow]
    next_page_token: str = ""


class PageQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    page_token: str = ""


def show_connection(caller: Caller, language: Language) -> ConnectionAnswer:
    """The caller's connection as it is now; ``absent`` where there is none. Open to users made inactive, too."""
    context = store().load_context(caller.user_id)
    user = refresh_user(caller, context.user.value if context.user else None)
    owed_until = max((held.value.until for held in store().revocations.of_user(caller.user_id)), default=None)
    if context.connection is None:
        return ConnectionAnswer(
            status="absent",
            features=plan_features(frozenset(), context.policy.value),
            revocation_owed_until=owed_until,
        )
    facts = Facts(
        connection=context.connection.value,
        policy=context.policy.value,
        user=user,
        sync=_value(context.sync),
        work=_value(store().work.load(caller.user_id)),
        mailbox=_value(context.mailbox),
    )
    answer = plan_answer(facts, clock.now(), language)
    answer.revocation_owed_until = owed_until
    return answer


def plan_answer(facts: Facts, now: datetime, language: Language) -> ConnectionAnswer:
    """What its user is shown of a connection."""
    connection = facts.connection
    retry_after = facts.mailbox.retry_after if facts.mailbox else None
    return ConnectionAnswer(
        status=_status(connection),
        reauth_reason=connection.reauth_reason,
        address=connection.address,
        aliases=list(connection.aliases),
        connected_at=connection.connected_at,
        locale=connection.locale,
        features=plan_features(connection.scopes, facts.policy),
        sharing=_sharing(facts),
        excluded_domains=list(connection.excluded_domains),
        mailmagnet=_mailmagnet(facts, now),
        labels=_labels(facts, now),
        rate_limited_until=retry_after if retry_after and retry_after > now else None,
        health=_health(health.judge(facts, now, language)),
    )


def plan_features(scopes: frozenset[str], policy: Policy) -> Features:
    """Which features can be used, and for the others what stands against and how to repair it."""
    granted = granted_features(scopes)
    usable = [feature for feature in Feature if feature in granted and feature in policy.features]
    missing = [_missing(feature, scopes, policy) for feature in Feature if feature not in usable]
    return Features(granted=usable, missing=missing)


def _missing(feature: Feature, scopes: frozenset[str], policy: Policy) -> MissingFeature:
    if feature not in policy.features:
        return MissingFeature(feature=feature, reason="feature-not-allowed")
    needed = sorted(SCOPES[feature] - scopes)
    return MissingFeature(feature=feature, reason="scope-missing", scopes=needed, repair=Repair(features=[feature]))


def _status(connection: Connection) -> Status:
    return "connected" if connection.status is ConnectionStatus.CONNECTED else "reauth_required"


def _sharing(facts: Facts) -> SharingState | None:
    if facts.user is None:
        return None
    connection, policy = facts.connection, facts.policy
    asked_terms = sharing.asked_terms(connection, policy, facts.user)
    return SharingState(
        level=connection.sharing,
        effective=sharing.effective_level(connection, policy, facts.user),
        accepted_level=connection.accepted_level,
        asked=sharing.asked_level(connection, policy, facts.user),
        set_by_policy=sharing.policy_level(policy, facts.user) is not None,
        terms=_terms(sharing.effective_terms(connection, policy)),
        asked_terms=_terms(asked_terms) if asked_terms else None,
    )


def _terms(terms: SharingTerms) -> TermsState:
    return TermsState(
        internal_domains=list(terms.internal_domains),
        excluded_domains=list(terms.excluded_domains),
        address_time_limit=terms.address_time_limit,
    )


def _mailmagnet(facts: Facts, now: datetime) -> MailMagnetState:
    sync, state = facts.live_sync, health.magnet_state(facts, now)
    if sync is None:
        return MailMagnetState(state=state)
    return MailMagnetState(
        state=state,
        reason=sync.last_error if state == "failing" else "",
        watch_expires_at=sync.watch_expires_at,
        last_push_at=sync.last_push_at,
        caught_up_at=sync.caught_up_at,
        is_backfilling=sync.backfill_until is not None,
    )


def _labels(facts: Facts, now: datetime) -> LabelsState:
    owner = facts.mailbox.labels_owner if facts.mailbox else ""
    return LabelsState(
        state=health.labels_state(facts, now),
        reason=health.labels_refusal(facts),
        refused=list(health.refused_labels(facts)),
        last_sweep_at=facts.live_sync.last_sweep_at if facts.live_sync else None,
        pending_since=facts.live_work.due_at if facts.live_work and facts.live_work.due_at <= now else None,
        elsewhere="" if owner == facts.connection.user_id else owner,
    )


def _health(judged: Health) -> HealthState:
    return HealthState(word=judged.word, reason=judged.reason, advice=judged.advice)


def list_connections(caller_id: str, unverified_page_token: str, language: Language) -> ConnectionPage:
    """Everyone's connections, a page at a time, for administrators. Raises BadRequest for a page token not ours."""
    rows = load_rows(parse_page(unverified_page_token, "connections", caller_id) or "", language)
    token = seal_page(rows[-1].user_id, "connections", caller_id) if len(rows) == PAGE else ""
    return ConnectionPage(connections=rows, next_page_token=token)


def load_rows(after: str, language: Language) -> list[ConnectionRow]:
    """Everyone's connections from behind the user ``after``, as administrators see them; fewer than PAGE at the end."""
    s = store()
    page = [held.value for held in s.connections.page(after=after, limit=PAGE)]
    ids = [connection.user_id for connection in page]
    policy, users, syncs, works = (
        s.policies.load_policy().value, s.users.load_many(ids), s.syncs.load_many(ids), s.work.load_many(ids)
    )  # fmt: skip
    mailboxes = s.mailboxes.load_many({connection.mailbox_key for connection in page})
    rows = []
    for connection in page:
        facts = Facts(
            connection=connection,
            policy=policy,
            user=_value(users.get(connection.user_id)),
            sync=_value(syncs.get(connection.user_id)),
            work=_value(works.get(connection.user_id)),
            mailbox=_value(mailboxes.get(connection.mailbox_key)),
        )
        rows.append(_row(facts, clock.now(), language))
    return rows


def _value(held: Versioned[T] | None) -> T | None:
    return held.value if held else None


def _row(facts: Facts, now: datetime, language: Language) -> ConnectionRow:
    connection = facts.connection
    return ConnectionRow(
        user_id=connection.user_id,
        name=facts.user.name if facts.user else "",
        address=connection.address,
        status=_status(connection),
        reauth_reason=connection.reauth_reason,
        connected_at=connection.connected_at,
        features=plan_features(connection.scopes, facts.policy).granted,
        sharing=_sharing(facts),
        mailmagnet=health.magnet_state(facts, now),
        labels=health.labels_state(facts, now),
        health=_health(health.judge(facts, now, language)),
    )
