"""Pure rules of a connection's life: whose mailbox is taken, what a patch changes, who has left, what an event says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common import housekeeping, revocation, risc, settings
from common.errors import BadRequest, Problem
from common.keys import Keys
from common.membership import is_mailbox_allowed
from common.model import PERMISSION, Connection, Feature, Policy, SharingLevel, SharingTerms, User
from common.oauth import scopes_for
from common.policy import parse_domains, plan_changes
from common.settings import ConnectionPatch, TermsBody

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
USER = User(user_id="anna", active=True, permissions=frozenset({PERMISSION}), email="Anna@Demo-CRM.example")


def connection(**more: Any) -> Connection:
    fields: dict[str, Any] = {
        "user_id": "anna",
        "address": "anna@demo-crm.example",
        "mailbox_key": "k",
        "generation": "g",
        "secret": "s",
        "scopes": scopes_for(Feature),
        "connected_at": NOW,
    }
    return Connection(**(fields | more))


@pytest.mark.parametrize(
    ("email", "policy", "expected"),
    [
        ("x@elsewhere.example", Policy(), True),
        ("anna@demo-crm.example", Policy(mailbox_must_match_user=True), True),
        ("ANNA@DEMO-CRM.EXAMPLE", Policy(mailbox_must_match_user=True), True),
        ("a.nna@demo-crm.example", Policy(mailbox_must_match_user=True), False),
        ("x@demo-crm.example", Policy(mailbox_domains=("demo-crm.example",)), True),
        ("x@evil-demo-crm.example", Policy(mailbox_domains=("demo-crm.example",)), False),
        ("x@sub.demo-crm.example", Policy(mailbox_domains=("demo-crm.example",)), False),
        ("anna@demo-crm.example", Policy(mailbox_domains=("other.example",)), False),
    ],
)
def test_whose_mailbox_is_taken(email: str, policy: Policy, expected: bool) -> None:
    """The user's own address, whatever its case, or one of a listed domain exactly."""
    assert expected == is_mailbox_allowed(email, USER, policy)


def test_nobodys_address_matches_a_user_without_one() -> None:
    """A CRM user without an address cannot connect where the addresses must match."""
    user = User(user_id="anna", active=True)
    assert not is_mailbox_allowed("@", user, Policy(mailbox_must_match_user=True))


def test_a_patch_changes_only_what_differs() -> None:
    """What is set already is no change; what is left out stays."""
    patch = ConnectionPatch(sharing=SharingLevel.PRIVATE, locale="de", excluded_domains=["b.example", "a.example"])

    assert {"locale": "de", "excluded_domains": ("a.example", "b.example")} == settings.plan_changes(
        connection(), patch, Policy(), USER
    )


def test_turning_mailmagnet_off_takes_labels_along() -> None:
    """Labels are only ever on while MailMagnet is."""
    changes = settings.plan_changes(
        connection(mailmagnet=True, labels=True), ConnectionPatch(mailmagnet=False), Policy(), USER
    )
    assert {"mailmagnet": False, "labels": False} == changes


@pytest.mark.parametrize(
    ("patch", "policy", "code"),
    [
        (ConnectionPatch(labels=True), Policy(), "mailmagnet-required"),
        (ConnectionPatch(mailmagnet=True), Policy(features=(Feature.MAIL,)), "feature-not-allowed"),
        (ConnectionPatch(sharing=SharingLevel.PUBLIC), Policy(sharing=SharingLevel.CUSTOM), "sharing-set-by-policy"),
        (ConnectionPatch(accepted_level=SharingLevel.PUBLIC), Policy(sharing=SharingLevel.CUSTOM), "level-not-asked"),
    ],
)
def test_a_patch_that_cannot_be_is_refused(patch: ConnectionPatch, policy: Policy, code: str) -> None:
    """Each refusal has its own code."""
    with pytest.raises(Problem) as raised:
        settings.plan_changes(connection(), patch, policy, USER)
    assert code == raised.value.code


