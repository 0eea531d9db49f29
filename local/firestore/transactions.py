"""Optimistic transactions: what each has read, and whether that still holds when it commits.

Google's are pessimistic by default (a reader locks, others wait); what a client can see is the same, ABORTED where two
collide, but here it is the reader that loses, and nobody waits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import grpc

from local.firestore import queries
from local.firestore.documents import Document, Documents
from local.firestore.errors import FirestoreError, invalid
from local.firestore.plans import Query

IDLE_TIMEOUT = timedelta(seconds=60)  # https://cloud.google.com/firestore/quotas, with the longest duration
LONGEST = timedelta(seconds=270)


@dataclass
class Transaction:
    """What was read so far: documents by name with their version (0: missing), queries with what they found."""

    begun: datetime
    used: datetime
    versions: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[Query, frozenset[tuple[str, int]]]] = field(default_factory=list)

    def note_document(self, name: str, document: Document | None) -> None:
        """Remembers what was read first: a later change shows at the commit, where clients expect it and try again."""
        self.versions.setdefault(name, document.version if document else 0)

    def note_query(self, query: Query, found: list[Document]) -> None:
        self.asked.append((query, _fingerprint(found)))

    def verify(self, documents: Documents) -> None:
        """Raises ABORTED unless all that was read is still so."""
        for name, version in self.versions.items():
            document = documents.get(name)
            if (document.version if document else 0) != version:
                raise _conflict()
        for query, found in self.asked:
            if _fingerprint(queries.run(documents, query).found) != found:
                raise _conflict()


class Transactions:
    """The open transactions by id. Callers hold the documents' lock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._open: dict[bytes, Transaction] = {}
        self._known: set[bytes] = set()
        self._numbers = itertools.count(1)

    def begin(self) -> bytes:
        """The id of a new transaction."""
        self._forget_idle()
        name = next(self._numbers).to_bytes(8, "big")
        now = self._now()
        self._open[name] = Transaction(now, now)
        self._known.add(name)
        return name

    def get(self, name: bytes) -> Transaction:
        """The open transaction. Raises INVALID_ARGUMENT where it was closed, has expired, or never was."""
        self._forget_idle()
        if name not in self._open:
            known = name in self._known
            raise invalid(
                "The referenced transaction has expired or is no longer valid." if known else "Invalid transaction."
            )
        self._open[name].used = self._now()
        return self._open[name]

    def close(self, name: bytes) -> None:
        """Forgets the transaction; one that was closed before too. Raises INVALID_ARGUMENT where it never was."""
        if name not in self._known:
            raise invalid("Invalid transaction.")
        self._open.pop(name, None)

    def clear(self) -> None:
        self._open.clear()

    def _forget_idle(self) -> None:
        now = self._now()
        for name, one in list(self._open.items()):
            if now - one.used > IDLE_TIMEOUT or now - one.begun > LONGEST:
                del self._open[name]


def _fingerprint(found: list[Document]) -> frozenset[tuple[str, int]]:
    return frozenset((document.name, document.version) for document in found)


def _conflict() -> FirestoreError:
    return FirestoreError(grpc.StatusCode.ABORTED, "Too much contention on these documents. Please try again.")
