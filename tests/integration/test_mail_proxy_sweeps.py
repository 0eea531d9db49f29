"""mail_proxy over HTTP: what the sweep would do, has done and can take back, and mails that a person has pinned."""

from __future__ import annotations

from typing import Any

import pytest

from local.crm.people import ANNA
from local.stack import Stack
from tests.integration.mailbox_rig import MIA, counted, gmail_calls, refusal

pytestmark = pytest.mark.integration

CLOSING = "Closing This Month (CTM)"


@pytest.fixture
def sorted_mailbox(stack: Stack) -> Stack:
    """The stack with the CRM's records and Anna connected, MailMagnet and labels on."""
    stack.load_directory()
    stack.connect("anna")
    stack.switch_on("anna")
    stack.catch_up(within_s=900)
    stack.sweep()
    return stack


def arrive(stack: Stack) -> str:
    """A mail of Mia's that has been noticed."""
    mail_id = stack.mail("anna", MIA)
    stack.settle()
    return mail_id


def test_preview_tells_what_the_sweep_then_does(sorted_mailbox: Stack) -> None:
    """The preview moves nothing; the sweep does what it said, and is listed with it."""
    mail_id = arrive(sorted_mailbox)

    previewed = sorted_mailbox.ask("anna", "GET", "/mail_proxy/sweep/preview")
    untouched = sorted_mailbox.labels_of("anna", mail_id)
    sorted_mailbox.sweep()
    swept = sorted_mailbox.ask("anna", "GET", "/mail_proxy/sweeps")["sweeps"][0]

    move = {"mail_id": mail_id, "from": "inbox", "to": "closing_this_month"}
    assert [move] == previewed["moves"] == swept["moves"]
    assert "INBOX" in untouched
    assert CLOSING in sorted_mailbox.labels_of("anna", mail_id)


def test_undo_brings_mails_back_for_good(sorted_mailbox: Stack) -> None:
    """An undone sweep's mails lie where they lay, and no later sweep takes them, until the pin is released."""
    mail_id = arrive(sorted_mailbox)
    sorted_mailbox.sweep()
    sweep_id = sorted_mailbox.ask("anna", "GET", "/mail_proxy/sweeps")["sweeps"][0]["id"]

    undone = sorted_mailbox.ask("anna", "POST", f"/mail_proxy/sweeps/{sweep_id}/undo")
    sorted_mailbox.advance(600)
    sorted_mailbox.sweep()
    pinned = sorted_mailbox.labels_of("anna", mail_id)
    sorted_mailbox.ask("anna", "DELETE", f"/mail_proxy/messages/{mail_id}/pin")
    sorted_mailbox.advance(600)
    sorted_mailbox.sweep()

    assert {"restored": 1, "kept": 0} == undone
    assert ("INBOX" in pinned, CLOSING in pinned) == (True, False)
    assert CLOSING in sorted_mailbox.labels_of("anna", mail_id)


def test_undo_leaves_what_a_hand_has_moved(sorted_mailbox: Stack) -> None:
    """A mail that somebody has moved since the sweep stays where it was put."""
    mail_id = arrive(sorted_mailbox)
    sorted_mailbox.sweep()
    sorted_mailbox.google.gmail.person_trashes(ANNA.email, mail_id)
    sorted_mailbox.settle()
    sweep_id = sorted_mailbox.ask("anna", "GET", "/mail_proxy/sweeps")["sweeps"][0]["id"]

    undone = sorted_mailbox.ask("anna", "POST", f"/mail_proxy/sweeps/{sweep_id}/undo")

    assert {"restored": 0, "kept": 1} == undone
    assert "TRASH" in sorted_mailbox.labels_of("anna", mail_id)


def test_mails_say_why_they_are_where_they_are(sorted_mailbox: Stack) -> None:
    """A filed mail names contact, deals, rule and sweep, without Gmail; a stranger's is looked at, for one get."""
    filed = arrive(sorted_mailbox)
    sorted_mailbox.sweep()
    stranger = sorted_mailbox.mail("anna", "stranger@elsewhere.example")
    sorted_mailbox.settle()
    answers: list[Any] = []

    def ask(mail_id: str) -> None:
        answers.append(sorted_mailbox.ask("anna", "GET", f"/mail_proxy/messages/{mail_id}/category"))

    calls = gmail_calls(sorted_mailbox, lambda: ask(filed))
    more = gmail_calls(sorted_mailbox, lambda: ask(stranger))

    assert [] == calls
    assert {"messages.get": 1} == counted(more)
    assert ("closing_this_month", ["mia"]) == (answers[0]["place"], [one["id"] for one in answers[0]["contacts"]])
    assert [("d-01", True)] == [(deal["id"], deal["decides"]) for deal in answers[0]["deals"]]
    assert answers[0]["sweep"] is not None
    assert (None, []) == (answers[1]["place"], answers[1]["contacts"])
    assert answers[0]["reason"] != answers[1]["reason"]
    assert {"de", "en"} == set(answers[0]["text"])


def test_list_of_sweeps_asks_nothing_of_gmail(sorted_mailbox: Stack) -> None:
    """What sweeps did stands in Firestore."""
    assert [] == gmail_calls(sorted_mailbox, lambda: sorted_mailbox.ask("anna", "GET", "/mail_proxy/sweeps"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/mail_proxy/sweeps/unknown/undo"),
        ("DELETE", "/mail_proxy/messages/18c0ffee/pin"),
        ("GET", "/mail_proxy/messages/18c0ffee18c0ffee/category"),
        ("GET", "/mail_proxy/messages/zzz/category"),
    ],
)
def test_unknown_sweeps_and_mails(sorted_mailbox: Stack, method: str, path: str) -> None:
    """What is not there, or another user's, is not found."""
    assert (404, "not-found") == refusal(sorted_mailbox.call("anna", method, path))


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/mail_proxy/sweep/preview"), ("DELETE", "/mail_proxy/messages/18c0ffee/pin")]
)
def test_sweeps_need_what_they_are_made_of(stack: Stack, method: str, path: str) -> None:
    """Without MailMagnet and labels there is nothing to preview or to release."""
    stack.connect("anna")

    assert 409 == stack.call("anna", method, path).status_code
