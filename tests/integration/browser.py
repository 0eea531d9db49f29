"""A real browser for tests: Debian's Chromium, headless, by Playwright; and pages that tell all that happens in them.

``conftest.py`` starts one browser for all tests (fixture ``browser``). A page made by ``Watch`` reaches this machine
and nothing else: every other request is noted and refused. Where no Chromium is installed the tests skip, and say so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, Route, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Tests run as root on machines for continuous integration, where Chromium's own sandbox cannot. A sandboxed frame in a
# process of its own asks for things before its requests can be seen: here it stays in its page's process.
_FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-extensions",
    "--disable-features=IsolateSandboxedIframes",
)
_HERE = frozenset({"127.0.0.1", "localhost"})
_LOCAL_SCHEMES = frozenset({"data", "blob", "about"})
BARE = "http://bare.test"
"""Where pages that a test makes itself are served from, in the browser alone."""

# Before anything else runs in any frame: what attacks call tells the test that it was called.
_TRAPS = """
for (const name of ["alert", "confirm", "prompt", "print", "open"]) {
  window[name] = () => { window.__ran(name); };
}
"""


def chromium_path() -> str:
    """Where Chromium is: what CHROMIUM names, else the first one on the PATH; empty where there is none."""
    named = os.environ.get("CHROMIUM", "")
    return named or next((found for name in NAMES if (found := shutil.which(name))), "")


def missing() -> str:
    """Why no browser can run here; empty if one can."""
    if chromium_path():
        return ""
    return f"SKIPPED LOUDLY: no Chromium here (apt-get install chromium, or CHROMIUM=path); looked for {NAMES}"


_running: list[Browser] = []


@contextmanager
def started_browser() -> Iterator[Browser]:
    """Chromium, as long as the block lasts; within another such block the same one. Skips where there is none."""
    if reason := missing():
        pytest.skip(reason)
    if _running:
        yield _running[0]
        return
    with sync_playwright() as playwright:
        _running.append(playwright.chromium.launch(executable_path=chromium_path(), args=list(_FLAGS)))
        try:
            yield _running[0]
        finally:
            _running.pop().close()


@dataclass
class Watch:
    """A page, and what happened in it: scripts that ran, requests that left this machine, windows that opened."""

    context: BrowserContext
    page: Page = field(init=False)
    ran: list[str] = field(default_factory=list)
    left: list[Request] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    pages: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.context.expose_binding("__ran", self._note_run)
        self.context.add_init_script(_TRAPS)
        self.context.route("**/*", self._answer)
        self.page = self.context.new_page()
        self.page.on("dialog", self._note_dialog)
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.context.on("page", lambda page: self.opened.append(page.url))

    def serve(self, pages: Mapping[str, str], start: str) -> None:
        """Opens the page ``start`` of ``pages``: documents by their path, under ``BARE``."""
        self.pages = pages
        self.page.goto(f"{BARE}{start}", wait_until="load")

    def settle(self) -> None:
        """Gives what was loaded the time to do what it means to do."""
        self.page.wait_for_timeout(300)

    def _note_run(self, source: Any, name: str) -> None:
        self.ran.append(f"{source['frame'].name or source['frame'].url}: {name}")

    def _note_dialog(self, dialog: Dialog) -> None:
        self.ran.append(f"dialog: {dialog.type}")
        dialog.dismiss()

    def _note_console(self, message: ConsoleMessage) -> None:
        self.complaints.append(message.text)

    def _answer(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        if url.hostname == "bare.test" and url.path in self.pages:
            route.fulfill(
                status=200,
                content_type="text/html; charset=utf-8",
                body=self.pages[url.path].encode("utf-8", "replace"),
            )
        elif url.hostname in _HERE or url.scheme in _LOCAL_SCHEMES:
            route.continue_()
        else:
            self.left.append(route.request)
            route.abort()


@contextmanager
def watched(browser: Browser) -> Iterator[Watch]:
    """A page of its own, with cookies, cache and storage of its own."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    try:
        yield Watch(context)
    finally:
        context.close()
