"""Reading in the page: the list, the mail beside it, its conversation, tidying up, files, and what colleagues see."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from local.stack import Stack
from tests.e2e.conftest import Sit

pytestmark = pytest.mark.integration

MIA = "Mia Schneider <mia@customer.example>"


@pytest.fixture
def inbox(stack: Stack) -> Stack:
    """Anna connected, with three mails: one with a file, one of somebody else's."""
    stack.connect("anna")
    stack.mail("anna", "Rita Fremd <rita@elsewhere.example>", "Application")
    stack.mail("anna", MIA, "Catalogue")
    files = [{"filename": "Plan.pdf", "content_type": "application/pdf", "data_base64": "JVBERg=="}]
    stack.mail("anna", MIA, "Twelve desks", text="How much?", attachments=files)
    return stack


def test_reading_marks_as_read(inbox: Stack, sit: Sit) -> None:
    """The mail that is opened is no longer unread, in the list as in Gmail, and its file can be saved whole."""
    desk = sit("Anna Berger", place="#/inbox")
    expect(desk.page.locator(".mail-row.unread")).to_have_count(3)
    desk.link("Twelve desks")
    expect(desk.page.locator(".mail-row.unread")).to_have_count(2)
    with desk.page.expect_download() as saved:
        desk.press("Plan.pdf")

    assert ("Plan.pdf", b"%PDF") == (saved.value.suggested_filename, saved.value.path().read_bytes())
    unread = inbox.ask("anna", "POST", "/mail_proxy/messages/search", json={"q": "is:unread"})["messages"]
    assert ["Catalogue", "Application"] == [one["subject"] for one in unread]


def test_tidying_up_and_taking_it_back(inbox: Stack, sit: Sit) -> None:
    """An archived mail leaves the list, and the same toast brings it back; a star shows under Starred."""
    desk = sit("Anna Berger", place="#/inbox")
    desk.link("Catalogue")
    desk.page.get_by_role("button", name="Star", exact=True).click()
    desk.hears("Starred.")
    desk.page.get_by_role("button", name="Archive").click()
    desk.hears("Archived.")
    expect(desk.page.get_by_role("link", name="Catalogue")).to_have_count(0)
    desk.press("Undo")
    expect(desk.page.get_by_role("link", name="Catalogue")).to_be_visible()
    desk.link("Starred")

    expect(desk.page.locator(".mail-row")).to_have_count(1)
    expect(desk.page.get_by_role("link", name="Catalogue")).to_be_visible()


def test_a_search_stays_while_its_mails_are_read(inbox: Stack, sit: Sit) -> None:
    """What was searched for stays beside the mail that is opened, and after a reload of the page."""
    desk = sit("Anna Berger", place="#/inbox")
    desk.page.get_by_role("searchbox").fill("from:mia")
    desk.page.keyboard.press("Enter")
    desk.link("Twelve desks")
    expect(desk.page.locator(".mail-row")).to_have_count(2)
    desk.page.reload()
    desk.settle()

    expect(desk.page.get_by_role("searchbox")).to_have_value("from:mia")
    expect(desk.page.get_by_role("heading", name="Twelve desks")).to_be_visible()
    expect(desk.page.locator(".mail-row")).to_have_count(2)


def test_a_conversation(inbox: Stack, sit: Sit) -> None:
    """An answer shows the mail it answers beneath it, closed, which opens where it stands."""
    desk = sit("Anna Berger", place="#/inbox")
    desk.link("Twelve desks")
    desk.press("Reply")
    desk.page.get_by_role("textbox", name="Text").fill("A thousand.")
    desk.press("Send")
    desk.hears("Sent.")
    desk.link("Sent")
    desk.link("Re: Twelve desks")
    expect(desk.page.get_by_text("One other mail of this conversation")).to_be_visible()
    desk.page.locator("summary").filter(has_text="Mia Schneider").click()

    expect(desk.page.frame_locator(".earlier iframe.mail").get_by_text("How much?")).to_be_visible()


