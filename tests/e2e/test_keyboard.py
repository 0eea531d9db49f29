"""The page without a mouse: everything can be reached, and the focus is where it is expected."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from local.stack import Stack
from tests.e2e.conftest import Sit
from tests.integration.sending_rig import received

pytestmark = pytest.mark.integration

_MOST_TABS = 60
# What has the focus, as a screen reader calls it.
_FOCUSED = """() => {
  const one = document.activeElement;
  if (one === document.body || one.tagName === "MAIN") return "";
  return (one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent ?? "").trim();
}"""


def tab_to(page: Page, name: str, *, key: str = "Tab") -> None:
    """Goes on with the key until what has the focus is called so."""
    for _ in range(_MOST_TABS):
        page.keyboard.press(key)
        if name in page.evaluate(_FOCUSED):
            return
    raise AssertionError(f"not reached: {name}")


def test_a_mail_is_answered_by_keys_alone(stack: Stack, sit: Sit) -> None:
    """From the sign-in to the sent answer nothing needs a mouse, and the focus comes back to where it was."""
    stack.connect("anna")
    stack.mail("anna", "Mia Schneider <mia@customer.example>", "Twelve desks")
    desk = sit()
    page = desk.page
    tab_to(page, "Anna Berger")
    page.keyboard.press("Enter")
    desk.settle()
    tab_to(page, "Inbox")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Inbox")).to_be_focused()
    desk.settle()
    tab_to(page, "Twelve desks")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Twelve desks")).to_be_focused()
    tab_to(page, "Reply")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Text")).to_be_focused()
    page.keyboard.type("Of course.")
    page.keyboard.press("Control+Enter")
    desk.hears("Sent.")

    expect(page.get_by_role("button", name="Reply")).to_be_focused()
    stack.settle()
    assert ["Re: Twelve desks"] == [one["Subject"] for one in received(stack)]


def test_the_content_is_one_key_away(stack: Stack, sit: Sit) -> None:
    """The first stop of the page leads past the sections to the content."""
    desk = sit("Ben Okafor")
    desk.page.reload()
    desk.settle()
    desk.page.keyboard.press("Tab")
    expect(desk.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    desk.page.keyboard.press("Enter")

    expect(desk.page.locator("main")).to_be_focused()


def test_escape_closes_and_keeps(stack: Stack, sit: Sit) -> None:
    """Escape leaves a mail that is being written, keeps it as a draft, and gives the focus back; so with a dialog."""
    stack.connect("anna")
    desk = sit("Anna Berger", place="#/inbox")
    desk.press("New mail")
    desk.page.get_by_label("Subject").fill("Later")
    desk.page.keyboard.press("Escape")
    desk.hears("Saved as a draft.")
    expect(desk.page.get_by_role("button", name="New mail")).to_be_focused()
    desk.link("Drafts")
    expect(desk.page.get_by_text("Later", exact=True)).to_be_visible()
    desk.open("#/settings")
    desk.press("Deactivate")
    expect(desk.page.get_by_role("dialog")).to_be_visible()
    desk.page.keyboard.press("Escape")

    expect(desk.page.get_by_role("dialog")).to_have_count(0)
    assert "connected" == stack.ask("anna", "GET", "/oauth_callback/connection")["status"]


def test_back_leads_back(stack: Stack, sit: Sit) -> None:
    """The browser's own back button goes through the views, and a reload shows the same one again."""
    desk = sit("Anna Berger")
    desk.link("Sofia Rossi")
    expect(desk.page.get_by_role("heading", name="Sofia Rossi")).to_be_focused()
    desk.page.reload()
    desk.settle()
    expect(desk.page.get_by_role("heading", name="Sofia Rossi")).to_be_visible()
    desk.page.go_back()
    desk.settle()

    expect(desk.page.get_by_role("heading", name="Choose a contact")).to_have_count(0)
    expect(desk.page.get_by_text("Choose a contact")).to_be_visible()
