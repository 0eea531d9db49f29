"""Mail for later: it goes at its time and once, can be moved and cancelled, and says so where it did not go."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from local import environment
from local.gmail.contract import SendAs
from local.stack import Stack
from tests.integration.sending_rig import (
    ANNA,
    DRAFTS,
    MIA,
    SENDS,
    begin,
    inject,
    mail,
    pass_time,
    post,
    problem,
    received,
    sent,
    state,
)

pytestmark = pytest.mark.integration
HOUR_S, DAY_S = 3600.0, 86_400.0


@pytest.fixture
def anna(stack: Stack) -> Stack:
    """The stack with Anna connected."""
    return begin(stack)


def at(stack: Stack, seconds: float) -> str:
    return (stack.clock.now() + timedelta(seconds=seconds)).isoformat()


def schedule(stack: Stack, seconds: float = HOUR_S, **changes: Any) -> dict[str, Any]:
    """What is answered to a mail for later, which must be accepted."""
    response = post(stack, mail(send_at=at(stack, seconds), **changes))
    assert 202 == response.status_code
    answer: dict[str, Any] = response.json()
    return answer


def drafts(stack: Stack) -> list[str]:
    return [one["id"] for one in stack.ask("anna", "GET", DRAFTS)["drafts"]]


def told(stack: Stack) -> list[tuple[str, str]]:
    """The notices of mails for later that did not go: their draft and why."""
    rows = stack.ask("anna", "GET", "/mail_proxy/notices")["notices"]
    return [(one["draft_id"], one["problem"]) for one in rows if one["kind"] == "scheduled_send_failed"]


def test_mail_goes_at_its_time(anna: Stack) -> None:
    """Until its time the mail lies among the drafts; then it goes out, once, and the draft is gone."""
    answer = schedule(anna)
    waiting = drafts(anna), received(anna), state(anna)
    pass_time(anna, HOUR_S - 60)
    early = sent(anna)
    pass_time(anna, 120)

    assert ([answer["draft_id"]], [], ("scheduled", "")) == waiting
    assert ([], ("sent", "")) == (early, state(anna))
    assert (["Angebot"], []) == ([one["Subject"] for one in received(anna)], drafts(anna))


def test_task_carries_ids_alone(anna: Stack) -> None:
    """The task names user, key's hash and version, and nothing of the mail."""
    body = mail(subject="Geheim-7f3", text="Geheim-7f3", send_at=at(anna, HOUR_S))
    before = len(anna.google.tasks.payload_log)
    post(anna, body, key="Geheim-7f3")
    (task,) = anna.google.tasks.payload_log[before:]

    assert b"Geheim-7f3" not in task.body + task.url.encode() + repr(task.headers).encode()
    assert task.url.endswith("/mail_proxy/tasks/send")


def test_repeated_key(anna: Stack) -> None:
    """The same key with the same mail and time makes no second draft."""
    when = at(anna, HOUR_S)
    first, second = (post(anna, mail(send_at=when)).json() for _ in range(2))
    other = post(anna, mail(send_at=at(anna, 2 * HOUR_S)))

    assert first == second
    assert (422, "idempotency-key-reused") == problem(other)
    assert 1 == len(drafts(anna))


@pytest.mark.parametrize("seconds", [-1.0, 400 * DAY_S])
def test_time_must_lie_ahead(anna: Stack, seconds: float) -> None:
    """A time that is past, or more than a year ahead, is refused, and no draft is left."""
    assert (422, "invalid-send-at") == problem(post(anna, mail(send_at=at(anna, seconds))))
    assert (422, "invalid-send-at") == problem(post(anna, mail(send_at="2030-01-01T00:00:00")))
    assert [] == drafts(anna)


def test_seconds_ahead(anna: Stack) -> None:
    """A time so near that the task may come before the request has ended is kept all the same."""
    schedule(anna, 0.05)
    pass_time(anna, 120)

    assert ("sent", "") == state(anna)
    assert 1 == len(sent(anna))


def test_far_ahead(anna: Stack) -> None:
    """A time beyond what Cloud Tasks takes is reached in hops."""
    schedule(anna, 70 * DAY_S)
    for _ in range(7):
        anna.ask("anna", "GET", "/mail_proxy/labels")
        pass_time(anna, 10 * DAY_S - 60)
    early = sent(anna), state(anna)
    pass_time(anna, HOUR_S)

    assert ([], ("scheduled", "")) == early
    assert ("sent", "") == state(anna)
    assert 1 == len(sent(anna))


def test_moving(anna: Stack) -> None:
    """A scheduled mail can be moved, and moved back to where it was; it goes once, at the last time set."""
    first = schedule(anna)["send_at"]
    later = anna.ask("anna", "PATCH", f"{SENDS}/key", json={"send_at": at(anna, 3 * HOUR_S)})
    back = anna.ask("anna", "PATCH", f"{SENDS}/key", json={"send_at": first})
    last = anna.ask("anna", "PATCH", f"{SENDS}/key", json={"send_at": at(anna, 2 * HOUR_S)})
    pass_time(anna, 1.5 * HOUR_S)
    early = sent(anna), state(anna)
    pass_time(anna, 4 * HOUR_S)

    assert ("scheduled", first, 3) == (later["state"], back["send_at"], len({first, later["send_at"], last["send_at"]}))
    assert ([], ("scheduled", "")) == early
    assert 1 == len(sent(anna))


