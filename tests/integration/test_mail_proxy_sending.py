"""What people write goes out as they mean it: new mails, answers, forwarded ones, files, aliases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email import policy
from email.message import EmailMessage

import pytest

from local.gmail.contract import SendAs
from local.stack import Stack
from tests.integration.sending_rig import (
    ANNA,
    BEN,
    MESSAGES,
    MIA,
    begin,
    calls_of,
    files_of,
    inject,
    mail,
    post,
    problem,
    received,
    sent,
    text_of,
)

pytestmark = pytest.mark.integration
MEGABYTE = 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
SALES = "sales@demo-crm.example"


@pytest.fixture
def anna(stack: Stack) -> Stack:
    """The stack with Anna connected."""
    return begin(stack)


@pytest.fixture
def aliased(stack: Stack) -> Iterator[Stack]:
    """Anna has two more addresses, of which one is verified."""
    stack.google.gmail.mailbox(ANNA).aliases += [
        SendAs(SALES, display_name="Vertrieb", signature="<b>Vertrieb</b><script>x()</script>", reply_to=ANNA),
        SendAs("old@demo-crm.example", verification_status="pending"),
    ]
    yield begin(stack)
    del stack.google.gmail.mailbox(ANNA).aliases[1:]


def from_mia(**headers: str) -> EmailMessage:
    """A mail of Mia's to Anna."""
    message = EmailMessage()
    fields = {"From": f"Mia Kunde <{MIA}>", "To": ANNA, "Subject": "Frage", "Message-ID": "<first@customer.example>"}
    for name, value in (fields | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        message[name] = value
    message.set_content("Wann kommt es?\n")
    return message


def deliver(stack: Stack, message: EmailMessage | bytes, to: str = ANNA) -> str:
    raw = message if isinstance(message, bytes) else message.as_bytes()
    return stack.deliver(raw, to=to)[to]


def answer_to(message_id: str, **changes: object) -> dict[str, object]:
    return {"mode": "reply", "message_id": message_id, "text": "Morgen"} | changes


def addresses(message: EmailMessage, name: str) -> list[str]:
    return [one.addr_spec for one in message[name].addresses] if message[name] else []


def test_new_mail(anna: Stack) -> None:
    """Names with umlauts, a subject beyond ASCII, text and HTML arrive as they were written; Bcc stays hidden."""
    body = mail(
        to=[{"address": MIA, "name": "Mia Müller, Köln"}],
        cc=[{"address": BEN, "name": "Ben"}],
        bcc=[{"address": "carla@demo-crm.example"}],
        subject="Grüße €",
        text="Hallo",
        html="<p>Hallo <b>Mia</b></p>",
    )
    post(anna, body)
    (arrived,) = received(anna)

    assert (f"Anna Berger <{ANNA}>", "Grüße €") == (str(arrived["From"]), arrived["Subject"])
    assert ["Mia Müller, Köln"] == [one.display_name for one in arrived["To"].addresses]
    assert ("Hallo", "<p>Hallo <b>Mia</b></p>") == (text_of(arrived), text_of(arrived, "html"))
    assert arrived["Bcc"] is None
    assert 1 == len(received(anna, "carla@demo-crm.example"))


def test_html_alone_gets_a_text(anna: Stack) -> None:
    """A mail written as HTML alone has a text for those who read text."""
    post(anna, {"to": [{"address": MIA}], "subject": "x", "html": "<p>Eins</p><p>Zwei</p>"})

    assert "Eins\n\nZwei" == text_of(received(anna)[0])


def test_files_keep_names_and_content(anna: Stack) -> None:
    """Files arrive under their names, umlauts too, byte by byte, whatever they hold."""
    content = bytes(range(256)) * 40
    files = [
        ("file", ("Übersicht Köln.pdf", content, "application/pdf")),
        ("more", ("leer.txt", b"", "text/plain")),
        ("file", ("../../etc/passwd", b"x", "text/plain")),
    ]
    post(anna, mail(), files=files)

    assert {"Übersicht Köln.pdf": content, "leer.txt": b"", "passwd": b"x"} == files_of(received(anna)[0])


def test_message_part_may_be_a_blob(anna: Stack) -> None:
    """A browser's FormData gives the JSON a file name; it is the message all the same."""
    message = ("blob", b'{"to": [{"address": "mia@customer.example"}], "text": "Hallo"}', "application/json")
    headers = {"Idempotency-Key": "key"}
    anna.ask("anna", "POST", MESSAGES, headers=headers, files=[("message", message), ("file", ("a.txt", b"a"))])

    assert {"a.txt": b"a"} == files_of(received(anna)[0])


def test_inline_image(anna: Stack) -> None:
    """A file in a part called cid:… is the image that the HTML shows."""
    post(anna, mail(html='<img src="cid:logo">'), files=[("cid:logo", ("logo.png", PNG, "image/png"))])
    images = [part for part in received(anna)[0].walk() if part.get_content_type() == "image/png"]

    assert [("<logo>", "inline", PNG)] == [
        (part["Content-ID"], part.get_content_disposition(), part.get_payload(decode=True)) for part in images
    ]


def test_25_megabytes(anna: Stack) -> None:
    """Nearly 25 MB of files go out in one piece, for one send."""
    content = b"0123456789abcdef" * (24 * MEGABYTE // 16)
    called = calls_of(anna, lambda: post(anna, mail(), files=[("file", ("plan.bin", content, "application/zip"))]))

    assert 1 == called.count("messages.send")
    assert {"plan.bin": content} == files_of(received(anna)[0])


@pytest.mark.parametrize("size", [26 * MEGABYTE, 30 * MEGABYTE])
def test_more_than_25_megabytes(anna: Stack, size: int) -> None:
    """More than 25 MB are refused with an answer, and nothing is sent."""
    answer = post(anna, mail(), files=[("file", ("plan.bin", bytes(size), "application/zip"))])

    assert 413 == problem(answer)[0]
    assert [] == sent(anna)
    assert 404 == anna.call("anna", "GET", "/mail_proxy/sends/key").status_code


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("multipart/form-data", b"x", "invalid-multipart"),
        ("multipart/form-data; boundary=b", b"no boundary", "invalid-multipart"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n", "invalid-multipart"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n',
            "invalid-multipart",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\n{"to": 1}\r\n--b--\r\n',
            "invalid-body",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\n{}\r\n--b\r\n'
            b'Content-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
            "invalid-multipart",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="\xff"; filename="\xff"\r\n\r\nx\r\n--b--\r\n',
            "invalid-multipart",
        ),
        ("application/json", b"{", "invalid-json"),
        ("application/json", b'{"from_address": "x"}', "invalid-body"),
        ("application/json", b'{"mode": "reply", "text": "x"}', "invalid-body"),
        ("application/json", b'{"message_id": "18c0", "text": "x"}', "invalid-body"),
    ],
)
def test_broken_bodies(anna: Stack, content_type: str, body: bytes, code: str) -> None:
    """A body that is not what it says it is, is refused."""
    headers = {"Idempotency-Key": "key", "Content-Type": content_type}

    assert (400, code) == problem(anna.call("anna", "POST", MESSAGES, data=body, headers=headers))


