"""A person at the demo CRM: a browser window with the page, who is signed in, and what went wrong in it.

Clicks and types as a person does, by what is seen and read; waits for conditions, never for time. A desk reaches this
machine and nothing else. Screenshots go to ``.local/screens``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Route, ViewportSize, expect

from local.functions import ROOT

WIDE: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
SCREENS = ROOT / ".local" / "screens"
_HERE = frozenset({"127.0.0.1", "localhost"})
_TIMEOUT_MS = 20_000
# What the browser itself writes of an answer that the page then deals with.
_EXPECTED = ("Failed to load resource",)


@dataclass
class Desk:
    """The window of one person."""

    context: BrowserContext
    url: str
    page: Page = field(init=False)
    left: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.set_default_timeout(_TIMEOUT_MS)
        expect.set_options(timeout=_TIMEOUT_MS)
        self.context.route(lambda url: urlsplit(url).hostname not in _HERE, self._refuse)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._note(message.type, message.text))

    def sign_in(self, person: str) -> None:
        """Chooses who is there."""
        self.page.get_by_role("button", name=person).click()
        self.settle()

    def open(self, place: str) -> None:
        """Goes to a place of the page, by its address."""
        self.page.evaluate("(place) => { location.hash = place; }", place)
        self.settle()

    def settle(self) -> None:
        """Waits until the view that the address names is shown, and nothing in it is loading."""
        # Asked together: the page may send one on from an address that leads nowhere.
        self.page.wait_for_function(
            "() => document.getElementById('main')?.dataset.shown === (location.hash || '#/contacts')"
        )
        expect(self.page.locator("[aria-busy]")).to_have_count(0)

    def link(self, name: str) -> None:
        """Follows the first link of this name."""
        self.page.get_by_role("link", name=name).first.click()
        self.settle()

    def press(self, name: str) -> None:
        """Presses the first button of this name."""
        self.page.get_by_role("button", name=name).first.click()

    def hears(self, text: str) -> None:
        """Waits until the page has said this."""
        expect(self.page.locator("#toasts")).to_contain_text(text)

    def has_asked(self, url: str) -> None:
        """Waits until the page has asked for what is not on this machine."""
        ends_s = time.monotonic() + _TIMEOUT_MS / 1000
        while url not in self.left and time.monotonic() < ends_s:
            self.page.wait_for_timeout(20)
        assert url in self.left

    def shot(self, name: str) -> None:
        """Keeps what is seen now as a picture."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENS / f"{name}.png")

    def _refuse(self, route: Route) -> None:
        self.left.append(route.request.url)
        route.abort()

    def _note(self, kind: str, text: str) -> None:
        if kind == "error" and not text.startswith(_EXPECTED):
            self.complaints.append(text)


@contextmanager
def sit_down(
    browser: Browser, url: str, person: str | None = None, *, place: str = "", **options: Any
) -> Iterator[Desk]:
    """The page, opened by a person; at the end no script of it may have failed, and nothing have left this machine."""
    options = {"locale": "en-GB", "viewport": WIDE, **options}
    context = browser.new_context(**options)
    try:
        desk = Desk(context, url)
        desk.page.goto(f"{url}/{place}")
        if person:
            desk.sign_in(person)
        yield desk
        assert [] == desk.complaints
    finally:
        context.close()


def give_consent(popup: Page, account: str, *, untick: tuple[str, ...] = (), deny: bool = False) -> None:
    """Answers Google's page: which account, what it may not do, and Allow or Cancel."""
    popup.get_by_label(account).check()
    for permission in untick:
        popup.get_by_label(permission).uncheck()
    popup.get_by_role("button", name="Cancel" if deny else "Allow").click()
