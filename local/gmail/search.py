"""Gmail's search syntax (support.google.com/mail/answer/7190): text to a predicate on messages.

Words match whole words, whatever the case; the words of a quoted phrase or an address stand side by side. OR binds
tighter than the blank, braces mean OR, parentheses AND. Reads a mailbox's labels, changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from local.gmail.mailbox import searchable

if TYPE_CHECKING:
    from local.gmail.mailbox import Mailbox, Message

Predicate = Callable[["Message"], bool]

# "interpreted as midnight on that date in the PST timezone" (guides/filtering)
_PACIFIC = timezone(timedelta(hours=-8))
_SPAN_S = {"h": 3600, "d": 86_400, "w": 7 * 86_400, "m": 30 * 86_400, "y": 365 * 86_400}
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<open>[({])
      | (?P<close>[)}])
      | (?P<minus>-(?=\S))
      | (?P<operator>[A-Za-z_][A-Za-z0-9_]*):(?=\S)
      | \+?"(?P<quoted>[^"]*)"?
      | (?P<word>[^\s(){}"]+)
    )""",
    re.VERBOSE,
)
# "to:" finds those in Cc and Bcc as well, as people see on Gmail's page; the help does not say so.
_HEADERS = {"from": ("from",), "to": ("to", "cc", "bcc"), "cc": ("cc",), "bcc": ("bcc",), "subject": ("subject",),
            "list": ("list-id",), "deliveredto": ("delivered-to",)}  # fmt: skip
_FREE_FIELDS = ("subject", "from", "to", "cc", "body", "filename")
_PLACES = {"draft": "DRAFT", "drafts": "DRAFT", "chat": "CHAT", "chats": "CHAT", "bin": "TRASH"}
_OPERATORS = frozenset(
    {*_HEADERS, "label", "in", "is", "has", "after", "before", "newer", "older", "newer_than", "older_than",
     "rfc822msgid", "filename", "larger", "smaller", "size", "category"}
)  # fmt: skip


@dataclass(frozen=True)
class Query:
    """A parsed search. ``everywhere`` tells that it names SPAM, TRASH or anywhere itself."""

    matches: Predicate
    everywhere: bool


def parse_query(text: str, mailbox: Mailbox, now: datetime) -> Query:
    """The search that ``q`` means. What Gmail would shrug at finds words, or nothing; it never fails."""
    parser = _Parser(text, mailbox, now)
    return Query(parser.parse_sequence(""), parser.everywhere)


