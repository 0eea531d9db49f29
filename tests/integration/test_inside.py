"""What the demo CRM's side panel asks, over HTTP: what happened, in names alone, and deeds that make things happen."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from local.crm.people import ANNA
from local.ready_mails import MAILS
from local.stack import Stack
from tests.integration.mailbox_rig import show

pytestmark = pytest.mark.integration


def happened(stack: Stack, mark: int = 0) -> list[dict[str, Any]]:
    """The lines of the panel since the mark."""
    lines: list[dict[str, Any]] = panel(stack, mark)["happenings"]
    return lines


def panel(stack: Stack, mark: int = 0) -> Any:
    return requests.get(f"{stack.crm_url}/inside/happenings.json?since={mark}", timeout=10).json()


def mark_of(stack: Stack) -> int:
    return int(panel(stack)["mark"])


def press(stack: Stack, deed: str, **body: Any) -> requests.Response:
    return requests.post(f"{stack.crm_url}/inside/do/{deed}", json=body, timeout=100)


def done(stack: Stack, deed: str, **body: Any) -> Any:
    answer = press(stack, deed, **body)
    assert 200 == answer.status_code, answer.text
    return answer.json()


def labels_of(stack: Stack, mail_id: str) -> set[str]:
    return stack.labels_of("anna", mail_id)


def test_a_customers_mail_is_seen_on_its_way(magnet: Stack) -> None:
    """The push, the calls to Gmail with their units and the written notice are told, the notice by its fields."""
    mark = mark_of(magnet)

    mail_id = done(magnet, "mail", user="anna", mail="question")["mail_id"]
    magnet.settle()

    lines = happened(magnet, mark)
    assert {("push", "push", 204)} <= {(one["kind"], one["what"], one["status"]) for one in lines}
    gmail = [(one["what"], one["where"], one["units"]) for one in lines if one["kind"] == "gmail"]
    assert [("history.list", ANNA.email, 2), ("messages.get", ANNA.email, 20)] == gmail
    (notice,) = [one for one in lines if one["kind"] == "firestore" and one["where"].endswith(f"notices/{mail_id}")]
    assert {"from_address", "received_at", "expires_at"} <= set(notice["fields"])


def test_no_line_holds_anything_of_a_mail(sorted_mailbox: Stack) -> None:
    """Neither subject nor text nor file name nor address of a customer is in the panel, whatever was done."""
    mark = mark_of(sorted_mailbox)
    mail_id = done(sorted_mailbox, "mail", user="anna", mail="attachment")["mail_id"]
    sorted_mailbox.settle()
    sorted_mailbox.ask("anna", "POST", "/mail_proxy/messages/search", json={"q": "Grundriss"})
    show(sorted_mailbox, mail_id)
    done(sorted_mailbox, "sweep")

    told = str(happened(sorted_mailbox, mark))

    assert [] == [word for word in ("Grundriss", "Schreibtisch", "mia@", "Mia", "customer.example") if word in told]
    kinds = {one["kind"] for one in happened(sorted_mailbox, mark)}
    assert {"request", "gmail", "firestore", "task_created", "task_run", "push", "job", "done"} <= kinds


def test_lines_come_once_each_from_mark_to_mark(magnet: Stack) -> None:
    """Who goes on from the mark gets what came since, and nothing twice."""
    first = panel(magnet)

    assert [] == happened(magnet, first["mark"])
    done(magnet, "sweep")
    numbers = [one["number"] for one in happened(magnet, first["mark"])]
    assert sorted(set(numbers)) == numbers
    assert min(numbers) > first["mark"]


@pytest.mark.parametrize("mail", [mail.id for mail in MAILS])
def test_ready_mails_arrive_and_can_be_read(crm: Stack, mail: str) -> None:
    """Each of the mails that wait for a button comes through the product in a form that can be shown."""
    crm.connect("anna")

    mail_id = done(crm, "mail", user="anna", mail=mail)["mail_id"]

    shown = show(crm, mail_id)
    assert next(one.subject for one in MAILS if one.id == mail) == shown["subject"]
    assert "<script" not in shown["html"]


def test_the_mail_with_everything_has_it(crm: Stack) -> None:
    """The attachment, the picture inside and the pictures outside of the ready-made mail are found by the product."""
    crm.connect("anna")

    shown = show(crm, done(crm, "mail", user="anna", mail="attachment")["mail_id"])

    assert ["Grundriss 2. Stock.pdf"] == [one["filename"] for one in shown["attachments"] if not one.get("inline")]
    assert 2 == shown["blocked_remote"]
    assert "data:image/png" in shown["html"]


def test_whoever_was_written_to_answers(crm: Stack) -> None:
    """An answer to the user's last mail comes into its conversation; where nothing was sent there is none."""
    crm.connect("anna")
    assert 400 == press(crm, "answer", user="anna").status_code
    message = {"to": [{"address": "mia@customer.example"}], "subject": "Offer", "text": "Here it is."}
    headers = {"Idempotency-Key": "one"}
    sent = crm.ask("anna", "POST", "/mail_proxy/messages", json=message, headers=headers)

    answer = show(crm, done(crm, "answer", user="anna")["mail_id"])

    assert ("mia@customer.example", "Re: Offer") == (answer["from"]["address"], answer["subject"])
    assert show(crm, sent["id"])["thread_id"] == answer["thread_id"]


