"""How the Gmail client takes trouble: limits, lost tokens, failures, time; against the stand-in over HTTP."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common import clock, tokens
from common.config import config
from common.errors import RateLimited, ReauthRequired, Unavailable
from common.gmail import session
from common.gmail.budget import AT_ONCE
from common.gmail.client import Gmail, open_gmail
from common.model import Connection, ConnectionStatus
from common.store.client import store
from local.ledger import Call
from tests.integration.google_rig import ANNA, MIA, Google, running

pytestmark = pytest.mark.integration
GET, LIST = "users.messages.get", "users.messages.list"
CONCURRENT = {"status": 429, "reason": "rateLimitExceeded", "message": "Too many concurrent requests for user"}


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    monkeypatch.setattr(session, "_FIRST_WAIT_S", 0.05)
    with running(monkeypatch, tmp_path) as rig:
        yield rig


@pytest.fixture
def anna(google: Google) -> Connection:
    return google.connect()


@pytest.fixture
def gmail(anna: Connection) -> Gmail:
    return open_gmail(anna)


def deliver(google: Google, count: int) -> list[str]:
    raw = f"From: {MIA}\r\nTo: {ANNA}\r\nSubject: Angebot\r\n\r\nGuten Tag\r\n".encode()
    return [google.gmail.deliver(raw, to=ANNA)[ANNA] for _ in range(count)]


def hint(seconds: float) -> tuple[datetime, dict[str, str | int]]:
    """A time so far ahead, and the fault with which Gmail tells it."""
    until = (clock.now() + timedelta(seconds=seconds)).replace(microsecond=386000)
    text = until.strftime("%Y-%m-%dT%H:%M:%S.386Z")
    return until, {
        "status": 403,
        "reason": "rateLimitExceeded",
        "message": f"User-rate limit exceeded.  Retry after {text}",
    }


def kept(connection: Connection) -> datetime | None:
    mailbox = store().mailboxes.load(connection.mailbox_key)
    return mailbox.value.retry_after if mailbox else None


# ---- Limits


def test_concurrency_is_met_in_place(google: Google, gmail: Gmail, anna: Connection) -> None:
    """A limit on concurrency is waited out: the call succeeds, and nothing is kept for others."""
    google.inject("gmail", LIST, **CONCURRENT)

    assert [] == gmail.list_messages().ids
    assert kept(anna) is None


def test_only_the_refused_parts_are_asked_again(google: Google, gmail: Gmail) -> None:
    """Parts of a batch that met the limit on concurrency come with a second, smaller batch."""
    ids = deliver(google, 5)
    google.inject("gmail", GET, count=2, **CONCURRENT)
    before = google.ledger.mark()
    fetched = gmail.fetch_messages(ids)

    assert (set(ids), set()) == (set(fetched.messages), set(fetched.failed))
    assert [429, 429, 200, 200, 200, 200, 200] == [call.status for call in google.ledger.since(before, service="gmail")]


def test_lasting_concurrency_is_told(google: Google, gmail: Gmail, anna: Connection) -> None:
    """A limit that does not go away is told after a few tries, with a time, and is not kept for others."""
    google.inject("gmail", LIST, count=99, **CONCURRENT)
    before = google.ledger.mark()

    with pytest.raises(RateLimited) as refusal:
        gmail.list_messages()
    assert "gmail-busy" == refusal.value.code
    assert refusal.value.retry_at is not None
    assert 4 == google.count("gmail", LIST, before)
    assert kept(anna) is None


def test_waiting_stays_within_the_time(google: Google, anna: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backing off never lasts longer than the time that was given."""
    monkeypatch.setattr(session, "_FIRST_WAIT_S", 0.5)
    gmail = open_gmail(anna, timeout_s=0.6)
    google.inject("gmail", LIST, count=99, **CONCURRENT)
    started_s = time.monotonic()

    with pytest.raises(RateLimited):
        gmail.list_messages()
    assert time.monotonic() - started_s < 1.5


def test_lasting_concurrency_in_parts_is_told_by_id(google: Google, gmail: Gmail) -> None:
    """Parts that meet the limit on concurrency again and again are told one by one, after a few tries."""
    ids = deliver(google, 2)
    google.inject("gmail", GET, count=99, **CONCURRENT)
    before = google.ledger.mark()
    fetched = gmail.fetch_messages(ids)

    assert dict.fromkeys(ids, "gmail-busy") == {key: problem.code for key, problem in fetched.failed.items()}
    assert 8 == google.count("gmail", GET, before)


def test_hint_is_kept_for_all_instances(google: Google, gmail: Gmail, anna: Connection) -> None:
    """Google's hint closes the mailbox for everyone until then, and no call is made before."""
    until, fault = hint(900)
    google.inject("gmail", LIST, **fault)
    with pytest.raises(RateLimited) as refusal:
        gmail.list_messages()
    before = google.ledger.mark()

    with pytest.raises(RateLimited):
        gmail.list_messages()
    with pytest.raises(RateLimited):
        open_gmail(anna, retry_after=kept(anna))
    assert (until, until) == (refusal.value.retry_at, kept(anna))
    assert [] == google.ledger.since(before, service="gmail")


