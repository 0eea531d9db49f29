"""What is owed to Google over HTTP: trouble at Gmail may put off the end of a grant, but never for good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common import clock, revocation
from common.model import Share, Sync
from common.store.client import store
from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, claim, is_granted, kept, ticket_of
from tests.integration.google_rig import Google, running

pytestmark = pytest.mark.integration
# How many commits of a claim come before the one that makes the connection: of a first one, and of another.
FIRST, AGAIN = 4, 2

_REFUSALS = [
    Fault("gmail", "users.stop", status=403, reason="accessNotConfigured", count=10_000),
    Fault("gmail", "users.stop", status=503, count=10_000),
    Fault("oauth", "token", status=401, reason="invalid_client", count=10_000),
]


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    with running(monkeypatch, tmp_path) as rig:
        yield rig


def end(stack: Stack) -> None:
    stack.ask("anna", "DELETE", f"{FUNCTION}/connection")


def wait(stack: Stack, minutes: int, times: int) -> None:
    """Lets time pass, and the tasks that are due meanwhile do their work."""
    for _ in range(times):
        stack.advance(minutes * 60)
        stack.settle()


@pytest.mark.parametrize("fault", _REFUSALS, ids=lambda fault: f"{fault.method}-{fault.status}")
def test_trouble_at_gmail_does_not_keep_a_grant_alive(stack: Stack, fault: Fault) -> None:
    """The watch is to be stopped first, but who cannot stop it for an hour revokes all the same."""
    stack.connect("anna")
    stack.advance(3601)
    stack.faults.inject(replace(fault))

    end(stack)
    assert ({"revocations": 1, "secrets": 1}, True) == (kept(stack), is_granted(stack))
    wait(stack, minutes=30, times=6)

    assert ({}, False) == (kept(stack), is_granted(stack))
    actions = {one["action"] for one in stack.ask("carla", "GET", f"{FUNCTION}/audit")["records"]}
    assert "revocation_given_up" not in actions


def test_an_hours_trouble_at_gmail_is_waited_for(stack: Stack) -> None:
    """Where Gmail works again in time, the watch is stopped before the grant goes."""
    stack.connect("anna")
    stack.faults.inject(Fault("gmail", "users.stop", status=503, count=10_000))
    end(stack)
    wait(stack, minutes=5, times=4)
    assert is_granted(stack)

    stack.faults.clear()
    mark = stack.ledger.mark()
    wait(stack, minutes=30, times=2)

    called = [call.method for call in stack.ledger.since(mark) if call.method in ("users.stop", "revoke")]
    assert (["users.stop", "revoke"], {}) == (called, kept(stack))


def die_claiming(stack: Stack) -> None:
    """A claim that cannot say at the end whether it made a connection: what it was granted is noted as owed."""
    ticket = ticket_of(stack)
    commits = AGAIN if "connections/YW5uYQ" in stack.documents() else FIRST
    stack.faults.inject(Fault("firestore", "Commit", status=504, skip=commits))
    assert 503 == claim(stack, "anna", ticket).status_code


def test_leaving_ends_what_a_dead_claim_was_granted(stack: Stack) -> None:
    """Who could not connect and disconnects is rid of the grant at once, not when a claim's hour is over."""
    die_claiming(stack)
    assert is_granted(stack)

    end(stack)

    assert ({}, False) == (kept(stack), is_granted(stack))


def test_a_dead_claim_does_not_keep_a_grant_from_being_revoked(stack: Stack) -> None:
    """The same where a connection stands beside the claim that died."""
    stack.connect("anna")
    die_claiming(stack)
    assert {"connections": 1, "revocations": 1, "secrets": 2, "pending_connections": 1} == kept(stack)

    end(stack)

    assert ({}, False) == (kept(stack), is_granted(stack))


def test_who_connects_anew_loses_nothing_to_the_end_before(google: Google) -> None:
    """Deleting what a former connection left stops as soon as there is another one: its own records stay."""
    made = google.connect()
    key, at = made.mailbox_key, clock.now()
    store().syncs.create(Sync(user_id="anna", generation=made.generation, mailbox_key=key, cursor=7))
    store().shares.create(Share(owner="anna", contact_id="mia", addresses=(), mailbox_key=key, shared=True, at=at))

    revocation.delete_held_data("anna")
    assert (True, 1) == (store().syncs.load("anna") is not None, len(store().shares.of_owner("anna")))

    store().connections.delete("anna")
    revocation.delete_held_data("anna")
    assert (True, 0) == (store().syncs.load("anna") is None, len(store().shares.of_owner("anna")))
