"""Writing in the page: to all, on to others, as another sender, later, as a draft; and what is wrong in an address."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from local.faults import Fault
from local.gmail.contract import SendAs
from local.stack import Stack
from tests.e2e.conftest import Sit
from tests.integration.sending_rig import files_of, received, sent

pytestmark = pytest.mark.integration

MIA, BEN = "Mia Schneider <mia@customer.example>", "ben@demo-crm.example"
_PARSED = """async (typed) => {
  const { looksWrong, parseRecipients } = await import("/static/recipients.js");
  return [parseRecipients(typed), looksWrong(parseRecipients(typed))];
}"""
_ANSWERED = """async ([mail, own, toAll]) => {
  const { answerTo } = await import("/static/recipients.js");
  const { to, cc } = answerTo(mail, own, toAll);
  return [to.map((one) => one.address), cc.map((one) => one.address)];
}"""


@pytest.fixture
def inbox(stack: Stack) -> Stack:
    """Anna connected, with a mail of Mia's to her, Ben and Mia's colleague, and a file in it."""
    stack.connect("anna")
    stack.mail(
        "anna",
        MIA,
        "Twelve desks",
        cc=f"Ben <{BEN}>, Otto <otto@customer.example>",
        attachments=[{"filename": "Plan.pdf", "content_type": "application/pdf", "data_base64": "JVBERg=="}],
    )
    return stack


def test_addresses_as_people_type_them(sit: Sit) -> None:
    """Names, quotes, commas and semicolons are understood, and what is no address is named."""
    desk = sit()
    told = desk.page.evaluate(_PARSED, 'a@x.example; "Weber, Jonas" <jonas@weber.example>,\n Mia <mia@customer>')

    people = [
        {"address": "a@x.example"},
        {"name": "Weber, Jonas", "address": "jonas@weber.example"},
        {"name": "Mia", "address": "mia@customer"},
    ]
    assert [people, ["mia@customer"]] == told


@pytest.mark.parametrize(
    ("sender", "reply_to", "to_all", "expected"),
    [
        ("mia@c.example", [], False, [["mia@c.example"], []]),
        ("mia@c.example", ["desk@c.example"], False, [["desk@c.example"], []]),
        ("mia@c.example", [], True, [["mia@c.example"], ["ben@d.example"]]),
        ("ANNA@d.example", [], True, [["ben@d.example"], []]),
    ],
    ids=["from", "reply-to", "all", "one's own"],
)
def test_who_gets_the_answer(sit: Sit, sender: str, reply_to: list[str], to_all: bool, expected: object) -> None:
    """An answer goes where the mail asks for it, never to oneself; the answer to one's own goes to its recipients."""
    mail = {
        "from": {"name": "", "address": sender},
        "reply_to": [{"name": "", "address": one} for one in reply_to],
        "to": [{"name": "", "address": "anna@d.example"}, {"name": "", "address": "ben@d.example"}],
        "cc": [],
    }
    assert expected == sit().page.evaluate(_ANSWERED, [mail, ["anna@d.example"], to_all])


def test_an_answer_to_all(inbox: Stack, sit: Sit) -> None:
    """Everyone but the writer is among the recipients, and a wrong address is named before anything is sent."""
    desk = sit("Anna Berger", place="#/inbox")
    desk.link("Twelve desks")
    desk.press("Reply to all")
    expect(desk.page.get_by_label("To", exact=True)).to_have_value(MIA)
    copies = desk.page.get_by_label("Cc", exact=True)
    expect(copies).to_have_value(f"Ben <{BEN}>, Otto <otto@customer.example>")
    copies.fill("otto@customer")
    desk.press("Send")
    desk.hears("“otto@customer” is not a mail address.")
    copies.fill(BEN)
    desk.page.get_by_role("textbox", name="Text").fill("Of course.")
    desk.press("Send")
    desk.hears("Sent.")
    inbox.settle()

    assert [("Re: Twelve desks", BEN)] == [(one["Subject"], one["Cc"]) for one in sent(inbox)]


def test_a_mail_is_forwarded(inbox: Stack, sit: Sit) -> None:
    """A forwarded mail carries the original and its attachment."""
    desk = sit("Anna Berger", place="#/inbox")
    desk.link("Twelve desks")
    desk.press("Forward")
    desk.page.get_by_label("To", exact=True).fill("mia@customer.example")
    desk.press("Send")
    desk.hears("Sent.")
    inbox.settle()

    [mail] = received(inbox)
    assert ("Fwd: Twelve desks", {"Plan.pdf": b"%PDF"}) == (mail["Subject"], files_of(mail))


