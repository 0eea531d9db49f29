"""The pure parts of sweeps: what was begun, what an undo moves, and where a mail lies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from common.filing import plan_filing
from common.model import IN_INBOX, OUTSIDE, Category, Connection, Move, Notice
from common.sweep_plan import Plan
from common.sweep_review import place_of, plan_place, plan_undo

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MIA = "mia@customer.example"
CLOSING, OPEN, CUSTOMERS, NONE = Category
CONNECTION = Connection(
    user_id="anna", address="anna@demo-crm.example", mailbox_key="m", generation="g", secret="s", scopes=frozenset(),
    connected_at=NOW, label_ids={CLOSING: "L1", OPEN: "L2", CUSTOMERS: "L3"},
)  # fmt: skip


def notice(filed: str = IN_INBOX, **more: object) -> Notice:
    base = Notice(
        mail_id="a", from_address=MIA, received_at=NOW, mailbox_key="m", expires_at=NOW + timedelta(days=30),
        filed=filed,
    )  # fmt: skip
    return replace(base, **more)  # type: ignore[arg-type]


def plan(one: Notice, category: Category) -> Plan:
    return plan_filing([one], {MIA: category}, file_unverified=False, now=NOW)


def move(source: str, target: str) -> Move:
    return Move(mail_id="a", source=source, target=target)


def test_what_was_begun_is_ended_as_it_was_meant() -> None:
    """An open intent is carried out as it stands, whatever the category is by now."""
    assert Plan((move(IN_INBOX, CUSTOMERS),)) == plan(notice(intent=CUSTOMERS), OPEN)


def test_what_a_hand_overtook_is_not_carried_out() -> None:
    """An open intent of a mail that is pinned does nothing."""
    assert Plan() == plan(notice(intent=CUSTOMERS, pinned=True), CUSTOMERS)


def test_begun_return_of_old_mail_brings_it_not_into_the_inbox() -> None:
    """Mail older than 30 days only loses our label, also when the step is done a second time."""
    old = notice(CUSTOMERS, intent=NONE, received_at=NOW - timedelta(days=31))
    assert Plan((move(CUSTOMERS, NONE),), (), frozenset({"a"})) == plan(old, NONE)


@pytest.mark.parametrize(
    ("source", "held", "back"),
    [
        (IN_INBOX, notice(CUSTOMERS), NONE),
        (OPEN, notice(CUSTOMERS), OPEN),
        (NONE, notice(CUSTOMERS), NONE),
        (IN_INBOX, notice(intent=CUSTOMERS), NONE),
        (IN_INBOX, notice(CUSTOMERS, intent=NONE), NONE),
        (IN_INBOX, notice(CUSTOMERS, pinned=True), None),
        (IN_INBOX, notice(OPEN), None),
        (IN_INBOX, notice(CUSTOMERS, intent=OPEN), None),
        (IN_INBOX, notice(NONE), None),
    ],
    ids=["filed", "followed", "filed from where it stayed", "on its way", "undo begun", "moved by hand",
         "swept on since", "being swept on", "back already"],
)  # fmt: skip
def test_undo_moves_what_nothing_has_moved_since(source: str, held: Notice, back: str | None) -> None:
    """Back goes what lies where the sweep put it, or is on its way there; nothing else."""
    expected = () if back is None else (move(held.filed, back),)
    assert expected == plan_undo({"a": move(source, CUSTOMERS)}, [held]).moves


@pytest.mark.parametrize(
    ("filed", "labels", "place"),
    [
        (CUSTOMERS, {"INBOX"}, IN_INBOX),
        (CUSTOMERS, {"L2", "UNREAD"}, OPEN),
        (CUSTOMERS, set(), IN_INBOX),
        (OUTSIDE, set(), OUTSIDE),
        (OUTSIDE, {"INBOX"}, IN_INBOX),
    ],
)
def test_place_is_read_from_the_labels(filed: str, labels: set[str], place: str) -> None:
    """Under one of our labels, else in the inbox; what a filter kept out stays out."""
    assert place == plan_place(notice(filed), frozenset(labels), CONNECTION)


@pytest.mark.parametrize(
    ("filed", "word"),
    [(IN_INBOX, "inbox"), (NONE, "inbox"), (OUTSIDE, "outside"), (CLOSING, "closing_this_month")],
)
def test_places_have_words(filed: str, word: str) -> None:
    """What was looked at and left lies in the inbox like what was not."""
    assert word == place_of(filed)