def test_too_many_parts(anna: Stack) -> None:
    """Thousands of tiny parts are refused."""
    files = [("file", ("a", b"", "text/plain"))] * 1000

    assert 413 == problem(post(anna, mail(), files=files))[0]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"subject": "a\r\nBcc: x@y.example"}, "header-injection"),
        ({"subject": "nul\0"}, "header-injection"),
        ({"to": [{"address": f"{MIA}\nBcc: x@y.example"}]}, "header-injection"),
        ({"cc": [{"address": MIA, "name": "Mia\rX"}]}, "header-injection"),
        ({"bcc": [{"address": "no address"}]}, "invalid-address"),
        ({"to": [{"address": f"{MIA}, x@y.example"}]}, "invalid-address"),
        ({"to": []}, "no-recipients"),
        ({"to": [{"address": f"a{number}@b.example"} for number in range(501)]}, "too-many-recipients"),
        ({"from": "ceo@demo-crm.example"}, "sender-not-verified"),
        ({"from": f"{ANNA}\nBcc: x@y.example"}, "sender-not-verified"),
        ({"from": MIA}, "sender-not-verified"),
    ],
)
def test_what_cannot_be_sent(anna: Stack, changes: dict[str, object], code: str) -> None:
    """What must not or cannot become a header is refused by name, and nothing is sent."""
    assert (422, code) == problem(post(anna, mail(**changes)))
    assert [] == sent(anna)


