"""Shares of a mailbox's minute, and how many requests go at once."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import clock
from common.config import Config
from common.errors import RateLimited
from common.gmail import budget

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The time, as a list of one that a test may change."""
    times = [START]
    monkeypatch.setattr(clock, "now", lambda: times[0])
    return times


def test_used_up_share_says_when_to_come_again(now: list[datetime]) -> None:
    """What does not fit is refused with the time at which enough of the last minute is a minute old."""
    windows = budget.Windows()
    windows.take("m", 300, 1000)
    now[0] = START + timedelta(seconds=20)
    windows.take("m", 600, 1000)

    with pytest.raises(RateLimited) as refusal:
        windows.take("m", 200, 1000)
    assert START + timedelta(seconds=60) == refusal.value.retry_at


def test_share_is_free_again_after_the_minute(now: list[datetime]) -> None:
    """At the time told, the same request fits, and no other beside what is left."""
    windows = budget.Windows()
    windows.take("m", 300, 1000)
    now[0] = START + timedelta(seconds=20)
    windows.take("m", 600, 1000)
    now[0] = START + timedelta(seconds=60)
    windows.take("m", 200, 1000)
    windows.take("m", 200, 1000)

    with pytest.raises(RateLimited):
        windows.take("m", 1, 1000)


@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 100)), max_size=80))
def test_no_minute_sees_more_than_the_share(asked: list[tuple[int, int]]) -> None:
    """However requests come, what was let through within any sixty seconds is no more than the share."""
    windows, at, passed = budget.Windows(), START, list[tuple[datetime, int]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: at)
        for wait_ms, units in asked:
            at += timedelta(milliseconds=wait_ms)
            with contextlib.suppress(RateLimited):
                windows.take("m", units, 200)
                passed.append((at, units))

    minutes = [[units for at, units in passed if begin <= at < begin + timedelta(minutes=1)] for begin, _ in passed]
    assert [] == [sum(minute) for minute in minutes if sum(minute) > 200]


def test_refused_request_costs_nothing(now: list[datetime]) -> None:
    """Who was refused has not spent what is left."""
    windows = budget.Windows()
    windows.take("m", 900, 1000)
    with pytest.raises(RateLimited):
        windows.take("m", 200, 1000)
    windows.take("m", 100, 1000)

    with pytest.raises(RateLimited):
        windows.take("m", 1, 1000)


def test_too_big_for_the_minute_is_paid_off(now: list[datetime]) -> None:
    """A request above the whole share passes where nothing was spent, and counts for longer than a minute."""
    windows = budget.Windows()
    windows.take("m", 1500, 1000)

    with pytest.raises(RateLimited) as refusal:
        windows.take("m", 1, 1000)
    assert START + timedelta(seconds=90) == refusal.value.retry_at


def test_mailboxes_and_viewers_have_shares_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Background work has a third of a mailbox, each viewer a fifth, its owner no bound."""
    monkeypatch.setattr(budget, "config", lambda: Config(project_id="p", region="r"))
    background = budget.share_of("m", background=True, viewer="")
    ben = budget.share_of("m", background=False, viewer="ben")
    carla = budget.share_of("m", background=False, viewer="carla")

    assert (2000, 1200, 1200) == (background.per_minute, ben.per_minute, carla.per_minute)
    assert 3 == len({background.key, ben.key, carla.key})
    assert "" == budget.share_of("m", background=False, viewer="").key


def test_colleagues_together_leave_the_owner_the_rest(monkeypatch: pytest.MonkeyPatch, now: list[datetime]) -> None:
    """However many look into a mailbox, together they spend what two of them may; one's excess takes from no other."""
    filled = budget.Windows()
    monkeypatch.setattr(budget, "windows", lambda: filled)
    monkeypatch.setattr(budget, "config", lambda: Config(project_id="p", region="r"))

    def look(viewer: str, mailbox: str = "m") -> None:
        budget.share_of(mailbox, background=False, viewer=viewer).take(1000)

    look("ben")
    for _ in range(5):
        with pytest.raises(RateLimited):
            look("ben")
    look("carla")
    with pytest.raises(RateLimited):
        look("dora")
    look("dora", "another")


def test_least_used_window_is_dropped(now: list[datetime]) -> None:
    """Memory is bounded: the window unused longest goes, which only frees it."""
    windows = budget.Windows(kept=1)
    windows.take("a", 1000, 1000)
    windows.take("b", 1000, 1000)
    windows.take("a", 1000, 1000)

    with pytest.raises(RateLimited):
        windows.take("a", 1, 1000)


def test_sixth_request_waits_for_a_slot() -> None:
    """Five requests go at once to a mailbox; another one waits, and another mailbox does not."""
    slots = budget.Slots()
    inside, release = threading.Semaphore(0), threading.Event()

    def work() -> None:
        with slots.hold("m", 5):
            inside.release()
            release.wait(timeout=10)

    threads = [threading.Thread(target=work) for _ in range(budget.AT_ONCE)]
    for thread in threads:
        thread.start()
    for _ in threads:
        inside.acquire(timeout=10)
    with pytest.raises(RateLimited), slots.hold("m", 0.01):
        pass
    with slots.hold("another", 0.01):
        release.set()
    for thread in threads:
        thread.join(timeout=10)
    with slots.hold("m", 1):
        held = True
    assert held
