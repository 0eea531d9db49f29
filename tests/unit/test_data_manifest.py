"""The data manifest lists every field that code stores, sends into a queue or logs, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore

from common import log, secrets, tasks
from common.store import codec
from common.store.client import Store
from common.store.people import Audit
from common.store.records import Collection, Owned

MANIFEST = Path("docs/data-manifest.md")
INDEXES = Path("common/store/indexes.json")


def parse_manifest(text: str) -> dict[str, dict[str, tuple[str, str]]]:
    """What the tables say: by their heading and field, what for and how long."""
    tables: dict[str, dict[str, tuple[str, str]]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("### "):
            heading = line.removeprefix("### ")
            tables[heading] = {}
        row = re.fullmatch(r"\| `([\w.]+)` \| (.*) \| (.*) \|", line)
        if row:
            tables[heading][row[1]] = (row[2], row[3])
    return tables


def collections_of(records: Store) -> dict[str, Collection[Any]]:
    """The store's collections by the beginning of their documents' paths."""
    found: dict[str, Collection[Any]] = {}
    for one in vars(records).values():
        collection = one._records if isinstance(one, Audit) else one
        if isinstance(collection, Owned):
            found[f"connections/{{user_id}}/{collection._name}/"] = collection
        elif isinstance(collection, Collection):
            document = getattr(collection, "_document", "")
            found[f"{collection._name}/{document}"] = collection
    return found


def section(tables: Mapping[str, Any], prefix: str) -> str:
    """The heading of the table for the documents whose paths begin with ``prefix``; the shortest that does."""
    return min((one for one in tables if one.startswith(prefix)), key=len, default="")


@pytest.fixture(scope="module")
def tables() -> dict[str, dict[str, tuple[str, str]]]:
    return parse_manifest(MANIFEST.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def collections() -> dict[str, Collection[Any]]:
    client = firestore.Client(project="local-project", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    return collections_of(Store(client))


def test_every_document_has_its_table(
    tables: dict[str, dict[str, Any]], collections: dict[str, Collection[Any]]
) -> None:
    """Each collection of the store has a table with exactly the fields that are written."""
    listed = {prefix: frozenset(tables.get(section(tables, prefix), {})) for prefix in collections}

    assert {prefix: codec.stored_fields(one._kind) for prefix, one in collections.items()} == listed


def test_every_table_is_of_something(
    tables: dict[str, dict[str, Any]], collections: dict[str, Collection[Any]]
) -> None:
    """No table is of a collection, secret, task or log that does not exist."""
    others = {"secrets/gmail-{hash}", "tasks/{hash}", "log"}

    assert others | {section(tables, prefix) for prefix in collections} == tables.keys()


def test_secrets_tasks_and_logs_are_listed(tables: dict[str, dict[str, Any]]) -> None:
    """Labels of secrets, payloads of tasks and fields of the log are those of the code."""
    assert secrets._LABELS.keys() == tables["secrets/gmail-{hash}"].keys()
    assert tasks.PAYLOAD_FIELDS == tables["tasks/{hash}"].keys()
    assert log.FIELDS | {"severity", "time", "event"} == tables["log"].keys()


def test_every_field_says_what_for_and_how_long(tables: dict[str, dict[str, tuple[str, str]]]) -> None:
    """No row is left half empty."""
    assert [] == [
        (heading, field)
        for heading, rows in tables.items()
        for field, (what_for, how_long) in rows.items()
        if not what_for.strip() or not how_long.strip()
    ]


def test_what_expires_has_a_policy(collections: dict[str, Collection[Any]]) -> None:
    """Each type with ``expires_at`` has a TTL policy in the one list of indexes, and no other has."""
    overrides = json.loads(INDEXES.read_text(encoding="utf-8"))["fieldOverrides"]
    policies = {(one["collectionGroup"], one["fieldPath"]) for one in overrides if one.get("ttl")}

    expiring = {one._name for one in collections.values() if "expires_at" in codec.stored_fields(one._kind)}
    assert {(name, "expires_at") for name in expiring} == policies


def test_the_list_of_indexes_names_fields_that_exist(collections: dict[str, Collection[Any]]) -> None:
    """An index or exemption of a field that is not stored would be a slip."""
    stored: dict[str, set[str]] = {}
    for one in collections.values():
        stored.setdefault(one._name, set()).update(codec.stored_fields(one._kind))
    declared = json.loads(INDEXES.read_text(encoding="utf-8"))
    named = [(one["collectionGroup"], one["fieldPath"]) for one in declared["fieldOverrides"]]
    for index in declared["indexes"]:
        named += [(index["collectionGroup"], entry["fieldPath"]) for entry in index["fields"]]

    assert [] == [(group, name) for group, name in named if name not in stored.get(group, set())]
