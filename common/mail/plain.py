"""Owns the way from HTML to plain text: paragraphs, lists, quotes and links as people write them in plain mail.

May import only the mail package.
"""

from __future__ import annotations

import html as markup
import re

from common.mail.headers import clean_text
from common.mail.limits import MAX_HTML_CHARS, MAX_QUOTE_LEVELS
from common.mail.links import keep_url
from common.mail.markup import Tag, scan

_PARAGRAPH_NAMES = "p h1 h2 h3 h4 h5 h6 ul ol dl blockquote pre table hr"
_LINE_NAMES = "div li tr dt dd center address article aside footer header main nav section form caption body"
_PARAGRAPHS = frozenset(_PARAGRAPH_NAMES.split())
_LINES = frozenset(_LINE_NAMES.split())
_BLANKS = re.compile(r"[ \t\r\n\f\u00a0]+")


def html_to_text(html: str) -> str:
    """The text of the HTML: a line for each block, ``> `` before quotes, ``- `` before items, URLs after links."""
    writer = _Writer()
    for token in scan(html[:MAX_HTML_CHARS]):
        if isinstance(token, str):
            writer.text(clean_text(markup.unescape(token)))
        elif token.closes:
            writer.close(token.name)
        else:
            writer.open(token)
    return writer.result()


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.line: list[str] = []
        self.quotes = 0
        self.preformatted = 0
        self.link: tuple[str, int] | None = None

    def text(self, text: str) -> None:
        if self.preformatted:
            first, *rest = text.split("\n")
            self.line.append(first)
            for line in rest:
                self._end_line()
                self.line.append(line)
        else:
            self.line.append(_BLANKS.sub(" ", text))

    def open(self, tag: Tag) -> None:
        self._break(tag.name)
        if tag.name == "br":
            self._end_line()
        elif tag.name == "blockquote":
            self.quotes = min(self.quotes + 1, MAX_QUOTE_LEVELS)
        elif tag.name == "pre":
            self.preformatted += 1
        elif tag.name in {"td", "th"}:
            self.line.append(" ")
        elif tag.name == "li":
            self.line.append("- ")
        elif tag.name == "hr":
            self.line.append("---")
            self._break("hr")
        elif tag.name == "img":
            self.line.append(clean_text(markup.unescape(tag.attributes.get("alt", ""))))
        elif tag.name == "a":
            self.link = (keep_url(markup.unescape(tag.attributes.get("href", ""))) or "", len(self.line))

    def close(self, name: str) -> None:
        if name == "a":
            self._end_link()
        self._break(name)
        if name == "blockquote":
            self._end_quote()
        elif name == "pre":
            self.preformatted = max(self.preformatted - 1, 0)

    def result(self) -> str:
        self._end_line(only_full=True)
        text = "\n".join(self.lines)
        return re.sub(r"\n{3,}", "\n\n", text).strip("\n")

    def _break(self, name: str) -> None:
        if name in _PARAGRAPHS:
            self._end_line(only_full=True)
            if self.lines and self.lines[-1].strip("> "):
                self.lines.append(self._prefix().rstrip())
        elif name in _LINES:
            self._end_line(only_full=True)

    def _end_quote(self) -> None:
        while self.lines and not self.lines[-1].strip("> "):
            self.lines.pop()
        self.quotes = max(self.quotes - 1, 0)
        self.lines.append(self._prefix().rstrip())

    def _end_line(self, *, only_full: bool = False) -> None:
        text = "".join(self.line)
        # Blanks of several texts meet here.
        text = text.rstrip() if self.preformatted else re.sub(r" {2,}", " ", text).strip()
        if text or not only_full:
            self.lines.append((self._prefix() + text).rstrip())
        self.line = []
        if self.link:
            self.link = (self.link[0], 0)

    def _prefix(self) -> str:
        return "> " * self.quotes

    def _end_link(self) -> None:
        url, start = self.link or ("", 0)
        self.link = None
        shown = "".join(self.line[start:]).strip()
        bare = url.removeprefix("mailto:")
        if url and shown.rstrip("/") not in {url.rstrip("/"), bare, re.sub(r"^https?://", "", url).rstrip("/")}:
            self.line.append(f" <{bare}>" if shown else bare)
