"""Connecting in the browser: refused, granted in part, without a popup, and with an answer that comes twice."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from local.stack import Stack
from tests.e2e.conftest import Sit
from tests.e2e.desk import Desk, give_consent

pytestmark = pytest.mark.integration

ANNA = "anna@demo-crm.example"
MODIFY = "Read, write and send mail from your account"
_NO_POPUPS = "window.open = () => null;"


def begin(desk: Desk) -> None:
    desk.open("#/settings")
    desk.page.get_by_role("button", name="Connect Gmail").wait_for()


def test_consent_is_refused(stack: Stack, sit: Sit) -> None:
    """Who cancels at Google is told that nothing was connected, and can begin again."""
    desk = sit("Anna Berger")
    begin(desk)
    with desk.page.expect_popup() as opened:
        desk.press("Connect Gmail")
    give_consent(opened.value, ANNA, deny=True)

    expect(desk.page.get_by_role("alert")).to_have_text("You refused at Google. Nothing was connected.")
    expect(desk.page.get_by_role("button", name="Connect Gmail")).to_be_enabled()
    assert "absent" == stack.ask("anna", "GET", "/oauth_callback/connection")["status"]


def test_consent_is_granted_in_part(stack: Stack, sit: Sit) -> None:
    """What was unticked at Google is just not there; the page says so and repairs it with one more consent."""
    desk = sit("Anna Berger")
    begin(desk)
    with desk.page.expect_popup() as opened:
        desk.press("Connect Gmail")
    give_consent(opened.value, ANNA, untick=(MODIFY,))
    desk.hears("Gmail is connected.")
    desk.settle()
    missing = desk.page.get_by_text("lacks a permission that you have not given at Google")
    expect(missing).to_have_count(2)
    expect(desk.page.get_by_role("switch", name="MailMagnet", exact=True)).to_be_enabled()
    expect(desk.page.get_by_role("switch", name="Labels by deals")).to_be_disabled()
    desk.shot("partly-granted")
    with desk.page.expect_popup() as opened:
        desk.press("Add the permission")
    give_consent(opened.value, ANNA)

    expect(missing).to_have_count(0)
    expect(desk.page.get_by_role("switch", name="Labels by deals")).to_be_enabled()


def test_a_popup_is_blocked(stack: Stack, sit: Sit) -> None:
    """Where the browser opens no window the page offers Google's page as a link, and it goes on from there."""
    desk = sit("Anna Berger")
    desk.page.evaluate(_NO_POPUPS)
    begin(desk)
    desk.press("Connect Gmail")
    with desk.context.expect_page() as opened:
        desk.page.get_by_role("link", name="Open Google's page").click()
    give_consent(opened.value, ANNA)

    desk.hears("Gmail is connected.")
    assert "connected" == stack.ask("anna", "GET", "/oauth_callback/connection")["status"]


def test_an_attempt_is_cancelled(sit: Sit) -> None:
    """Who closes Google's window without an answer cancels, and the button is there again."""
    desk = sit("Anna Berger")
    begin(desk)
    with desk.page.expect_popup() as opened:
        desk.press("Connect Gmail")
    opened.value.close()
    desk.press("Cancel")

    expect(desk.page.get_by_role("button", name="Connect Gmail")).to_be_enabled()
    expect(desk.page.get_by_text("Google's window is open")).to_have_count(0)


def test_a_callback_comes_twice(stack: Stack, sit: Sit) -> None:
    """Google's redirect and the ticket work once: whoever opens them again connects nothing, and nothing is broken."""
    desk = sit("Anna Berger")
    callbacks: list[str] = []
    desk.context.on("request", lambda request: callbacks.append(request.url) if "/callback?" in request.url else None)
    begin(desk)
    with desk.page.expect_popup() as opened:
        desk.press("Connect Gmail")
    give_consent(opened.value, ANNA)
    desk.hears("Gmail is connected.")
    replayed = desk.context.new_page()
    answer = replayed.goto(callbacks[0])

    assert answer is not None
    assert 400 == answer.status
    expect(replayed.locator("body")).to_contain_text("CRM")
    assert "connected" == stack.ask("anna", "GET", "/oauth_callback/connection")["status"]


def test_a_ticket_of_somebody_else(stack: Stack, sit: Sit) -> None:
    """Ben, lured into Anna's consent, connects nothing: her page claims, and is told that the sign-in is void."""
    started = stack.ask(
        "ben",
        "POST",
        "/oauth_callback/authorize",
        json={"return_to": f"{stack.crm_url}/connected", "features": ["mail"]},
    )
    desk = sit("Anna Berger")
    begin(desk)
    with desk.page.expect_popup() as opened:
        desk.press("Connect Gmail")
    opened.value.get_by_role("button", name="Allow").wait_for()
    opened.value.goto(started["url"])
    give_consent(opened.value, ANNA)

    desk.hears("That was not your connection.")
    assert "absent" == stack.ask("anna", "GET", "/oauth_callback/connection")["status"]
    assert "absent" == stack.ask("ben", "GET", "/oauth_callback/connection")["status"]


def test_a_permission_that_is_taken_back(stack: Stack, sit: Sit) -> None:
    """After Google has revoked the permission the page says so, everywhere, and one consent mends it."""
    stack.connect("anna")
    stack.mail("anna", "Mia Schneider <mia@customer.example>", "Twelve desks")
    stack.google.accounts.revoke_account(ANNA)
    desk = sit("Anna Berger", place="#/inbox")
    expect(desk.page.get_by_text("Google wants you to sign in again.")).to_be_visible()
    desk.link("Sign in again")
    with desk.page.expect_popup() as opened:
        desk.press("Sign in again")
    give_consent(opened.value, ANNA)
    desk.hears("Gmail is connected.")
    desk.link("Inbox")

    expect(desk.page.get_by_role("link", name="Twelve desks")).to_be_visible()
