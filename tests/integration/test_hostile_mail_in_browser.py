"""Hostile mails go in raw, are opened through the product, and are shown in a real browser: nothing runs or leaves."""

from __future__ import annotations

import html as markup
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from local.crm.people import ANNA
from local.stack import Stack
from tests.hostile_html import ATTACKS, HOSTILE
from tests.integration.browser import Watch, watched
from tests.integration.mailbox_rig import MIA, show

pytestmark = pytest.mark.integration

REMOTE = "html with remote images"
KINDS = ("html", REMOTE, "text")
_A_MINUTE = 60
# Shown a second time through innerHTML: what changes when markup is written and read again would bite then.
_HOST = """<!doctype html><meta charset="utf-8"><title>A page without any policy</title>
<style>body{{margin:0}}.side{{width:80px;vertical-align:top;background:#eee}}td{{padding:0}}</style>
<p id="above">above</p><table width="600"><tr><td class="side" id="left">left</td>
<td style="width:400px;max-width:400px;vertical-align:top"><div id="mail">{body}</div><div id="again"></div></td>
<td class="side" id="right">right</td></tr></table><p id="below">below</p>
<script>again.innerHTML = mail.innerHTML; again.innerHTML = again.innerHTML</script>"""
# Each looks at the document of one mail. Links that leave are no attack, and would open a window each.
_CLICK_ALL = """(mail) => {
  // By the prototype, for an attack may have put something of its own in the method's place.
  const all = (selector) => [...Document.prototype.querySelectorAll.call(mail, selector)];
  for (const one of all("[href]")) {
    if (["http:", "https:", "mailto:", "tel:"].includes(one.protocol)) one.removeAttribute("href");
  }
  for (const one of all("body, body *")) {
    for (const kind of ["mouseover", "pointerenter", "focus", "click"]) {
      one.dispatchEvent(new MouseEvent(kind, { bubbles: true, cancelable: true }));
    }
  }
  return [];
}"""
_COVERED = """(mail) => ["above", "left", "right", "below"].filter((id) => {
  const side = mail.getElementById(id);
  side.scrollIntoView();
  const { left, top, height } = side.getBoundingClientRect();
  const found = mail.elementFromPoint(left + 5, top + height / 2);
  return found !== null && found.id !== id;
})"""
_NAMED = """(mail) => [...mail.querySelectorAll("#mail *, #again *")].flatMap((one) =>
  ["id", "name", "class", "slot", "is"].filter((name) => one.hasAttribute(name)).map((name) => one.tagName + name))"""
_IN_EACH = """() => Object.fromEntries([...document.querySelectorAll("iframe")]
  .filter((frame) => frame.contentDocument !== null).map((frame) => [frame.name, (SCRIPT)(frame.contentDocument)])
  .filter(([, found]) => found.length))"""
# Some attacks, as they were sent, never end loading: a frame is waited for no longer than five seconds.
_IN_THE_DEMO = """async (answers) => {
  const { mailFrame } = await import("/static/dom.js");
  const loaded = Object.entries(answers).map(([name, answer]) => new Promise((resolve) => {
    const frame = mailFrame(answer);
    frame.name = name;
    frame.addEventListener("load", resolve, { once: true });
    setTimeout(resolve, 5000);
    document.body.append(frame);
  }));
  await Promise.all(loaded);
}"""


@dataclass(frozen=True)
class Opened:
    """The answers of the product to each attack, by its name: as HTML, with remote images, and sent as plain text."""

    answers: Mapping[str, Mapping[str, Any]]
    crm_url: str


def hostile_mail(name: str, body: str, kind: str) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = MIA, ANNA.email, f"Attack {name}"
    sent = body.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    mail.set_content(sent, subtype=kind, cte="base64")
    return mail.as_bytes()


@pytest.fixture(scope="module")
def opened(browser: Browser, _running_stack: Stack) -> Opened:
    """Every attack delivered to Anna and opened by her, in each of the three ways."""
    stack = _running_stack
    stack.reset()
    stack.connect("anna")
    answers: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for count, (name, body) in enumerate(ATTACKS.items()):
        if count % _A_MINUTE == 0:
            stack.advance(61)
        as_html, as_text = (
            stack.google.gmail.deliver(hostile_mail(name, body, kind), to=ANNA.email)[ANNA.email]
            for kind in ("html", "plain")
        )
        answers["html"][name] = show(stack, as_html)
        answers[REMOTE][name] = show(stack, as_html, "?remote=1")
        answers["text"][name] = show(stack, as_text)
    return Opened(answers, stack.crm_url)


@pytest.fixture
def watch(browser: Browser) -> Iterator[Watch]:
    """An empty page, and what happens in it."""
    with watched(browser) as one:
        yield one


def show_bare(watch: Watch, bodies: Mapping[str, str]) -> None:
    """Each body in a document of its own, with neither sandbox nor policy, and every element clicked."""
    pages = {f"/{count}": _HOST.format(body=body) for count, body in enumerate(bodies.values())}
    frames = "".join(
        f'<iframe name="{markup.escape(name)}" src="/{count}" width="900" height="900"></iframe>'
        for count, name in enumerate(bodies)
    )
    watch.serve({**pages, "/all": f"<!doctype html><body>{frames}"}, "/all")
    watch.settle()
    found_in_each(watch, _CLICK_ALL)
    watch.settle()


