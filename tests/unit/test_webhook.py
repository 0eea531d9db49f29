"""How news for the webhook is signed, and what its answers mean."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from common.errors import Unavailable
from common.webhook import sign, verify_taken


def test_signature_is_that_of_the_specification() -> None:
    """The reference vector of the Standard Webhooks libraries has the signature that they all print."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    sent_at = datetime.fromtimestamp(1614265330.9, tz=UTC)

    headers = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", sent_at, b'{"test": 2432232314}', key)

    assert {
        "content-type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    } == headers


@pytest.mark.parametrize("status", [200, 202, 204])
def test_success_is_the_end(status: int) -> None:
    """What the webhook took is told once."""
    assert verify_taken(status)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410])
def test_refusal_is_the_end(status: int) -> None:
    """What it refuses for good is not told again."""
    assert not verify_taken(status)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_passing_trouble_is_not(status: int) -> None:
    """What may pass is told again by the queue."""
    with pytest.raises(Unavailable):
        verify_taken(status)
