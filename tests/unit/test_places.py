"""What is concluded, after a lost history, from where mail lies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from common.model import Notice
from common.places import Members, plan_place

AT = datetime(2026, 3, 1, tzinfo=UTC)
NOTICE = Notice(mail_id="m", from_address="a@b.example", received_at=AT, mailbox_key="box", expires_at=AT)
HERE, NOWHERE, UNKNOWN = Members(frozenset({"m"})), Members(), Members(complete=False)


@pytest.mark.parametrize(
    ("filed", "intent", "places", "changes"),
    [
        # Where it should be.
        ("", "", {"": HERE}, {}),
        ("none", "", {"": HERE}, {}),
        ("customers", "", {"": NOWHERE, "customers": HERE}, {}),
        # Elsewhere: a hand's work.
        ("", "", {"": NOWHERE}, {"pinned": True, "intent": ""}),
        ("customers", "", {"": HERE, "customers": NOWHERE}, {"pinned": True, "intent": ""}),
        ("", "customers", {"": NOWHERE, "customers": NOWHERE}, {"pinned": True, "intent": ""}),
        # An open intent is settled by where the mail is.
        ("", "customers", {"": NOWHERE, "customers": HERE}, {"filed": "customers", "intent": ""}),
        ("", "customers", {"": HERE, "customers": NOWHERE}, {"intent": ""}),
        ("customers", "none", {"": HERE, "customers": NOWHERE}, {"filed": "none", "intent": ""}),
        # Nothing is concluded of a place that was not, or not all, listed, nor of a label that is gone.
        ("", "", {"": UNKNOWN}, {}),
        ("customers", "", {"": HERE}, {}),
        ("outside", "", {"": HERE}, {}),
    ],
)
def test_place_decides(filed: str, intent: str, places: dict[str, Members], changes: dict[str, Any]) -> None:
    """A mail that lies elsewhere is pinned; an intent is settled; of what is not known nothing is concluded."""
    assert changes == plan_place(replace(NOTICE, filed=filed, intent=intent), places)


def test_pinned_mail_stays_pinned() -> None:
    """What a hand has pinned is left as it is."""
    assert {} == plan_place(replace(NOTICE, pinned=True), {"": NOWHERE})