@pytest.mark.parametrize("name", ["a\r\nX-Evil: 1.txt", "a\0.txt"])
def test_injection_by_file_name(anna: Stack, name: str) -> None:
    """A file name makes no header of its own, however it is written."""
    head = f'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\n{{"to":[{{"address":"{MIA}"}}]}}\r\n--b\r\n'
    part = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n\r\nx\r\n--b--\r\n'
    headers = {"Idempotency-Key": "key", "Content-Type": "multipart/form-data; boundary=b"}
    answer = anna.call("anna", "POST", MESSAGES, data=(head + part).encode(), headers=headers)

    assert answer.status_code in {200, 400, 422}
    assert not any("X-Evil" in part for one in sent(anna) for part in one.walk())


# Who the mail is from


def test_identities(aliased: Stack) -> None:
    """The verified addresses are offered, with signatures that are safe to show."""
    identities = aliased.ask("anna", "GET", "/mail_proxy/identities")["identities"]

    assert [(ANNA, True, True, ""), (SALES, False, False, "<b>Vertrieb</b>")] == [
        (one["address"], one["primary"], one["default"], one["signature"]) for one in identities
    ]
    assert ANNA == identities[1]["reply_to"]


def test_alias(aliased: Stack) -> None:
    """A mail goes out from a verified alias, under the name that belongs to it; from one not verified it does not."""
    called = calls_of(aliased, lambda: post(aliased, mail(**{"from": SALES.upper()})))
    refused = post(aliased, mail(**{"from": "old@demo-crm.example"}), key="other")

    assert ["settings.sendAs.list", "messages.send"] == called
    assert f"Vertrieb <{SALES}>" == str(received(aliased)[0]["From"])
    assert (422, "sender-not-verified") == problem(refused)


def test_answer_comes_from_the_address_written_to(aliased: Stack) -> None:
    """The answer to a mail that came to an alias goes out from that alias."""
    message_id = deliver(aliased, from_mia(To=SALES), to=ANNA)
    post(aliased, answer_to(message_id))

    assert SALES == addresses(sent(aliased)[0], "From")[0]


def test_answer_from_an_alias_that_is_gone(aliased: Stack) -> None:
    """Where the alias written to is verified no more, the answer goes out from the mailbox's own address."""
    message_id = deliver(aliased, from_mia(To=SALES), to=ANNA)
    aliases = aliased.google.gmail.mailbox(ANNA).aliases
    aliases[1] = SendAs(SALES, verification_status="pending")
    answer = post(aliased, answer_to(message_id))
    named = post(aliased, answer_to(message_id, **{"from": SALES}), key="named")

    assert (200, [ANNA]) == (answer.status_code, addresses(sent(aliased)[0], "From"))
    assert (422, "sender-not-verified") == problem(named)


# Answers


def test_reply_joins_the_conversation(anna: Stack) -> None:
    """A reply goes to who wrote, under the same subject, refers to all before it, quotes, and lands in both threads."""
    message_id = deliver(anna, from_mia(References="<zero@customer.example>"))
    thread_id = anna.ask("anna", "GET", f"{MESSAGES}/{message_id}")["thread_id"]
    answer = post(anna, answer_to(message_id)).json()
    (arrived,) = received(anna)

    assert thread_id == answer["thread_id"]
    assert ([MIA], "Re: Frage") == (addresses(arrived, "To"), arrived["Subject"])
    assert "<first@customer.example>" == arrived["In-Reply-To"]
    assert ["<zero@customer.example>", "<first@customer.example>"] == arrived["References"].split()
    assert text_of(arrived).startswith("Morgen\n\nOn ")
    assert text_of(arrived).endswith("> Wann kommt es?")


def test_reply_in_german(anna: Stack) -> None:
    """The quote is introduced in the connection's language."""
    anna.ask("anna", "PATCH", "/oauth_callback/connection", json={"locale": "de"})
    post(anna, answer_to(deliver(anna, from_mia())))

    assert "schrieb Mia Kunde" in text_of(received(anna)[0])


