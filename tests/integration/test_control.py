"""The control endpoint, driven over HTTP."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
import requests

from local.clock import LocalClock
from local.control import Control
from local.faults import Fault, Faults
from local.http import HttpServer
from local.ledger import Call, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from email.message import EmailMessage
    from pathlib import Path

pytestmark = pytest.mark.integration

ANNA = "anna@demo-crm.example"


@dataclass
class PostOffice:
    """Stands for the Gmail stand-in at its boundary: keeps what was handed in, knows only Anna."""

    delivered: list[dict[str, Any]] = field(default_factory=list)

    def deliver(
        self,
        raw: bytes,
        *,
        to: str | Sequence[str],
        auth: str | None = None,
        labels: Sequence[str] = ("INBOX", "UNREAD"),
        at: datetime | None = None,
    ) -> dict[str, str]:
        addresses = [to] if isinstance(to, str) else list(to)
        if set(addresses) - {ANNA}:
            raise KeyError("no such mailbox")
        self.delivered.append({"raw": raw, "to": addresses, "auth": auth, "labels": list(labels), "at": at})
        return {ANNA: "18f0"}


@dataclass
class Stack:
    """The endpoint under test and what stands behind it."""

    url: str
    clock: LocalClock
    faults: Faults
    ledger: Ledger
    office: PostOffice

    def post(self, path: str, body: object) -> requests.Response:
        return requests.post(f"{self.url}{path}", json=body, timeout=10)

    def get(self, path: str, **query: str) -> Any:
        return requests.get(f"{self.url}{path}", params=query, timeout=10).json()

    def last_mail(self) -> EmailMessage:
        return message_from_bytes(self.office.delivered[-1]["raw"], policy=policy.default)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    clock, faults, ledger, office = LocalClock(tmp_path / "clock"), Faults(), Ledger(), PostOffice()
    server = HttpServer(Control(clock, faults, ledger, office).app)
    yield Stack(server.url, clock, faults, ledger, office)
    server.stop()


def test_injected_fault_waits_as_described(stack: Stack) -> None:
    """Every property of a fault can be given, and the fault then strikes."""
    given: dict[str, Any] = {
        "service": "gmail",
        "method": "users.messages.get",
        "mailbox": ANNA,
        "status": 429,
        "reason": "rateLimitExceeded",
        "message": "Slow down",
        "delay_s": 0.5,
        "drop_answer": True,
        "count": 2,
        "skip": 1,
    }

    answer = stack.post("/faults", given)

    assert (201, given | {"struck": 0}) == (answer.status_code, answer.json())
    assert {one.name for one in fields(Fault)} == {*given, "struck"}
    assert [Fault(**given)] == stack.faults.waiting()


def test_faults_are_listed_and_cleared(stack: Stack) -> None:
    """Waiting faults are told with how often they struck, until they are cleared."""
    stack.post("/faults", {"service": "oauth", "count": 2, "status": 503})
    stack.faults.take("oauth", "token")

    listed = stack.get("/faults")["faults"]
    cleared = requests.delete(f"{stack.url}/faults", timeout=10)

    assert [("oauth", 1, 1)] == [(one["service"], one["count"], one["struck"]) for one in listed]
    assert (204, []) == (cleared.status_code, stack.get("/faults")["faults"])


def test_clock_moves_forward(stack: Stack) -> None:
    """The clock advances by the seconds given and tells its time, aware."""
    before = stack.clock.now()

    told = datetime.fromisoformat(stack.post("/clock", {"advance_s": 86_400}).json()["now"])

    assert timedelta(seconds=86_400) <= told - before < timedelta(seconds=86_460)
    assert told <= datetime.fromisoformat(stack.get("/clock")["now"]) <= stack.clock.now()


def test_ledger_is_read_from_a_mark_by_service_and_mailbox(stack: Stack) -> None:
    """The ledger answers the calls since a mark, filtered, and the mark to go on from."""
    for service, mailbox in (("gmail", ANNA), ("gmail", ANNA), ("gmail", "ben@demo-crm.example"), ("oauth", ANNA)):
        stack.ledger.record(Call(service, "users.messages.get", mailbox, 20, 200, 1.0, 2.0, 7))

    answer = stack.get("/ledger", since="1", service="gmail", mailbox=ANNA)

    assert 4 == answer["mark"]
    assert [
        {
            "service": "gmail",
            "method": "users.messages.get",
            "mailbox": ANNA,
            "units": 20,
            "status": 200,
            "started_s": 1.0,
            "ended_s": 2.0,
            "http_id": 7,
        }
    ] == answer["calls"]


def test_summary_sums_units_and_calls_per_mailbox_and_method(stack: Stack) -> None:
    """The summary has one row for each service, mailbox and method."""
    for method, units in (("users.messages.get", 20), ("users.messages.get", 20), ("users.messages.list", 5)):
        stack.ledger.record(Call("gmail", method, ANNA, units, 200, 1.0, 2.0, 7))

    rows = stack.get("/ledger/summary")["rows"]

    assert [
        {"service": "gmail", "mailbox": ANNA, "method": "users.messages.get", "calls": 2, "units": 40},
        {"service": "gmail", "mailbox": ANNA, "method": "users.messages.list", "calls": 1, "units": 5},
    ] == rows
    assert [] == stack.get("/ledger/summary", since="3")["rows"]


def test_raw_mail_is_delivered_byte_for_byte(stack: Stack) -> None:
    """A mail given whole arrives unchanged, with the authentication, labels and time asked for."""
    raw = b"From: mia@customer.example\r\nSubject: \xff broken\r\n\r\nbody"
    body = {
        "raw_base64": base64.b64encode(raw).decode(),
        "to": ANNA,
        "auth": "fail",
        "labels": ["SPAM"],
        "at": "2026-11-01T10:00:00+02:00",
    }

    answer = stack.post("/mail", body)

    at = datetime(2026, 11, 1, 8, tzinfo=UTC)
    assert (201, {"delivered": {ANNA: "18f0"}}) == (answer.status_code, answer.json())
    assert [{"raw": raw, "to": [ANNA], "auth": "fail", "labels": ["SPAM"], "at": at}] == stack.office.delivered


def test_described_mail_is_composed(stack: Stack) -> None:
    """A mail described by its fields arrives with headers, text, HTML and attachment."""
    stack.post(
        "/mail",
        {
            "from": "Mia Müller <mia@customer.example>",
            "to": [ANNA],
            "subject": "Angebot für März",
            "text": "Grüße",
            "html": "<p>Grüße</p>",
            "in_reply_to": "<1@demo-crm.example>",
            "headers": {"List-Id": "<news.customer.example>"},
            "attachments": [
                {"filename": "Übersicht.pdf", "content_type": "application/pdf", "data_base64": "JVBERg=="}
            ],
        },
    )

    mail = stack.last_mail()
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    (attachment,) = mail.iter_attachments()
    assert text is not None
    assert html is not None
    assert ("Mia Müller <mia@customer.example>", ANNA) == (mail["From"], mail["To"])
    assert ("Angebot für März", "<1@demo-crm.example>") == (mail["Subject"], mail["In-Reply-To"])
    assert "<news.customer.example>" == mail["List-Id"]
    assert ("Grüße", "<p>Grüße</p>") == (text.get_content().strip(), html.get_content().strip())
    assert ("Übersicht.pdf", b"%PDF") == (attachment.get_filename(), attachment.get_content())
    assert (["INBOX", "UNREAD"], None) == (stack.office.delivered[-1]["labels"], stack.office.delivered[-1]["auth"])


def test_composed_mail_is_dated_by_the_clock(stack: Stack) -> None:
    """A mail without a time is dated now, by the stack's clock."""
    stack.clock.advance(10 * 86_400)

    stack.post("/mail", {"from": "mia@customer.example", "to": ANNA})

    assert abs(stack.last_mail()["Date"].datetime - stack.clock.now()) < timedelta(seconds=60)


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/faults", {}, "service"),
        ("/faults", {"service": "gmail", "statsu": 500}, "statsu"),
        ("/faults", {"service": "gmail", "status": "500"}, "status"),
        ("/faults", {"service": "gmail", "status": True}, "status"),
        ("/faults", {"service": "gmail", "status": 200}, "status"),
        ("/faults", {"service": "gmail", "drop_answer": 1}, "drop_answer"),
        ("/faults", {"service": "gmail", "count": 0}, "count"),
        ("/faults", {"service": "gmail", "delay_s": 10_000}, "delay_s"),
        ("/faults", ["gmail"], "object"),
        ("/clock", {}, "advance_s"),
        ("/clock", {"advance_s": -1}, "forward"),
        ("/clock", {"advance_s": "1"}, "advance_s"),
        ("/clock", {"advance_s": 1, "rewind": True}, "rewind"),
        ("/mail", {}, "to"),
        ("/mail", {"to": "anna", "from": "mia@customer.example"}, "to"),
        ("/mail", {"to": ANNA}, "from"),
        ("/mail", {"to": ANNA, "raw_base64": "not base64!"}, "raw_base64"),
        ("/mail", {"to": ANNA, "raw_base64": "YQ==", "subject": "twice"}, "subject"),
        ("/mail", {"to": ANNA, "from": "mia@customer.example", "subject": "a\r\nBcc: all@x.example"}, "header"),
        ("/mail", {"to": ANNA, "from": "mia@customer.example", "headers": ["X-A"]}, "headers"),
        ("/mail", {"to": ANNA, "from": "mia@customer.example", "headers": {"From": "two@x.example"}}, "header"),
        ("/mail", {"to": ANNA, "from": "mia@customer.example", "at": "yesterday"}, "RFC 3339"),
        ("/mail", {"to": ANNA, "from": "mia@customer.example", "at": "2026-11-01T10:00:00"}, "zone"),
        ("/mail", {"to": ANNA, "from": "mia@customer.example", "attachments": ["a"]}, "attachments"),
        (
            "/mail",
            {"to": ANNA, "from": "mia@customer.example", "attachments": [{"content_type": "pdf"}]},
            "content_type",
        ),
        ("/mail", {"to": ANNA, "from": "mia@customer.example", "labels": "INBOX"}, "labels"),
        ("/mail", {"to": "nobody@demo-crm.example", "from": "mia@customer.example"}, "mailbox"),
    ],
)
def test_bad_input_is_refused_with_what_to_change(stack: Stack, path: str, body: object, word: str) -> None:
    """Bad input is 400 with a message that names the trouble, and changes nothing."""
    before = stack.clock.now()

    answer = stack.post(path, body)

    assert 400 == answer.status_code
    assert word in answer.json()["message"]
    assert ([], []) == (stack.faults.waiting(), stack.office.delivered)
    assert stack.clock.now() - before < timedelta(seconds=30)


def test_bad_mark_and_unknown_paths_are_answered_in_json(stack: Stack) -> None:
    """A mark that is no number is 400, an unknown path 404, a wrong method 405, all as JSON."""
    answers = [
        requests.get(f"{stack.url}/ledger?since=-1", timeout=10),
        requests.get(f"{stack.url}/nowhere", timeout=10),
        requests.put(f"{stack.url}/clock", timeout=10),
    ]

    assert [400, 404, 405] == [answer.status_code for answer in answers]
    assert [True, True, True] == ["message" in answer.json() for answer in answers]


def test_form_from_a_web_page_is_refused(stack: Stack) -> None:
    """What a web page elsewhere can send without asking (a form, plain text) is refused."""
    answer = requests.post(
        f"{stack.url}/clock", data='{"advance_s": 1}', headers={"Content-Type": "text/plain"}, timeout=10
    )

    assert (400, "the body must be application/json") == (answer.status_code, answer.json()["message"])
