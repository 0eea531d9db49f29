"""A function that dies at any of its calls to Google leaves nothing over: claim and deactivation, call by call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local.stack import Stack
from tests.integration.connecting import FUNCTION, claim, is_granted, kept, ticket_of
from tests.integration.dying import at_every_call, clean_up
from tests.integration.sweep_rig import OURS

pytestmark = pytest.mark.integration
WHOLE = {"connections": 1, "secrets": 1}


def test_a_claim_that_dies_at_any_call(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a connection that works, or neither secret nor grant; and connecting again works.

    What was consented but never exchanged minted nothing; a refresh token that died in memory, before Secret Manager
    had it, is held by nobody and can be given back by nobody.
    """

    def prepare() -> Callable[[], object]:
        ticket = ticket_of(stack)
        return lambda: claim(stack, "anna", ticket)

    for death in at_every_call(stack, monkeypatch, prepare):
        clean_up(stack)
        left = kept(stack)
        assert left in ({}, WHOLE), death.calls
        if "AddSecretVersion" in death.done:
            assert bool(left) == is_granted(stack), death.calls
        assert "healthy" == stack.connect("anna")["health"]["word"]


def test_a_deactivation_that_dies_at_any_call(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is as it was, or there is neither connection, nor secret, nor grant, nor watch, nor label."""

    def prepare() -> Callable[[], object]:
        stack.connect("anna")
        stack.switch_on("anna", mailmagnet=True, labels=True)
        return lambda: stack.call("anna", "DELETE", f"{FUNCTION}/connection?labels=remove")

    for death in at_every_call(stack, monkeypatch, prepare):
        clean_up(stack)
        left = kept(stack)
        assert left in ({}, WHOLE), death.calls
        assert bool(left) == is_granted(stack), death.calls
        others = [path for path in stack.documents() if path.startswith(("sync/", "work/", "mailboxes/"))]
        assert bool(left) == bool(others), death.calls
        assert (OURS if left else set()) == stack.label_names("anna") & OURS, death.calls
