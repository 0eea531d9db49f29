"""mail_proxy over HTTP: lists, single mails and conversations of the caller's own mailbox, and who may read."""

from __future__ import annotations

import base64
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
import requests

from local.crm.people import ANNA
from local.faults import Fault
from local.ledger import units
from local.stack import Stack
from tests.integration.mailbox_rig import (
    MIA,
    MODIFY,
    SEARCH,
    counted,
    deliver,
    gmail_calls,
    ids_of,
    mail_with,
    refusal,
    search,
    show,
)

pytestmark = pytest.mark.integration

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def anna(stack: Stack) -> Stack:
    """The stack with Anna connected."""
    stack.connect("anna")
    return stack


# ---- Lists


def test_pages_go_from_new_to_old_without_gap(anna: Stack) -> None:
    """Page after page, every mail comes once, the newest first."""
    delivered = [anna.mail("anna", MIA, f"Mail {number}") for number in range(7)]

    first = search(anna, page_size=3)
    second = search(anna, page_size=3, page_token=first["next_page_token"])
    third = search(anna, page_size=3, page_token=second["next_page_token"])

    assert delivered[::-1] == ids_of(first) + ids_of(second) + ids_of(third)
    assert "" == third["next_page_token"]


def test_rows_tell_what_a_list_shows(anna: Stack) -> None:
    """A row has sender, subject, snippet, time, unread, star, files and labels."""
    mail_id = deliver(anna, mail_with((b"%PDF", "application/pdf", "Angebot.pdf")))

    (row,) = search(anna)["messages"]

    assert mail_id == row["id"]
    assert {"name": "Mia Schneider", "address": "mia@customer.example"} == row["from"]
    assert [{"name": "", "address": ANNA.email}] == row["to"]
    assert ("With files", "See attached") == (row["subject"], row["snippet"])
    assert (True, False, True, True) == (row["unread"], row["starred"], row["authenticated"], row["has_attachments"])
    assert {"INBOX", "UNREAD"} == set(row["labels"])


def test_search_takes_gmails_syntax(anna: Stack) -> None:
    """``q`` finds what Gmail finds, ``label`` what lies under a label."""
    wanted = anna.mail("anna", MIA, "Angebot Nummer 5")
    other = anna.mail("anna", "Jonas <jonas@weber-bau.example>", "Rechnung", labels=("INBOX", "STARRED"))
    anna.advance(60)

    assert [wanted] == ids_of(search(anna, q="from:mia@customer.example subject:angebot"))
    assert [other] == ids_of(search(anna, label="STARRED"))


def test_trash_is_listed_only_by_its_label(anna: Stack) -> None:
    """What lies in the trash is found there and nowhere else."""
    trashed = anna.mail("anna", MIA)
    anna.google.gmail.person_trashes(ANNA.email, trashed)

    assert [] == ids_of(search(anna))
    assert [trashed] == ids_of(search(anna, label="TRASH"))


def test_changed_mail_is_fetched_again(anna: Stack) -> None:
    """Within five minutes only what has changed is fetched: 7 units and 20 for the mail that was starred."""
    mail_ids = [anna.mail("anna", MIA, f"Mail {number}") for number in range(5)]
    search(anna)
    anna.google.gmail.person_moves(ANNA.email, mail_ids[2], add=["STARRED"])
    pages: list[Any] = []

    calls = gmail_calls(anna, lambda: pages.append(search(anna)))

    assert {"messages.list": 1, "history.list": 1, "messages.get": 1} == counted(calls)
    assert 27 == units(calls)
    assert [False, False, True, False, False] == [row["starred"] for row in pages[0]["messages"]]


def test_deleted_mail_leaves_the_list(anna: Stack) -> None:
    """A mail that was deleted since is not shown from memory."""
    kept, deleted = anna.mail("anna", MIA), anna.mail("anna", MIA)
    search(anna)
    anna.google.gmail.person_deletes(ANNA.email, deleted)

    assert [kept] == ids_of(search(anna))