def show_in_the_demo(watch: Watch, crm_url: str, answers: Mapping[str, Any]) -> None:
    """Each answer in the demo CRM's own page, in the frame that its own script makes."""
    watch.page.goto(crm_url)
    watch.page.evaluate(_IN_THE_DEMO, answers)
    watch.settle()


def found_in_each(watch: Watch, script: str) -> dict[str, list[str]]:
    """What the script finds in each mail's document, where it finds anything."""
    found: dict[str, list[str]] = watch.page.evaluate(_IN_EACH.replace("SCRIPT", script))
    return found


def asked_unasked(watch: Watch) -> list[str]:
    """The requests that no reader has asked for: all but plain remote images without a referrer."""
    return [
        request.url
        for request in watch.left
        if not (
            request.resource_type == "image"
            and urlsplit(request.url).path.startswith("/img")
            and "referer" not in request.headers
        )
    ]


def test_the_attacks_bite(watch: Watch) -> None:
    """As they were sent, in a page without any wall, attacks of most classes run scripts, and many phone home."""
    show_bare(watch, {name: body for name, body in ATTACKS.items() if not name.startswith("size")})

    bitten = {kind for kind in HOSTILE if any(one.startswith(kind) for one in watch.ran)}
    assert {"comments", "css", "encoding", "event handlers", "forms", "links", "loading", "mathml"} <= bitten
    assert {"mutation", "script", "shadow", "svg"} <= bitten
    assert 60 < len({one.partition(": ")[0] for one in watch.ran})
    assert 60 < len(asked_unasked(watch))


@pytest.mark.parametrize("kind", KINDS)
def test_markup_is_safe_on_its_own(opened: Opened, watch: Watch, kind: str) -> None:
    """In a page without sandbox or policy nothing runs, leaves, opens a window, covers the page, or names a thing."""
    show_bare(watch, {name: answer["html"] for name, answer in opened.answers[kind].items()})

    assert ([], []) == (watch.ran, watch.opened)
    assert [] == (asked_unasked(watch) if kind == REMOTE else [request.url for request in watch.left])
    assert {} == found_in_each(watch, _NAMED)
    assert {} == found_in_each(watch, _COVERED)
    assert len(ATTACKS) == watch.page.locator("iframe").count()


@pytest.mark.parametrize("kind", ["html", REMOTE])
def test_nothing_runs_in_the_demo(opened: Opened, watch: Watch, kind: str) -> None:
    """In the frame that the demo makes, by what the answer says of it, nothing runs or leaves either."""
    show_in_the_demo(watch, opened.crm_url, opened.answers[kind])

    assert ([], []) == (watch.ran, watch.opened)
    assert [] == (asked_unasked(watch) if kind == REMOTE else [request.url for request in watch.left])
    assert (kind == REMOTE) == (len(watch.left) > 0)
    assert len(ATTACKS) == watch.page.locator("iframe").count()


def test_the_frame_holds_without_the_sanitiser(watch: Watch, opened: Opened) -> None:
    """The frame is a wall of its own: the attacks as they were sent run no script in it, and load nothing."""
    frame = opened.answers["html"]["script 0"]["frame"]
    raw = {
        name: {"html": body.encode("utf-8", "replace").decode(), "frame": frame}
        for name, body in ATTACKS.items()
        if not name.startswith("size")
    }
    show_in_the_demo(watch, opened.crm_url, raw)

    assert ([], []) == (watch.ran, watch.opened)
    assert [] == [request.url for request in watch.left]


def test_a_hostile_mail_is_opened_by_hand(stack: Stack, watch: Watch) -> None:
    """In the demo, a mail whose every field is an attack shows words, and its images when they are asked for."""
    stack.connect("anna")
    attack = "<img src=https://evil.test/field onerror=alert(1)>"
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f'"{attack}" <mia@customer.example>', ANNA.email, attack
    mail.set_content(attack)
    body = f"<h3>{attack}Hello</h3><img src=https://evil.test/img/pixel.gif><script>alert(1)</script>"
    mail.add_alternative(body, subtype="html")
    mail.add_attachment(b"x", "text", "html", filename=f"{attack}.html")
    stack.google.gmail.deliver(mail.as_bytes(), to=ANNA.email)

    page = watch.page
    page.goto(stack.crm_url)
    page.get_by_role("button", name="Anna Berger").click()
    page.get_by_role("link", name="Inbox", exact=True).first.click()
    page.get_by_role("link", name=attack).click()
    frame = page.frame_locator("iframe.mail")
    frame.get_by_role("heading", name="Hello").wait_for()
    watch.settle()
    before = [request.url for request in watch.left]
    page.get_by_role("button", name="Show images").click()
    page.get_by_role("button", name="Show images").wait_for(state="detached")
    frame.get_by_role("heading", name="Hello").wait_for()
    watch.settle()

    assert [] == before
    assert ["https://evil.test/field", "https://evil.test/img/pixel.gif"] == sorted(one.url for one in watch.left)
    assert ["image", "image"] == [one.resource_type for one in watch.left]
    assert [] == [one.headers for one in watch.left if "referer" in one.headers]
    assert ([], []) == (watch.ran, watch.opened)
