"""Why a mail is where it is: the reason that counts, and its sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest

from common.explain import DealConsidered, Facts, Reason, plan_reason, plan_text
from common.model import IN_INBOX, OUTSIDE, Category, Contact, DealState, Notice, Sweep

NOW = datetime(2026, 11, 24, tzinfo=UTC)
CLOSING, OPEN, CUSTOMERS, NONE = Category
UNDONE = Sweep(sweep_id="s", at=NOW, mailbox_key="m", moves=(), expires_at=NOW, undone_at=NOW)
CONTACT = Contact(contact_id="mia", name="Mia {Schneider}", addresses=())
DEAL = DealConsidered(id="d", title="Büro {neu}", state=DealState.OPEN, closing_date=None, decides=True)


def facts(filed: str = IN_INBOX, category: Category = NONE, **more: object) -> Facts:
    notice = Notice(
        mail_id="a", from_address="x@y.example", received_at=NOW, mailbox_key="m", expires_at=NOW, filed=filed
    )
    settings = {name: more.pop(name) for name in ("labels_on", "file_unverified", "sweep") if name in more}
    base = Facts(replace(notice, **more), category, labels_on=True, file_unverified=False)  # type: ignore[arg-type]
    return replace(base, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (facts(CLOSING, CLOSING), "closing-this-month"),
        (facts(OPEN, OPEN), "open-deals"),
        (facts(CUSTOMERS, CUSTOMERS), "won-deal"),
        (facts(NONE, NONE), "no-deals"),
        (facts(IN_INBOX, NONE), "no-deals"),
        (facts(IN_INBOX, OPEN), "waiting"),
        (facts(OPEN, CUSTOMERS), "waiting"),
        (facts(OPEN, NONE), "waiting"),
        (facts(IN_INBOX, OPEN, intent=OPEN), "open-deals"),
        (facts(IN_INBOX, OPEN, unverified=True), "unverified"),
        (facts(OPEN, OPEN, unverified=True), "waiting"),
        (facts(OPEN, OPEN, unverified=True, file_unverified=True), "open-deals"),
        (facts(OPEN, OPEN, labels_on=False), "labels-off"),
        (facts(OUTSIDE, OPEN, labels_on=False), "kept-out-by-filter"),
        (facts(OPEN, OPEN, pinned=True), "moved-by-hand"),
        (facts(NONE, OPEN, pinned=True, sweep=UNDONE), "undone"),
    ],
)
def test_one_reason_counts(known: Facts, reason: str) -> None:
    """A hand comes before a filter, that before doubt, that before the rule."""
    assert reason == plan_reason(known)


@pytest.mark.parametrize("reason", get_args(Reason))
def test_every_reason_has_a_sentence_in_both_languages(reason: Reason) -> None:
    """Each sentence is one, ends as one, and has nothing left to fill in."""
    for text in plan_text(reason, CLOSING, [CONTACT], [DEAL]).values():
        assert text.endswith(".")
        assert {"{contacts}", "{deal}", "{label}"}.isdisjoint(text.split())


def test_names_are_taken_as_they_are() -> None:
    """Braces in the CRM's names fill in nothing."""
    text = plan_text("open-deals", OPEN, [CONTACT], [DEAL])["de"]
    assert "Sie liegt unter „Offene Deals“, weil Mia {Schneider} einen offenen Deal hat: Büro {neu}." == text
