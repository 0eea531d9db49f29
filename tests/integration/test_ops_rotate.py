"""``rotate`` and ``register-risc``: keys renewed step by step, and the address that hears of endangered accounts."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from local.faults import Fault
from local.stack import Stack
from tests.integration.ops_rig import ops, put_deployment_secrets

pytestmark = pytest.mark.integration


@pytest.fixture
def deployed(stack: Stack) -> Stack:
    """The stack with a deployment's secrets, each with one version."""
    put_deployment_secrets(stack)
    return stack


def versions(stack: Stack, name: str) -> dict[int, str]:
    """The values of a secret by version; empty where it is destroyed."""
    held: dict[int, dict[str, Any]] = stack.google.secrets.dump()[name]["versions"]
    return {number: one["payload"].decode() for number, one in held.items()}


def rotate(stack: Stack, what: str, step: str) -> str:
    """One step, and the newest value after it."""
    ended = ops(stack, "rotate", what, "--step", step, "--json")
    held = versions(stack, ended.json["secret"])
    assert (0, max(held)) == (ended.code, ended.json["version"])
    return held[max(held)]


def test_sealing_keys_are_renewed_without_a_gap(deployed: Stack) -> None:
    """The new key opens before it seals, and the old one opens until it is dropped."""
    old = versions(deployed, "sealing-keys")[1]

    added = rotate(deployed, "sealing", "add")
    promoted = rotate(deployed, "sealing", "promote")
    dropped = rotate(deployed, "sealing", "drop")

    new = added.split(",")[1]
    assert (f"{old},{new}", f"{new},{old}", new) == (added, promoted, dropped)
    assert 32 == len(base64.b64decode(new, validate=True))


def test_steps_in_another_order_are_refused(deployed: Stack) -> None:
    """Nothing is written where a step does not fit what the secret holds, or the secret is empty."""
    early = ops(deployed, "rotate", "sealing", "--step", "drop", "--json")
    rotate(deployed, "sealing", "add")
    twice = ops(deployed, "rotate", "sealing", "--step", "add", "--json")
    webhook = ops(deployed, "rotate", "webhook", "--step", "promote")
    deployed.google.secrets.clear()
    missing = [ops(deployed, "rotate", what, "--step", "add", "--json").json for what in ("sealing", "webhook")]

    assert (1, "step-does-not-fit") == (early.code, early.json["error"]["code"])
    assert (1, "rotation-under-way") == (twice.code, twice.json["error"]["code"])
    assert 2 == webhook.code
    assert ["secret-empty", "secret-missing"] == [one["error"]["code"] for one in missing]


def test_no_step_shows_a_key(deployed: Stack) -> None:
    """What is said names secret, version and what comes next, never the value."""
    ended = ops(deployed, "rotate", "webhook", "--step", "add")
    new = versions(deployed, "webhook-key")[2]

    assert "webhook-key has version 2." in ended.out
    assert "secret_versions = { webhook_key = 2 }" in ended.out
    assert new not in ended.out + ended.err


def test_old_versions_go_once_the_new_one_is_applied(deployed: Stack) -> None:
    """clean destroys what is older than the version named, which must be there, and must be named."""
    rotate(deployed, "webhook", "add")
    unnamed = ops(deployed, "rotate", "webhook", "--step", "clean")
    wrong = ops(deployed, "rotate", "webhook", "--step", "clean", "--applied", "3", "--json")
    before = versions(deployed, "webhook-key")

    ended = ops(deployed, "rotate", "webhook", "--step", "clean", "--applied", "2", "--json")

    assert (2, "version-not-enabled") == (unnamed.code, wrong.json["error"]["code"])
    assert (0, [1]) == (ended.code, ended.json["destroyed"])
    assert {1: "", 2: before[2]} == versions(deployed, "webhook-key")


def test_the_receiver_of_security_events_is_registered(stack: Stack) -> None:
    """Google is told our address and the events that we act upon, and shows them."""
    none = ops(stack, "register-risc", "--show", "--json")
    ended = ops(stack, "register-risc", "--json")
    shown = ops(stack, "register-risc", "--show", "--json").json

    assert (1, True) == (none.code, "nothing is registered yet" in none.json["error"]["detail"])
    assert (0, stack.url("/oauth_callback/risc")) == (ended.code, ended.json["url"])
    assert ended.json == shown
    kinds = {"tokens-revoked", "sessions-revoked", "account-disabled", "account-purged", "verification"}
    assert kinds == set(shown["events"])


def test_a_test_event_reaches_the_receiver(stack: Stack) -> None:
    """--verify has Google send an event, which our route takes."""
    ops(stack, "register-risc")
    before = stack.front.counts().get("oauth_callback", 0)

    ended = ops(stack, "register-risc", "--verify")

    assert 0 == ended.code
    assert before + 1 == stack.front.counts()["oauth_callback"]
    assert any('"kind": "verification"' in line for line in stack.log_file("oauth_callback").read_text().splitlines())


def test_registering_without_the_right_is_told(stack: Stack) -> None:
    """Google's refusal comes with the role that is missing."""
    stack.faults.inject(Fault("risc", "stream:update", status=403))

    ended = ops(stack, "register-risc")

    assert (1, True) == (ended.code, "roles/riscconfigs.admin" in ended.err)
