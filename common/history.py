"""Owns what a mailbox's history says: which mails may be new, and whose hand moved the others. Pure.

Sources: Gmail API, ``users.history.list``; the design's section 4, "Hands win".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from common.model import IN_INBOX, LABELLED, Category, Notice

INBOX: Final = "INBOX"
TAKEN_AWAY: Final = frozenset({"SPAM", "TRASH"})
# What a record shows of these is no mail from a contact, or not one that is to be noticed now.
_NEVER_NEW: Final = frozenset({"SENT", "DRAFT", "CHAT", "SPAM", "TRASH"})


class Kind(StrEnum):
    ADDED = "messagesAdded"
    DELETED = "messagesDeleted"
    LABELS_ADDED = "labelsAdded"
    LABELS_REMOVED = "labelsRemoved"


@dataclass(frozen=True)
class Change:
    """One change of one mail. ``labels`` are those that changed; of an added mail, those that it had then."""

    record_id: int
    mail_id: str
    kind: Kind
    labels: frozenset[str] = frozenset()


def parse_changes(records: Iterable[Mapping[str, Any]]) -> list[Change]:
    """The changes in the order of the records; within one, labels come off before others go on."""
    changes: list[Change] = []
    for record in records:
        record_id = int(record["id"])
        for kind in (Kind.ADDED, Kind.LABELS_REMOVED, Kind.LABELS_ADDED, Kind.DELETED):
            for entry in record.get(kind.value, ()):
                message = entry["message"]
                labels = message.get("labelIds", ()) if kind is Kind.ADDED else entry.get("labelIds", ())
                changes.append(Change(record_id, message["id"], kind, frozenset(labels)))
    return changes


def plan_candidates(changes: Iterable[Change]) -> dict[str, int]:
    """The mails that may be new to MailMagnet, each with the id of the first record that says so, in that order.

    New is what was added, put into the inbox, or taken out of spam or trash; what a record shows as sent, a draft, a
    chat, spam or trash is dropped unread, and so is what is gone at the end.
    """
    candidates: dict[str, int] = {}
    for change in changes:
        if _makes_new(change):
            candidates.setdefault(change.mail_id, change.record_id)
        elif _takes_away(change):
            candidates.pop(change.mail_id, None)
    return candidates


def _makes_new(change: Change) -> bool:
    match change.kind:
        case Kind.ADDED:
            return change.labels.isdisjoint(_NEVER_NEW)
        case Kind.LABELS_ADDED:
            return INBOX in change.labels and change.labels.isdisjoint(TAKEN_AWAY)
        case Kind.LABELS_REMOVED:
            return not change.labels.isdisjoint(TAKEN_AWAY)
        case _:
            return False


def _takes_away(change: Change) -> bool:
    if change.kind is Kind.LABELS_ADDED:
        return not change.labels.isdisjoint(TAKEN_AWAY)
    return change.kind is Kind.DELETED


@dataclass(frozen=True)
class Modify:
    """A change of labels that restores what a hand had done before our own step came."""

    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """What history says of one noticed mail: its place by our own steps, whether a hand moved it, what to put back.

    ``unlabelled`` are our labels that were taken off by what looks like a hand, and would also look so had the
    label been deleted: who finds some asks for the list of labels and judges again.
    """

    filed: str
    intent: str
    pinned: bool
    gone: bool = False
    put_back: Modify | None = None
    unlabelled: frozenset[str] = field(default=frozenset())


def judge(
    notice: Notice,
    changes: Iterable[Change],
    our_labels: Mapping[str, Category],
    *,
    vanished: Collection[str] = (),
) -> Verdict:
    """Compares ``changes`` of one mail, in order, with where we filed it or were about to.

    Agreement is the echo of our own step and closes an open intent; contradiction is a person's hand and pins.
    ``vanished`` are labels of ours that no longer exist: that they came off is nobody's hand.
    """
    if notice.pinned and notice.intent:
        return _judge_after_hand(notice, list(changes), our_labels)
    judging = _Judging(notice, our_labels, frozenset(vanished))
    for change in changes:
        judging.take(change)
    return judging.verdict()


def _judge_after_hand(notice: Notice, changes: list[Change], our_labels: Mapping[str, Category]) -> Verdict:
    """A hand was told of before our step was: what the step took off is where the hand had put the mail.

    Until the step shows, the intent stays open. A hand that comes after the step is left alone.
    """
    gone = any(change.kind is Kind.DELETED for change in changes)
    waiting = Verdict(notice.filed, notice.intent, pinned=True, gone=gone)
    ours = {label for label, category in our_labels.items() if category == notice.intent} or {INBOX}
    places = our_labels.keys() | {INBOX}
    added = [(one.record_id, one.labels & ours) for one in changes if one.kind is Kind.LABELS_ADDED]
    removed = [(one.record_id, one.labels & places) for one in changes if one.kind is Kind.LABELS_REMOVED]
    shows = [record_id for record_id, labels in added if labels]
    if notice.intent == Category.NONE:
        # What is too old for the inbox only loses our label.
        shows += [record_id for record_id, labels in removed if not labels.isdisjoint(our_labels)]
    if not shows:
        return waiting
    taken_off = frozenset[str]().union(*(labels for record_id, labels in removed if record_id >= min(shows)))
    put_on = frozenset[str]().union(*(labels for _, labels in added))
    changed = (taken_off or put_on) and taken_off.isdisjoint(ours)
    put_back = Modify(taken_off, put_on) if changed else None
    return Verdict(notice.filed, "", pinned=True, gone=gone, put_back=put_back)


class _Judging:
    """One mail's labels as history goes on, as far as they are ours to know: INBOX and our labels."""

    def __init__(self, notice: Notice, our_labels: Mapping[str, Category], vanished: frozenset[str]) -> None:
        self._ours = our_labels
        self._vanished = vanished
        self._label_of = {category: label for label, category in our_labels.items()}
        self.filed, self.intent, self.pinned, self.gone = notice.filed, notice.intent, notice.pinned, False
        self.unlabelled: set[str] = set()
        # Where the hands alone would have left the mail, kept while an intent is open.
        self._by_hand = self._labels_at(notice.filed)
        self._moved_by_hand = False
        self._archived_in = 0
        # What has come off since, with an intent to bring the mail back: by our step, unless a hand shows behind it.
        self._taken_off: set[str] = set()
        self.put_back: Modify | None = None

    def take(self, change: Change) -> None:
        if change.kind is Kind.DELETED:
            self.gone = self.pinned = True
        elif change.kind in (Kind.LABELS_ADDED, Kind.LABELS_REMOVED):
            if change.kind is Kind.LABELS_REMOVED and self.intent == Category.NONE:
                self._take_removed_on_the_way_back(change.labels & self._by_hand & self._ours.keys())
            for label in sorted(change.labels):
                if change.kind is Kind.LABELS_ADDED:
                    self._take_added(label, change.record_id)
                else:
                    self._take_removed(label, change.record_id)

    def verdict(self) -> Verdict:
        if self._taken_off:
            # Mail too old for the inbox only loses our label.
            self._close_intent(0)
        return Verdict(self.filed, self.intent, self.pinned, self.gone, self.put_back, frozenset(self.unlabelled))

    def _take_added(self, label: str, record_id: int) -> None:
        category = self._ours.get(label)
        if category is not None:
            if category == self.intent:
                self._close_intent(record_id)
            elif label in self._taken_off:
                self._close_intent(record_id)
                self._hand(add=label)
            elif category != self.filed or self.pinned:
                self._hand(add=label)
        elif label == INBOX:
            if self.intent == Category.NONE:
                self._close_intent(record_id)
            elif self.filed not in (IN_INBOX, Category.NONE) or self.pinned:
                self._hand(add=label)
        elif label in TAKEN_AWAY:
            self._hand()

    def _take_removed(self, label: str, record_id: int) -> None:
        category = self._ours.get(label)
        if label in self._vanished:
            return
        if category is not None:
            if category == self.filed and self.intent in ("", category):
                self.unlabelled.add(label)
                self._hand(remove=label)
        elif label == INBOX:
            # Our own step takes the mail out of the inbox; an archiving hand just before it has the same end.
            if self.intent not in LABELLED and self.filed not in LABELLED:
                self._hand(remove=label)
            else:
                self._archived_in = record_id
        elif label in TAKEN_AWAY:
            self._hand()

    def _take_removed_on_the_way_back(self, labels: frozenset[str]) -> None:
        # Our own step takes off whichever of our labels the mail has; a hand that chose another leaves that.
        if self._by_hand & self._ours.keys() <= labels:
            self._taken_off |= labels
        else:
            for label in sorted(labels):
                self._hand(remove=label)

    def _hand(self, *, add: str = "", remove: str = "") -> None:
        self.pinned = True
        self._moved_by_hand = self._moved_by_hand or bool(self.intent)
        self._by_hand = (self._by_hand | ({add} if add else set())) - ({remove} if remove else set()) - self._taken_off
        self._taken_off.clear()

    def _close_intent(self, record_id: int) -> None:
        if self._archived_in not in (0, record_id):
            self._by_hand -= {INBOX}
        ours_now = self._labels_at(self.intent)
        if self._moved_by_hand:
            add, remove = self._by_hand - ours_now, ours_now - self._by_hand
            self.put_back = Modify(frozenset(add), frozenset(remove)) if add or remove else None
        else:
            self.filed = self.intent
            self._by_hand = ours_now
        self.intent = ""
        self._taken_off.clear()

    def _labels_at(self, place: str) -> set[str]:
        if place in (IN_INBOX, Category.NONE):
            return {INBOX}
        label = self._label_of.get(Category(place)) if place in LABELLED else None
        return {label} if label else set()
