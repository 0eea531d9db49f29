"""Many mailboxes as one timeline: order, one entry a mail, and pages that neither repeat nor hide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.timeline_merge import Copy, Entry, Key, Page, Part, Position, plan_page

SECOND = 1000


def copy(owner: str, mail_id: str, at_ms: int, identity: str = "") -> Copy:
    return Copy(owner, mail_id, at_ms, identity)


def part(owner: str, *copies: Copy, unseen: Collection[Key] = (), **more: bool) -> Part:
    looked_at = (*(one.key for one in copies), *unseen)
    return Part(owner, None, looked_at, copies, **more)


def told(page: Page) -> list[tuple[str, ...]]:
    """The ids of each entry's copies, in order."""
    return [tuple(one.mail_id for one in entry.copies) for entry in page.entries]


def test_mails_of_all_mailboxes_come_newest_first() -> None:
    """Two mailboxes are merged by received time, and nothing is left for another page."""
    page = plan_page(
        [part("anna", copy("anna", "a1", 10), copy("anna", "a2", 30)), part("ben", copy("ben", "b", 20))], 9
    )

    assert [("a2",), ("b",), ("a1",)] == told(page)
    assert {} == page.positions


def test_copies_of_one_mail_are_one_entry() -> None:
    """Copies in several mailboxes are one entry, that of the mailbox named first before the others."""
    parts = [part("anna", copy("anna", "a", 10, "same")), part("ben", copy("ben", "b", 12, "same"))]

    assert [("a", "b")] == told(plan_page(parts, 9))


def test_mails_without_identity_are_never_one() -> None:
    """Where a mail cannot be told from others, each stands for itself."""
    parts = [part("anna", copy("anna", "a", 10)), part("ben", copy("ben", "b", 10))]

    assert [("b",), ("a",)] == told(plan_page(parts, 9))


def test_two_mails_of_one_mailbox_are_never_one() -> None:
    """A mail that looks like another one in the same mailbox hides nothing."""
    parts = [part("anna", copy("anna", "a1", 10, "same"), copy("anna", "a2", 11, "same"))]

    assert [("a2",), ("a1",)] == told(plan_page(parts, 9))


def test_a_page_ends_where_a_mailbox_was_not_looked_at() -> None:
    """Older mail of one mailbox waits until the other one is known down to there."""
    parts = [
        part("anna", copy("anna", "a", 50 * SECOND), has_more=True),
        part("ben", copy("ben", "b1", 60 * SECOND), copy("ben", "b2", 40 * SECOND)),
    ]

    page = plan_page(parts, 9)

    assert [("b1",), ("a",)] == told(page)
    assert {"anna": Position(50 * SECOND, ((50 * SECOND, "a"),)), "ben": Position(50 * SECOND)} == page.positions


def test_mail_that_is_not_shown_moves_the_position_all_the_same() -> None:
    """A page may be empty and go on: what was looked at in vain is not looked at again."""
    page = plan_page([part("anna", unseen=[(50 * SECOND, "x")], has_more=True)], 9)

    assert [] == told(page)
    assert {"anna": Position(50 * SECOND, ((50 * SECOND, "x"),))} == page.positions


def test_a_mailbox_in_trouble_holds_up_nobody_and_keeps_its_position() -> None:
    """Of a mailbox that gave nothing the others' pages do not wait; it goes on where it was."""
    before = Position(90 * SECOND)
    slow = Part("slow", before, has_more=True, troubled=True)
    parts = [slow, part("ben", copy("ben", "b1", 60 * SECOND), copy("ben", "b2", 40 * SECOND))]

    page = plan_page(parts, 1)

    assert [("b1",)] == told(page)
    assert before == page.positions["slow"]


def test_mailboxes_that_are_ahead_do_not_fall_back() -> None:
    """When a mailbox comes late with newer mail, the others stay where they were."""
    behind = Position(30 * SECOND, ((30 * SECOND, "b"),))
    late = part("late", copy("late", "l1", 80 * SECOND), copy("late", "l2", 70 * SECOND), has_more=True)
    ben = Part("ben", behind, ((20 * SECOND, "b3"),), (copy("ben", "b3", 20 * SECOND),))

    page = plan_page([late, ben], 9)

    assert [("l1",), ("l2",)] == told(page)
    assert behind == page.positions["ben"]


