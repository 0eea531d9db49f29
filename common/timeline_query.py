"""Owns what a timeline asks a mailbox for, in Gmail's search syntax: addresses and the reader's words. Pure.

The reader's words are taken apart and put together anew: in a colleague's mailbox no bracket, no ``OR`` and no operator
may reach beyond the contact's mail, since the mere number of hits would tell what lies there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from common.errors import BadRequest

MAX_SEARCH_CHARS: Final = 500
# What says nothing of the owner's own marks (labels, stars, read or not), and nothing of other mail.
_OPERATORS: Final = frozenset(
    {"subject", "from", "to", "cc", "filename", "has", "after", "before", "older", "newer", "older_than", "newer_than",
     "larger", "smaller"}
)  # fmt: skip
_TERM: Final = re.compile(r'(?:(?P<operator>[A-Za-z_][A-Za-z0-9_]*):)?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')
_PLAIN: Final = re.compile(r"\w[\w.@+']*")
_PLAIN_ADDRESS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+'=-]*@[A-Za-z0-9.-]+")
_SIGNS: Final = re.compile(r"[\"{}()\x00-\x1f\x7f]")
_WORD: Final = re.compile(r"\w+")
_BETWEEN_WORDS: Final = re.compile(r"[\s/&()\[\]{}\"|]")
_PLAIN_LABEL: Final = re.compile(r"\w[\w-]*")
_KEYWORDS: Final = frozenset({"or", "and", "around"})
_NOWHERE: Final = "-in:drafts -in:chats -in:spam -in:trash"


@dataclass(frozen=True)
class Search:
    """A reader's words as they are asked for: ``q`` for Gmail, ``words`` to compare with."""

    q: str = ""
    words: frozenset[str] = frozenset()


def parse_search(unverified_q: str) -> Search:
    """The search that the reader means: all of its words, phrases and operators at once.

    Raises BadRequest for what could reach beyond the contact's mail: ``-``, ``OR``, brackets, other operators.
    """
    if len(unverified_q) > MAX_SEARCH_CHARS or unverified_q.count('"') % 2:
        raise _unsupported()
    found = list(_TERM.finditer(unverified_q))
    values = [match["word"] if match["phrase"] is None else match["phrase"] for match in found]
    terms = [_term(match) for match in found]
    words = frozenset(word for value in values for word in _WORD.findall(value.casefold()))
    return Search(" ".join(term for term in terms if term), words)


def _term(match: re.Match[str]) -> str:
    operator, phrase, word = (match["operator"] or "").lower(), match["phrase"], match["word"]
    if operator and phrase is None and word.startswith("//"):
        return _quoted(match[0])
    if operator and (operator not in _OPERATORS or (operator == "has" and word != "attachment")):
        raise _unsupported()
    if phrase is None and (word.startswith("-") or not _SIGNS.sub("", word) == word or word in {"OR", "AND"}):
        raise _unsupported()
    value = _value(word) if phrase is None else _quoted(phrase)
    if not value:
        return ""
    return f"{operator}:{value}" if operator else value


def _value(word: str) -> str:
    is_plain = _PLAIN.fullmatch(word) and word.casefold() not in _KEYWORDS
    return word if is_plain else _quoted(word)


def _quoted(text: str) -> str:
    inner = _SIGNS.sub(" ", text).strip()
    return f'"{inner}"' if _WORD.search(inner) else ""


def _unsupported() -> BadRequest:
    allowed = ", ".join(f"{one}:" for one in sorted(_OPERATORS))
    return BadRequest("unsupported-search", f'words, "phrases", has:attachment and {allowed} are searched for here')


@dataclass(frozen=True)
class Asked:
    """What a mailbox is asked for: mail with ``addresses``, each from its time on (None: ever).

    ``own``: its owner asks, so that Bcc counts. ``hidden_label``: what the label that hides is called, as far as known.
    ``before_ms``: received in that second or before it.
    """

    addresses: Mapping[str, datetime | None]
    own: bool
    search: Search
    excluded_domains: tuple[str, ...] = ()
    hidden_label: str = ""
    before_ms: int | None = None


def plan_query(asked: Asked) -> str:
    """The query in Gmail's syntax. What it finds is still to be verified, mail by mail: Gmail compares words."""
    terms = [_plan_addresses(asked), _NOWHERE]
    if asked.before_ms is not None:
        terms.append(f"before:{asked.before_ms // 1000 + 1}")
    hidden = _label(asked.hidden_label)
    if not asked.own and hidden:
        terms.append(f"-label:{hidden}")
    if not asked.own and asked.search.q and asked.excluded_domains:
        # Else the number of hits would tell of words in mails that are not to be seen.
        terms.append(f"-{_any_of(('from', 'to', 'cc'), asked.excluded_domains)}")
    if asked.search.q:
        terms.append(f"({asked.search.q})")
    return " ".join(terms)


def _plan_addresses(asked: Asked) -> str:
    headers = ("from", "to", "cc", "bcc") if asked.own else ("from", "to", "cc")
    unlimited = sorted(one for one, since in asked.addresses.items() if since is None)
    limited = sorted((one, since) for one, since in asked.addresses.items() if since is not None)
    groups = [_any_of(headers, unlimited)] if unlimited else []
    groups += [f"({_any_of(headers, [one])} after:{int(since.timestamp())})" for one, since in limited]
    return groups[0] if len(groups) == 1 else "{" + " ".join(groups) + "}"


def _any_of(headers: Iterable[str], values: Iterable[str]) -> str:
    listed = list(headers)
    terms = [f"{header}:{_address(value)}" for value in values for header in listed]
    return "{" + " ".join(terms) + "}"


def _address(address: str) -> str:
    plain = _PLAIN_ADDRESS.fullmatch(address) or re.fullmatch(r"[A-Za-z0-9.-]+", address)
    return address if plain else f'"{_SIGNS.sub("", address)}"'


def _label(name: str) -> str:
    # In a search a label is named with hyphens for blanks, slashes and the like.
    named = _BETWEEN_WORDS.sub("-", name.strip().casefold())
    return named if _PLAIN_LABEL.fullmatch(named) else _quoted(named)


def is_found_by_bcc(search: Search, bcc: str, visible: str) -> bool:
    """Whether a word of the search stands in a mail's Bcc and not where a colleague may read it."""
    hidden = frozenset(_WORD.findall(bcc.casefold())) & search.words
    return not hidden <= frozenset(_WORD.findall(visible.casefold()))
