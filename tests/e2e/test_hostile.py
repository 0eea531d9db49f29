"""Hostile mail wherever the page shows something of it: words stay words, nothing runs, nothing is fetched."""

from __future__ import annotations

from email.message import EmailMessage

import pytest
from playwright.sync_api import expect

from local.stack import Stack
from tests.e2e.conftest import Sit
from tests.e2e.desk import Desk
from tests.integration.magnet_rig import start_magnet

pytestmark = pytest.mark.integration

ATTACK = '<img src="https://evil.test/field.png" onerror="window.ran()">'


@pytest.fixture
def attacked(stack: Stack) -> Stack:
    """Anna with MailMagnet on, and a mail of Mia's in which every field, name and part is an attack."""
    start_magnet(stack)
    mail = EmailMessage()
    mail["From"] = f"{_quoted(ATTACK)} <mia@customer.example>"
    mail["To"] = f"{_quoted(ATTACK)} <anna@demo-crm.example>, other@customer.example"
    mail["Subject"] = f"Offer {ATTACK}"
    mail["Reply-To"] = f"{_quoted(ATTACK)} <mia@customer.example>"
    mail.set_content(f"</textarea><script>window.ran()</script> {ATTACK}")
    mail.add_alternative(
        f"<h3>Hello</h3>{ATTACK}<script>window.ran()</script>"
        "<iframe srcdoc='<script>parent.ran()</script>'></iframe>"
        "<form action='https://evil.test/form'><button>Go</button></form><style>@import 'https://evil.test/a.css'</style>"
        "<a href='javascript:window.ran()'>Click me</a><base href='https://evil.test/'>",
        subtype="html",
    )
    mail.add_attachment(ATTACK.encode(), "text", "html", filename=f"{ATTACK}.html")
    stack.deliver(mail.as_bytes(), to="anna@demo-crm.example")
    stack.settle()
    return stack


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def watched(desk: Desk) -> list[str]:
    """What ran of the attacks: they call a function that every frame has."""
    ran: list[str] = []
    desk.context.expose_binding("ran", lambda source: ran.append(source["frame"].url))
    return ran


def test_a_hostile_mail_is_harmless_everywhere(attacked: Stack, sit: Sit) -> None:
    """In lists, notices, the timeline, opened, answered, forwarded or saved, a hostile mail is only words."""
    desk = sit("Anna Berger", place="#/inbox")
    ran = watched(desk)
    expect(desk.page.locator(".mail-subject").first).to_have_text(f"Offer {ATTACK}")
    for place in ("#/notices", "#/labels", "#/contacts/mia"):
        desk.open(place)
    desk.page.locator(".timeline .mail-row").first.click()
    desk.settle()
    body = desk.page.frame_locator("iframe.mail")
    expect(body.get_by_role("heading", name="Hello")).to_be_visible()
    assert [0, 0, 0] == [body.locator(kind).count() for kind in ("script", "iframe", "form")]
    body.get_by_text("Click me").click()
    for mode in ("Reply to all", "Forward"):
        desk.press(mode)
        expect(desk.page.get_by_role("textbox", name="Text")).to_be_visible()
        desk.press("Discard")
        expect(desk.page.locator("#composer form")).to_have_count(0)
    with desk.page.expect_download() as saved:
        desk.page.locator(".files button").first.click()
    desk.shot("hostile")

    assert saved.value.suggested_filename.endswith(".html")
    assert ([], [], 1) == (ran, desk.left, len(desk.context.pages))
    desk.page.evaluate("window.ran()")
    assert 1 == len(ran)


def test_images_come_when_they_are_asked_for(attacked: Stack, sit: Sit) -> None:
    """Only at the reader's word is a remote image asked for, by the browser, once, and nothing else with it."""
    desk = sit("Anna Berger", place="#/inbox")
    desk.page.locator(".mail-row").first.click()
    desk.settle()
    desk.press("Show images")
    desk.hears("Images are shown.")
    expect(desk.page.get_by_role("button", name="Show images")).to_have_count(0)
    desk.has_asked("https://evil.test/field.png")

    assert ["https://evil.test/field.png"] == desk.left
