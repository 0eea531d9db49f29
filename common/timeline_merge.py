"""Owns how many mailboxes become one timeline: newest first, an entry a mail, pages without gap or repeat. Pure.

Each mailbox goes on from its own position: the received time of what was last told, and the ids that are done with.
A mailbox in trouble keeps its position: its mail comes late, on a later page, and is never left out. Copies of one mail
that arrived so far apart that other mail fills pages between them may be told twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

# Received time in milliseconds, and the id: the order of mails.
Key = tuple[int, str]

_LOWEST: Final[Key] = (-1, "")
_HIGHEST: Final = 2**63
# So many mails of one mailbox are remembered as passed.
_MOST_PASSED: Final = 100
# So many entries of which a copy may still come are remembered.
MOST_REMEMBERED: Final = 50


@dataclass(frozen=True)
class Position:
    """Mail received before comes next, or at the same time and not ``passed``.

    ``passed`` is done with: mails of that whole second, since Gmail searches by seconds, in an order of its own; and
    older ones that were told early, as copies.
    """

    received_ms: int
    passed: tuple[Key, ...] = ()

    @property
    def passed_ids(self) -> frozenset[str]:
        """The ids that need not be fetched again."""
        return frozenset(mail_id for _, mail_id in self.passed)

    def is_above(self, key: Key) -> bool:
        """Whether a mail in the mailbox does not belong to what comes next."""
        return key[0] > self.received_ms or key in self.passed


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
        if self.position is None or self.troubled or not self.repeated:
            return _top_ms(self.position), ""
        return _end_of_the_second_before(self.position.received_ms), ""


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
    entries, repeats = _merge(parts, told_before)
    cut = max(
        (part.lowest for part in parts if part.has_more and not part.troubled and part.looked_at), default=_LOWEST
    )
    entries = [entry for entry in entries if entry.key >= cut]
    if len(entries) > size:
        cut = max(cut, entries[size - 1].key)
        entries = [entry for entry in entries if entry.key >= cut]
    copies = [copy for entry in entries for copy in entry.copies]
    positions = {part.owner: _advance(part, cut, copies) for part in parts if _goes_on(part, cut)}
    told = [*copies, *(copy for copy in repeats if copy.key >= cut)]
    return Page(tuple(entries), positions, _remember(told, told_before, positions))


def _merge(parts: Sequence[Part], told_before: Mapping[str, Collection[str]]) -> tuple[list[Entry], list[Copy]]:
    """All that may be shown, newest first, copies of one mail together; and copies of what was told before.

    Two mails of one mailbox are two entries, whatever they look like.
    """
    grouped: dict[str, list[list[Copy]]] = {}
    groups: list[list[Copy]] = []
    repeats: dict[tuple[str, str], Copy] = {}
    for part in parts:
        for copy in sorted(part.shown, key=lambda one: one.key, reverse=True):
            told = told_before.get(copy.identity) if copy.identity else None
            if told is not None and copy.owner not in told and (copy.identity, copy.owner) not in repeats:
                repeats[copy.identity, copy.owner] = copy
                continue
            known = grouped.setdefault(copy.identity, []) if copy.identity else []
            group = next((one for one in known if all(copy.owner != other.owner for other in one)), None)
            if group is None:
                group = []
                known.append(group)
                groups.append(group)
            group.append(copy)
    entries = sorted((Entry(tuple(group)) for group in groups), key=lambda entry: entry.key, reverse=True)
    return entries, list(repeats.values())


def _end_of_the_second_before(at_ms: int) -> int:
    return at_ms // 1000 * 1000 - 1


def _top_ms(position: Position | None) -> int:
    return position.received_ms if position else _HIGHEST


def _goes_on(part: Part, cut: Key) -> bool:
    return part.has_more or any(key < cut for key in part.looked_at)


def _advance(part: Part, cut: Key, copies: Sequence[Copy]) -> Position | None:
    """Where the mailbox goes on, once all that is not below ``cut`` was told, and these copies."""
    bound = max(cut, part.lowest)
    at_ms = min(bound[0], _top_ms(part.position))
    done = [*part.position.passed] if part.position else []
    done += [key for key in part.looked_at if key >= bound]
    done += [copy.key for copy in copies if copy.owner == part.owner]
    if len({key for key in done if key[0] // 1000 == at_ms // 1000}) > _MOST_PASSED:
        # Else those forgotten would come again, and again. What of this second was not told yet is passed over.
        at_ms = _end_of_the_second_before(at_ms)
    passed = sorted({key for key in done if key[0] // 1000 <= at_ms // 1000})
    if at_ms == _HIGHEST and not passed:
        return None
    return Position(at_ms, tuple(passed[-_MOST_PASSED:]))


def _remember(
    copies: Sequence[Copy], told_before: Mapping[str, Collection[str]], positions: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """What the next page must know: the latest mails of which a mailbox that goes on may have a copy yet."""
    told: dict[str, set[str]] = {identity: set(owners) for identity, owners in told_before.items()}
    for copy in copies:
        if copy.identity:
            told.setdefault(copy.identity, set()).add(copy.owner)
    open_ones = {identity: tuple(sorted(owners)) for identity, owners in told.items() if set(positions) - owners}
    return dict(list(open_ones.items())[-MOST_REMEMBERED:])
