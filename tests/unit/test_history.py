"""What history says: new mails, and whose hand moved the others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from common.history import Change, Kind, Modify, judge, parse_changes, plan_candidates
from common.model import IN_INBOX, OUTSIDE, Category, Notice

AT = datetime(2026, 11, 24, tzinfo=UTC)
OURS = {"L1": Category.CLOSING_THIS_MONTH, "L2": Category.OPEN_DEALS, "L3": Category.CUSTOMERS}
CLOSING, OPEN, CUSTOMERS, NONE = Category


def notice(filed: str = IN_INBOX, intent: str = "", *, pinned: bool = False) -> Notice:
    return Notice(
        mail_id="a", from_address="mia@customer.example", received_at=AT, mailbox_key="m", expires_at=AT,
        filed=filed, intent=intent, pinned=pinned,
    )  # fmt: skip


def added(*labels: str) -> Change:
    return Change(2, "a", Kind.LABELS_ADDED, frozenset(labels))


def removed(*labels: str) -> Change:
    return Change(2, "a", Kind.LABELS_REMOVED, frozenset(labels))


def record(record_id: int, **changes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": str(record_id), "messages": [], **changes}


def message(mail_id: str, *labels: str) -> dict[str, Any]:
    return {"message": {"id": mail_id, "threadId": mail_id, "labelIds": list(labels)}}


def test_ids_of_records_are_integers_beyond_63_bits() -> None:
    """A history id is an unsigned 64-bit number in text."""
    records = [record(2**63 + 5, messagesAdded=[message("a", "INBOX")])]
    assert [Change(2**63 + 5, "a", Kind.ADDED, frozenset({"INBOX"}))] == parse_changes(records)


def test_of_label_changes_the_changed_labels_count() -> None:
    """``labelIds`` beside the message are what changed; those inside it are not."""
    entry = {**message("a", "INBOX", "L3"), "labelIds": ["L3"]}
    assert [Change(7, "a", Kind.LABELS_ADDED, frozenset({"L3"}))] == parse_changes([record(7, labelsAdded=[entry])])


@pytest.mark.parametrize("label", ["SENT", "DRAFT", "CHAT", "SPAM", "TRASH"])
def test_mail_that_can_be_no_news_is_dropped_unread(label: str) -> None:
    """Sent mail, drafts, chats, spam and trash are never candidates."""
    assert {} == plan_candidates([Change(1, "a", Kind.ADDED, frozenset({label, "INBOX"}))])


@pytest.mark.parametrize(
    "change",
    [
        Change(9, "a", Kind.ADDED, frozenset({"INBOX", "UNREAD"})),
        Change(9, "a", Kind.ADDED, frozenset({"Label_7"})),
        Change(9, "a", Kind.LABELS_ADDED, frozenset({"INBOX"})),
        Change(9, "a", Kind.LABELS_REMOVED, frozenset({"SPAM"})),
        Change(9, "a", Kind.LABELS_REMOVED, frozenset({"TRASH"})),
    ],
)
def test_what_comes_to_light_is_a_candidate(change: Change) -> None:
    """Added, put into the inbox, not spam after all, or taken back from the trash."""
    assert {"a": 9} == plan_candidates([change])


def test_mail_that_is_gone_again_is_no_candidate() -> None:
    """What was deleted, or thrown away, within the same history needs no reading."""
    arrivals = [Change(1, "a", Kind.ADDED, frozenset({"INBOX"})), Change(2, "b", Kind.ADDED, frozenset({"INBOX"}))]
    leaving = [Change(3, "a", Kind.DELETED), Change(4, "b", Kind.LABELS_ADDED, frozenset({"TRASH"}))]
    assert {} == plan_candidates([*arrivals, *leaving])


def test_a_candidate_keeps_its_first_record() -> None:
    """Repeated records of one mail give one candidate at the place of the first."""
    changes = [
        Change(5, "a", Kind.ADDED, frozenset({"INBOX"})),
        Change(6, "a", Kind.LABELS_ADDED, frozenset({"INBOX"})),
    ]
    assert {"a": 5} == plan_candidates(changes)


@pytest.mark.parametrize(
    ("before", "changes", "filed"),
    [
        (notice(intent=CUSTOMERS), [added("L3"), removed("INBOX")], CUSTOMERS),
        (notice(intent=CUSTOMERS), [removed("INBOX"), added("L3")], CUSTOMERS),
        (notice(OPEN, intent=CUSTOMERS), [removed("L2"), added("L3")], CUSTOMERS),
        (notice(CUSTOMERS, intent=NONE), [removed("L3"), added("INBOX")], NONE),
        (notice(CUSTOMERS, intent=NONE), [added("INBOX"), removed("L3")], NONE),
        (notice(CUSTOMERS, intent=NONE), [removed("L3")], NONE),
        (notice(CUSTOMERS), [removed("INBOX"), added("L3")], CUSTOMERS),
        (notice(CUSTOMERS), [removed("L2")], CUSTOMERS),
        (notice(CUSTOMERS), [added("STARRED"), removed("UNREAD"), added("Label_77")], CUSTOMERS),
        (notice(), [added("Label_77")], IN_INBOX),
    ],
)
def test_our_own_echo_pins_nothing(before: Notice, changes: list[Change], filed: str) -> None:
    """Agreement with what was filed or intended, in either order, closes the intent; other labels mean nothing."""
    verdict = judge(before, changes, OURS)
    assert (filed, "", False, None) == (verdict.filed, verdict.intent, verdict.pinned, verdict.put_back)


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        (notice(CUSTOMERS), [added("INBOX")]),
        (notice(CUSTOMERS), [removed("L3")]),
        (notice(CUSTOMERS), [added("L2")]),
        (notice(CUSTOMERS), [added("TRASH")]),
        (notice(CUSTOMERS), [added("SPAM")]),
        (notice(), [removed("INBOX")]),
        (notice(), [added("L1")]),
        (notice(OUTSIDE), [added("INBOX")]),
        (notice(NONE), [removed("INBOX")]),
    ],
)
def test_a_hand_pins(before: Notice, changes: list[Change]) -> None:
    """Contradiction is a person's hand: moved back, to another of our labels, unlabelled, archived, thrown away."""
    verdict = judge(before, changes, OURS)
    assert (before.filed, True, False) == (verdict.filed, verdict.pinned, verdict.gone)


