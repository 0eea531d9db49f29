"""Owns what a person does with mails in the caller's own mailbox: read, star, archive, trash, hide, and back.

All of it is a change of Gmail's labels; nothing is stored but the id of the label that hides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from common.errors import BadRequest, Conflict, NotFound, RetryableConflict
from common.gmail.client import MAX_MODIFY, Gmail, open_gmail
from common.gmail.results import Label
from common.model import LABELLED, Category, Connection
from common.session import Session
from common.store.client import Lost, store

HIDDEN_LABEL: Final = "Not shared"
_TRIES: Final = 3
_NOTE_TIMEOUT_S: Final = 5.0

Action = Literal["read", "unread", "star", "unstar", "archive", "unarchive", "trash", "untrash", "hide", "unhide"]


class ModifyBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Up to 1,000 mails of the caller's. ``hide`` keeps them from colleagues, whatever is shared."""

    ids: Annotated[list[str], Meta(min_length=1, max_length=MAX_MODIFY)]
    action: Action


class LabelRow(Struct, kw_only=True):
    """A label of the mailbox. ``kind`` tells Gmail's own, the user's, and ours; ``category`` is set for the latter."""

    id: str
    name: str
    kind: Literal["system", "user", "category", "hidden"]
    category: Category | None = None


class LabelsAnswer(Struct, kw_only=True):
    labels: list[LabelRow]


@dataclass(frozen=True)
class _Change:
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


_CHANGES: Final[Mapping[str, _Change]] = {
    "read": _Change(remove=("UNREAD",)),
    "unread": _Change(add=("UNREAD",)),
    "star": _Change(add=("STARRED",)),
    "unstar": _Change(remove=("STARRED",)),
    "archive": _Change(remove=("INBOX",)),
    "unarchive": _Change(add=("INBOX",)),
    "trash": _Change(add=("TRASH",)),
    # Out of the trash means back to where it is seen, as on Gmail's own page ("Move to Inbox").
    "untrash": _Change(add=("INBOX",), remove=("TRASH",)),
}


def apply_action(session: Session, ids: list[str], action: Action) -> None:
    """Does it: for one mail 5 units, for many 50. Raises NotFound for one mail that is not there.

    Gmail says nothing of ids among many that it does not know.
    """
    if action == "hide":
        _hide(session, ids)
    elif action == "unhide":
        _unhide(session, ids)
    else:
        _change(session.gmail, ids, _CHANGES[action])


def note_hidden_label(connection: Connection) -> None:
    """Keeps the label with which mails of this mailbox were hidden before it was connected, or by another user of it.

    Raises Gmail's Problems.
    """
    if connection.hidden_label_id:
        return
    label_id = _find_hidden(open_gmail(connection, timeout_s=_NOTE_TIMEOUT_S).list_labels())
    if label_id:
        _save_label_of(connection.user_id, connection.mailbox_key, label_id)


def list_labels(session: Session) -> LabelsAnswer:
    """The labels of the caller's mailbox, ours marked. One made by hand under the name of the one that hides is it."""
    labels = session.gmail.list_labels()
    hidden_label_id = session.connection.hidden_label_id
    if hidden_label_id not in {one.label_id for one in labels} and (found := _find_hidden(labels)):
        _save_label(session, found)
        hidden_label_id = found
    return LabelsAnswer(labels=[_row(label, session.connection, hidden_label_id) for label in labels])


def _row(label: Label, connection: Connection, hidden_label_id: str) -> LabelRow:
    ours = {connection.label_ids[one]: one for one in LABELLED if one in connection.label_ids}
    kind: Literal["system", "user", "category", "hidden"] = "user" if label.own else "system"
    if label.label_id in ours:
        kind = "category"
    elif label.label_id == hidden_label_id:
        kind = "hidden"
    return LabelRow(id=label.label_id, name=label.name, kind=kind, category=ours.get(label.label_id))


def _change(gmail: Gmail, ids: list[str], change: _Change) -> None:
    if len(ids) == 1:
        gmail.modify_message(ids[0], add=change.add, remove=change.remove)
    else:
        gmail.batch_modify(ids, add=change.add, remove=change.remove)


def _hide(session: Session, ids: list[str]) -> None:
    known = session.connection.hidden_label_id
    if known:
        try:
            _change(session.gmail, ids, _Change(add=(known,)))
            return
        except (BadRequest, NotFound):
            # The user has deleted the label, or there is no such mail: which of them, the next try tells.
            pass
    label_id = _ensure_label(session)
    _save_label(session, label_id)
    _change(session.gmail, ids, _Change(add=(label_id,)))


def _unhide(session: Session, ids: list[str]) -> None:
    known = session.connection.hidden_label_id
    if not known:
        return
    try:
        _change(session.gmail, ids, _Change(remove=(known,)))
    except BadRequest:
        # A label that its user has deleted hides nothing any more.
        return


def _ensure_label(session: Session) -> str:
    """The id of the label that hides, adopted by its name or made."""
    found = _find_hidden(session.gmail.list_labels())
    if found:
        return found
    try:
        return session.gmail.create_label(HIDDEN_LABEL).label_id
    except Conflict:
        # Made by another request of the same moment, or a name that Gmail takes for the same one.
        found = _find_hidden(session.gmail.list_labels())
    if not found:
        raise RetryableConflict("label-busy")
    return found


def _find_hidden(labels: Iterable[Label]) -> str:
    named = (one.label_id for one in labels if one.own and one.name.casefold() == HIDDEN_LABEL.casefold())
    return next(named, "")


def _save_label(session: Session, label_id: str) -> None:
    """Keeps the id before any mail bears the label: for all who use this mailbox, since the mail is all of theirs."""
    mailbox_key = session.connection.mailbox_key
    for connection in store().connections.find_by_mailbox(mailbox_key):
        _save_label_of(connection.user_id, mailbox_key, label_id)


def _save_label_of(user_id: str, mailbox_key: str, label_id: str) -> None:
    for _ in range(_TRIES):
        held = store().connections.load(user_id)
        if held is None or held.value.mailbox_key != mailbox_key or held.value.hidden_label_id == label_id:
            return
        try:
            store().connections.update(held, hidden_label_id=label_id)
        except Lost:
            continue
        return
    raise RetryableConflict("connection-busy")
