"""Google's security events over HTTP: whose grant they end, which of them came too late, and none gets lost."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, refusal

pytestmark = pytest.mark.integration


def post(stack: Stack, token: str) -> int:
    """What ``/risc`` answers."""
    return stack.call(None, "POST", f"{FUNCTION}/risc", data=token).status_code


def status(stack: Stack, user: str = "anna") -> str:
    return str(stack.ask(user, "GET", f"{FUNCTION}/connection")["status"])


def altered(stack: Stack, token: str, **changes: Any) -> str:
    """The same event with other claims, signed by Google."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return stack.google.oauth.risc_keys.sign({**claims, **changes}, typ="secevent+jwt")


def test_an_event_counts_from_when_it_happened(stack: Stack) -> None:
    """A token that was issued late says by toe when the event was: a grant that is newer lives on."""
    happened_at = int(stack.clock.now().timestamp())
    stack.advance(60)
    stack.connect("anna")
    stack.advance(60)
    token = stack.google.oauth.security_event("tokens-revoked", "anna@demo-crm.example")

    assert (202, "connected") == (post(stack, altered(stack, token, toe=happened_at)), status(stack))
    assert (202, "reauth_required") == (post(stack, token), status(stack))


def test_an_event_of_the_grants_own_time_ends_it(stack: Stack) -> None:
    """A time of the event that lies behind its token's is not believed: the token's own counts."""
    stack.connect("anna")
    stack.advance(60)
    token = stack.google.oauth.security_event("sessions-revoked", "anna@demo-crm.example")
    later = int(stack.clock.now().timestamp()) + 86_400

    assert (202, "reauth_required") == (post(stack, altered(stack, token, toe=later)), status(stack))


def test_an_event_is_not_lost_to_writes_that_are_faster(stack: Stack) -> None:
    """Where others keep changing the connection the event is done all the same, or Google is told to post it again."""
    stack.connect("anna")
    token = stack.google.oauth.security_event("sessions-revoked", "anna@demo-crm.example")
    stack.faults.inject(Fault("firestore", "Commit", status=404, count=3))
    assert (202, "reauth_required") == (post(stack, token), status(stack))

    stack.connect("ben")
    token = stack.google.oauth.security_event("sessions-revoked", "ben@demo-crm.example")
    stack.faults.inject(Fault("firestore", "Commit", status=404, count=100))
    assert 503 == post(stack, token)
    stack.faults.clear()
    assert (202, "reauth_required") == (post(stack, token), status(stack, "ben"))


@pytest.mark.parametrize("method", ["risc_certs", "risc_configuration"])
def test_keys_that_cannot_be_fetched_forge_nothing(stack: Stack, method: str) -> None:
    """Without Google's keys the event is neither refused nor taken: Google posts it again."""
    stack.connect("anna")
    # What the function holds of them is over by then.
    stack.advance(2 * 86_400)
    token = stack.google.oauth.security_event("tokens-revoked", "anna@demo-crm.example")
    stack.faults.inject(Fault("jwks", method, status=503, count=1000))
    answer = stack.call(None, "POST", f"{FUNCTION}/risc", data=token)
    assert (503, "keys-unavailable") == refusal(answer)

    stack.faults.clear()
    stack.advance(3)
    assert (202, "reauth_required") == (post(stack, token), status(stack))