def test_hint_in_the_past_closes_nothing(google: Google, gmail: Gmail, anna: Connection) -> None:
    """Once the time has come, the mailbox is open."""
    until, fault = hint(900)
    google.inject("gmail", LIST, **fault)
    with pytest.raises(RateLimited):
        gmail.list_messages()
    google.clock.advance(901)

    assert [] == gmail.list_messages().ids
    assert [] == open_gmail(anna, retry_after=until).list_messages().ids


def test_hint_in_a_part_stops_the_rest(google: Google, gmail: Gmail, anna: Connection) -> None:
    """When one part of a batch meets the limit, what came is kept, and what is left is not asked for."""
    ids = deliver(google, 60)
    until, fault = hint(900)
    google.inject("gmail", GET, skip=49, **fault)
    before = google.ledger.mark()
    fetched = gmail.fetch_messages(ids, format="minimal")

    assert (49, 11) == (len(fetched.messages), len(fetched.failed))
    assert {until} == {problem.retry_at for problem in fetched.failed.values()}
    assert 50 == google.count("gmail", GET, before)
    assert until == kept(anna)


def test_unit_quota_of_the_mailbox_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A mailbox whose minute is used up is told with the time at which the next begins."""
    with running(monkeypatch, tmp_path, units_per_minute=100) as google:
        gmail = open_gmail(google.connect())
        fetched = gmail.fetch_messages(deliver(google, 6))

        assert (5, 1) == (len(fetched.messages), len(fetched.failed))
        with pytest.raises(RateLimited) as refusal:
            gmail.fetch_profile()
        assert refusal.value.retry_at is not None
        assert timedelta(0) < refusal.value.retry_at - clock.now() <= timedelta(seconds=61)


def test_background_keeps_to_a_third(google: Google, anna: Connection) -> None:
    """Background work spends 2,000 units a minute of a mailbox; people go on beside it."""
    ids = deliver(google, 101)
    background = open_gmail(anna, background=True)
    fetched = background.fetch_messages(ids, format="minimal")

    assert (100, {"budget-used-up"}) == (len(fetched.messages), {one.code for one in fetched.failed.values()})
    with pytest.raises(RateLimited):
        open_gmail(anna, background=True).fetch_message(ids[0])
    assert ids[0] == open_gmail(anna).fetch_message(ids[0], format="minimal")["id"]


def test_viewer_keeps_to_a_share(google: Google, anna: Connection) -> None:
    """A colleague spends 1,200 units a minute of another's mailbox, and other viewers are not hindered."""
    ids = deliver(google, 61)
    fetched = open_gmail(anna, viewer="ben").fetch_messages(ids, format="minimal")

    assert (50, {"budget-used-up"}) == (len(fetched.messages), {one.code for one in fetched.failed.values()})
    assert ids[0] == open_gmail(anna, viewer="carla").fetch_message(ids[0], format="minimal")["id"]
    assert ids[0] == open_gmail(anna, viewer="anna").fetch_message(ids[0], format="minimal")["id"]


def test_five_requests_at_once(google: Google, gmail: Gmail) -> None:
    """However many threads ask, a mailbox gets five requests at a time."""
    gmail.fetch_profile()
    google.gmail.app.latency_s = 0.05
    before = google.ledger.mark()
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda _: gmail.fetch_profile(), range(12)))

    calls = google.ledger.since(before, service="gmail")
    assert AT_ONCE == max(_at_once(calls, call.started_s) for call in calls)


def _at_once(calls: list[Call], at_s: float) -> int:
    return sum(call.started_s <= at_s < call.ended_s for call in calls)


# ---- Tokens


def test_refused_token_is_renewed_once(google: Google, gmail: Gmail) -> None:
    """A token that Gmail takes no more is renewed, and the call repeated."""
    gmail.fetch_profile()
    google.inject("gmail", LIST, status=401, reason="authError")
    before = google.ledger.mark()

    assert [] == gmail.list_messages().ids
    assert 1 == google.count("oauth", "token", before)


def test_refused_token_in_a_batch_is_renewed(google: Google, gmail: Gmail) -> None:
    """Parts refused for the token come with a new one."""
    ids = deliver(google, 3)
    gmail.fetch_profile()
    google.inject("gmail", GET, status=401, reason="authError", count=3)
    before = google.ledger.mark()

    assert set(ids) == gmail.fetch_messages(ids).messages.keys()
    assert 1 == google.count("oauth", "token", before)


def test_refusing_new_tokens_asks_for_reconnection(google: Google, gmail: Gmail) -> None:
    """Where Gmail takes no new token either, the user has to connect anew."""
    google.inject("gmail", LIST, status=401, reason="authError", count=2)

    with pytest.raises(ReauthRequired):
        gmail.list_messages()


def test_grant_that_died_is_marked(google: Google, gmail: Gmail) -> None:
    """A user who takes the grant back while a token is in memory is noticed at the next call."""
    gmail.fetch_profile()
    google.accounts.revoke_account(ANNA)

    with pytest.raises(ReauthRequired):
        gmail.list_messages()
    held = store().connections.load("anna")
    assert held is not None
    assert ConnectionStatus.REAUTH_REQUIRED is held.value.status


