"""Owns what users see and do about sweeps: what the next would do, what the last ones did, undo, the release of a pin.

What a sweep itself does is ``sweep``'s. Knows no route.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final, Literal

from msgspec import Struct, field

from common import clock
from common.errors import Conflict, NotFound, RetryableConflict
from common.filing import PIECE, TRIES, Filer, drained, filing_for, pin
from common.gmail.client import Gmail
from common.history import INBOX
from common.label_names import lacking, refused
from common.labels import LabelRefused
from common.lazy import firestore
from common.magnet import Magnet, running
from common.model import IN_INBOX, LABELLED, OUTSIDE, Category, Connection, Move, Notice, Sender, Sweep, Work
from common.noticing import For, files_labels, our_labels
from common.paging import parse_page, seal_page
from common.store.client import Context, Lost, Versioned, store
from common.sweep import NOTICES_PAGE, Decisions, Page, load_pages
from common.sweep_plan import Plan, plan_possible

_SENDERS_PAGE: Final = 1000
_SWEEPS_PAGE: Final = 20
_THROWN_AWAY: Final = frozenset({"SPAM", "TRASH"})

Place = Literal["inbox", "outside", "closing_this_month", "open_deals", "customers"]


class SweepMove(Struct, kw_only=True):
    """One mail's step, from a place to a place."""

    mail_id: str
    source: Place = field(name="from")
    target: Place = field(name="to")


class PreviewAnswer(Struct, kw_only=True):
    """What the next sweep would do. ``more``: there are more mails than are listed here."""

    moves: list[SweepMove]
    counts: dict[Place, int]
    more: bool = False


class SweepEntry(Struct, kw_only=True):
    """What one sweep did."""

    id: str
    at: datetime
    moves: list[SweepMove]
    counts: dict[Place, int]
    undone_at: datetime | None = None


class SweepsQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    page_token: str = ""


class SweepsAnswer(Struct, kw_only=True):
    """The last sweeps, newest first."""

    sweeps: list[SweepEntry]
    next_page_token: str = ""


class UndoAnswer(Struct, kw_only=True):
    """How many mails went back to where they were, and how many stay where somebody has put them since."""

    restored: int
    kept: int


def place_of(filed: str) -> Place:
    """The place that ``Notice.filed`` names, in the word that users read."""
    if filed in LABELLED:
        return Category(filed).value  # type: ignore[return-value]
    return "outside" if filed == OUTSIDE else "inbox"


def preview(context: Context, gmail: Gmail) -> PreviewAnswer:
    """What the next sweep would do with what is known now: the mail that lies unfiled, and what follows a category.

    Costs a drain, two units, and changes nothing in the mailbox. Raises Conflict where labels are off,
    RetryableConflict where MailMagnet has not come to the end of the history.
    """
    if filing_for(context) is None or running(context) is None:
        raise Conflict("labels-off", "labels and MailMagnet must be on")
    current = drained(context, gmail)
    whose = filing_for(current) if current else None
    if whose is None:
        raise _busy()
    decisions = Decisions(whose, clock.today(whose.policy.time_zone))
    senders = _load_senders(whose.connection)
    decisions.load(sender.address for sender in senders)
    moved = [one.address for one in senders if decisions.category(one.address) != one.category]
    page = next(load_pages(whose.connection, moved), [])
    decisions.load(notice.value.from_address for notice in page)
    sync = current.sync.value if current and current.sync else None
    planned, _ = plan_possible(decisions.plan(notice.value for notice in page), refused(whose.connection, sync))
    moves = _shown(planned.moves)
    return PreviewAnswer(moves=moves, counts=_counts(moves), more=len(page) >= NOTICES_PAGE)


def _load_senders(connection: Connection) -> list[Sender]:
    found: list[Sender] = []
    after = ""
    while True:
        page = store().senders.all_of(connection.user_id, after=after, limit=_SENDERS_PAGE)
        found += [sender for sender in page if sender.mailbox_key == connection.mailbox_key]
        if len(page) < _SENDERS_PAGE:
            return found
        after = page[-1].address


def _shown(moves: Iterable[Move]) -> list[SweepMove]:
    return [SweepMove(mail_id=one.mail_id, source=place_of(one.source), target=place_of(one.target)) for one in moves]


def _counts(moves: Iterable[SweepMove]) -> dict[Place, int]:
    return dict(Counter(move.target for move in moves))


def list_sweeps(connection: Connection, page_token: str = "") -> SweepsAnswer:
    """The sweeps of the connection's mailbox, newest first. Raises BadRequest for a foreign token."""
    bound = ("sweeps", connection.user_id, connection.mailbox_key)
    position: str | None = parse_page(page_token, *bound)
    before = datetime.fromisoformat(position) if position else None
    found = store().sweeps.page(connection.user_id, connection.mailbox_key, before=before, limit=_SWEEPS_PAGE)
    token = seal_page(found[-1].value.at.isoformat(), *bound) if len(found) == _SWEEPS_PAGE else ""
    return SweepsAnswer(sweeps=[_entry(held.value) for held in found], next_page_token=token)


def _entry(held: Sweep) -> SweepEntry:
    moves = _shown(held.moves)
    return SweepEntry(id=held.sweep_id, at=held.at, moves=moves, counts=_counts(moves), undone_at=held.undone_at)


