"""Owns HTML bodies: what of a stranger's markup is shown, and plain text as HTML and back.

May import only the mail package and nh3. What ``sanitise`` returns is safe as markup on its own; the frame, its policy
and its sandbox are a second wall.
"""

from __future__ import annotations

import base64
import html as markup
import re
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

import nh3

from common.mail.headers import clean_text
from common.mail.limits import MAX_HTML_CHARS, MAX_QUOTE_LEVELS, MAX_TEXT_CHARS
from common.mail.links import REL, keep_url, mark_misleading_links
from common.mail.markup import balance
from common.mail.styles import keep_style

if TYPE_CHECKING:
    from collections.abc import Mapping

FRAME_CSP = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-src 'none'; object-src 'none'"
)
"""The policy of the frame that shows a mail: no script, no request, only what is in the markup."""

FRAME_CSP_REMOTE = FRAME_CSP.replace("img-src data: blob:", "img-src data: blob: https: http:")
"""The same once the reader has asked for remote images."""

FRAME_SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
"""The frame's sandbox attribute: links open outside, nothing else is allowed."""

FRAME_STYLE = (
    ":root{color-scheme:light}body{font-family:sans-serif;color:#000;background:#fff;overflow-wrap:anywhere}"
    "img{max-width:100%}"
    'a[data-warning]::after{content:" \\26A0\\00A0 " attr(data-warning);color:#b00020;font-weight:bold}'
)
"""The frame's own style: dark on white, as mails are written for; ``data-warning`` of misleading links is visible."""

CUT_NOTE = "<p>[…]</p>"

_CONTAINER = '<div style="contain:content;overflow:auto;overflow-wrap:anywhere">'

_COMMON = frozenset({"align", "dir", "lang", "style", "title", "valign"})
_CELL = _COMMON | {"bgcolor", "colspan", "rowspan", "width", "height", "nowrap", "headers", "scope"}
_TABLE = _COMMON | {"bgcolor", "border", "cellpadding", "cellspacing", "width", "height", "rules", "frame", "summary"}
_PLAIN_TAGS = """
    abbr address article aside b bdi big blockquote caption center cite code colgroup dd del details dfn div dl dt em
    figcaption figure footer h1 h2 h3 h4 h5 h6 header i ins kbd li main mark nav p pre q s samp section small span
    strike strong sub summary sup tbody tfoot thead tr tt u ul var
"""
ALLOWED: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(_PLAIN_TAGS.split(), _COMMON | {"bgcolor"}),
    "a": frozenset({"href", "style", "dir", "lang"}),
    "br": frozenset({"clear"}),
    "col": _COMMON | {"span", "width"},
    "font": frozenset({"color", "face", "size", "style"}),
    "hr": _COMMON | {"color", "noshade", "size", "width"},
    "img": _COMMON | {"src", "alt", "width", "height", "border", "hspace", "vspace"},
    "ol": _COMMON | {"start", "type", "reversed"},
    "table": _TABLE,
    "td": _CELL,
    "th": _CELL,
    "wbr": frozenset(),
}
"""The closed list: elements, and the attributes that each may keep."""

_DATA_URL = re.compile(r"(?i)data:[a-z0-9/+.-]{1,80};base64,[a-z0-9+/=\s]+")
_IMAGE_SIGNATURES: Mapping[str, re.Pattern[bytes]] = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}
INLINE_IMAGE_TYPES = frozenset(_IMAGE_SIGNATURES)
"""Content types of images that may be shown inside a body. SVG is not among them: it may hold script."""

_SAFE_IMAGE_URL = re.compile(
    r"(?i)(?:data:image/(?:png|jpeg|gif|webp);base64,[a-z0-9+/=]*|blob:\S+|cid:\S+|https?://\S+)"
)
_REMOTE = re.compile(r"(?i)\s*(?:https?:|//|\\\\)")
_LINKABLE = re.compile(
    r"(?i)\b(?:https?://|www\.)[^\s<>\"]{1,2000}|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
)
_QUOTE = re.compile(r"(?:>[ ]?)+")


@dataclass(frozen=True)
class SanitisedHtml:
    """Markup that is safe to show, how many remote images were held back, and whether the end is missing."""

    html: str
    blocked_remote: int
    cut: bool = False


def sanitise(html: str, *, remote: bool, cid_urls: Mapping[str, str]) -> SanitisedHtml:
    """What of a mail's HTML may be shown.

    Remote images stay out, and are counted, unless ``remote``. ``cid:`` images appear where ``cid_urls`` maps their
    Content-ID, without angle brackets, to a URL. Above 1,000,000 characters the end is cut. Never raises.
    """
    # Embedded data is not shown anyway, and must not use up what is left for the text.
    shorter = _DATA_URL.sub("data:,", html) if len(html) > MAX_HTML_CHARS else html
    attributes = _Attributes(remote, cid_urls)
    plain = balance(clean_text(shorter[:MAX_HTML_CHARS]), ALLOWED)
    clean = mark_misleading_links(attributes.clean(plain))
    cut = len(shorter) > MAX_HTML_CHARS
    return SanitisedHtml(clean + CUT_NOTE if cut else clean, attributes.blocked_remote, cut)