def test_a_won_deal_moves_mail(sorted_mailbox: Stack) -> None:
    """The deal is won by the CRM's back end, its page shows it won, and the next sweep moves the customer's mail."""
    mail_id = done(sorted_mailbox, "mail", user="anna", mail="question")["mail_id"]
    sorted_mailbox.settle()
    done(sorted_mailbox, "sweep")
    assert "Closing This Month (CTM)" in labels_of(sorted_mailbox, mail_id)

    done(sorted_mailbox, "deal", deal="d-01", state="won")
    done(sorted_mailbox, "sweep")

    assert "Customers" in labels_of(sorted_mailbox, mail_id)
    records = requests.get(f"{sorted_mailbox.crm_url}/records.json?user=anna", timeout=10).json()
    assert ["won"] == [deal["state"] for deal in records["deals"] if deal["id"] == "d-01"]


def test_a_month_passes_as_if_nobody_slept(sorted_mailbox: Stack) -> None:
    """At the turn of the month mail follows its deal, the watch lives on, and records keep the dates that they had."""
    # Late in the evening: what follows each day must not carry the last one beyond midnight.
    now = sorted_mailbox.clock.now()
    sorted_mailbox.advance((now.replace(hour=23, minute=20) - now).total_seconds() % 86_400)
    mail_id = done(sorted_mailbox, "mail", user="anna", mail="question")["mail_id"]
    sorted_mailbox.settle()
    done(sorted_mailbox, "sweep")
    before = sorted_mailbox.records.all()
    month = sorted_mailbox.clock.now().month

    done(sorted_mailbox, "month")

    now = sorted_mailbox.clock.now()
    assert (month % 12 + 1, 1) == (now.month, now.day)
    assert "Open Deals" in labels_of(sorted_mailbox, mail_id)
    assert before == sorted_mailbox.records.all()
    connection = sorted_mailbox.ask("anna", "GET", "/oauth_callback/connection")
    assert "on" == connection["mailmagnet"]["state"]


def test_revoked_at_google_is_known_at_once(magnet: Stack) -> None:
    """Google's event makes the connection ask for a new consent."""
    done(magnet, "revoke", user="anna")

    assert "reauth_required" == magnet.ask("anna", "GET", "/oauth_callback/connection")["status"]


def test_trouble_comes_and_goes(magnet: Stack) -> None:
    """A spent minute is refused with a time to come again; a failing Gmail is told as such; mended, all is well."""
    search = ("anna", "POST", "/mail_proxy/messages/search")
    done(magnet, "quota", user="anna")
    limited = magnet.call(*search, json={})
    assert (429, "gmail-rate-limited") == (limited.status_code, limited.json()["code"])
    assert int(limited.headers["Retry-After"]) > 0
    done(magnet, "mend")
    assert 200 == magnet.call(*search, json={}).status_code

    done(magnet, "outage", user="anna")
    assert 503 == magnet.call(*search, json={"q": "in:anywhere"}).status_code
    done(magnet, "slow", user="anna")
    troubles = requests.get(f"{magnet.crm_url}/inside/choices.json", timeout=10).json()["troubles"]
    assert [("gmail", ANNA.email)] == sorted({(one["service"], one["mailbox"]) for one in troubles})
    done(magnet, "mend")
    assert [] == requests.get(f"{magnet.crm_url}/inside/choices.json", timeout=10).json()["troubles"]


@pytest.mark.parametrize(
    ("deed", "body", "status"),
    [
        ("mail", {"user": "mallory", "mail": "question"}, 400),
        ("mail", {"user": "anna", "mail": "bomb"}, 400),
        ("deal", {"deal": "d-99"}, 400),
        ("deal", {"deal": "d-01", "state": "stolen"}, 400),
        ("explode", {}, 404),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(stack: Stack, deed: str, body: dict[str, str], status: int) -> None:
    """Unknown deeds, people, mails and deals change nothing and say what would be right."""
    answer = press(stack, deed, **body)

    assert status == answer.status_code
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
    ],
)
def test_pages_elsewhere_can_neither_look_nor_press(stack: Stack, headers: dict[str, str]) -> None:
    """Another origin, or a foreign name for this machine, is 403, and nothing was done."""
    before = stack.clock.now()

    answers = [
        requests.get(f"{stack.crm_url}/inside/happenings.json", headers=headers, timeout=10),
        requests.get(f"{stack.crm_url}/inside/choices.json", headers=headers, timeout=10),
        requests.post(f"{stack.crm_url}/inside/do/sweep", json={}, headers=headers, timeout=10),
    ]

    assert [403, 403, 403] == [answer.status_code for answer in answers]
    assert [None, None, None] == [answer.headers.get("Access-Control-Allow-Origin") for answer in answers]
    assert (stack.clock.now() - before).total_seconds() < 300


def test_a_form_cannot_press(stack: Stack) -> None:
    """What a page may send without asking, a form or plain text, is refused."""
    url = f"{stack.crm_url}/inside/do/sweep"

    assert 415 == requests.post(url, data="{}", headers={"Content-Type": "text/plain"}, timeout=10).status_code
    assert 415 == requests.post(url, data={"user": "anna"}, timeout=10).status_code
