from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.mail import headers
from common.mail.addresses import Address
from common.mail.reading import read_message
from common.mail.replies import ForwardPlan, ReplyPlan, plan_forward, plan_reply
from common.mail.view import MessageView
from common.mail.writing import Outgoing, compose
from tests.unit.mail_payloads import all_mails, needs_mails, resource

OWN = ["anna@demo-crm.example", "a.mueller@demo-crm.example"]
NOW = datetime(2026, 2, 3, 10, 15, tzinfo=UTC)


def original(**changes: str) -> MessageView:
    fields = {
        "From": "Mia <mia@customer.example>",
        "To": "anna@demo-crm.example, Ben <ben@demo-crm.example>",
        "Cc": "MIA@customer.example, tom@customer.example, A.Mueller@demo-crm.example",
        "Subject": "Angebot",
        "Date": "Tue, 03 Feb 2026 09:00:00 +0000",
        "Message-ID": "<2@x>",
        "References": "<0@x> <1@x>",
    }
    lines = "".join(f"{name}: {value}\n" for name, value in {**fields, **changes}.items() if value)
    return read_message(resource(f"{lines}\nHello\n> old".encode()))


def plan(message: MessageView, *, reply_all: bool = False) -> ReplyPlan:
    return plan_reply(message, OWN, reply_all=reply_all)


def addresses(people: tuple[Address, ...]) -> list[str]:
    return [address.address for address in people]


def test_the_answer_goes_to_the_sender() -> None:
    """A reply goes to From alone."""
    found = plan(original())
    assert (found.to, found.cc) == ((Address("Mia", "mia@customer.example"),), ())


def test_the_answer_to_all_leaves_out_oneself_and_repeats() -> None:
    """Everyone else gets a copy, once, and none of the own addresses does."""
    found = plan(original(), reply_all=True)
    assert addresses(found.to) == ["mia@customer.example"]
    assert addresses(found.cc) == ["ben@demo-crm.example", "tom@customer.example"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"Reply-To": "office@customer.example, boss@customer.example"},
            ["office@customer.example", "boss@customer.example"],
        ),
        ({"Reply-To": "broken"}, ["mia@customer.example"]),
        ({"From": "Anna <anna@demo-crm.example>", "To": "mia@customer.example"}, ["mia@customer.example"]),
        ({"From": "anna@demo-crm.example", "To": "anna@demo-crm.example"}, ["anna@demo-crm.example"]),
        ({"From": "anna@demo-crm.example", "To": ""}, ["anna@demo-crm.example"]),
        ({"From": "Mia"}, []),
    ],
)
def test_the_right_people_get_the_answer(changes: dict[str, str], expected: list[str]) -> None:
    """Reply-To wins over From; one's own mail is answered to its recipients; a note to oneself to oneself."""
    assert addresses(plan(original(**changes)).to) == expected


def test_the_answer_stays_in_its_thread() -> None:
    """The thread's id, In-Reply-To and the whole References keep the conversation together."""
    found = plan(original())
    assert (found.thread_id, found.in_reply_to, found.references) == ("t1", "<2@x>", ("<0@x>", "<1@x>", "<2@x>"))


def test_a_mail_without_an_id_starts_no_chain() -> None:
    """Without a Message-ID there is nothing to refer to."""
    found = plan(original(**{"Message-ID": ""}))
    assert (found.in_reply_to, found.references) == (None, ())


@pytest.mark.parametrize(
    ("subject", "reply", "forward"),
    [
        ("Angebot", "Re: Angebot", "Fwd: Angebot"),
        ("Re: Angebot", "Re: Angebot", "Fwd: Re: Angebot"),
        ("AW: Angebot", "AW: Angebot", "Fwd: AW: Angebot"),
        ("RE[2]: Angebot", "RE[2]: Angebot", "Fwd: RE[2]: Angebot"),
        ("Fwd: Angebot", "Re: Fwd: Angebot", "Fwd: Angebot"),
        ("Rechnung: 1", "Re: Rechnung: 1", "Fwd: Rechnung: 1"),
    ],
)
def test_subjects_get_one_prefix(subject: str, reply: str, forward: str) -> None:
    """A prefix is added once, so that the thread keeps its subject."""
    message = original(Subject=subject)
    assert (plan(message).subject, plan_forward(message).subject) == (reply, forward)


