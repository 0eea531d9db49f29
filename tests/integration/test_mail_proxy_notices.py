"""mail_proxy over HTTP: MailMagnet's notices with live summaries, their polling, contacts in lists, the directory."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from local.crm.people import BACKEND
from local.faults import Fault
from local.ledger import Call, sequential_round_trips
from local.stack import Stack
from tests.integration.mailbox_rig import MIA, counted, gmail_calls, refusal

pytestmark = pytest.mark.integration

NOTICES = "/mail_proxy/notices"
EXPANDED = f"{NOTICES}?expand=summary"


@pytest.fixture
def magnet(stack: Stack) -> Stack:
    """The stack with the CRM's records and Anna connected, MailMagnet on."""
    stack.load_directory()
    stack.connect("anna")
    stack.switch_on("anna", mailmagnet=True)
    stack.catch_up(within_s=900)
    return stack


def arrive(stack: Stack, subject: str = "Hello") -> str:
    """A mail of Mia's that has been noticed."""
    mail_id = stack.mail("anna", MIA, subject)
    stack.settle()
    return mail_id


def ask_again(stack: Stack, etag: str, path: str = NOTICES) -> requests.Response:
    return stack.call("anna", "GET", path, headers={"If-None-Match": etag})


def test_notices_with_live_summaries(magnet: Stack) -> None:
    """Subject and snippet come from Gmail in one batch, only where asked for; a mail that is gone is said to be."""
    kept, gone = arrive(magnet, "Kept"), arrive(magnet, "Gone")
    magnet.google.gmail.person_deletes("anna@demo-crm.example", gone)
    answers: list[Any] = []

    plain = gmail_calls(magnet, lambda: magnet.ask("anna", "GET", NOTICES))
    calls = gmail_calls(magnet, lambda: answers.append(magnet.ask("anna", "GET", EXPANDED)))

    assert [] == plain
    assert {"messages.get": 2} == counted(calls)
    assert 1 == len({call.http_id for call in calls})
    first, second = answers[0]["notices"]
    assert (gone, True, None) == (first["mail_id"], first["gone"], first["summary"])
    assert (kept, False, "Kept") == (second["mail_id"], second["gone"], second["summary"]["subject"])
    assert [{"id": "mia", "name": "Mia Schneider"}] == second["contacts"]


def test_notices_stand_without_gmail(magnet: Stack) -> None:
    """Where Gmail fails, the notices are there, and say what is wrong with their summaries."""
    mail_id = arrive(magnet)
    magnet.faults.inject(Fault("gmail", "*", status=503, count=20))

    (notice,) = magnet.ask("anna", "GET", EXPANDED)["notices"]

    assert (mail_id, None, "gmail-unavailable") == (notice["mail_id"], notice["summary"], notice["problem"])


def test_asking_again_is_one_round_trip_to_firestore(magnet: Stack) -> None:
    """With the ETag, an unchanged list costs two reads of Firestore at once, and no call to Gmail."""
    arrive(magnet)
    etag = magnet.call("anna", "GET", EXPANDED).headers["ETag"]
    magnet.faults.inject(Fault("firestore", delay_s=0.5, count=2))
    mark = magnet.ledger.mark()

    response = ask_again(magnet, etag, EXPANDED)

    calls: list[Call] = magnet.ledger.since(mark)
    assert (304, b"", etag) == (response.status_code, response.content, response.headers["ETag"])
    assert {"firestore"} == {call.service for call in calls}
    assert 1 == sequential_round_trips(calls)


@pytest.mark.parametrize("tag", ['""', 'W/""', "", "*", '"', '"unknown"', '"", "", x'])
def test_a_tag_that_is_none_is_passed_over(magnet: Stack, tag: str) -> None:
    """If-None-Match with an empty or foreign tag is answered as if it were not there."""
    assert 200 == ask_again(magnet, tag).status_code


