"""Mails made to fill or hold up whoever reads them, through the whole product: what they cost is bounded."""

from __future__ import annotations

import uuid

import pytest

from local.crm.people import ANNA, BEN
from local.stack import Stack
from tests.integration.mailbox_rig import SEARCH, gmail_calls
from tests.mail_bombs import BOMBS

pytestmark = pytest.mark.integration

SEND = "/mail_proxy/messages"
# Of text and HTML each at most a million characters, which UTF-8 and JSON may widen.
MOST_BYTES = 4_000_000
MOST_ROW_BYTES = 50_000
MOST_CALLS = 20
# What may be wrong with a mail that is to be passed on: never with the product.
REFUSALS = {"no-recipients", "too-many-recipients", "too-many-attachments", "too-large", "invalid-body"}


def answered(stack: Stack, method: str, path: str, **body: object) -> tuple[int, int, str]:
    """The status of an answer, its size in bytes, and its problem's code."""
    headers = {"Idempotency-Key": str(uuid.uuid4())} if path == SEND else {}
    response = stack.call("anna", method, path, json=body or None, headers=headers)
    code = "" if response.ok else response.json()["code"]
    return response.status_code, len(response.content), code


@pytest.fixture
def mailbox(stack: Stack) -> Stack:
    """Anna's mailbox with MailMagnet on, and nothing in it."""
    stack.load_directory()
    stack.connect("anna")
    stack.switch_on("anna", mailmagnet=True)
    return stack


@pytest.mark.parametrize(
    "bomb",
    [
        "10,000 parts",
        "10,000 files",
        "1,000 levels",
        "1,000 forwarded mails",
        "an unknown header of 5 MB",
        "a From of 5 MB",
        "a million recipients",
        "zeros",
    ],
)
def test_a_bomb_is_noticed_listed_opened_answered_and_forwarded(mailbox: Stack, bomb: str) -> None:
    """No step fails for a reason of the product's own, answers megabytes, or asks Gmail for more than a few things."""
    mail_id = mailbox.google.gmail.deliver(BOMBS[bomb], to=ANNA.email)[ANNA.email]
    mailbox.settle()
    to_ben = [{"address": BEN.email}]
    answers: dict[str, tuple[int, int, str]] = {}

    def use() -> None:
        answers["list"] = answered(mailbox, "POST", SEARCH, page_size=1)
        answers["open"] = answered(mailbox, "GET", f"/mail_proxy/messages/{mail_id}")
        answers["thread"] = answered(mailbox, "GET", f"/mail_proxy/threads/{mail_id}")
        answers["timeline"] = answered(mailbox, "POST", "/mail_proxy/contacts/mia/emails", page_size=1)
        answers["reply"] = answered(mailbox, "POST", SEND, mode="reply_all", message_id=mail_id, text="Hi")
        answers["forward"] = answered(mailbox, "POST", SEND, mode="forward", message_id=mail_id, text="Hi", to=to_ben)

    calls = gmail_calls(mailbox, use)

    assert {} == {step: one for step, one in answers.items() if one[0] != 200 and one[2] not in REFUSALS}
    assert {} == {step: one for step, one in answers.items() if one[1] > MOST_BYTES}
    assert MOST_ROW_BYTES > answers["list"][1]
    assert MOST_CALLS >= len(calls)
    assert mailbox.ask("anna", "GET", "/oauth_callback/connection")["health"] is not None
