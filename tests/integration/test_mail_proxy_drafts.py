"""Drafts live in Gmail: listed, opened, saved, deleted and sent once, also those last saved on Gmail's own page."""

from __future__ import annotations

from email import message_from_bytes

import pytest

from local.gmail.contract import SendAs
from local.stack import Stack
from tests.integration.sending_rig import (
    ANNA,
    DRAFTS,
    MIA,
    begin,
    calls_of,
    inject,
    mail,
    pass_time,
    post,
    problem,
    received,
    sent,
    state,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def anna(stack: Stack) -> Stack:
    """The stack with Anna connected."""
    return begin(stack)


def save(stack: Stack, **changes: object) -> str:
    draft_id: str = stack.ask("anna", "POST", DRAFTS, json=mail(**changes))["id"]
    return draft_id


def send(stack: Stack, draft_id: str, key: str = "key") -> tuple[int, str]:
    response = post(stack, {}, key, path=f"{DRAFTS}/{draft_id}/send")
    return response.status_code, response.json().get("state") or response.json()["code"]


def edit_elsewhere(stack: Stack, draft_id: str, raw: bytes) -> None:
    """Saves over a draft as Gmail's own page does: without our header."""
    mailbox = stack.google.gmail.mailbox(ANNA)
    with mailbox.changing():
        old = mailbox.messages[mailbox.drafts[draft_id]]
        message = mailbox.add(raw, {"DRAFT"}, thread_id=old.thread_id)
        mailbox.delete(old.id)
        mailbox.drafts[draft_id] = message.id


def subjects(stack: Stack) -> list[str]:
    return [one["message"]["subject"] for one in stack.ask("anna", "GET", DRAFTS)["drafts"]]


def test_draft_lives(anna: Stack) -> None:
    """A draft is saved without recipients, listed, opened, saved again and deleted."""
    answer = anna.call("anna", "POST", DRAFTS, json={"text": "Notiz", "bcc": [{"address": MIA}]})
    draft_id = answer.json()["id"]
    opened = anna.ask("anna", "GET", f"{DRAFTS}/{draft_id}")
    saved = anna.ask("anna", "PUT", f"{DRAFTS}/{draft_id}", json=mail(subject="Zweite Fassung"))
    listed = subjects(anna)
    deleted = anna.call("anna", "DELETE", f"{DRAFTS}/{draft_id}")

    assert 201 == answer.status_code
    assert (draft_id, "Notiz") == (opened["id"], opened["message"]["text"].strip())
    assert [{"name": "", "address": MIA}] == opened["message"]["bcc"]
    assert draft_id == saved["id"]
    assert (["Zweite Fassung"], 204, []) == (listed, deleted.status_code, subjects(anna))


def test_list_in_pages(anna: Stack) -> None:
    """Drafts come a page at a time, each page for one list and one batch; a token is good for its user alone."""
    for number in range(3):
        save(anna, subject=f"Entwurf {number}")
    called = calls_of(anna, lambda: anna.ask("anna", "GET", f"{DRAFTS}?page_size=2"))
    first = anna.ask("anna", "GET", f"{DRAFTS}?page_size=2")
    token = first["next_page_token"]
    second = anna.ask("anna", "GET", f"{DRAFTS}?page_size=2&page_token={token}")
    anna.connect("ben")

    assert ["drafts.list", "messages.get", "messages.get"] == called
    shown = [one["message"]["subject"] for one in first["drafts"] + second["drafts"]]
    assert ["Entwurf 2", "Entwurf 1", "Entwurf 0"] == shown
    assert "" == second["next_page_token"]
    assert 400 == anna.call("ben", "GET", f"{DRAFTS}?page_token={token}").status_code


def test_draft_with_files(anna: Stack) -> None:
    """Files come with a draft as they do with a mail."""
    draft_id = post(anna, mail(), path=DRAFTS, files=[("file", ("a.pdf", b"%PDF", "application/pdf"))]).json()["id"]
    opened = anna.ask("anna", "GET", f"{DRAFTS}/{draft_id}")

    assert ["a.pdf"] == [one["filename"] for one in opened["message"]["attachments"]]


def test_sending_a_draft(anna: Stack) -> None:
    """A draft is sent once for its key; a second time there is no such draft."""
    draft_id = save(anna)
    first, again = send(anna, draft_id), send(anna, draft_id)

    assert ((200, "sent"), (200, "sent")) == (first, again)
    assert (404, "not-found") == send(anna, draft_id, "other")
    assert (422, "idempotency-key-reused") == send(anna, save(anna))
    assert ["Angebot"] == [one["Subject"] for one in received(anna)]


def test_sending_needs_a_key(anna: Stack) -> None:
    """A draft is not sent without an Idempotency-Key."""
    answer = anna.call("anna", "POST", f"{DRAFTS}/{save(anna)}/send")

    assert (400, "idempotency-key-missing") == problem(answer)
    assert [] == sent(anna)


def test_reply_as_a_draft(anna: Stack) -> None:
    """The draft of a reply belongs to the conversation, and what is sent of it does too."""
    message_id = anna.mail("anna", MIA, "Frage")
    body = {"mode": "reply", "message_id": message_id, "text": "Antwort"}
    saved = anna.ask("anna", "POST", DRAFTS, json=body)
    again = anna.ask("anna", "PUT", f"{DRAFTS}/{saved['id']}", json=body)
    answer = post(anna, {}, path=f"{DRAFTS}/{saved['id']}/send").json()
    thread_id = anna.ask("anna", "GET", f"/mail_proxy/messages/{message_id}")["thread_id"]

    assert {thread_id} == {saved["thread_id"], again["thread_id"], answer["thread_id"]}


@pytest.mark.parametrize("subject", ["Re: Frage", None])
def test_draft_of_a_reply_is_edited(anna: Stack, subject: str | None) -> None:
    """Who edits the draft of a reply need not name the mail again: it stays an answer, in its conversation."""
    message_id = anna.mail("anna", MIA, "Frage")
    question = anna.ask("anna", "GET", f"/mail_proxy/messages/{message_id}")
    saved = anna.ask("anna", "POST", DRAFTS, json={"mode": "reply", "message_id": message_id, "text": "Antwort"})
    edited = {"to": [{"address": MIA}], "text": "Bessere Antwort"} | ({"subject": subject} if subject else {})
    again = anna.ask("anna", "PUT", f"{DRAFTS}/{saved['id']}", json=edited)
    answer = post(anna, {}, path=f"{DRAFTS}/{saved['id']}/send").json()
    (arrived,) = received(anna)

    assert {question["thread_id"]} == {again["thread_id"], answer["thread_id"]}
    assert "Re: Frage" == arrived["Subject"]
    assert [saved["id"]] == [again["id"]]
    source = anna.google.gmail.mailbox(ANNA).message(message_id).raw
    asked = message_from_bytes(source)["Message-ID"]
    assert (asked, asked) == (arrived["In-Reply-To"], arrived["References"])


@pytest.mark.parametrize("edited", [False, True])
def test_lost_answer(anna: Stack, edited: bool) -> None:
    """A draft whose answer was lost is found under SENT, also if Gmail's own page had taken our header off it."""
    draft_id = save(anna)
    if edited:
        edit_elsewhere(anna, draft_id, f"From: {ANNA}\r\nTo: {MIA}\r\nSubject: Neu\r\n\r\nx\r\n".encode())
    inject(anna, "gmail", "users.drafts.send", drop_answer=True)

    assert (200, "sent") == send(anna, draft_id)
    assert ["Neu" if edited else "Angebot"] == [one["Subject"] for one in sent(anna)]


def test_lost_draft_is_unknown(anna: Stack) -> None:
    """A draft that Gmail neither took nor refused is unknown in the end."""
    inject(anna, "gmail", "users.drafts.send", status=500)
    first = send(anna, save(anna))
    pass_time(anna, 900)

    assert ((202, "pending"), ("unknown", "send-unknown")) == (first, state(anna))


@pytest.mark.parametrize(
    ("sender", "answer"),
    [
        (f"From: {ANNA}\r\n", (200, "sent")),
        ("From: sales@demo-crm.example\r\n", (200, "sent")),
        ("From: ceo@demo-crm.example\r\n", (422, "sender-not-verified")),
        (f"From: {ANNA}, ceo@demo-crm.example\r\n", (422, "sender-not-verified")),
        ("", (200, "sent")),
    ],
)
def test_who_a_draft_is_from(anna: Stack, sender: str, answer: tuple[int, str]) -> None:
    """A draft goes out from an address of the caller's or not at all, wherever it was written."""
    mailbox = anna.google.gmail.mailbox(ANNA)
    draft_id = save(anna)
    edit_elsewhere(anna, draft_id, f"{sender}To: {MIA}\r\nSubject: Neu\r\n\r\nx\r\n".encode())
    mailbox.aliases.append(SendAs("sales@demo-crm.example"))
    try:
        assert answer == send(anna, draft_id)
    finally:
        mailbox.aliases.pop()
    assert int(answer[0] == 200) == len(sent(anna))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", ""),
        ("GET", "/r1"),
        ("PUT", "/r1"),
        ("DELETE", "/r1"),
        ("POST", "/r1/send"),
    ],
)
def test_scope_is_needed(stack: Stack, method: str, path: str) -> None:
    """Drafts need the feature actions: without it each route says how to get it."""
    stack.connect("anna", features=["mail"])
    body: dict[str, object] | None = {} if method in ("POST", "PUT") else None
    answer = stack.call("anna", method, f"{DRAFTS}{path}", json=body, headers={"Idempotency-Key": "key"})

    assert (409, "scope-missing", ["actions"]) == (*problem(answer), answer.json()["features"])


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/send")])
@pytest.mark.parametrize("draft_id", ["r123", "no id!"])
def test_draft_that_is_not_there(anna: Stack, method: str, path: str, draft_id: str) -> None:
    """A draft that does not exist, or could not, is not found."""
    body = mail() if method == "PUT" else None
    answer = anna.call("anna", method, f"{DRAFTS}/{draft_id}{path}", json=body, headers={"Idempotency-Key": "key"})

    assert (404, "not-found") == problem(answer)
