"""The honest word on a connection."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common import health
from common.health import Facts
from common.model import (
    PERMISSION,
    Connection,
    ConnectionStatus,
    Feature,
    Mailbox,
    Parked,
    Policy,
    Sync,
    User,
    Work,
)
from common.oauth import scopes_for

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALL = {"closing_this_month": "L1", "open_deals": "L2", "customers": "L3"}
CONNECTION = Connection(
    user_id="anna",
    address="anna@demo-crm.example",
    mailbox_key="k",
    generation="g",
    secret="s",
    scopes=scopes_for(Feature),
    connected_at=NOW - timedelta(days=9),
    mailmagnet=True,
    labels=True,
    label_ids=ALL,
    changed_at=NOW - timedelta(days=1),
)
SYNC = Sync(
    user_id="anna",
    generation="g",
    mailbox_key="k",
    cursor=7,
    caught_up_at=NOW,
    watch_expires_at=NOW + timedelta(days=6),
)
USER = User(user_id="anna", active=True, permissions=frozenset({PERMISSION}), heard_at=NOW)
WHOLE = Facts(CONNECTION, Policy(), USER, SYNC, None, Mailbox(mailbox_key="k", user_ids=("anna",)))


def facts(*, connection: dict[str, Any] | None = None, sync: dict[str, Any] | None = None, **other: Any) -> Facts:
    return replace(WHOLE, connection=replace(CONNECTION, **connection or {}), sync=replace(SYNC, **sync or {}), **other)


def test_a_connection_that_works_is_healthy() -> None:
    """Everything on and nothing wrong: healthy, without a reason."""
    assert health.Health("healthy") == health.judge(WHOLE, NOW)
    assert ("on", "on") == (health.magnet_state(WHOLE, NOW), health.labels_state(WHOLE, NOW))


@pytest.mark.parametrize(
    ("wrong", "word", "reason"),
    [
        (facts(user=replace(USER, active=False)), "broken", "user-inactive"),
        (facts(user=None), "broken", "user-inactive"),
        (facts(user=replace(USER, heard_at=NOW - timedelta(days=91))), "broken", "user-inactive"),
        (facts(connection={"status": ConnectionStatus.REAUTH_REQUIRED}), "broken", "reauth-required"),
        (facts(sync={"watch_expires_at": NOW}), "broken", "watch-expired"),
        (facts(sync={"watch_expires_at": NOW + timedelta(days=4, hours=23)}), "degraded", "watch-not-renewed"),
        (facts(sync={"caught_up_at": NOW - timedelta(hours=30)}), "degraded", "not-caught-up"),
        (facts(connection={"label_ids": {}}), "degraded", "labels-slow-start"),
        (facts(connection={"label_ids": {}}, sync={"labels_error": "label-refused"}), "degraded", "labels-refused"),
        (facts(sync={"last_error": "policy"}), "degraded", "mailmagnet-failing"),
        (facts(sync={"watch_expires_at": None}), "degraded", "mailmagnet-slow-start"),
        (facts(sync={"generation": "older"}), "degraded", "mailmagnet-slow-start"),
        (facts(connection={"scopes": scopes_for([Feature.MAIL])}), "degraded", "labels-scope-missing"),
        (facts(policy=Policy(features=(Feature.MAIL, Feature.LABELS))), "degraded", "feature-not-allowed"),
        (
            facts(connection={"mailmagnet": False, "labels": False}, policy=Policy(features=(Feature.MAILMAGNET,))),
            "degraded",
            "feature-not-allowed",
        ),
        (facts(policy=Policy(mailbox_domains=("other.example",))), "degraded", "mailbox-not-allowed"),
        (facts(policy=Policy(mailbox_must_match_user=True)), "degraded", "mailbox-not-allowed"),
        (
            facts(sync={"parked": (Parked(mail_id="m", attempts=10, first_failed_at=NOW - timedelta(hours=1)),)}),
            "degraded",
            "messages-parked",
        ),
        (
            facts(work=Work(user_id="anna", due_at=NOW - timedelta(minutes=31), generation="g")),
            "degraded",
            "filing-late",
        ),
        (facts(mailbox=Mailbox(mailbox_key="k", retry_after=NOW + timedelta(seconds=1))), "degraded", "rate-limited"),
    ],
)
def test_what_is_wrong_is_said(wrong: Facts, word: str, reason: str) -> None:
    """Each trouble has its word and reason, and advice in both languages."""
    english, german = health.judge(wrong, NOW), health.judge(wrong, NOW, "de")

    assert (word, reason) == (english.word, english.reason) == (german.word, german.reason)
    assert "" != english.advice != german.advice != ""


def test_each_reason_to_connect_anew_has_its_advice() -> None:
    """What to do depends on why Google takes the connection no more; an unknown reason has words of its own, too."""
    reasons = [
        "revoked",
        "session",
        "sessions-revoked",
        "account-disabled",
        "secret-missing",
        "scope",
        "policy",
        "no-mailbox",
    ]
    reasons.append("other")
    dead = [
        facts(connection={"status": ConnectionStatus.REAUTH_REQUIRED, "reauth_reason": reason}) for reason in reasons
    ]

    assert {"reauth-required"} == {health.judge(one, NOW).reason for one in dead}
    assert len(reasons) == len({health.judge(one, NOW).advice for one in dead})
    assert len(reasons) == len({health.judge(one, NOW, "de").advice for one in dead})


def test_what_was_left_by_an_older_generation_says_nothing() -> None:
    """Work of a former connection is not this one's delay."""
    late = Work(user_id="anna", due_at=NOW - timedelta(hours=9), generation="older")

    assert "healthy" == health.judge(facts(work=late), NOW).word


