"""Owns Google's security events (Cross-Account Protection): which tokens are taken, and what each event does.

RFC 8417 tokens by RFC 8935 push; Google's own form: https://developers.google.com/identity/protocols/risc.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from common import auth, clock, log, tokens
from common.auth import KeySet
from common.claim import mailbox_key
from common.config import config
from common.errors import BadRequest, Unauthenticated, Unavailable
from common.keys import keys
from common.lazy import jwt, requests
from common.model import Connection, ConnectionStatus
from common.store.client import store

if TYPE_CHECKING:
    from jwt.types import Options

MAX_TOKEN_BYTES: Final = 16 * 1024
_TIMEOUT_S: Final = 5.0
_LEEWAY: Final = timedelta(minutes=5)
_FRESH: Final = timedelta(days=1)
_PAUSE_AFTER_FAILURE: Final = timedelta(seconds=2)
_WHOLE_SECONDS: Final = timedelta(seconds=1)
_TRIES: Final = 4
# What ends the grants of a mailbox here, by the last part of the event's type, and the reason that its users are told.
_ENDING: Final[Mapping[str, str]] = {
    "tokens-revoked": "revoked",
    "sessions-revoked": "sessions-revoked",
    "account-disabled": "account-disabled",
    "account-purged": "account-disabled",
}


@dataclass(frozen=True)
class SecurityEvent:
    """One event of a verified token. ``sub`` is the Google account's, empty where the event names none."""

    kind: str
    sub: str
    happened_at: datetime


@dataclass(frozen=True)
class _Receiver:
    issuer: str
    keys: KeySet
    read_at: datetime


class Configuration:
    """Google's ``risc-configuration`` document, which names issuer and keys, read once a day.

    Anybody may post here, so a document that cannot be read is asked for again only after a pause.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._receiver: _Receiver | None = None
        self._failed_at: datetime | None = None

    def receiver(self) -> _Receiver:
        """Issuer and keys as the document names them. Raises Unavailable."""
        with self._lock:
            if self._receiver is None or clock.now() - self._receiver.read_at > _FRESH:
                self._receiver = self._renew()
            return self._receiver

    def _renew(self) -> _Receiver:
        if self._failed_at is not None and clock.now() - self._failed_at < _PAUSE_AFTER_FAILURE:
            raise Unavailable("keys-unavailable")
        try:
            found = _fetch_receiver()
        except Unavailable:
            # From the end on: those who waited here meanwhile are not to try as long again, one after the other.
            self._failed_at = clock.now()
            raise
        self._failed_at = None
        return found


@cache
def _configuration() -> Configuration:
    return Configuration()


def _fetch_receiver() -> _Receiver:
    try:
        answer = requests.get(config().google_risc_url, timeout=_TIMEOUT_S, allow_redirects=False)
        found = answer.json() if answer.status_code == HTTPStatus.OK else {}
        return _Receiver(str(found["issuer"]), KeySet(str(found["jwks_uri"])), clock.now())
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        log.failure("keys", error)
        raise Unavailable("keys-unavailable") from error


def verify_security_event(unverified_token: str) -> list[SecurityEvent]:
    """The events of a token that Google signed for our client.

    Raises BadRequest for any other (RFC 8935, 2.4), Unavailable where Google's keys cannot be fetched.
    """
    try:
        unverified_header = jwt.get_unverified_header(unverified_token)
        kid, algorithm = unverified_header.get("kid"), unverified_header.get("alg")
        if not isinstance(kid, str) or algorithm not in auth.ALGORITHMS:
            raise _invalid()
        receiver = _configuration().receiver()
        claims = _decode(unverified_token, receiver.keys.find(kid), str(algorithm), receiver.issuer)
        return parse_events(claims)
    except (jwt.PyJWTError, Unauthenticated, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise _invalid() from error


def _decode(unverified_token: str, key: jwt.PyJWK, algorithm: str, issuer: str) -> dict[str, Any]:
    # These tokens tell of the past and have no exp; PyJWT's clock is not ours.
    options: Options = {
        "verify_signature": True,
        "verify_exp": False,
        "verify_iat": False,
        "verify_nbf": False,
        "verify_iss": True,
        "verify_aud": True,
        "require": ["iat", "iss", "aud", "jti", "events"],
    }
    claims: dict[str, Any] = jwt.decode(
        unverified_token,
        key,
        algorithms=[algorithm],
        issuer=issuer,
        audience=config().oauth_client_id,
        options=options,
    )
    return claims


def parse_events(claims: Mapping[str, Any]) -> list[SecurityEvent]:
    """The events that verified claims hold. Raises BadRequest, or ValueError and the like for what has another form."""
    issued_at = datetime.fromtimestamp(float(claims["iat"]), tz=UTC)
    if issued_at - clock.now() > _LEEWAY:
        raise _invalid()
    # A token may be issued long after what it tells of (RFC 8417, 2.2, "toe").
    happened_at = min(issued_at, datetime.fromtimestamp(float(claims.get("toe", claims["iat"])), tz=UTC))
    events = []
    for kind, event in claims["events"].items():
        subject = event.get("subject") or {}
        sub = subject.get("sub", "")
        events.append(SecurityEvent(kind.rpartition("/")[2], sub if isinstance(sub, str) else "", happened_at))
    return events


def apply_event(event: SecurityEvent) -> None:
    """Does what the event asks: where it ends grants, every connection of the mailbox needs a new consent.

    An event older than a connection's grant says nothing about it. Raises Unavailable where others keep changing a
    connection: Google posts the event again.
    """
    reason = _ENDING.get(event.kind, "")
    ended = _end_grants(event, reason) if reason and event.sub else 0
    log.event(
        "security-event",
        severity="WARNING" if ended else "INFO",
        kind=event.kind if event.kind in _ENDING or event.kind == "verification" else "other",
        mailbox=keys().hash("log", event.sub) if event.sub else None,
        count=ended,
    )


def _end_grants(event: SecurityEvent, reason: str) -> int:
    ended = 0
    for _ in range(_TRIES):
        found = store().connections.find_by_mailbox(mailbox_key(event.sub))
        concerned = [connection for connection in found if _concerns(event, connection)]
        if not concerned:
            return ended
        for connection in concerned:
            ended += tokens.mark_reauth(connection, reason)
    raise Unavailable("connection-changed-meanwhile")


def _concerns(event: SecurityEvent, connection: Connection) -> bool:
    is_older = connection.connected_at <= event.happened_at + _WHOLE_SECONDS
    return is_older and connection.status is ConnectionStatus.CONNECTED


def _invalid() -> BadRequest:
    # RFC 8935, 2.4: the transmitter reads ``err``.
    return BadRequest(
        "invalid-security-event", "no security event token of Google's for this client", err="invalid_request"
    )
