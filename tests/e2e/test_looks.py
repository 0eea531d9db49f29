"""How the page looks to everyone: by axe's rules, in both themes, in German, on a phone."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from local.stack import Stack
from tests.e2e.conftest import Sit
from tests.e2e.desk import PHONE, Desk
from tests.integration.sweep_rig import start_labels

pytestmark = pytest.mark.integration

AXE = "axe-core@4.11.0"
AXE_SHA512 = "ilYanEU8vxxBexpJd8cWM4ElSQq4QctCLKih0TSfjIfCQTeyH/6zVrmIJfLPrKTKJRbiG+cfnZbQIjAlJmF1jQ=="
VIEWS = {
    "anna": ("#/contacts", "#/contacts/mia", "#/inbox", "#/drafts", "#/notices", "#/labels", "#/settings", "#/me"),
    "carla": ("#/admin", "#/settings"),
}
NAMES = {"anna": "Anna Berger", "carla": "Carla Nowak"}
_SERIOUS = {"serious", "critical"}
_RUN_AXE = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .map(({ id, impact, nodes }) => ({ id, impact,
    where: nodes.map((one) => `${one.target} ${one.failureSummary}`) }))"""
_WIDER = """() => [document.documentElement, ...document.querySelectorAll("main, main section, main article")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "hidden")
  .map((one) => `${one.tagName}.${one.className} ${one.scrollWidth} > ${one.clientWidth}`)"""
_SMALL = """() => [...document.querySelectorAll("a.button, button, .nav a, .mail-row, select")]
  .map((one) => [one.textContent || one.ariaLabel, one.getBoundingClientRect().height, one.checkVisibility()])
  .filter(([, height, isVisible]) => isVisible && height > 0 && height < 36)"""


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script, as npm has it, of the very bytes that are pinned here."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("SKIPPED LOUDLY: no npm here: the page is not checked by axe")
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(
        [npm, "pack", "--silent", AXE], cwd=folder, capture_output=True, text=True, timeout=90, check=False
    )
    if packed.returncode:
        pytest.skip("SKIPPED LOUDLY: npm reaches no registry: the page is not checked by axe")
    archive = next(Path(folder).glob("*.tgz"))
    assert AXE_SHA512 == base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    with tarfile.open(archive) as opened:
        script = opened.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


@pytest.fixture
def lived_in(stack: Stack) -> Stack:
    """Everyone connected, labels on for Anna, and mail of every kind."""
    for subject in ("Twelve desks", "Delivery"):
        stack.mail("anna", "Mia Schneider <mia@customer.example>", subject)
    stack.mail("anna", "Mia Schneider <mia@customer.example>", "New bank account", auth="fail")
    start_labels(stack)
    stack.connect("carla")
    stack.connect("ben", features=("mail",))
    stack.ask("ben", "PATCH", "/oauth_callback/connection", json={"sharing": "public"})
    stack.mail("ben", "Mia Schneider <mia@customer.example>", "A question")
    stack.mail(
        "anna", "Lena Krüger <lena@krueger-energie.example>", "Lamps", html="<p>Hi <img src='https://x.test/a.png'>"
    )
    stack.settle()
    return stack


def first_mail(stack: Stack) -> str:
    found = stack.ask("anna", "POST", "/mail_proxy/messages/search", json={"q": "Lamps"})["messages"]
    return f"#/mail/{found[0]['id']}"


def findings(desk: Desk, axe: str) -> list[dict[str, Any]]:
    """What axe finds serious in what is shown now."""
    desk.page.evaluate(axe)
    found: list[dict[str, Any]] = desk.page.evaluate(_RUN_AXE)
    return [one for one in found if one["impact"] in _SERIOUS]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("user", ["anna", "carla"])
def test_axe_finds_nothing_serious(lived_in: Stack, sit: Sit, axe: str, theme: str, user: str) -> None:
    """No view breaks a serious rule of axe's, contrast included, in the light and in the dark theme."""
    desk = sit(NAMES[user], color_scheme=theme)
    views = VIEWS[user] + ((first_mail(lived_in),) if user == "anna" else ())
    found = {}
    for view in views:
        desk.open(view)
        found[view] = findings(desk, axe)
        desk.shot(f"{theme}-{re.sub('[^a-z]+', '-', view).strip('-')}")
    if user == "anna":
        desk.press("Reply")
        desk.page.get_by_role("textbox", name="Text").wait_for()
        found["writing"] = findings(desk, axe)
        desk.shot(f"{theme}-writing")

    assert {} == {view: serious for view, serious in found.items() if serious}


def test_the_first_page_and_the_setup(sit: Sit, axe: str) -> None:
    """Neither the sign-in nor the setup before a connection breaks a serious rule."""
    desk = sit()
    desk.page.get_by_role("heading", name="Who are you today?").wait_for()
    desk.shot("signin")
    found = findings(desk, axe)
    desk.sign_in("Anna Berger")
    desk.open("#/settings")
    desk.shot("setup")

    assert [] == found + findings(desk, axe)


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

    assert {"button-name", "color-contrast"} == {one["id"] for one in findings(desk, axe)}


def test_german(lived_in: Stack, sit: Sit) -> None:
    """In a German browser the page is German throughout: no key, no English word of ours, `lang` says so."""
    desk = sit("Anna Berger", locale="de-DE")
    assert "de" == desk.page.locator("html").get_attribute("lang")
    shown = {}
    for view in (*VIEWS["anna"], first_mail(lived_in)):
        desk.open(view)
        shown[view] = desk.page.locator("body").inner_text()
        desk.shot(f"german-{re.sub('[^a-z]+', '-', view).strip('-')}")

    english = r"\b(?:Search|Settings|Contacts|Inbox|Save|Cancel|the|and|mail is)\b"
    assert {} == {view: found for view, text in shown.items() if (found := re.findall(english, text))}
    assert {} == {view: found for view, text in shown.items() if (found := untranslated(text))}


def untranslated(text: str) -> list[str]:
    """What looks like a key of the words; addresses, domains and file names do not."""
    kinds = "app|view|nav|state|problem|inbox|mail|contact|contacts|deal|timeline|compose|feature|settings|sharing"
    return re.findall(rf"(?<![\w@/.])(?:{kinds})\.[a-z][\w.-]*(?!@)", text)


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


def test_a_phone(lived_in: Stack, sit: Sit) -> None:
    """At a phone's width nothing stands out at the side, what is to be touched is big enough, and back leads back."""
    desk = sit("Anna Berger", viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2, locale="de-DE")
    wider: dict[str, Any] = {}
    small: dict[str, Any] = {}
    for view in (*VIEWS["anna"], first_mail(lived_in)):
        desk.open(view)
        wider[view] = desk.page.evaluate(_WIDER)
        small[view] = desk.page.evaluate(_SMALL)
        desk.shot(f"phone-{re.sub('[^a-z]+', '-', view).strip('-')}")
    expect(desk.page.locator(".list-pane")).to_be_hidden()
    desk.page.locator(".reading-back a").click()
    expect(desk.page.get_by_role("heading", name="Posteingang")).to_be_visible()

    assert {} == {view: found for view, found in wider.items() if found}
    assert {} == {view: found for view, found in small.items() if found}
