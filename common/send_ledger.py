"""Owns the ledger of sends: one record for each Idempotency-Key, moved on by preconditioned writes alone.

``claimed`` (may be taken over) → ``handing_over``, written just before Gmail is called and never taken over → ``sent``,
``failed`` or ``unknown``; a mail for later is ``scheduled`` in between, and may be ``cancelled``. Knows no Gmail.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from common import clock, log
from common.errors import NotFound, RetryableConflict, Unprocessable
from common.keys import keys, random_token
from common.lazy import google_errors
from common.model import Send, SendState
from common.store.client import Lost, Versioned, store

# Our own header: it bears the marker, by which a mail is found among those sent.
SEND_HEADER: Final = "X-CRM-Send"
KEPT_FOR: Final = timedelta(days=2)
# Gmail has two minutes for one call, and a slot for it is waited for: who handed over longer ago than that is dead.
HANDING_OVER_TAKES: Final = timedelta(seconds=150)
# As long as preparing a big mail may take; taking over too early costs nothing but work.
CLAIM_HOLDS: Final = timedelta(seconds=60)
ANSWER_LOST: Final = "answer-lost"
RECONNECTED: Final = "reconnected"
_SETTLED: Final = frozenset({SendState.SENT, SendState.FAILED, SendState.UNKNOWN, SendState.CANCELLED})
_PAUSE: Final = timedelta(seconds=2)
_TRIES: Final = 3
_MARKER_BYTES: Final = 18

Held = Versioned[Send]


@dataclass(frozen=True)
class Claim:
    """The record for a key. ``fresh``: it is this request's to send; else another has it, or had it."""

    held: Held
    fresh: bool


def hash_key(user_id: str, key: str) -> str:
    """The keyed hash that stands for an Idempotency-Key."""
    return keys().hash("send-key", user_id, key)


def claim(user_id: str, key: str, generation: str, fingerprint: list[str]) -> Claim:
    """Claims the key for a mail of this ``fingerprint``, or finds what became of it.

    A claim whose holder seems dead is taken over, and so is what has failed, since nothing has gone out. Raises
    Unprocessable where the key stands for another mail, RetryableConflict while that one is being prepared.
    """
    now = clock.now()
    wanted = Send(
        user_id=user_id,
        key_hash=hash_key(user_id, key),
        body_hash=keys().hash("send-body", user_id, key, *fingerprint),
        state=SendState.CLAIMED,
        version=1,
        generation=generation,
        expires_at=now + KEPT_FOR,
        changed_at=now,
        marker=new_marker(),
    )
    created = _create(wanted)
    if created is not None:
        return Claim(created, fresh=True)
    held = store().sends.load(user_id, wanted.key_hash)
    if held is None:
        raise in_flight()
    if held.value.body_hash != wanted.body_hash:
        raise Unprocessable("idempotency-key-reused", "this Idempotency-Key stands for another mail")
    return _take_over(held, wanted)


def new_marker() -> str:
    """A random value for our own header, by which a mail is found again."""
    return random_token(_MARKER_BYTES)


def in_flight() -> RetryableConflict:
    """What who comes second is told."""
    return RetryableConflict("send-in-flight", retry_at=clock.now() + _PAUSE)


def _create(wanted: Send) -> Held | None:
    try:
        return store().sends.create(wanted)
    except Lost:
        return None
    except google_errors.GoogleAPIError as error:
        return _own_write(wanted, error)


def _take_over(held: Held, wanted: Send) -> Claim:
    state, age = held.value.state, clock.now() - held.value.changed_at
    if state is SendState.CLAIMED and age < CLAIM_HOLDS:
        raise in_flight()
    if state is SendState.CLAIMED or (state is SendState.FAILED and held.value.send_at is None):
        changes = {name: getattr(wanted, name) for name in ("generation", "expires_at", "changed_at", "marker")}
        return Claim(advance(held, state=SendState.CLAIMED, gmail_id="", reason="", **changes), fresh=True)
    return Claim(held, fresh=False)


def advance(held: Held, **changes: Any) -> Held:
    """Writes a step, if the record is still as it was read. Raises RetryableConflict where somebody was faster."""
    step = {"version": held.value.version + 1, **changes}
    try:
        return store().sends.update(held, **step)
    except Lost as lost:
        raise in_flight() from lost
    except google_errors.GoogleAPIError as error:
        return _own_write(replace(held.value, **step), error)


def _own_write(wanted: Send, error: google_errors.GoogleAPIError) -> Held:
    """The record after a write whose answer was lost, if that write was made. Raises ``error`` if it was not."""
    # Markers are random and times are exact, so that nobody else's write looks like this one.
    held = store().sends.load(wanted.user_id, wanted.key_hash)
    if held is not None and held.value == wanted:
        return held
    raise error


@contextmanager
def releasing(held: Held) -> Iterator[None]:
    """Gives the claim back where the block fails: nothing was handed over, and the key is free again."""
    try:
        yield
    except BaseException:
        try:
            store().sends.delete(held.value.user_id, held.value.key_hash, version=held.version)
        except (Lost, google_errors.GoogleAPIError) as error:
            # It will be taken over when its time has passed.
            log.failure("send-release", error)
        raise


def settle(handed: Held, state: SendState, **changes: Any) -> Send:
    """Writes what became of a mail handed over, and returns the record. Raises nothing: that it went is what counts.

    Who knows may correct who doubted meanwhile.
    """
    now = clock.now()
    changes = {"state": state, "changed_at": now, "expires_at": now + KEPT_FOR, "reason": "", **changes}
    held: Held | None = handed
    for _ in range(_TRIES):
        if held is None or held.value.marker != handed.value.marker:
            break
        try:
            return store().sends.update(held, version=held.value.version + 1, **changes).value
        except Lost:
            held = store().sends.load(handed.value.user_id, handed.value.key_hash)
        except google_errors.GoogleAPIError as error:
            log.failure("send-settle", error)
            break
    return replace(handed.value, **changes)


def is_under_way(send: Send) -> bool:
    """Whether a request that is probably alive is handing it over just now."""
    return send.reason != ANSWER_LOST and clock.now() - send.changed_at < HANDING_OVER_TAKES


def is_settled(send: Send) -> bool:
    return send.state in _SETTLED


def load_of_key(user_id: str, key: str) -> Held:
    """The record for an Idempotency-Key. Raises NotFound."""
    held = store().sends.load(user_id, hash_key(user_id, key))
    if held is None:
        raise NotFound
    return held


def failed_scheduled(user_id: str) -> list[Send]:
    """Scheduled mails that did not go out, or perhaps did not, for the user's notices; in no particular order.

    ``reason`` says why, ``changed_at`` since when; one that the user has cancelled is none of them.
    """
    states = [SendState.FAILED, SendState.UNKNOWN, SendState.CANCELLED]
    sends = [held.value for held in store().sends.of_user(user_id, states)]
    return [one for one in sends if one.send_at is not None and one.reason]


def is_seen(send: Send) -> bool:
    """Whether the user has seen what last became of it."""
    return send.seen_at is not None and send.seen_at >= send.changed_at


def expiry(send_at: datetime) -> datetime:
    """When the record of a mail scheduled for ``send_at`` may be forgotten."""
    return send_at + KEPT_FOR
