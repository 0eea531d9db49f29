"""Opening and downloading against the Gmail stand-in: bounds on what one mail costs, and the instance's bytes."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from common.downloads import fetch_attachment, fetch_source, file_response
from common.errors import NotFound, RateLimited, Unavailable
from common.gmail.client import Gmail, open_gmail
from common.memory import ByteBudget, byte_budget
from common.opening import Look, fetch_full, open_message, open_thread, read_whole
from local.faults import Fault
from local.ledger import units
from tests.integration.google_rig import ANNA, MIA, Google, running

pytestmark = pytest.mark.integration


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    with running(monkeypatch, tmp_path) as rig:
        yield rig


@pytest.fixture
def gmail(google: Google) -> Gmail:
    """Anna's mailbox, with the token warm."""
    opened = open_gmail(google.connect())
    opened.list_labels()
    return opened


@pytest.fixture
def budget() -> Iterator[ByteBudget]:
    """This process's bytes, with nothing held."""
    byte_budget.cache_clear()
    yield byte_budget()
    byte_budget.cache_clear()


def deliver(google: Google, mail: EmailMessage | bytes) -> str:
    raw = mail if isinstance(mail, bytes) else mail.as_bytes()
    return google.gmail.deliver(raw, to=ANNA)[ANNA]


def new_mail(subject: str = "Files") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = MIA, ANNA, subject
    mail.set_content("Text")
    return mail


def with_file(content: bytes = b"%PDF-1.7") -> EmailMessage:
    mail = new_mail()
    mail.add_attachment(content, "application", "pdf", filename="a.pdf")
    return mail


def with_images(count: int) -> EmailMessage:
    """A mail whose body shows so many images."""
    mail = new_mail()
    tags = "".join(f'<img src="cid:i{number}">' for number in range(count))
    mail.add_alternative(f"<p>{tags}</p>", subtype="html")
    html = mail.get_payload()[1]  # type: ignore[index]
    for number in range(count):
        content = b"GIF89a" + bytes([number])
        html.add_related(content, "image", "gif", cid=f"<i{number}>", filename=f"{number}.gif")  # type: ignore[union-attr]
    return mail


def test_bytes_are_held_while_an_answer_goes_out(google: Google, gmail: Gmail, budget: ByteBudget) -> None:
    """A download holds its bytes until the answer is closed, not longer."""
    resource = fetch_full(gmail, deliver(google, with_file(b"x" * 1000)))

    response = file_response(fetch_attachment(gmail, resource, "1"))

    assert 1000 == budget.held_bytes
    response.close()
    assert 0 == budget.held_bytes


def test_full_instance_asks_gmail_for_no_content(google: Google, gmail: Gmail, budget: ByteBudget) -> None:
    """Where others hold all bytes, a download is refused for now, before anything big is fetched."""
    mail_id = deliver(google, with_file())
    resource = fetch_full(gmail, mail_id)
    mark = google.ledger.mark()

    with budget.reserve(10**12):
        with pytest.raises(Unavailable):
            fetch_attachment(gmail, resource, "1")
        with pytest.raises(Unavailable):
            fetch_source(gmail, mail_id)

    calls = google.ledger.since(mark, service="gmail")
    assert ["users.messages.get"] == [call.method for call in calls]
    assert 0 == budget.held_bytes


def test_failed_download_holds_nothing(google: Google, gmail: Gmail, budget: ByteBudget) -> None:
    """What could not be fetched gives its bytes back."""
    resource = fetch_full(gmail, deliver(google, with_file()))
    google.faults.inject(Fault("gmail", "users.messages.attachments.get", status=404, reason="notFound"))

    with pytest.raises(NotFound):
        fetch_attachment(gmail, resource, "1")

    assert 0 == budget.held_bytes


def test_images_of_one_mail_are_bounded(google: Google, gmail: Gmail, budget: ByteBudget) -> None:
    """However many images a body shows, twenty are fetched; the others are named by their parts."""
    resource = fetch_full(gmail, deliver(google, with_images(30)))
    mark = google.ledger.mark()

    html = open_message(gmail, resource, Look()).html

    assert 20 * 20 == units(google.ledger.since(mark, service="gmail"))
    assert (20, 10) == (html.count("data:image/gif"), html.count('src="cid:'))
    assert 0 == budget.held_bytes