def test_memory_ends_after_five_minutes(anna: Stack) -> None:
    """Five minutes after a mail was fetched it is fetched anew, also where the list was looked at meanwhile."""
    anna.mail("anna", MIA)
    search(anna)
    anna.advance(200)
    search(anna)
    anna.advance(101)

    assert {"getProfile": 1, "messages.list": 1, "messages.get": 1} == counted(gmail_calls(anna, lambda: search(anna)))


def test_lost_history_is_made_up_for(anna: Stack) -> None:
    """Where Gmail's history reaches back no more, the page is fetched anew, and remembered again."""
    anna.mail("anna", MIA)
    search(anna)
    anna.mail("anna", MIA)
    anna.google.gmail.expire_history(ANNA.email)

    calls = counted(gmail_calls(anna, lambda: search(anna)))

    assert {"messages.list": 1, "history.list": 1, "getProfile": 1, "messages.get": 2} == calls
    assert 7 == units(gmail_calls(anna, lambda: search(anna)))


def test_memory_ends_with_the_connection(anna: Stack) -> None:
    """Who reconnects begins with nothing remembered, and old page tokens are refused."""
    for _ in range(2):
        anna.mail("anna", MIA)
    token = search(anna, page_size=1)["next_page_token"]
    anna.connect("anna")

    calls = counted(gmail_calls(anna, lambda: search(anna, page_size=1)))

    assert {"getProfile": 1, "messages.list": 1, "messages.get": 1} == calls
    response = anna.call("anna", "POST", SEARCH, json={"page_size": 1, "page_token": token})
    assert (400, "invalid-page-token") == refusal(response)


def test_mail_that_cannot_be_fetched_is_named(anna: Stack) -> None:
    """One mail's trouble hides no other, and leaves no silent gap."""
    mail_ids = [anna.mail("anna", MIA) for _ in range(3)]
    anna.faults.inject(Fault("gmail", "users.messages.get", status=500, count=1))
    anna.faults.inject(Fault("gmail", "users.messages.get", status=500, count=1, skip=2))

    page = search(anna)

    (missing,) = page["missing"]
    assert ("gmail-unavailable", True) == (missing["code"], missing["retryable"])
    assert sorted(mail_ids) == sorted([*ids_of(page), missing["id"]])


def test_rate_limit_is_told_and_respected(anna: Stack) -> None:
    """A limit of Gmail's becomes 429 with Retry-After, and nothing is asked until then."""
    anna.mail("anna", MIA)
    until = (anna.clock.now() + timedelta(seconds=90)).isoformat(timespec="milliseconds")
    hint = f"User-rate limit exceeded.  Retry after {until.replace('+00:00', 'Z')}"
    anna.faults.inject(Fault("gmail", "*", status=429, reason="rateLimitExceeded", message=hint, count=2))
    first = anna.call("anna", "POST", SEARCH, json={})
    answers: list[requests.Response] = []

    calls = gmail_calls(anna, lambda: answers.append(anna.call("anna", "POST", SEARCH, json={})))

    assert [(429, "gmail-rate-limited")] * 2 == [refusal(first), refusal(answers[0])]
    assert 0 < int(answers[0].headers["Retry-After"]) <= 90
    assert [] == calls


# ---- One mail


def test_opened_mail_is_whole_and_stays_unread(anna: Stack) -> None:
    """A mail opens with text, sanitised HTML and its files, for 20 units, and is as unread as before."""
    html = '<p onclick="x()">Guten Tag<script>x()</script> <a href="javascript:x()">hier</a></p>'
    mail_id = deliver(anna, mail_with((b"%PDF-1.7", "application/pdf", "Übersicht.pdf"), html=html))
    opened: list[Any] = []

    calls = gmail_calls(anna, lambda: opened.append(show(anna, mail_id)))

    assert {"messages.get": 1} == counted(calls)
    assert "See attached" == opened[0]["text"].strip()
    assert "Guten Tag" in opened[0]["html"]
    assert all(word not in opened[0]["html"] for word in ("script", "onclick"))
    (attachment,) = opened[0]["attachments"]
    assert ("Übersicht.pdf", "application/pdf", 8) == (
        attachment["filename"],
        attachment["content_type"],
        attachment["size_bytes"],
    )
    assert opened[0]["unread"] is True
    assert "UNREAD" in anna.google.gmail.mailbox(ANNA.email).message(mail_id).labels


