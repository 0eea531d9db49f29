"""A dispatch that ends half-way, runs twice or beside another loses nothing and doubles nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local import environment
from local.faults import Fault
from local.stack import Stack
from tests.integration.dying import NEVER, Death, dying, each_trouble
from tests.integration.magnet_rig import encoded, gmail_calls, notices
from tests.integration.sweep_rig import (
    CLOSING,
    CUSTOMERS,
    MIA,
    arrive,
    call_as,
    change_deal,
    filed,
    has_work,
    modifies,
    pending_sweeps,
    place,
    record,
    sweep,
    write,
)

pytestmark = pytest.mark.integration


class DeathAfter(Death):
    """Comes with the call that follows the first one of ``method``."""

    def __init__(self, method: str) -> None:
        super().__init__(NEVER)
        self._method = method

    def take(self, service: str, method: str, mailbox: str = "") -> Fault | None:
        fault = super().take(service, method, mailbox)
        if method == self._method and self.at == NEVER:
            self.at = len(self.calls)
        return fault


def contact(contact_id: str, owner: str = "anna", **more: Any) -> dict[str, Any]:
    return {"id": contact_id, "name": contact_id, "addresses": [f"{contact_id}@neu.example"], "owner": owner, **more}


def dispatch(stack: Stack) -> int:
    """The scheduler's call alone: the tasks that it leaves wait."""
    return call_as(stack, environment.SCHEDULER, "/")


def moves(stack: Stack) -> list[str]:
    """The ids of the mails that Anna's sweeps have moved, once for each move."""
    prefix = f"connections/{encoded('anna')}/sweeps/"
    kept = [stored for path, stored in stack.documents().items() if path.startswith(prefix)]
    return [mail_id for one in kept for move in one["moves"] for mail_id in move["mail_ids"]]


def test_dispatch_that_dies_at_any_call(sorted_mailbox: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever call a dispatch dies at, what changed is filed and searched for, and each mail is moved once."""
    stack = sorted_mailbox
    mail = filed(stack, MIA)
    ends = [("won", CUSTOMERS), ("open", CLOSING)]
    fresh, mark = "", 0

    def prepare(number: int) -> Callable[[], object]:
        nonlocal fresh, mark
        fresh = arrive(stack, f"new{number}@neu.example")
        changed = record(stack, "deals", "d-01", state=ends[number % 2][0])
        write(stack, contacts=[contact(f"new{number}")], deals=[changed])
        mark = stack.ledger.mark()
        stack.google.tasks.pause()
        return lambda: dispatch(stack)

    for number, trouble in each_trouble(stack, monkeypatch, prepare, again=False):
        stack.google.tasks.resume()
        stack.settle()
        sweep(stack)

        left = ({ends[number % 2][1]}, True, False, 1)
        seen = (place(stack, mail), fresh in notices(stack), has_work(stack), modifies(gmail_calls(stack, mark)))
        assert left == seen, trouble.calls
    assert number > 15


def test_dispatch_that_dies_between_pages_of_one_commit(sorted_mailbox: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """All contacts of one commit bear the same time: who dies after their first page searches for the others too."""
    stack = sorted_mailbox
    mail = arrive(stack, "zz@neu.example")
    write(stack, contacts=[*(contact(f"a{number:03}", owner="ben") for number in range(320)), contact("zz")])
    death = DeathAfter("Commit")
    with dying(stack, monkeypatch, death):
        assert 500 == dispatch(stack)
    assert death.has_struck
    sweep(stack)
    assert mail in notices(stack)


def test_contact_that_comes_right_after_two_dispatches_is_searched_for(sorted_mailbox: Stack) -> None:
    """Two dispatches in a row have seen all there was, not what the CRM writes half a minute later."""
    stack = sorted_mailbox
    mail = arrive(stack, "zz@neu.example")
    write(stack, contacts=[contact("first")])
    assert [204, 204] == [dispatch(stack), dispatch(stack)]
    stack.advance(30)
    write(stack, contacts=[contact("zz")])
    sweep(stack)
    assert mail in notices(stack)


def test_dispatches_at_once(sorted_mailbox: Stack) -> None:
    """Four dispatches at the same time bring a mail to its place, tell it as one move, and leave nothing to do."""
    stack = sorted_mailbox
    mail = filed(stack, MIA)
    change_deal(stack, "d-01", state="won")
    before = len(moves(stack))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: dispatch(stack), range(4)))
    stack.settle()
    sweep(stack)
    assert ([204] * 4, {CUSTOMERS}, False) == (answers, place(stack, mail), has_work(stack))
    assert 1 == len(moves(stack)) - before


def test_work_that_is_due_does_not_wait_for_the_directory(sorted_mailbox: Stack) -> None:
    """Where what changed in the directory cannot be read, work that is due gets its task all the same."""
    stack = sorted_mailbox
    arrive(stack, MIA)
    write(stack, contacts=[contact("first")])
    stack.google.tasks.pause()
    stack.faults.inject(Fault("firestore", "RunQuery", status=403))
    answer, waiting = dispatch(stack), pending_sweeps(stack)
    stack.google.tasks.resume()
    stack.settle()
    assert (500, 1) == (answer, waiting)
