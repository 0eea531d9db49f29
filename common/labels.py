"""Owns our three labels in a mailbox: their names, how they are made, adopted, healed and removed.

Labels are known by their ids, which the connection holds: a rename by the user is respected. Knows no route.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Final

from common.errors import BadRequest, Conflict, NotFound
from common.gmail.client import MAX_MODIFY, Gmail
from common.model import LABELLED, Category, Connection
from common.store.client import Before, Lost, Versioned, store

NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        Category.CLOSING_THIS_MONTH: "Closing This Month (CTM)",
        Category.OPEN_DEALS: "Open Deals",
        Category.CUSTOMERS: "Customers",
    },
    "de": {
        Category.CLOSING_THIS_MONTH: "Geschäftsabschlüsse in diesem Monat (CTM)",
        Category.OPEN_DEALS: "Offene Deals",
        Category.CUSTOMERS: "Kunden",
    },
}
# What a label is called where the user has given its name to another of ours.
_OTHER_NAME: Final = "{} (CRM)"


class LabelRefused(BadRequest):
    """Gmail makes none of our labels: the mailbox has too many, or both names are taken."""

    code = "label-refused"


def lacking(connection: Connection) -> tuple[Category, ...]:
    """The categories whose labels are not there, as far as is known."""
    return tuple(category for category in LABELLED if not connection.label_ids.get(category))


def apply_labels(connection: Versioned[Connection], gmail: Gmail, *, verify: bool = False) -> Versioned[Connection]:
    """The connection with the ids of all three labels, after those that lacked were made or adopted.

    A label made anew is put on the mail filed under it. ``verify`` looks first whether those known still exist.
    One unit to look, 5 a label, 50 for each 1,000 mails. Raises Lost where the connection has changed meanwhile, and
    LabelRefused, which the connection's health tells until labels are made.
    """
    try:
        made = _apply(connection, gmail, verify=verify)
    except LabelRefused as problem:
        _save_refusal(connection.value.user_id, problem.code)
        raise
    if made is not connection:
        _save_refusal(connection.value.user_id, "")
    return made


def _save_refusal(user_id: str, code: str) -> None:
    sync = store().syncs.load(user_id)
    if sync is not None and sync.value.labels_error != code:
        # Whatever else changes in the record meanwhile; one that has gone needs no health.
        with contextlib.suppress(Lost):
            store().syncs.patch(user_id, labels_error=code)


def _apply(connection: Versioned[Connection], gmail: Gmail, *, verify: bool) -> Versioned[Connection]:
    known = dict(connection.value.label_ids)
    if verify:
        existing = {label.label_id for label in gmail.list_labels()}
        known = {category: label_id for category, label_id in known.items() if label_id in existing}
    for category in LABELLED:
        if known.get(category):
            continue
        name = NAMES.get(connection.value.locale, NAMES["en"])[category]
        try:
            label_id = _create(gmail, name, set(known.values()))
        except LabelRefused:
            if known != connection.value.label_ids:
                store().connections.update(connection, label_ids=known)
            raise
        # Before the id is kept: who dies in between begins again, and finds the label by its name.
        _put_on(connection.value, category, label_id, gmail)
        known[category] = label_id
    if known == connection.value.label_ids:
        return connection
    return store().connections.update(connection, label_ids=known)


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


def delete_labels(connection: Versioned[Connection], gmail: Gmail) -> None:
    """Removes our labels from the mailbox; mail that was filed under them stays archived. Raises Lost."""
    for label_id in sorted(connection.value.label_ids.values()):
        with contextlib.suppress(NotFound):
            gmail.delete_label(label_id)
    store().connections.update(connection, label_ids={})
