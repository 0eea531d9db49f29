"""Notices in the browser: the badge and the list follow arriving mail by themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import Locator, expect

from local.faults import Fault
from local.stack import Stack
from tests.e2e.conftest import Sit
from tests.e2e.desk import Desk
from tests.integration.magnet_rig import start_magnet

pytestmark = pytest.mark.integration

MIA = "Mia Schneider <mia@customer.example>"


def rows(desk: Desk) -> Locator:
    return desk.page.locator(".notice")


def unread(desk: Desk) -> Locator:
    return desk.page.locator(".nav-notices .badge")


def test_a_notice_comes_by_itself(stack: Stack, sit: Sit) -> None:
    """While the list is open a customer's mail appears in it, with who wrote it, a word, and a badge; others do not."""
    start_magnet(stack)
    desk = sit("Anna Berger", place="#/notices")
    expect(desk.page.get_by_text("Nothing new.", exact=True)).to_be_visible()
    stack.mail("anna", "Rita <rita@elsewhere.example>", "Bewerbung")
    stack.mail("anna", "Lena Krüger <lena@krueger-energie.example>", "Lamps")
    expect(rows(desk)).to_have_count(1)
    expect(rows(desk)).to_contain_text("Lamps")
    expect(unread(desk)).to_contain_text("1")
    # Two that come between two looks are told together.
    desk.hears("Lena Krüger has written.")
    stack.mail("anna", MIA, "Twelve desks")

    expect(rows(desk)).to_have_count(2)
    expect(rows(desk).first).to_contain_text("Mia Schneider")
    expect(rows(desk).first).to_contain_text("Twelve desks")
    expect(unread(desk)).to_contain_text("2")
    desk.hears("Mia Schneider has written.")
    desk.page.locator(".toast", has_text="Mia Schneider").get_by_role("button", name="Open").click()
    expect(desk.page.get_by_role("heading", name="Twelve desks")).to_be_visible()


def test_notices_are_seen_one_by_one_and_all_at_once(stack: Stack, sit: Sit) -> None:
    """What is marked as seen leaves the new ones and the badge, and stays among all; a doubtful sender is marked."""
    start_magnet(stack)
    stack.mail("anna", MIA, "Twelve desks")
    stack.mail("anna", MIA, "New bank account", auth="fail")
    stack.mail("anna", "Lena Krüger <lena@krueger-energie.example>", "Lamps")
    stack.settle()
    desk = sit("Anna Berger", place="#/notices")
    expect(rows(desk)).to_have_count(3)
    expect(rows(desk).filter(has_text="New bank account")).to_contain_text("Sender not verified")
    desk.shot("notices")

    rows(desk).filter(has_text="New bank account").get_by_role("button", name="Mark as seen").focus()
    desk.page.keyboard.press("Enter")
    expect(rows(desk)).to_have_count(2)
    expect(rows(desk).filter(has_text="Twelve desks").get_by_role("button", name="Mark as seen")).to_be_focused()
    expect(unread(desk)).to_contain_text("2")
    desk.press("Mark all as seen")
    expect(desk.page.get_by_text("Nothing new.", exact=True)).to_be_visible()
    expect(unread(desk)).to_have_count(0)
    desk.link("All")
    expect(rows(desk)).to_have_count(3)


def test_a_planned_mail_that_did_not_go_is_told_without_its_code(stack: Stack, sit: Sit) -> None:
    """Why a planned mail did not go is said where there are words for it; else that it is among the drafts, no more."""
    start_magnet(stack)
    failed = {"kind": "send_failed", "mail_id": "", "from_address": "", "received_at": "2024-01-31T00:00:00Z"}
    rest = {"contacts": [], "seen": False, "gone": False, "unverified": False, "pinned": False}
    notices = [{**failed, **rest, "id": code, "problem": code} for code in ("never-heard-of", "reauth-required")]
    desk = sit("Anna Berger")
    desk.page.route(
        lambda url: "/mail_proxy/notices" in url,
        lambda route: route.fulfill(
            response=route.fetch(), status=200, json={"notices": notices, "unread": 2, "mailmagnet": True}
        ),
    )
    desk.open("#/notices")

    expect(rows(desk).first).to_contain_text("A mail planned for later could not be sent. It is among your drafts.")
    expect(rows(desk).last).to_contain_text("could not be sent: Google wants you to sign in again.")


def test_without_mailmagnet_the_way_to_it_is_shown(stack: Stack, sit: Sit) -> None:
    """Who has not connected is led to connecting, who has MailMagnet off to the settings."""
    desk = sit("Anna Berger", place="#/notices")
    expect(desk.page.get_by_role("link", name="Connect Gmail")).to_be_visible()
    stack.connect("anna")
    desk.page.reload()
    desk.settle()

    expect(desk.page.get_by_text("MailMagnet is off.")).to_be_visible()
    expect(desk.page.get_by_role("link", name="Open the settings")).to_be_visible()


def test_a_planned_mail_that_did_not_go_is_told(stack: Stack, sit: Sit) -> None:
    """Also without MailMagnet: why a mail for later was not sent stands among the notices, and leads to its draft."""
    stack.connect("anna")
    message = {"to": [{"address": "mia@customer.example"}], "subject": "Offer", "text": "Here it is."}
    send_at = (stack.clock.now() + timedelta(hours=1)).isoformat()
    headers = {"Idempotency-Key": "one"}
    stack.ask("anna", "POST", "/mail_proxy/messages", json={**message, "send_at": send_at}, headers=headers)
    stack.faults.inject(Fault("gmail", "users.drafts.send", status=400, reason="invalidArgument"))
    stack.catch_up(within_s=7_200)
    desk = sit("Anna Berger", place="#/notices")

    expect(rows(desk)).to_contain_text("Not sent")
    expect(rows(desk)).to_contain_text("It is among your drafts.")
    rows(desk).get_by_role("link").click()
    expect(desk.page.get_by_role("heading", name="Drafts")).to_be_visible()


def test_notices_in_german(stack: Stack, sit: Sit) -> None:
    """In German every word is German, and none is missing."""
    start_magnet(stack)
    stack.mail("anna", MIA, "Zwölf Tische", auth="fail")
    stack.settle()
    desk = sit("Anna Berger", place="#/notices", locale="de-DE")

    expect(rows(desk)).to_contain_text("Absender nicht bestätigt")
    expect(desk.page.get_by_role("button", name="Alle als gesehen markieren")).to_be_visible()


def test_a_crafted_address_leads_to_the_contacts(sit: Sit) -> None:
    """An address that cannot be decoded, or names what every object has, leaves no blank page."""
    for place in ("#/contacts/%E0%A4%A", "#/constructor"):
        desk = sit("Anna Berger", place=place)

        expect(desk.page.get_by_role("heading", name="Contacts", level=1)).to_be_visible()