def test_an_acceptance_can_be_taken_back() -> None:
    """Private is always accepted, whatever the policy asks for."""
    accepted = connection(accepted_level=SharingLevel.PUBLIC)
    patch = ConnectionPatch(accepted_level=SharingLevel.PRIVATE)

    assert {"accepted_level": SharingLevel.PRIVATE} == settings.plan_changes(
        accepted, patch, Policy(sharing=SharingLevel.PUBLIC), USER
    )


@pytest.mark.parametrize(
    ("chosen", "accepted", "policy", "wanted", "expected"),
    [
        ("public", "private", "public", "private", {"sharing": "private"}),
        ("private", "public", "public", "custom", {"sharing": "custom", "accepted_level": "custom"}),
        ("private", "public", "public", "private", {"accepted_level": "private"}),
        ("public", "public", None, "custom", {"sharing": "custom", "accepted_level": "custom"}),
        ("public", "custom", "private", "private", {"sharing": "private", "accepted_level": "private"}),
    ],
)
def test_a_narrower_level_may_always_be_chosen(
    chosen: str, accepted: str, policy: str | None, wanted: str, expected: dict[str, str]
) -> None:
    """Whatever the policy asks for, the owner may show less, and has accepted no more than that afterwards."""
    held = connection(sharing=SharingLevel(chosen), accepted_level=SharingLevel(accepted))
    set_level = Policy(sharing=SharingLevel(policy) if policy else None)

    assert expected == settings.plan_changes(held, ConnectionPatch(sharing=SharingLevel(wanted)), set_level, USER)


@pytest.mark.parametrize(
    ("chosen", "accepted", "wanted"),
    [("private", "private", "custom"), ("private", "private", "public"), ("custom", "private", "public")],
)
def test_a_level_set_by_policy_is_not_widened_by_choice(chosen: str, accepted: str, wanted: str) -> None:
    """While the policy sets the level, wider is accepted, not chosen."""
    held = connection(sharing=SharingLevel(chosen), accepted_level=SharingLevel(accepted))
    with pytest.raises(Problem) as raised:
        settings.plan_changes(
            held, ConnectionPatch(sharing=SharingLevel(wanted)), Policy(sharing=SharingLevel.PUBLIC), USER
        )
    assert "sharing-set-by-policy" == raised.value.code


_FORMER = SharingTerms(excluded_domains=("bank.example",))


@pytest.mark.parametrize(
    ("held", "patch", "policy", "expected"),
    [
        (
            connection(accepted_terms=_FORMER),
            ConnectionPatch(sharing=SharingLevel.CUSTOM),
            Policy(internal_domains=("in.example",)),
            SharingTerms(internal_domains=("in.example",)),
        ),
        (
            connection(accepted_terms=_FORMER),
            ConnectionPatch(accepted_level=SharingLevel.PUBLIC),
            Policy(sharing=SharingLevel.PUBLIC),
            SharingTerms(),
        ),
        (
            connection(accepted_terms=_FORMER, sharing=SharingLevel.CUSTOM),
            ConnectionPatch(sharing=SharingLevel.PUBLIC),
            Policy(internal_domains=("in.example",)),
            SharingTerms(excluded_domains=("bank.example",), internal_domains=("in.example",)),
        ),
        (
            connection(accepted_terms=_FORMER, sharing=SharingLevel.PUBLIC),
            ConnectionPatch(sharing=SharingLevel.CUSTOM),
            Policy(),
            None,
        ),
        (
            connection(accepted_terms=_FORMER, sharing=SharingLevel.PUBLIC),
            ConnectionPatch(
                accepted_terms=TermsBody(internal_domains=["IN.example"], excluded_domains=[], address_time_limit=True)
            ),
            Policy(internal_domains=("in.example",)),
            SharingTerms(internal_domains=("in.example",)),
        ),
    ],
)
def test_what_terms_a_change_takes(
    held: Connection, patch: ConnectionPatch, policy: Policy, expected: SharingTerms | None
) -> None:
    """A first level takes the policy's terms, a wider one those that hold, a narrower none; asked ones are accepted."""
    assert expected == settings.plan_changes(held, patch, policy, USER).get("accepted_terms")