def test_a_hand_after_our_echo_pins_where_it_put_the_mail() -> None:
    """The echo closes the intent, then the hand pins; nothing is put back, the hand came last."""
    verdict = judge(notice(intent=CUSTOMERS), [removed("INBOX"), added("L3"), added("INBOX"), removed("L3")], OURS)
    assert (CUSTOMERS, "", True, None) == (verdict.filed, verdict.intent, verdict.pinned, verdict.put_back)


def test_a_hand_between_plan_and_step_is_restored() -> None:
    """The user chose another of our labels before our step came: one modify puts the mail back there."""
    by_hand = [added("L1"), removed("INBOX")]
    our_step = [
        Change(3, "a", Kind.LABELS_REMOVED, frozenset({"L1"})),
        Change(3, "a", Kind.LABELS_ADDED, frozenset({"L3"})),
    ]
    verdict = judge(notice(intent=CUSTOMERS), by_hand + our_step, OURS)
    assert Modify(frozenset({"L1"}), frozenset({"L3"})) == verdict.put_back
    assert (IN_INBOX, "", True) == (verdict.filed, verdict.intent, verdict.pinned)


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("by_hand", [[removed("L3"), added("L2")], [added("L2"), removed("L3")]])
def test_a_hand_before_a_step_back_to_the_inbox_is_restored(by_hand: list[Change], *, is_old: bool) -> None:
    """The user chose another of our labels before the step to the inbox, which old mail does not come back to."""
    our_step = [Change(3, "a", Kind.LABELS_REMOVED, frozenset({"L2"}))]
    our_step += [] if is_old else [Change(3, "a", Kind.LABELS_ADDED, frozenset({"INBOX"}))]
    verdict = judge(notice(CUSTOMERS, intent=NONE), by_hand + our_step, OURS)
    assert Modify(frozenset({"L2"}), frozenset({"INBOX"})) == verdict.put_back
    assert (CUSTOMERS, "", True) == (verdict.filed, verdict.intent, verdict.pinned)


def test_a_hand_told_of_before_a_step_back_leaves_the_step_open() -> None:
    """Another of our labels chosen by hand is no step of ours: what follows is still to be told from it."""
    verdict = judge(notice(CUSTOMERS, intent=NONE), [added("L2"), removed("L3")], OURS)
    assert (CUSTOMERS, NONE, True, None) == (verdict.filed, verdict.intent, verdict.pinned, verdict.put_back)


def test_a_hand_after_a_step_back_to_the_inbox_pins_where_it_put_the_mail() -> None:
    """Our label came off, the user put it on again: nothing is put back, the hand came last."""
    verdict = judge(notice(CUSTOMERS, intent=NONE), [removed("L3"), added("L3")], OURS)
    assert (NONE, "", True, None) == (verdict.filed, verdict.intent, verdict.pinned, verdict.put_back)