def test_remote_images_wait_until_the_reader_asks(anna: Stack) -> None:
    """Remote images are blocked and counted; asked for, they are there, without a referrer, and allowed."""
    mail_id = anna.mail("anna", MIA, html='<p>Hi<img src="https://tracker.example/pixel.gif"></p>')

    blocked, shown = show(anna, mail_id), show(anna, mail_id, "?remote=1")

    assert 1 == blocked["blocked_remote"]
    assert "tracker.example" not in blocked["html"]
    assert "https:" not in blocked["frame"]["csp"]
    assert 'src="https://tracker.example/pixel.gif"' in shown["html"]
    assert 'referrerpolicy="no-referrer"' in shown["html"]
    assert "img-src data: blob: https: http:" in shown["frame"]["csp"]


def inline_image_mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = MIA, ANNA.email, "Logo"
    mail.set_content("Logo")
    mail.add_alternative('<p>Logo <img src="cid:logo@customer.example"></p>', subtype="html")
    html_part = mail.get_payload()[1]  # type: ignore[index]
    html_part.add_related(PNG, "image", "png", cid="<logo@customer.example>", filename="logo.png")  # type: ignore[union-attr]
    return mail


def test_inline_images_stand_in_the_body(anna: Stack) -> None:
    """An inline image is part of the markup, for 20 units more; without ``images`` the markup names its part."""
    mail_id = deliver(anna, inline_image_mail())
    opened: list[Any] = []

    calls = gmail_calls(anna, lambda: opened.append(show(anna, mail_id)))
    cheap = show(anna, mail_id, "?images=0")

    assert {"messages.get": 1, "messages.attachments.get": 1} == counted(calls)
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" in opened[0]["html"]
    (attachment,) = cheap["attachments"]
    assert attachment["inline"] is True
    assert f'src="cid:{attachment["part_id"]}"' in cheap["html"]


def test_image_that_cannot_be_had_hides_no_mail(anna: Stack) -> None:
    """A mail opens without an inline image that Gmail does not hand out."""
    mail_id = deliver(anna, inline_image_mail())
    anna.faults.inject(Fault("gmail", "users.messages.attachments.get", status=404, reason="notFound"))

    opened = show(anna, mail_id)

    assert "Logo" in opened["html"]
    assert "data:" not in opened["html"]


def test_long_text_is_fetched_where_gmail_keeps_it_apart(anna: Stack) -> None:
    """A text too long for the message resource is there all the same."""
    mail_id = anna.mail("anna", MIA, text="Zeile\n" * 100_000)

    assert 100_000 == show(anna, mail_id)["text"].count("Zeile")


def test_bcc_is_shown_to_the_sender_alone(anna: Stack) -> None:
    """The caller's own sent mail shows to whom it went blind; a list does not."""
    raw = f"From: {ANNA.email}\r\nTo: mia@customer.example\r\nBcc: boss@demo-crm.example\r\n\r\nHi\r\n".encode()
    mail_id = anna.deliver(raw, to=ANNA.email, labels=("SENT",))[ANNA.email]

    assert [{"name": "", "address": "boss@demo-crm.example"}] == show(anna, mail_id)["bcc"]
    assert "bcc" not in search(anna)["messages"][0]