def test_mias_answer_to_the_answer(anna: Stack) -> None:
    """What comes back belongs to the same conversation, and so does the answer to that."""
    first = deliver(anna, from_mia())
    post(anna, answer_to(first))
    own = received(anna)[0]
    back = from_mia(
        Message_ID="<second@customer.example>", In_Reply_To=own["Message-ID"], References=own["Message-ID"],
        Subject="Re: Frage",
    )  # fmt: skip
    second = deliver(anna, back)
    last = post(anna, answer_to(second), key="second").json()

    threads = {anna.ask("anna", "GET", f"{MESSAGES}/{one}")["thread_id"] for one in (first, second, last["id"])}
    assert {last["thread_id"]} == threads
    assert "Re: Frage" == received(anna)[0]["Subject"]


def test_reply_all(aliased: Stack) -> None:
    """All get the answer, but not the writer's own addresses, and nobody twice; Reply-To goes before From."""
    message = from_mia(To=f"{ANNA}, {BEN}", Cc=f"{SALES}, Ben <{BEN}>, carla@demo-crm.example", Reply_To=f"M <{MIA}>")
    post(aliased, answer_to(deliver(aliased, message), mode="reply_all"))
    arrived = received(aliased)[0]

    assert ([MIA], [BEN, "carla@demo-crm.example"]) == (addresses(arrived, "To"), addresses(arrived, "Cc"))


@pytest.mark.parametrize(
    ("changes", "to", "subject", "joins"),
    [
        ({"to": [{"address": BEN}]}, [BEN], "Re: Frage", True),
        ({"subject": "Etwas anderes"}, [MIA], "Etwas anderes", False),
        ({"quote": False}, [MIA], "Re: Frage", True),
    ],
)
def test_reply_may_be_changed(
    anna: Stack, changes: dict[str, object], to: Sequence[str], subject: str, joins: bool
) -> None:
    """Recipients, subject and quote may be others; under another subject another conversation begins."""
    message_id = deliver(anna, from_mia())
    thread_id = anna.ask("anna", "GET", f"{MESSAGES}/{message_id}")["thread_id"]
    answer = post(anna, answer_to(message_id, **changes)).json()
    (mine,) = sent(anna)

    assert (to, subject, joins) == (addresses(mine, "To"), mine["Subject"], answer["thread_id"] == thread_id)
    assert changes.get("quote", True) == ("Wann kommt es?" in text_of(mine))


@pytest.mark.parametrize(
    "headers",
    [
        {"Subject": "=?utf-8?q?a=0AX-Evil:_1?="},
        {"From": "=?utf-8?q?Mia=0D=0AX-Evil:_1?= <mia@customer.example>"},
        {"Message-ID": "<ümläut id@customer.example>", "References": "<a b@c> <\u0100\u2028@x> junk"},
        {"Message-ID": "<" + "x" * 2000 + "@customer.example>"},
        {"Reply-To": "undisclosed-recipients:;"},
        {"From": "Mia <mia@customer.example>, ben@demo-crm.example"},
    ],
)
def test_reply_to_a_strange_mail(anna: Stack, headers: dict[str, str]) -> None:
    """Whatever stands in a stranger's headers, the mail can be answered, and nothing of it becomes a header."""
    fields = {"From": MIA, "To": ANNA, "Subject": "Frage"} | headers
    raw = "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\nText\r\n"
    answer = post(anna, answer_to(deliver(anna, raw.encode())))

    assert (200, "sent") == (answer.status_code, answer.json()["state"])
    assert sent(anna)[0]["X-Evil"] is None


def test_reply_to_nobody(anna: Stack) -> None:
    """A mail that names no sender can be answered only where the writer names one."""
    message_id = deliver(anna, b"Subject: x\r\nTo: anna@demo-crm.example\r\n\r\nx\r\n")
    refused = post(anna, answer_to(message_id))
    named = post(anna, answer_to(message_id, to=[{"address": MIA}]))

    assert (422, "no-recipients") == problem(refused)
    assert 200 == named.status_code


def test_reply_to_a_mail_that_is_gone(anna: Stack) -> None:
    """The mail meant must be one of the caller's own."""
    of_ben = deliver(anna, from_mia(To=BEN), to=BEN)

    assert (404, "not-found") == problem(post(anna, answer_to(of_ben)))
    assert (404, "not-found") == problem(post(anna, answer_to("18c0ffee")))


