"""MailMagnet that dies at any of its calls loses no notice and doubles none: each handler, call by call."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local import environment
from tests.integration.crowd import Crowd, gathered
from tests.integration.magnet_rig import JONAS, MIA, STRANGER, call_as, generation, send_task
from tests.integration.sweep_rig import EMILY, write

# Some forty users each: a minute or two on a machine that has other work.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def _crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    with gathered(tmp_path_factory.mktemp("crowd")) as crowd:
        yield crowd


@pytest.fixture
def crowd(_crowd: Crowd) -> Crowd:
    """Users with MailMagnet and labels on who have nothing left to do, as soon as a test says how many."""
    return _crowd


def errand(crowd: Crowd, kind: str, **more: object) -> Callable[[str], int]:
    """What does a task of this kind, by user."""
    return lambda user: send_task(
        crowd.stack, {"user": user, "kind": kind, "generation": generation(crowd.stack, user), **more}
    )


def push(crowd: Crowd, user: str) -> int:
    """What Pub/Sub sends when a mailbox has changed."""
    mailbox = crowd.stack.google.gmail.mailbox(crowd.stack.people[user].email)
    data = json.dumps({"emailAddress": mailbox.address, "historyId": mailbox.history.current_id}).encode()
    body = {"message": {"data": base64.b64encode(data).decode(), "messageId": "1"}, "subscription": "x"}
    return call_as(crowd.stack, environment.PUSH, "/", body)


def sender(crowd: Crowd, payloads: dict[str, dict[str, Any]]) -> Callable[[str], int]:
    """What these tasks do, by user."""
    return lambda user: send_task(crowd.stack, payloads[user])


def noticed(left: dict[str, Any]) -> int:
    return len(left["notices"])


def test_a_push(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two mails of customers and one of a stranger: two notices, two news, and both are filed."""
    crowd.begin(24)
    with crowd.held_back():
        crowd.write_all(MIA, STRANGER, JONAS)
        deaths = crowd.let_die(monkeypatch, lambda user: push(crowd, user))
    crowd.pass_time()

    left = crowd.verify_alike(deaths)
    assert (2, 2) == (noticed(left), len(left["told"]))


def test_a_drain(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task that drains does as a push does."""
    crowd.begin(24)
    with crowd.held_back():
        crowd.write_all(MIA, STRANGER, JONAS)
        deaths = crowd.let_die(monkeypatch, errand(crowd, "drain"))
    crowd.pass_time()

    left = crowd.verify_alike(deaths)
    assert (2, 2) == (noticed(left), len(left["told"]))


def test_a_renewal(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daily round notices what no push has told of, and the watch runs on."""
    crowd.begin(38)
    with crowd.held_back():
        crowd.write_all(MIA, STRANGER, JONAS)
        deaths = crowd.let_die(monkeypatch, errand(crowd, "renew"))
    crowd.pass_time()

    left = crowd.verify_alike(deaths)
    assert (2, 2) == (noticed(left), len(left["told"]))


def test_a_lost_history(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drain that finds it out, and each step of the search for what it missed."""
    crowd.begin(28)
    with crowd.held_back():
        crowd.write_all(MIA, STRANGER, JONAS)
        for user in crowd.users:
            crowd.stack.google.gmail.mailbox(crowd.stack.people[user].email).history.forget()
        deaths = crowd.let_die(monkeypatch, errand(crowd, "drain"))
        for _ in range(2):
            crowd.stack.advance(90)
            steps = crowd.last_waiting("resync")
            deaths = crowd.let_die(monkeypatch, sender(crowd, steps))
    crowd.pass_time()

    left = crowd.verify_alike(deaths)
    assert (2, 2) == (noticed(left), len(left["told"]))


def test_a_search_for_a_new_contact(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail that came before its sender was a contact is noticed, told of never, and filed."""
    crowd.begin(24)
    name = "newcomer"
    crowd.write_all(f"{name}@new.example", also_to_others=True)
    crowd.stack.settle()
    contact = {"id": name, "name": name, "owner": "anna", "visible_to": ["everyone"]}
    write(crowd.stack, contacts=[{**contact, "addresses": [{"address": f"{name}@new.example"}]}])
    with crowd.held_back():
        work = errand(crowd, "search_contact", contact=name, id=name)
        deaths = crowd.let_die(monkeypatch, work)
    crowd.pass_time()

    left = crowd.verify_alike(deaths)
    assert (1, 0) == (noticed(left), len(left["told"]))


def test_news_of_a_notice(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The webhook hears of each mail at least once, and by one id."""
    crowd.begin(8)
    with crowd.held_back():
        crowd.write_all(EMILY)
        for user in crowd.users:
            push(crowd, user)
        news = crowd.last_waiting("notice")
        deaths = crowd.let_die(
            monkeypatch,
            lambda user: call_as(crowd.stack, environment.TASKS, "/deliver", news[user]),
        )
    crowd.pass_time()

    left = crowd.verify_alike(deaths)
    assert (1, 1) == (noticed(left), len(left["told"]))


def test_the_end_and_the_beginning(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off, nothing is held and nothing watched; switched on, each step of what follows finds all mail."""
    crowd.begin(38)
    with crowd.held_back():
        crowd.let_die(monkeypatch, lambda user: crowd.switch(user, must=False, mailmagnet=False))
        deaths = crowd.let_die(monkeypatch, errand(crowd, "stop"))
    crowd.pass_time()
    left = crowd.verify_alike(deaths)
    assert ({}, {}, False) == (left["notices"], left["sync"], left["watched"])

    crowd.is_sound = False
    crowd.write_all(MIA, JONAS)
    with crowd.held_back():
        crowd.stack.advance(60)
        crowd.let_die(monkeypatch, lambda user: crowd.switch(user, must=False, mailmagnet=True, labels=True))
        deaths = crowd.let_die(monkeypatch, sender(crowd, crowd.last_waiting("start")))
        crowd.let_die(monkeypatch, sender(crowd, crowd.last_waiting("backfill")))
    crowd.pass_time()

    left = crowd.verify_alike(deaths)
    assert (2, 0, True) == (noticed(left), len(left["told"]), left["watched"])
