"""Owns the honest word on a connection: what works, what does not, since when, and what to do. Pure.

Texts for people, in German and English, stand here; codes are stable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from common import label_names, sharing
from common.membership import is_mailbox_allowed
from common.model import (
    LABELLED,
    Category,
    Connection,
    ConnectionStatus,
    Feature,
    Mailbox,
    Policy,
    Sync,
    User,
    Work,
)
from common.oauth import granted_features
from common.pieces import PASSED_AFTER

Word = Literal["healthy", "degraded", "broken"]
FeatureState = Literal["off", "starting", "on", "failing"]
Language = Literal["de", "en"]

STARTS_WITHIN: Final = timedelta(minutes=30)
# A watch lasts seven days and is renewed daily: with less than five left, renewal has failed twice.
RENEWED_WITH: Final = timedelta(days=5)
# Each daily renewal reads the history up to its end.
CAUGHT_UP_WITHIN: Final = timedelta(hours=30)
# Dispatch runs every ten minutes: what is due for longer is held up.
FILED_WITHIN: Final = timedelta(minutes=30)

_TEXTS: Final[dict[str, tuple[Word, str, str]]] = {
    "user-inactive": (
        "broken",
        "Your CRM user is not active or lacks the permission: ask an administrator.",
        "Ihr CRM-Benutzer ist nicht aktiv oder hat die Berechtigung nicht: Fragen Sie eine Administratorin.",
    ),
    "reauth-required": (
        "broken",
        "Google takes this connection no more: connect your Gmail again.",
        "Google nimmt diese Verbindung nicht mehr an: Verbinden Sie Ihr Gmail neu.",
    ),
    "watch-expired": (
        "broken",
        "New mail is not noticed: turn MailMagnet off and on again.",
        "Neue E-Mails werden nicht bemerkt: Schalten Sie MailMagnet aus und wieder ein.",
    ),
    "watch-not-renewed": (
        "degraded",
        "Gmail's notifications could not be renewed and will end soon: turn MailMagnet off and on again.",
        "Gmails Benachrichtigungen konnten nicht verlängert werden und enden bald: Schalten Sie MailMagnet aus und "
        "wieder ein.",
    ),
    "not-caught-up": (
        "degraded",
        "For more than a day not all new mail could be noticed; it is tried again by itself.",
        "Seit mehr als einem Tag konnten nicht alle neuen E-Mails bemerkt werden; es wird von selbst wiederholt.",
    ),
    "mailmagnet-failing": (
        "degraded",
        "Gmail refused the last work for this mailbox; it is tried again by itself.",
        "Gmail hat die letzte Arbeit für dieses Postfach abgelehnt; sie wird von selbst wiederholt.",
    ),
    "mailmagnet-slow-start": (
        "degraded",
        "MailMagnet has not started yet: turn it off and on again.",
        "MailMagnet ist noch nicht gestartet: Schalten Sie es aus und wieder ein.",
    ),
    "labels-slow-start": (
        "degraded",
        "The labels could not be created yet: turn them off and on again.",
        "Die Labels konnten noch nicht angelegt werden: Schalten Sie sie aus und wieder ein.",
    ),
    "labels-refused": (
        "degraded",
        "Gmail does not make our label {labels}: delete labels that you no longer need, or rename the one that has its "
        "name; other mail is filed, and it is tried again by itself.",
        "Gmail legt unser Label {labels} nicht an: Löschen Sie Labels, die Sie nicht mehr brauchen, oder benennen Sie "
        "das um, das seinen Namen hat; andere E-Mails werden einsortiert, und es wird von selbst wiederholt.",
    ),
    "labels-scope-missing": (
        "degraded",
        "Gmail may not be changed: allow it again, or turn labels off.",
        "Gmail darf nicht verändert werden: Erlauben Sie es erneut, oder schalten Sie die Labels aus.",
    ),
    "feature-not-allowed": (
        "degraded",
        "Your organisation no longer allows a feature that is on.",
        "Ihre Organisation erlaubt eine eingeschaltete Funktion nicht mehr.",
    ),
    "mailbox-not-allowed": (
        "degraded",
        "Your organisation no longer takes this mailbox: connect one that it takes.",
        "Ihre Organisation nimmt dieses Postfach nicht mehr an: Verbinden Sie eines, das sie annimmt.",
    ),
    "messages-parked": (
        "degraded",
        "A few mails cannot be read and are passed over; they are tried again daily by themselves.",
        "Einige E-Mails lassen sich nicht lesen und werden übergangen; sie werden täglich von selbst erneut versucht.",
    ),
    "filing-late": (
        "degraded",
        "Mail waits to be filed for longer than usual.",
        "E-Mails warten länger als üblich auf das Einsortieren.",
    ),
    "rate-limited": (
        "degraded",
        "Google limits this mailbox for the moment; it goes on by itself.",
        "Google begrenzt dieses Postfach im Moment; es geht von selbst weiter.",
    ),
}

# What to do where Google takes a connection no more, by the reason that it was ended for; else as above.
_REAUTH_ADVICE: Final[dict[str, tuple[str, str]]] = {
    "revoked": (
        "Google says that access was withdrawn, or the password changed: connect your Gmail again.",
        "Google meldet, dass der Zugriff entzogen oder das Passwort geändert wurde: Verbinden Sie Ihr Gmail neu.",
    ),
    "session": (
        "Your organisation wants you to sign in to Google again from time to time: connect your Gmail again.",
        "Ihre Organisation verlangt von Zeit zu Zeit eine neue Anmeldung bei Google: Verbinden Sie Ihr Gmail neu.",
    ),
    "sessions-revoked": (
        "Google has ended all sign-ins of this account: check it at Google, then connect your Gmail again.",
        "Google hat alle Anmeldungen dieses Kontos beendet: Prüfen Sie es bei Google, und verbinden Sie Ihr Gmail neu.",
    ),
    "account-disabled": (
        "Google has disabled this account: settle that with Google first, then connect your Gmail again.",
        "Google hat dieses Konto gesperrt: Klären Sie das zuerst mit Google, und verbinden Sie Ihr Gmail dann neu.",
    ),
    "secret-missing": (
        "The key to your Gmail is no longer there: connect your Gmail again.",
        "Der Schlüssel zu Ihrem Gmail ist nicht mehr da: Verbinden Sie Ihr Gmail neu.",
    ),
    "scope": (
        "A permission was taken back at Google: connect your Gmail again, and leave it ticked.",
        "Eine Berechtigung wurde bei Google entzogen: Verbinden Sie Ihr Gmail neu, und lassen Sie sie angekreuzt.",
    ),
    "policy": (
        "The administrators of your Google account do not allow this application: ask them, then connect again.",
        "Die Administratoren Ihres Google-Kontos erlauben diese Anwendung nicht: Fragen Sie dort nach, und verbinden "
        "Sie dann neu.",
    ),
    "no-mailbox": (
        "This Google account has no Gmail: have it turned on, or connect another account.",
        "Dieses Google-Konto hat kein Gmail: Lassen Sie es einschalten, oder verbinden Sie ein anderes Konto.",
    ),
}


@dataclass(frozen=True)
class Facts:
    """Everything that is known of one connection, as read for this request."""

    connection: Connection
    policy: Policy
    user: User | None = None
    sync: Sync | None = None
    work: Work | None = None
    mailbox: Mailbox | None = None

    @property
    def live_sync(self) -> Sync | None:
        """What handlers noted for this very generation of the connection."""
        if self.sync is None or self.sync.generation != self.connection.generation:
            return None
        return self.sync

    @property
    def live_work(self) -> Work | None:
        """What is to be filed for this very generation of the connection."""
        if self.work is None or self.work.generation != self.connection.generation:
            return None
        return self.work


@dataclass(frozen=True)
class Health:
    """The word, the reason's code (empty if healthy), and what to do."""

    word: Word
    reason: str = ""
    advice: str = ""


