"""What a sweep will do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from common.model import IN_INBOX, OUTSIDE, Category, Move, Notice
from common.sweep_plan import Plan, Step, plan_steps, plan_sweep

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MIA = "mia@customer.example"
CLOSING, OPEN, CUSTOMERS, NONE = Category
LABELS: dict[str, str] = {CLOSING: "L1", OPEN: "L2", CUSTOMERS: "L3"}


def notice(filed: str = IN_INBOX, **more: object) -> Notice:
    base = Notice(
        mail_id="a",
        from_address=MIA,
        received_at=NOW,
        mailbox_key="m",
        expires_at=NOW + timedelta(days=30),
        filed=filed,
    )
    return replace(base, **more)  # type: ignore[arg-type]


def plan(one: Notice, category: Category, *, file_unverified: bool = False) -> Plan:
    return plan_sweep([one], {MIA: category}, file_unverified=file_unverified, now=NOW)


@pytest.mark.parametrize(
    ("filed", "category", "moves"),
    [
        (IN_INBOX, CUSTOMERS, True),
        (NONE, OPEN, True),
        (OPEN, CUSTOMERS, True),
        (CUSTOMERS, NONE, True),
        (CUSTOMERS, CUSTOMERS, False),
        (IN_INBOX, NONE, False),
        (NONE, NONE, False),
        (OUTSIDE, CUSTOMERS, False),
    ],
)
def test_mail_moves_to_where_its_category_says(filed: str, category: Category, moves: bool) -> None:
    """What is elsewhere moves; what is there, or was kept out of the inbox by a filter, stays."""
    expected = (Move(mail_id="a", source=filed, target=category),) if moves else ()
    assert expected == plan(notice(filed), category).moves


@pytest.mark.parametrize("filed", [IN_INBOX, CUSTOMERS, NONE])
def test_a_pinned_mail_is_never_planned(filed: str) -> None:
    """What a hand has moved stays where the hand put it."""
    assert Plan() == plan(notice(filed, pinned=True), OPEN)


def test_unauthenticated_mail_stays_unless_the_policy_files_it() -> None:
    """Mail that Gmail could not authenticate stays in the inbox by default."""
    assert Plan(staying=("a",)) == plan(notice(unverified=True), OPEN)
    assert 1 == len(plan(notice(unverified=True), OPEN, file_unverified=True).moves)


def test_who_is_no_contact_any_more_has_no_category() -> None:
    """An address that no visible contact has falls to none."""
    assert (Move(mail_id="a", source=OPEN, target=NONE),) == plan_sweep(
        [notice(OPEN)], {}, file_unverified=False, now=NOW
    ).moves


def test_a_plan_after_its_steps_is_empty() -> None:
    """Planning again with every move done plans nothing."""
    before = [
        notice(mail_id="a"),
        notice(OPEN, mail_id="b"),
        notice(CUSTOMERS, mail_id="c", from_address="x@y.example"),
    ]
    first = plan_sweep(before, {MIA: CUSTOMERS}, file_unverified=False, now=NOW)
    targets = {move.mail_id: move.target for move in first.moves}
    after = [replace(one, filed=targets.get(one.mail_id, one.filed)) for one in before]
    assert {"a": CUSTOMERS, "b": CUSTOMERS, "c": NONE} == targets
    assert () == plan_sweep(after, {MIA: CUSTOMERS}, file_unverified=False, now=NOW).moves


def test_filing_adds_one_label_and_takes_the_inbox_and_our_others() -> None:
    """A step for a category names no label but ours and the inbox."""
    steps = plan_steps(plan(notice(OPEN), CUSTOMERS), LABELS)
    assert [Step(CUSTOMERS, ("a",), frozenset({"L3"}), frozenset({"L1", "L2", "INBOX"}))] == steps


def test_only_young_mail_returns_to_the_inbox() -> None:
    """To none, our label goes; INBOX returns for mail of the last 30 days."""
    young = notice(OPEN, received_at=NOW - timedelta(days=30))
    old = notice(OPEN, mail_id="b", received_at=NOW - timedelta(days=30, seconds=1))
    steps = plan_steps(plan_sweep([young, old], {}, file_unverified=False, now=NOW), LABELS)
    ours = frozenset({"L1", "L2", "L3"})
    assert [Step(NONE, ("a",), frozenset({"INBOX"}), ours), Step(NONE, ("b",), frozenset(), ours)] == steps


def test_a_step_takes_at_most_a_thousand_mails() -> None:
    """batchModify refuses more than 1,000 ids."""
    notices = [notice(mail_id=f"m{number:04}") for number in range(1001)]
    steps = plan_steps(plan_sweep(notices, {MIA: OPEN}, file_unverified=False, now=NOW), LABELS)
    assert [1000, 1] == [len(step.mail_ids) for step in steps]
