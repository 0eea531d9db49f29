"""Who may see what: rule 3 and the section Sharing, one condition at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.model import (
    Connection,
    ConnectionStatus,
    Contact,
    ContactAddress,
    Policy,
    Share,
    SharingLevel,
    SharingTerms,
    User,
)
from common.sharing import (
    MailFacts,
    Owner,
    asked_level,
    asked_terms,
    effective_level,
    effective_terms,
    is_in_domains,
    is_mail_shared,
    is_serviceable,
    may_see,
    opening_addresses,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ADDED = NOW - timedelta(days=10)
PRIVATE, CUSTOM, PUBLIC = SharingLevel
MIA = "mia@customer.example"


def user(**more: Any) -> User:
    settings: dict[str, Any] = {
        "user_id": "anna", "active": True, "role": "sales", "heard_at": NOW,
        "permissions": frozenset({"mail_integration"}), **more,
    }  # fmt: skip
    return User(**settings)


def connection(**more: Any) -> Connection:
    settings: dict[str, Any] = {
        "user_id": "anna", "address": "anna@demo-crm.example", "mailbox_key": "m1", "generation": "g1",
        "secret": "s", "scopes": frozenset(), "connected_at": ADDED, "sharing": PUBLIC, **more,
    }  # fmt: skip
    return Connection(**settings)


def contact(*entries: ContactAddress, **more: Any) -> Contact:
    addresses = entries or (ContactAddress(address=MIA, added_at=ADDED, added_by="carla"),)
    return Contact(contact_id="c1", name="Mia", addresses=addresses, visible_to=("everyone",), **more)


def share(*addresses: str, **more: Any) -> Share:
    settings: dict[str, Any] = {"mailbox_key": "m1", "shared": True, **more}
    return Share(owner="anna", contact_id="c1", addresses=addresses, at=ADDED, **settings)


def opening(
    *, of: Contact | None = None, policy: Policy | None = None, inside: frozenset[str] = frozenset(), **owner: Any
) -> dict[str, datetime | None]:
    settings = {"connection": connection(), "user": user(), "share": None, **owner}
    return opening_addresses(of or contact(), Owner(**settings), policy or Policy(), inside=inside, now=NOW)


def test_public_mail_opens_from_the_time_the_address_was_added() -> None:
    """At the public level an address of the contact opens mail newer than ``added_at``."""
    assert {MIA: ADDED} == opening()


@pytest.mark.parametrize(
    "change",
    [
        {"connection": connection(sharing=PRIVATE)},
        {"connection": connection(sharing=CUSTOM)},
        {"connection": connection(sharing=CUSTOM), "share": share()},
        {"connection": connection(sharing=CUSTOM), "share": share(MIA, shared=False)},
        {"connection": connection(sharing=CUSTOM), "share": share("other@customer.example")},
        {"connection": connection(sharing=CUSTOM), "share": share(MIA, mailbox_key="former")},
        {"connection": connection(status=ConnectionStatus.REAUTH_REQUIRED)},
        {"user": None},
        {"user": user(active=False)},
        {"user": user(deleted=True)},
        {"user": user(permissions=frozenset())},
        {"user": user(heard_at=None)},
        {"user": user(heard_at=NOW - timedelta(days=90, seconds=1))},
        {"policy": Policy(sharing=PRIVATE)},
        {"policy": Policy(sharing=PUBLIC, sharing_by_role={"sales": PRIVATE})},
        {"policy": Policy(sharing=PUBLIC, sharing_by_user={"anna": PRIVATE})},
        {"policy": Policy(sharing=CUSTOM)},
        {"policy": Policy(internal_domains=("customer.example",))},
        {"inside": frozenset({MIA})},
        {"of": contact(deleted=True)},
    ],
)
def test_one_missing_condition_closes_everything(change: dict[str, Any]) -> None:
    """Each condition of rule 3 closes the mailbox on its own."""
    assert {} == opening(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"connection": connection(sharing=CUSTOM), "share": share(MIA)},
        {"share": share(MIA, shared=False)},
        {"of": contact(ContactAddress(address=MIA, added_at=ADDED, added_by="anna"))},
        {
            "policy": Policy(address_time_limit=False),
            "connection": connection(accepted_terms=SharingTerms(address_time_limit=False)),
        },
    ],
)
def test_what_the_owner_saw_or_the_policy_lifts_has_no_time_limit(change: dict[str, Any]) -> None:
    """A confirmed address, one that the owner put there, or terms without the limit open older mail too."""
    assert {MIA: None} == opening(**change)


@pytest.mark.parametrize(
    ("chosen", "accepted", "policy", "expected"),
    [
        (PUBLIC, PRIVATE, None, PUBLIC),
        (PRIVATE, PUBLIC, None, PRIVATE),
        (PUBLIC, PRIVATE, PRIVATE, PRIVATE),
        (PUBLIC, PRIVATE, CUSTOM, CUSTOM),
        (PRIVATE, PRIVATE, PUBLIC, PRIVATE),
        (PRIVATE, CUSTOM, PUBLIC, CUSTOM),
        (PRIVATE, PUBLIC, PUBLIC, PUBLIC),
        (CUSTOM, PRIVATE, PUBLIC, CUSTOM),
        (PRIVATE, PUBLIC, CUSTOM, CUSTOM),
    ],
)
def test_a_policy_narrows_at_once_and_widens_only_what_was_accepted(
    chosen: SharingLevel, accepted: SharingLevel, policy: SharingLevel | None, expected: SharingLevel
) -> None:
    """What holds is the narrower of the policy and of what the owner chose or accepted."""
    owner_connection = connection(sharing=chosen, accepted_level=accepted)
    assert expected == effective_level(owner_connection, Policy(sharing=policy), user())


def test_the_owner_is_asked_only_for_what_is_wider() -> None:
    """A narrower policy asks nothing, a wider one asks for its level."""
    assert PUBLIC == asked_level(connection(sharing=PRIVATE), Policy(sharing=PUBLIC), user())
    assert asked_level(connection(sharing=PUBLIC), Policy(sharing=PRIVATE), user()) is None
    assert asked_level(connection(sharing=PRIVATE), Policy(), user()) is None


@pytest.mark.parametrize(
    ("visible_to", "owner", "expected"),
    [
        ((), "", False),
        ((), "anna", True),
        (("anna",), "", True),
        (("role:sales",), "", True),
        (("role:support",), "", False),
        (("everyone",), "", True),
        (("sales",), "", False),
    ],
)
def test_a_record_is_seen_by_owner_name_role_or_everyone(
    visible_to: tuple[str, ...], owner: str, expected: bool
) -> None:
    """``visible_to`` holds user ids, ``role:…`` or ``everyone``; nothing else opens."""
    assert expected == may_see(replace(contact(), visible_to=visible_to, owner=owner), user())


def test_a_user_without_role_matches_no_empty_role() -> None:
    """``role:`` alone is nobody's."""
    assert may_see(replace(contact(), visible_to=("role:",)), user(role="")) is False


