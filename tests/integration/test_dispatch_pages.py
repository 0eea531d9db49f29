"""A dispatch with more to follow than one run takes: it goes page by page, and the next one goes on where it ended.

Runs in this process, so that a page more or less than the product's forty decides, and not 12,000 records.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions as google_errors

from bench.crowd import ROOT
from common import clock, dispatch, tasks, user_changes
from local.firestore import FirestoreServer
from local.stack import Stack
from tests.integration.dying import each_trouble
from tests.integration.magnet_rig import encoded, gmail_calls, notices
from tests.integration.store_rig import close_store
from tests.integration.sweep_rig import (
    CLOSING,
    JONAS,
    MIA,
    OPEN,
    arrive,
    change_deal,
    filed,
    modifies,
    place,
    write,
)

pytestmark = pytest.mark.integration
PAGE, MOST = 300, 2
# From 10:00 UTC on it is the next day in the one, and until 12:00 the day before in the other.
EARLY, LATE = "Etc/GMT+12", "Pacific/Kiritimati"


@pytest.fixture
def inside(sorted_mailbox: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Anna's mailbox, and label_sweep's code in this process; one run takes two pages of news."""
    for name, value in sorted_mailbox.functions["label_sweep"].env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(clock, "_OFFSET_FILE", str(sorted_mailbox.clock.offset_file))
    monkeypatch.setattr(dispatch, "MOST_PAGES", MOST)
    monkeypatch.setattr(user_changes, "MOST_PAGES", MOST)
    close_store()
    tasks._client.cache_clear()
    yield sorted_mailbox
    close_store()
    tasks._client.cache_clear()


def fill(stack: Stack, records: dict[str, dict[str, Any]]) -> None:
    server = stack.google.firestore
    assert isinstance(server, FirestoreServer)
    server.fill(ROOT, records)


def changed(stack: Stack, kind: str, count: int, **fields: Any) -> dict[str, dict[str, Any]]:
    """Records that changed a millisecond after each other from now on; they say nothing of anybody."""
    now, name = stack.clock.now(), f"{kind.removesuffix('s')}_id"
    return {
        f"{kind}/{encoded(f'{number:06}')}": {
            name: f"{number:06}",
            "updated_at": now + timedelta(milliseconds=number),
            **fields,
        }
        for number in range(count)
    }


def run(stack: Stack, work: Callable[[], object] = dispatch.dispatch) -> None:
    """One run, and what follows."""
    stack.advance(600)
    work()
    stack.settle()
    stack.catch_up(within_s=60)


def read(stack: Stack, mark: int) -> int:
    """How many documents have been read since."""
    return sum(call.units for call in stack.ledger.since(mark, service="firestore") if call.method.endswith(".read"))


def test_contacts(inside: Stack) -> None:
    """A large load of contacts keeps neither work that is due nor, beyond the run's end, an early mail for ever."""
    fill(inside, changed(inside, "contacts", MOST * PAGE + 1, name="", addresses=[], address_index=[]))
    inside.advance(20)
    early = arrive(inside, "zz@neu.example")
    write(inside, contacts=[{"id": "zz", "name": "zz", "addresses": ["zz@neu.example"], "owner": "anna"}])
    fresh = arrive(inside, MIA)

    seen = []
    for _ in range(2):
        run(inside)
        seen.append((place(inside, fresh), early in notices(inside)))

    assert [({CLOSING}, False), ({CLOSING}, True)] == seen


def test_users(inside: Stack) -> None:
    """Users who come back behind many others have their mail followed by the next run."""
    mail = filed(inside, MIA)
    user = inside.documents()[f"users/{encoded('anna')}"]
    fill(inside, changed(inside, "users", MOST * PAGE + 1, active=True))
    inside.advance(20)
    fill(inside, {f"users/{encoded('anna')}": user | {"updated_at": inside.clock.now()}})
    # Nobody has marked its sender: it is the user's change alone that has it looked at.
    fill(inside, {path: record | {"state": "lost"} for path, record in inside.documents().items()
                  if path == f"deals/{encoded('d-01')}"})  # fmt: skip

    seen = []
    for _ in range(2):
        run(inside, user_changes.follow_users)
        seen.append(place(inside, mail))

    assert [{CLOSING}, {"INBOX"}] == seen


def begin_turn(stack: Stack, pages: int) -> Callable[[str], None]:
    """A day that lies in two months; returns what has the organisation's time zone set.

    So many pages of deals close before Jonas's, which closes in the later month.
    """
    now = stack.clock.now()
    first = (now.replace(day=1, hour=0) + timedelta(days=32)).replace(day=1)
    stack.advance((first - timedelta(hours=13) - now).total_seconds())
    stack.run_job("magnet-renew")
    stack.catch_up(within_s=3600)
    change_deal(stack, "d-02", closing_date=f"{first.replace(day=28):%Y-%m-%d}")
    last_month = first - timedelta(days=5)
    told = {"title": "", "state": "open", "closing_date": f"{last_month:%Y-%m-%d}", "contact_ids": []}
    # Changed so long ago that nothing but the month has them followed.
    long_ago = {"updated_at": now - timedelta(days=300)}
    fill(stack, {path: deal | long_ago for path, deal in changed(stack, "deals", pages * PAGE, **told).items()})

    def move_to(zone: str) -> None:
        stack.ask("carla", "PUT", "/oauth_callback/policy", json={"time_zone": zone})

    move_to(EARLY)
    return move_to


def test_a_month(inside: Stack) -> None:
    """The deals of a month beyond the run's end are followed by the next run, and those before it are not again."""
    move_to = begin_turn(inside, MOST)
    mail = filed(inside, JONAS)
    run(inside)
    move_to(LATE)

    seen = []
    for _ in range(3):
        mark = inside.ledger.mark()
        run(inside)
        seen.append((place(inside, mail), read(inside, mark) >= MOST * PAGE))

    assert [({OPEN}, True), ({CLOSING}, False), ({CLOSING}, False)] == seen


def test_a_month_whose_turn_dies(inside: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever call a run dies at, the next one brings the mail to its place, in one move."""
    move_to = begin_turn(inside, 1)
    mail = filed(inside, JONAS)
    run(inside)
    ends = [(LATE, CLOSING), (EARLY, OPEN)]
    mark = 0

    def prepare(number: int) -> Callable[[], object]:
        nonlocal mark
        move_to(ends[number % 2][0])
        inside.advance(600)
        mark = inside.ledger.mark()
        inside.google.tasks.pause()
        return lambda: try_to(dispatch.dispatch)

    for number, trouble in each_trouble(inside, monkeypatch, prepare):
        inside.google.tasks.resume()
        inside.catch_up(within_s=60)
        left = {ends[number % 2][1]}, 1
        assert left == (place(inside, mail), modifies(gmail_calls(inside, mark))), trouble.calls
    assert number > 15


def try_to(work: Callable[[], object]) -> None:
    """Where the function would answer with 500, nothing is heard."""
    with contextlib.suppress(google_errors.GoogleAPIError):
        work()


def test_a_turn_that_was_interrupted_begins_anew_in_another_month(inside: Stack) -> None:
    """How far the turn of one month has come says nothing of the next one's."""
    move_to = begin_turn(inside, MOST)
    mail = filed(inside, JONAS)
    run(inside)
    move_to(LATE)
    run(inside)
    move_to("Etc/GMT-14")
    mark = inside.ledger.mark()
    run(inside)
    assert read(inside, mark) >= MOST * PAGE
    run(inside)
    assert {CLOSING} == place(inside, mail)