def test_what_colleagues_see_is_said_and_changed(inbox: Stack, sit: Sit) -> None:
    """Each mail of a contact says who sees it; hiding one takes it from the colleagues alone."""
    inbox.ask("anna", "PATCH", "/oauth_callback/connection", json={"sharing": "public"})
    inbox.connect("ben", features=("mail",))
    desk = sit("Anna Berger", place="#/contacts/mia")
    rows = desk.page.locator(".timeline .mail-row")
    expect(rows.filter(has_text="Everyone in the CRM")).to_have_count(2)
    desk.link("Twelve desks")
    desk.press("Hide from colleagues")
    desk.hears("Hidden from colleagues.")
    desk.page.locator(".reading-back a").click()
    desk.settle()
    expect(rows.filter(has_text="Only you")).to_have_count(1)
    colleague = sit("Ben Okafor", place="#/contacts/mia")

    expect(colleague.page.get_by_role("link", name="Catalogue")).to_be_visible()
    expect(colleague.page.get_by_role("link", name="Twelve desks")).to_have_count(0)


def test_a_contacts_mail_is_searched(inbox: Stack, sit: Sit) -> None:
    """A search within a contact's mail says what it cannot see in colleagues' mailboxes."""
    inbox.connect("ben", features=("mail",))
    inbox.ask("ben", "PATCH", "/oauth_callback/connection", json={"sharing": "public"})
    inbox.mail("ben", MIA, "Desk lamps")
    desk = sit("Anna Berger", place="#/contacts/mia")
    desk.page.get_by_role("searchbox", name="Search this mail").fill("desk")
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator(".timeline .mail-row")).to_have_count(1)

    expect(desk.page.get_by_text("in colleagues' mailboxes (Ben Okafor)")).to_be_visible()
    expect(desk.page.get_by_role("searchbox", name="Search this mail")).to_have_value("desk")


def test_a_deals_mail(inbox: Stack, sit: Sit) -> None:
    """A deal shows its contacts, and the mail of all of them together; each mail opens with its contact."""
    inbox.mail("anna", "Lena Krüger <lena@krueger-energie.example>", "Floor lamps")
    desk = sit("Anna Berger", place="#/contacts/mia")
    desk.link("Rahmenvertrag Büroausstattung")
    expect(desk.page.get_by_role("heading", name="Rahmenvertrag Büroausstattung")).to_be_focused()
    expect(desk.page.locator(".timeline .mail-row")).to_have_count(3)
    desk.shot("deal")
    desk.link("Floor lamps")

    expect(desk.page.get_by_role("heading", name="Floor lamps")).to_be_visible()
    expect(desk.page.locator(".reading-back a")).to_have_text("Lena Krüger")


def test_sharing_a_contact_keeps_the_place(inbox: Stack, sit: Sit) -> None:
    """The switch shares and takes back, what it changes shows at once, and the focus stays on it."""
    inbox.ask("anna", "PATCH", "/oauth_callback/connection", json={"sharing": "custom"})
    desk = sit("Anna Berger", place="#/contacts/mia")
    switch = desk.page.get_by_role("switch", name="Share my mail with Mia Schneider")
    switch.focus()
    desk.page.keyboard.press("Space")
    expect(desk.page.get_by_text("confirmed by you")).to_be_visible()
    expect(desk.page.locator(".timeline .mail-row").filter(has_text="Everyone in the CRM")).to_have_count(2)
    expect(switch).to_be_focused()
    desk.page.keyboard.press("Space")
    expect(desk.page.get_by_text("confirmed by you")).to_have_count(0)

    expect(desk.page.locator(".timeline .mail-row").filter(has_text="Only you")).to_have_count(2)


def test_mailboxes_that_were_not_asked(inbox: Stack, sit: Sit) -> None:
    """Of more than ten mailboxes the rest are named, and looked into when the reader asks for it."""
    colleagues = [f"colleague-{number:02}" for number in range(11)]
    for user in colleagues:
        inbox.add_person(user)
        inbox.connect(user, features=("mail",))
        inbox.ask(user, "PATCH", "/oauth_callback/connection", json={"sharing": "public"})
        inbox.mail(user, MIA, f"To {user}")
    desk = sit("Anna Berger", place="#/contacts/mia")
    unasked = desk.page.locator(".mailboxes .note").filter(has_text="Not asked yet:")
    expect(unasked).to_be_visible()
    told = str(unasked.locator("div").text_content()).removeprefix("Not asked yet: ")
    mail = desk.page.get_by_role("link", name=f"To {told.partition('@')[0]}")
    expect(mail).to_have_count(0)
    desk.press("Ask them, too")

    expect(mail).to_be_visible()