# Forwarded mails


def with_files() -> EmailMessage:
    message = from_mia(Bcc="secret@customer.example")
    message.add_alternative('<p>Wann <b>kommt</b> es?<img src="cid:pic"></p>', subtype="html")
    message.get_payload()[1].add_related(PNG, "image", "png", cid="<pic>", filename="pic.png")  # type: ignore[union-attr, index]
    message.add_attachment(b"%PDF-1.7", "application", "pdf", filename="Plan für Köln.pdf")
    message.add_attachment(from_mia(Subject="Inneres"))
    return message


def test_forward(anna: Stack) -> None:
    """A forwarded mail quotes the original with its HTML and images, and takes its attachments along; not its Bcc."""
    body = {
        "mode": "forward", "message_id": deliver(anna, with_files()), "to": [{"address": BEN}], "text": "Schau mal",
    }  # fmt: skip
    post(anna, body)
    (arrived,) = received(anna, BEN)
    html = text_of(arrived, "html")

    assert "Fwd: Frage" == arrived["Subject"]
    assert text_of(arrived).startswith("Schau mal\n\n---------- Forwarded message")
    assert ("Wann <b>kommt</b> es?" in html, "cid:pic" in html) == (True, True)
    assert "secret@" not in html + text_of(arrived)
    files = files_of(arrived)
    assert b"%PDF-1.7" == files["Plan für Köln.pdf"]
    assert b"Inneres" in next(content for name, content in files.items() if name.endswith(".eml"))


def test_forward_as_attachment(anna: Stack) -> None:
    """A mail may be forwarded whole, as the mail that it is, byte by byte."""
    message_id = deliver(anna, with_files().as_bytes(policy=policy.SMTP))
    source = anna.google.gmail.mailbox(ANNA).message(message_id).raw
    body = {"mode": "forward", "message_id": message_id, "to": [{"address": BEN}], "as_attachment": True}
    post(anna, body | {"text": "Anbei"})
    (arrived,) = received(anna, BEN)

    assert "Anbei" == text_of(arrived)
    assert [("message/rfc822", "Frage.eml")] == [
        (part.get_content_type(), part.get_filename()) for part in arrived.iter_attachments()
    ]
    assert source in next(iter(anna.google.gmail.mailbox(BEN).newest_first())).raw


def test_forward_of_a_deep_mail(anna: Stack) -> None:
    """A mail nested beyond reason is refused or forwarded, and always as a file."""
    raw = b"From: mia@customer.example\r\nTo: anna@demo-crm.example\r\nSubject: deep\r\n"
    for _ in range(1500):
        raw += b"Content-Type: message/rfc822\r\n\r\n"
    message_id = deliver(anna, raw + b"\r\nx\r\n")
    body = {"mode": "forward", "message_id": message_id, "to": [{"address": BEN}], "text": "x"}
    quoted = post(anna, body)
    whole = post(anna, body | {"as_attachment": True}, key="whole")

    assert quoted.status_code in {200, 422}
    assert 200 == whole.status_code


@pytest.mark.parametrize("reason", ["missing", "scope"])
def test_who_may_send(stack: Stack, reason: str) -> None:
    """Without a connection, or without the scope, nothing is sent, and the answer says how to mend it."""
    stack.google.add_account(MIA, "Mia Kunde")
    if reason == "scope":
        stack.connect("anna", features=["mail"], untick=["https://www.googleapis.com/auth/gmail.send"])
    answer = post(stack, mail())

    assert (409, "scope-missing" if reason == "scope" else "not-connected") == problem(answer)
    assert (["mail"] if reason == "scope" else None) == answer.json().get("features")


def test_daily_limit(anna: Stack) -> None:
    """Gmail's limit of mails a day is told with its time, and reading goes on."""
    hint = "User-rate limit exceeded.  Retry after 2099-01-01T00:00:00.000Z (Mail sending)"
    inject(anna, "gmail", "users.messages.send", status=429, reason="rateLimitExceeded", message=hint)
    answer = post(anna, mail())

    assert (429, "gmail-rate-limited") == problem(answer)
    assert int(answer.headers["Retry-After"]) > 86_400
    assert 200 == anna.call("anna", "GET", "/mail_proxy/labels").status_code
