"""The Gmail stand-in's sending: messages, drafts and the three kinds of upload."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import requests
from googleapiclient.http import MediaInMemoryUpload

from local.faults import Fault
from local.gmail import SendAs
from local.gmail.mailbox import Message
from tests.integration.gmail_rig import ANNA, BEN, MIA, Rig, mail, refused, running

pytestmark = pytest.mark.integration

LIMIT_BYTES = 36_700_160


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path) as rig:
        yield rig


@pytest.fixture
def anna(rig: Rig) -> Any:
    return rig.client(ANNA)


def _body(raw: bytes, **more: str) -> dict[str, str]:
    return {"raw": base64.urlsafe_b64encode(raw).decode(), **more}


def _send(anna: Any, raw: bytes, **more: str) -> Any:
    return anna.messages().send(userId="me", body=_body(raw, **more)).execute()


def _only(rig: Rig, address: str) -> Message:
    """The one message of a mailbox."""
    (message,) = rig.gmail.mailbox(address).messages.values()
    return message


def _headers(message: Message) -> Any:
    return message_from_bytes(message.raw)


def _to_mia(subject: str = "Angebot", **more: str) -> bytes:
    return mail(subject, sender=ANNA, to=MIA, **more)


def test_a_sent_mail_arrives_and_stays_under_sent(rig: Rig, anna: Any) -> None:
    """The sender keeps it under SENT; the recipient gets it in the inbox, unread and authenticated."""
    answer = _send(anna, _to_mia())
    assert ["SENT"] == answer["labelIds"]
    assert {"SENT"} == _only(rig, ANNA).labels
    arrived = _only(rig, MIA)
    assert {"INBOX", "UNREAD"} == arrived.labels
    assert "dmarc=pass" in _headers(arrived)["Authentication-Results"]
    assert "header.from=demo-crm.example" in _headers(arrived)["Authentication-Results"]


def test_gmail_replaces_the_message_id(rig: Rig, anna: Any) -> None:
    """Both copies bear Gmail's own Message-ID; the sender's own is kept under another name."""
    _send(anna, _to_mia(headers="Message-ID: <mine@crm.example>\r\n"))
    sent, arrived = _headers(_only(rig, ANNA)), _headers(_only(rig, MIA))
    assert re.fullmatch(r"<CA[\w=-]+@mail\.gmail\.com>", sent["Message-ID"])
    assert sent["Message-ID"] == arrived["Message-ID"]
    assert "<mine@crm.example>" == sent["X-Google-Original-Message-ID"]


def test_other_headers_of_the_sender_stay(rig: Rig, anna: Any) -> None:
    """A header of one's own is found again on the sent copy."""
    _send(anna, _to_mia(headers="X-CRM-Send: k1\r\n"))
    assert "k1" == _headers(_only(rig, ANNA))["X-CRM-Send"]


def test_a_hidden_recipient_is_hidden(rig: Rig, anna: Any) -> None:
    """Bcc stands on the sender's copy only, and those in it get the mail."""
    _send(anna, mail(sender=ANNA, to=MIA, headers=f"Bcc: {BEN}\r\n"))
    assert BEN == _headers(_only(rig, ANNA))["Bcc"]
    assert [None, None] == [_headers(_only(rig, address))["Bcc"] for address in (MIA, BEN)]


@pytest.mark.parametrize("sender", ["boss@demo-crm.example", "pending@demo-crm.example"])
def test_from_is_rewritten_unless_it_is_a_verified_alias(rig: Rig, sender: str) -> None:
    """A From that the mailbox may not use becomes its primary address."""
    pending = SendAs("pending@demo-crm.example", verification_status="pending")
    rig.gmail.add_mailbox("dora@demo-crm.example", aliases=[pending], name="Dora")
    _send(rig.client("dora@demo-crm.example"), mail(sender=sender, to=MIA))
    assert "Dora <dora@demo-crm.example>" == _headers(_only(rig, MIA))["From"]


