"""The main job, as a person clicks it: connect, read, answer, share, and end it again."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from local.stack import Stack
from tests.e2e.conftest import Sit
from tests.e2e.desk import Desk, give_consent
from tests.integration.sending_rig import files_of, received

pytestmark = pytest.mark.integration

MIA = "Mia Schneider <mia@customer.example>"


def connect(desk: Desk) -> None:
    """Through the settings, Google's page in a popup, and back."""
    desk.link("Gmail")
    with desk.page.expect_popup() as opened:
        desk.press("Connect Gmail")
    give_consent(opened.value, "anna@demo-crm.example")
    desk.hears("Gmail is connected.")
    desk.settle()


def answer(desk: Desk, text: str, file: Path) -> None:
    """The mail that is open is answered, with a file."""
    desk.press("Reply")
    expect(desk.page.get_by_label("To", exact=True)).to_have_value("Mia Schneider <mia@customer.example>")
    desk.page.get_by_role("textbox", name="Text").fill(text)
    desk.page.locator("#composer input[type=file]").set_input_files(file)
    desk.press("Send")
    desk.hears("Sent.")


def test_the_main_job(stack: Stack, sit: Sit, tmp_path: Path) -> None:
    """Anna connects, switches on, reads and answers a customer, shares it with Ben, and deactivates, by clicks."""
    offer = tmp_path / "Angebot.pdf"
    offer.write_bytes(b"%PDF-1.7 offer")
    desk = sit("Anna Berger")
    connect(desk)
    desk.page.get_by_role("switch", name="Labels by deals").check()
    desk.page.get_by_role("radio", name="Contacts that I share").check()
    desk.press("Save")
    desk.hears("Saved.")
    stack.settle()
    stack.mail("anna", MIA, "Twelve desks", text="Could you send us an offer?")
    stack.settle()

    desk.link("Contacts")
    desk.link("Mia Schneider")
    desk.link("Twelve desks")
    expect(desk.page.frame_locator("iframe.mail").get_by_text("Could you send us an offer?")).to_be_visible()
    answer(desk, "Here it is.", offer)
    stack.settle()
    desk.link("Mia Schneider")
    expect(desk.page.get_by_role("link", name="Re: Twelve desks")).to_be_visible()
    desk.page.get_by_role("switch", name="Share my mail with Mia Schneider").check()
    desk.hears("Your mail with Mia Schneider is shared now.")

    colleague = sit("Ben Okafor", place="#/contacts/mia")
    colleague.link("Twelve desks")
    expect(colleague.page.get_by_text("From Anna Berger's mailbox.")).to_be_visible()
    colleague.shot("shared-mail")

    desk.link("Gmail")
    desk.press("Deactivate")
    desk.page.get_by_role("dialog").get_by_role("button", name="Deactivate").click()
    desk.hears("The connection has ended.")
    expect(desk.page.get_by_role("button", name="Connect Gmail")).to_be_visible()
    colleague.page.reload()
    colleague.settle()
    expect(colleague.page.get_by_text("Not found.")).to_be_visible()
    assert [{"Angebot.pdf": b"%PDF-1.7 offer"}] == [files_of(one) for one in received(stack)]
