"""Hands that come between a sweep's plan and its step, at every place and with drains at every place between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from common.history import INBOX, Change, Kind, judge
from common.model import IN_INBOX, Category, Notice

OURS = {"L1": Category.CLOSING_THIS_MONTH, "L2": Category.OPEN_DEALS, "L3": Category.CUSTOMERS}
PLACES = frozenset({*OURS, INBOX})
# What people do in Gmail's own page: labels put on, labels taken off.
HANDS = {
    "archive": (frozenset(), frozenset({INBOX})),
    "to the inbox": (frozenset({INBOX}), frozenset(OURS)),
    "to L1": (frozenset({"L1"}), PLACES - {"L1"}),
    "to L2": (frozenset({"L2"}), PLACES - {"L2"}),
    "to L3": (frozenset({"L3"}), PLACES - {"L3"}),
    "unlabel": (frozenset(), frozenset(OURS)),
    "trash": (frozenset({"TRASH"}), frozenset({INBOX})),
    "into the inbox, too": (frozenset({INBOX}), frozenset()),
}
DRAIN, STEP = "drain", "step"


class _Mail:
    """One mail that a sweep is about to move, its labels at Gmail, its history and its notice."""

    def __init__(self, filed: str, target: str, *, joined: bool) -> None:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        self.notice = Notice(
            mail_id="a", from_address="mia@customer.example", received_at=at, mailbox_key="m", expires_at=at,
            filed=filed, intent=target,
        )  # fmt: skip
        self.labels = self.start = self._at(filed)
        self.target = self._at(target)
        # Where the last hand left the mail; ``open_end``: that looked like what the step was to do.
        self.left_at: frozenset[str] | None = None
        self.open_end = self._was_target = False
        self._joined, self._history, self._id, self._read = joined, list[Change](), 10, 10

    @staticmethod
    def _at(place: str) -> frozenset[str]:
        return frozenset(label for label, category in OURS.items() if category == place) or frozenset({INBOX})

    def play(self, sequence: tuple[str, ...]) -> None:
        has_stepped = False
        for what in sequence:
            if what == DRAIN:
                self.drain()
            elif what == STEP:
                has_stepped = True
                self._change(self.target, PLACES - self.target)
            elif "TRASH" not in self.labels:
                self._take_hand(*HANDS[what], is_before=not has_stepped)
        while self.drain():
            pass

    def _take_hand(self, add: frozenset[str], remove: frozenset[str], *, is_before: bool) -> None:
        before = self.labels
        self._change(add, remove)
        if self.labels == before:
            return
        self.left_at = self.labels
        if is_before and self.notice.intent:
            put_on = self.labels - before
            self._was_target |= not put_on.isdisjoint(self.target)
            self.open_end = self._was_target or not put_on or self.labels == self.start

    def _change(self, add: frozenset[str], remove: frozenset[str]) -> None:
        put_on, taken_off = add - self.labels, remove & self.labels
        self.labels = (self.labels | put_on) - taken_off
        self._id += 1
        told = [Change(self._id, "a", Kind.LABELS_ADDED, put_on)] if put_on else []
        if taken_off and not self._joined:
            self._id += 1
        off = [Change(self._id, "a", Kind.LABELS_REMOVED, taken_off)] if taken_off else []
        # Of one record, what came off is told first (parse_changes).
        self._history += off + told if self._joined else told + off

    def drain(self) -> bool:
        """Reads what is new, as ``common.drain`` does; False where there is nothing."""
        changes = [change for change in self._history if change.record_id > self._read]
        self._read = self._id
        if changes:
            verdict = judge(self.notice, changes, OURS)
            if verdict.put_back is not None:
                self._change(verdict.put_back.add, verdict.put_back.remove)
            self.notice = replace(self.notice, filed=verdict.filed, intent=verdict.intent, pinned=verdict.pinned)
        return bool(changes)


def sequences() -> Iterator[tuple[str, ...]]:
    """Up to two hands before the step and one after it, with and without drains between them."""
    for first, second, later in product([*HANDS, ""], [*HANDS, ""], ["", "to L2", "unlabel", "trash"]):
        for drains in product([DRAIN, ""], repeat=3):
            yield tuple(filter(None, (first, drains[0], second, drains[1], STEP, drains[2], later)))


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(
    ("filed", "target"),
    [
        (IN_INBOX, Category.CUSTOMERS.value),
        (Category.OPEN_DEALS.value, Category.CUSTOMERS.value),
        (Category.CUSTOMERS.value, Category.NONE.value),
    ],
)
def test_the_mail_ends_where_the_last_hand_put_it(filed: str, target: str, *, joined: bool) -> None:
    """Before or after our step, drained between or not: unless it did what the step does, the last hand decides."""
    wrong = []
    for sequence in set(sequences()):
        mail = _Mail(filed, target, joined=joined)
        mail.play(sequence)
        wanted = mail.target if mail.left_at is None else mail.left_at
        if not mail.open_end and mail.labels != wanted:
            wrong.append((sequence, sorted(mail.labels), sorted(wanted)))

    assert [] == sorted(wrong, key=lambda one: len(one[0]))[:5]


def test_one_hand_out_of_a_label_and_into_the_inbox_is_restored() -> None:
    """The label that the hand had taken off before our step came does not come back with it."""
    mail = _Mail(Category.OPEN_DEALS.value, Category.CUSTOMERS.value, joined=False)

    mail.play(("to the inbox", STEP))

    assert frozenset({INBOX}) == mail.labels
    assert mail.notice.pinned