def test_moving_nearer(anna: Stack) -> None:
    """A mail moved nearer goes earlier, and the task for the old time does nothing."""
    schedule(anna, 2 * HOUR_S)
    anna.ask("anna", "PATCH", f"{SENDS}/key", json={"send_at": at(anna, 60)})
    pass_time(anna, 120)
    soon = len(sent(anna))
    pass_time(anna, 3 * HOUR_S)

    assert (1, 1) == (soon, len(sent(anna)))


def test_cancelling(anna: Stack) -> None:
    """A cancelled mail does not go; it stays among the drafts, and cancelling twice is no error."""
    draft_id = schedule(anna)["draft_id"]
    first, second = (anna.ask("anna", "DELETE", f"{SENDS}/key") for _ in range(2))
    pass_time(anna, 2 * HOUR_S)

    assert ("cancelled", draft_id) == (first["state"], first["draft_id"])
    assert first == second
    assert ([], [draft_id], []) == (sent(anna), drafts(anna), told(anna))
    assert (409, "not-scheduled") == problem(_patch(anna))


def _patch(stack: Stack) -> Any:
    return stack.call("anna", "PATCH", f"{SENDS}/key", json={"send_at": at(stack, 60)})


def test_what_is_sent_cannot_be_changed(anna: Stack) -> None:
    """A mail that has gone can be neither moved nor cancelled; of another user's key nothing is known."""
    post(anna, mail())
    anna.connect("ben")

    assert (409, "not-scheduled") == problem(_patch(anna))
    assert (409, "not-scheduled") == problem(anna.call("anna", "DELETE", f"{SENDS}/key"))
    assert (404, "not-found") == problem(anna.call("ben", "DELETE", f"{SENDS}/key"))
    assert (404, "not-found") == problem(anna.call("anna", "DELETE", f"{SENDS}/none"))


def test_reconnecting_cancels(anna: Stack) -> None:
    """A mail scheduled before a reconnect does not go out; its user is told."""
    draft_id = schedule(anna)["draft_id"]
    anna.connect("anna")
    shown = state(anna)
    refused = problem(_patch(anna))
    pass_time(anna, 2 * HOUR_S)

    assert (("cancelled", "reconnected"), (409, "not-scheduled")) == (shown, refused)
    assert ("cancelled", "reconnected") == state(anna)
    assert ([], [(draft_id, "reconnected")]) == (sent(anna), told(anna))


def _forbid(stack: Stack) -> None:
    stack.ask("carla", "PUT", "/oauth_callback/policy", json={"features": ["mail", "mailmagnet", "labels"]})


def _delete_draft(stack: Stack) -> None:
    stack.ask("anna", "DELETE", f"{DRAFTS}/{drafts(stack)[0]}")


@pytest.mark.parametrize(
    ("happens", "reason"),
    [(_forbid, "feature-not-allowed"), (_delete_draft, "draft-gone")],
)
def test_all_is_checked_again(anna: Stack, happens: Callable[[Stack], None], reason: str) -> None:
    """What has changed since the mail was scheduled holds when it is due: it fails, and its user is told why."""
    draft_id = schedule(anna)["draft_id"]
    happens(anna)
    pass_time(anna, 2 * HOUR_S)

    assert ([], ("failed", reason)) == (sent(anna), state(anna))
    assert [(draft_id, reason)] == told(anna)


def test_user_made_inactive(anna: Stack) -> None:
    """For a user whom the CRM has made inactive nothing goes out."""
    schedule(anna)
    anna.load_directory({"users": [{"id": "anna", "active": False}]})
    pass_time(anna, 2 * HOUR_S)

    assert [] == sent(anna)
    assert ["failed"] == [one["state"] for path, one in anna.documents().items() if path.startswith("sends/")]


def test_alias_that_is_gone(anna: Stack) -> None:
    """A mail from an alias that is verified no more does not go out in another name."""
    mailbox = anna.google.gmail.mailbox(ANNA)
    mailbox.aliases.append(SendAs("sales@demo-crm.example"))
    try:
        schedule(anna, HOUR_S, **{"from": "sales@demo-crm.example"})
    finally:
        mailbox.aliases.pop()
    pass_time(anna, 2 * HOUR_S)

    assert ([], ("failed", "sender-not-verified")) == (sent(anna), state(anna))


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "users.drafts.send", "status": 429, "reason": "rateLimitExceeded"},
        {"method": "users.drafts.get", "status": 503, "count": 2},
        {"method": "users.drafts.send", "drop_answer": True},
    ],
)
def test_passing_trouble(anna: Stack, fault: dict[str, Any]) -> None:
    """Trouble that passes delays a mail and no more; it goes out once."""
    schedule(anna)
    inject(anna, "gmail", **fault)
    pass_time(anna, HOUR_S + 30)
    pass_time(anna, 600)

    assert ("sent", "") == state(anna)
    assert 1 == len(sent(anna))


