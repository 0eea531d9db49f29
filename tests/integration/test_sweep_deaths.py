"""Sweeps that die at any of their calls leave every mail where it belongs, once: each handler, call by call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local import environment
from tests.integration.crowd import CALM, Crowd, gathered
from tests.integration.magnet_rig import JONAS, MIA, STRANGER, encoded, generation
from tests.integration.sweep_rig import CLOSING, CUSTOMERS, EMILY, LENA, OPEN, call_as, change_deal, label_id

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


def errand(crowd: Crowd, kind: str = "sweep") -> Callable[[str], int]:
    """What does a task of this kind, by user."""

    def work(user: str) -> int:
        payload = {"user": user, "kind": kind, "generation": generation(crowd.stack, user)}
        return call_as(crowd.stack, environment.TASKS, f"/users/{encoded(user)}", payload)

    return work


def arrived(crowd: Crowd, *senders: str) -> dict[str, list[str]]:
    """Mails to everybody, pushed and noticed, and not filed yet."""
    written = crowd.write_all(*senders)
    crowd.stack.settle()
    return written


def swept(crowd: Crowd, *senders: str) -> dict[str, list[str]]:
    """Mails to everybody, filed."""
    written = arrived(crowd, *senders)
    crowd.pass_time()
    return written


def places(left: dict[str, Any]) -> list[list[str]]:
    """Where the mails are, in the order in which they were written."""
    return [[name for name in left["mails"][mail] if name != "UNREAD"] for mail in sorted(left["mails"])]


def hand(crowd: Crowd, user: str, mail_id: str, *, to: str) -> None:
    """A person moves a mail from where it is in Gmail's own page; places by name."""
    ids = [label_id(crowd.stack, name, user) for name in (to, "INBOX", CLOSING, OPEN, CUSTOMERS)]
    address = crowd.stack.people[user].email
    crowd.stack.google.gmail.person_moves(
        address, mail_id, add=ids[:1], remove=[one for one in ids[1:] if one != ids[0]]
    )