def test_dead_connection_opens_nothing(anna: Connection) -> None:
    """A connection that must be renewed is refused before anything is asked."""
    with pytest.raises(ReauthRequired):
        open_gmail(replace(anna, status=ConnectionStatus.REAUTH_REQUIRED))


def test_scope_missing_in_a_part_asks_for_repair(google: Google, gmail: Gmail) -> None:
    """A part refused for its scope stops the whole: the others would be, too."""
    ids = deliver(google, 2)
    google.inject("gmail", GET, status=403, reason="insufficientPermissions")

    with pytest.raises(ReauthRequired) as refusal:
        gmail.fetch_messages(ids)
    assert {"reason": "scope"} == refusal.value.members


# ---- Failures and time


@pytest.mark.parametrize("fault", [{"status": 503, "reason": "backendError"}, {"drop_answer": True}])
def test_person_gets_one_more_try(google: Google, gmail: Gmail, fault: dict[str, int | str]) -> None:
    """A read that Gmail failed at is asked once more for people."""
    google.inject("gmail", LIST, **fault)

    assert [] == gmail.list_messages().ids


@pytest.mark.parametrize("fault", [{"status": 503, "reason": "backendError"}, {"drop_answer": True}])
def test_two_failures_are_told(google: Google, gmail: Gmail, fault: dict[str, int | str]) -> None:
    """A second failure is told, as trouble that will pass."""
    google.inject("gmail", LIST, count=2, **fault)
    before = google.ledger.mark()

    with pytest.raises(Unavailable):
        gmail.list_messages()
    assert 2 == google.count("gmail", LIST, before)


def test_background_is_not_tried_again(google: Google, anna: Connection) -> None:
    """Background work leaves its retries to its task."""
    google.inject("gmail", LIST, status=503, reason="backendError")

    with pytest.raises(Unavailable):
        open_gmail(anna, background=True).list_messages()


def test_writes_are_not_tried_again(google: Google, gmail: Gmail) -> None:
    """A change that Gmail failed at is not repeated on its own."""
    google.inject("gmail", "users.labels.create", status=503, reason="backendError")
    before = google.ledger.mark()

    with pytest.raises(Unavailable):
        gmail.create_label("Kunden")
    assert 1 == google.count("gmail", "users.labels.create", before)


def test_failed_part_is_asked_once_more(google: Google, gmail: Gmail) -> None:
    """A message that Gmail failed at comes with the second batch; one that keeps failing is told by its id."""
    first, second = deliver(google, 2)
    google.inject("gmail", GET, status=500, reason="backendError")
    whole = gmail.fetch_messages([first, second])
    google.inject("gmail", GET, status=500, reason="backendError", count=99)
    before = google.ledger.mark()
    failing = gmail.fetch_messages([first])

    assert ({first, second}, set()) == (set(whole.messages), set(whole.failed))
    assert 2 == google.count("gmail", GET, before)
    assert {first: "gmail-unavailable"} == {key: problem.code for key, problem in failing.failed.items()}


def test_slow_mailbox_costs_its_time_and_no_more(google: Google, anna: Connection) -> None:
    """A mailbox that does not answer in the given time is unavailable then."""
    tokens.access_token(anna)
    google.inject("gmail", LIST, delay_s=2.0, count=2)
    started_s = time.monotonic()

    with pytest.raises(Unavailable):
        open_gmail(anna, timeout_s=0.3).list_messages()
    assert time.monotonic() - started_s < 1.0


def test_unreachable_gmail_is_unavailable(anna: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens, that is told as trouble that will pass."""
    tokens.access_token(anna)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GMAIL_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        config.cache_clear()
        with pytest.raises(Unavailable):
            open_gmail(anna).list_messages()


def test_errors_show_nothing_of_the_search(google: Google, gmail: Gmail) -> None:
    """No error, and nothing that hangs on one, holds the search, the address or the token."""
    token = tokens.access_token(gmail._session.connection)
    told = []
    for fault in ({"status": 400}, {"status": 403}, {"status": 503, "count": 2}, {"drop_answer": True, "count": 2}):
        google.inject("gmail", LIST, **fault)
        with pytest.raises(Exception) as failure:
            gmail.list_messages(q="from:geheim@customer.example")
        assert failure.value.__cause__ is None
        assert failure.value.__context__ is None
        told.append(f"{failure.value!r} {vars(failure.value)} {gmail._session!r}")

    assert [] == [word for word in ("geheim", "users/me", token) if word in " ".join(told)]


def test_hint_is_told_even_where_it_cannot_be_kept(google: Google, gmail: Gmail) -> None:
    """When the store fails, the caller hears of the limit all the same."""
    until, fault = hint(900)
    google.inject("gmail", LIST, **fault)
    google.inject("firestore", "Commit", status=500)

    with pytest.raises(RateLimited) as refusal:
        gmail.list_messages()
    assert until == refusal.value.retry_at
    assert UTC == until.tzinfo
