"""Owns the first reading of a mail's HTML: a linear scan, and markup so plain that every parser reads it alike.

The sanitiser's parser is quadratic in the depth of elements and in the attributes of one, and copies formatting
elements that were never closed: a mail of 1 MB could hold it for minutes. What comes out of ``balance`` is nested
properly, at a bounded depth, with known elements and attributes only. It is no sanitiser: that comes after it.
Imports nothing of the project but the limits.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.mail.limits import MAX_HTML_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VOID_NAMES = "area base br col embed hr img input link meta param source track wbr"
_RAW_NAMES = """
    script style title textarea xmp iframe noembed noframes template select svg math object applet audio video canvas
"""
_INLINE_NAMES = """
    a abbr b bdi big br cite code del dfn em font i img ins kbd mark q s samp small span strike strong sub sup tt u var
    wbr
"""
VOID = frozenset(_VOID_NAMES.split())
_RAW = frozenset(_RAW_NAMES.split())
_INLINE = frozenset(_INLINE_NAMES.split())
_TABLE_PARTS = frozenset({"caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "td", "th"})
# What may be the parent of a part of a table; a part anywhere else is left out.
_PARENTS: Mapping[str, frozenset[str]] = {
    "caption": frozenset({"table"}),
    "colgroup": frozenset({"table"}),
    "col": frozenset({"table", "colgroup"}),
    "thead": frozenset({"table"}),
    "tbody": frozenset({"table"}),
    "tfoot": frozenset({"table"}),
    "tr": frozenset({"table", "thead", "tbody", "tfoot"}),
    "td": frozenset({"table", "thead", "tbody", "tfoot", "tr"}),
    "th": frozenset({"table", "thead", "tbody", "tfoot", "tr"}),
}
_STRUCTURE = frozenset({"table", "thead", "tbody", "tfoot", "tr", "colgroup"})
# Which open elements a start tag ends, and where the search for them stops (HTML Standard, 13.1.2.4 Optional tags).
_ENDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "li": (frozenset({"li"}), frozenset({"ul", "ol", "table", "td", "th"})),
    "dt": (frozenset({"dt", "dd"}), frozenset({"dl", "table", "td", "th"})),
    "dd": (frozenset({"dt", "dd"}), frozenset({"dl", "table", "td", "th"})),
    "a": (frozenset({"a"}), frozenset({"table", "td", "th"})),
    "td": (frozenset({"td", "th", "caption", "colgroup"}), frozenset({"table"})),
    "th": (frozenset({"td", "th", "caption", "colgroup"}), frozenset({"table"})),
    "tr": (frozenset({"tr", "caption", "colgroup"}), frozenset({"table"})),
    "col": (frozenset({"caption"}), frozenset({"table"})),
    "tbody": (frozenset({"thead", "tbody", "tfoot", "caption", "colgroup", "tr"}), frozenset({"table"})),
    "thead": (frozenset({"thead", "tbody", "tfoot", "caption", "colgroup", "tr"}), frozenset({"table"})),
    "tfoot": (frozenset({"thead", "tbody", "tfoot", "caption", "colgroup", "tr"}), frozenset({"table"})),
    "caption": (frozenset({"caption", "colgroup"}), frozenset({"table"})),
    "colgroup": (frozenset({"caption", "colgroup"}), frozenset({"table"})),
}
_CELL_WALLS = frozenset({"td", "th", "caption", "table"})
_TABLE_WALL = frozenset({"table"})

# HTML Standard, 13.2.5: tag open to after attribute value. Possessive, so that no input makes it go back.
_NAME = re.compile(r"</?([a-zA-Z][^\s/>]*+)")
_ATTRIBUTE = re.compile(r"""[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)))?+""")
_TAG_END = re.compile(r"[\s/]*+>")
_COMMENT_END = re.compile(r"--!?>")


@dataclass(frozen=True)
class Tag:
    """A start or end tag: its lower-case name, whether it ends an element, its attributes with their entities."""

    name: str
    closes: bool
    attributes: Mapping[str, str]


def scan(html: str) -> Iterator[Tag | str]:
    """The tags and the texts between them, in order, in linear time.

    Comments, declarations, and elements whose content is no text (scripts, styles, frames, drawings) are left out. A
    tag, comment or script that does not end swallows the rest, as in browsers.
    """
    at = 0
    while at < len(html):
        less = html.find("<", at)
        if less != at:
            yield html[at : less if less >= 0 else len(html)]
        if less < 0:
            return
        name = _NAME.match(html, less)
        if name:
            tag, at = _parse_tag(html, less, name)
            if tag:
                yield tag
        else:
            at = _skip_markup(html, less)
            if at == less + 1:
                yield "<"


def _parse_tag(html: str, start: int, name: re.Match[str]) -> tuple[Tag | None, int]:
    lowered = name[1].lower()
    attributes: dict[str, str] = {}
    at = name.end()
    while not (end := _TAG_END.match(html, at)):
        found = _ATTRIBUTE.match(html, at)
        if not found:
            return None, len(html)
        value = next((group for group in found.groups()[1:] if group is not None), "")
        attributes.setdefault(found[1].lower(), value)
        at = found.end()
    closes = html.startswith("</", start)
    if lowered in _RAW:
        return None, end.end() if closes else _raw_end(html, lowered, end.end())
    return Tag(lowered, closes, attributes), end.end()


def _raw_end(html: str, name: str, start: int) -> int:
    found = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(html, start)
    end = html.find(">", found.end()) if found else -1
    return end + 1 if end >= 0 else len(html)


def _skip_markup(html: str, less: int) -> int:
    """Where reading goes on after a ``<`` that starts no tag: right after it, where it is text."""
    if html.startswith(("<!-->", "<!--->"), less):
        return html.index(">", less) + 1
    if html.startswith("<!--", less):
        found = _COMMENT_END.search(html, less + 4)
        return found.end() if found else len(html)
    if html.startswith(("<!", "<?", "</"), less):
        end = html.find(">", less)
        return end + 1 if end >= 0 else len(html)
    return less + 1


def balance(html: str, allowed: Mapping[str, frozenset[str]]) -> str:
    """The HTML with the ``allowed`` elements and attributes only, properly nested, at most 300 elements deep.

    ``allowed`` maps an element's name to its attributes. Values keep their entities; texts stay as they are.
    """
    writer = _Writer(allowed)
    for token in scan(html):
        if isinstance(token, str):
            writer.text(token)
        elif token.name not in allowed:
            continue
        elif token.closes:
            writer.close(token.name)
        else:
            writer.open(token)
    writer.close_down_to(0)
    return "".join(writer.pieces)


class _Writer:
    """Writes tags so that every element opened is closed, in order."""

    def __init__(self, allowed: Mapping[str, frozenset[str]]) -> None:
        self.allowed = allowed
        self.pieces: list[str] = []
        self.stack: list[str] = []
        self.open_count: Counter[str] = Counter()

    def text(self, text: str) -> None:
        self.pieces.append(text.replace("<", "&lt;").replace(">", "&gt;"))

    def open(self, tag: Tag) -> None:
        self._make_room(tag.name)
        if not self._fits(tag.name):
            return
        self.pieces.append(self._start_tag(tag))
        if tag.name not in VOID:
            self.stack.append(tag.name)
            self.open_count[tag.name] += 1

    def close(self, name: str) -> None:
        walls = _TABLE_WALL if name in _TABLE_PARTS else _CELL_WALLS
        walls = frozenset() if name == "table" else walls
        at = self._find(frozenset({name}), walls)
        if at is not None:
            self.close_down_to(at)
        elif name in {"p", "br"}:
            # HTML Standard, 13.2.6.4.7: these two end tags alone make an empty line.
            self.pieces.append("<br>" if "br" in self.allowed else "")

    def close_down_to(self, size: int) -> None:
        self.pieces.extend(f"</{name}>" for name in reversed(self.stack[size:]))
        self.open_count.subtract(self.stack[size:])
        del self.stack[size:]

    def _make_room(self, name: str) -> None:
        ends, walls = _ENDS.get(name, (frozenset[str](), frozenset[str]()))
        if ends and (at := self._find(ends, walls)) is not None:
            self.close_down_to(at)
        is_block = name not in _INLINE and name not in _TABLE_PARTS
        if is_block and (at := self._find(frozenset({"p"}), _CELL_WALLS)) is not None:
            self.close_down_to(at)

    def _fits(self, name: str) -> bool:
        parent = self.stack[-1] if self.stack else ""
        if name in _PARENTS:
            return len(self.stack) < MAX_HTML_DEPTH and parent in _PARENTS[name]
        return len(self.stack) < MAX_HTML_DEPTH and parent not in _STRUCTURE

    def _find(self, names: frozenset[str], walls: frozenset[str]) -> int | None:
        """Where the innermost open element of these names stands, looking no further than a wall.

        Of nested ones that a start tag ends together (a cell in a row in a section) the outermost is found.
        """
        found = None
        if not any(self.open_count[name] for name in names):
            return None
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] in names:
                found = at
                if len(names) == 1:
                    return found
            if self.stack[at] in walls:
                return found
        return found

    def _start_tag(self, tag: Tag) -> str:
        known = self.allowed[tag.name]
        kept = "".join(
            f' {name}="{value.replace(chr(34), "&quot;")}"' for name, value in tag.attributes.items() if name in known
        )
        return f"<{tag.name}{kept}>"