def test_a_contact_hidden_meanwhile_is_not_named_by_an_old_answer(magnet: Stack) -> None:
    """Who asks again after a contact was renamed or hidden gets no 304."""
    arrive(magnet)
    etag = magnet.call("anna", "GET", NOTICES).headers["ETag"]
    contact = {"id": "mia", "name": "Mia Becker", "addresses": ["mia@customer.example"], "owner": "anna"}
    magnet.ask(BACKEND.id, "POST", "/mail_proxy/directory", json={"contacts": [contact]})
    renamed = ask_again(magnet, etag)
    hidden = {**contact, "owner": "ben", "visible_to": ["ben"]}
    magnet.ask(BACKEND.id, "POST", "/mail_proxy/directory", json={"contacts": [hidden]})
    unnamed = ask_again(magnet, renamed.headers["ETag"])

    assert [200, 200] == [renamed.status_code, unnamed.status_code]
    assert [["Mia Becker"], []] == [
        [one["name"] for one in answer.json()["notices"][0]["contacts"]] for answer in (renamed, unnamed)
    ]


def test_new_and_read_notices_change_the_list(magnet: Stack) -> None:
    """A new notice, and one that was read, are seen at the next asking."""
    first = arrive(magnet)
    etag = magnet.call("anna", "GET", NOTICES).headers["ETag"]
    arrive(magnet)
    changed = ask_again(magnet, etag)
    etag = changed.headers["ETag"]
    marked = magnet.ask("anna", "POST", f"{NOTICES}/read", json={"ids": [first]})
    after = ask_again(magnet, etag)

    assert [200, 200] == [changed.status_code, after.status_code]
    assert 2 == changed.json()["unread"]
    assert (1, 1) == (marked["marked"], after.json()["unread"])
    assert "UNREAD" in magnet.google.gmail.mailbox("anna@demo-crm.example").message(first).labels


def test_reading_notices_holds_up_no_new_mail(magnet: Stack) -> None:
    """Mail that comes while notices are marked is noticed all the same."""
    first = arrive(magnet)
    second = magnet.mail("anna", MIA)
    magnet.ask("anna", "POST", f"{NOTICES}/read", json={"ids": [first]})
    magnet.settle()

    unread = magnet.ask("anna", "GET", f"{NOTICES}?unread=true")["notices"]

    assert [second] == [notice["mail_id"] for notice in unread]


@pytest.mark.parametrize("query", ["?page_size=51", "?expand=body", "?unread=perhaps", "?page_token=x"])
def test_wrong_queries_are_refused(magnet: Stack, query: str) -> None:
    """What the query cannot be is 400."""
    assert 400 == magnet.call("anna", "GET", f"{NOTICES}{query}").status_code


def test_list_of_contacts_asks_nothing_of_gmail(magnet: Stack) -> None:
    """A hundred contacts are summarised without one call to Gmail."""
    arrive(magnet)
    ids = ["mia", "emily", *(f"unknown-{number}" for number in range(98))]
    answers: list[Any] = []

    calls = gmail_calls(
        magnet,
        lambda: answers.append(magnet.ask("anna", "POST", "/mail_proxy/contacts/summary", json={"ids": ids})),
    )

    assert [] == calls
    mia, emily = answers[0]["contacts"]
    assert ("mia", "closing_this_month", 1) == (mia["id"], mia["category"], mia["unread"])
    assert ("emily", "customers", 0, None) == (
        emily["id"],
        emily["category"],
        emily["unread"],
        emily["last_received_at"],
    )
    assert mia["last_received_at"] is not None


def test_more_than_a_hundred_contacts_are_refused(stack: Stack) -> None:
    """The list has a limit."""
    ids = [str(number) for number in range(101)]

    response = stack.call("anna", "POST", "/mail_proxy/contacts/summary", json={"ids": ids})

    assert (400, "invalid-body") == refusal(response)


def test_directory_has_a_permission_of_its_own(stack: Stack) -> None:
    """The CRM's back end writes the directory, and reads no mail; users do not write it."""
    records = {"contacts": [{"id": "c1", "name": "New", "addresses": []}, {"id": "a/b", "name": "Bad"}]}

    refused = stack.call("anna", "POST", "/mail_proxy/directory", json=records)
    results = stack.ask(BACKEND.id, "POST", "/mail_proxy/directory", json=records)["results"]
    unread = stack.call(BACKEND.id, "GET", NOTICES)

    assert (403, "permission-missing") == refusal(refused)
    assert [True, False] == [result["ok"] for result in results]
    assert (403, "permission-missing") == refusal(unread)
