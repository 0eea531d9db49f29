"""Whatever is wrong with a request is answered by a problem with a code, and leaves nothing half-done."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from local.stack import Stack

pytestmark = pytest.mark.integration

CONNECTION = "/oauth_callback/connection"
MESSAGES = "/mail_proxy/messages"
MIA = "mia@customer.example"


@pytest.fixture
def anna(stack: Stack) -> Stack:
    """The stack with the CRM's records and Anna connected."""
    stack.load_directory()
    stack.connect("anna")
    return stack


def problem(response: requests.Response) -> tuple[int, str]:
    """Status and code, of an answer that is a problem (RFC 9457)."""
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["code"]


def message(**changes: Any) -> dict[str, Any]:
    return {"to": [{"address": MIA}], "subject": "Hello", "text": "Hello!"} | changes


def send(stack: Stack, body: dict[str, Any]) -> requests.Response:
    return stack.call("anna", "POST", MESSAGES, json=body, headers={"Idempotency-Key": "key"})


def sent_by_anna(stack: Stack) -> list[str]:
    mailbox = stack.google.gmail.mailbox("anna@demo-crm.example")
    return [message.id for message in mailbox.newest_first() if "SENT" in message.labels]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", CONNECTION),
        ("POST", "/oauth_callback/authorize"),
        ("GET", "/oauth_callback/policy"),
        ("POST", "/mail_proxy/messages/search"),
        ("POST", MESSAGES),
        ("GET", "/mail_proxy/notices"),
        ("POST", "/mail_proxy/directory"),
        ("POST", "/mail_proxy/contacts/mia/emails"),
    ],
)
def test_no_token(stack: Stack, method: str, path: str) -> None:
    """Without the CRM's token no user's route answers."""
    assert (401, "missing-token") == problem(stack.call(None, method, path))


def test_another_users_ticket(stack: Stack) -> None:
    """A ticket that another user brings is refused, destroyed, and connects nobody."""
    started = stack.ask(
        "anna",
        "POST",
        "/oauth_callback/authorize",
        json={"return_to": f"{stack.crm_url}/connected", "features": ["mail"]},
    )
    ticket = stack.consent(started["url"], "anna@demo-crm.example")["ticket"]

    refused = stack.call("ben", "POST", CONNECTION, json={"ticket": ticket})
    late = stack.call("anna", "POST", CONNECTION, json={"ticket": ticket})

    assert 403 == problem(refused)[0]
    assert late.status_code >= 400
    kinds = {path.partition("/")[0] for path in stack.documents()}
    assert kinds.isdisjoint({"connections", "pending_connections", "mailboxes"})
    assert {} == stack.google.secrets.dump()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/mail_proxy/contacts/nobody/emails"),
        ("PUT", "/mail_proxy/contacts/nobody/share"),
        ("GET", "/mail_proxy/contacts/nobody/emails/ben/18c0ffee"),
        ("POST", "/mail_proxy/deals/none/emails"),
        ("GET", "/mail_proxy/messages/18c0ffee"),
        ("GET", "/mail_proxy/sends/unknown"),
        ("GET", "/mail_proxy/nowhere"),
    ],
)
def test_unknown_things(anna: Stack, method: str, path: str) -> None:
    """What does not exist is not found, whatever it is."""
    body: dict[str, Any] | None = {} if method == "POST" else None

    assert (404, "not-found") == problem(anna.call("anna", method, path, json=body))


@pytest.mark.parametrize("token", ["x", "AAAA" * 30, "ä", "." * 500])
def test_broken_page_token(anna: Stack, token: str) -> None:
    """A page token that was not sealed here, or was changed, is refused."""
    answer = anna.call("anna", "POST", "/mail_proxy/messages/search", json={"page_token": token})

    assert 400 == problem(answer)[0]


def test_page_token_of_another_query(anna: Stack) -> None:
    """A page token goes with its user and its query alone."""
    for number in range(3):
        anna.mail("anna", MIA, f"Mail {number}")
    search = "/mail_proxy/messages/search"
    token = anna.ask("anna", "POST", search, json={"q": "mail", "page_size": 1})["next_page_token"]

    elsewhere = anna.call("anna", "POST", search, json={"q": "other", "page_size": 1, "page_token": token})

    assert 400 == problem(elsewhere)[0]


def test_attachment_of_thirty_megabytes(anna: Stack) -> None:
    """An attachment beyond the limit is refused, and nothing is sent."""
    parts = {
        "message": (None, json.dumps(message()), "application/json"),
        "file": ("plan.bin", b"\0" * 30_000_000, "application/octet-stream"),
    }

    answer = anna.call("anna", "POST", MESSAGES, files=parts, headers={"Idempotency-Key": "key"})

    assert 413 == problem(answer)[0]
    assert [] == sent_by_anna(anna)


@pytest.mark.parametrize(
    "body",
    [
        message(subject="Hello\r\nBcc: victim@elsewhere.example"),
        message(to=[{"address": "mia@customer.example\nBcc: victim@elsewhere.example"}]),
        message(to=[{"address": MIA, "name": "Mia\r\nBcc: victim@elsewhere.example"}]),
        message(subject="nul\0"),
    ],
)
def test_header_injection(anna: Stack, body: dict[str, Any]) -> None:
    """A line break or NUL in what becomes a header is refused, and nothing is sent."""
    assert 422 == problem(send(anna, body))[0]
    assert [] == sent_by_anna(anna)


@pytest.mark.parametrize("raw", [b"{", b"[]", b'"text"', b"\xff\xfe", b'{"q": 1}', b'{"unknown": 1}'])
def test_broken_json(anna: Stack, raw: bytes) -> None:
    """A body that is not the JSON wanted is refused."""
    answer = anna.call("anna", "POST", "/mail_proxy/messages/search", data=raw)

    assert 400 == problem(answer)[0]
    assert problem(answer)[1] in {"invalid-json", "invalid-body"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", CONNECTION, "DELETE, GET, PATCH, POST"),
        ("GET", "/oauth_callback/authorize", "POST"),
        ("GET", "/mail_proxy/messages/search", None),
        ("DELETE", "/mail_proxy/notices", "GET"),
    ],
)
def test_wrong_method(anna: Stack, method: str, path: str, allowed: str | None) -> None:
    """A method that a path does not take is refused, and the answer names those it takes."""
    answer = anna.call("anna", method, path)

    if allowed is None:
        # /messages/{id} takes it: "search" is an id like any other there.
        assert (404, "not-found") == problem(answer)
    else:
        assert (405, "method-not-allowed") == problem(answer)
        assert allowed == answer.headers["Allow"]


@pytest.mark.parametrize("name", ["magnet_ingest", "label_sweep"])
@pytest.mark.parametrize("path", ["/", "/users/YW5uYQ"])
def test_private_functions_refuse_users(anna: Stack, name: str, path: str) -> None:
    """A CRM user's token opens no internal route: Google's front refuses it before the function is asked."""
    assert anna.call("anna", "POST", f"/{name}{path}", json={}).status_code in {401, 403}
