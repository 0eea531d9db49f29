"""Owns our three labels in a mailbox: how they are made, adopted and healed.

Labels are known by their ids, which the connection holds: a rename by the user is respected. Knows no route.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Final

from common.errors import BadRequest, Conflict
from common.gmail.client import MAX_MODIFY, Gmail
from common.label_names import name_of
from common.model import LABELLED, Category, Connection
from common.store.client import Before, Lost, Versioned, store

# What a label is called where the user has given its name to another of ours.
_OTHER_NAME: Final = "{} (CRM)"


class LabelRefused(BadRequest):
    """Gmail makes a label of ours not: the mailbox has too many, or both names are taken."""

    code = "label-refused"


def apply_labels(connection: Versioned[Connection], gmail: Gmail, *, verify: bool = False) -> Versioned[Connection]:
    """The connection with the ids of our labels, after those that lacked were made or adopted.

    A label made anew is put on the mail filed under it. One that Gmail refuses keeps none of the others from being
    made, and the connection's health tells until it is. ``verify`` looks first whether those known still exist. One
    unit to look, 5 a label, 50 for each 1,000 mails. Raises Lost where the connection has changed meanwhile.
    """
    known = dict(connection.value.label_ids)
    if verify:
        existing = {label.label_id for label in gmail.list_labels()}
        known = {category: label_id for category, label_id in known.items() if label_id in existing}
    error = ""
    for category in LABELLED:
        if known.get(category):
            continue
        try:
            label_id = _create(gmail, name_of(category, connection.value.locale), set(known.values()))
        except LabelRefused as problem:
            error = problem.code
            continue
        # Before the id is kept: who dies in between begins again, and finds the label by its name.
        _put_on(connection.value, category, label_id, gmail)
        known[category] = label_id
    made = connection
    if known != connection.value.label_ids:
        made = store().connections.update(connection, label_ids=known)
    if error or made is not connection:
        _save_error(connection.value.user_id, error)
    return made


def _save_error(user_id: str, code: str) -> None:
    sync = store().syncs.load(user_id)
    if sync is not None and sync.value.labels_error != code:
        # Whatever else changes in the record meanwhile; one that has gone needs no health.
        with contextlib.suppress(Lost):
            store().syncs.patch(user_id, labels_error=code)


def _create(gmail: Gmail, name: str, others: Collection[str]) -> str:
    """A label of this name, made or adopted; never one of ``others``, which the user may have renamed so."""
    for wanted in (name, _OTHER_NAME.format(name)):
        try:
            return gmail.create_label(wanted).label_id
        except Conflict:
            pass
        except BadRequest as refusal:
            raise LabelRefused from refusal
        found = _find(gmail, wanted)
        if found and found not in others:
            return found
    raise LabelRefused


def _find(gmail: Gmail, name: str) -> str:
    wanted = _comparable(name)
    named = (label.label_id for label in gmail.list_labels() if label.own and _comparable(label.name) == wanted)
    return next(named, "")


def _comparable(name: str) -> str:
    # Gmail keeps names apart neither by case nor a nested label's slash from a hyphen (users.labels.create, 409).
    return name.strip().casefold().replace("/", "-")


def _put_on(connection: Connection, category: Category, label_id: str, gmail: Gmail) -> None:
    before: Before | None = None
    while True:
        page = store().notices.filed_under(
            connection.user_id, connection.mailbox_key, category, before=before, limit=MAX_MODIFY
        )
        if page:
            gmail.batch_modify([notice.value.mail_id for notice in page], add=[label_id])
            before = Before(page[-1].value.received_at, page[-1].value.mail_id)
        if len(page) < MAX_MODIFY:
            return
