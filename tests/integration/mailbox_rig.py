"""What the tests of mail_proxy's reading share: mails with files, calls, and what they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import requests

from local.crm.people import ANNA
from local.ledger import Call
from local.stack import Stack

SEARCH = "/mail_proxy/messages/search"
MODIFY = "/mail_proxy/messages/modify"
MIA = "Mia Schneider <mia@customer.example>"


def gmail_calls(stack: Stack, work: Callable[[], object]) -> list[Call]:
    """The calls to Gmail that a piece of work makes."""
    mark = stack.ledger.mark()
    work()
    return stack.ledger.since(mark, service="gmail")


def counted(calls: list[Call]) -> dict[str, int]:
    """How many calls there are of each method."""
    return dict(Counter(call.method.removeprefix("users.") for call in calls))


def search(stack: Stack, user: str = "anna", **body: Any) -> Any:
    """A page of the user's mail."""
    return stack.ask(user, "POST", SEARCH, json=body)


def ids_of(page: Any) -> list[str]:
    """The ids on a page, in order."""
    return [message["id"] for message in page["messages"]]


def show(stack: Stack, mail_id: str, query: str = "") -> Any:
    """One mail of Anna's, opened."""
    return stack.ask("anna", "GET", f"/mail_proxy/messages/{mail_id}{query}")


def download(stack: Stack, mail_id: str, part_id: str) -> requests.Response:
    """What the attachment's route answers Anna."""
    return stack.call("anna", "GET", f"/mail_proxy/messages/{mail_id}/attachments/{part_id}")


def refusal(response: requests.Response) -> tuple[int, str]:
    """The status and code of a problem."""
    return response.status_code, response.json()["code"]


def mail_with(*attachments: tuple[bytes, str, str], html: str = "") -> EmailMessage:
    """A mail of Mia's with (content, type, file name) attached."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = MIA, ANNA.email, "With files"
    mail.set_content("See attached")
    if html:
        mail.add_alternative(html, subtype="html")
    for content, kind, name in attachments:
        maintype, _, subtype = kind.partition("/")
        mail.add_attachment(content, maintype, subtype, filename=name)
    return mail


def deliver(stack: Stack, mail: EmailMessage | bytes) -> str:
    """Delivers the mail to Anna and returns Gmail's id."""
    raw = mail if isinstance(mail, bytes) else mail.as_bytes()
    return stack.deliver(raw, to=ANNA.email)[ANNA.email]