class _Attributes:
    """Decides on every attribute that is on the list, and counts the remote images held back."""

    def __init__(self, remote: bool, cid_urls: Mapping[str, str]) -> None:
        self.remote = remote
        self.cid_urls = {_content_id(key): url for key, url in cid_urls.items()}
        self.blocked_remote = 0

    def clean(self, html: str) -> str:
        """The markup with what the list allows, and these attributes' decisions."""
        before = _deciding.set(self)
        try:
            return _cleaner().clean(html)
        finally:
            _deciding.reset(before)

    def keep(self, _tag: str, name: str, value: str) -> str | None:
        """The attribute's value as it may stand, or None to drop it."""
        if name == "style":
            return keep_style(value) or None
        if name == "href":
            return keep_url(value)
        if name == "src":
            return self._image_url(value)
        return value

    def _image_url(self, unverified_url: str) -> str | None:
        url = unverified_url.strip()
        if url.lower().startswith("cid:"):
            known = self.cid_urls.get(_content_id(unquote(url[4:])), "")
            return known if _SAFE_IMAGE_URL.fullmatch(known) else None
        if not _REMOTE.match(url):
            return None
        if not self.remote:
            self.blocked_remote += 1
            return None
        return f"https:{url}" if url.startswith("//") else keep_url(url)


# Who decides in this thread. To give the library the list takes longer than to clean a common mail: it is given once.
_deciding: ContextVar[_Attributes] = ContextVar("_deciding")


def _keep(tag: str, name: str, value: str) -> str | None:
    return _deciding.get().keep(tag, name, value)


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=set(ALLOWED),
        clean_content_tags=set(),
        attributes={tag: set(names) for tag, names in ALLOWED.items()},
        attribute_filter=_keep,
        strip_comments=True,
        link_rel=REL,
        set_tag_attribute_values={"a": {"target": "_blank"}, "img": {"referrerpolicy": "no-referrer"}},
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        url_relative=_absolute,
    )


def _absolute(url: str) -> str | None:
    # What the filter has let pass is absolute; a mail has no base of its own for anything else.
    return url if url.startswith(("https://", "http://")) else None


def _content_id(text: str) -> str:
    return text.strip().strip("<>").strip()


def image_data_url(content_type: str, data: bytes) -> str | None:
    """The image as a ``data:`` URL for ``cid_urls``, or None unless type and content say PNG, JPEG, GIF or WebP."""
    kind = content_type.lower().replace("image/jpg", "image/jpeg")
    signature = _IMAGE_SIGNATURES.get(kind)
    if not signature or not signature.match(data):
        return None
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def contained(body: SanitisedHtml) -> str:
    """The body in a box that nothing of it leaves, so that no size covers a page that shows it without a frame."""
    return f"{_CONTAINER}{body.html}</div>" if body.html else ""


def text_to_html(text: str) -> str:
    """Plain text as safe markup: lines kept, links made, quoted parts folded away."""
    pieces: list[str] = []
    lines: list[str] = []
    level = 0
    for line in clean_text(text[:MAX_TEXT_CHARS]).splitlines():
        quote = _QUOTE.match(line)
        depth = min(quote[0].count(">"), MAX_QUOTE_LEVELS) if quote else 0
        if depth != level:
            pieces += [_paragraph(lines), _change_level(level, depth)]
            lines, level = [], depth
        lines.append(line[quote.end() :] if quote else line)
    pieces += [_paragraph(lines), _change_level(level, 0)]
    return "".join(pieces) + (CUT_NOTE if len(text) > MAX_TEXT_CHARS else "")


def _paragraph(lines: list[str]) -> str:
    return f'<div style="white-space:pre-wrap">{_linked(chr(10).join(lines))}</div>' if lines else ""


def _change_level(before: int, after: int) -> str:
    opening = "<blockquote>" * max(after - before, 0)
    closing = "</blockquote>" * max(before - after, 0)
    fold = "<details><summary>…</summary>" if before == 0 and after else ""
    return fold + opening + closing + ("</details>" if before and after == 0 else "")


def _linked(text: str) -> str:
    pieces: list[str] = []
    end = 0
    for found in _LINKABLE.finditer(text):
        shown = found[0].rstrip(".,;:!?)'*_]")
        url = keep_url(shown if "://" in shown else f"https://{shown}" if "@" not in shown else f"mailto:{shown}")
        if not url:
            continue
        pieces.append(markup.escape(text[end : found.start()]))
        href = markup.escape(url)
        pieces.append(f'<a href="{href}" target="_blank" rel="{REL}">{markup.escape(shown)}</a>')
        end = found.start() + len(shown)
    return "".join([*pieces, markup.escape(text[end:])])
