"""Owns how a page of history is cut into pieces, each for one commit, and where the cursor may go. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from common.history import INBOX, Change, Kind, parse_changes, plan_candidates
from common.model import Parked

# Gets in one batch, and so new mails in one commit. Two of them and their lists fit into the third of a mailbox's
# minute that background work has (``common.gmail.budget``); with 50, a minute would hold one.
MOST_NEW: Final = 49
# Mails whose notices one commit may touch; with their senders it stays well below what Firestore takes.
_MOST_TOUCHED: Final = 200

PASSED_AFTER_TRIES: Final = 10
PASSED_AFTER: Final = timedelta(hours=1)
_MOST_PARKED: Final = 100
_FORGOTTEN_AFTER: Final = timedelta(days=30)
_NEVER_OURS: Final = frozenset({"SENT", "DRAFT", "CHAT"})
_PLACES: Final = frozenset({INBOX, "SPAM", "TRASH"})


@dataclass(frozen=True)
class Piece:
    """Whole records that are committed together.

    ``through`` is the cursor once all of them are done, ``candidates`` the mails that may be new with the ids of their
    records, ``changes`` those that say something of a mail already noticed.
    """

    through: int
    record_ids: tuple[int, ...] = ()
    candidates: Mapping[str, int] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    def cursor_before(self, record_id: int, cursor: int) -> int:
        """The cursor that leaves the record ``record_id`` still to be read; never less than ``cursor``."""
        return max([cursor, *(one for one in self.record_ids if one < record_id)])

    def mail_ids(self) -> frozenset[str]:
        """Every mail whose notice, if it has one, is needed to commit the piece."""
        return frozenset(self.candidates) | {change.mail_id for change in self.changes}


def plan_pieces(
    records: Sequence[Mapping[str, Any]], our_labels: Collection[str], *, history_id: int | None
) -> list[Piece]:
    """The records of one page in pieces, in order. ``history_id`` is where the history ends, if this is its last page.

    There is at least one piece if the page is the last: the cursor moves also where nothing has happened.
    """
    changes = parse_changes(records)
    candidates = plan_candidates(changes)
    of_record: dict[int, list[Change]] = {}
    for change in _telling(changes, candidates, our_labels):
        of_record.setdefault(change.record_id, []).append(change)
    new_in: dict[int, list[str]] = {}
    for mail_id, record_id in candidates.items():
        new_in.setdefault(record_id, []).append(mail_id)
    pieces = _cut([int(record["id"]) for record in records], of_record, new_in)
    if history_id is not None:
        last = pieces.pop() if pieces else Piece(through=history_id)
        pieces.append(replace(last, through=max(history_id, last.through)))
    return pieces


def _cut(record_ids: list[int], of_record: Mapping[int, list[Change]], new_in: Mapping[int, list[str]]) -> list[Piece]:
    pieces: list[Piece] = []
    ids: list[int] = []
    candidates: dict[str, int] = {}
    changes: list[Change] = []

    def close() -> None:
        if ids:
            pieces.append(Piece(ids[-1], tuple(ids), dict(candidates), tuple(changes)))
        ids.clear()
        candidates.clear()
        changes.clear()

    for record_id in record_ids:
        new, telling = new_in.get(record_id, []), of_record.get(record_id, [])
        if len(candidates) + len(new) > MOST_NEW or len(changes) + len(telling) > _MOST_TOUCHED:
            close()
        ids.append(record_id)
        candidates.update(dict.fromkeys(new, record_id))
        changes.extend(telling)
    close()
    return pieces


def _telling(changes: Iterable[Change], candidates: Collection[str], our_labels: Collection[str]) -> Iterable[Change]:
    """The changes that can say something of a noticed mail: reading, starring and writing drafts tell nothing."""
    labels = _PLACES | frozenset(our_labels)
    listed = list(changes)
    ours = {
        change.mail_id
        for change in listed
        if change.kind is Kind.ADDED and not change.labels.isdisjoint(_NEVER_OURS) and change.mail_id not in candidates
    }
    for change in listed:
        if change.mail_id in ours or change.kind is Kind.ADDED:
            continue
        if change.kind is Kind.DELETED or not change.labels.isdisjoint(labels):
            yield change


def plan_parked(
    parked: Sequence[Parked], *, failed: Iterable[str], done: Collection[str], now: datetime
) -> tuple[Parked, ...]:
    """The failing mails after one more try: ``failed`` have failed again, ``done`` have been read or are gone.

    Dropped are those of a month ago, which no notice would be made of any more, and the oldest beyond a hundred.
    """
    kept = {
        one.mail_id: one for one in parked if one.mail_id not in done and now - one.first_failed_at < _FORGOTTEN_AFTER
    }
    for mail_id in failed:
        known = kept.get(mail_id)
        kept[mail_id] = Parked(
            mail_id=mail_id,
            attempts=known.attempts + 1 if known else 1,
            first_failed_at=known.first_failed_at if known else now,
        )
    return tuple(kept.values())[-_MOST_PARKED:]


def passed(parked: Iterable[Parked], now: datetime) -> frozenset[str]:
    """The mails that are passed over: they have failed ten times, over an hour."""
    return frozenset(
        one.mail_id
        for one in parked
        if one.attempts >= PASSED_AFTER_TRIES and now - one.first_failed_at >= PASSED_AFTER
    )
