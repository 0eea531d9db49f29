"""Owns writing: atomic batches with preconditions. ``Lost`` says that a precondition failed. Knows no collection.

No transaction is used anywhere: its loser waits, and one left behind blocks its documents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from common import clock
from common.errors import empty_frames
from common.lazy import firestore, google_errors, google_retry

if TYPE_CHECKING:
    from google.api_core.retry import Retry

T = TypeVar("T")

CALL_TIMEOUT_S: Final = 10.0


@cache
def _ambiguous() -> tuple[type[Exception], ...]:
    """After these nobody knows whether something was written."""
    return (google_errors.ServiceUnavailable, google_errors.DeadlineExceeded, google_errors.InternalServerError)


@cache
def read_retry() -> Retry:
    """How reads are tried again."""
    predicate = google_retry.if_exception_type(*_ambiguous())
    return google_retry.Retry(predicate=predicate, initial=0.1, maximum=2.0, timeout=CALL_TIMEOUT_S)


class Lost(Exception):
    """A precondition failed: somebody was faster, or the record is gone. Nothing of the batch was written."""


@dataclass
class Versioned(Generic[T]):
    """A record and the version in which it was read or written; None as a version is "not stored (yet)".

    What a write returns gets its version when the batch commits.
    """

    value: T
    version: datetime | None = None
    path: str = ""


@dataclass(frozen=True)
class Write:
    """One write of a batch. ``expires`` tells that the record's type expires: an expired one may be created anew."""

    action: Literal["create", "set", "merge", "update", "delete"]
    reference: firestore.DocumentReference
    data: dict[str, Any]
    version: datetime | None = None
    expires: bool = False
    result: Versioned[Any] | None = None


class Batch:
    """Writes that are committed together or not at all. As a context manager: when its block ends without an error."""

    def __init__(self, client: firestore.Client) -> None:
        self._client = client
        self._writes: list[Write] = []

    def __len__(self) -> int:
        return len(self._writes)

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()

    def add(self, write: Write) -> None:
        """Puts one more write into the batch."""
        self._writes.append(write)

    def commit(self) -> None:
        """Writes everything, or nothing. Raises Lost, or GoogleAPICallError and RetryError where Firestore fails."""
        writes, self._writes = self._writes, []
        if not writes:
            return
        try:
            results = self._send(writes)
        except Lost as lost:
            is_taken = isinstance(lost.__cause__, google_errors.AlreadyExists)
            replacing = self._over_expired(writes) if is_taken else None
            if replacing is None:
                raise
            results = self._send(replacing)
        for write, result in zip(writes, results, strict=True):
            if write.result is not None:
                write.result.version = as_version(result.update_time)

    def _send(self, writes: list[Write]) -> list[Any]:
        doubts: list[Exception] = []

        def note(error: Exception) -> None:
            if isinstance(error, _ambiguous()):
                doubts.append(error)

        retry = google_retry.Retry(
            predicate=google_retry.if_exception_type(
                google_errors.ServiceUnavailable, google_errors.ResourceExhausted, google_errors.Aborted
            ),
            initial=0.1,
            maximum=2.0,
            timeout=CALL_TIMEOUT_S,
            on_error=note,
        )
        collected = self._client.batch()
        for write in writes:
            _collect(self._client, collected, write)
        try:
            return list(collected.commit(retry=retry, timeout=CALL_TIMEOUT_S))
        except (google_errors.AlreadyExists, google_errors.NotFound, google_errors.FailedPrecondition) as error:
            # The libraries' frames know their error, and would keep the caller's, and its mail, for a while.
            empty_frames(error)
            if doubts:
                # An earlier try may have been the one that won: only the caller's next read can tell.
                raise doubts[-1] from None
            raise Lost from error

    def _over_expired(self, writes: list[Write]) -> list[Write] | None:
        # Firestore removes what has expired within a day or so; until then a name is taken by what nobody sees.
        created = {write.reference.path: write for write in writes if write.action == "create" and write.expires}
        if not created:
            return None
        references = [write.reference for write in created.values()]
        over: dict[str, Write] = {}
        for snapshot in self._client.get_all(references, ["expires_at"], retry=read_retry(), timeout=CALL_TIMEOUT_S):
            if not snapshot.exists:
                continue
            if not is_expired(snapshot.to_dict() or {}):
                return None
            path = snapshot.reference.path
            over[path] = replace(created[path], action="update", version=snapshot.update_time)
        if not over:
            return None
        return [over.get(write.reference.path, write) if write.action == "create" else write for write in writes]


def _collect(client: firestore.Client, collected: firestore.WriteBatch, write: Write) -> None:
    option = client.write_option(last_update_time=write.version) if write.version is not None else None
    match write.action:
        case "create":
            collected.create(write.reference, write.data)
        case "set":
            collected.set(write.reference, write.data)
        case "merge":
            collected.set(write.reference, write.data, merge=True)
        case "update":
            collected.update(write.reference, write.data, option=option)
        case "delete":
            collected.delete(write.reference, option=option)


def as_version(update_time: Any) -> datetime:
    """The update time as a plain one: gets and commits give a class of their own, queries a protobuf timestamp.

    Firestore's update times are whole microseconds, so nothing is lost (google.firestore.v1.Document).
    """
    if isinstance(update_time, datetime):
        return datetime.combine(update_time.date(), update_time.timetz())
    plain: datetime = update_time.ToDatetime(tzinfo=UTC)
    return plain


def is_expired(stored: dict[str, Any]) -> bool:
    """Whether the document says that its time is over; one that names no time never expires."""
    expires_at = stored.get("expires_at")
    return isinstance(expires_at, datetime) and expires_at <= clock.now()