def test_the_worst_is_said_first() -> None:
    """A dead grant outweighs a limit."""
    both = facts(
        connection={"status": ConnectionStatus.REAUTH_REQUIRED},
        mailbox=Mailbox(mailbox_key="k", retry_after=NOW + timedelta(hours=1)),
    )
    assert "reauth-required" == health.judge(both, NOW).reason


def test_what_passes_is_no_trouble() -> None:
    """A start just made, work just due, a limit that is over, mail still tried and labels given up are healthy."""
    fresh = facts(
        connection={"changed_at": NOW - timedelta(minutes=1)},
        sync={"watch_expires_at": None},
        work=Work(user_id="anna", due_at=NOW - timedelta(minutes=5), generation="g"),
        mailbox=Mailbox(mailbox_key="k", retry_after=NOW),
    )
    retried = facts(sync={"parked": (Parked(mail_id="m", attempts=9, first_failed_at=NOW - timedelta(minutes=59)),)})
    refused_once = facts(connection={"labels": False, "label_ids": {}}, sync={"labels_error": "label-refused"})
    assert {"healthy"} == {health.judge(one, NOW).word for one in (fresh, retried, refused_once)}
    assert "starting" == health.magnet_state(fresh, NOW)


def test_refused_labels_are_named() -> None:
    """What to do names the labels that Gmail does not make, as the connection's language calls them."""
    made = {"closing_this_month": "L1"}
    refused = facts(connection={"label_ids": made, "locale": "de"}, sync={"labels_error": "label-refused"})

    assert "our label “Offene Deals”, “Kunden”:" in health.judge(refused, NOW).advice
    assert ("open_deals", "customers") == health.refused_labels(refused)
    assert "failing" == health.labels_state(refused, NOW)


def test_labels_start_until_all_three_exist() -> None:
    """Two of three labels are not enough to be on."""
    assert "starting" == health.labels_state(facts(connection={"label_ids": {"customers": "L3"}}), NOW)


@pytest.mark.parametrize(
    "stopped",
    [
        facts(connection={"status": ConnectionStatus.REAUTH_REQUIRED}),
        facts(connection={"status": ConnectionStatus.REAUTH_REQUIRED}, sync={"watch_expires_at": None}),
        facts(user=replace(USER, active=False)),
    ],
)
def test_nothing_is_on_while_the_connection_stands_still(stopped: Facts) -> None:
    """Without a grant or an active user nothing is noticed or filed, whatever watch still runs at Gmail."""
    assert ("failing", "failing") == (health.magnet_state(stopped, NOW), health.labels_state(stopped, NOW))


def test_features_that_are_off_are_off() -> None:
    """Nothing is wrong with what nobody wants."""
    off = facts(connection={"mailmagnet": False, "labels": False}, sync={"watch_expires_at": NOW})

    assert ("off", "off", "healthy") == (
        health.magnet_state(off, NOW),
        health.labels_state(off, NOW),
        health.judge(off, NOW).word,
    )