def judge(facts: Facts, now: datetime, language: Language = "en") -> Health:
    """The worst that is known of the connection, in one word with its reason."""
    for reason, holds in _reasons(facts, now):
        if holds:
            word, english, german = _TEXTS[reason]
            if reason == "reauth-required":
                english, german = _REAUTH_ADVICE.get(facts.connection.reauth_reason, (english, german))
            advice = german if language == "de" else english
            return Health(word, reason, advice.format(labels=_names(refused_labels(facts), facts.connection.locale)))
    return Health("healthy")


def _reasons(facts: Facts, now: datetime) -> list[tuple[str, bool]]:
    """Every reason for trouble and whether it holds, the worst first."""
    connection, sync, work, policy = facts.connection, facts.live_sync, facts.live_work, facts.policy
    magnet = magnet_state(facts, now)
    watch_expires_at = sync.watch_expires_at if sync and magnet != "off" else None
    caught_up_at = sync.caught_up_at if sync and magnet != "off" else None
    retry_after = facts.mailbox.retry_after if facts.mailbox else None
    on = {Feature.MAIL: True, Feature.MAILMAGNET: connection.mailmagnet, Feature.LABELS: connection.labels}
    is_late = is_start_late(facts, now)
    return [
        ("user-inactive", not sharing.is_serviceable(facts.user, now)),
        ("reauth-required", connection.status is ConnectionStatus.REAUTH_REQUIRED),
        ("watch-expired", watch_expires_at is not None and watch_expires_at <= now),
        ("watch-not-renewed", watch_expires_at is not None and watch_expires_at < now + RENEWED_WITH),
        ("mailmagnet-failing", magnet == "failing"),
        ("mailmagnet-slow-start", magnet == "starting" and is_late),
        ("not-caught-up", caught_up_at is not None and caught_up_at + CAUGHT_UP_WITHIN <= now),
        ("labels-scope-missing", connection.labels and Feature.LABELS not in granted_features(connection.scopes)),
        ("labels-refused", labels_refusal(facts) != ""),
        ("labels-slow-start", labels_state(facts, now) == "starting" and is_late),
        ("feature-not-allowed", any(is_on and feature not in policy.features for feature, is_on in on.items())),
        ("mailbox-not-allowed", not is_mailbox_taken(facts)),
        ("messages-parked", sync is not None and is_passing_over(sync, now)),
        ("filing-late", work is not None and connection.labels and work.due_at + FILED_WITHIN <= now),
        ("rate-limited", retry_after is not None and retry_after > now),
    ]


