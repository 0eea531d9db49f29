"""A dispatch that ends half-way, runs twice or beside another loses nothing and doubles nothing."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from bench.crowd import ROOT
from local import environment
from local.faults import Fault
from local.firestore import FirestoreServer
from local.stack import Stack
from tests.integration.dying import Death, dying
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

NEVER = 10**9


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


@pytest.mark.parametrize("answer_lost", [False, True], ids=["refused", "answer lost"])
def test_dispatch_that_dies_at_any_call(
    sorted_mailbox: Stack, monkeypatch: pytest.MonkeyPatch, *, answer_lost: bool
) -> None:
    """Whichever call a dispatch dies at, what changed is filed and searched for, and each mail is moved once."""
    stack = sorted_mailbox
    mail = filed(stack, MIA)
    expected = itertools.cycle([("won", CUSTOMERS), ("open", CLOSING)])
    for at in itertools.count():
        state, label = next(expected)
        fresh = arrive(stack, f"new{at}@neu.example")
        write(stack, contacts=[contact(f"new{at}")], deals=[record(stack, "deals", "d-01", state=state)])
        death, mark = Death(at, answer_lost=answer_lost), stack.ledger.mark()
        stack.google.tasks.pause()
        with dying(stack, monkeypatch, death):
            dispatch(stack)
        stack.google.tasks.resume()
        stack.settle()
        sweep(stack)

        left = ({label}, True, False, 1)
        seen = (place(stack, mail), fresh in notices(stack), has_work(stack), modifies(gmail_calls(stack, mark)))
        assert left == seen, (at, death.calls)
        if not death.has_struck:
            break
    assert at > 15


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


def test_large_full_load_is_followed_by_several_dispatches(sorted_mailbox: Stack) -> None:
    """12,400 contacts written within seconds are too many for one dispatch, but keep neither work nor mail for ever."""
    stack = sorted_mailbox
    fill_contacts(stack, 12_400)
    stack.advance(20)
    early = arrive(stack, "zz@neu.example")
    write(stack, contacts=[contact("zz")])
    fresh = arrive(stack, MIA)
    seen = []
    for _ in range(2):
        sweep(stack)
        seen.append((place(stack, fresh), early in notices(stack)))
    assert [({CLOSING}, False), ({CLOSING}, True)] == seen


def fill_contacts(stack: Stack, count: int) -> None:
    """Contacts without addresses, changed a millisecond after each other from now on."""
    now, server = stack.clock.now(), stack.google.firestore
    assert isinstance(server, FirestoreServer)
    server.fill(
        ROOT, dict(stored_contact(f"{number:06}", now + timedelta(milliseconds=number)) for number in range(count))
    )


def stored_contact(contact_id: str, at: datetime) -> tuple[str, dict[str, Any]]:
    stored = {"contact_id": contact_id, "name": "", "addresses": [], "address_index": [], "updated_at": at}
    return f"contacts/{encoded(contact_id)}", stored
