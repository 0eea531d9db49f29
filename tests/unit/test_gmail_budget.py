"""Shares of a mailbox's minute, and how many requests go at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

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
    """What does not fit is refused with the time at which it will."""
    buckets = budget.Buckets()
    buckets.take("m", 900, 1000)

    with pytest.raises(RateLimited) as refusal:
        buckets.take("m", 200, 1000)
    assert START + timedelta(seconds=6) == refusal.value.retry_at


def test_share_fills_over_the_minute(now: list[datetime]) -> None:
    """At the time told, the same request fits."""
    buckets = budget.Buckets()
    buckets.take("m", 900, 1000)
    now[0] = START + timedelta(seconds=6)
    buckets.take("m", 200, 1000)

    with pytest.raises(RateLimited):
        buckets.take("m", 1, 1000)


def test_refused_request_costs_nothing(now: list[datetime]) -> None:
    """Who was refused has not spent what is left."""
    buckets = budget.Buckets()
    buckets.take("m", 900, 1000)
    with pytest.raises(RateLimited):
        buckets.take("m", 200, 1000)
    buckets.take("m", 100, 1000)

    with pytest.raises(RateLimited):
        buckets.take("m", 1, 1000)


def test_too_big_for_the_minute_is_paid_off(now: list[datetime]) -> None:
    """A request above the whole share passes when the share is full, and the debt is worked off."""
    buckets = budget.Buckets()
    buckets.take("m", 1500, 1000)

    with pytest.raises(RateLimited) as refusal:
        buckets.take("m", 1, 1000)
    assert refusal.value.retry_at is not None
    assert 30 == int((refusal.value.retry_at - START).total_seconds())


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
    filled = budget.Buckets()
    monkeypatch.setattr(budget, "buckets", lambda: filled)
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


def test_least_used_bucket_is_dropped(now: list[datetime]) -> None:
    """Memory is bounded: the bucket unused longest goes, which only fills it."""
    buckets = budget.Buckets(kept=1)
    buckets.take("a", 1000, 1000)
    buckets.take("b", 1000, 1000)
    buckets.take("a", 1000, 1000)

    with pytest.raises(RateLimited):
        buckets.take("a", 1, 1000)


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
