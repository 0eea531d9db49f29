"""Sending: once, whatever happens on the way; against the stand-in over HTTP."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.config import config
from common.errors import BadRequest, NotFound, RateLimited, ReauthRequired, TooLarge, Unavailable
from common.gmail.client import MAX_MAIL_BYTES, Gmail, open_gmail
from common.gmail.errors import SendAmbiguous
from common.oauth import MODIFY, SEND
from tests.integration.google_rig import ANNA, MIA, Google, running

pytestmark = pytest.mark.integration
METHOD = "users.messages.send"
SIX_MEGABYTES = 6 * 1024 * 1024


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    with running(monkeypatch, tmp_path) as rig:
        yield rig


@pytest.fixture
def gmail(google: Google) -> Gmail:
    """Anna's mailbox, with the token warm."""
    opened = open_gmail(google.connect())
    opened.fetch_profile()
    return opened


def mail(body: bytes = b"Guten Tag", subject: str = "Angebot", headers: str = "") -> bytes:
    return f"From: {ANNA}\r\nTo: {MIA}\r\nSubject: {subject}\r\n{headers}\r\n".encode() + body + b"\r\n"


def answer_to(gmail: Gmail, message_id: str) -> str:
    """The headers by which Gmail knows an answer."""
    (header,) = gmail.fetch_message(message_id, format="metadata", headers=["Message-ID"])["payload"]["headers"]
    return f"In-Reply-To: {header['value']}\r\nReferences: {header['value']}\r\n"


def sent(gmail: Gmail) -> list[str]:
    return gmail.list_messages(label_ids=["SENT"]).ids


def body_of(gmail: Gmail, message_id: str) -> bytes:
    return gmail.fetch_raw(message_id).partition(b"\r\n\r\n")[2]


def test_mail_goes_out_as_it_is(gmail: Gmail) -> None:
    """The id is that of the copy under SENT, and its body has every byte, also those that are no ASCII."""
    body = "Grüße aus Köln, 25 €\r\n.\r\nFrom here on".encode()
    message_id = gmail.send(mail(body)).message_id

    assert [message_id] == sent(gmail)
    assert body + b"\r\n" == body_of(gmail, message_id)


@pytest.mark.parametrize(
    "text", ["Gruss aus Koeln\r\n.\r\nFrom here on\r\n\tthe end", "Grüße aus Köln, 25 €\r\nFrom here on"]
)
def test_reply_stays_in_its_thread(gmail: Gmail, text: str) -> None:
    """A mail sent into a thread is found there, with its bytes unchanged, whatever they are."""
    first = gmail.send(mail()).message_id
    thread_id = gmail.fetch_message(first, format="minimal")["threadId"]
    reply = gmail.send(mail(text.encode(), "Re: Angebot", answer_to(gmail, first)), thread_id=thread_id).message_id

    assert {first, reply} == {message["id"] for message in gmail.fetch_thread(thread_id, format="minimal")}
    assert text.encode() + b"\r\n" == body_of(gmail, reply)


