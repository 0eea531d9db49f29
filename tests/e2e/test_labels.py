"""Labels in the browser: what a sweep would do, what it did, taking it back, and why a mail is where it is."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from local.stack import Stack
from tests.e2e.conftest import Sit
from tests.e2e.desk import Desk
from tests.integration.sweep_rig import start_labels

pytestmark = pytest.mark.integration

MIA = "Mia Schneider <mia@customer.example>"
EMILY = "Emily Carter <emily@carter-design.example>"


def card(desk: Desk, heading: str) -> Locator:
    return desk.page.locator(".card").filter(has=desk.page.get_by_role("heading", name=heading))


def test_a_sweep_is_seen_before_and_after_and_taken_back(stack: Stack, sit: Sit) -> None:
    """The preview says what then happens; undone, the mails are back and kept; released, a sweep has them again."""
    start_labels(stack)
    mail_id = stack.mail("anna", MIA, "Twelve desks")
    stack.mail("anna", EMILY, "Invoice")
    stack.settle()
    desk = sit("Anna Berger", place="#/labels")
    preview, last = card(desk, "The next sweep"), card(desk, "The last sweeps")
    expect(preview).to_contain_text("1 to “Closing this month” and 1 to “Customers”")
    expect(preview.locator(".move").filter(has_text="Twelve desks")).to_contain_text("Closing this month")
    desk.page.get_by_role("button", name="Sweep now").click()
    expect(preview).to_contain_text("The next sweep moves nothing.")
    assert "Closing This Month (CTM)" in stack.labels_of("anna", mail_id)

    last.locator("summary").first.click()
    expect(last.locator(".move")).to_have_count(2)
    desk.shot("labels")
    last.get_by_role("button", name="Take back").click()
    desk.page.get_by_role("dialog").get_by_role("button", name="Take back").click()
    desk.hears("2 mails are back.")
    assert "INBOX" in stack.labels_of("anna", mail_id)

    last.locator("summary").first.click()
    last.get_by_role("link", name="Twelve desks").click()
    expect(desk.page.get_by_text("Kept where you put it")).to_be_visible()
    desk.shot("why")
    desk.press("Let sweeps have it again")
    desk.hears("The next sweep may move it again.")
    desk.link("Labels")
    expect(preview.locator(".move")).to_contain_text("Twelve desks")


def test_a_won_deal_takes_its_mail_along(stack: Stack, sit: Sit) -> None:
    """The deal is won, the preview shows that its mail will follow, the sweep moves it, and says so."""
    start_labels(stack)
    mail_id = stack.mail("anna", MIA, "Twelve desks")
    stack.settle()
    stack.sweep()
    desk = sit("Anna Berger", place="#/labels")
    expect(card(desk, "The next sweep")).to_contain_text("The next sweep moves nothing.")
    desk.page.get_by_label("A deal is won").select_option("Rahmenvertrag Büroausstattung (open)")
    desk.press("Win it")
    expect(card(desk, "The next sweep").locator(".move")).to_contain_text("Customers")
    desk.press("Sweep now")

    expect(card(desk, "The last sweeps").locator("summary").first).to_contain_text("1 to “Customers”")
    assert "Customers" in stack.labels_of("anna", mail_id)


def test_why_a_mail_is_where_it_is(stack: Stack, sit: Sit) -> None:
    """The rule stands there as a sentence, with the deal that decided, in the reader's language; so does a hand."""
    start_labels(stack)
    mail_id = stack.mail("anna", MIA, "Twelve desks")
    stack.settle()
    stack.sweep()
    desk = sit("Anna Berger", place=f"#/labels/why/{mail_id}")
    expect(desk.page.locator(".reason")).to_contain_text("has an open deal that closes this month")
    expect(desk.page.locator(".decides")).to_contain_text("Rahmenvertrag Büroausstattung")
    label = stack.documents()["connections/YW5uYQ"]["label_ids"]["closing_this_month"]
    stack.google.gmail.person_moves("anna@demo-crm.example", mail_id, add=["INBOX"], remove=[label])
    stack.settle()

    german = sit("Anna Berger", place=f"#/labels/why/{mail_id}", locale="de-DE")
    expect(german.page.locator(".reason")).to_contain_text("von Hand bewegt")
    expect(german.page.get_by_text("Bleibt, wo Sie sie hingelegt haben")).to_be_visible()


def test_labels_that_are_off(stack: Stack, sit: Sit) -> None:
    """Who has labels off is led to the settings."""
    stack.connect("anna")
    desk = sit("Anna Berger", place="#/labels")

    expect(desk.page.get_by_text("Labels are off.")).to_be_visible()
    desk.page.get_by_role("main").get_by_role("link", name="Turn on labels").click()
    expect(desk.page.get_by_role("heading", name="Gmail settings")).to_be_visible()
