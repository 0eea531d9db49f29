"""The API's reference as the demo CRM serves it."""

from __future__ import annotations

import pytest
import requests
from playwright.sync_api import expect

from local.stack import Stack
from tests.e2e.axe import findings
from tests.e2e.conftest import Sit
from tests.e2e.desk import PHONE

pytestmark = pytest.mark.integration


def test_the_reference_shows_every_route(sit: Sit, stack: Stack) -> None:
    """Each route of the two public functions stands there, with its example and its problems' codes."""
    desk = sit(place="reference")
    told = [
        requests.get(f"{stack.front.url_of(name)}/openapi.json", timeout=60).json()["paths"]
        for name in ("mail_proxy", "oauth_callback")
    ]
    routes = sum(len(methods) for paths in told for methods in paths.values())

    expect(desk.page.locator("article.route")).to_have_count(routes)
    expect(desk.page.locator("#toc a")).to_have_count(routes)
    search = desk.page.locator("#mail_proxy-post-messages-search")
    expect(search.locator("pre").first).to_contain_text('"label": "INBOX"')
    search.get_by_text("Problems").click()
    expect(search.get_by_role("cell", name="invalid-page-token")).to_be_visible()
    assert "[object" not in desk.page.locator("main").inner_text()
    desk.shot("reference")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_reference(sit: Sit, axe: str, theme: str) -> None:
    """The reference breaks no serious rule of axe's, contrast included, with its tables open."""
    desk = sit(place="reference", color_scheme=theme)
    desk.page.locator("article.route").first.wait_for()
    desk.page.evaluate("for (const one of [...document.querySelectorAll('details')].slice(0, 8)) one.open = true")

    assert [] == findings(desk.page, axe)


def test_the_reference_fits_a_phone(sit: Sit) -> None:
    """On a phone nothing of it is wider than the screen."""
    desk = sit(place="reference", viewport=PHONE)
    desk.page.locator("article.route").first.wait_for()

    assert [390, 390] == desk.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
