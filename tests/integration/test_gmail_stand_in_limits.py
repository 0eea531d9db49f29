"""The Gmail stand-in's strictness: tokens, scopes, quota, requests at once, batches, faults, the ledger."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from googleapiclient.http import BatchHttpRequest

from local.faults import Fault
from local.gmail import TOPIC
from local.ledger import sequential_round_trips, units
from tests.integration.gmail_rig import ANNA, BEN, EVERYTHING, MODIFY, READONLY, SEND, Rig, mail, refused, running

pytestmark = pytest.mark.integration

UNKNOWN_ID = "18c0ffee18c0ffee"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path) as rig:
        yield rig


@pytest.fixture
def anna(rig: Rig) -> Any:
    return rig.client(ANNA)


# Tokens and scopes


@pytest.mark.parametrize("header", [None, "Bearer unknown", "Basic dG9rZW4tMDo=", "Bearer"])
def test_without_a_good_token_nothing_is_answered(rig: Rig, header: str | None) -> None:
    """No token, an unknown one and another scheme are 401 authError."""
    headers = {"Authorization": header} if header else {}
    answer = requests.get(f"{rig.url}/gmail/v1/users/me/profile", headers=headers, timeout=10)
    assert (401, "authError", "UNAUTHENTICATED") == (
        answer.status_code,
        answer.json()["error"]["errors"][0]["reason"],
        answer.json()["error"]["status"],
    )


def test_a_revoked_token_is_refused(rig: Rig) -> None:
    """A token works until it is taken back."""
    token = rig.token(ANNA)
    before = rig.get("/gmail/v1/users/me/profile", token).status_code
    del rig.access.grants[token]
    assert (200, 401) == (before, rig.get("/gmail/v1/users/me/profile", token).status_code)


@pytest.mark.parametrize(
    ("verb", "path", "enough", "too_little"),
    [
        ("GET", "/gmail/v1/users/me/profile", READONLY, SEND),
        ("GET", "/gmail/v1/users/me/messages", READONLY, SEND),
        ("POST", "/gmail/v1/users/me/messages/batchModify", MODIFY, READONLY),
        ("POST", "/gmail/v1/users/me/messages/send", SEND, READONLY),
        ("POST", "/gmail/v1/users/me/labels", MODIFY, READONLY),
        ("POST", "/gmail/v1/users/me/watch", READONLY, SEND),
        ("GET", "/gmail/v1/users/me/settings/sendAs", READONLY, SEND),
        ("POST", "/gmail/v1/users/me/messages/batchDelete", EVERYTHING, MODIFY),
    ],
)
def test_each_method_needs_a_scope(rig: Rig, verb: str, path: str, enough: str, too_little: str) -> None:
    """Google's reference names each method's scopes; any other is 403 insufficientPermissions."""

    def answer(scope: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {rig.token(ANNA, scope)}"}
        return requests.request(verb, f"{rig.url}{path}", headers=headers, timeout=10)

    refusal = answer(too_little)
    assert 403 != answer(enough).status_code
    assert (403, "insufficientPermissions", "PERMISSION_DENIED") == (
        refusal.status_code,
        refusal.json()["error"]["errors"][0]["reason"],
        refusal.json()["error"]["status"],
    )


def test_an_account_without_gmail_has_no_mailbox(rig: Rig) -> None:
    """A good token of an account that has no mailbox is a failed precondition."""
    answer = rig.get("/gmail/v1/users/me/profile", rig.token("nobody@demo-crm.example"))
    assert (400, "failedPrecondition") == (answer.status_code, answer.json()["error"]["errors"][0]["reason"])


# Quota


def test_calls_cost_what_googles_table_says(rig: Rig, anna: Any) -> None:
    """The ledger shows the units of the quota page for projects made since May 2026."""
    message_id = rig.gmail.deliver(mail(), to=ANNA)[ANNA]
    mark = rig.ledger.mark()
    start = anna.getProfile(userId="me").execute()["historyId"]
    anna.history().list(userId="me", startHistoryId=start).execute()
    anna.messages().list(userId="me").execute()
    anna.messages().get(userId="me", id=message_id, format="minimal").execute()
    anna.threads().get(userId="me", id=message_id).execute()
    anna.labels().list(userId="me").execute()
    anna.messages().batchModify(userId="me", body={"ids": [message_id], "addLabelIds": ["STARRED"]}).execute()
    anna.watch(userId="me", body={"topicName": TOPIC}).execute()
    anna.stop(userId="me").execute()
    spent = {call.method: call.units for call in rig.ledger.since(mark, service="gmail", mailbox=ANNA)}
    expected = {
        "users.getProfile": 1,
        "users.history.list": 2,
        "users.messages.list": 5,
        "users.messages.get": 20,
        "users.threads.get": 40,
        "users.labels.list": 1,
        "users.messages.batchModify": 50,
        "users.watch": 100,
        "users.stop": 50,
    }
    assert expected == spent


def _exhaust(anna: Any) -> tuple[int, str, str]:
    """Spends Anna's minute (100 units) and returns the refusal."""
    for _ in range(5):
        refused(anna.messages().get(userId="me", id=UNKNOWN_ID))
    return refused(anna.messages().get(userId="me", id=UNKNOWN_ID))