def is_passing_over(sync: Sync, now: datetime) -> bool:
    """Whether a mail has kept failing for so long that it was passed: until then it is tried every few minutes."""
    return any(one.first_failed_at + PASSED_AFTER <= now for one in sync.parked)


def labels_refusal(facts: Facts) -> str:
    """Why Gmail makes no label for this connection, where labels are on and one lacks; else empty."""
    return facts.live_sync.labels_error if facts.live_sync and refused_labels(facts) else ""


def refused_labels(facts: Facts) -> tuple[Category, ...]:
    """The categories whose mail waits for a label that Gmail does not make."""
    return label_names.refused(facts.connection, facts.sync)


def _names(categories: Iterable[Category], locale: str) -> str:
    return ", ".join(f"“{label_names.name_of(one, locale)}”" for one in categories)


def is_mailbox_taken(facts: Facts) -> bool:
    """Whether the policy, as it is now, would let this mailbox be connected."""
    return facts.user is None or is_mailbox_allowed(facts.connection.address, facts.user, facts.policy)


def is_start_late(facts: Facts, now: datetime) -> bool:
    """Whether a feature that says ``starting`` should be on by now, counted from the last word of its task."""
    sync = facts.live_sync
    since = sync.last_error_at if sync and sync.last_error_at else facts.connection.changed_at
    return since is not None and since + STARTS_WITHIN <= now


def magnet_state(facts: Facts, now: datetime) -> FeatureState:
    """What MailMagnet does: it is on once a watch runs, and failing when the last word of its work was an error.

    Failing, too, while all work stands still, without a grant or an active user.
    """
    sync = facts.live_sync
    if not facts.connection.mailmagnet:
        return "off"
    if facts.connection.status is ConnectionStatus.REAUTH_REQUIRED or not sharing.is_serviceable(facts.user, now):
        return "failing"
    if sync is None or sync.watch_expires_at is None:
        return "failing" if sync is not None and sync.last_error else "starting"
    return "failing" if sync.last_error or sync.watch_expires_at <= now else "on"


def labels_state(facts: Facts, now: datetime) -> FeatureState:
    """What the labels do: they are on once all three exist."""
    connection = facts.connection
    if not connection.labels:
        return "off"
    is_granted = Feature.LABELS in granted_features(connection.scopes)
    if not is_granted or labels_refusal(facts) or magnet_state(facts, now) == "failing":
        return "failing"
    return "on" if all(connection.label_ids.get(category) for category in LABELLED) else "starting"
