"""What a push says, and when what failed is tried again."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.backfill import Page, parse_page, plan_contact_query
from common.errands import Push, parse_push
from common.magnet_tasks import pause, plan_slot
from common.model import Contact, ContactAddress

NOW = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)


def envelope(data: Any) -> bytes:
    return json.dumps({"message": {"data": data, "messageId": "1"}, "subscription": "s"}).encode()


def encoded(told: Any) -> str:
    return base64.b64encode(json.dumps(told).encode()).decode()


@pytest.mark.parametrize("history_id", [123, "123"])
def test_push_names_mailbox_and_history(history_id: int | str) -> None:
    """The address is normalised, the history id a number or, as Gmail's own are, text."""
    told = {"emailAddress": "Anna@Demo-CRM.example", "historyId": history_id, "more": 1}

    assert Push("anna@demo-crm.example", 123) == parse_push(envelope(encoded(told)))


def test_push_in_base64url_without_padding_is_read() -> None:
    """Data in base64url is taken too."""
    told = json.dumps({"emailAddress": "a@b.example", "historyId": 1, "x": "???>>>~~~"}).encode()
    data = base64.urlsafe_b64encode(told).rstrip(b"=").decode()
    assert "_" in data or "-" in data

    assert Push("a@b.example", 1) == parse_push(envelope(data))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        envelope(1),
        envelope(""),
        envelope("%%%"),
        envelope(encoded([])),
        envelope(encoded({"emailAddress": "a@b.example"})),
        envelope(encoded({"emailAddress": "no address", "historyId": 1})),
        envelope(encoded({"emailAddress": "a@b.example", "historyId": 0})),
        envelope(encoded({"emailAddress": "a@b.example", "historyId": 2**64})),
        envelope(encoded({"emailAddress": "a@b.example", "historyId": "1e5"})),
        envelope(encoded({"emailAddress": "a" * 400 + "@b.example", "historyId": 1})),
    ],
)
def test_poison_is_no_push(body: bytes) -> None:
    """What is not Pub/Sub's envelope with Gmail's data is no push."""
    assert parse_push(body) is None


def test_slot_lies_ahead() -> None:
    """A slot is on the grid, at the time asked for or later, and never so near that it may have passed."""
    asked = [NOW - timedelta(days=1), NOW, NOW + timedelta(seconds=8), NOW + timedelta(seconds=20)]
    slots = [plan_slot(at, NOW) for at in asked]

    assert [15, 15, 15, 30] == [slot.second for slot in slots]
    assert 30 == plan_slot(NOW, NOW + timedelta(seconds=11)).second


def test_ten_pauses_take_about_an_hour() -> None:
    """Tries come at growing distances, so that what fails eleven times has failed for an hour."""
    pauses = [pause(attempt) for attempt in range(1, 11)]

    assert pauses == sorted(pauses)
    assert timedelta(hours=1) <= sum(pauses, timedelta()) <= timedelta(minutes=90)


@pytest.mark.parametrize("page", [Page(), Page(("a", "b"), ""), Page((), "token"), Page(("a",), "token")])
def test_page_survives_its_task(page: Page) -> None:
    """Where a run stands comes out of its task as it went in."""
    assert page == parse_page(str(page))


def test_contact_is_searched_by_address() -> None:
    """A search names the contact's addresses, quoted; what is no address is left out, and without any there is none."""
    addresses = ["a@b.example", 'q"uote@b.example', "no address", "c@d.example"]
    contact = Contact(
        contact_id="c", name="C", addresses=tuple(ContactAddress(address=one, added_at=NOW) for one in addresses)
    )

    assert 'in:inbox newer_than:30d {from:"a@b.example" from:"c@d.example"}' == plan_contact_query(contact)
    assert "" == plan_contact_query(Contact(contact_id="c", name="C", addresses=()))
