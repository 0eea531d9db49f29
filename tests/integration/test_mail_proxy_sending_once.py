"""A mail goes out at most once for each Idempotency-Key: in parallel, after lost answers, after a crash."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import requests

from local.stack import Stack
from tests.integration.sending_rig import (
    MESSAGES,
    MIA,
    begin,
    calls_of,
    inject,
    mail,
    pass_time,
    post,
    problem,
    received,
    sent,
    state,
    text_of,
)

pytestmark = pytest.mark.integration
SEND, LIST = "users.messages.send", "users.messages.list"


@pytest.fixture
def anna(stack: Stack) -> Stack:
    """The stack with Anna connected."""
    return begin(stack)


def answers(response: requests.Response) -> tuple[int, str]:
    """The status, and the state or the problem's code."""
    body = response.json()
    return response.status_code, body.get("state") or body["code"]


def test_answer_names_the_mail(anna: Stack) -> None:
    """A mail sent is answered with its id, its conversation and its state, and arrives."""
    answer = post(anna, mail()).json()
    shown = anna.ask("anna", "GET", f"{MESSAGES}/{answer['id']}")

    assert ("sent", answer["thread_id"]) == (answer["state"], shown["thread_id"])
    assert "Guten Tag" == shown["text"].strip()
    assert ["Angebot"] == [one["Subject"] for one in received(anna)]


def test_repeated_key_gets_the_same_answer(anna: Stack) -> None:
    """The same key with the same mail is answered as before, and sends nothing more."""
    first = post(anna, mail())
    again = post(anna, {**mail(), "cc": None, "bcc": []})
    quoted = post(anna, mail(), key='"key"')

    assert (200, first.json()) == (again.status_code, again.json()) == (quoted.status_code, quoted.json())
    assert 1 == len(sent(anna))


@pytest.mark.parametrize("change", [{"text": "Guten Abend"}, {"subject": "angebot"}, {"bcc": [{"address": MIA}]}])
def test_another_mail_under_the_key(anna: Stack, change: dict[str, object]) -> None:
    """A key that has been used for another mail is refused, and sends nothing."""
    post(anna, mail())

    assert (422, "idempotency-key-reused") == problem(post(anna, mail(**change)))
    assert 1 == len(sent(anna))


def test_another_file_under_the_key(anna: Stack) -> None:
    """Another content of the same file name makes another mail."""
    post(anna, mail(), files=[("file", ("a.txt", b"one", "text/plain"))])
    same = post(anna, mail(), files=[("file", ("a.txt", b"one", "text/plain"))])
    other = post(anna, mail(), files=[("file", ("a.txt", b"two", "text/plain"))])

    assert (200, "sent") == answers(same)
    assert (422, "idempotency-key-reused") == problem(other)


def test_keys_belong_to_their_user(anna: Stack) -> None:
    """Two users may use the same key."""
    anna.connect("ben")
    post(anna, mail())

    assert (200, "sent") == answers(post(anna, mail(text="Von Ben"), user="ben"))
    assert (404, "not-found") == problem(anna.call("carla", "GET", "/mail_proxy/sends/key"))


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "idempotency-key-missing"),
        ({"Idempotency-Key": '""'}, "invalid-idempotency-key"),
        ({"Idempotency-Key": "a b"}, "invalid-idempotency-key"),
        ({"Idempotency-Key": "a/b"}, "invalid-idempotency-key"),
        ({"Idempotency-Key": "k" * 129}, "invalid-idempotency-key"),
    ],
)
def test_key_is_required(anna: Stack, headers: dict[str, str], code: str) -> None:
    """Without a key that can be one nothing is sent."""
    answer = anna.call("anna", "POST", MESSAGES, json=mail(), headers=headers)

    assert (400, code) == problem(answer)
    assert [] == sent(anna)