@pytest.mark.parametrize(
    "path",
    [
        "/messages/18c0ffee18c0ffee",
        "/messages/not%20an%20id",
        "/messages/zzz",
        "/messages/zzz/raw",
        "/threads/zzz",
        "/messages/18c0ffee18c0ffee/raw",
        "/messages/18c0ffee18c0ffee/attachments/0",
        "/threads/18c0ffee18c0ffee",
    ],
)
def test_mail_that_does_not_exist(anna: Stack, path: str) -> None:
    """What is not there is 404, also where it cannot be an id at all."""
    assert (404, "not-found") == refusal(anna.call("anna", "GET", f"/mail_proxy{path}"))


def test_unknown_query_is_refused(anna: Stack) -> None:
    """A parameter that the route does not have is refused."""
    mail_id = anna.mail("anna", MIA)

    response = anna.call("anna", "GET", f"/mail_proxy/messages/{mail_id}?subject=x")

    assert (400, "invalid-query") == refusal(response)


def test_conversation_from_old_to_new(anna: Stack) -> None:
    """A thread shows its mails whole, the oldest first, for one call of 40 units."""
    first = anna.mail("anna", MIA, "Termin", text="Wann passt es?", headers={"Message-ID": "<a@customer.example>"})
    references = {"References": "<a@customer.example>", "In-Reply-To": "<a@customer.example>"}
    second = anna.mail("anna", MIA, "Re: Termin", text="Morgen?", headers=references)
    thread_id = show(anna, second)["thread_id"]
    answers: list[Any] = []

    calls = gmail_calls(anna, lambda: answers.append(anna.ask("anna", "GET", f"/mail_proxy/threads/{thread_id}")))

    assert {"threads.get": 1} == counted(calls)
    assert 40 == units(calls)
    shown = answers[0]["messages"]
    assert [first, second] == [message["id"] for message in shown]
    assert ["Wann passt es?", "Morgen?"] == [message["text"].strip() for message in shown]


# ---- Who may


def test_reading_needs_a_connection(stack: Stack) -> None:
    """Who has connected no mailbox is told so."""
    assert (409, "not-connected") == refusal(stack.call("anna", "POST", SEARCH, json={}))


def test_actions_need_their_scope(stack: Stack) -> None:
    """Who has not allowed changes can read, and is told which feature to ask for."""
    stack.connect("anna", features=["mail"])
    mail_id = stack.mail("anna", MIA)

    response = stack.call("anna", "POST", MODIFY, json={"ids": [mail_id], "action": "read"})

    assert (409, "scope-missing") == refusal(response)
    assert ["actions"] == response.json()["features"]
    assert [mail_id] == ids_of(search(stack))


def test_mails_are_each_users_own(anna: Stack) -> None:
    """A mail's id opens it for its owner alone."""
    mail_id = anna.mail("anna", MIA)
    anna.connect("ben")

    assert (404, "not-found") == refusal(anna.call("ben", "GET", f"/mail_proxy/messages/{mail_id}"))


def test_inactive_user_reads_nothing(anna: Stack) -> None:
    """The directory's word counts at the very next request, whatever the token says."""
    token = anna.token("anna")
    anna.advance(2)
    anna.load_directory({"users": [{"id": "anna", "active": False}]})

    response = anna.call("anna", "POST", SEARCH, json={}, headers={"Authorization": f"Bearer {token}"})

    assert (403, "user-inactive") == refusal(response)


def test_revoked_grant_is_told(anna: Stack) -> None:
    """Once Google takes the grant no more, reading says that consent is needed again."""
    anna.faults.inject(Fault("oauth", "token", status=400, reason="invalid_grant", count=5))
    anna.faults.inject(Fault("gmail", "*", status=401, reason="authError", count=5))

    responses = [anna.call("anna", "POST", SEARCH, json={}) for _ in range(2)]

    assert [(409, "reauth-required")] * 2 == [refusal(response) for response in responses]


def test_description_is_open_to_all(stack: Stack) -> None:
    """Anyone may read which routes there are."""
    described = stack.call(None, "GET", "/mail_proxy/openapi.json").json()

    assert {"post"} == set(described["paths"]["/messages/search"])
    assert {"get"} == set(described["paths"]["/messages/{id}/attachments/{part_id}"])