def test_a_copy_that_comes_on_the_next_page_is_not_told_again() -> None:
    """What stood on the page before is remembered, as long as another mailbox may have a copy."""
    first = plan_page(
        [
            part("anna", copy("anna", "a", 60 * SECOND, "same")),
            part("ben", copy("ben", "b0", 59 * SECOND), has_more=True),
        ],
        1,
    )
    rest = part("ben", copy("ben", "b0", 59 * SECOND), copy("ben", "b", 58 * SECOND, "same"), copy("ben", "b2", 10))

    second = plan_page([rest], 9, first.remembered)

    assert [("a",)] == told(first)
    assert [("b0",), ("b2",)] == told(second)


def test_a_remembered_identity_hides_no_other_mail_of_that_mailbox() -> None:
    """A forged twin in the mailbox whose copy was told is told as well."""
    page = plan_page([part("anna", copy("anna", "twin", 5, "same"))], 9, {"same": ("anna",)})

    assert [("twin",)] == told(page)


def test_more_mails_of_one_second_than_are_remembered_end_all_the_same() -> None:
    """Where Gmail lists nothing but what lies above the position, the rest of that second is passed over."""
    stuck = Part("anna", Position(50_500, ((50_500, "m"),)), has_more=True, repeated=True)

    assert {"anna": Position(49_999)} == plan_page([stuck], 9).positions


# ---- Page after page, against a model of mailboxes


@dataclass(frozen=True)
class Mail:
    at_ms: int
    mail_id: str
    identity: str
    visible: bool


@dataclass
class Box:
    """A mailbox as Gmail lists it: newest first, searched by whole seconds."""

    owner: str
    mails: list[Mail] = field(default_factory=list)
    through: bool = False

    def look_through(self, position: Position | None, size: int, fails_at: int | None) -> Part:
        """A colleague's mailbox: looked through until one mail more than ``size`` is visible, seven at the most."""
        seen = self.look(position, _LOOKED_AT, fails_at)
        more = seen.has_more and not seen.troubled
        shown = tuple(sorted(seen.shown, key=lambda one: one.key, reverse=True)[:size])
        gave_up = more and len(seen.shown) <= size
        return replace(
            seen,
            looked_at=seen.looked_at if gave_up else tuple(one.key for one in shown),
            shown=shown,
            has_more=gave_up or seen.troubled or len(seen.shown) > size,
        )

    def look(self, position: Position | None, size: int, fails_at: int | None) -> Part:
        """What a list of ``size`` and a batch give; the batch breaks off at the mail number ``fails_at``."""
        passed = position.passed_ids if position else frozenset()
        until = position.received_ms // SECOND * SECOND + SECOND if position else 10**12
        found = sorted((one for one in self.mails if one.at_ms < until), key=lambda one: (-one.at_ms, one.mail_id))
        listed = [one for one in found[: size + len(passed)] if one.mail_id not in passed][:size]
        has_more = len([one for one in found if one.mail_id not in passed]) > len(listed)
        had = listed if fails_at is None else listed[:fails_at]
        below = [one for one in had if position is None or not position.is_above((one.at_ms, one.mail_id))]
        return Part(
            self.owner,
            position,
            tuple((one.at_ms, one.mail_id) for one in below),
            tuple(Copy(self.owner, one.mail_id, one.at_ms, one.identity) for one in below if one.visible),
            has_more=has_more or len(had) < len(listed),
            troubled=len(had) < len(listed),
            repeated=len(below) < len(had),
        )


# More than ``size`` may be, as with fifty and pages of at most 49.
_LOOKED_AT = 7

MAILS = st.lists(st.tuples(st.integers(0, 40_000), st.booleans(), st.integers(0, 3)), max_size=14)