def undo(context: Context, gmail: Gmail, sweep_id: str) -> UndoAnswer:
    """Puts each mail of a sweep back to where it was, where nothing has moved it since, and pins it there.

    Costs two drains and 50 for each place and 1,000 mails; doing it again moves nothing more. Raises NotFound,
    Conflict where MailMagnet is off, RetryableConflict where the mailbox is busy.
    """
    if (magnet := running(context)) is None:
        raise Conflict("mailmagnet-required", "undoing a sweep needs MailMagnet")
    connection = magnet.connection
    held = store().sweeps.load(connection.user_id, sweep_id)
    if held is None or held.value.mailbox_key != connection.mailbox_key:
        raise NotFound
    current = drained(context, gmail)
    if current is None or current.connection is None:
        raise _busy()
    try:
        restored = _restore(held.value, current.connection, magnet, gmail)
        store().sweeps.update(held, undone_at=held.value.undone_at or clock.now())
    except Lost:
        raise _busy() from None
    return UndoAnswer(restored=restored, kept=len(held.value.moves) - restored)


def _restore(held: Sweep, connection: Versioned[Connection], magnet: Magnet, gmail: Gmail) -> int:
    """Moves back and pins; returns how many mails lie where they were before the sweep. Raises Lost."""
    user_id = connection.value.user_id
    former = {move.mail_id: move for move in held.moves}
    filer = Filer(connection, magnet.whose.policy, gmail, keep_record=False)
    notices = _load_notices(user_id, list(former))
    back_to = {move.target for move in plan_undo(former, (notice.value for notice in notices)).moves}
    filer.heal(verify=not back_to.isdisjoint(LABELLED))
    if not back_to.isdisjoint(lacking(filer.connection.value)):
        # All of it or nothing: what is left would never be put back.
        raise LabelRefused
    filer.file(notices, partial(plan_undo, former))
    if not filer.is_complete or filer.is_busy:
        raise Lost
    if filer.moved and drained(store().load_context(user_id), gmail) is None:
        # Read before the pins: a hand that came before our step is told from it by the intents alone.
        raise Lost
    back = [
        notice.value.mail_id
        for notice in _load_notices(user_id, list(former))
        if (notice.value.intent or notice.value.filed) == _former_place(former[notice.value.mail_id])
    ]
    if not pin(user_id, back):
        raise Lost
    return len(back)


def _load_notices(user_id: str, ids: list[str]) -> Page:
    found: Page = []
    for start in range(0, len(ids), PIECE):
        found += store().notices.load_many(user_id, ids[start : start + PIECE]).values()
    return found


def plan_undo(former: Mapping[str, Move], notices: Iterable[Notice]) -> Plan:
    """The moves back: of what lies where the sweep put it, or is on its way there, and of what an undo had begun."""
    moves: list[Move] = []
    for notice in notices:
        move = former[notice.mail_id]
        back = _former_place(move)
        is_there = notice.intent == move.target or (notice.filed == move.target and not notice.intent)
        if not notice.pinned and (is_there or notice.intent == back):
            moves.append(Move(mail_id=notice.mail_id, source=notice.filed, target=back))
    return Plan(tuple(moves))


def _former_place(move: Move) -> str:
    return move.source if move.source in LABELLED else Category.NONE.value


def release_pin(context: Context, gmail: Gmail, mail_id: str) -> None:
    """Lets the sweep have a mail again, from where it lies now; nothing happens to one that is not pinned.

    Costs a drain and a get. Raises NotFound without a notice, or where the mail is gone; Conflict where it lies in the
    trash or spam, or MailMagnet is off; RetryableConflict where the mailbox is busy.
    """
    if (magnet := running(context)) is None:
        raise Conflict("mailmagnet-required", "pins are MailMagnet's")
    # What hands have done so far is taken note of first: read later, it would pin the mail again.
    if drained(context, gmail) is None:
        raise _busy()
    for _ in range(TRIES):
        held = store().notices.load(magnet.connection.user_id, mail_id)
        if held is None or held.value.mailbox_key != magnet.connection.mailbox_key:
            raise NotFound
        if not held.value.pinned:
            return
        labels = frozenset(gmail.fetch_message(mail_id, format="minimal", fields="labelIds").get("labelIds", ()))
        if not labels.isdisjoint(_THROWN_AWAY):
            raise Conflict("mail-thrown-away", "the mail lies in the trash or in spam")
        with suppress(Lost):
            _save_release(held, plan_place(held.value, labels, magnet.connection), magnet.whose)
            return
    raise _busy()


def plan_place(notice: Notice, label_ids: frozenset[str], connection: Connection) -> str:
    """Where a mail with these labels lies, as in ``Notice.filed``; kept out of the inbox it stays only by a filter."""
    ours = our_labels(connection)
    for label_id in sorted(label_ids & ours.keys()):
        return ours[label_id].value
    return OUTSIDE if notice.filed == OUTSIDE and INBOX not in label_ids else IN_INBOX


def _save_release(held: Versioned[Notice], filed: str, whose: For) -> None:
    user_id = whose.connection.user_id
    with store().batch() as batch:
        store().notices.update(held, batch, pinned=False, intent="", filed=filed)
        # Whatever the mail's sender was settled as: this mail is to be looked at again.
        store().senders.patch(user_id, held.value.from_address, batch=batch, category="")
        store().syncs.patch(user_id, batch=batch, notices_version=firestore.Increment(1))
        if files_labels(whose):
            work = Work(user_id=user_id, due_at=clock.now(), generation=whose.connection.generation)
            store().work.save(work, batch=batch)


def _busy() -> RetryableConflict:
    return RetryableConflict("mailbox-busy", "the mailbox changes just now: try again in a minute")
