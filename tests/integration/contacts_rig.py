"""What the tests of contacts and colleagues share: a team, mails, ways to open them, and ways to close them again."""

from __future__ import annotations

from collections.abc import Callable
from email.message import EmailMessage
from typing import Any, Final

import requests

from local.crm.people import BACKEND, directory
from local.stack import Stack

MIA = "Mia Schneider <mia@customer.example>"
JONAS = "Jonas Weber <jonas.weber@weber-bau.example>"
CONNECTION = "/oauth_callback/connection"


def begin(stack: Stack) -> Stack:
    """Loads the CRM's records and connects Anna and Ben; Anna shares what she chooses, which is nothing yet."""
    stack.load_directory()
    stack.connect("anna")
    stack.connect("ben", features=("mail",))
    stack.ask("anna", "PATCH", CONNECTION, json={"sharing": "custom"})
    return stack


def share(stack: Stack, contact: str = "mia", user: str = "anna") -> Any:
    return stack.ask(user, "PUT", f"/mail_proxy/contacts/{contact}/share")


def emails(stack: Stack, user: str, contact: str = "mia", **body: Any) -> Any:
    """A page of the contact's mails."""
    return stack.ask(user, "POST", f"/mail_proxy/contacts/{contact}/emails", json=body)


def ids(page: Any) -> list[str]:
    return [entry["id"] for entry in page["entries"]]


def opened(
    stack: Stack, mail_id: str, user: str = "ben", contact: str = "mia", owner: str = "anna"
) -> requests.Response:
    return stack.call(user, "GET", f"/mail_proxy/contacts/{contact}/emails/{owner}/{mail_id}")


def sent_by_anna(
    stack: Stack,
    subject: str = "Hello",
    *,
    to: str = "mia@customer.example",
    bcc: str = "",
    file: bytes = b"",
    labels: tuple[str, ...] = ("SENT",),
) -> str:
    """A mail as it lies in Anna's mailbox after she has sent it."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Anna <anna@demo-crm.example>", to, subject
    if bcc:
        mail["Bcc"] = bcc
    mail.set_content("Wie besprochen")
    if file:
        mail.add_attachment(file, "application", "pdf", filename="Angebot.pdf")
    address = "anna@demo-crm.example"
    return stack.deliver(mail.as_bytes(), to=address, labels=labels)[address]


def told(response: requests.Response) -> tuple[int, bytes, dict[str, str]]:
    """All that a caller can see of an answer but the time."""
    headers = {name: value for name, value in response.headers.items() if name != "Date"}
    return response.status_code, response.content, headers


def upsert(stack: Stack, **records: Any) -> None:
    stack.ask(BACKEND.id, "POST", "/mail_proxy/directory", json=records)


def record(stack: Stack, kind: str, record_id: str) -> dict[str, Any]:
    """A record of the demo's directory as it was written."""
    found: dict[str, Any] = next(one for one in directory(stack.clock.now().date())[kind] if one["id"] == record_id)
    return found


# ---- What closes a mail that was shared


def hide(stack: Stack, mail_id: str) -> None:
    stack.ask("anna", "POST", "/mail_proxy/messages/modify", json={"ids": [mail_id], "action": "hide"})


def make_private(stack: Stack, _: str) -> None:
    stack.ask("anna", "PATCH", CONNECTION, json={"sharing": "private"})


def exclude(stack: Stack, _: str) -> None:
    stack.ask("anna", "PATCH", CONNECTION, json={"excluded_domains": ["partner.example"]})


def unshare(stack: Stack, _: str) -> None:
    stack.ask("anna", "DELETE", "/mail_proxy/contacts/mia/share")


def change_address(stack: Stack, _: str) -> None:
    upsert(stack, contacts=[record(stack, "contacts", "mia") | {"addresses": ["mia@private.example"]}])


def hide_contact(stack: Stack, _: str) -> None:
    upsert(stack, contacts=[record(stack, "contacts", "mia") | {"visible_to": ["carla"]}])


def delete_contact(stack: Stack, _: str) -> None:
    upsert(stack, contacts=[{"id": "mia", "deleted": True}])


def trash(stack: Stack, mail_id: str) -> None:
    stack.ask("anna", "POST", "/mail_proxy/messages/modify", json={"ids": [mail_id], "action": "trash"})


def deactivate_user(stack: Stack, _: str) -> None:
    upsert(stack, users=[record(stack, "users", "anna") | {"active": False}])


def disconnect(stack: Stack, _: str) -> None:
    stack.ask("anna", "DELETE", CONNECTION)


def make_internal(stack: Stack, _: str) -> None:
    stack.ask("carla", "PUT", "/oauth_callback/policy", json={"internal_domains": ["customer.example"]})


def exclude_by_policy(stack: Stack, _: str) -> None:
    stack.ask("carla", "PUT", "/oauth_callback/policy", json={"excluded_domains": ["partner.example"]})


def narrow(stack: Stack, _: str) -> None:
    stack.ask("carla", "PUT", "/oauth_callback/policy", json={"sharing": "private"})


CHANGES: Final[list[Callable[[Stack, str], None]]] = [
    hide, make_private, exclude, unshare, change_address, hide_contact, delete_contact, trash, deactivate_user,
    disconnect, make_internal, exclude_by_policy, narrow,
]  # fmt: skip
