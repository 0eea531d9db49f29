"""Owns access tokens: in memory only, one refresh however many threads wait, and what follows when Google says no.

Knows oauth, secrets and the store's connections; no route and no Gmail.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from functools import cache
from typing import Final

from common import announcing, audit, clock, log, oauth, secrets
from common.errors import ReauthRequired, Unavailable
from common.keys import keys
from common.lazy import google_errors
from common.model import Connection, ConnectionStatus
from common.oauth import AccessToken
from common.store.client import Lost, Versioned, store

_SAFETY: Final = timedelta(seconds=60)
_KEPT: Final = 2000
_WAIT_S: Final = 45.0
_MARK_TRIES: Final = 3
_Key = tuple[str, str]


class Tokens:
    """Access tokens by user and generation, the least used dropped first. ``fetch`` gets a fresh one."""

    def __init__(self, fetch: Callable[[Connection], AccessToken], kept: int = _KEPT) -> None:
        self._fetch = fetch
        self._kept = kept
        self._lock = threading.Lock()
        self._tokens: OrderedDict[_Key, AccessToken] = OrderedDict()
        self._flights: dict[_Key, Future[AccessToken]] = {}

    def get(self, connection: Connection, *, rejected: str = "") -> str:
        """A token good for a minute at least, and another than ``rejected``. Raises what ``fetch`` raises."""
        key = (connection.user_id, connection.generation)
        with self._lock:
            token = self._tokens.get(key)
            if token and token.value != rejected and clock.now() < token.expires_at - _SAFETY:
                self._tokens.move_to_end(key)
                return token.value
            flight = self._flights.get(key)
            if leads := flight is None:
                flight = self._flights[key] = Future()
        if leads:
            self._lead(key, flight, connection)
        try:
            return flight.result(timeout=_WAIT_S).value
        except TimeoutError:
            pass
        raise Unavailable("google-unavailable")

    def keep(self, connection: Connection, token: AccessToken) -> None:
        """Takes a token that was fetched elsewhere."""
        with self._lock:
            self._store((connection.user_id, connection.generation), token)

    def forget(self, user_id: str) -> None:
        """Drops the user's tokens, and what a refresh now under way will bring."""
        with self._lock:
            for key in [key for key in self._tokens if key[0] == user_id]:
                del self._tokens[key]
            for key in [key for key in self._flights if key[0] == user_id]:
                del self._flights[key]

    def _lead(self, key: _Key, flight: Future[AccessToken], connection: Connection) -> None:
        try:
            token = self._fetch(connection)
        except BaseException as error:  # noqa: BLE001  (whatever it is, those who wait must hear it too)
            self._land(key, flight, None)
            flight.set_exception(error)
            return
        self._land(key, flight, token)
        flight.set_result(token)

    def _land(self, key: _Key, flight: Future[AccessToken], token: AccessToken | None) -> None:
        with self._lock:
            if self._flights.get(key) is not flight:
                return
            del self._flights[key]
            self._tokens.pop(key, None)
            if token is not None:
                self._store(key, token)

    def _store(self, key: _Key, token: AccessToken) -> None:
        self._tokens[key] = token
        self._tokens.move_to_end(key)
        while len(self._tokens) > self._kept:
            self._tokens.popitem(last=False)


@cache
def tokens() -> Tokens:
    """This process's access tokens."""
    return Tokens(_fetch_token)


def access_token(connection: Connection, *, rejected: str = "") -> str:
    """A valid access token; with ``rejected``, another than the one that Google has just refused.

    Raises ReauthRequired where the grant is dead, Unavailable where that cannot be told now.
    """
    if connection.status is ConnectionStatus.REAUTH_REQUIRED:
        raise ReauthRequired(reason=connection.reauth_reason)
    return tokens().get(connection, rejected=rejected)


def keep(connection: Connection, token: AccessToken) -> None:
    """Keeps the access token that a new connection was made with."""
    tokens().keep(connection, token)


def forget(user_id: str) -> None:
    """Drops what this process holds of the user; other instances' tokens die at Google or within the hour."""
    tokens().forget(user_id)


def _fetch_token(connection: Connection) -> AccessToken:
    reason = ""
    try:
        return oauth.refresh(secrets.access_latest(connection.secret))
    except oauth.InvalidGrant as refusal:
        reason = refusal.reason
    except secrets.SecretNotFound:
        reason = "secret-missing"
    except google_errors.GoogleAPIError as error:
        log.failure("secret", error)
    if not reason:
        raise Unavailable("secrets-unavailable")
    try:
        _mark(connection, reason)
    except google_errors.GoogleAPIError as error:
        # The next who asks finds out again, and marks it then.
        log.failure("reauth-unmarked", error)
    raise ReauthRequired(reason=reason)


def mark_reauth(connection: Connection, reason: str) -> bool:
    """Says once, for all instances, that this generation's grant is dead. False if it was said before or is past.

    All work stops by the status. The change is audited, and told to the CRM's webhook.
    """
    forget(connection.user_id)
    return _mark(connection, reason)


def _mark(connection: Connection, reason: str) -> bool:
    for _ in range(_MARK_TRIES):
        held = store().connections.load(connection.user_id)
        if held is None or held.value.generation != connection.generation:
            return False
        if held.value.status is ConnectionStatus.REAUTH_REQUIRED:
            # Whoever was first may have died before it could be told.
            announcing.send_owed(connection.user_id)
            return False
        if _save_mark(held, reason):
            log.event("reauth", severity="WARNING", user=keys().hash("log", connection.user_id), reason=reason)
            return True
    return False


def _save_mark(held: Versioned[Connection], reason: str) -> bool:
    policy = store().policies.load_policy().value
    record = audit.new_record(
        policy, actor=audit.GOOGLE, action=audit.REAUTH_REQUIRED, subject=held.value.user_id, what=reason
    )
    try:
        with store().batch() as batch:
            store().connections.update(held, batch=batch, status=ConnectionStatus.REAUTH_REQUIRED, reauth_reason=reason)
            store().audit.add(record, batch=batch)
            announcement = announcing.note(held.value, ConnectionStatus.REAUTH_REQUIRED.value, batch)
    except Lost:
        return False
    announcing.send(announcement)
    return True