class _Parser:
    def __init__(self, text: str, mailbox: Mailbox, now: datetime) -> None:
        self._tokens = [match for match in _TOKEN.finditer(text) if match.group().strip()]
        self._at = 0
        self._mailbox = mailbox
        self._now_s = now.timestamp()
        self.everywhere = False

    def parse_sequence(self, closing: str, operator: str = "") -> Predicate:
        """Terms up to the closing bracket: all of them in parentheses, any of them in braces."""
        groups: list[list[Predicate]] = []
        joined = False
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.group("close"):
                # A bracket that closes nothing is passed over, as Gmail does.
                self._at += 1
                if closing:
                    break
                continue
            if token.group("word") == "OR" and groups:
                joined, self._at = True, self._at + 1
                continue
            if token.group("word") == "AND":
                self._at += 1
                continue
            term = self._parse_term(operator)
            if joined:
                groups[-1].append(term)
            else:
                groups.append([term])
            joined = False
        terms = [_any_of(group) for group in groups]
        return _any_of(terms) if closing == "}" else _all_of(terms)

    def _parse_term(self, operator: str) -> Predicate:
        token = self._tokens[self._at]
        self._at += 1
        if token.group("minus"):
            if self._at >= len(self._tokens):
                return _all_of([])
            before = self.everywhere
            term = self._parse_term(operator)
            # "-in:spam" must not let the trash in.
            self.everywhere = before
            return lambda message: not term(message)
        if bracket := token.group("open"):
            return self.parse_sequence("}" if bracket == "{" else ")", operator)
        if name := token.group("operator"):
            return self._parse_operator(name)
        value = token.group("quoted")
        if value is None:
            value = token.group("word")
        return self._predicate(operator, value)

    def _parse_operator(self, name: str) -> Predicate:
        if name.lower() not in _OPERATORS:
            following = self._tokens[self._at].group() if self._at < len(self._tokens) else ""
            self._at += 1
            return self._predicate("", f"{name}:{following}")
        if self._at >= len(self._tokens):
            return self._predicate("", name)
        return self._parse_term(name.lower())

    def _predicate(self, operator: str, value: str) -> Predicate:
        if not operator:
            return _free(value)
        if operator in _HEADERS:
            return _has_words(_HEADERS[operator], value)
        build = getattr(self, f"_op_{operator}", None)
        predicate: Predicate = build(value) if build else _free(f"{operator} {value}")
        return predicate

    # Operators

    def _op_label(self, value: str) -> Predicate:
        ids = set(self._mailbox.labels.ids_named(value))
        self.everywhere = self.everywhere or bool(ids & {"SPAM", "TRASH"})
        return lambda message: bool(ids & message.labels)

    def _op_category(self, value: str) -> Predicate:
        wanted = f"CATEGORY_{value.upper()}"
        return lambda message: wanted in message.labels

    def _op_in(self, value: str) -> Predicate:
        place = value.lower()
        if place == "anywhere":
            self.everywhere = True
            return _all_of([])
        if place == "archive":
            away = {"INBOX", "SENT", "DRAFT", "SPAM", "TRASH"}
            return lambda message: not away & message.labels
        return self._op_label(_PLACES.get(place, place))

    def _op_is(self, value: str) -> Predicate:
        state = value.lower()
        if state == "read":
            return lambda message: "UNREAD" not in message.labels
        wanted = state.upper()
        return lambda message: wanted in message.labels

    def _op_has(self, value: str) -> Predicate:
        what = value.lower()
        if what == "attachment":
            return lambda message: message.words("filename") != searchable("")
        if what in ("userlabels", "nouserlabels"):
            want = what == "userlabels"
            return lambda message: any(one.startswith("Label_") for one in message.labels) == want
        return _none

    def _op_after(self, value: str) -> Predicate:
        limit_ms = _moment_ms(value)
        return _none if limit_ms is None else lambda message: message.internal_ms >= limit_ms

    def _op_before(self, value: str) -> Predicate:
        limit_ms = _moment_ms(value)
        return _none if limit_ms is None else lambda message: message.internal_ms < limit_ms

    _op_newer = _op_after
    _op_older = _op_before

    def _op_newer_than(self, value: str) -> Predicate:
        limit_ms = self._ago_ms(value)
        return _none if limit_ms is None else lambda message: message.internal_ms >= limit_ms

    def _op_older_than(self, value: str) -> Predicate:
        limit_ms = self._ago_ms(value)
        return _none if limit_ms is None else lambda message: message.internal_ms < limit_ms

    def _ago_ms(self, value: str) -> float | None:
        match = re.fullmatch(r"(\d{1,6})([hdwmy])", value.lower())
        return (self._now_s - int(match.group(1)) * _SPAN_S[match.group(2)]) * 1000 if match else None

    def _op_rfc822msgid(self, value: str) -> Predicate:
        wanted = value.strip("<>")
        return lambda message: message.message_id.strip("<> ") == wanted

    def _op_filename(self, value: str) -> Predicate:
        return _has_words(("filename",), value)

    def _op_larger(self, value: str) -> Predicate:
        limit = _bytes(value)
        return _none if limit is None else lambda message: len(message.raw) >= limit

    _op_size = _op_larger

    def _op_smaller(self, value: str) -> Predicate:
        limit = _bytes(value)
        return _none if limit is None else lambda message: len(message.raw) < limit


def _none(_message: Message) -> bool:
    return False


def _all_of(terms: list[Predicate]) -> Predicate:
    return lambda message: all(term(message) for term in terms)


def _any_of(terms: list[Predicate]) -> Predicate:
    return lambda message: any(term(message) for term in terms)


def _has_words(fields: tuple[str, ...], value: str) -> Predicate:
    phrase = searchable(value)
    if not phrase.strip():
        return _none
    return lambda message: any(phrase in message.words(field) for field in fields)


def _free(value: str) -> Predicate:
    # A lone sign asks for nothing.
    return _has_words(_FREE_FIELDS, value) if searchable(value).strip() else _all_of([])


def _moment_ms(value: str) -> float | None:
    """Seconds since the epoch, or a date (year first, or month/day/year)."""
    if re.fullmatch(r"\d{9,12}", value):
        return int(value) * 1000
    for form in ("%Y/%m/%d", "%Y-%m-%d", "%m/%d/%Y"):
        try:
            day = datetime.strptime(value, form).replace(tzinfo=_PACIFIC)
        except ValueError:
            continue
        return day.timestamp() * 1000
    return None


def _bytes(value: str) -> int | None:
    match = re.fullmatch(r"(\d{1,12})([km]?)b?", value.lower())
    return int(match.group(1)) * {"": 1, "k": 1024, "m": 1024 * 1024}[match.group(2)] if match else None