def test_daily_limit(anna: Stack) -> None:
    """A mail that meets Gmail's limit for the day goes out when that lets go."""
    schedule(anna)
    until = anna.clock.now() + timedelta(hours=20)
    hint = f"User-rate limit exceeded.  Retry after {until:%Y-%m-%dT%H:%M:%S.000Z} (Mail sending)"
    inject(anna, "gmail", "users.drafts.send", status=429, reason="rateLimitExceeded", message=hint)
    pass_time(anna, 19 * HOUR_S)
    waiting = state(anna), sent(anna)
    pass_time(anna, 2 * HOUR_S)

    assert (("scheduled", ""), []) == waiting
    assert ("sent", "") == state(anna)


def test_trouble_that_does_not_pass(anna: Stack) -> None:
    """After a day of trouble the mail has failed, and its user is told; it stays among the drafts."""
    draft_id = schedule(anna)["draft_id"]
    inject(anna, "gmail", "users.drafts.send", status=429, reason="rateLimitExceeded", count=1000)
    pass_time(anna, 30 * HOUR_S)
    anna.faults.clear()

    assert ("failed", "gmail-busy") == state(anna)
    assert ([(draft_id, "gmail-busy")], [draft_id]) == (told(anna), drafts(anna))


def test_refusal_by_gmail(anna: Stack) -> None:
    """A mail that Gmail refuses has failed."""
    schedule(anna)
    inject(anna, "gmail", "users.drafts.send", status=400, reason="invalidArgument")
    pass_time(anna, 2 * HOUR_S)

    assert ("failed", "gmail-refused") == state(anna)


@pytest.mark.parametrize("fault", [{"drop_answer": True}, {"status": 500}])
@pytest.mark.parametrize("service", ["dispatch", "Commit"])
def test_tasks_that_run_twice(anna: Stack, service: str, fault: dict[str, Any]) -> None:
    """A task that is delivered twice, or whose write fails, sends the mail once."""
    schedule(anna)
    inject(anna, *(("cloudtasks", "dispatch") if service == "dispatch" else ("firestore", "Commit")), **fault)
    pass_time(anna, HOUR_S + 60)
    pass_time(anna, 1200)

    assert ("sent", "") == state(anna)
    assert 1 == len(sent(anna))


def test_crash_at_its_time(anna: Stack) -> None:
    """A function that dies while Gmail takes the mail leaves it to be looked for, and found."""
    schedule(anna, 30)
    inject(anna, "gmail", "users.drafts.send", delay_s=1.0)
    anna.advance(31)
    time.sleep(0.6)
    anna.functions["mail_proxy"].kill()
    anna.functions["mail_proxy"].start()
    pass_time(anna, 60)
    soon = state(anna)
    pass_time(anna, 300)

    assert ("pending", "") == soon
    assert ("sent", "") == state(anna)
    assert 1 == len(sent(anna))


def test_scope_is_needed(stack: Stack) -> None:
    """Mail for later needs the feature actions, since it waits as a draft."""
    stack.google.add_account(MIA, "Mia Kunde")
    stack.connect("anna", features=["mail"])
    answer = post(stack, mail(send_at=at(stack, HOUR_S)))

    assert (409, "scope-missing", ["actions"]) == (*problem(answer), answer.json()["features"])
    assert 404 == stack.call("anna", "GET", f"{SENDS}/key").status_code


@pytest.mark.parametrize(
    ("account", "function", "status"),
    [
        (environment.TASKS, "mail_proxy", 204),
        (environment.TASKS, "label_sweep", 401),
        (environment.SCHEDULER, "mail_proxy", 401),
    ],
)
def test_only_tasks_may_call(anna: Stack, account: str, function: str, status: int) -> None:
    """The internal route takes one service account's token, made for this function, with its signature."""
    body = {"kind": "send", "user": "anna", "key": "x", "generation": "y"}
    token = anna.google.tokens.mint(account, anna.front.url_of(function))
    unsigned = token.rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"

    def call(bearer: str) -> int:
        headers = {"Authorization": f"Bearer {bearer}"}
        return anna.call(None, "POST", "/mail_proxy/tasks/send", json=body, headers=headers).status_code

    assert (status, 401, 401) == (call(token), call(unsigned), call(anna.token("anna")))


@pytest.mark.parametrize("body", [{"kind": "made-up", "user": "anna"}, {"kind": "send"}, []])
def test_a_task_that_cannot_be_read_is_acknowledged(anna: Stack, body: object) -> None:
    """Trying it again would mend nothing: it is logged and done with."""
    token = anna.google.tokens.mint(environment.TASKS, anna.front.url_of("mail_proxy"))
    headers = {"Authorization": f"Bearer {token}"}
    lines_before = anna.log_file("mail_proxy").read_text().count("task-poison")

    answer = anna.call(None, "POST", "/mail_proxy/tasks/send", json=body, headers=headers)

    assert 204 == answer.status_code
    assert lines_before + 1 == anna.log_file("mail_proxy").read_text().count("task-poison")
