"""Owns what a sweep will do: a pure plan from notices and categories. A plan made right after its steps is empty."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from common.history import INBOX
from common.model import IN_INBOX, LABELLED, OUTSIDE, Category, Move, Notice

# What falls to no category returns to the inbox only as long as it is this young; older mail just loses our label.
RETURNS_WITHIN: Final = timedelta(days=30)
# Gmail API, users.messages.batchModify: at most 1,000 ids a call.
MOST_PER_STEP: Final = 1000


@dataclass(frozen=True)
class Step:
    """One batchModify: which mails, and which labels go on and come off."""

    target: str
    mail_ids: tuple[str, ...]
    add: frozenset[str]
    remove: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """``moves`` become steps at Gmail; ``staying`` are mails looked at that belong in the inbox."""

    moves: tuple[Move, ...] = ()
    staying: tuple[str, ...] = ()
    old: frozenset[str] = frozenset()


def plan_sweep(
    notices: Iterable[Notice], category_of: Mapping[str, Category], *, file_unverified: bool, now: datetime
) -> Plan:
    """Where each mail belongs that is not there. ``category_of`` is by From address; who is missing has none.

    Never planned: what a hand has pinned, what a filter kept out of the inbox, and, unless the policy says so, what
    Gmail could not authenticate.
    """
    moves: list[Move] = []
    staying: list[str] = []
    old: set[str] = set()
    for notice in sorted(notices, key=lambda one: (one.received_at, one.mail_id)):
        if notice.pinned or notice.filed == OUTSIDE:
            continue
        target = category_of.get(notice.from_address, Category.NONE)
        if notice.unverified and not file_unverified:
            target = Category.NONE
        if target in LABELLED and notice.filed != target:
            moves.append(Move(mail_id=notice.mail_id, source=notice.filed, target=target))
        elif target is Category.NONE and notice.filed in LABELLED:
            moves.append(Move(mail_id=notice.mail_id, source=notice.filed, target=target))
            if now - notice.received_at > RETURNS_WITHIN:
                old.add(notice.mail_id)
        elif target is Category.NONE and notice.filed == IN_INBOX:
            staying.append(notice.mail_id)
    return Plan(tuple(moves), tuple(staying), frozenset(old))


def plan_possible(plan: Plan, lacking: Collection[Category]) -> tuple[Plan, frozenset[Category]]:
    """The plan without the moves to labels that are not there, and which those are."""
    moves = tuple(move for move in plan.moves if move.target not in lacking)
    return replace(plan, moves=moves), frozenset(Category(move.target) for move in plan.moves) & frozenset(lacking)


def plan_steps(plan: Plan, label_ids: Mapping[str, str]) -> list[Step]:
    """The plan as calls of batchModify, one a target and 1,000 mails. ``label_ids`` is by category.

    A step whose label is not there puts nothing on, and cannot be done.
    """
    ours = frozenset(label_ids[category] for category in LABELLED if category in label_ids)
    steps: list[Step] = []
    for category in LABELLED:
        ids = [move.mail_id for move in plan.moves if move.target == category]
        labels = frozenset({label_ids[category]} if category in label_ids else ())
        steps += _steps(category, ids, labels, (ours | {INBOX}) - labels)
    homeless = [move.mail_id for move in plan.moves if move.target == Category.NONE]
    young = [mail_id for mail_id in homeless if mail_id not in plan.old]
    steps += _steps(Category.NONE, young, frozenset({INBOX}), ours)
    steps += _steps(Category.NONE, [mail_id for mail_id in homeless if mail_id in plan.old], frozenset(), ours)
    return steps


def _steps(target: str, ids: list[str], add: frozenset[str], remove: frozenset[str]) -> list[Step]:
    pieces = [ids[start : start + MOST_PER_STEP] for start in range(0, len(ids), MOST_PER_STEP)]
    return [Step(target, tuple(piece), add, remove) for piece in pieces]
