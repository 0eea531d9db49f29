"""Owns links: addresses made plain for every parser, and the warning where a text names another host than its link.

May import only the mail package.
"""

from __future__ import annotations

import html as markup
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

from common.mail.addresses import has_known_suffix, is_address, normalise_domain, organisational_domain

REL = "noopener noreferrer nofollow"

_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f-\x9f]")
_HTTP = re.compile(r"(?i)^(https?):[/\\]*")
# After cleaning, a tag holds no angle bracket but its own: the serialiser escapes them in values.
_ANCHOR = re.compile(r"<(/?)a(?: ([^<>]*))?>")
_HREF = re.compile(r'(?:^| )href="([^"]*)"')
_ANY_TAG = re.compile(r"<[^<>]*>")
_URL_IN_TEXT = re.compile(r"(?i)(?:https?://|\bwww\.)[^\s/?#<>\"'()]{1,255}")
_BARE_HOST = re.compile(r"([^\s/?#@:<>\"'()]{1,255}\.[^\s/?#@:<>\"'().\d]{2,63})(?:[:/?#]\S*)?")
_MAX_LINK_TEXT_CHARS = 1_000


def keep_url(unverified_url: str) -> str | None:
    """The URL of a link in a form that all parsers read alike, or None unless it is http, https, mailto or tel."""
    url = _NOT_IN_URLS.sub("", unverified_url)
    if _HTTP.match(url):
        # Browsers take a backslash for a slash, and any number of them (URL Standard, 4.4).
        path, mark, query = url.partition("?")
        url = _HTTP.sub(lambda found: f"{found[1].lower()}://", path.replace("\\", "/")) + mark + query
        return url if link_host(url) else None
    return url if url.lower().startswith(("mailto:", "tel:")) else None


def link_host(url: str) -> str:
    """The normalised host that a link leads to: of a mailto its recipient's domain; empty where there is none."""
    if url.lower().startswith("mailto:"):
        return normalise_domain(url[7:].partition("?")[0].rpartition("@")[2])
    try:
        return normalise_domain(urlsplit(url).hostname or "")
    except ValueError:
        return ""


def claimed_hosts(text: str) -> list[str]:
    """The hosts that a link's text names: of URLs in it, and of the whole where that is a host name or an address."""
    visible = "".join(char for char in text if unicodedata.category(char) != "Cf").strip()
    # What stands before an @ in a URL is no host, but is put there to be taken for one.
    names = [name for found in _URL_IN_TEXT.finditer(visible) for name in found[0].split("@")]
    if is_address(visible):
        names.append(visible.rpartition("@")[2])
    elif (bare := _BARE_HOST.fullmatch(visible)) and has_known_suffix(bare[1]):
        names.append(bare[1])
    return [host for name in names if (host := _host_of(name))]


def _host_of(name: str) -> str:
    bare = re.sub(r"(?i)^https?://", "", name)
    return normalise_domain(bare.partition(":")[0].rstrip(".,;!"))


@dataclass
class _Open:
    at: int
    url: str
    text_from: int


def mark_misleading_links(clean_html: str) -> str:
    """The sanitised HTML; a link whose text names another organisation's host has ``data-warning`` with its own."""
    marks: list[tuple[int, str]] = []
    open_links: list[_Open] = []
    for tag in _ANCHOR.finditer(clean_html):
        if not tag[1]:
            href = _HREF.search(tag[2] or "")
            open_links.append(_Open(tag.start() + 2, markup.unescape(href[1]) if href else "", tag.end()))
        elif open_links:
            link = open_links.pop()
            text = clean_html[link.text_from : min(tag.start(), link.text_from + 4 * _MAX_LINK_TEXT_CHARS)]
            if host := _misled_to(link.url, markup.unescape(_ANY_TAG.sub("", text))[:_MAX_LINK_TEXT_CHARS]):
                marks.append((link.at, f' data-warning="{markup.escape(host)}"'))
    return _insert(clean_html, sorted(marks))


def _misled_to(url: str, text: str) -> str:
    host = link_host(url) if url else ""
    own = organisational_domain(host)
    return host if host and any(organisational_domain(claimed) != own for claimed in claimed_hosts(text)) else ""


def _insert(text: str, marks: list[tuple[int, str]]) -> str:
    pieces, end = [], 0
    for at, mark in marks:
        pieces += [text[end:at], mark]
        end = at
    return "".join([*pieces, text[end:]])