def test_the_answer_quotes_the_text() -> None:
    """The quote says who wrote when, in the reader's time and language, and marks every line."""
    found = plan_reply(original(), OWN, reply_all=False, locale="de-AT", zone=timezone(timedelta(hours=1)))
    assert found.quoted_text == (
        "Am 03.02.2026 um 10:00 schrieb Mia <mia@customer.example>:\n> Hello\n>> old"
    )  # fmt: skip


def test_the_quoted_html_is_clean() -> None:
    """What is quoted has lost what could run, and keeps what is to be read."""
    raw = b'From: "<b>Mia</b>" <mia@x.test>\nDate: Tue, 03 Feb 2026 09:00:00 +0000\nContent-Type: text/html\n\n'
    message = read_message(resource(raw + b"<script>alert(1)</script><p onclick=x>Hi</p>"))
    assert plan(message).quoted_html == (
        "<p>On 2026-02-03 at 09:00, &lt;b&gt;Mia&lt;/b&gt; &lt;mia@x.test&gt; wrote:</p>"
        "<blockquote><p>Hi</p></blockquote>"
    )


def test_a_forwarded_mail_says_what_it_was_and_hides_bcc() -> None:
    """The head names sender, time, subject and recipients, but never who got a blind copy."""
    found = plan_forward(original(Bcc="secret@x.example"))
    assert found.quoted_text == (
        "---------- Forwarded message ----------\nFrom: Mia <mia@customer.example>\nDate: 2026-02-03 at 09:00\n"
        "Subject: Angebot\nTo: anna@demo-crm.example, Ben <ben@demo-crm.example>\n"
        "Cc: MIA@customer.example, tom@customer.example, A.Mueller@demo-crm.example\n\nHello\n> old"
    )
    assert "secret" not in found.quoted_html


def test_a_forwarded_mail_takes_its_files_along() -> None:
    """All attachments go along, and the body goes on showing its inline images."""
    raw = (
        b"From: a@b.c\nContent-Type: multipart/related; boundary=b\n\n"
        b"--b\nContent-Type: text/html\n\n<img src=cid:l@x>\n"
        b"--b\nContent-Type: image/png; name=l.png\nContent-ID: <l@x>\n\nxx\n--b--\n"
    )
    message = read_message(resource(raw))
    found = plan_forward(message)
    assert found.attachments == message.attachments
    assert 'src="cid:l%40x"' in found.quoted_html


def sent(found: ReplyPlan | ForwardPlan) -> bytes:
    """The planned mail as it would go out."""
    people = found.to if isinstance(found, ReplyPlan) and found.to else (Address("", "a@b.c"),)
    thread = (found.in_reply_to, found.references) if isinstance(found, ReplyPlan) else (None, ())
    draft = Outgoing(
        from_=Address("Anna", "anna@demo-crm.example"), to=people, subject=found.subject, text=found.quoted_text,
        html=found.quoted_html, in_reply_to=thread[0], references=thread[1],
    )  # fmt: skip
    return compose(draft, now=NOW).read()


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["From", "To", "Cc", "Subject", "Message-ID", "References"]), st.text(max_size=80))
)
def test_every_mail_can_be_answered_and_forwarded(fields: dict[str, str]) -> None:
    """Whatever a stranger puts into the headers, the answer to it can be sent, in its thread."""
    pairs = [{"name": name, "value": value} for name, value in fields.items()]
    message = read_message({"threadId": "t1", "payload": {"headers": pairs, "body": {"data": "aGk="}}})
    answer = message_from_bytes(sent(plan(message)))
    assert headers.message_id([("Message-ID", answer["In-Reply-To"] or "")]) == message.message_id
    assert message_from_bytes(sent(plan_forward(message)))["Date"] == "Tue, 03 Feb 2026 10:15:00 +0000"


@needs_mails
def test_the_hundred_mails_can_be_answered_and_forwarded() -> None:
    """Each of the hundred mails gives an answer and a forwarded mail that can be sent."""
    for path in all_mails():
        message = read_message(resource(path.read_bytes()))
        assert sent(plan_reply(message, OWN, reply_all=True)).startswith(b"From: Anna <anna@demo-crm.example>\r\n")
        assert sent(plan_forward(message)).startswith(b"From: Anna <anna@demo-crm.example>\r\n")