def test_a_verified_alias_sends_and_receives(rig: Rig) -> None:
    """A verified alias stays in From, and mail to it arrives."""
    alias = SendAs("sales@demo-crm.example", "Sales")
    rig.gmail.add_mailbox("dora@demo-crm.example", aliases=[alias])
    _send(rig.client("dora@demo-crm.example"), mail(sender="Sales <sales@demo-crm.example>", to=MIA))
    assert "Sales <sales@demo-crm.example>" == _headers(_only(rig, MIA))["From"]
    assert ["dora@demo-crm.example"] == list(rig.gmail.deliver(mail(), to="sales@demo-crm.example"))


def test_mail_to_oneself_is_one_message(rig: Rig, anna: Any) -> None:
    """It is sent and received at once."""
    _send(anna, mail(sender=ANNA, to=ANNA))
    assert {"SENT", "INBOX", "UNREAD"} == _only(rig, ANNA).labels


@pytest.mark.parametrize(
    "raw",
    [b"From: anna@demo-crm.example\r\nSubject: x\r\n\r\nhi", b"To: nobody\r\nSubject: x\r\n\r\nhi"],
)
def test_a_mail_to_nobody_is_refused(rig: Rig, anna: Any, raw: bytes) -> None:
    """Without a recipient, or with one that is no address, nothing is sent."""
    assert 400 == refused(anna.messages().send(userId="me", body=_body(raw)))[0]
    assert {} == rig.gmail.mailbox(ANNA).messages


@pytest.mark.parametrize("body", [{}, {"raw": "%%%"}])
def test_a_send_without_a_readable_mail_is_refused(anna: Any, body: dict[str, str]) -> None:
    """raw must be there and be base64."""
    assert 400 == refused(anna.messages().send(userId="me", body=body))[0]


def _thread(rig: Rig) -> str:
    raw = mail("Angebot", headers="Message-ID: <q@customer.example>\r\n")
    return rig.gmail.deliver(raw, to=ANNA)[ANNA]


def test_a_reply_joins_its_thread(rig: Rig, anna: Any) -> None:
    """With threadId, a reference and the subject a reply stands in the thread, at both ends."""
    thread_id = _thread(rig)
    reply = _to_mia("Re: Angebot", headers="In-Reply-To: <q@customer.example>\r\nReferences: <q@customer.example>\r\n")
    assert thread_id == _send(anna, reply, threadId=thread_id)["threadId"]


@pytest.mark.parametrize(
    "reply",
    [
        _to_mia("Re: Angebot"),
        _to_mia("Etwas anderes", headers="In-Reply-To: <q@customer.example>\r\n"),
    ],
)
def test_a_thread_id_alone_does_not_make_a_reply(rig: Rig, anna: Any, reply: bytes) -> None:
    """Without a reference, or under another subject, the mail begins a thread of its own."""
    thread_id = _thread(rig)
    answer = _send(anna, reply, threadId=thread_id)
    assert answer["id"] == answer["threadId"]


def test_an_unknown_thread_is_refused(rig: Rig, anna: Any) -> None:
    """A thread that is not there is 404, what is no thread id 400, and nothing is sent."""
    gone = anna.messages().send(userId="me", body=_body(_to_mia(), threadId="18c0ffee18c0ffee"))
    wrong = anna.messages().send(userId="me", body=_body(_to_mia(), threadId="no-thread"))
    assert [404, 400] == [refused(call)[0] for call in (gone, wrong)]
    assert {} == rig.gmail.mailbox(MIA).messages


def test_a_days_sending_is_limited(tmp_path: Path) -> None:
    """Beyond the day's mails a send is 429 with a hint of its own, reading goes on, and a day later so does sending."""
    with running(tmp_path, sends_per_day=2) as rig:
        anna = rig.client(ANNA)
        for _ in range(2):
            _send(anna, _to_mia())
        code, reason, message = refused(anna.messages().send(userId="me", body=_body(_to_mia())))
        assert (429, "rateLimitExceeded") == (code, reason)
        assert re.fullmatch(r"User-rate limit exceeded\.  Retry after \S+Z \(Mail sending\)", message)
        assert 2 == anna.getProfile(userId="me").execute()["messagesTotal"]
        rig.clock.advance(86_400)
        assert ["SENT"] == _send(anna, _to_mia())["labelIds"]


# Uploads


