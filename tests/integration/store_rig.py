"""Runs the store on the embedded Firestore and on Google's emulator, so that tests can hold both to one contract."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from common import clock
from common.config import config
from common.directory import directory
from common.keys import keys
from common.store.client import Store, store
from local.clock import LocalClock
from local.emulators import FirestoreEmulator, firestore_missing
from local.faults import Faults
from local.firestore import FirestoreServer, IndexList
from local.ledger import Ledger

BACKENDS = ["embedded", pytest.param("official", marks=pytest.mark.emulator)]
_CACHES = (config, keys, store, directory)


@dataclass
class Backend:
    """A running Firestore. ``ledger`` and ``faults`` are the embedded one's."""

    server: FirestoreServer | FirestoreEmulator
    clock: LocalClock
    ledger: Ledger
    faults: Faults

    def reads(self, mark: int) -> int:
        """How many documents were read since ``mark``."""
        calls = self.ledger.since(mark, service="firestore")
        return sum(call.units for call in calls if call.method.endswith(".read"))

    def writes(self, mark: int) -> int:
        """How many documents were written since ``mark``."""
        calls = self.ledger.since(mark, service="firestore")
        return sum(call.units for call in calls if call.method.endswith(".write"))

    def calls(self, mark: int) -> list[str]:
        """The calls since ``mark``, in order."""
        return [call.method for call in self.ledger.since(mark, service="firestore")]


@contextmanager
def started(kind: str, folder: Path) -> Iterator[Backend]:
    """One Firestore, as long as the block lasts; the official one skips loudly where it is not installed."""
    local_clock, ledger, faults = LocalClock(folder / "clock"), Ledger(), Faults()
    server: FirestoreServer | FirestoreEmulator
    if kind == "embedded":
        indexes = IndexList.load("common/store/indexes.json")
        server = FirestoreServer(local_clock, ledger, faults, indexes)
    elif firestore_missing():
        pytest.skip(f"Firestore's official emulator is not here: {firestore_missing()}")
    else:
        server = FirestoreEmulator()
    try:
        yield Backend(server, local_clock, ledger, faults)
    finally:
        server.stop()


def open_store(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The product's own store, on an emptied ``backend``."""
    if isinstance(backend.server, FirestoreServer):
        backend.server.clear()
    else:
        backend.server.reset()
    backend.faults.clear()
    monkeypatch.setenv("PROJECT_ID", "local-project")
    monkeypatch.setenv("REGION", "europe-west1")
    monkeypatch.setenv("HMAC_KEY", base64.b64encode(b"h" * 32).decode())
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", backend.server.address)
    monkeypatch.setattr(clock, "_OFFSET_FILE", str(backend.clock.offset_file))
    close_store()
    return store()


def close_store() -> None:
    """Forgets what the process keeps, so that the next test begins anew."""
    for cached in _CACHES:
        cached.cache_clear()
