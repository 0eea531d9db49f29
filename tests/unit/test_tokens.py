"""Access tokens in memory: one refresh, however many wait."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from common import clock
from common.errors import ReauthRequired, Unavailable
from common.model import Connection, ConnectionStatus
from common.oauth import AccessToken
from common.tokens import Tokens, access_token

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def connection(user_id: str = "anna", generation: str = "1") -> Connection:
    return Connection(
        user_id=user_id,
        address="anna@demo-crm.example",
        mailbox_key="m",
        generation=generation,
        secret="gmail-x",
        scopes=frozenset(),
        connected_at=START,
    )


class Google:
    """Gives token after token, good for an hour; counts; may be made to wait or to fail."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.asked = 0
        self.before = before

    def fetch(self, _: Connection) -> AccessToken:
        self.asked += 1
        number = self.asked
        self.before()
        return AccessToken(f"token-{number}", clock.now() + timedelta(seconds=3599))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The time, as a list of one that a test may change."""
    times = [START]
    monkeypatch.setattr(clock, "now", lambda: times[0])
    return times


def test_token_is_kept_until_a_minute_before_its_end(now: list[datetime]) -> None:
    """One token serves until 60 seconds before it expires; then comes another."""
    tokens = Tokens(Google().fetch)
    tokens.get(connection())
    now[0] = START + timedelta(seconds=3538)
    kept = tokens.get(connection())
    now[0] = START + timedelta(seconds=3539)

    assert ("token-1", "token-2") == (kept, tokens.get(connection()))


def test_ten_threads_wait_for_one_refresh() -> None:
    """Ten requests that arrive together cause one refresh, and all get its token."""
    arrived, release = threading.Semaphore(0), threading.Event()

    def before() -> None:
        release.wait(timeout=10)

    google = Google(before)
    tokens = Tokens(google.fetch)

    def ask() -> str:
        arrived.release()
        return tokens.get(connection())

    with ThreadPoolExecutor(10) as threads:
        answers = [threads.submit(ask) for _ in range(10)]
        for _ in range(10):
            arrived.acquire(timeout=10)
        release.set()
        got = {answer.result(timeout=10) for answer in answers}

    assert {"token-1"} == got
    assert 1 == google.asked


def test_waiters_hear_the_failure_and_the_next_asks_anew() -> None:
    """A failed refresh is told to all who wait, and nothing of it is kept."""
    failures = [Unavailable("google-unavailable")]

    def before() -> None:
        if failures:
            raise failures.pop()

    tokens = Tokens(Google(before).fetch)

    with pytest.raises(Unavailable):
        tokens.get(connection())
    assert "token-2" == tokens.get(connection())


def test_rejected_token_is_replaced_once() -> None:
    """Of two who were refused with the same token the second gets what the first has fetched."""
    google = Google()
    tokens = Tokens(google.fetch)
    old = tokens.get(connection())

    assert ["token-2", "token-2"] == [tokens.get(connection(), rejected=old) for _ in range(2)]
    assert 2 == google.asked


def test_generations_share_no_token() -> None:
    """A reconnected user's new generation does not use the old one's token."""
    tokens = Tokens(Google().fetch)

    assert ("token-1", "token-2") == (tokens.get(connection()), tokens.get(connection(generation="2")))


def test_forgetting_drops_one_user() -> None:
    """A forgotten user's tokens are fetched anew, others' stay."""
    tokens = Tokens(Google().fetch)
    tokens.get(connection("anna"))
    tokens.get(connection("ben"))
    tokens.forget("anna")

    assert ("token-3", "token-2") == (tokens.get(connection("anna")), tokens.get(connection("ben")))


def test_forgetting_reaches_a_refresh_under_way() -> None:
    """A token that arrives after its user was forgotten is not kept."""
    made: list[Tokens] = []
    google = Google(lambda: made[0].forget("anna"))
    made.append(Tokens(google.fetch))
    made[0].get(connection())
    google.before = lambda: None

    assert "token-2" == made[0].get(connection())


def test_least_used_token_goes_first() -> None:
    """The cache is bounded: who has not asked for longest is dropped."""
    tokens = Tokens(Google().fetch, kept=2)
    tokens.get(connection("anna"))
    tokens.get(connection("ben"))
    tokens.get(connection("anna"))
    tokens.get(connection("carla"))

    assert ("token-1", "token-4") == (tokens.get(connection("anna")), tokens.get(connection("ben")))


def test_dead_connection_asks_nothing() -> None:
    """A connection that must be renewed raises its reason at once."""
    dead = replace(connection(), status=ConnectionStatus.REAUTH_REQUIRED, reauth_reason="revoked")
    with pytest.raises(ReauthRequired) as refusal:
        access_token(dead)
    assert {"reason": "revoked"} == refusal.value.members


def test_tokens_bring_no_client_along() -> None:
    """Whoever imports tokens pays for neither Gmail's nor Secret Manager's client before the first use."""
    clients = ["googleapiclient", "google.cloud.secretmanager_v1"]
    probe = f"import sys, common.tokens; print([name for name in {clients} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)

    assert "[]" == shown.stdout.strip()