def _big(size_bytes: int) -> bytes:
    line = b"0123456789" * 7 + b"\r\n"
    return _to_mia() + line * (size_bytes // len(line))


@pytest.mark.parametrize(("resumable", "chunk"), [(False, -1), (True, -1), (True, 256 * 1024)])
def test_a_mail_may_be_uploaded(rig: Rig, anna: Any, resumable: bool, chunk: int) -> None:
    """Multipart, resumable in one piece and resumable in chunks bring the same bytes, with the JSON beside."""
    raw = _big(700_000)
    media = MediaInMemoryUpload(raw, mimetype="message/rfc822", chunksize=chunk, resumable=resumable)
    answer = anna.messages().send(userId="me", body={}, media_body=media).execute()
    assert ["SENT"] == answer["labelIds"]
    assert _only(rig, MIA).raw.endswith(raw[-700_000:])
    sends = [call for call in rig.ledger.since() if call.method == "users.messages.send"]
    assert [(200, 100)] == [(call.status, call.units) for call in sends]


def test_a_simple_upload_is_the_mail_alone(rig: Rig) -> None:
    """uploadType=media takes message/rfc822 and refuses other types."""
    token = rig.token(ANNA)
    statuses = [
        requests.post(
            f"{rig.url}/upload/gmail/v1/users/me/messages/send?uploadType=media",
            data=_to_mia(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": kind},
            timeout=10,
        ).status_code
        for kind in ("message/rfc822", "text/plain")
    ]
    assert [200, 400] == statuses
    assert {"SENT"} == _only(rig, ANNA).labels


def _begin(rig: Rig, size_bytes: int, kind: str = "message/rfc822") -> requests.Response:
    headers = {
        "Authorization": f"Bearer {rig.token(ANNA)}",
        "X-Upload-Content-Type": kind,
        "X-Upload-Content-Length": str(size_bytes),
    }
    url = f"{rig.url}/upload/gmail/v1/users/me/messages/send?uploadType=resumable"
    return requests.post(url, json={}, headers=headers, timeout=10)


def _put(location: str, data: bytes, content_range: str) -> requests.Response:
    return requests.put(location, data=data, headers={"Content-Range": content_range}, timeout=10)


def test_a_resumable_upload_tells_how_far_it_is(rig: Rig) -> None:
    """308 with the range after a chunk and when asked; chunks of odd size or out of order are refused."""
    raw = _big(400_000)
    location = _begin(rig, len(raw)).headers["Location"]
    chunk = 256 * 1024
    odd = _put(location, raw[:1000], f"bytes 0-999/{len(raw)}")
    first = _put(location, raw[:chunk], f"bytes 0-{chunk - 1}/{len(raw)}")
    gap = _put(location, raw[chunk + 1 :], f"bytes {chunk + 1}-{len(raw) - 1}/{len(raw)}")
    asked = _put(location, b"", f"bytes */{len(raw)}")
    last = _put(location, raw[chunk:], f"bytes {chunk}-{len(raw) - 1}/{len(raw)}")
    assert [400, 308, 400, 308, 200] == [one.status_code for one in (odd, first, gap, asked, last)]
    assert [f"bytes=0-{chunk - 1}"] * 2 == [first.headers["Range"], asked.headers["Range"]]


def test_a_lost_answer_of_a_resumable_upload_can_be_asked_for(rig: Rig) -> None:
    """Who asks again after the end gets the answer; the mail went once."""
    raw = _to_mia()
    location = _begin(rig, len(raw)).headers["Location"]
    first = _put(location, raw, f"bytes 0-{len(raw) - 1}/{len(raw)}")
    again = _put(location, b"", f"bytes */{len(raw)}")
    assert first.json() == again.json()
    assert 1 == len(rig.gmail.mailbox(MIA).messages)


def test_uploads_have_a_limit(rig: Rig) -> None:
    """A mail of the limit goes, a byte more is 413, by announcement and by content."""
    token = rig.token(ANNA)
    url = f"{rig.url}/upload/gmail/v1/users/me/messages/send?uploadType=media"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"}
    start = _to_mia()
    whole = start + b"x" * (LIMIT_BYTES - len(start))
    statuses = [
        requests.post(url, data=data, headers=headers, timeout=30).status_code for data in (whole, whole + b"x")
    ]
    assert [200, 413] == statuses
    assert [200, 413] == [_begin(rig, size).status_code for size in (LIMIT_BYTES, LIMIT_BYTES + 1)]


def test_a_resumable_upload_may_be_cancelled(rig: Rig) -> None:
    """A cancelled upload is gone, and nothing was sent."""
    location = _begin(rig, 10).headers["Location"]
    cancelled = requests.delete(location, timeout=10).status_code
    after = _put(location, b"", "bytes */10").status_code
    assert (499, 404) == (cancelled, after)


def test_a_dropped_answer_leaves_the_mail_sent(rig: Rig, anna: Any) -> None:
    """The fault that loses an answer loses nothing else."""
    rig.faults.inject(Fault("gmail", "users.messages.send", drop_answer=True))
    headers = {"Authorization": f"Bearer {rig.token(ANNA)}"}
    with pytest.raises(requests.ConnectionError):
        requests.post(f"{rig.url}/gmail/v1/users/me/messages/send", json=_body(_to_mia()), headers=headers, timeout=10)
    assert {"INBOX", "UNREAD"} == _only(rig, MIA).labels
    assert [200] == [call.status for call in rig.ledger.since() if call.method == "users.messages.send"]


# Drafts


def test_a_draft_is_kept_changed_and_sent(rig: Rig, anna: Any) -> None:
    """A draft keeps its id while each saving makes a new message; sending it moves it to SENT and delivers."""
    made = anna.drafts().create(userId="me", body={"message": _body(_to_mia("Eins"))}).execute()
    changed = anna.drafts().update(userId="me", id=made["id"], body={"message": _body(_to_mia("Zwei"))}).execute()
    assert made["id"] == changed["id"]
    assert made["message"]["id"] != changed["message"]["id"]
    assert made["message"]["threadId"] == changed["message"]["threadId"]
    got = anna.drafts().get(userId="me", id=made["id"], format="raw").execute()
    assert _to_mia("Zwei") == base64.urlsafe_b64decode(got["message"]["raw"])
    listed = anna.drafts().list(userId="me").execute()["drafts"]
    assert [made["id"]] == [draft["id"] for draft in listed]
    sent = anna.drafts().send(userId="me", body={"id": made["id"]}).execute()
    assert (["SENT"], made["message"]["threadId"]) == (sent["labelIds"], sent["threadId"])
    assert "Zwei" == _headers(_only(rig, MIA))["Subject"]
    assert 404 == refused(anna.drafts().send(userId="me", body={"id": made["id"]}))[0]
    assert {"resultSizeEstimate": 0} == anna.drafts().list(userId="me").execute()


def test_a_refused_send_leaves_the_draft(rig: Rig, anna: Any) -> None:
    """A draft to nobody cannot be sent, and is still there."""
    body = {"message": _body(b"Subject: x\r\n\r\nhi")}
    made = anna.drafts().create(userId="me", body=body).execute()
    assert 400 == refused(anna.drafts().send(userId="me", body={"id": made["id"]}))[0]
    assert made["id"] == anna.drafts().get(userId="me", id=made["id"]).execute()["id"]


def test_a_deleted_draft_is_gone(rig: Rig, anna: Any) -> None:
    """drafts.delete deletes the message too."""
    made = anna.drafts().create(userId="me", body={"message": _body(_to_mia())}).execute()
    anna.drafts().delete(userId="me", id=made["id"]).execute()
    assert 404 == refused(anna.drafts().get(userId="me", id=made["id"]))[0]
    assert {} == rig.gmail.mailbox(ANNA).messages


def test_each_saving_of_a_draft_is_told_by_history(rig: Rig, anna: Any) -> None:
    """A saving is a messagesAdded and a messagesDeleted, both DRAFT."""
    made = anna.drafts().create(userId="me", body={"message": _body(_to_mia())}).execute()
    start = anna.getProfile(userId="me").execute()["historyId"]
    anna.drafts().update(userId="me", id=made["id"], body={"message": _body(_to_mia())}).execute()
    records = anna.history().list(userId="me", startHistoryId=start).execute()["history"]
    assert ["messagesAdded", "messagesDeleted"] == [(set(one) - {"id", "messages"}).pop() for one in records]
    assert ["DRAFT"] == records[0]["messagesAdded"][0]["message"]["labelIds"]
