"""mail_proxy over HTTP: what a person does with mails, and the mailbox's labels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.crm.people import ANNA
from local.ledger import units
from local.stack import Stack
from tests.integration.mailbox_rig import MIA, MODIFY, counted, gmail_calls, refusal, search

pytestmark = pytest.mark.integration


@pytest.fixture
def anna(stack: Stack) -> Stack:
    """The stack with Anna connected."""
    stack.connect("anna")
    return stack


@pytest.mark.parametrize(
    ("before", "action", "after"),
    [
        (("INBOX", "UNREAD"), "read", {"INBOX"}),
        (("INBOX",), "unread", {"INBOX", "UNREAD"}),
        (("INBOX",), "star", {"INBOX", "STARRED"}),
        (("INBOX", "STARRED"), "unstar", {"INBOX"}),
        (("INBOX", "UNREAD"), "archive", {"UNREAD"}),
        ((), "unarchive", {"INBOX"}),
        (("INBOX", "STARRED"), "trash", {"TRASH", "STARRED"}),
        (("TRASH",), "untrash", {"INBOX"}),
    ],
)
def test_actions(anna: Stack, before: tuple[str, ...], action: str, after: set[str]) -> None:
    """Each action does what its name says, to one mail for 5 units, and twice is the same as once."""
    mail_id = anna.mail("anna", MIA, labels=before)
    body = {"ids": [mail_id], "action": action}

    calls = gmail_calls(anna, lambda: anna.ask("anna", "POST", MODIFY, json=body))
    anna.ask("anna", "POST", MODIFY, json=body)

    assert after == set(anna.google.gmail.mailbox(ANNA.email).message(mail_id).labels)
    assert 5 == units(calls)


def test_many_mails_at_once(anna: Stack) -> None:
    """An action on many mails is one batchModify of 50 units, repeated ids or not."""
    mail_ids = [anna.mail("anna", MIA) for _ in range(3)]
    body = {"ids": [*mail_ids, mail_ids[0]], "action": "read"}

    calls = gmail_calls(anna, lambda: anna.ask("anna", "POST", MODIFY, json=body))

    assert {"messages.batchModify": 1} == counted(calls)
    assert [False] * 3 == [row["unread"] for row in search(anna)["messages"]]


@pytest.mark.parametrize("action", ["trash", "untrash", "archive", "star", "hide", "unhide"])
def test_a_thousand_mails_at_once(anna: Stack, action: str) -> None:
    """Up to a thousand ids, of which Gmail need not know all, go in one batchModify of 50 units."""
    mail_ids = [anna.mail("anna", MIA) for _ in range(2)]
    anna.ask("anna", "POST", MODIFY, json={"ids": mail_ids[:1], "action": "hide"})
    body = {"ids": mail_ids + [f"18c0ffee{number:08x}" for number in range(998)], "action": action}

    calls = gmail_calls(anna, lambda: anna.ask("anna", "POST", MODIFY, json=body))

    assert ({"messages.batchModify": 1}, 50) == (counted(calls), units(calls))


def test_anothers_mail_is_as_good_as_none(anna: Stack) -> None:
    """The id of a colleague's mail is answered like one that nobody has, alone and among many, and nothing changes."""
    anna.connect("ben")
    theirs, own = anna.mail("ben", MIA), anna.mail("anna", MIA)
    before = anna.google.gmail.mailbox(anna.people["ben"].email).message(theirs).labels.copy()
    for action in ("trash", "star", "hide", "unhide"):
        alone, nobodys, many = (
            anna.call("anna", "POST", MODIFY, json={"ids": ids, "action": action})
            for ids in ([theirs], ["18c0ffee18c0ffee"], [theirs, own])
        )

        assert (alone.status_code, alone.content, 204) == (nobodys.status_code, nobodys.content, many.status_code)
        assert 404 == alone.status_code

    assert before == anna.google.gmail.mailbox(anna.people["ben"].email).message(theirs).labels


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"ids": [], "action": "read"}, 400, "invalid-body"),
        ({"ids": ["18c0ffee"], "action": "delete"}, 400, "invalid-body"),
        ({"ids": ["18c0ffee"] * 1001, "action": "read"}, 400, "invalid-body"),
        ({"ids": ["18c0ffee"], "action": "read"}, 404, "not-found"),
        ({"ids": ["../x"], "action": "read"}, 404, "not-found"),
    ],
)
def test_actions_that_cannot_be(anna: Stack, body: dict[str, Any], status: int, code: str) -> None:
    """What is not an action, or not on a mail, is refused."""
    assert (status, code) == refusal(anna.call("anna", "POST", MODIFY, json=body))


def test_hiding_and_showing_again(anna: Stack) -> None:
    """Hiding puts the owner's own label on a mail, made at the first time; showing again takes it off."""
    mail_id = anna.mail("anna", MIA)
    anna.ask("anna", "POST", MODIFY, json={"ids": [mail_id], "action": "hide"})

    assert "Not shared" in anna.labels_of("anna", mail_id)
    assert [True] == [row["hidden"] for row in search(anna)["messages"]]
    hidden = [one for one in anna.ask("anna", "GET", "/mail_proxy/labels")["labels"] if one["kind"] == "hidden"]
    assert ["Not shared"] == [one["name"] for one in hidden]

    anna.ask("anna", "POST", MODIFY, json={"ids": [mail_id], "action": "unhide"})

    assert "Not shared" not in anna.labels_of("anna", mail_id)
    assert [False] == [row["hidden"] for row in search(anna)["messages"]]


