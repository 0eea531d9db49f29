from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.mail.html import (
    ALLOWED,
    CUT_NOTE,
    FRAME_CSP,
    FRAME_CSP_REMOTE,
    INLINE_IMAGE_TYPES,
    SanitisedHtml,
    contained,
    image_data_url,
    sanitise,
    text_to_html,
)
from common.mail.limits import MAX_HTML_CHARS
from tests.hostile_html import ATTACKS

PNG = "data:image/png;base64,iVBORw0KGgo="
LINK = 'target="_blank" rel="noopener noreferrer nofollow"'


def shown(html: str, *, remote: bool = False) -> str:
    return sanitise(html, remote=remote, cid_urls={"logo@x": PNG, "bad@x": "data:text/html;base64,AAAA"}).html


class Page(HTMLParser):
    """What a browser would find in markup: its elements and their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


PIECES = ["<b>", "</b>", '"', "'", "<table>", "</td>", "<!--", "-->", "&#60;", ">"]
SMALL_ATTACKS = [html for name, html in ATTACKS.items() if not name.startswith("size")]
SAFE_ATTRIBUTES = {
    *(name for names in ALLOWED.values() for name in names),
    "target",
    "rel",
    "referrerpolicy",
    "data-warning",
}


def hurts(html: str) -> list[str]:
    """What in the markup could run, load, cover or leave the page by itself."""
    found = []
    for tag, attributes in Page(html).found:
        found += [tag] if tag not in ALLOWED else []
        found += [name for name in attributes if name not in SAFE_ATTRIBUTES or name.startswith("on")]
        href, src, style = (attributes.get(name) or "" for name in ("href", "src", "style"))
        found += [href] if href and not href.startswith(("https://", "http://", "mailto:", "tel:")) else []
        found += [src] if src and src != PNG else []
        found += [style] if any(bad in style for bad in ("url", "(", "\\", "position", "-5", "/*", "@")) else []
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_published_attacks_leave_nothing_that_hurts(attack: str) -> None:
    """No published way of running script, loading, covering or posting survives."""
    assert hurts(shown(ATTACKS[attack])) == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_cleaning_again_changes_nothing_dangerous(attack: str) -> None:
    """What comes out is still harmless after a second parser has read it and written it anew."""
    assert hurts(shown(shown(ATTACKS[attack]))) == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*SMALL_ATTACKS, *PIECES])))
def test_no_mixture_of_attacks_hurts(pieces: list[str]) -> None:
    """Attacks put together in any order leave nothing that hurts either."""
    assert hurts(shown("".join(pieces))) == []


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("<>/='\"abpimgtd !-&;#x:\x00\ud800 "), max_size=200))
def test_no_markup_breaks_the_sanitiser(html: str) -> None:
    """Whatever the markup is, safe markup comes out."""
    assert hurts(shown(html)) == []


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>Hi <b>Mia</b>,<br>done &amp; <i>sent</i>.</p>", "<p>Hi <b>Mia</b>,<br>done &amp; <i>sent</i>.</p>"),
        ('<p style="color: #fff; font-size:12PX">x</p>', '<p style="color:#fff;font-size:12PX">x</p>'),
        (
            '<table width="600" cellpadding="0"><tr><td bgcolor="#eee" colspan="2">x</td></tr></table>',
            '<table width="600" cellpadding="0"><tbody><tr><td bgcolor="#eee" colspan="2">x</td></tr></tbody></table>',
        ),
        ("<ul><li>one<li>two</ul>", "<ul><li>one</li><li>two</li></ul>"),
        ("<p>one<p>two", "<p>one</p><p>two</p>"),
        ("<table><tr><td>a<td>b<tr><td>c</table>d",
         "<table><tbody><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></tbody></table>d"),
        ('<a href="mailto:mia@x.test">write</a>', f'<a href="mailto:mia@x.test" {LINK}>write</a>'),
        ('<a href="https://x.test/?a=1&amp;b=2">go</a>', f'<a href="https://x.test/?a=1&amp;b=2" {LINK}>go</a>'),
        ('<img src="CID:logo@x" alt="Logo">', f'<img src="{PNG}" alt="Logo" referrerpolicy="no-referrer">'),
        ("<!--[if mso]>old<![endif]-->a < b", "a &lt; b"),
        ("<html><head><title>t</title><style>p{}</style></head><body>text</body></html>", "text"),
        ("", ""),
    ],
)  # fmt: skip
def test_honest_markup_stays(html: str, expected: str) -> None:
    """What mails are written with stays as it is, closed where it was left open."""
    assert shown(html) == expected


def test_remote_images_wait_for_the_reader() -> None:
    """Remote images are held back and counted until they are asked for, and then load without a referrer."""
    html = '<img src="https://x.test/a.png"><img src=" HTTP://x.test/b"><img src="//x.test/c"><img src="cid:logo@x">'
    blocked = sanitise(html, remote=False, cid_urls={})
    asked = sanitise(html, remote=True, cid_urls={})
    assert blocked.blocked_remote == 3
    assert [attributes.get("src") for _tag, attributes in Page(blocked.html).found] == [None, None, None, None]
    assert [attributes.get("src") for _tag, attributes in Page(asked.html).found] == [
        "https://x.test/a.png",
        "http://x.test/b",
        "https://x.test/c",
        None,
    ]
    assert asked.blocked_remote == 0
    assert {attributes["referrerpolicy"] for _tag, attributes in Page(asked.html).found} == {"no-referrer"}


def test_a_body_above_the_limit_is_cut_with_a_note() -> None:
    """Of an overlong body the beginning is shown, and it says that the rest is missing."""
    found = sanitise("x" * (MAX_HTML_CHARS + 1), remote=False, cid_urls={})
    assert found == SanitisedHtml("x" * MAX_HTML_CHARS + CUT_NOTE, 0, cut=True)


def test_embedded_images_do_not_use_up_the_limit() -> None:
    """The text after a huge embedded image is shown all the same."""
    html = f'<img src="data:image/png;base64,{"A" * 2_000_000}"><p>text</p>'
    assert shown(html).endswith("<p>text</p>")


# Each took a sanitiser without a first, linear reading between four seconds and for ever, at this size.
BOMBS = {
    "deep": "<div>" * 60_000,
    "deep behind comments": "<div><!--</div>-->" * 20_000,
    "attributes": "<p " + " ".join(f"a{number}=1" for number in range(40_000)) + ">x",
    "formatting": "".join(f"<font color={number}>" for number in range(300)) + "<p>x" * 40_000,
    "fostering": "".join(f"<table><b title={number}>" for number in range(300)) + "x<tr>" * 20_000,
    "unclosed comments": "<!--" * 70_000,
    "unclosed tags": "<a " * 90_000,
    "unclosed quotes": "<p a=\"'" * 40_000,
    "angles": "<" * 300_000,
    "unclosed ends of scripts": "<script>" + "</script " * 40_000,
    "blank styles": f'<p style="color:{" " * 9_000}(">x' * 40,
}


@pytest.mark.parametrize("name", BOMBS)
def test_markup_bombs_cost_little(name: str) -> None:
    """Markup made to hold up a parser is read in time that grows with its length only."""
    began = time.process_time()
    shown(BOMBS[name])
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("content_type", "data", "expected"),
    [
        ("image/png", b"\x89PNG\r\n\x1a\n", "data:image/png;base64,iVBORw0KGgo="),
        ("image/JPG", b"\xff\xd8\xff", "data:image/jpeg;base64,/9j/"),
        ("image/gif", b"GIF89a", "data:image/gif;base64,R0lGODlh"),
        ("image/webp", b"RIFF\n\n\n\nWEBP", "data:image/webp;base64,UklGRgoKCgpXRUJQ"),
        ("image/png", b"<svg onload=alert(1)>", None),
        ("image/svg+xml", b"<svg/>", None),
        ("text/html", b"\x89PNG\r\n\x1a\n", None),
    ],
)
def test_only_four_kinds_of_images_go_inline(content_type: str, data: bytes, expected: str | None) -> None:
    """An inline image is PNG, JPEG, GIF or WebP, by its name and by its first bytes."""
    assert image_data_url(content_type, data) == expected


def test_svg_is_no_inline_image() -> None:
    """The list of inline types has no format that can hold script."""
    assert sorted(INLINE_IMAGE_TYPES) == ["image/gif", "image/jpeg", "image/png", "image/webp"]


def test_the_body_comes_in_a_box() -> None:
    """What is shown stands in an element that clips it and contains its floats; nothing stands in none."""
    box = '<div style="contain:content;overflow:auto;overflow-wrap:anywhere">'
    assert contained(SanitisedHtml("<p>x</p>", 0)) == f"{box}<p>x</p></div>"
    assert contained(SanitisedHtml("", 0)) == ""


def test_the_policy_allows_no_script_and_no_request() -> None:
    """Nothing but embedded images and inline styles is allowed, and remote images only in the other policy."""
    assert FRAME_CSP.startswith("default-src 'none'; img-src data: blob:; style-src 'unsafe-inline';")
    assert "script-src" not in FRAME_CSP_REMOTE
    assert "img-src data: blob: https: http:;" in FRAME_CSP_REMOTE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b & c", '<div style="white-space:pre-wrap">a &lt; b &amp; c</div>'),
        ("one\ntwo", '<div style="white-space:pre-wrap">one\ntwo</div>'),
        (
            "see https://x.test/a?b=1&c=2.",
            f'<div style="white-space:pre-wrap">see <a href="https://x.test/a?b=1&amp;c=2" {LINK}>'
            "https://x.test/a?b=1&amp;c=2</a>.</div>",
        ),
        (
            "(www.x.test) mia@x.test",
            f'<div style="white-space:pre-wrap">(<a href="https://www.x.test" {LINK}>www.x.test</a>) '
            f'<a href="mailto:mia@x.test" {LINK}>mia@x.test</a></div>',
        ),
        (
            "Yes.\n> Really?\n>> No.",
            '<div style="white-space:pre-wrap">Yes.</div><details><summary>…</summary><blockquote>'
            '<div style="white-space:pre-wrap">Really?</div><blockquote><div style="white-space:pre-wrap">No.</div>'
            "</blockquote></blockquote></details>",
        ),
        ("", ""),
    ],
)
def test_text_becomes_markup(text: str, expected: str) -> None:
    """Lines stay, addresses become links, and quotes fold away."""
    assert text_to_html(text) == expected


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("<>&\"' >\nhtps:/w.@ab\x00\u202e"), max_size=200))
def test_no_text_becomes_dangerous_markup(text: str) -> None:
    """Text as markup is as safe as sanitised markup."""
    assert hurts(text_to_html(text)) == []


def test_readers_at_once_decide_each_for_themselves() -> None:
    """Of many mails cleaned at the same time, each keeps or blocks its own images, and counts its own."""
    image = "<img src='https://images.example/{}.png'>"

    def clean(number: int) -> tuple[bool, int]:
        found = sanitise(image.format(number) * (number % 7), remote=number % 2 == 0, cid_urls={})
        return f"/{number}.png" in found.html, found.blocked_remote

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(clean, range(200)))

    expected = [(n % 2 == 0 and n % 7 > 0, 0 if n % 2 == 0 else n % 7) for n in range(200)]
    assert expected == found