def _hint(message: str) -> datetime:
    match = re.fullmatch(r"User-rate limit exceeded\.  Retry after (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)", message)
    assert match is not None
    return datetime.fromisoformat(match.group(1))


def test_a_mailbox_over_its_minute_is_refused_until_the_hint(tmp_path: Path) -> None:
    """The refusal says when to come again; then it works."""
    with running(tmp_path, units_per_minute=100) as rig:
        anna = rig.client(ANNA)
        code, reason, message = _exhaust(anna)
        wait_s = (_hint(message) - rig.clock.now()).total_seconds()
        assert code in (403, 429)
        assert "rateLimitExceeded" == reason
        assert 0 < wait_s <= 60
        rig.clock.advance(wait_s + 0.1)
        assert 404 == refused(anna.messages().get(userId="me", id=UNKNOWN_ID))[0]


def test_exhaustion_comes_as_403_and_as_429(tmp_path: Path) -> None:
    """Gmail answers it either way, and so does the stand-in, in turn."""
    with running(tmp_path, units_per_minute=100) as rig:
        anna = rig.client(ANNA)
        codes = {_exhaust(anna)[0], refused(anna.messages().get(userId="me", id=UNKNOWN_ID))[0]}
        assert {403, 429} == codes


def test_coming_too_early_pushes_the_hint_out(tmp_path: Path) -> None:
    """A call before the hint makes the wait longer."""
    with running(tmp_path, units_per_minute=100) as rig:
        anna = rig.client(ANNA)
        first = _hint(_exhaust(anna)[2])
        second = _hint(refused(anna.messages().get(userId="me", id=UNKNOWN_ID))[2])
        assert second > first


def test_one_mailboxs_exhaustion_is_its_own(tmp_path: Path) -> None:
    """Another mailbox has a minute of its own."""
    with running(tmp_path, units_per_minute=100) as rig:
        _exhaust(rig.client(ANNA))
        assert 404 == refused(rig.client(BEN).messages().get(userId="me", id=UNKNOWN_ID))[0]


def test_a_refused_call_costs_nothing_and_does_nothing(tmp_path: Path) -> None:
    """Over the limit a modify changes nothing, and the ledger has no units for it."""
    with running(tmp_path, units_per_minute=100) as rig:
        anna = rig.client(ANNA)
        message_id = rig.gmail.deliver(mail(), to=ANNA)[ANNA]
        _exhaust(anna)
        refused(anna.messages().modify(userId="me", id=message_id, body={"removeLabelIds": ["INBOX"]}))
        last = rig.ledger.since()[-1]
        assert ("users.messages.modify", 0) == (last.method, last.units)
        assert {"INBOX", "UNREAD"} == rig.gmail.mailbox(ANNA).messages[message_id].labels


def test_the_project_has_a_minute_too(tmp_path: Path) -> None:
    """All mailboxes together may be over the project's limit, which gives no hint."""
    with running(tmp_path, project_units_per_minute=20) as rig:
        refused(rig.client(ANNA).messages().get(userId="me", id=UNKNOWN_ID))
        code, reason, message = refused(rig.client(BEN).messages().get(userId="me", id=UNKNOWN_ID))
        assert (403, "rateLimitExceeded") == (code, reason)
        assert "Retry after" not in message


