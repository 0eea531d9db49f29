"""The two Firestores that the contract is tested on, with Google's client to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import firestore

from local import emulators
from local.clock import LocalClock
from local.faults import Faults
from local.firestore import FirestoreServer, IndexList
from local.ledger import Ledger

PROJECT = "local-project"
NO_INDEXES = '{"indexes": [], "fieldOverrides": []}'


@dataclass(frozen=True)
class Service:
    """A running Firestore of either kind: its client, and what empties it."""

    client: firestore.Client
    empty: Callable[[], None]


@dataclass(frozen=True)
class Embedded:
    """A running embedded Firestore, and what a test turns and reads."""

    server: FirestoreServer
    client: firestore.Client
    clock: LocalClock
    ledger: Ledger
    faults: Faults


@contextmanager
def running(kind: str, directory: Path, indexes: str = NO_INDEXES) -> Iterator[Service]:
    """The ``embedded`` or the ``official`` Firestore; skips, with the reason, where the latter cannot run."""
    if kind == "embedded":
        with embedded(directory, indexes) as one:
            yield Service(one.client, one.server.clear)
        return
    if missing := emulators.firestore_missing():
        pytest.skip(f"Google's Firestore emulator cannot run here: {missing}")
    with emulators.FirestoreEmulator() as emulator, _client_of(emulator.address) as client:
        yield Service(client, lambda: emulator.reset(PROJECT))


@contextmanager
def embedded(directory: Path, indexes: str = NO_INDEXES) -> Iterator[Embedded]:
    """An embedded Firestore of one's own, with these indexes."""
    path = directory / "indexes.json"
    path.write_text(indexes)
    clock, ledger, faults = LocalClock(directory / "clock"), Ledger(), Faults()
    server = FirestoreServer(clock, ledger, faults, IndexList.load(path))
    try:
        with _client_of(server.address) as client:
            yield Embedded(server, client, clock, ledger, faults)
    finally:
        server.stop()


def error_of(call: Callable[[], object]) -> str:
    """The name of the exception that Google's client raises, or "" for none."""
    try:
        call()
    except GoogleAPICallError as error:
        return type(error).__name__
    return ""


@contextmanager
def _client_of(address: str) -> Iterator[firestore.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRESTORE_EMULATOR_HOST", address)
        client = firestore.Client(project=PROJECT)
        client._firestore_api  # noqa: B018 - makes the channel while the variable stands
    try:
        yield client
    finally:
        client.close()  # type: ignore[no-untyped-call]
