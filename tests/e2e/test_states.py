"""What the page shows when it is not as it should be: nothing yet, slow, limited, offline, away; always what to do."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from local.faults import Fault
from local.stack import Stack
from tests.e2e.conftest import Sit

pytestmark = pytest.mark.integration

MIA = "Mia Schneider <mia@customer.example>"


@pytest.fixture
def connected(stack: Stack) -> Stack:
    """Anna and Ben connected, Ben's mail shared with all who see a contact; a mail of Mia's with each."""
    stack.connect("anna")
    stack.connect("ben", features=("mail",))
    stack.ask("ben", "PATCH", "/oauth_callback/connection", json={"sharing": "public"})
    stack.mail("anna", MIA, "Twelve desks")
    stack.mail("ben", MIA, "A question")
    return stack


def test_nothing_is_connected_yet(stack: Stack, sit: Sit) -> None:
    """Without a connection the inbox leads to connecting, and contacts are there all the same."""
    desk = sit("Anna Berger", place="#/inbox")
    expect(desk.page.get_by_text("Your Gmail is not connected yet.")).to_be_visible()
    desk.shot("not-connected")
    desk.link("Contacts")

    expect(desk.page.get_by_role("link", name="Mia Schneider")).to_be_visible()


def test_an_empty_inbox(stack: Stack, sit: Sit) -> None:
    """An inbox without mail and a search without a hit say so, each in its own words."""
    stack.connect("anna")
    desk = sit("Anna Berger", place="#/inbox")
    expect(desk.page.get_by_text("All done.")).to_be_visible()
    desk.page.get_by_role("searchbox").fill("nowhere to be found")
    desk.page.keyboard.press("Enter")

    expect(desk.page.get_by_text("No mail found.")).to_be_visible()


def test_a_slow_mailbox(connected: Stack, sit: Sit) -> None:
    """Grey shapes stand where the mail will be, then a word that it takes long, then the mail."""
    connected.faults.inject(Fault("gmail", "users.messages.list", delay_s=7))
    desk = sit(None)
    desk.page.get_by_role("button", name="Anna Berger").click()
    desk.page.get_by_role("link", name="Inbox").first.click()
    expect(desk.page.locator(".skeleton")).to_be_visible()
    expect(desk.page.get_by_text("Gmail takes its time.")).to_be_visible()
    desk.shot("slow")

    expect(desk.page.get_by_role("link", name="Twelve desks")).to_be_visible()
    expect(desk.page.get_by_text("Gmail takes its time.")).to_have_count(0)


def test_a_limit_is_reached(connected: Stack, sit: Sit) -> None:
    """Gmail's limit is told with the time at which it goes on; until then nothing is hammered."""
    limited = Fault("gmail", "users.messages.list", mailbox="anna@demo-crm.example", status=429, count=50)
    limited.reason = "userRateLimitExceeded"
    limited.message = "User-rate limit exceeded. Retry after 2099-01-01T00:00:00.000Z"
    connected.faults.inject(limited)
    desk = sit("Anna Berger", place="#/inbox")

    expect(desk.page.get_by_text("Gmail's limit is reached.")).to_be_visible()
    expect(desk.page.get_by_text("It goes on at")).to_be_visible()
    desk.shot("rate-limited")


def test_a_colleagues_mailbox_fails(connected: Stack, sit: Sit) -> None:
    """A mailbox that could not be read is named above the mails that could, and can be asked again."""
    trouble = connected.faults.inject(
        Fault("gmail", "users.messages.list", mailbox="ben@demo-crm.example", status=500, count=50)
    )
    desk = sit("Anna Berger", place="#/contacts/mia")
    expect(desk.page.get_by_role("link", name="Twelve desks")).to_be_visible()
    expect(desk.page.get_by_role("link", name="A question")).to_have_count(0)
    told = desk.page.locator(".mailboxes .note").filter(has_text="Ben Okafor")
    expect(told).to_be_visible()
    desk.shot("partial")
    assert trouble.struck > 0
    connected.faults.clear()
    told.get_by_role("button", name="Try again").click()

    expect(desk.page.get_by_role("link", name="A question")).to_be_visible()


def test_offline_and_back(connected: Stack, sit: Sit) -> None:
    """Without a network the page says so and goes on by itself once it is back."""
    desk = sit("Anna Berger", place="#/inbox")
    expect(desk.page.get_by_role("link", name="Twelve desks")).to_be_visible()
    desk.context.set_offline(True)
    expect(desk.page.get_by_text("You are offline. What is shown may be old")).to_be_visible()
    desk.page.get_by_role("link", name="Twelve desks").click()
    expect(desk.page.get_by_text("You are offline.", exact=True)).to_be_visible()
    desk.shot("offline")
    desk.context.set_offline(False)

    expect(desk.page.locator("iframe.mail")).to_be_visible()
    expect(desk.page.get_by_text("You are offline.")).to_have_count(0)


def test_the_service_is_away(connected: Stack, sit: Sit) -> None:
    """Trouble of Gmail's own is told without code or JSON alone, and the same button tries again."""
    connected.faults.inject(Fault("gmail", "*", mailbox="anna@demo-crm.example", status=500, count=200))
    desk = sit("Anna Berger", place="#/inbox")
    expect(desk.page.get_by_text("Not possible at the moment.")).to_be_visible()
    connected.faults.clear()
    desk.press("Try again")

    expect(desk.page.get_by_role("link", name="Twelve desks")).to_be_visible()


def test_a_mail_that_is_gone(connected: Stack, sit: Sit) -> None:
    """The address of a mail that is not there shows neither a blank page nor an error's inside, and leads back."""
    desk = sit("Anna Berger", place="#/mail/18c0ffee18c0ffee")

    expect(desk.page.get_by_text("Not found.")).to_be_visible()
    expect(desk.page.get_by_role("link", name="Twelve desks")).to_be_visible()
