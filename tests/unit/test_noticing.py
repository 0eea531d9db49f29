"""What makes a notice of a fetched mail, and whether it is to be filed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.categories import AddressCategory, Decision
from common.gmail.results import Message
from common.model import Category, Connection, Feature, Policy, User
from common.noticing import For, files_labels, parse_arrival, plan_notices

MIA = "mia@customer.example"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSED = "mx.google.com; dmarc=pass header.from=customer.example"
CONNECTION = Connection(
    user_id="anna",
    address="anna@demo-crm.example",
    mailbox_key="box",
    generation="g",
    secret="s",
    scopes=frozenset(),
    connected_at=NOW,
    labels=True,
    label_ids={"customers": "Label_1"},
)
ANNA = For(CONNECTION, User(user_id="anna", active=True), Policy())


def message(*labels: str, sender: str = MIA, results: str = PASSED, **more: Any) -> Message:
    headers = [{"name": "From", "value": sender}, {"name": "Authentication-Results", "value": results}]
    at_ms = str(int(NOW.timestamp() * 1000))
    return {"id": "m1", "labelIds": list(labels), "internalDate": at_ms, "payload": {"headers": headers}} | more


def meaning(category: Category) -> dict[str, AddressCategory]:
    return {MIA: AddressCategory(MIA, ("mia",), Decision(category))}


def filed(*labels: str, category: Category = Category.CUSTOMERS, policy: Policy | None = None, **more: Any) -> bool:
    """Whether a mail with these labels is to be filed."""
    whose = replace(ANNA, policy=policy or Policy())
    arrival = parse_arrival(message(*labels, **more))
    assert arrival is not None
    return plan_notices([arrival], whose, meaning(category), now=NOW).has_to_file(whose.policy)


@pytest.mark.parametrize("label", ["SENT", "DRAFT", "SPAM", "TRASH", "CHAT"])
def test_own_mail_and_what_was_thrown_away_is_never_noticed(label: str) -> None:
    """Sent mail, also to oneself, drafts, chats, spam and trash are never noticed, whatever else they are."""
    assert parse_arrival(message(label, "INBOX")) is None


@pytest.mark.parametrize("payload", [{}, {"headers": []}])
def test_mail_without_headers_is_never_noticed(payload: dict[str, Any]) -> None:
    """A mail without a From is nobody's."""
    assert parse_arrival(message("INBOX", payload=payload)) is None


def test_notice_says_when_gmail_took_the_mail_in() -> None:
    """The time is Gmail's internalDate; the notice ends with the policy's retention, counted from now."""
    arrival = parse_arrival(message("INBOX"))
    assert arrival is not None
    whose = replace(ANNA, policy=Policy(notice_retention_days=90))
    (notice,) = plan_notices([arrival], whose, meaning(Category.NONE), now=NOW + timedelta(days=3)).notices

    assert (NOW, NOW + timedelta(days=93)) == (notice.received_at, notice.expires_at)


def test_address_of_nobody_makes_no_notice() -> None:
    """A mail from an address that means nothing to the user leaves nothing."""
    arrival = parse_arrival(message("INBOX"))
    assert arrival is not None

    assert () == plan_notices([arrival], ANNA, {}, now=NOW).notices


@pytest.mark.parametrize(
    ("labels", "place"),
    [
        (["INBOX"], ""),
        (["INBOX", "Label_7"], ""),
        ([], "outside"),
        (["Label_1"], "outside"),
        (["INBOX", "Label_1"], "outside"),
    ],
)
def test_place_is_where_the_mail_lies(labels: list[str], place: str) -> None:
    """In the inbox is what lies there, also under the user's labels; all else, and what has ours, is outside."""
    arrival = parse_arrival(message(*labels))
    assert arrival is not None
    (notice,) = plan_notices([arrival], ANNA, meaning(Category.CUSTOMERS), now=NOW).notices

    assert place == notice.filed


def test_customers_mail_in_the_inbox_is_to_be_filed() -> None:
    """A mail in the inbox from a contact with a category is work for a sweep."""
    assert filed("INBOX")


def test_what_stays_is_no_work() -> None:
    """A contact without a category, a mail outside the inbox, and one that could not be authenticated are no work."""
    assert [False, False, False] == [
        filed("INBOX", category=Category.NONE),
        filed("Label_7"),
        filed("INBOX", results="mx.google.com; dmarc=fail header.from=customer.example"),
    ]


def test_policy_may_file_unauthenticated_mail() -> None:
    """Where the policy says so, mail that Gmail could not authenticate is filed as well."""
    assert filed("INBOX", results="", policy=Policy(file_unverified=True))


def test_labels_need_the_policy() -> None:
    """Nothing is filed where labels are off, or where the organisation allows none."""
    off = replace(ANNA, connection=replace(CONNECTION, labels=False))
    refused = replace(ANNA, policy=Policy(features=(Feature.MAIL, Feature.MAILMAGNET)))

    assert [True, False, False] == [files_labels(whose) for whose in (ANNA, off, refused)]