def test_requests_at_once_are_limited_by_mailbox(tmp_path: Path) -> None:
    """Of three slow requests at once, with room for two, one is 429, and another mailbox has room of its own."""
    with running(tmp_path, concurrent_requests=2) as rig:
        token, other = rig.token(ANNA), rig.token(BEN)
        for _ in range(2):
            rig.faults.inject(Fault("gmail", mailbox=ANNA, delay_s=0.6))
        answers: list[requests.Response] = []

        def ask(with_token: str) -> None:
            answers.append(rig.get("/gmail/v1/users/me/profile", with_token))

        threads = [threading.Thread(target=ask, args=(one,)) for one in (token, token, token, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        codes = sorted(answer.status_code for answer in answers)
        assert [200, 200, 200, 429] == codes
        refusal = next(answer for answer in answers if answer.status_code == 429)
        assert "Too many concurrent requests for user" == refusal.json()["error"]["message"]


# Batches


def _batch(rig: Rig, calls: list[Any]) -> list[Any]:
    """The answers of a batch in the order of its calls: JSON, or the status of a refusal."""
    answers: dict[str, Any] = {}

    def note(request_id: str, answer: Any, error: Any) -> None:
        answers[request_id] = answer if error is None else int(error.resp.status)

    batch = BatchHttpRequest(callback=note, batch_uri=f"{rig.url}/batch/gmail/v1")
    for index, call in enumerate(calls):
        batch.add(call, request_id=str(index))
    batch.execute()
    return [answers[str(index)] for index in range(len(calls))]


def test_a_batch_answers_each_call_on_its_own(rig: Rig, anna: Any) -> None:
    """Found, missing and refused calls stand side by side in one answer."""
    message_id = rig.gmail.deliver(mail("Grüße"), to=ANNA)[ANNA]
    answers = _batch(
        rig,
        [
            anna.messages().get(userId="me", id=message_id, fields="id,snippet"),
            anna.messages().get(userId="me", id=UNKNOWN_ID),
            anna.messages().modify(userId="me", id=message_id, body={"addLabelIds": ["SENT"]}),
            anna.messages().modify(userId="me", id=message_id, body={"addLabelIds": ["STARRED"]}),
            anna.messages().batchModify(userId="me", body={"ids": [message_id], "removeLabelIds": ["UNREAD"]}),
        ],
    )
    assert [{"id": message_id, "snippet": "Guten Tag"}, 404, 400] == answers[:3]
    assert ["INBOX", "STARRED", "UNREAD"] == answers[3]["labelIds"]
    assert {"INBOX", "STARRED"} == rig.gmail.mailbox(ANNA).messages[message_id].labels


def test_a_batchs_calls_are_in_the_ledger_one_by_one(rig: Rig, anna: Any) -> None:
    """Each call costs its own units; the batch is one round trip."""
    message_id = rig.gmail.deliver(mail(), to=ANNA)[ANNA]
    _batch(rig, [anna.messages().get(userId="me", id=message_id) for _ in range(5)])
    calls = rig.ledger.since(service="gmail")
    assert ["users.messages.get"] * 5 == [call.method for call in calls]
    assert (100, 1, 1) == (units(calls), len({call.http_id for call in calls}), sequential_round_trips(calls))


def test_a_batch_of_more_than_a_hundred_is_refused(rig: Rig, anna: Any) -> None:
    """A hundred calls go; one more, and none is done."""
    token = rig.token(ANNA)
    part = "--b\r\nContent-Type: application/http\r\n\r\nGET /gmail/v1/users/me/profile HTTP/1.1\r\n\r\n\r\n"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": 'multipart/mixed; boundary="b"'}
    answers = [
        requests.post(f"{rig.url}/batch/gmail/v1", data=part * n + "--b--", headers=headers, timeout=10)
        for n in (100, 101)
    ]
    assert [200, 400] == [answer.status_code for answer in answers]
    assert 100 == answers[0].text.count("HTTP/1.1 200 OK")
    assert 100 == sum(call.method == "users.getProfile" for call in rig.ledger.since())


def test_parts_of_a_batch_run_into_the_limit_alone(tmp_path: Path) -> None:
    """What still fits into the minute is done, the rest of the batch is refused part by part."""
    with running(tmp_path, units_per_minute=100, quota_status=429) as rig:
        anna = rig.client(ANNA)
        message_id = rig.gmail.deliver(mail(), to=ANNA)[ANNA]
        answers = _batch(rig, [anna.messages().get(userId="me", id=message_id, fields="id") for _ in range(7)])
        assert [{"id": message_id}] * 5 + [429] * 2 == answers


def test_a_batch_may_hold_calls_of_several_accounts(rig: Rig) -> None:
    """Each call is made with its own token, where it has one."""
    answers = _batch(rig, [rig.client(ANNA).getProfile(userId="me"), rig.client(BEN).getProfile(userId="me")])
    assert [ANNA, BEN] == [answer["emailAddress"] for answer in answers]


# Faults


def test_a_fault_strikes_its_method_and_mailbox(rig: Rig, anna: Any) -> None:
    """An injected error has Google's shape, strikes as often as told, and costs nothing."""
    rig.faults.inject(Fault("gmail", "users.getProfile", ANNA, 503, "backendError", "Try later", count=2))
    other = rig.client(BEN).getProfile(userId="me").execute()["emailAddress"]
    first = [refused(anna.getProfile(userId="me")) for _ in range(2)]
    assert BEN == other
    assert [(503, "backendError", "Try later")] * 2 == first
    assert ANNA == anna.getProfile(userId="me").execute()["emailAddress"]
    assert [0, 0] == [call.units for call in rig.ledger.since(mailbox=ANNA) if call.status == 503]


def test_a_fault_strikes_one_part_of_a_batch(rig: Rig, anna: Any) -> None:
    """A fault with ``skip`` hits one call among many."""
    message_id = rig.gmail.deliver(mail(), to=ANNA)[ANNA]
    rig.faults.inject(Fault("gmail", "users.messages.get", status=429, reason="rateLimitExceeded", skip=1))
    answers = _batch(rig, [anna.messages().get(userId="me", id=message_id, fields="id") for _ in range(3)])
    assert [{"id": message_id}, 429, {"id": message_id}] == answers


def test_a_front_ends_error_is_a_page(rig: Rig) -> None:
    """A fault of reason ``html`` answers as Google's front end does when Gmail is not there: no JSON."""
    rig.faults.inject(Fault("gmail", status=502, reason="html"))
    answer = rig.get("/gmail/v1/users/me/profile", rig.token(ANNA))
    assert (502, "text/html; charset=UTF-8") == (answer.status_code, answer.headers["Content-Type"])


def test_a_slow_answer_shows_in_the_ledger(rig: Rig) -> None:
    """A delay lies between a call's start and end."""
    rig.faults.inject(Fault("gmail", delay_s=0.2))
    rig.get("/gmail/v1/users/me/profile", rig.token(ANNA))
    (call,) = rig.ledger.since()
    assert call.ended_s - call.started_s >= 0.2


def test_latency_is_paid_once_a_request(rig: Rig, anna: Any) -> None:
    """With a latency set, a batch waits as long as one call."""
    rig.gmail.app.latency_s = 0.1
    _batch(rig, [anna.getProfile(userId="me") for _ in range(4)])
    calls = rig.ledger.since()
    took_s = max(call.ended_s for call in calls) - min(call.started_s for call in calls)
    assert 0.1 <= took_s < 0.4


def test_a_method_that_the_stand_in_lacks_says_so(rig: Rig) -> None:
    """What Gmail has and the stand-in has not is 501, never a made-up answer; what Gmail has not is 404."""
    token = rig.token(ANNA)
    lacking = rig.get("/gmail/v1/users/me/settings/filters", token)
    unknown = rig.get("/gmail/v1/users/me/nothing", token)
    assert [501, 404] == [lacking.status_code, unknown.status_code]


@pytest.mark.parametrize("body", ["{", '["ids"]', '{"ids": "one"}'])
def test_a_broken_body_is_refused(rig: Rig, body: str) -> None:
    """What is no JSON, no object or of another type is 400."""
    headers = {"Authorization": f"Bearer {rig.token(ANNA)}", "Content-Type": "application/json"}
    url = f"{rig.url}/gmail/v1/users/me/messages/batchModify"
    assert 400 == requests.post(url, data=body, headers=headers, timeout=10).status_code


def test_many_threads_leave_a_mailbox_whole(rig: Rig) -> None:
    """Mail arriving, moving and being read at once loses nothing, and history tells of all of it."""
    rig.gmail.concurrency.limit = 50
    start = rig.gmail.mailbox(ANNA).history.current_id
    token = rig.token(ANNA)
    statuses: list[int] = []

    def work(n: int) -> None:
        message_id = rig.gmail.deliver(mail(str(n)), to=ANNA)[ANNA]
        path = f"/gmail/v1/users/me/messages/{message_id}/modify"
        statuses.append(rig.post(path, token, {"removeLabelIds": ["INBOX"]}).status_code)
        statuses.append(rig.get("/gmail/v1/users/me/messages", token, q="subject:x").status_code)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = rig.get("/gmail/v1/users/me/history", token, startHistoryId=start).json()["history"]
    assert [200] * 40 == statuses
    assert (20, 40) == (len(rig.gmail.mailbox(ANNA).messages), len(found))
