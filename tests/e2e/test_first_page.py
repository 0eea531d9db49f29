"""Before anything is connected: the sign-in, the setup, the reader's language and appearance; and that axe bites."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.axe import findings
from tests.e2e.conftest import Sit

pytestmark = pytest.mark.integration


def test_the_first_page_and_the_setup(sit: Sit, axe: str) -> None:
    """Neither the sign-in nor the setup before a connection breaks a serious rule."""
    desk = sit()
    desk.page.get_by_role("heading", name="Who are you today?").wait_for()
    desk.shot("signin")
    found = findings(desk.page, axe)
    desk.sign_in("Anna Berger")
    desk.open("#/settings")
    desk.shot("setup")

    assert [] == found + findings(desk.page, axe)


def test_axe_bites(sit: Sit, axe: str) -> None:
    """A button without a name and words that can hardly be read are found."""
    desk = sit()
    desk.page.get_by_role("heading", name="Who are you today?").wait_for()
    desk.page.evaluate("""() => {
      const words = document.querySelector("main").appendChild(document.createElement("p"));
      words.textContent = "grey on grey";
      words.style.cssText = "color: #aaa; background: #bbb";
      document.querySelector("main").append(document.createElement("button"));
    }""")

    assert {"button-name", "color-contrast"} == {one["id"] for one in findings(desk.page, axe)}


def test_the_language_is_chosen(sit: Sit) -> None:
    """The reader's menu changes the language at once and for good, and so the appearance."""
    desk = sit("Anna Berger")
    desk.page.get_by_role("button", name="Anna Berger: menu").click()
    desk.page.get_by_label("Language").select_option("Deutsch")
    expect(desk.page.get_by_role("heading", name="Kontakte")).to_be_visible()
    desk.page.get_by_role("button", name="Anna Berger: Menü").click()
    desk.page.get_by_label("Darstellung").select_option("Dunkel")
    desk.page.reload()

    expect(desk.page.get_by_role("heading", name="Kontakte")).to_be_visible()
    assert "dark" == desk.page.locator("html").get_attribute("data-theme")