def test_parallel_requests_send_one_mail(anna: Stack) -> None:
    """Of eight requests at once with one key one sends; the others hear that it is in flight, or what it heard."""
    inject(anna, "gmail", SEND, delay_s=0.5)
    with ThreadPoolExecutor(8) as threads:
        said = [answers(one) for one in threads.map(lambda _: post(anna, mail()), range(8))]

    assert {(200, "sent"), (409, "send-in-flight")} == set(said)
    assert (200, "sent") == answers(post(anna, mail()))
    assert 1 == len(sent(anna))


def test_in_flight_says_when_to_ask_again(anna: Stack) -> None:
    """While the first request is with Gmail, the second is told to come again, and the mail is shown as pending."""
    inject(anna, "gmail", SEND, delay_s=1.0)
    first = threading.Thread(target=post, args=(anna, mail()))
    first.start()
    time.sleep(0.5)
    second = post(anna, mail())
    shown = state(anna)
    first.join()

    assert (409, True, True) == (second.status_code, second.json()["retryable"], "Retry-After" in second.headers)
    assert ("pending", "") == shown
    assert ("sent", "") == state(anna)


def test_lost_answer_is_looked_for_at_once(anna: Stack) -> None:
    """Where Gmail's answer was lost, the mail is found under SENT by our header, without a search."""
    inject(anna, "gmail", SEND, drop_answer=True)
    called = calls_of(anna, lambda: post(anna, mail()))

    assert (200, "sent") == answers(post(anna, mail()))
    assert ["messages.send", "messages.list", "messages.get"] == called
    assert 1 == len(sent(anna))


def test_lost_answer_is_looked_for_again(anna: Stack) -> None:
    """Where the mail could not be looked for at once either, a task finds it later."""
    inject(anna, "gmail", SEND, drop_answer=True)
    inject(anna, "gmail", LIST, status=503, count=4)
    first, second = post(anna, mail()), post(anna, mail())
    before = state(anna)
    anna.faults.clear()
    pass_time(anna, 60)

    assert [(202, "pending"), (202, "pending")] == [answers(first), answers(second)]
    assert ("pending", "answer-lost") == before
    assert ("sent", "") == state(anna)
    assert 1 == len(sent(anna))


@pytest.mark.parametrize("elsewhere", [0, 25])
def test_mail_that_is_not_found_is_unknown(anna: Stack, elsewhere: int) -> None:
    """A mail that is not under SENT after ten minutes is unknown, never failed, and is never sent again."""
    inject(anna, "gmail", SEND, status=503)
    first = post(anna, mail())
    for number in range(elsewhere):
        post(anna, mail(), key=f"other-{number}")
    pass_time(anna, 500)
    before = state(anna)
    pass_time(anna, 600)

    assert (202, "pending") == answers(first)
    assert ("pending", "answer-lost") == before
    assert ("unknown", "send-unknown") == state(anna)
    assert (200, "unknown") == answers(post(anna, mail()))
    assert elsewhere == len(sent(anna))


def test_looking_goes_on_while_the_mailbox_is_limited(anna: Stack) -> None:
    """A mailbox that may not be asked for a quarter of an hour does not make its mail unknown."""
    inject(anna, "gmail", SEND, drop_answer=True)
    until = anna.clock.now().replace(microsecond=0, tzinfo=None) + timedelta(days=365)
    hint = f"User-rate limit exceeded.  Retry after {until.isoformat()}.000Z"
    inject(anna, "gmail", LIST, status=429, reason="rateLimitExceeded", message=hint)
    first = post(anna, mail())
    pass_time(anna, 1200)

    assert (202, "pending") == answers(first)
    assert ("pending", "answer-lost") == state(anna)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "reason": "rateLimitExceeded"},
        {"status": 400, "reason": "invalidArgument"},
        {"status": 403, "reason": "forbidden"},
    ],
)
def test_refused_mail_may_be_tried_again(anna: Stack, fault: dict[str, object]) -> None:
    """What Gmail refuses has failed, and the same key sends it once Gmail takes it."""
    inject(anna, "gmail", SEND, **fault)
    refused = post(anna, mail())
    between = state(anna)

    assert refused.status_code in {400, 409, 429}
    assert ("failed", refused.json()["code"]) == between
    assert (200, "sent") == answers(post(anna, mail()))
    assert 1 == len(sent(anna))