def test_a_label_put_on_in_the_inbox_before_our_step_brings_the_mail_back_there() -> None:
    """The user labelled the mail and left it in the inbox: both are restored, since our step alone took it out."""
    our_step = [
        Change(3, "a", Kind.LABELS_REMOVED, frozenset({"L1", "INBOX"})),
        Change(3, "a", Kind.LABELS_ADDED, frozenset({"L3"})),
    ]
    verdict = judge(notice(intent=CUSTOMERS), [added("L1"), *our_step], OURS)
    assert Modify(frozenset({"L1", "INBOX"}), frozenset({"L3"})) == verdict.put_back


def test_a_hand_that_threw_the_mail_away_before_our_step_keeps_it_away() -> None:
    """After trash, our label comes off again."""
    verdict = judge(notice(OPEN, intent=CUSTOMERS), [added("TRASH"), removed("L2"), added("L3")], OURS)
    assert verdict.pinned is True
    assert verdict.put_back is not None
    assert frozenset({"L3"}) == verdict.put_back.remove


def test_a_hand_that_threw_the_mail_out_of_the_inbox_keeps_it_out() -> None:
    """Thrown away in one record, which takes the mail out of the inbox first: it does not come back there."""
    echo = Change(3, "a", Kind.LABELS_ADDED, frozenset({"L3"}))
    verdict = judge(notice(intent=CUSTOMERS), [removed("INBOX"), added("TRASH"), echo], OURS)
    assert Modify(frozenset(), frozenset({"L3"})) == verdict.put_back


def test_a_deleted_label_is_nobodys_hand() -> None:
    """A label that vanished takes itself off its mails; the doubt is named first, so that somebody looks."""
    doubtful = judge(notice(CUSTOMERS), [removed("L3")], OURS)
    assert frozenset({"L3"}) == doubtful.unlabelled
    settled = judge(notice(CUSTOMERS), [removed("L3")], OURS, vanished={"L3"})
    assert (False, frozenset()) == (settled.pinned, settled.unlabelled)


def test_a_deleted_mail_is_gone() -> None:
    """What was deleted for good is told apart and never filed again."""
    verdict = judge(notice(), [Change(3, "a", Kind.DELETED)], OURS)
    assert (True, True) == (verdict.gone, verdict.pinned)


# A hand that was told of before our step was: the notice is pinned, the intent still open.


@pytest.mark.parametrize(
    ("changes", "put_back"),
    [
        ([added("L3"), removed("L2")], Modify(frozenset({"L2"}), frozenset({"L3"}))),
        ([removed("L2", "INBOX"), added("L3")], Modify(frozenset({"L2", "INBOX"}), frozenset({"L3"}))),
        ([added("L3")], Modify(frozenset(), frozenset({"L3"}))),
    ],
)
def test_a_hand_told_of_earlier_is_restored_from_what_our_step_took_off(
    changes: list[Change], put_back: Modify
) -> None:
    """Where the hand had put the mail, our step itself says: that goes on again, and our label comes off."""
    verdict = judge(notice(intent=CUSTOMERS, pinned=True), changes, OURS)
    assert (put_back, "", True) == (verdict.put_back, verdict.intent, verdict.pinned)


def test_a_step_back_to_the_inbox_is_undone_for_an_earlier_hand() -> None:
    """The step to the inbox took off the label that the hand had chosen."""
    verdict = judge(notice(CUSTOMERS, intent=NONE, pinned=True), [added("INBOX"), removed("L2")], OURS)
    assert Modify(frozenset({"L2"}), frozenset({"INBOX"})) == verdict.put_back


def test_an_earlier_hand_waits_for_our_step() -> None:
    """Until our step shows, the intent stays open; other labels are no step."""
    verdict = judge(notice(intent=CUSTOMERS, pinned=True), [added("STARRED"), removed("UNREAD")], OURS)
    assert (CUSTOMERS, None, True) == (verdict.intent, verdict.put_back, verdict.pinned)


def test_a_hand_after_our_step_is_left_alone() -> None:
    """Who took our label off afterwards has decided: nothing is put back."""
    later = Change(9, "a", Kind.LABELS_REMOVED, frozenset({"L3"}))
    verdict = judge(notice(intent=CUSTOMERS, pinned=True), [added("L3"), removed("L2"), later], OURS)
    assert ("", None) == (verdict.intent, verdict.put_back)
