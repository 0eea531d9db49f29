"""How a page of history is cut, where the cursor may stop, and which mails are passed over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from common.model import Parked
from common.pieces import Piece, passed, plan_parked, plan_pieces

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def added(record_id: int, mail_id: str, *labels: str) -> dict[str, Any]:
    return {"id": str(record_id), "messagesAdded": [{"message": {"id": mail_id, "labelIds": list(labels)}}]}


def changed(record_id: int, kind: str, mail_id: str, *labels: str) -> dict[str, Any]:
    return {"id": str(record_id), kind: [{"message": {"id": mail_id}, "labelIds": list(labels)}]}


def arrivals(count: int) -> list[dict[str, Any]]:
    return [added(10 + 2 * number, f"m{number}", "INBOX") for number in range(count)]


def test_empty_last_page_moves_the_cursor() -> None:
    """Where nothing has happened, one piece leads to where the history ends."""
    assert [Piece(through=7)] == plan_pieces([], (), history_id=7)


def test_page_in_the_middle_ends_at_its_last_record() -> None:
    """A page with others behind it leads as far as its last record, and an empty one nowhere."""
    assert [12] == [piece.through for piece in plan_pieces(arrivals(2), (), history_id=None)]
    assert [] == plan_pieces([], (), history_id=None)


def test_pieces_hold_forty_nine_new_mails() -> None:
    """118 new mails make pieces of 49, 49 and 20, each ending at its own last record, the last at the history's end."""
    pieces = plan_pieces(arrivals(118), (), history_id=1000)

    assert [49, 49, 20] == [len(piece.candidates) for piece in pieces]
    assert [10 + 2 * 48, 10 + 2 * 97, 1000] == [piece.through for piece in pieces]


def test_record_is_never_cut() -> None:
    """A record with more new mails than a piece holds stays whole: the cursor knows records only."""
    record = {"id": "5", "messagesAdded": [{"message": {"id": f"m{number}"}} for number in range(70)]}

    assert [70] == [len(piece.candidates) for piece in plan_pieces([record], (), history_id=None)]


def test_many_changes_are_cut_too() -> None:
    """500 mails moved at once are committed in pieces, and nothing of them is lost."""
    records = [changed(number, "labelsAdded", f"m{number}", "Label_1") for number in range(1, 501)]
    pieces = plan_pieces(records, ["Label_1"], history_id=501)

    assert all(len(piece.changes) <= 200 for piece in pieces)
    assert 500 == sum(len(piece.changes) for piece in pieces)


def test_what_tells_nothing_is_left_out() -> None:
    """Reading, starring, other labels, and the comings and goings of drafts need no notice to be looked up."""
    records = [
        changed(1, "labelsRemoved", "a", "UNREAD"),
        changed(2, "labelsAdded", "b", "STARRED", "Label_9"),
        added(3, "draft", "DRAFT"),
        changed(4, "messagesDeleted", "draft"),
        changed(5, "labelsRemoved", "c", "INBOX"),
        changed(6, "labelsAdded", "d", "Label_1"),
        changed(7, "messagesDeleted", "e"),
    ]
    (piece,) = plan_pieces(records, ["Label_1"], history_id=8)

    assert {"c", "d", "e"} == piece.mail_ids()


def test_cursor_stops_before_a_record() -> None:
    """Before a record means at the one before it, and never behind where the cursor stands."""
    (piece,) = plan_pieces(arrivals(3), (), history_id=99)

    assert [9, 10, 12] == [piece.cursor_before(record_id, 9) for record_id in (10, 12, 14)]


def test_failing_mail_is_counted() -> None:
    """Each failure counts, from the first one on; what came through, or is gone, is forgotten."""
    first = plan_parked((), failed=["a", "b"], done=[], now=NOW)
    second = plan_parked(first, failed=["a"], done=["b"], now=NOW + timedelta(minutes=1))

    assert (Parked(mail_id="a", attempts=2, first_failed_at=NOW),) == second


def test_parked_mails_are_bounded() -> None:
    """At most a hundred are kept, the latest, and none longer than a month."""
    many = plan_parked((), failed=[f"m{number}" for number in range(150)], done=[], now=NOW)

    assert (100, "m149") == (len(many), many[-1].mail_id)
    assert () == plan_parked(many, failed=[], done=[], now=NOW + timedelta(days=30))


def test_mail_is_passed_after_ten_tries_and_an_hour() -> None:
    """Neither ten tries within the hour nor an hour with fewer tries passes a mail over."""
    hour_ago, just_now = NOW - timedelta(hours=1), NOW - timedelta(minutes=59)
    parked = [
        Parked(mail_id="both", attempts=10, first_failed_at=hour_ago),
        Parked(mail_id="few", attempts=9, first_failed_at=hour_ago),
        Parked(mail_id="soon", attempts=30, first_failed_at=just_now),
    ]

    assert {"both"} == passed(parked, NOW)
