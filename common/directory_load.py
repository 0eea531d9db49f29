"""Owns how the CRM fills the directory: the body of ``POST /directory``, its upserts, the end of a full load.

Every record is judged by itself (``directory_records``); what is right is written in one commit. Knows no mail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar, get_args

import msgspec
from msgspec import Struct

from common import clock
from common.auth import is_crm_id
from common.directory import HEARD_EVERY
from common.directory_records import (
    DirectoryContact,
    DirectoryDeal,
    DirectoryUser,
    OptionalId,
    RecordRefused,
    plan_contact,
    plan_deal,
    plan_user,
)
from common.errors import BadRequest, Conflict, RetryableConflict, TooLarge
from common.model import Contact, Deal, FullLoad, User
from common.store.client import Batch, Lost, Versioned, store
from common.store.directory import DirectoryRecords

D = TypeVar("D", User, Contact, Deal)

MOST_RECORDS: Final = 400
_TRIES: Final = 5
_FINISH_PAGE: Final = 300

Kind = Literal["users", "contacts", "deals"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class DirectoryBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Up to 400 records to upsert or, with ``deleted``, to delete.

    With ``full_load`` they are part of a full load of that id. ``done`` ends it: of the kinds that it named, even by an
    empty list, every record that it left out and that has not changed since it began is deleted.
    """

    users: list[DirectoryUser] | None = None
    contacts: list[DirectoryContact] | None = None
    deals: list[DirectoryDeal] | None = None
    full_load: OptionalId = ""
    done: bool = False


class UnverifiedDirectory(Struct, forbid_unknown_fields=True, kw_only=True):
    """``DirectoryBody`` as it is read: each record is parsed by itself, so that a wrong one spoils no other."""

    users: list[msgspec.Raw] | None = None
    contacts: list[msgspec.Raw] | None = None
    deals: list[msgspec.Raw] | None = None
    full_load: OptionalId = ""
    done: bool = False


class RecordResult(Struct, kw_only=True, omit_defaults=True):
    """What became of one record: its place in its list, its id where that is readable, and why it was refused."""

    kind: Kind
    index: int
    ok: bool
    id: str = ""
    code: str = ""
    detail: str = ""


class DirectoryAnswer(Struct, kw_only=True):
    """One result a record, in the order given. ``more``: repeat ``done`` until it is false."""

    results: list[RecordResult]
    more: bool = False


def apply_upsert(unverified: UnverifiedDirectory) -> DirectoryAnswer:
    """Upserts and deletes what the body states, and ends a full load where it says so.

    Who stops being a user owes a suspension from this very commit on. Raises TooLarge above 400 records, BadRequest
    for ``done`` without a load, Conflict for an unknown load, RetryableConflict where others keep writing the same
    records.
    """
    count = sum(len(getattr(unverified, kind) or ()) for kind in KINDS)
    if count > MOST_RECORDS:
        raise TooLarge("too-many-records", f"at most {MOST_RECORDS} records are taken at a time")
    if unverified.full_load and not is_crm_id(unverified.full_load):
        raise BadRequest("invalid-body", "full_load is not an id")
    if unverified.done and not unverified.full_load:
        raise BadRequest("full-load-missing", "done ends a full load: name it in full_load")
    results: list[RecordResult] = []
    if any(getattr(unverified, kind) is not None for kind in KINDS):
        results = _repeat(lambda: _apply_records(unverified))
    more = unverified.done and _finish_full_load(unverified.full_load)
    return DirectoryAnswer(results=results, more=more)


def _repeat(attempt: Callable[[], list[RecordResult]]) -> list[RecordResult]:
    for _ in range(_TRIES):
        try:
            return attempt()
        except Lost:
            continue
    raise RetryableConflict("directory-busy", "others are writing the same records")


@dataclass
class _Change(Generic[D]):
    """One id's way through a call: as it was read, and as it is to be."""

    record_id: str
    known: Versioned[D] | None
    planned: D | None = None
    is_named: bool = False

    @property
    def current(self) -> D | None:
        return self.planned if self.planned is not None else self.known.value if self.known else None


@dataclass(frozen=True)
class _Upserter(Generic[D]):
    """What differs between users, contacts and deals."""

    kind: Kind
    form: Any
    records: DirectoryRecords[D]
    plan: Callable[[Any, D | None, datetime], D | None]

    def apply(self, unverified_records: Iterable[msgspec.Raw], now: datetime) -> tuple[list[RecordResult], list[Any]]:
        """The results in order, and the changes planned; nothing is written yet."""
        items = [(raw, _read_id(raw)) for raw in unverified_records]
        known = self.records.load_many({record_id for _, record_id in items if record_id})
        changes = {record_id: _Change(record_id, known.get(record_id)) for _, record_id in items if record_id}
        results = [
            self._judge(index, raw, record_id, changes.get(record_id), now)
            for index, (raw, record_id) in enumerate(items)
        ]
        return results, list(changes.values())

    def _judge(
        self, index: int, raw: msgspec.Raw, record_id: str, change: _Change[D] | None, now: datetime
    ) -> RecordResult:
        try:
            given = msgspec.json.decode(raw, type=self.form)
            planned = self.plan(given, change.current if change else None, now)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return RecordResult(
                kind=self.kind, index=index, ok=False, id=record_id, code="invalid-record", detail=_describe(error)
            )
        except RecordRefused as refused:
            return RecordResult(
                kind=self.kind, index=index, ok=False, id=record_id, code=refused.code, detail=refused.detail
            )
        if change is not None and planned is not None:
            change.planned = planned
        return RecordResult(kind=self.kind, index=index, ok=True, id=record_id)

    def write(self, change: _Change[D], load_id: str, now: datetime, batch: Batch) -> None:
        """Puts what the change comes to into the batch: the record, its quiet fields alone, or nothing."""
        known, current = change.known, change.current
        if current is None:
            return
        planned = replace(current, full_load=load_id or current.full_load)
        if known is None:
            self.records.create(planned, batch)
        elif not _is_same(planned, known.value):
            self.records.replace(known, planned, batch)
        else:
            quiet = _quiet_changes(planned, known.value, now)
            if quiet:
                # ``updated_at`` stays: the dispatch is to see changes only.
                self.records.patch(change.record_id, batch=batch, **quiet)