def test_a_user_heard_of_ninety_days_ago_is_still_served() -> None:
    """The limit of 90 days is inclusive."""
    assert is_serviceable(user(heard_at=NOW - timedelta(days=90)), NOW) is True


MAIL = MailFacts(addresses=frozenset({MIA, "anna@demo-crm.example"}), received_at=NOW, label_ids=frozenset({"INBOX"}))


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (MAIL, True),
        (replace(MAIL, addresses=frozenset({"stranger@customer.example"})), False),
        (replace(MAIL, received_at=ADDED), False),
        (replace(MAIL, received_at=ADDED + timedelta(seconds=1)), True),
        (replace(MAIL, addresses=MAIL.addresses | {"law@secret.example"}), False),
        (replace(MAIL, addresses=MAIL.addresses | {"law@deep.secret.example"}), False),
        (replace(MAIL, addresses=MAIL.addresses | {"law@secret.example."}), False),
        (replace(MAIL, addresses=MAIL.addresses | {"law@notsecret.example"}), True),
        (replace(MAIL, mentioned=frozenset({"@secret.example"})), False),
        (replace(MAIL, addresses=frozenset(), mentioned=frozenset({MIA, "@customer.example"})), False),
        *(
            (replace(MAIL, label_ids=frozenset({label})), False)
            for label in ("DRAFT", "SPAM", "TRASH", "CHAT", "Label_9")
        ),
        (replace(MAIL, label_ids=frozenset({"SENT"})), True),
    ],
)
def test_a_mail_is_shown_by_its_addresses_time_and_labels(mail: MailFacts, expected: bool) -> None:
    """Involvement, age, excluded domains and labels each decide alone."""
    shown = is_mail_shared(mail, {MIA: ADDED}, excluded_domains=("secret.example",), hidden_label_id="Label_9")
    assert expected == shown


