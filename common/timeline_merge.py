"""Owns how many mailboxes become one timeline: newest first, an entry a mail, pages without gap or repeat. Pure.

Each mailbox goes on from its own position, the received time and id of what was last told. A mailbox in trouble keeps
its position: its mail comes late, on a later page, and is never left out. Copies of one mail that arrived so far apart
that other mail fills a page between them may be told twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

# Received time in milliseconds, and the id: the order of mails.
Key = tuple[int, str]

_LOWEST: Final[Key] = (-1, "")
# So many ids of one second are remembered as passed.
_MOST_PASSED: Final = 60
# So many entries of which a copy may still come are remembered.
MOST_REMEMBERED: Final = 50


@dataclass(frozen=True)
class Position:
    """Mail below ``key`` comes next. ``passed``: ids of its second already looked at, since Gmail counts in seconds."""

    key: Key
    passed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Copy:
    """One mail in one mailbox. ``identity`` is the same for copies of one mail; empty where it cannot be told."""

    owner: str
    mail_id: str
    received_ms: int
    identity: str = ""

    @property
    def key(self) -> Key:
        return self.received_ms, self.mail_id


@dataclass(frozen=True)
class Part:
    """What one mailbox gave, from its position on: ``looked_at`` in any order, those of them that may be ``shown``.

    ``has_more``: there is mail below. ``troubled``: not all of what it listed could be had.
    ``repeated``: Gmail listed mail that lies above the position.
    """

    owner: str
    position: Position | None = None
    looked_at: tuple[Key, ...] = ()
    shown: tuple[Copy, ...] = ()
    has_more: bool = False
    troubled: bool = False
    repeated: bool = False

    @property
    def lowest(self) -> Key:
        """Down to here the mailbox is known; to its end where it has no more."""
        if not self.has_more:
            return _LOWEST
        if self.looked_at:
            return min(self.looked_at)
        if self.position is None or not self.repeated:
            return _top(self.position)
        # More mails of one second than are remembered: the rest of that second is passed over, or it would never end.
        return self.position.key[0] // 1000 * 1000, ""


@dataclass(frozen=True)
class Entry:
    """A mail, with its copies; the first is of the mailbox that stands first among the parts."""

    copies: tuple[Copy, ...]

    @property
    def key(self) -> Key:
        return max(copy.key for copy in self.copies)

    @property
    def identity(self) -> str:
        return self.copies[0].identity

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(copy.owner for copy in self.copies)


@dataclass(frozen=True)
class Page:
    """Entries, newest first; the positions of mailboxes with more mail (None: from its beginning).

    ``remembered`` are the identities of entries told, with the mailboxes whose copies were.
    """

    entries: tuple[Entry, ...]
    positions: Mapping[str, Position | None] = field(default_factory=dict)
    remembered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def plan_page(parts: Sequence[Part], size: int, remembered: Mapping[str, Collection[str]] | None = None) -> Page:
    """The next page of about ``size`` entries; ``parts`` in the order in which their copies are preferred."""
    told_before = remembered or {}
    entries = _merge(parts, told_before)
    cut = max(
        (part.lowest for part in parts if part.has_more and not part.troubled and part.looked_at), default=_LOWEST
    )
    entries = [entry for entry in entries if entry.key >= cut]
    if len(entries) > size:
        cut = max(cut, entries[size - 1].key)
        entries = [entry for entry in entries if entry.key >= cut]
    positions = {part.owner: _advance(part, cut) for part in parts if _goes_on(part, cut)}
    return Page(tuple(entries), positions, _remember(entries, told_before, positions))


def _merge(parts: Sequence[Part], told_before: Mapping[str, Collection[str]]) -> list[Entry]:
    """All that may be shown, newest first, copies of one mail together. Two mails of one mailbox are two entries."""
    grouped: dict[str, list[list[Copy]]] = {}
    groups: list[list[Copy]] = []
    for part in parts:
        for copy in sorted(part.shown, key=lambda one: one.key, reverse=True):
            told = told_before.get(copy.identity) if copy.identity else None
            if told is not None and copy.owner not in told:
                continue
            known = grouped.setdefault(copy.identity, []) if copy.identity else []
            group = next((one for one in known if all(copy.owner != other.owner for other in one)), None)
            if group is None:
                group = []
                known.append(group)
                groups.append(group)
            group.append(copy)
    return sorted((Entry(tuple(group)) for group in groups), key=lambda entry: entry.key, reverse=True)


def _top(position: Position | None) -> Key:
    return position.key if position else (2**63, "")


def _goes_on(part: Part, cut: Key) -> bool:
    return part.has_more or any(key < cut for key in part.looked_at)


def _advance(part: Part, cut: Key) -> Position | None:
    """Where the mailbox goes on, once all that is not below ``cut`` was told."""
    key = min(_top(part.position), max(cut, part.lowest))
    if key == _top(part.position):
        return part.position
    before = part.position.passed if part.position and _second(part.position.key) == _second(key) else ()
    passed = [one[1] for one in part.looked_at if one >= key and _second(one) == _second(key)]
    return Position(key, tuple(dict.fromkeys([*before, *passed]))[-_MOST_PASSED:])


def _second(key: Key) -> int:
    return key[0] // 1000


def _remember(
    entries: Sequence[Entry], told_before: Mapping[str, Collection[str]], positions: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """What the next page must know: the latest entries of which a mailbox that goes on may have a copy yet."""
    told: dict[str, set[str]] = {identity: set(owners) for identity, owners in told_before.items()}
    for entry in entries:
        if entry.identity:
            told.setdefault(entry.identity, set()).update(entry.owners)
    open_ones = {identity: tuple(sorted(owners)) for identity, owners in told.items() if set(positions) - owners}
    return dict(list(open_ones.items())[-MOST_REMEMBERED:])