def _upserters() -> dict[str, _Upserter[Any]]:
    s = store()
    return {
        "users": _Upserter("users", DirectoryUser, s.users, plan_user),
        "contacts": _Upserter("contacts", DirectoryContact, s.contacts, plan_contact),
        "deals": _Upserter("deals", DirectoryDeal, s.deals, plan_deal),
    }


class _Named(Struct):
    id: str = ""


def _read_id(raw: msgspec.Raw) -> str:
    try:
        named = msgspec.json.decode(raw, type=_Named)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return named.id if is_crm_id(named.id) else ""


def _describe(error: Exception) -> str:
    # msgspec may quote the offending value: the place and the expectation are enough.
    return re.sub(r"'[^']*'", "…", str(error))


def _is_same(planned: User | Contact | Deal, known: User | Contact | Deal) -> bool:
    quiet: dict[str, Any] = {"full_load": known.full_load, "updated_at": known.updated_at}
    if isinstance(known, User):
        quiet["heard_at"] = known.heard_at
    return replace(planned, **quiet) == known


def _quiet_changes(planned: User | Contact | Deal, known: User | Contact | Deal, now: datetime) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if planned.full_load != known.full_load:
        changes["full_load"] = planned.full_load
    if isinstance(known, User) and (known.heard_at is None or now - known.heard_at >= HEARD_EVERY):
        changes["heard_at"] = now
    return changes


def _apply_records(unverified: UnverifiedDirectory) -> list[RecordResult]:
    now = clock.now()
    results: list[RecordResult] = []
    upserters = _upserters()
    with store().batch() as batch:
        if unverified.full_load:
            _note_full_load(unverified, now, batch)
        for kind in KINDS:
            judged, changes = upserters[kind].apply(getattr(unverified, kind) or (), now)
            results += judged
            for change in changes:
                upserters[kind].write(change, unverified.full_load, now, batch)
    return results


def _note_full_load(unverified: UnverifiedDirectory, now: datetime, batch: Batch) -> None:
    held = store().full_loads.load_state()
    named = {kind for kind in KINDS if getattr(unverified, kind) is not None}
    if held.value.load_id != unverified.full_load:
        load = FullLoad(load_id=unverified.full_load, started_at=now, kinds=tuple(sorted(named)))
        store().full_loads.replace(held, load, batch)
    elif held.value.ended_at is not None:
        # Its marks are on records already: a second load of this id could not tell what it left out.
        raise Conflict("full-load-ended", "this full load has ended: the next one needs an id of its own")
    elif not named.issubset(held.value.kinds):
        store().full_loads.update(held, batch, kinds=tuple(sorted(named.union(held.value.kinds))))


def _finish_full_load(load_id: str) -> bool:
    """Whether there is more to delete."""
    held = store().full_loads.load_state()
    load = held.value
    if load.load_id != load_id or load.started_at is None:
        raise Conflict("full-load-unknown", "no full load of this id has begun, or a later one has")
    try:
        more = _delete_unnamed(load, load.started_at)
        if not more and load.ended_at is None:
            store().full_loads.update(held, ended_at=clock.now())
    except Lost:
        return True
    return more


def _delete_unnamed(load: FullLoad, started_at: datetime) -> bool:
    now, left = clock.now(), _FINISH_PAGE
    upserters = _upserters()
    with store().batch() as batch:
        for kind in load.kinds:
            upserter = upserters[kind]
            found = upserter.records.named_by_others(load.load_id, left) if left else []
            left -= len(found)
            changes = [_plan_unnamed(upserter, one, started_at, now) for one in found]
            for change in changes:
                upserter.write(change, load.load_id, now, batch)
    return left == 0


def _plan_unnamed(upserter: _Upserter[Any], found: Versioned[Any], started_at: datetime, now: datetime) -> _Change[Any]:
    value = found.value
    change = _Change(upserter.records.id_of(value), found)
    # What was written since the load began may be newer than the load: it is only noted as seen.
    if not value.deleted and (value.updated_at is None or value.updated_at < started_at):
        change.planned = upserter.plan(upserter.form(id=change.record_id, deleted=True), value, now)
    return change
