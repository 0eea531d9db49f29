"""Owns mail addresses: RFC 5322 lists as they really come, RFC 6532 letters, comparison, organisational domains.

May import only the mail package. Nothing here raises on bad input: what is no address is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

import idna

from common.mail.headers import all_values, decode
from common.mail.limits import MAX_ADDRESSES, MAX_HEADER_CHARS, MAX_NAME_CHARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from publicsuffixlist import PublicSuffixList

    from common.mail.headers import Headers

_MAX_ADDRESS_CHARS = 512
# Characters, and words, spaces and signs: so many for each address wanted, and never fewer than for so many addresses.
# What ends an entry counts for several, as it takes longer.
_CHARS_EACH = 500
_PIECES_EACH = 24
_SEPARATOR = 6
_FEWEST = 50
_TOKEN = re.compile(r'\s+|"(?:[^"\\]|\\.)*"?|\[[^\]\s]*\]?|[(),:;<>]|[^\s"(),:;<>\[]+', re.DOTALL)
_COMMENT_PIECE = re.compile(r"[^()\\]+|\\.?|\(+|\)+", re.DOTALL)
_LOCAL = re.compile(r'(?:[^\s"(),:;<>@\[\]\\\x00-\x20\x7f-\x9f]+|"(?:[^"\\\r\n\x00]|\\[^\r\n\x00])*")')
_DOMAIN = re.compile(r'(?:[^\s"(),:;<>@\[\]\\\x00-\x20\x7f-\x9f]+|\[[^\[\]\s\x00-\x20]*\])')
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """A mailbox: the decoded display name, empty where there is none, and the address as written."""

    name: str
    address: str


@dataclass(frozen=True)
class AddressList:
    """Addresses in order. ``complete`` is False where a limit has cut them: what else stands there is not known."""

    found: list[Address]
    complete: bool


def parse_addresses(header_values: Iterable[str], *, most: int = MAX_ADDRESSES) -> list[Address]:
    """The first ``most`` addresses of the header values: groups opened, names decoded, comments dropped."""
    return parse_address_list(header_values, most=most).found


def parse_address_list(header_values: Iterable[str], *, most: int = MAX_ADDRESSES) -> AddressList:
    """The same, and whether that is all of them. What it takes is bounded by ``most``, whatever stands there."""
    found: list[Address] = []
    complete = True
    left = _PIECES_EACH * max(most, _FEWEST)
    most_chars = min(_CHARS_EACH * max(most, _FEWEST), MAX_HEADER_CHARS)
    for value in header_values:
        pieces, left = _take(_tokens(value[:most_chars]), left)
        is_whole = left >= 0 and len(value) <= most_chars
        found.extend(islice(_parse_list(pieces, is_whole=is_whole), most + 1 - len(found)))
        complete = complete and is_whole
        if len(found) > most or left < 0:
            return AddressList(found[:most], complete=False)
    return AddressList(found, complete)


def _take(pieces: Iterable[str], left: int) -> tuple[list[str], int]:
    """The pieces for which ``left`` suffices, and what is left then: less than nothing where it did not."""
    taken: list[str] = []
    for piece in pieces:
        left -= _SEPARATOR if piece in {",", ";"} else 1
        if left < 0:
            break
        taken.append(piece)
    return taken, left


def from_address(headers: Headers) -> str | None:
    """The normalised From address, or None unless there is one From header with exactly one address (RFC 5322, 3.6)."""
    values = all_values(headers, "From")
    if len(values) != 1:
        return None
    parsed = parse_address_list(values, most=1)
    return normalise(parsed.found[0].address) if parsed.found and parsed.complete else None


def is_address(text: str) -> bool:
    """Whether the text is one bare address: a local part, one @, a domain, nothing around them."""
    local, at, host = text.rpartition("@")
    return bool(at) and len(text) <= _MAX_ADDRESS_CHARS and _is_pair(local, host)


def normalise(address: str) -> str:
    """The form in which addresses compare: lower case, the domain as A-labels (RFC 5891); no dot or plus tricks."""
    local, at, host = address.strip().rpartition("@")
    return f"{_lower(local)}@{normalise_domain(host)}" if at else _lower(host)


def domain(address: str) -> str:
    """The normalised domain of an address, empty where it has none."""
    _local, at, host = address.strip().rpartition("@")
    return normalise_domain(host) if at else ""


def normalise_domain(host: str) -> str:
    """The domain in lower-case A-labels; one that IDNA refuses stays as it is, in lower case."""
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError, ValueError):
        return _lower(host)


def organisational_domain(host: str) -> str:
    """The domain under which relaxed alignment holds (RFC 7489, 3.2): one label below the public suffix.

    A public suffix itself, and what is no domain name, has only itself.
    """
    name = normalise_domain(host.strip().rstrip("."))
    if not name or name.startswith("["):
        return name
    return _public_suffixes().privatesuffix(name) or name


@cache
def _public_suffixes() -> PublicSuffixList:
    # Imported on first use: reading the list takes 40 ms, which most requests need not spend.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def has_known_suffix(host: str) -> bool:
    """Whether the domain ends in a suffix of the public list, so that a bare word in a text can be told from a host."""
    suffix = _public_suffixes().publicsuffix(normalise_domain(host), accept_unknown=False)
    return suffix is not None


def _lower(text: str) -> str:
    if text.isascii():
        return text.lower()
    # Only where it can be undone: the Kelvin sign becomes k otherwise, and makes two addresses one.
    return "".join(char.lower() if char.lower().upper() == char else char for char in text)


def _is_pair(local: str, host: str) -> bool:
    return bool(_LOCAL.fullmatch(local) and _DOMAIN.fullmatch(host))


@dataclass
class _Entry:
    """What stands between two commas: its words, its <addresses>, its comments."""

    words: list[str] = field(default_factory=list)
    angles: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    angle: list[str] | None = None


def _parse_list(pieces: Iterable[str], *, is_whole: bool) -> Iterator[Address]:
    entry = _Entry()
    orphan = ""
    for piece in pieces:
        if not _feed(entry, piece):
            continue
        addresses = _finish(entry, orphan)
        # A comma inside an unquoted name: the name goes on in the next entry.
        name = "" if addresses or piece != "," else _phrase(entry.words)
        orphan = f"{orphan}, {name}" if orphan and name else name
        yield from addresses
        entry = _Entry()
    # Of an entry that was cut nobody knows what it says.
    if is_whole:
        yield from _finish(entry, orphan)


def _feed(entry: _Entry, piece: str) -> bool:
    """Adds the piece; True where it ends the entry."""
    if piece.startswith("(") and len(piece) > 1:
        entry.comments.append(piece[1:-1] if piece.endswith(")") else piece[1:])
    elif piece == "<":
        entry.angle = []
    elif piece == ">":
        entry.angles.extend([] if entry.angle is None else ["".join(entry.angle)])
        entry.angle = None
    elif entry.angle is not None:
        entry.angle.append(piece)
    elif piece == ":":
        # The words so far are a group's name (RFC 5322, 3.4), unless they hold an address.
        if not any("@" in word for word in entry.words):
            entry.words.clear()
            entry.comments.clear()
    elif piece in {",", ";"}:
        return True
    elif piece != ")":
        (entry.after if entry.angles else entry.words).append(piece)
    return False


def _tokens(value: str) -> Iterator[str]:
    at = 0
    while at < len(value):
        if value[at] == "(":
            end = _comment_end(value, at)
            yield value[at:end]
        else:
            found = _TOKEN.match(value, at)
            end = found.end() if found else at + 1
            yield value[at:end]
        at = end


def _comment_end(value: str, start: int) -> int:
    depth = 0
    for piece in _COMMENT_PIECE.finditer(value, start):
        size = piece.end() - piece.start()
        match piece[0][0]:
            case "(":
                depth += size
            case ")" if size >= depth:
                return piece.start() + depth
            case ")":
                depth -= size
            case _:
                pass
    return len(value)


def _finish(entry: _Entry, orphan: str) -> list[Address]:
    if entry.angle is not None:
        # An angle that was never closed.
        entry.angles.append("".join(entry.angle))
    angles = [address for text in entry.angles if (address := _angle_address(text))]
    if angles:
        name = _phrase(entry.words)
        name = f"{orphan}, {name}" if orphan and name else name or orphan
        # More addresses without a comma are an ambiguous entry: none of them is hidden.
        more = [*angles[1:], *_loose_addresses(entry.after)[0]]
        return [Address(name, angles[0]), *(Address("", address) for address in more)]
    loose, names = _loose_addresses(entry.words)
    if len(loose) == 1:
        name = _phrase([piece for word in names for piece in (word, " ")])
        return [Address(name or _comment_name(entry.comments), loose[0])]
    return [Address("", address) for address in loose]


def _angle_address(text: str) -> str | None:
    compact = "".join(piece for piece in _TOKEN.findall(text) if not piece.isspace())
    if compact.startswith("@"):
        # An obsolete route, <@one,@two:user@host> (RFC 5322, 4.4).
        compact = compact.partition(":")[2]
    return _tidy(compact)


def _tidy(text: str) -> str | None:
    local, at, host = text.rpartition("@")
    if not at or len(text) > _MAX_ADDRESS_CHARS or not _is_pair(local, host):
        return None
    if local.startswith('"'):
        plain = _QUOTED_PAIR.sub(r"\1", local[1:-1])
        local = plain if _DOT_ATOM.fullmatch(plain) else local
    return f"{local}@{host}"


def _loose_addresses(words: list[str]) -> tuple[list[str], list[str]]:
    """Addresses that stand bare among the words, and the words that are none."""
    addresses: list[str] = []
    names: list[str] = []
    for word in _glued(words):
        address = _tidy(word) if "@" in word else None
        if address:
            addresses.append(address)
        elif "@" not in word or word.startswith('"'):
            names.append(word)
    return addresses, names


def _glued(words: list[str]) -> list[str]:
    """The words with blanks around dots and @ taken out, as in ``jdoe@test  . example`` (RFC 5322, 4.4)."""
    glued: list[str] = []
    blank = True
    for word in words:
        if word.isspace():
            blank = True
            continue
        joins = bool(glued) and (not blank or word[0] in ".@" or glued[-1][-1] in ".@") and _may_glue(glued[-1], word)
        if joins:
            glued[-1] += word
        else:
            glued.append(word)
        blank = False
    return glued


def _may_glue(before: str, after: str) -> bool:
    # "Joe Q. Public a@b" is a name and an address: a dot glues only inside an address.
    return "@" in before or after[0] == "@" or before[-1] == "@" or not (before[-1] == "." or after[0] == ".")


def _phrase(words: list[str]) -> str:
    parts = [_unquoted(word) if word.startswith('"') else word for word in words]
    text = decode("".join(" " if part.isspace() else part for part in parts))
    return re.sub(r"\s+", " ", text)[:MAX_NAME_CHARS].strip(" \"'")


def _unquoted(word: str) -> str:
    inner = word[1:-1] if len(word) > 1 and word.endswith('"') else word[1:]
    return _QUOTED_PAIR.sub(r"\1", inner)


def _comment_name(comments: list[str]) -> str:
    return _phrase([_QUOTED_PAIR.sub(r"\1", comments[-1])]) if comments else ""
