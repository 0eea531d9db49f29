"""Owns links: addresses made plain for every parser, and the warning where a link is in disguise.

May import only the mail package.
"""

from __future__ import annotations

import html as markup
import re
import unicodedata
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import idna

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
# Scripts whose letters are taken for Latin ones (Unicode Technical Standard 39, whole-script confusables).
_LOOK_ALIKE: Final = ("ARMENIAN", "CHEROKEE", "COPTIC", "CYRILLIC", "GREEK")


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
    """The sanitised HTML; a link in disguise has ``data-warning`` with the host that it leads to.

    Its text names another organisation's host, its URL has a name before an ``@``, or its host's letters look like
    others.
    """
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
    if not host:
        return ""
    own = organisational_domain(host)
    is_misled = any(organisational_domain(claimed) != own for claimed in claimed_hosts(text))
    return host if is_misled or _has_user(url) or _looks_like_another(host) else ""


def _has_user(url: str) -> bool:
    # Nothing but a disguise: browsers show what stands behind the @, and readers what stands before it.
    return not url.lower().startswith("mailto:") and "@" in urlsplit(url).netloc


def _looks_like_another(host: str) -> bool:
    """Whether the host, in A-labels, has letters that are taken for Latin ones, under a Latin ending."""
    *labels, ending = host.split(".")
    if ending.startswith("xn--"):
        return False
    return any(unicodedata.name(char, "").startswith(_LOOK_ALIKE) for label in labels for char in _unicode_label(label))


def _unicode_label(label: str) -> str:
    try:
        return idna.ulabel(label) if label.startswith("xn--") else label
    except (idna.IDNAError, UnicodeError):
        return label


def _insert(text: str, marks: list[tuple[int, str]]) -> str:
    pieces, end = [], 0
    for at, mark in marks:
        pieces += [text[end:at], mark]
        end = at
    return "".join([*pieces, text[end:]])