def test_without_a_hidden_label_no_label_is_mistaken_for_it() -> None:
    """An owner who never hid a mail has no hidden label."""
    assert is_mail_shared(MAIL, {MIA: None}, excluded_domains=(), hidden_label_id="") is True


def test_domains_compare_without_case() -> None:
    """Domain names are case-insensitive (RFC 1035)."""
    assert is_in_domains("a@Secret.Example", ("SECRET.example",)) is True


_STRICT = SharingTerms(internal_domains=("in.example",), excluded_domains=("bank.example",))
_OPEN = SharingTerms(address_time_limit=False)


def policy_of(terms: SharingTerms, **more: Any) -> Policy:
    return Policy(
        internal_domains=terms.internal_domains,
        excluded_domains=terms.excluded_domains,
        address_time_limit=terms.address_time_limit,
        **more,
    )


@pytest.mark.parametrize(
    ("accepted", "asked", "expected"),
    [
        (_STRICT, _OPEN, _STRICT),
        (_OPEN, _STRICT, _STRICT),
        (_OPEN, _OPEN, _OPEN),
        (
            SharingTerms(internal_domains=("a.example", "b.example"), excluded_domains=("c.example",)),
            SharingTerms(internal_domains=("b.example", "d.example"), address_time_limit=False),
            SharingTerms(internal_domains=("a.example", "b.example", "d.example"), excluded_domains=("c.example",)),
        ),
    ],
)
def test_the_narrower_of_the_policys_terms_and_the_accepted_ones_hold(
    accepted: SharingTerms, asked: SharingTerms, expected: SharingTerms
) -> None:
    """The domains of both are kept back, and the time limit holds if either has it."""
    assert expected == effective_terms(connection(accepted_terms=accepted), policy_of(asked))


@pytest.mark.parametrize(
    ("more", "asked", "policy_level", "expected"),
    [
        ({}, _OPEN, None, _OPEN),
        ({}, _STRICT, None, None),
        ({"accepted_terms": _OPEN}, _STRICT, None, None),
        ({"accepted_terms": SharingTerms(internal_domains=("hr.in.example",))}, _STRICT, None, None),
        ({"accepted_terms": SharingTerms(internal_domains=("example.com",))}, _STRICT, None, _STRICT),
        ({"sharing": PRIVATE, "accepted_level": PUBLIC}, _OPEN, PUBLIC, _OPEN),
        ({"sharing": PRIVATE, "accepted_level": PUBLIC}, _OPEN, None, None),
        ({"sharing": PRIVATE}, _OPEN, PUBLIC, None),
        ({}, _OPEN, PRIVATE, None),
    ],
)
def test_only_wider_terms_are_asked_for_and_only_of_those_who_share(
    more: dict[str, Any], asked: SharingTerms, policy_level: SharingLevel | None, expected: SharingTerms | None
) -> None:
    """Narrower terms hold without a question; whoever shows nothing is not asked about terms."""
    owner = connection(**{"accepted_terms": _STRICT, **more})
    assert expected == asked_terms(owner, policy_of(asked, sharing=policy_level), user())


def test_a_domain_that_the_policy_no_longer_names_stays_closed_until_the_owner_agrees() -> None:
    """An address of a former internal domain opens nothing of an owner who has not accepted that."""
    terms = SharingTerms(internal_domains=("customer.example",))
    assert {} == opening(connection=connection(accepted_terms=terms))
    assert {MIA: ADDED} == opening(connection=connection(accepted_terms=SharingTerms()))