def test_a_draft_is_gone_on_with(inbox: Stack, sit: Sit, tmp_path: Path) -> None:
    """What was closed is among the drafts with its file, is gone on with there, and is sent once and whole."""
    offer = tmp_path / "Angebot.pdf"
    offer.write_bytes(b"%PDF-1.7")
    desk = sit("Anna Berger", place="#/inbox")
    desk.press("New mail")
    desk.page.get_by_label("To", exact=True).fill(MIA)
    desk.page.get_by_label("Subject").fill("Offer")
    desk.page.locator("#composer input[type=file]").set_input_files(offer)
    expect(desk.page.get_by_text("Angebot.pdf")).to_be_visible()
    desk.press("Close (kept as a draft)")
    desk.hears("Saved as a draft.")
    desk.link("Drafts")
    desk.shot("drafts")
    desk.press("Go on")
    expect(desk.page.get_by_text("Angebot.pdf")).to_be_visible()
    desk.page.get_by_role("textbox", name="Text").fill("Here it is.")
    desk.press("Send")
    desk.hears("Sent.")
    inbox.settle()
    expect(desk.page.get_by_text("No drafts.")).to_be_visible()

    [mail] = received(inbox)
    assert ("Offer", {"Angebot.pdf": b"%PDF-1.7"}) == (mail["Subject"], files_of(mail))


def test_a_mail_goes_later_or_not_at_all(inbox: Stack, sit: Sit) -> None:
    """A mail for tomorrow waits among the drafts with its time, and can be cancelled there."""
    desk = sit("Anna Berger", place="#/inbox")
    desk.press("New mail")
    desk.page.get_by_label("To", exact=True).fill(MIA)
    desk.page.get_by_label("Subject").fill("Good morning")
    desk.press("Later")
    desk.shot("later")
    desk.page.get_by_role("button", name="Tomorrow morning").click()
    desk.hears("Will be sent")
    desk.open("#/drafts")
    expect(desk.page.get_by_text("Will be sent").first).to_be_visible()
    desk.press("Do not send")
    expect(desk.page.get_by_role("button", name="Go on")).to_be_visible()

    assert [] == sent(inbox)


def test_later_is_by_the_crms_clock(inbox: Stack, sit: Sit) -> None:
    """After the demo's clock was moved by weeks, tomorrow is the CRM's tomorrow, not the browser's."""
    inbox.advance(40 * 24 * 3600)
    desk = sit("Anna Berger", place="#/contacts/mia")
    desk.press("Write")
    desk.page.get_by_label("Subject").fill("In time")
    desk.press("Later")
    desk.page.get_by_role("button", name="Tomorrow morning").click()
    desk.hears("Will be sent")

    assert [] == sent(inbox)


def test_an_answer_sent_at_once_has_its_recipient(inbox: Stack, sit: Sit) -> None:
    """Who writes faster than Gmail tells the addresses sends to whom the answer goes, all the same."""
    inbox.faults.inject(Fault("gmail", "users.settings.sendAs.list", delay_s=3))
    desk = sit("Anna Berger", place="#/inbox")
    desk.link("Twelve desks")
    desk.page.get_by_role("button", name="Reply", exact=True).click()
    desk.page.get_by_role("textbox", name="Text").fill("Of course.")
    desk.press("Send")
    desk.hears("Sent.")

    assert [MIA] == [one["To"] for one in sent(inbox)]


def test_a_lost_answer_sends_no_second_mail(inbox: Stack, sit: Sit) -> None:
    """Where Gmail's answer is lost, the page says what is known in the end, and the customer has one mail."""
    inbox.faults.inject(Fault("gmail", "users.messages.send", drop_answer=True))
    desk = sit("Anna Berger", place="#/contacts/mia")
    desk.press("Write")
    desk.page.get_by_label("Subject").fill("Once")
    desk.press("Send")
    expect(desk.page.locator("#toasts .toast")).to_be_visible()
    inbox.settle()

    assert ["Once"] == [one["Subject"] for one in received(inbox)]


def test_a_sender_is_chosen(inbox: Stack, sit: Sit) -> None:
    """With more than one verified address the sender can be chosen, and its signature follows."""
    mailbox = inbox.google.gmail.mailbox("anna@demo-crm.example")
    with mailbox.lock:
        mailbox.aliases.append(SendAs("sales@demo-crm.example", display_name="Sales", signature="<b>Sales</b><br>Demo"))
    desk = sit("Anna Berger", place="#/inbox")
    desk.press("New mail")
    desk.page.get_by_label("From").select_option("sales@demo-crm.example")
    expect(desk.page.get_by_role("textbox", name="Text")).to_have_value("\n\n-- \nSales\nDemo")
