"""The side panel in the browser: what happened is told in names, and each button makes happen what it says."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from local.stack import Stack
from tests.e2e.conftest import Sit
from tests.e2e.desk import PHONE, Desk
from tests.integration.magnet_rig import start_magnet

pytestmark = pytest.mark.integration


def panel(desk: Desk) -> Locator:
    return desk.page.get_by_role("complementary", name="What happens inside")


def lines(desk: Desk, kind: str) -> Locator:
    return panel(desk).locator(f".feed-line.{kind}")


def do(desk: Desk, name: str) -> None:
    """Presses a button of the panel and waits until it has been done."""
    panel(desk).get_by_role("button", name=name).click()
    expect(panel(desk).locator(".button.busy")).to_have_count(0)


def test_a_mail_is_followed_on_its_way(stack: Stack, sit: Sit) -> None:
    """Push, calls to Gmail with units and the written notice appear, and the badge; of the mail itself nothing."""
    start_magnet(stack)
    desk = sit("Anna Berger")
    panel(desk).get_by_label("A customer writes").select_option("Mia: files, pictures, a tracker")
    do(desk, "Deliver")

    expect(desk.page.get_by_role("navigation").get_by_text("1 unread")).to_be_attached()
    expect(lines(desk, "push").first).to_contain_text("magnet_ingest")
    expect(lines(desk, "gmail").filter(has_text="history.list").first).to_contain_text("2 units")
    expect(lines(desk, "firestore").filter(has_text="connections/anna/notices/")).to_contain_text("from_address")
    told = panel(desk).locator(".feed").inner_text()
    assert [] == [word for word in ("Grundriss", "mia@customer", "Schneider") if word in told]


def test_what_google_refuses_is_shown_in_the_view(stack: Stack, sit: Sit) -> None:
    """A spent minute, a failing Gmail and a revoked permission each show in the inbox as what they are."""
    stack.connect("anna")
    stack.mail("anna", "Mia Schneider <mia@customer.example>", "Twelve desks")
    desk = sit("Anna Berger", place="#/inbox")
    expect(desk.page.get_by_role("link", name="Twelve desks")).to_be_visible()

    do(desk, "Quota is hit")
    expect(desk.page.get_by_role("main").get_by_role("alert")).to_be_visible()
    do(desk, "All well again")
    expect(desk.page.get_by_role("link", name="Twelve desks")).to_be_visible()
    do(desk, "Gmail is slow")
    expect(panel(desk).get_by_text("Something is out of order on purpose.")).to_be_visible()
    do(desk, "All well again")
    expect(panel(desk).get_by_text("Something is out of order on purpose.")).to_have_count(0)
    do(desk, "Google revokes")
    expect(desk.page.get_by_text("Google wants you to sign in again.").first).to_be_visible()


def test_a_month_passes_in_the_page(stack: Stack, sit: Sit) -> None:
    """The clock goes to the first of the next month; the page's sign-in, an hour long, is renewed without a word."""
    start_magnet(stack)
    desk = sit("Anna Berger", place="#/notices")
    do(desk, "A month passes")
    desk.hears("It is the first of the next month")

    assert 1 == stack.clock.now().day
    expect(desk.page.get_by_text("Nothing new.", exact=True)).to_be_visible()


def test_the_panel_by_keyboard(sit: Sit) -> None:
    """It is opened and closed by keys, and the focus comes back to where it was opened."""
    desk = sit("Anna Berger")
    opener = desk.page.get_by_role("button", name="Inside")
    expect(panel(desk)).to_be_visible()
    opener.focus()
    desk.page.keyboard.press("Enter")
    expect(panel(desk)).to_be_hidden()
    desk.page.keyboard.press("Enter")
    expect(panel(desk).get_by_role("heading", name="What happens inside")).to_be_focused()
    desk.page.keyboard.press("Escape")

    expect(opener).to_be_focused()
    expect(opener).to_have_attribute("aria-expanded", "false")


def test_the_panel_on_a_phone(sit: Sit) -> None:
    """On a phone it covers the page, whose controls are then out of reach, and is closed until it is asked for."""
    desk = sit("Anna Berger", viewport=PHONE)
    expect(panel(desk)).to_be_hidden()
    desk.press("Inside")
    expect(panel(desk)).to_be_visible()
    covered = [desk.page.locator(place) for place in ("header.bar", "nav.nav", "main")]
    for one in covered:
        expect(one).to_have_js_property("inert", True)
    assert desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    desk.shot("inside-phone")
    panel(desk).get_by_role("button", name="Close").click()

    for one in covered:
        expect(one).to_have_js_property("inert", False)
