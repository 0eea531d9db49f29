"""What decides on a fetched mail, and what a colleague's mailbox is asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.colleagues import Door, View, named_viewers, parse_facts
from common.mail.limits import MAX_ADDRESSES, MAX_HEADER_CHARS
from common.model import Connection, ConnectionStatus, Contact, ContactAddress, Policy, SharingLevel, User
from common.oauth import MODIFY, READONLY, SEND

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MIA = "mia@customer.example"


def message(*headers: tuple[str, str], labels: tuple[str, ...] = ("INBOX",)) -> dict[str, Any]:
    listed = [{"name": name, "value": value} for name, value in headers]
    at_ms = str(int(NOW.timestamp() * 1000))
    return {"id": "a", "internalDate": at_ms, "labelIds": list(labels), "payload": {"headers": listed}}


def door(own: bool = False, **more: Any) -> Door:
    settings: dict[str, Any] = {"status": ConnectionStatus.CONNECTED, "scopes": frozenset({READONLY}), **more}
    opening = settings.pop("opening", {"mia": {MIA: None}})
    connection = Connection(
        user_id="anna", address="anna@demo-crm.example", mailbox_key="m", generation="g", secret="s", connected_at=NOW,
        **settings,
    )  # fmt: skip
    return Door(connection, own=own, level=SharingLevel.PUBLIC, opening=opening)


VIEW = View(
    User(user_id="ben", active=True), Policy(),
    (Contact(contact_id="mia", name="Mia", addresses=(ContactAddress(address=MIA, added_at=NOW),)),),
)  # fmt: skip


def test_from_to_and_cc_decide_in_the_form_in_which_addresses_compare() -> None:
    """Every header of the three counts, in lower case; Bcc, Reply-To and Sender do not."""
    facts = parse_facts(
        message(
            ("From", "Mia <MIA@Customer.example>"), ("To", "a@x.example, b@x.example"), ("to", "c@x.example"),
            ("Cc", "Team: d@müller.example;"), ("Bcc", "e@x.example"), ("Reply-To", "f@x.example"),
            ("Sender", "g@x.example"),
        )
    )  # fmt: skip

    assert {MIA, "a@x.example", "b@x.example", "c@x.example", "d@xn--mller-kva.example"} == facts.mail.addresses
    assert {"e@x.example"} == facts.bcc
    assert (NOW, ["INBOX"]) == (facts.mail.received_at, list(facts.mail.label_ids))


@pytest.mark.parametrize(
    "recipients",
    [
        '"Law firm <law@secret.example>',
        '"Law firm <law@Secret.Example>, a@x.example',
        "law@secret.example <a@x.example>",
    ],
)
def test_excluded_domains_close_also_headers_that_are_not_well_formed(recipients: str) -> None:
    """A quote that never ends hides an address from the parser, and yet not from the owner's excluded domains."""
    facts = parse_facts(message(("From", MIA), ("To", recipients)))

    assert {"@secret.example"} <= facts.mail.mentioned
    assert () == replace(door(), excluded_domains=("secret.example",)).shared_by(facts)
    assert ("mia",) == door().shared_by(facts)


@pytest.mark.parametrize(
    "recipients",
    [
        ", ".join(f"u{number}@x.example" for number in range(MAX_ADDRESSES + 1)),
        f"{MIA}, {'x' * MAX_HEADER_CHARS}",
        f"{MIA}{',' * 20_000} law@secret.example",
        f"{MIA}, {'x ' * 50_000} <law@secret.example>",
    ],
)
def test_headers_beyond_our_limits_close_a_mail(recipients: str) -> None:
    """Where not every address could be read, a colleague sees nothing: one of them may be excluded."""
    facts = parse_facts(message(("From", MIA), ("To", recipients)))

    assert not door().is_visible(facts, VIEW)
    assert door(own=True).is_visible(facts, VIEW)


@pytest.mark.parametrize(("own", "expected"), [(True, True), (False, False)])
def test_mail_in_secret_is_its_owners(own: bool, expected: bool) -> None:
    """What went to the contact by Bcc alone is with the contact for its owner, and for nobody else."""
    facts = parse_facts(message(("From", "anna@demo-crm.example"), ("To", "x@x.example"), ("Bcc", MIA)))

    assert expected is door(own=own).is_visible(facts, VIEW)


@pytest.mark.parametrize("label", ["DRAFT", "SPAM", "TRASH", "CHAT"])
@pytest.mark.parametrize("own", [True, False])
def test_some_places_are_no_part_of_a_timeline(label: str, own: bool) -> None:
    """Drafts, spam, trash and chats are shown in no timeline, not even in one's own."""
    assert not door(own=own).is_visible(parse_facts(message(("From", MIA), labels=(label,))), VIEW)


def test_the_least_limited_time_of_an_address_is_asked_for() -> None:
    """Where two contacts have one address, the mailbox is asked from the earlier time on."""
    early, late = NOW - timedelta(days=9), NOW
    opening = {"c1": {MIA: late, "a@x.example": late}, "c2": {MIA: early, "a@x.example": None}}

    assert {MIA: early, "a@x.example": None} == door(opening=opening).asked_addresses(VIEW)
    assert {MIA: None} == door(own=True, opening=opening).asked_addresses(VIEW)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, True),
        ({"scopes": frozenset({MODIFY})}, True),
        ({"scopes": frozenset({SEND})}, False),
        ({"status": ConnectionStatus.REAUTH_REQUIRED}, False),
    ],
)
def test_a_mailbox_is_connected_while_google_lets_us_read(more: dict[str, Any], expected: bool) -> None:
    """A dead grant, or one without a scope to read, is no connection for colleagues."""
    assert expected is door(**more).is_connected


def test_named_viewers_begin_with_the_owner() -> None:
    """Who may see a contact by name: its owner and the users named; roles and everyone are no names."""
    contact = Contact(
        contact_id="c", name="", addresses=(), owner="anna", visible_to=("ben", "anna", "role:sales", "everyone")
    )

    assert ["anna", "ben"] == named_viewers(contact)
