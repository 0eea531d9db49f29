"""How the page looks to everyone: by axe's rules, in both themes, in German, on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from local.stack import Stack
from tests.e2e.axe import findings
from tests.e2e.conftest import Sit
from tests.e2e.desk import PHONE, Desk, sit_down
from tests.e2e.mailbox import SHOWN, address_of, live_in
from tests.page_words import entries

pytestmark = pytest.mark.integration

VIEWS = {
    "anna": ("#/contacts", "#/contacts/mia", "#/inbox", "#/drafts", "#/notices", "#/labels", "#/settings", "#/me"),
    "carla": ("#/admin/policy", "#/admin/connections", "#/admin/audit", "#/settings"),
}
WINDOWS: Mapping[str, Mapping[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "has_touch": True, "is_mobile": True, "device_scale_factor": 2},
}
NAMES = {"anna": "Anna Berger", "carla": "Carla Nowak"}
# Above a tenth Google's web vitals call a page restless.
_MOST_SHIFTED = 0.1
_SHIFTS = """() => new Promise((resolve) => new PerformanceObserver((list, observer) => {
  observer.disconnect();
  resolve(list.getEntries().filter((one) => !one.hadRecentInput).reduce((sum, one) => sum + one.value, 0));
}).observe({ type: "layout-shift", buffered: true }) || setTimeout(resolve, 500, 0))"""
_WIDER = """() => [document.documentElement, ...document.querySelectorAll("main, main section, main article")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "hidden")
  .map((one) => `${one.tagName}.${one.className} ${one.scrollWidth} > ${one.clientWidth}`)"""
_SMALL = """() => [...document.querySelectorAll("a.button, button, .nav a, .mail-row, select")]
  .map((one) => [one.textContent || one.ariaLabel, one.getBoundingClientRect().height, one.checkVisibility()])
  .filter(([, height, isVisible]) => isVisible && height > 0 && height < 36)"""


@pytest.fixture(scope="module")
def lived_in(_running_stack: Stack) -> Stack:
    """The stack with a CRM in use, for all tests here: they look, and change nothing."""
    _running_stack.reset()
    return live_in(_running_stack)


@pytest.fixture
def look(browser: Browser, lived_in: Stack) -> Iterator[Sit]:
    """As ``sit``, without emptying the stack."""
    with ExitStack() as desks:

        def one(person: str | None = None, **options: Any) -> Desk:
            return desks.enter_context(sit_down(browser, lived_in.crm_url, person, **options))

        yield one


def name_of(view: str) -> str:
    """What the picture of a view is called."""
    return "mail" if view.startswith("#/mail/") else view.removeprefix("#/").replace("/", "-")


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("user", ["anna", "carla"])
def test_axe_finds_nothing_serious(lived_in: Stack, look: Sit, axe: str, window: str, user: str) -> None:
    """No view breaks a serious rule of axe's, contrast included, in the light or the dark theme or on a phone."""
    desk = look(NAMES[user], **WINDOWS[window])
    views = VIEWS[user] + ((address_of(lived_in, SHOWN),) if user == "anna" else ())
    # What the dark theme changes is colours alone.
    only = ("color-contrast",) if window == "dark" else ()
    found = {}
    for view in views:
        desk.open(view)
        found[view] = findings(desk.page, axe, only)
        desk.shot(f"{window}-{name_of(view)}")
    if user == "anna":
        desk.press("Reply")
        desk.page.get_by_role("textbox", name="Text").wait_for()
        found["writing"] = findings(desk.page, axe, only)
        desk.shot(f"{window}-writing")

    assert {} == {view: serious for view, serious in found.items() if serious}


def test_german(lived_in: Stack, look: Sit) -> None:
    """In a German browser the page is German throughout: no key, no English word of ours, `lang` says so."""
    desk = look("Anna Berger", locale="de-DE")
    assert "de" == desk.page.locator("html").get_attribute("lang")
    shown = {}
    for view in (*VIEWS["anna"], address_of(lived_in, SHOWN)):
        desk.open(view)
        # The panel at the side names Gmail's calls and Firestore's paths, which no language changes.
        shown[view] = "\n".join(desk.page.locator(".bar, .nav, main").all_inner_texts())
        desk.shot(f"german-{name_of(view)}")

    desk.open("#/contacts/mia")
    expect(desk.page.locator("#inside li").nth(5)).to_be_visible()
    desk.shot("german-contact")
    english = {text for _, text in entries("en")} - {text for _, text in entries("de")}
    assert {} == {view: found for view, text in shown.items() if (found := english & set(text.splitlines()))}
    assert {} == {view: keys for view, text in shown.items() if (keys := untranslated(text))}


def untranslated(text: str) -> list[str]:
    """What looks like a key of the words; addresses, domains and file names do not."""
    kinds = "|".join(sorted({key.partition(".")[0] for key, _ in entries("de")}))
    return re.findall(rf"(?<![\w@/.])(?:{kinds})\.[a-z][\w.-]*(?![\w@])", text)


def test_nothing_jumps(lived_in: Stack, look: Sit) -> None:
    """While views load, what is already there stays where it is: by the browser's own measure of layout shifts."""
    desk = look("Anna Berger")
    shifts: dict[str, float] = {}
    before = 0.0
    for view in (*VIEWS["anna"], address_of(lived_in, SHOWN)):
        desk.open(view)
        all_so_far = desk.page.evaluate(_SHIFTS)
        shifts[view], before = all_so_far - before, all_so_far

    assert {} == {view: shift for view, shift in shifts.items() if shift > _MOST_SHIFTED}


def test_a_phone(lived_in: Stack, look: Sit) -> None:
    """At a phone's width nothing stands out at the side, what is to be touched is big enough, and back leads back."""
    desk = look("Anna Berger", locale="de-DE", **WINDOWS["phone"])
    wider: dict[str, Any] = {}
    small: dict[str, Any] = {}
    for view in (*VIEWS["anna"], address_of(lived_in, SHOWN)):
        desk.open(view)
        wider[view] = desk.page.evaluate(_WIDER)
        small[view] = desk.page.evaluate(_SMALL)
        desk.shot(f"german-phone-{name_of(view)}")
    expect(desk.page.locator(".list-pane")).to_be_hidden()
    desk.page.locator(".reading-back a").click()
    expect(desk.page.get_by_role("heading", name="Posteingang")).to_be_visible()

    assert {} == {view: found for view, found in wider.items() if found}
    assert {} == {view: found for view, found in small.items() if found}
