"""The caller's own mail as pages: what is remembered between two requests, what they cost, and who is served at all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from common.errors import Unavailable
from common.gmail.budget import AT_ONCE
from common.gmail.client import open_gmail
from common.mailbox_view import fetch_summaries
from common.memory import byte_budget
from local.crm.people import ANNA
from local.faults import Fault
from local.ledger import Call, sequential_round_trips, units
from local.stack import Stack
from tests.integration.google_rig import running
from tests.integration.mailbox_rig import MIA, SEARCH, counted, gmail_calls, ids_of, refusal, search

pytestmark = pytest.mark.integration

GET = "users.messages.get"
COLD, WARM = {"getProfile": 1, "messages.list": 1}, {"messages.list": 1, "history.list": 1}


@pytest.fixture
def anna(stack: Stack) -> Stack:
    """The stack with Anna connected, her access token in memory."""
    stack.connect("anna")
    stack.ask("anna", "GET", "/mail_proxy/labels")
    return stack


def deliver(stack: Stack, count: int) -> list[str]:
    """So many mails of Mia's, with the ids in the order in which a page shows them."""
    return [stack.mail("anna", MIA, f"Mail {number}") for number in range(count)][::-1]


def limit(stack: Stack, seconds: float, *, count: int, method: str = GET) -> None:
    """Gmail refuses calls with a hint to come back after so many seconds."""
    until = (stack.clock.now() + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    hint = f"User-rate limit exceeded.  Retry after {until.replace('+00:00', 'Z')}"
    stack.faults.inject(Fault("gmail", method, status=429, reason="rateLimitExceeded", message=hint, count=count))


def asked(stack: Stack, **body: Any) -> tuple[requests.Response, list[Call]]:
    """What a search answers, and the calls to Gmail that it makes."""
    mark = stack.ledger.mark()
    answer = stack.call("anna", "POST", SEARCH, json=body)
    return answer, stack.ledger.since(mark, service="gmail")


# ---- What a page costs


def test_second_page_is_remembered_by_itself(anna: Stack) -> None:
    """Page two costs what page one did, and 7 units in one round trip when it is looked at again."""
    ids = deliver(anna, 6)
    token = search(anna, page_size=3)["next_page_token"]
    anna.google.gmail.app.latency_s = 0.1

    first, cold = asked(anna, page_size=3, page_token=token)
    again, warm = asked(anna, page_size=3, page_token=token)

    anna.google.gmail.app.latency_s = 0.0
    assert [ids[3:]] * 2 == [ids_of(first.json()), ids_of(again.json())]
    assert ({**COLD, "messages.get": 3}, 66, 2) == (counted(cold), units(cold), sequential_round_trips(cold))
    assert (WARM, 7, 1) == (counted(warm), units(warm), sequential_round_trips(warm))


@pytest.mark.parametrize("other", [{"q": "from:mia"}, {"label": "INBOX"}, {"page_size": 2}])
def test_another_query_is_another_page(anna: Stack, other: dict[str, Any]) -> None:
    """What is remembered of one query serves no other."""
    deliver(anna, 3)
    anna.advance(60)
    search(anna)

    _, calls = asked(anna, **other)

    assert COLD.items() <= counted(calls).items()


def test_page_shows_what_another_client_did(anna: Stack) -> None:
    """A warm page is what Gmail's own page shows, for the gets of what is new or has changed alone."""
    newest, filed, trashed, deleted, untouched = deliver(anna, 5)
    search(anna)
    gmail = anna.google.gmail
    label = gmail.person_creates_label(ANNA.email, "Projekte").id
    gmail.person_moves(ANNA.email, newest, remove=["UNREAD"])
    gmail.person_moves(ANNA.email, filed, add=[label], remove=["INBOX"])
    gmail.person_trashes(ANNA.email, trashed)
    gmail.person_deletes(ANNA.email, deleted)
    arrived = anna.mail("anna", MIA, "New")

    answer, calls = asked(anna)

    rows = {row["id"]: row for row in answer.json()["messages"]}
    assert [arrived, newest, filed, untouched] == list(rows)
    assert [True, False, True, True] == [row["unread"] for row in rows.values()]
    assert {label, "UNREAD"} == set(rows[filed]["labels"])
    assert {**WARM, "messages.get": 3} == counted(calls)


def test_more_changes_than_one_page_of_history(anna: Stack) -> None:
    """After more than 500 changes the page is fetched whole, and is right."""
    ids = deliver(anna, 3)
    search(anna)
    for number in range(502):
        change = {"add" if number % 2 else "remove": ["STARRED"]}
        anna.google.gmail.person_moves(ANNA.email, ids[0], **change)
        anna.google.gmail.person_moves(ANNA.email, ids[2], **change)
    anna.google.gmail.person_moves(ANNA.email, ids[1], remove=["UNREAD"])

    answer, calls = asked(anna)

    assert {**WARM, "messages.get": 3} == counted(calls)
    assert [True, False, True] == [row["unread"] for row in answer.json()["messages"]]
    assert WARM == counted(asked(anna)[1])


def test_page_of_huge_headers_is_not_remembered(anna: Stack) -> None:
    """Mails whose headers would fill the memory of all are listed, each with its first recipients, and fetched anew."""
    recipients = ", ".join(f"customer{number}@customer.example" for number in range(12_000))
    raw = f"From: {MIA}\r\nTo: {recipients}\r\nSubject: All\r\n\r\nHello\r\n".encode()
    ids = [anna.deliver(raw, to=ANNA.email)[ANNA.email] for _ in range(6)][::-1]

    first, _ = asked(anna)
    _, calls = asked(anna)

    assert (ids, {100}) == (ids_of(first.json()), {len(row["to"]) for row in first.json()["messages"]})
    assert {**COLD, "messages.get": 6} == counted(calls)


def test_full_instance_lists_nothing_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where others hold all bytes a page is refused for now, and one that was listed holds nothing."""
    with running(monkeypatch, tmp_path) as google:
        byte_budget.cache_clear()
        gmail = open_gmail(google.connect())
        raw = f"From: {MIA}\r\nTo: {ANNA.email}\r\n\r\nHello\r\n".encode()
        mail_id = google.gmail.deliver(raw, to=ANNA.email)[ANNA.email]

        with byte_budget().reserve(10**12), pytest.raises(Unavailable) as refused:
            fetch_summaries(gmail, [mail_id])

        assert ("instance-busy", True) == (refused.value.code, refused.value.retry_at is not None)
        assert [mail_id] == list(fetch_summaries(gmail, [mail_id]).messages)
        assert 0 == byte_budget().held_bytes
        byte_budget.cache_clear()


# ---- Who is served


def _makes_inactive(stack: Stack) -> None:
    stack.advance(2)
    stack.load_directory({"users": [{"id": "anna", "active": False}]})


def _forbids_mail(stack: Stack) -> None:
    stack.ask("carla", "PUT", "/oauth_callback/policy", json={"features": []})


def _disconnects(stack: Stack) -> None:
    stack.ask("anna", "DELETE", "/oauth_callback/connection")
    stack.settle()


def _takes_the_grant(stack: Stack) -> None:
    stack.google.accounts.revoke_account(ANNA.email)
    stack.call("anna", "GET", "/mail_proxy/labels")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_makes_inactive, (403, "user-inactive")),
        (_forbids_mail, (403, "feature-not-allowed")),
        (_disconnects, (409, "not-connected")),
        (_takes_the_grant, (409, "reauth-required")),
    ],
)
def test_memory_serves_nobody_who_may_not_read(
    anna: Stack, change: Callable[[Stack], None], expected: tuple[int, str]
) -> None:
    """A page that was shown a moment ago is refused, and Gmail not asked, once its reader may not read any more."""
    deliver(anna, 1)
    token = anna.token("anna")
    search(anna)
    change(anna)
    mark = anna.ledger.mark()

    answer = anna.call("anna", "POST", SEARCH, json={}, headers={"Authorization": f"Bearer {token}"})

    assert expected == refusal(answer)
    assert [] == anna.ledger.since(mark, service="gmail")


def test_memory_serves_nobody_without_the_permission(anna: Stack) -> None:
    """A page in memory is refused to a token that lacks the permission."""
    deliver(anna, 1)
    search(anna)
    token = anna.token("anna", permissions=[])

    answer = anna.call("anna", "POST", SEARCH, json={}, headers={"Authorization": f"Bearer {token}"})

    assert 403 == answer.status_code


def test_memory_serves_nobody_while_nothing_decides(anna: Stack) -> None:
    """Where Firestore cannot be asked who may read, a page in memory is not shown: 503, and Gmail is left alone."""
    deliver(anna, 1)
    search(anna)
    anna.faults.inject(Fault("firestore", "BatchGetDocuments", status=429, count=99))

    answer, calls = asked(anna)

    assert ((503, "temporarily-unavailable"), []) == (refusal(answer), calls)


def test_memory_is_each_users_own(anna: Stack) -> None:
    """Who shares a mailbox with another is served from what was fetched for him alone."""
    deliver(anna, 2)
    search(anna)
    anna.connect("ben", address=ANNA.email)
    anna.ask("ben", "GET", "/mail_proxy/labels")

    assert {**COLD, "messages.get": 2} == counted(gmail_calls(anna, lambda: search(anna, "ben")))


# ---- Trouble


def test_parts_limited_for_long_are_named_and_asked_for_after_the_hint(anna: Stack) -> None:
    """Mails that met a limit are named beside the others; after its hint they alone are asked for."""
    ids = deliver(anna, 5)
    limit(anna, 90, count=2)

    first, calls = asked(anna)
    early, none = asked(anna)
    anna.advance(91)
    late, rest = asked(anna)

    named = [one["id"] for one in first.json()["missing"]]
    (until,) = {datetime.fromisoformat(one["retry_at"]) for one in first.json()["missing"]}
    assert [("gmail-rate-limited", True)] * 2 == [(one["code"], one["retryable"]) for one in first.json()["missing"]]
    assert (sorted(ids), 5) == (sorted([*ids_of(first.json()), *named]), counted(calls)["messages.get"])
    assert ((429, "gmail-rate-limited"), []) == (refusal(early), none)
    assert 0 < int(early.headers["Retry-After"]) <= 90
    assert timedelta(0) < anna.clock.now() - until < timedelta(seconds=91)
    assert (ids, {**WARM, "messages.get": 2}) == (ids_of(late.json()), counted(rest))


def test_parts_limited_for_a_moment_come_in_the_same_answer(anna: Stack) -> None:
    """Where the hint is near it is waited for: then the refused parts, they alone, are asked again."""
    ids = deliver(anna, 5)
    limit(anna, 1.5, count=2)

    answer, calls = asked(anna)

    gets = [call for call in calls if call.method == GET]
    refused_at_s = max(call.ended_s for call in gets if call.status == 429)
    assert (ids, []) == (ids_of(answer.json()), answer.json()["missing"])
    assert [200] * 5 + [429] * 2 == sorted(call.status for call in gets)
    assert 2 == len([call for call in gets if call.started_s >= refused_at_s + 1])


def test_list_limited_for_a_moment_is_waited_for(anna: Stack) -> None:
    """The list, too, waits for a near hint, once; a second one is told."""
    limit(anna, 1, count=1, method="users.messages.list")
    first, calls = asked(anna)
    limit(anna, 1, count=2, method="users.messages.list")

    second, _ = asked(anna)

    assert (200, 2) == (first.status_code, counted(calls)["messages.list"])
    assert (429, "gmail-rate-limited") == refusal(second)


def test_page_limited_for_a_quarter_of_an_hour(anna: Stack) -> None:
    """A page of which nothing came is 429 with Google's own time, and nothing is tried again before."""
    deliver(anna, 3)
    limit(anna, 900, count=99)

    answer, calls = asked(anna)

    assert (429, "gmail-rate-limited") == refusal(answer)
    assert 890 <= int(answer.headers["Retry-After"]) <= 900
    assert {**COLD, "messages.get": 3} == counted(calls)
    assert [] == asked(anna)[1]


def test_parts_that_meet_too_many_at_once_come_in_the_same_answer(anna: Stack) -> None:
    """Parts refused for concurrency are asked again, they alone, and the page is whole."""
    ids = deliver(anna, 5)
    busy = "Too many concurrent requests for user"
    anna.faults.inject(Fault("gmail", GET, status=429, reason="rateLimitExceeded", message=busy, count=2))

    answer, calls = asked(anna)

    assert (ids, []) == (ids_of(answer.json()), answer.json()["missing"])
    assert [200] * 5 + [429] * 2 == sorted(call.status for call in calls if call.method == GET)


def test_parts_whose_token_died_come_with_another(anna: Stack) -> None:
    """A token that dies within a batch is renewed once, and only the refused parts are asked again."""
    ids = deliver(anna, 5)
    anna.faults.inject(Fault("gmail", GET, status=401, reason="authError", count=2, skip=3))
    mark = anna.ledger.mark()

    answer, calls = asked(anna)

    assert ids == ids_of(answer.json())
    assert [200] * 5 + [401] * 2 == sorted(call.status for call in calls if call.method == GET)
    assert 1 == len([call for call in anna.ledger.since(mark, service="oauth") if call.method == "token"])


def test_five_requests_at_once_whoever_asks(anna: Stack) -> None:
    """However many pages are asked for at once, a mailbox gets five requests at a time."""
    deliver(anna, 3)
    anna.google.gmail.app.latency_s = 0.1
    mark = anna.ledger.mark()
    with ThreadPoolExecutor(8) as threads:
        pages = list(threads.map(lambda number: search(anna, q=f"mail {number}"), range(8)))
    anna.google.gmail.app.latency_s = 0.0

    calls = anna.ledger.since(mark, service="gmail")
    spans = {call.http_id: call for call in calls}.values()
    most = max(sum(one.started_s <= call.started_s < one.ended_s for one in spans) for call in spans)
    assert 8 == len(pages)
    assert 2 <= most <= AT_ONCE