def test_hiding_survives_a_deleted_label(anna: Stack) -> None:
    """Who deletes the label in Gmail gets a new one at the next hiding; showing again is no error meanwhile."""
    mail_id = anna.mail("anna", MIA)
    hide, unhide = ({"ids": [mail_id], "action": action} for action in ("hide", "unhide"))
    anna.ask("anna", "POST", MODIFY, json=hide)
    (label,) = [one for one in anna.ask("anna", "GET", "/mail_proxy/labels")["labels"] if one["kind"] == "hidden"]
    anna.google.gmail.person_deletes_label(ANNA.email, label["id"])

    anna.ask("anna", "POST", MODIFY, json=unhide)
    anna.ask("anna", "POST", MODIFY, json=hide)

    assert "Not shared" in anna.labels_of("anna", mail_id)
    assert [True] == [row["hidden"] for row in search(anna)["messages"]]


def test_hiding_costs_its_label_once(anna: Stack) -> None:
    """The first hiding lists the labels and makes ours: 1 + 5 + 5; each one after it is the modify alone."""
    mail_ids = [anna.mail("anna", MIA) for _ in range(2)]

    first, second = (
        gmail_calls(anna, lambda one=one: anna.ask("anna", "POST", MODIFY, json={"ids": [one], "action": "hide"}))  # type: ignore[misc]
        for one in mail_ids
    )

    assert {"labels.list": 1, "labels.create": 1, "messages.modify": 1} == counted(first)
    assert (11, 5) == (units(first), units(second))


def test_first_hidings_at_once_make_one_label(anna: Stack) -> None:
    """Several first hidings of one moment all succeed, under one label."""
    mail_ids = [anna.mail("anna", MIA) for _ in range(4)]
    anna.google.gmail.app.latency_s = 0.1
    bodies = [{"ids": [one], "action": "hide"} for one in mail_ids]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda body: anna.call("anna", "POST", MODIFY, json=body), bodies))
    anna.google.gmail.app.latency_s = 0.0

    assert [204] * 4 == [answer.status_code for answer in answers]
    assert [True] * 4 == [row["hidden"] for row in search(anna)["messages"]]


def test_renamed_label_still_hides(anna: Stack) -> None:
    """Who renames the label in Gmail hides under the new name, and no second label is made."""
    mail_ids = [anna.mail("anna", MIA) for _ in range(2)]
    anna.ask("anna", "POST", MODIFY, json={"ids": mail_ids[:1], "action": "hide"})
    (label,) = [one for one in anna.ask("anna", "GET", "/mail_proxy/labels")["labels"] if one["kind"] == "hidden"]
    anna.google.gmail.person_renames_label(ANNA.email, label["id"], "Privat")

    anna.ask("anna", "POST", MODIFY, json={"ids": mail_ids[1:], "action": "hide"})

    assert "Not shared" not in anna.label_names("anna")
    assert [True, True] == [row["hidden"] for row in search(anna)["messages"]]
    assert "Privat" in anna.labels_of("anna", mail_ids[1])


def test_label_made_by_hand_hides_once_labels_were_listed(anna: Stack) -> None:
    """A label of that name that its owner has made in Gmail, or made again, is the one that hides."""
    gmail = anna.google.gmail
    for _ in range(2):
        label = gmail.person_creates_label(ANNA.email, "Not shared").id
        mail_id = anna.mail("anna", MIA)
        gmail.person_moves(ANNA.email, mail_id, add=[label])

        listed = anna.ask("anna", "GET", "/mail_proxy/labels")["labels"]

        assert [label] == [one["id"] for one in listed if one["kind"] == "hidden"]
        assert [True] == [row["hidden"] for row in search(anna)["messages"] if row["id"] == mail_id]
        gmail.person_deletes_label(ANNA.email, label)


def test_hiding_adopts_a_label_of_that_name(anna: Stack) -> None:
    """A label that is called so already is taken, in whatever case."""
    anna.google.gmail.person_creates_label(ANNA.email, "not SHARED")
    mail_id = anna.mail("anna", MIA)

    anna.ask("anna", "POST", MODIFY, json={"ids": [mail_id], "action": "hide"})

    assert "not SHARED" in anna.labels_of("anna", mail_id)


def test_hiding_in_a_teams_mailbox_holds_for_the_team(anna: Stack) -> None:
    """What one user of a mailbox hides is hidden in the connections of all who use it."""
    anna.connect("ben", address=ANNA.email)
    mail_id = anna.mail(ANNA.email, MIA)

    anna.ask("anna", "POST", MODIFY, json={"ids": [mail_id], "action": "hide"})

    assert [True] == [row["hidden"] for row in search(anna, "ben")["messages"]]


def test_what_was_hidden_stays_hidden_after_leaving(anna: Stack) -> None:
    """Who deactivates and connects again, and who joins the mailbox later, has hidden mails hidden."""
    mail_id = anna.mail("anna", MIA)
    anna.ask("anna", "POST", MODIFY, json={"ids": [mail_id], "action": "hide"})
    anna.ask("anna", "DELETE", "/oauth_callback/connection")
    anna.settle()

    anna.connect("anna")
    anna.connect("ben", address=ANNA.email)

    assert [True] == [row["hidden"] for row in search(anna)["messages"]]
    assert [True] == [row["hidden"] for row in search(anna, "ben")["messages"]]


def test_labels_are_listed_with_what_they_are(anna: Stack) -> None:
    """Gmail's own labels and the user's are told apart, for one unit."""
    anna.google.gmail.person_creates_label(ANNA.email, "Projekte")
    answers: list[Any] = []

    calls = gmail_calls(anna, lambda: answers.append(anna.ask("anna", "GET", "/mail_proxy/labels")))

    kinds = {label["name"]: label["kind"] for label in answers[0]["labels"]}
    assert ("system", "user") == (kinds["INBOX"], kinds["Projekte"])
    assert 1 == units(calls)