def test_other_terms_than_those_asked_for_are_not_accepted() -> None:
    """Whoever accepts what another administrator has changed meanwhile is told to look again."""
    shown = TermsBody(internal_domains=["in.example"], excluded_domains=[], address_time_limit=True)
    with pytest.raises(Problem) as raised:
        settings.plan_changes(
            connection(sharing=SharingLevel.PUBLIC), ConnectionPatch(accepted_terms=shown), Policy(), USER
        )
    assert "terms-not-asked" == raised.value.code


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (User(user_id="u", active=False, inactive_since=NOW - timedelta(days=7)), True),
        (User(user_id="u", active=False, inactive_since=NOW - timedelta(days=6, hours=23)), False),
        (User(user_id="u", active=True, updated_at=NOW - timedelta(days=8)), True),
        (User(user_id="u", active=True, updated_at=NOW - timedelta(days=6)), False),
        (User(user_id="u", active=True, permissions=frozenset({PERMISSION}), updated_at=NOW - timedelta(99)), False),
        (
            User(
                user_id="u",
                active=True,
                deleted=True,
                permissions=frozenset({PERMISSION}),
                updated_at=NOW - timedelta(days=7),
            ),
            True,
        ),
    ],
)
def test_who_has_left(user: User, expected: bool) -> None:
    """Inactive, deleted, or without the permission for seven days; never a user who is none of it."""
    assert expected == housekeeping.has_left(user, NOW)


def test_what_google_owes_lasts_72_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A revocation owns the secret for three days, and takes labels along only if that was wanted."""
    monkeypatch.setattr(revocation, "keys", lambda: Keys(b"h" * 32, []))
    held = connection(mailmagnet=True, label_ids={"customers": "L3", "open_deals": "L2"})
    owed = revocation.plan_revocation(held, NOW, remove_labels=False)
    with_labels = revocation.plan_revocation(held, NOW, remove_labels=True)

    assert (NOW + timedelta(hours=72), True, "s", ()) == (owed.until, owed.stop_watch, owed.secret, owed.label_ids)
    assert ("L2", "L3") == with_labels.label_ids


@pytest.mark.parametrize("claims", [{}, {"iat": "x", "events": {}}, {"iat": 1, "events": []}, {"iat": 1e99}])
def test_an_event_of_another_form_raises(claims: dict[str, Any]) -> None:
    """Claims that cannot be read as events raise what the verifier turns into a refusal."""
    with pytest.raises((KeyError, ValueError, AttributeError, OverflowError, BadRequest)):
        risc.parse_events(claims)


def test_events_are_read_by_the_last_part_of_their_type() -> None:
    """Google names types by URLs of two families; the account is the subject's sub, if any."""
    base = "https://schemas.openid.net/secevent"
    claims = {
        "iat": 1_700_000_000,
        "events": {
            f"{base}/oauth/event-type/tokens-revoked": {"subject": {"sub": "117"}},
            f"{base}/risc/event-type/verification": {"state": "x"},
        },
    }

    assert [("tokens-revoked", "117"), ("verification", "")] == [
        (one.kind, one.sub) for one in risc.parse_events(claims)
    ]


@pytest.mark.parametrize("domain", ["", ".", "com", "a b.example", "a/b.example", "-a.example", "x" * 64 + ".example"])
def test_what_is_no_domain_is_refused(domain: str) -> None:
    """A domain has two labels at least, of letters, digits and hyphens."""
    with pytest.raises(Problem) as raised:
        parse_domains([domain])
    assert "invalid-domain" == raised.value.code


def test_a_change_of_policy_names_settings_and_words() -> None:
    """The audit says what was set; lists and maps are named alone."""
    new = Policy(sharing=SharingLevel.PUBLIC, internal_domains=("a.example",), file_unverified=True)

    assert ["sharing=public", "internal_domains", "file_unverified=true"] == plan_changes(Policy(), new)
    assert ["sharing=users_choice"] == plan_changes(Policy(sharing=SharingLevel.PUBLIC), Policy())