def test_texts_of_one_mail_are_bounded(google: Google, gmail: Gmail) -> None:
    """However many long texts a mail is made of, five are fetched."""
    part = b"--b\r\nContent-Type: text/plain\r\n\r\n" + b"long text\r\n" * 50_000 + b"\r\n"
    head = f"From: {MIA}\r\nTo: {ANNA}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".encode()
    resource = fetch_full(gmail, deliver(google, head + part * 7 + b"--b--\r\n"))
    mark = google.ledger.mark()

    opened = open_message(gmail, resource, Look())

    assert 5 * 20 == units(google.ledger.since(mark, service="gmail"))
    assert opened.text is not None
    assert opened.text.startswith("long text")


def test_text_that_cannot_be_fetched_is_an_error(google: Google, gmail: Gmail) -> None:
    """A mail never opens as if its text were empty."""
    mail = new_mail()
    mail.set_content("long text\n" * 60_000)
    resource = fetch_full(gmail, deliver(google, mail))
    limit = Fault("gmail", "users.messages.attachments.get", status=429, reason="rateLimitExceeded", count=9)
    google.faults.inject(limit)

    with pytest.raises(RateLimited):
        open_message(gmail, resource, Look())


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 3_000 + b"--b--\r\n",
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(90)),
        b"To: " + b"x@customer.example, " * 5_000 + b"\r\n\r\nx",
        b"Subject: " + b"=?utf-8?q?x?= " * 5_000 + b"\r\n\r\nx",
        b"Content-Type: text/html\r\n\r\n" + b"<div>" * 50_000,
        b"\x00\xff\r\n\r\n\x00",
    ],
    ids=["parts", "levels", "recipients", "words", "elements", "bytes"],
)
def test_hostile_mails_open(google: Google, gmail: Gmail, raw: bytes) -> None:
    """A mail built to overwhelm its reader opens, in bounds, and so does its conversation."""
    mail_id = deliver(google, b"From: mia@customer.example\r\n" + raw)

    opened = open_message(gmail, fetch_full(gmail, mail_id), Look())
    thread = open_thread(gmail, opened.thread_id, Look())

    assert mail_id == opened.id
    assert [mail_id] == [one.id for one in thread.messages]
    assert len(opened.to) <= 2_000
    assert len(opened.attachments) <= 1_000


def test_big_conversation_leaves_bodies_out(google: Google, gmail: Gmail) -> None:
    """Of a conversation too big for one answer the newest mails have their bodies; the others say theirs is not."""
    head = f"From: {MIA}\r\nTo: {ANNA}\r\nSubject: Long\r\nReferences: <0@x.example>\r\n"
    text = "line\r\n" * 80_000
    ids = [deliver(google, f"{head}Message-ID: <{n}@x.example>\r\n\r\n{n} {text}".encode()) for n in range(11)]
    thread_id = fetch_full(gmail, ids[-1])["threadId"]

    shown = open_thread(gmail, thread_id, Look()).messages

    assert ids == [one.id for one in shown]
    assert [True] * 3 + [False] * 8 == [one.body_left_out for one in shown]
    assert (None, "", "10 line") == (shown[0].text, shown[0].html, (shown[-1].text or "")[:7])


def test_conversation_is_counted_while_it_comes_in(google: Google, gmail: Gmail, budget: ByteBudget) -> None:
    """How big a conversation is shows while it is read: what does not fit any more is refused, for no unit more."""
    thread_id = fetch_full(gmail, deliver(google, new_mail()))["threadId"]
    before = gmail.units

    with budget.reserve(byte_budget().limit_bytes - 100), pytest.raises(Unavailable) as refused:
        open_thread(gmail, thread_id, Look())
    opened = open_thread(gmail, thread_id, Look())

    assert ("instance-busy", True) == (refused.value.code, refused.value.retry_at is not None)
    assert (1, 2 * 40, 0) == (len(opened.messages), gmail.units - before, budget.held_bytes)


def test_long_text_is_counted_for_an_answer(google: Google, gmail: Gmail, budget: ByteBudget) -> None:
    """The long text that an answer quotes is not fetched where others hold all bytes."""
    mail = new_mail()
    mail.set_content("wort " * 100_000)
    resource = fetch_full(gmail, deliver(google, mail))

    with budget.reserve(10**12), pytest.raises(Unavailable):
        read_whole(gmail, resource)
    assert len(read_whole(gmail, resource).text or "") > 400_000
    assert 0 == budget.held_bytes
