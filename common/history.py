"""Owns what a mailbox's history says: which mails may be new, and whose hand moved the others. Pure.

Sources: Gmail API, ``users.history.list``; the design's section 4, "Hands win".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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
    told = list(changes)
    if notice.intent:
        return _judge_open(notice, told, our_labels, frozenset(vanished))
    judging = _Judging(notice.filed, our_labels, frozenset(vanished), pinned=notice.pinned)
    for change in told:
        judging.take(change)
    return judging.verdict("")


def _judge_open(
    notice: Notice, changes: list[Change], our_labels: Mapping[str, Category], vanished: frozenset[str]
) -> Verdict:
    """Judges a mail that we were about to move: a hand before our step has it put back, one after it has decided.

    The step itself says where the mail was before, since it takes off all places but its own. Until it shows, the
    intent stays open. A hand that only took off what our step takes off has the same end.
    """
    before = _Judging(notice.filed, our_labels, vanished, pinned=notice.pinned, intent=notice.intent)
    step = _find_step(notice, changes, our_labels)
    for change in changes[: step.begins] if step else changes:
        before.take(change)
    if step is None:
        return before.verdict(notice.intent)
    was_moved = before.pinned or not step.was_at <= _labels_at(notice.filed, our_labels) | {INBOX} & step.leaves
    after = _Judging(notice.intent, our_labels, vanished)
    for change in changes[step.ends :]:
        after.take(change)
    if after.pinned or not was_moved:
        after.gone = after.gone or before.gone
        return after.verdict("")
    add, remove = step.was_at - step.leaves, step.leaves - step.was_at
    put_back = Modify(frozenset(add), frozenset(remove)) if add or remove else None
    return Verdict(notice.filed, "", pinned=True, gone=before.gone, put_back=put_back)


@dataclass(frozen=True)
class _Step:
    """Our own step among a mail's changes: from which to which, at which places the mail was, and where it left it."""

    begins: int
    ends: int
    was_at: frozenset[str]
    leaves: frozenset[str]


def _find_step(notice: Notice, changes: Sequence[Change], our_labels: Mapping[str, Category]) -> _Step | None:
    """The last change that puts the mail where ``intent`` says, with what comes off beside it."""
    target = frozenset(label for label, category in our_labels.items() if category == notice.intent) or {INBOX}
    others = (our_labels.keys() | {INBOX}) - target
    put_on = [
        index
        for index, one in enumerate(changes)
        if one.kind is Kind.LABELS_ADDED and not one.labels.isdisjoint(target)
    ]
    if not put_on:
        return _find_old_step(changes, our_labels) if notice.intent == Category.NONE else None
    at = put_on[-1]
    was_at, begins, ends = frozenset[str](), at, at + 1
    if _takes_off(changes, at + 1, others, target):
        was_at, ends = changes[at + 1].labels & others, at + 2
    elif _takes_off(changes, at - 1, others, target) and _belongs_to_step(notice, changes, at, our_labels):
        was_at, begins = changes[at - 1].labels & others, at - 1
    # A joined record may put on more than the one label.
    return _Step(begins, ends, was_at, frozenset(target))


def _takes_off(changes: Sequence[Change], index: int, others: Collection[str], target: Collection[str]) -> bool:
    if not 0 <= index < len(changes) or changes[index].kind is not Kind.LABELS_REMOVED:
        return False
    return not changes[index].labels.isdisjoint(others) and changes[index].labels.isdisjoint(target)


def _belongs_to_step(notice: Notice, changes: Sequence[Change], at: int, our_labels: Mapping[str, Category]) -> bool:
    """Whether what came off just before our label went on did so by our step: Google promises no order."""
    if changes[at - 1].record_id == changes[at].record_id:
        return True
    if at >= 2 and changes[at - 2].kind is Kind.LABELS_ADDED:
        # It came off with what a hand put on.
        return False
    return notice.pinned or changes[at - 1].labels <= _labels_at(notice.filed, our_labels)


def _find_old_step(changes: Sequence[Change], our_labels: Mapping[str, Category]) -> _Step | None:
    """The step of a mail too old for the inbox, which only loses our label; a hand's has another beside it."""
    if any(one.kind is Kind.LABELS_ADDED and not one.labels.isdisjoint(TAKEN_AWAY) for one in changes):
        # Thrown away by hand: while it is not sure that the step has been made, it may still come.
        return None
    for index in range(len(changes) - 1, -1, -1):
        one = changes[index]
        lost = one.labels & our_labels.keys()
        if one.kind is not Kind.LABELS_REMOVED or not lost:
            continue
        beside = [changes[other] for other in (index - 1, index + 1) if 0 <= other < len(changes)]
        put_on = [other.labels & our_labels.keys() for other in beside if other.kind is Kind.LABELS_ADDED]
        if all(labels <= lost for labels in put_on):
            return _Step(index, index + 1, lost, frozenset({INBOX}))
    return None


def _labels_at(place: str, our_labels: Mapping[str, Category]) -> frozenset[str]:
    if place in (IN_INBOX, Category.NONE):
        return frozenset({INBOX})
    return frozenset(label for label, category in our_labels.items() if category == place and place in LABELLED)


class _Judging:
    """One mail's labels as history goes on, as far as they are ours to know: INBOX and our labels.

    ``intent``: these changes come before a step of ours, and a hand that takes off what it takes off is none.
    """

    def __init__(
        self,
        filed: str,
        our_labels: Mapping[str, Category],
        vanished: frozenset[str],
        *,
        pinned: bool = False,
        intent: str = "",
    ) -> None:
        self._ours = our_labels
        self._vanished = vanished
        self._intent = intent
        self._filed, self.pinned, self.gone = filed, pinned, False
        self.unlabelled: set[str] = set()

    def take(self, change: Change) -> None:
        if change.kind is Kind.DELETED:
            self.gone = self.pinned = True
        elif change.kind is Kind.LABELS_ADDED:
            self.pinned |= any(map(self._is_put_by_hand, change.labels))
        elif change.kind is Kind.LABELS_REMOVED:
            for label in change.labels:
                self.pinned |= self._is_taken_by_hand(label)

    def verdict(self, intent: str) -> Verdict:
        return Verdict(self._filed, intent, self.pinned, self.gone, None, frozenset(self.unlabelled))

    def _is_put_by_hand(self, label: str) -> bool:
        if label in self._ours:
            return self._ours[label] not in (self._filed, self._intent)
        return label in TAKEN_AWAY or (label == INBOX and self._filed not in (IN_INBOX, Category.NONE))

    def _is_taken_by_hand(self, label: str) -> bool:
        if label in TAKEN_AWAY:
            return True
        if label in self._vanished or (self._intent and self._intent != self._filed):
            return False
        if label in self._ours:
            is_ours = self._ours[label] == self._filed
            self.unlabelled |= {label} if is_ours else set()
            return is_ours
        return label == INBOX and self._filed not in LABELLED