def test_mail_that_cannot_be_written_leaves_the_key_free(anna: Stack) -> None:
    """A mail refused before Gmail was asked leaves no trace: the key may be used for the corrected one."""
    refused = post(anna, mail(subject="a\nb"))

    assert (422, "header-injection") == problem(refused)
    assert (404, "not-found") == problem(anna.call("anna", "GET", "/mail_proxy/sends/key"))
    assert (200, "sent") == answers(post(anna, mail()))


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("fault", [{"drop_answer": True}, {"status": 500}])
def test_trouble_with_the_ledger_sends_no_second_mail(anna: Stack, step: int, fault: dict[str, int]) -> None:
    """Whichever write to the ledger fails, or has its answer lost, the mail goes out once in the end."""
    inject(anna, "firestore", "Commit", skip=step, **fault)
    first = post(anna, mail())
    anna.faults.clear()
    anna.advance(200)
    post(anna, mail())
    pass_time(anna, 60)
    last = post(anna, mail())

    # A write whose answer alone was lost is recognised as one's own; and a mail that is out is out.
    assert (200 if "drop_answer" in fault or step == 2 else 503) == first.status_code
    assert (200, "sent") == answers(last)
    assert 1 == len(sent(anna))


def crash(stack: Stack, request: threading.Thread, after_s: float) -> None:
    """Kills the function while the request is under way, and starts it again."""
    request.start()
    time.sleep(after_s)
    stack.functions["mail_proxy"].kill()
    request.join()
    stack.faults.clear()
    stack.functions["mail_proxy"].start()


@pytest.mark.parametrize("arrives", [True, False])
def test_crash_while_handing_over(anna: Stack, arrives: bool) -> None:
    """A function that dies while Gmail works leaves a mail that is looked for, and never handed over again."""
    inject(anna, "gmail", SEND, delay_s=1.0, **({} if arrives else {"status": 503}))
    crash(anna, threading.Thread(target=post, args=(anna, mail())), after_s=0.6)
    soon = post(anna, mail())
    anna.advance(160)
    later = post(anna, mail())
    pass_time(anna, 700)

    assert (409, "send-in-flight") == problem(soon)
    assert (202, "pending") == answers(later)
    assert (("sent", "") if arrives else ("unknown", "send-unknown")) == state(anna)
    assert int(arrives) == len(sent(anna))


def test_crash_before_handing_over(anna: Stack) -> None:
    """A function that dies while it prepares the mail has sent nothing: the claim is taken over."""
    message_id = anna.mail("anna", MIA, "Frage")
    body = {"mode": "reply", "message_id": message_id, "text": "Antwort"}
    inject(anna, "gmail", "users.messages.get", delay_s=1.0)
    crash(anna, threading.Thread(target=post, args=(anna, body)), after_s=0.6)
    soon = post(anna, body)
    shown = state(anna)
    anna.advance(61)

    assert (409, "send-in-flight") == problem(soon)
    assert ("pending", "") == shown
    assert (200, "sent") == answers(post(anna, body))
    assert ["Re: Frage"] == [one["Subject"] for one in sent(anna)]
    assert text_of(sent(anna)[0]).startswith("Antwort")


def test_ledger_forgets_after_two_days(anna: Stack) -> None:
    """Two days after the send the key stands for nothing any more."""
    post(anna, mail())
    anna.advance(2 * 86_400 - 60)
    kept = state(anna)
    anna.advance(120)

    assert ("sent", "") == kept
    assert (404, "not-found") == problem(anna.call("anna", "GET", "/mail_proxy/sends/key"))