def boxes_of(drawn: Sequence[list[tuple[int, bool, int]]]) -> list[Box]:
    """Mailboxes of the drawn mails; those with the same small number and second are copies of one."""
    boxes = []
    for number, mails in enumerate(drawn):
        owner = f"user{number}"
        made = [
            Mail(at_ms, f"{number}-{index}", f"{at_ms // SECOND}/{twin}" if twin else "", visible)
            for index, (at_ms, visible, twin) in enumerate(mails)
        ]
        boxes.append(Box(owner, made, through=number % 2 == 1))
    return boxes


def walk(boxes: Sequence[Box], size: int, failures: Mapping[tuple[int, str], int]) -> list[Entry]:
    """All entries, page after page; ``failures`` by page and owner; new mail arrives after the first page."""
    positions: dict[str, Position | None] = {box.owner: None for box in boxes}
    remembered: Mapping[str, Collection[str]] = {}
    entries: list[Entry] = []
    for number in range(200):
        asked = [box for box in boxes if box.owner in positions]
        parts = [
            (box.look_through if box.through else box.look)(
                positions[box.owner], size, failures.get((number, box.owner))
            )
            for box in asked
        ]
        page = plan_page(parts, size, remembered)
        entries += page.entries
        positions, remembered = dict(page.positions), page.remembered
        if not positions:
            return entries
        if number == 0:
            for box in boxes:
                box.mails.append(Mail(50_000, f"new of {box.owner}", "", visible=True))
    raise AssertionError("the pages do not end")


@settings(max_examples=300, deadline=None)
@given(
    drawn=st.lists(MAILS, min_size=1, max_size=4),
    size=st.integers(1, 6),
    failures=st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 3)), st.integers(0, 3), max_size=6),
)
def test_pages_neither_repeat_nor_hide(
    drawn: list[list[tuple[int, bool, int]]], size: int, failures: dict[tuple[int, int], int]
) -> None:
    """Whatever arrives, fails or ties meanwhile, each visible mail is told once, by itself or as a copy."""
    boxes = boxes_of(drawn)
    at_the_start = [(box.owner, mail) for box in boxes for mail in box.mails if mail.visible]

    entries = walk(boxes, size, {(page, f"user{box}"): at for (page, box), at in failures.items()})

    copies = Counter((one.owner, one.mail_id) for entry in entries for one in entry.copies)
    identities = {entry.identity for entry in entries if entry.identity}
    assert [] == [one for one, count in copies.items() if count > 1]
    hidden = [
        (owner, mail)
        for owner, mail in at_the_start
        if not copies[(owner, mail.mail_id)] and mail.identity not in identities
    ]
    assert [] == hidden


@settings(max_examples=200, deadline=None)
@given(drawn=st.lists(MAILS, min_size=1, max_size=4), size=st.integers(1, 6))
def test_order_and_copies_without_trouble(drawn: list[list[tuple[int, bool, int]]], size: int) -> None:
    """Where no mailbox is in trouble, the pages are newest first, and a mail is told once, however many got it."""
    boxes = boxes_of([list({(mail[0] // SECOND, mail[2]): mail for mail in mails}.values()) for mails in drawn])

    entries = walk(boxes, size, {})

    old = [entry for entry in entries if entry.key[0] < 50_000]
    assert sorted((entry.key[0] for entry in old), reverse=True) == [entry.key[0] for entry in old]
    shown_identities = [entry.identity for entry in entries if entry.identity]
    assert len(set(shown_identities)) == len(shown_identities)


@pytest.mark.parametrize("through", [False, True])
@pytest.mark.parametrize(("count", "told"), [(80, 80), (300, 120)])
def test_more_mails_of_one_moment_than_can_be_remembered(count: int, told: int, through: bool) -> None:
    """Pages end and tell nothing twice; of some hundred mails of one second the rest is passed over."""
    mails = [Mail(5000, f"{number:03}", "", visible=True) for number in range(count)]
    box = Box("anna", [*mails, Mail(1000, "older", "", visible=True)], through)

    entries = walk([box], 6, {})

    names = [entry.copies[0].mail_id for entry in entries]
    assert len(set(names)) == len(names)
    assert "older" in names
    assert min(count, told) * 5 / 6 <= len(names)