def test_a_sweep(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """New mail is filed under three labels, and what no deal knows of stays."""
    crowd.begin(46)
    arrived(crowd, MIA, EMILY, JONAS, LENA, STRANGER)
    with crowd.held_back():
        deaths = crowd.let_die(monkeypatch, errand(crowd))
    crowd.pass_time()

    closing, customers, open_, also_closing, stranger = places(crowd.verify_alike(deaths))
    assert [closing, also_closing] == 2 * [[CLOSING]]
    assert [[CUSTOMERS], [OPEN], ["INBOX"]] == [customers, open_, stranger]


def test_a_sweep_that_heals(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that a person has deleted is made once, and what lay under it lies there again."""
    crowd.begin(46)
    swept(crowd, JONAS)
    with crowd.held_back():
        for user in crowd.users:
            mailbox = crowd.stack.google.gmail.mailbox(crowd.stack.people[user].email)
            with mailbox.changing():
                mailbox.delete_label(label_id(crowd.stack, OPEN, user))
    arrived(crowd, JONAS)
    with crowd.held_back():
        deaths = crowd.let_die(monkeypatch, errand(crowd))
    crowd.pass_time()

    assert [[OPEN], [OPEN]] == places(crowd.verify_alike(deaths))


def test_mail_that_follows_its_deal(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deal that is won takes the mail that was filed along, and one that is lost sends it back to the inbox."""
    crowd.begin(46)
    change_deal(crowd.stack, "d-02", state="open")
    change_deal(crowd.stack, "d-03", state="won")
    swept(crowd, JONAS, EMILY)
    with crowd.held_back():
        change_deal(crowd.stack, "d-02", state="won")
        change_deal(crowd.stack, "d-03", state="lost")
        crowd.stack.advance(600)
        crowd.stack.google.run_job("label-sweep")
        deaths = crowd.let_die(monkeypatch, errand(crowd))
    crowd.pass_time()

    assert [[CUSTOMERS], ["INBOX"]] == places(crowd.verify_alike(deaths))
    change_deal(crowd.stack, "d-02", state="open")
    change_deal(crowd.stack, "d-03", state="won")
    crowd.pass_time()


def test_the_echo_of_a_sweep(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks for what Gmail did, and no push told of, settles it."""
    crowd.begin(24)
    arrived(crowd, MIA, JONAS)
    with crowd.held_back():
        for user in crowd.users:
            errand(crowd)(user)
        deaths = crowd.let_die(monkeypatch, errand(crowd, "settle"))
    crowd.pass_time()

    crowd.verify_alike(deaths)


def test_a_hand_while_nobody_works(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person moves after a sweep has died anywhere, before it is tried again, stays where the person put it."""
    crowd.begin(46)
    written = arrived(crowd, MIA, JONAS)

    def move(user: str) -> None:
        hand(crowd, user, written[user][0], to=CUSTOMERS)

    with crowd.held_back():
        deaths = crowd.let_die(monkeypatch, errand(crowd), between=move)
    crowd.pass_time()

    left = crowd.verify_alike(deaths, besides=("moves", "notices"))
    assert [OPEN] == places(left)[1]
    for user in (CALM, *deaths):
        one, _ = (notice for _, notice in sorted(crowd.left_of(user)["notices"].items()))
        assert ("", True) == (one["intent"], one["pinned"])


def test_an_undo(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is back where it was, and stays, whoever has to ask twice for it."""
    crowd.begin(46)
    swept(crowd, MIA, JONAS)
    last: dict[str, str] = {}
    for user in crowd.users:
        last[user] = crowd.stack.ask(user, "GET", "/mail_proxy/sweeps")["sweeps"][0]["id"]
    crowd.stack.advance(3700)
    with crowd.held_back():
        deaths = crowd.let_die(
            monkeypatch,
            lambda user: crowd.stack.call(user, "POST", f"/mail_proxy/sweeps/{last[user]}/undo"),
            # As long as the first may still be at it, the answer is to try again in a minute.
            between=lambda _: crowd.stack.advance(301),
        )
    crowd.pass_time()

    left = crowd.verify_alike(deaths)
    assert [["INBOX"], ["INBOX"]] == places(left)
    assert all(notice["pinned"] for notice in left["notices"].values())


def test_the_release_of_a_pin(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next sweep files the mail again."""
    crowd.begin(24)
    written = swept(crowd, MIA)
    for user in crowd.users:
        hand(crowd, user, written[user][0], to="INBOX")
    crowd.pass_time()
    with crowd.held_back():
        deaths = crowd.let_die(
            monkeypatch,
            lambda user: crowd.stack.call(user, "DELETE", f"/mail_proxy/messages/{written[user][0]}/pin"),
        )
    crowd.pass_time()

    assert [[CLOSING]] == places(crowd.verify_alike(deaths))


def test_labels_off_and_on(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off, what was begun goes no further; on, the labels are made once and what came meanwhile is filed."""
    crowd.begin(38)
    arrived(crowd, MIA)
    with crowd.held_back():
        deaths = crowd.let_die(monkeypatch, lambda user: crowd.switch(user, must=False, labels=False))
        deaths = crowd.let_die(monkeypatch, errand(crowd, "stop"))
    crowd.pass_time()
    assert [["INBOX"]] == places(crowd.verify_alike(deaths))

    crowd.is_sound = False
    arrived(crowd, JONAS)
    with crowd.held_back():
        crowd.let_die(monkeypatch, lambda user: crowd.switch(user, must=False, labels=True))
        deaths = crowd.let_die(monkeypatch, errand(crowd, "start"))
    crowd.pass_time()
    assert [[CLOSING], [OPEN]] == places(crowd.verify_alike(deaths))
    assert all(f"work/{encoded(user)}" not in crowd.stack.documents() for user in crowd.users)
