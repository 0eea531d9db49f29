"""Functions that are killed in the middle of their work, as by SIGKILL: the queue tries again, and nothing is missing.

What was on its way to Google when the function died arrives all the same, and late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import claim, is_granted, kept, ticket_of
from tests.integration.magnet_rig import JONAS, MIA, notices
from tests.integration.sending_rig import begin, mail, pass_time, post, received
from tests.integration.sweep_rig import (
    CLOSING,
    CUSTOMERS,
    OPEN,
    arrive,
    change_deal,
    filed,
    has_work,
    load_directory,
    places,
    start_labels,
    state,
    sweep,
)

pytestmark = pytest.mark.integration
_DELAY_S = 0.6
_GIVE_UP_S = 20
CLOSING_CATEGORY = "closing_this_month"


def kill_at(
    stack: Stack, function: str, service: str, method: str, act: Callable[[], object], *, skip: int = 0
) -> None:
    """Kills the function while this call of its is on its way, and starts it again."""
    fault = stack.faults.inject(Fault(service, method, delay_s=_DELAY_S, skip=skip))
    acting = threading.Thread(target=act)
    acting.start()
    give_up_s = time.monotonic() + _GIVE_UP_S
    while not fault.struck and time.monotonic() < give_up_s:
        time.sleep(0.005)
    stack.functions[function].kill()
    assert fault.struck
    stack.functions[function].start()
    acting.join()
    stack.settle()


def wait_for_retries(stack: Stack) -> None:
    """The subscription, the queues and the scheduler try again, within an hour."""
    for _ in range(3):
        stack.advance(70)
        stack.settle()
    stack.catch_up(3600)
    sweep(stack)
    sweep(stack)


@pytest.fixture
def anna(stack: Stack) -> Stack:
    """Anna with MailMagnet and labels on, and nothing left to do."""
    load_directory(stack)
    return start_labels(stack)


@pytest.mark.parametrize(
    ("service", "method"),
    [
        ("gmail", "users.history.list"),
        ("gmail", "users.messages.get"),
        ("firestore", "Commit"),
    ],
)
def test_a_push(anna: Stack, service: str, method: str) -> None:
    """The mail is noticed and filed."""
    mails: list[str] = []

    def write() -> None:
        mails.append(anna.mail("anna", MIA))

    kill_at(anna, "magnet_ingest", service, method, write)
    wait_for_retries(anna)

    assert ([{CLOSING}], (CLOSING_CATEGORY, "", False)) == (places(anna, *mails), state(anna, mails[0]))


@pytest.mark.parametrize(
    ("service", "method", "skip"),
    [
        ("firestore", "Commit", 1),
        ("gmail", "users.messages.batchModify", 0),
        ("cloudtasks", "CreateTask", 1),
        ("firestore", "Commit", 2),
    ],
)
def test_a_sweep(anna: Stack, service: str, method: str, skip: int) -> None:
    """Both mails are filed once, and nobody takes the late echo for a hand."""
    mails = [arrive(anna, MIA), arrive(anna, JONAS)]
    anna.advance(600)

    kill_at(anna, "label_sweep", service, method, lambda: anna.google.run_job("label-sweep"), skip=skip)
    wait_for_retries(anna)

    assert [{CLOSING}, {OPEN}] == places(anna, *mails)
    assert [(CLOSING_CATEGORY, "", False), ("open_deals", "", False)] == [state(anna, one) for one in mails]
    assert (2, False) == (len(notices(anna)), has_work(anna))


@pytest.mark.parametrize(
    ("service", "method", "skip"),
    [("firestore", "Commit", 0), ("firestore", "Commit", 1), ("cloudtasks", "CreateTask", 0)],
)
def test_a_dispatch(anna: Stack, service: str, method: str, skip: int) -> None:
    """The mail follows its deal."""
    mail_id = filed(anna, JONAS)
    change_deal(anna, "d-02", state="won")
    anna.advance(600)

    kill_at(anna, "label_sweep", service, method, lambda: anna.google.run_job("label-sweep"), skip=skip)
    wait_for_retries(anna)

    assert [{CUSTOMERS}] == places(anna, mail_id)


@pytest.mark.parametrize(
    ("service", "method", "skip"),
    [
        ("oauth", "token", 0),
        ("secretmanager", "AddSecretVersion", 0),
        ("firestore", "Commit", 4),
    ],
)
def test_a_claim(stack: Stack, service: str, method: str, skip: int) -> None:
    """There is a connection, or nothing of it but what the next housekeeping takes away."""
    ticket = ticket_of(stack)

    kill_at(stack, "oauth_callback", service, method, lambda: claim(stack, "anna", ticket), skip=skip)
    claim(stack, "anna", ticket)
    stack.catch_up(120)
    stack.advance(3601)
    stack.run_job("housekeeping")

    left = kept(stack)
    assert left in ({}, {"connections": 1, "secrets": 1})
    assert is_granted(stack) or not left
    assert "healthy" == stack.connect("anna")["health"]["word"]


@pytest.mark.parametrize(
    ("service", "method", "skip", "expected"),
    [
        ("firestore", "Commit", 0, ("sent", 1)),
        ("firestore", "Commit", 1, ("unknown", 0)),
        ("gmail", "users.messages.send", 0, ("sent", 1)),
        ("firestore", "Commit", 2, ("sent", 1)),
    ],
)
def test_a_send(stack: Stack, service: str, method: str, skip: int, expected: tuple[str, int]) -> None:
    """The mail goes out once, or nobody knows of it: never twice, whoever asks again."""
    begin(stack)

    kill_at(stack, "mail_proxy", service, method, lambda: post(stack, mail()), skip=skip)
    stack.advance(200)
    post(stack, mail())
    pass_time(stack, 900)
    answer = post(stack, mail())

    assert expected == (answer.json().get("state", "unknown"), len(received(stack)))
