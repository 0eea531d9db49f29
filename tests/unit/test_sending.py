"""What is told of a mail by its record."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from common.model import Send, SendState
from common.sending import answer_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def record(state: SendState, draft_id: str = "") -> Send:
    return Send(
        user_id="u",
        key_hash="k",
        body_hash="b",
        state=state,
        version=1,
        generation="g",
        expires_at=NOW,
        changed_at=NOW,
        draft_id=draft_id,
    )


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (SendState.CLAIMED, "pending"),
        (SendState.HANDING_OVER, "pending"),
        (SendState.SCHEDULED, "scheduled"),
        (SendState.SENT, "sent"),
        (SendState.FAILED, "failed"),
        (SendState.UNKNOWN, "unknown"),
        (SendState.CANCELLED, "cancelled"),
    ],
)
def test_state_as_people_see_it(state: SendState, shown: str) -> None:
    """The two steps of the way to Gmail are one for people: pending."""
    assert shown == answer_of(record(state)).state


@pytest.mark.parametrize(
    ("state", "draft_id"),
    [(SendState.SCHEDULED, "d"), (SendState.FAILED, "d"), (SendState.CANCELLED, "d"), (SendState.SENT, "")],
)
def test_draft_is_named_while_it_is_there(state: SendState, draft_id: str) -> None:
    """The draft of a mail that has gone is gone."""
    assert draft_id == answer_of(record(state, "d")).draft_id