@pytest.mark.parametrize("in_thread", [False, True])
def test_big_mail_is_streamed(gmail: Gmail, in_thread: bool) -> None:
    """A mail of six megabytes is uploaded from its stream, whole, and costs one send."""
    first = gmail.send(mail()).message_id
    thread_id = gmail.fetch_message(first, format="minimal")["threadId"] if in_thread else ""
    body = os.urandom(SIX_MEGABYTES // 2).hex().encode()
    before = gmail.units
    message_id = gmail.send(io.BytesIO(mail(body, "Re: Angebot")), thread_id=thread_id).message_id

    assert 100 == gmail.units - before
    assert body + b"\r\n" == body_of(gmail, message_id)


@pytest.mark.parametrize("size_bytes", [100, SIX_MEGABYTES])
@pytest.mark.parametrize("fault", [{"drop_answer": True}, {"status": 503}, {"status": 500}, {"status": 408}])
def test_lost_answer_is_ambiguous_and_sent_once(
    google: Google, gmail: Gmail, fault: dict[str, int], size_bytes: int
) -> None:
    """Where nobody knows whether the mail went out, that is said, and it is never handed over again."""
    google.inject("gmail", METHOD, **fault)
    before = google.ledger.mark()

    with pytest.raises(SendAmbiguous) as failure:
        gmail.send(mail(b"x" * size_bytes))
    assert failure.value.__context__ is None
    assert 1 == google.count("gmail", METHOD, before)
    assert (1 if "drop_answer" in fault else 0) == len(sent(gmail))


def test_slow_answer_is_ambiguous(google: Google, gmail: Gmail) -> None:
    """A send whose answer does not come in time may have gone out."""
    google.inject("gmail", METHOD, delay_s=1.0)
    connection = gmail._session.connection

    with pytest.raises(SendAmbiguous):
        open_gmail(connection, timeout_s=0.3).send(mail())


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"status": 400, "reason": "invalidArgument"}, BadRequest),
        ({"status": 429, "reason": "rateLimitExceeded"}, RateLimited),
        (
            {"status": 403, "reason": "rateLimitExceeded", "message": "Retry after 2099-01-01T00:00:00.000Z"},
            RateLimited,
        ),
        ({"status": 413, "reason": "uploadTooLarge"}, TooLarge),
    ],
)
@pytest.mark.parametrize("size_bytes", [100, SIX_MEGABYTES])
def test_refusal_is_definite(
    google: Google, gmail: Gmail, fault: dict[str, str | int], problem: type[Exception], size_bytes: int
) -> None:
    """What Gmail refuses has not gone out, and is not tried again on its own."""
    google.inject("gmail", METHOD, **fault)
    before = google.ledger.mark()

    with pytest.raises(problem):
        gmail.send(mail(b"x" * size_bytes))
    assert 1 == google.count("gmail", METHOD, before)


def test_no_connection_means_not_sent(google: Google, gmail: Gmail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Gmail cannot even be reached, the mail has certainly not gone out."""
    monkeypatch.setenv("GMAIL_URL", "http://127.0.0.1:9")
    config.cache_clear()

    with pytest.raises(Unavailable):
        gmail.send(mail())


def test_refused_token_is_renewed_before_sending(google: Google, gmail: Gmail) -> None:
    """A token that Gmail takes no more stops the mail before anybody looks at it: it goes out with a new one, once."""
    google.inject("gmail", METHOD, status=401, reason="authError")

    assert [gmail.send(mail()).message_id] == sent(gmail)


def test_scope_is_needed(google: Google) -> None:
    """Who has not granted sending cannot send, and is told so."""
    gmail = open_gmail(google.connect("ben", "ben@demo-crm.example", untick=[SEND, MODIFY]))

    with pytest.raises(ReauthRequired) as refusal:
        gmail.send(mail())
    assert {"reason": "scope"} == refusal.value.members


def test_too_big_a_mail_is_not_uploaded(google: Google, gmail: Gmail) -> None:
    """Gmail's limit is kept before a byte is sent."""
    before = google.ledger.mark()

    with pytest.raises(TooLarge):
        gmail.send(io.BytesIO(bytes(MAX_MAIL_BYTES + 1)))
    assert [] == google.ledger.since(before)


@pytest.mark.parametrize("fault", [{"drop_answer": True}, {"status": 503}])
def test_draft_is_sent_once(google: Google, gmail: Gmail, fault: dict[str, int]) -> None:
    """A draft whose answer is lost may have gone out, and is not handed over again."""
    draft = gmail.create_draft(mail())
    google.inject("gmail", "users.drafts.send", **fault)
    before = google.ledger.mark()

    with pytest.raises(SendAmbiguous):
        gmail.send_draft(draft.draft_id)
    assert 1 == google.count("gmail", "users.drafts.send", before)


def test_draft_that_is_gone_is_not_sent(gmail: Gmail) -> None:
    """A draft deleted in Gmail is not found, which is definite."""
    draft = gmail.create_draft(mail())
    gmail.delete_draft(draft.draft_id)

    with pytest.raises(NotFound):
        gmail.send_draft(draft.draft_id)
