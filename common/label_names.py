"""Owns what our three labels are called, which of them a mailbox lacks, and which Gmail refuses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from common.model import LABELLED, Category, Connection, Sync

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


def name_of(category: Category, language: str) -> str:
    """What the label of the category is called in a language; in English where there is no such name."""
    return NAMES.get(language, NAMES["en"])[category]


def lacking(connection: Connection) -> tuple[Category, ...]:
    """The categories whose labels are not there, as far as is known."""
    return tuple(category for category in LABELLED if not connection.label_ids.get(category))


def refused(connection: Connection, sync: Sync | None) -> tuple[Category, ...]:
    """The categories for which Gmail makes no label; none where labels are off, or were not tried yet."""
    if not connection.labels or sync is None or sync.generation != connection.generation or not sync.labels_error:
        return ()
    return lacking(connection)
