"""What a process remembers of Gmail's answers: for five minutes, within its bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from werkzeug import Request
from werkzeug.test import EnvironBuilder

from common import clock
from common.cache import Cache, answers
from common.config import config
from ops.openapi import load_apps

KEY = ("anna", "generation-1", "page", "x")
KIB = b"x" * 1024


class Time:
    """The clock, as far as it has been moved."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.advance_to(0)

    def advance_to(self, seconds: float) -> None:
        scratch = self._file.with_suffix(".tmp")
        scratch.write_text(str(seconds))
        scratch.replace(self._file)


@pytest.fixture
def time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Time:
    file = tmp_path / "offset"
    monkeypatch.setattr(clock, "_OFFSET_FILE", str(file))
    return Time(file)


@pytest.fixture
def process_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    """The cache of this process, as configured."""
    monkeypatch.setenv("PROJECT_ID", "local-project")
    monkeypatch.setenv("REGION", "europe-west1")
    config.cache_clear()
    answers.cache_clear()
    yield answers()
    config.cache_clear()
    answers.cache_clear()


def held(cache: Cache, key: tuple[str, ...] = KEY) -> bytes | None:
    entry = cache.get(key)
    return entry.value if entry else None


def test_value_is_there_under_its_key_alone() -> None:
    """Another generation, and another owner, know nothing of it."""
    cache = Cache(100_000)
    cache.put(KEY, b"value", fetched_at=clock.now())

    assert b"value" == held(cache)
    assert held(cache, ("anna", "generation-2", "page", "x")) is None
    assert held(cache, ("ben", "generation-1", "page", "x")) is None


def test_value_is_gone_after_five_minutes(time: Time) -> None:
    """What was fetched five minutes ago is not served."""
    cache = Cache(100_000)
    cache.put(KEY, b"value", fetched_at=clock.now())

    time.advance_to(299)
    assert b"value" == held(cache)
    time.advance_to(300)
    assert held(cache) is None
    assert 0 == cache.size_bytes


def test_old_part_ages_the_whole(time: Time) -> None:
    """What is put again with an older part keeps that part's age."""
    cache = Cache(100_000)
    fetched_at = clock.now()
    time.advance_to(200)
    cache.put(KEY, b"value", fetched_at=fetched_at)

    time.advance_to(301)

    assert held(cache) is None


def test_what_is_too_old_is_not_kept(time: Time) -> None:
    """A value that was on its way for five minutes is not remembered, and what it replaces is forgotten."""
    cache = Cache(100_000)
    fetched_at = clock.now()
    cache.put(KEY, b"value", fetched_at=fetched_at)
    time.advance_to(300)

    cache.put(KEY, b"late", fetched_at=fetched_at)

    assert 0 == cache.size_bytes


def test_purge_frees_what_is_old(time: Time) -> None:
    """A purge leaves nothing in memory that would not be served."""
    cache = Cache(100_000)
    cache.put(KEY, KIB, fetched_at=clock.now())
    time.advance_to(150)
    cache.put(("ben", "g", "page", "y"), KIB, fetched_at=clock.now())
    both_bytes = cache.size_bytes

    time.advance_to(301)
    cache.purge()

    assert both_bytes / 2 == cache.size_bytes
    assert KIB == held(cache, ("ben", "g", "page", "y"))


def test_bytes_are_bounded() -> None:
    """What was used longest ago makes room, and the bound is never passed."""
    cache = Cache(4 * 1024)
    now = datetime.now(UTC)
    for name in ("a", "b"):
        cache.put((name,), KIB, fetched_at=now)
    cache.get(("a",))

    cache.put(("c",), KIB, fetched_at=now)

    assert [KIB, None, KIB] == [held(cache, (name,)) for name in ("a", "b", "c")]
    assert cache.size_bytes <= 4 * 1024


def test_what_is_too_big_is_not_kept() -> None:
    """A value above the whole bound drives out nothing but what it replaces."""
    cache = Cache(4 * 1024)
    now = datetime.now(UTC)
    cache.put(("a",), KIB, fetched_at=now)
    cache.put(("b",), KIB, fetched_at=now)

    cache.put(("b",), KIB * 5, fetched_at=now)

    assert [KIB, None] == [held(cache, (name,)) for name in ("a", "b")]


def test_many_small_values_are_bounded_too() -> None:
    """Empty values cost something, so that their number is bounded."""
    cache = Cache(10_000)
    for number in range(1000):
        cache.put((str(number),), b"", fetched_at=datetime.now(UTC) - timedelta(seconds=1))

    assert cache.size_bytes <= 10_000
    assert held(cache, ("0",)) is None
    assert b"" == held(cache, ("999",))


def test_anybodys_request_frees_what_is_old_of_all(time: Time, process_cache: Cache) -> None:
    """A request of a stranger, to a route that does not even exist, frees what is old of every user."""
    for user in ("anna", "ben"):
        process_cache.put((user, "g", "page", "x"), KIB, fetched_at=clock.now())
    load_apps()
    time.advance_to(300)

    answer = sys.modules["functions.mail_proxy"].mail_proxy(Request(EnvironBuilder(path="/nowhere").get_environ()))

    assert (404, 0) == (answer.status_code, process_cache.size_bytes)
