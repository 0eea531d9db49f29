"""Owns how calls to one mailbox are made: token, slots, budgets, what is tried again, and what is told of failures.

Knows no method's parameters. Threads may share a session: each request has an Http of its own.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

from common import clock, log, tokens
from common.errors import RateLimited, ReauthRequired
from common.gmail.budget import Share, slots
from common.gmail.errors import (
    AnswerLost,
    NotSent,
    Refused,
    Remedy,
    SendAmbiguous,
    Trouble,
    parse_trouble,
    unreachable,
)
from common.gmail.units import UNITS
from common.lazy import google_errors, lazy_module
from common.model import Connection
from common.oauth import MODIFY

if TYPE_CHECKING:
    from common.gmail import transport
    from common.gmail.transport import Http
else:
    transport = lazy_module("common.gmail.transport")

T = TypeVar("T")

BACK_OFF_TRIES: Final = 4
_FIRST_WAIT_S: Final = 0.5
_CALL_LIMIT_S: Final = 120.0
_SLOT_WAIT_S: Final = 15.0
# A hint so near is waited for in place, in a quarter of the time left at most: the caller would only come again.
_PATIENCE_S: Final = 5.0
_PATIENCE_SHARE: Final = 0.25
_AFTER_HINT_S: Final = 0.1
# Refusals that stay until the user connects anew.
_ENDING: Final = frozenset({"scope", "policy", "no-mailbox"})
# What readonly does not suffice for, by the last word of the method (Gmail's discovery document, scopes).
_CHANGING: Final = frozenset(
    {"create", "delete", "update", "patch", "modify", "batchModify", "send", "trash", "untrash"}
)


@dataclass
class _Tries:
    """What has been tried again for one call."""

    renewed: bool = False
    repeated: bool = False
    waited: bool = False
    backed_off: int = 0


@dataclass
class Session:
    """Calls to the mailbox of ``connection``. ``calls`` lists methods and their units, in the order made.

    ``ends_s`` (monotonic) bounds all of them together. A hint by Google to wait is handed to ``keep_retry_after``, and
    until then this session asks nothing more: asking earlier would push the time out.
    """

    connection: Connection
    share: Share
    background: bool
    keep_retry_after: Callable[[datetime], None]
    ends_s: float | None = None
    retry_after: datetime | None = None
    calls: list[tuple[str, int]] = field(default_factory=list)
    _rejected: str = field(default="", repr=False)

    def read(self, method: str, request: Any, *, take: Callable[[int], None] | None = None) -> Any:
        """Executes a request that only reads: after trouble on Gmail's side it is asked once more, for people.

        ``take`` hears how many bytes of the answer are there, while it comes in; what it raises ends the call.
        """

        def run(http: Http) -> Any:
            http.take = take
            return transport.execute(request, http)

        return self._run({method: 1}, run, repeatable=not self.background)

    def read_batch(
        self, method: str, requests: Mapping[str, Any], *, take: Callable[[int], None] | None = None
    ) -> dict[str, Any | Trouble]:
        """Executes reads in one HTTP request; each part has its answer or its trouble. ``take`` as of ``read``."""

        def run(http: Http) -> dict[str, Any | Refused]:
            http.take = take
            return transport.execute_batch(requests, http)

        parts = self._run({method: len(requests)}, run, repeatable=not self.background)
        return {key: self._hear(part, method) if isinstance(part, Refused) else part for key, part in parts.items()}

    def write(self, method: str, request: Any) -> Any:
        """Executes a request that changes something: tried again only where Gmail has refused it undone."""
        return self._run({method: 1}, lambda http: transport.execute_upload(request, http), repeatable=False)

    def send(self, method: str, request: Any) -> Any:
        """Sends once. Raises SendAmbiguous where nobody knows whether it went out, Problem where it did not.

        Only a refused access token lets it be asked again: such a request has not been looked at.
        """
        tries = _Tries()
        while True:
            trouble: Trouble | None = None
            try:
                return self._attempt({method: 1}, lambda http: transport.execute_upload(request, http), fresh=True)
            except Refused as refused:
                if refused.status < HTTPStatus.INTERNAL_SERVER_ERROR and refused.status != HTTPStatus.REQUEST_TIMEOUT:
                    trouble = self._hear(refused, method)
            except NotSent:
                trouble = unreachable()
            except AnswerLost:
                pass
            if trouble is None:
                raise SendAmbiguous
            if trouble.remedy is not Remedy.REFRESH or tries.renewed or request.resumable_uri:
                raise trouble.problem
            tries.renewed = True

    def verify_open(self) -> None:
        """Raises RateLimited while Google's hint lies ahead."""
        until = self.retry_after
        if until is not None and until > clock.now():
            raise RateLimited("gmail-rate-limited", retry_at=until)

    def back_off(self, attempt: int) -> bool:
        """Sleeps before try ``attempt`` (1, 2 …), twice as long each time, with jitter. False where no time is left."""
        wait_s = _FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311  (spreads, hides nothing)
        if attempt >= BACK_OFF_TRIES or wait_s > self._left_s():
            return False
        time.sleep(wait_s)
        return True

    def is_near(self, hint: datetime) -> bool:
        """Whether a person would rather wait until Google's hint than come again."""
        patience_s = min(_PATIENCE_S, self._left_s() * _PATIENCE_SHARE)
        return not self.background and (hint - clock.now()).total_seconds() <= patience_s

    def sit_out(self, hint: datetime) -> bool:
        """Sleeps until just after Google's hint. False where that is not near."""
        if not self.is_near(hint):
            return False
        time.sleep(max((hint - clock.now()).total_seconds(), 0.0) + _AFTER_HINT_S)
        return True

    def _run(self, cost: Mapping[str, int], run: Callable[[Http], T], *, repeatable: bool) -> T:
        tries = _Tries()
        while True:
            trouble: Trouble
            try:
                return self._attempt(cost, run)
            except Refused as refused:
                trouble = self._hear(refused, next(iter(cost)))
            except (NotSent, AnswerLost):
                trouble = unreachable()
            # Raised out here, so that no cause hangs on it: its text would hold the URL.
            if not self._may_try_again(trouble, tries, repeatable=repeatable):
                raise trouble.problem

    def _attempt(self, cost: Mapping[str, int], run: Callable[[Http], T], *, fresh: bool = False) -> T:
        self.verify_open()
        for method, count in cost.items():
            self.share.take(UNITS[method] * count)
        self._bearer()
        ends_s = time.monotonic() + self._left_s()
        with slots().hold(self.connection.mailbox_key, min(_SLOT_WAIT_S, self._left_s())):
            self.calls.extend((method, UNITS[method]) for method, count in cost.items() for _ in range(count))
            http = transport.Http(self._bearer, self._reject, ends_s, fresh=fresh)
            try:
                return run(http)
            except Refused as refused:
                if refused.status == HTTPStatus.UNAUTHORIZED:
                    http.renew()
                raise
            finally:
                http.close()

    def _may_try_again(self, trouble: Trouble, tries: _Tries, *, repeatable: bool) -> bool:
        match trouble.remedy:
            case Remedy.REFRESH if not tries.renewed:
                tries.renewed = True
                return True
            case Remedy.REPEAT if repeatable and not tries.repeated:
                tries.repeated = True
                return True
            case Remedy.BACK_OFF:
                tries.backed_off += 1
                return self.back_off(tries.backed_off)
            case _ if trouble.keep_until is not None and not tries.waited:
                tries.waited = True
                return self.sit_out(trouble.keep_until)
            case _:
                return False

    def _hear(self, refused: Refused, method: str) -> Trouble:
        trouble = parse_trouble(refused.status, refused.content)
        if isinstance(trouble.problem, ReauthRequired):
            self._mark_reauth(str(trouble.problem.members.get("reason", "")), method)
        if trouble.keep_until is not None:
            self.retry_after = trouble.keep_until
            self.keep_retry_after(trouble.keep_until)
        return trouble

    def _mark_reauth(self, reason: str, method: str) -> None:
        """Says that the grant has ended, where it has: not for a scope that the connection never had."""
        is_held = MODIFY in self.connection.scopes or method.rpartition(".")[2] not in _CHANGING
        if reason not in _ENDING or (reason == "scope" and not is_held):
            return
        try:
            tokens.mark_reauth(self.connection, reason)
        except google_errors.GoogleAPIError as error:
            # The refusal itself is what the caller must hear of; the next who meets it says it.
            log.failure("reauth-unmarked", error)

    def _bearer(self) -> str:
        return tokens.access_token(self.connection, rejected=self._rejected)

    def _reject(self, token: str) -> None:
        self._rejected = token

    def _left_s(self) -> float:
        return _CALL_LIMIT_S if self.ends_s is None else min(_CALL_LIMIT_S, self.ends_s - time.monotonic())
