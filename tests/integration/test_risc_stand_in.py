"""The RISC stand-in: who may register a receiver of security events, and what of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from local.clock import LocalClock
from local.faults import Faults
from local.http import HttpServer
from local.ledger import Ledger
from local.risc_api import AUDIENCE, RiscApi

pytestmark = pytest.mark.integration

ACCOUNT = "risc@local-project.iam.gserviceaccount.com"
PUSH = "https://schemas.openid.net/secevent/risc/delivery-method/push"
DISABLED = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"


class Bench:
    """The stand-in, and tokens for it."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.ledger = LocalClock(folder / "clock"), Ledger()
        self.risc = RiscApi(self.clock, self.ledger, Faults(), ACCOUNT, lambda state: state)
        self.server = HttpServer(self.risc.app)

    def token(self, key: Any = None, **changes: Any) -> str:
        now = int(self.clock.now().timestamp())
        claims = {"iss": ACCOUNT, "sub": ACCOUNT, "aud": AUDIENCE, "iat": now, "exp": now + 600} | changes
        return jwt.encode(claims, key or self.risc.key_file()["private_key"], "RS256")

    def update(self, token: str, url: str = "https://crm.example/risc", event: str = DISABLED) -> int:
        body = {"delivery": {"delivery_method": PUSH, "url": url}, "events_requested": [event]}
        headers = {"Authorization": f"Bearer {token}"}
        address = f"{self.server.url}/v1beta/stream:update"
        return requests.post(address, json=body, headers=headers, timeout=10).status_code


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.server.stop()


def test_only_the_service_account_itself_registers(bench: Bench) -> None:
    """A token of another key, account or service, an old one and one for longer than an hour are refused."""
    now = int(bench.clock.now().timestamp())
    refused = [
        bench.token(rsa.generate_private_key(65537, 2048)),
        bench.token(iss="other@x", sub="other@x"),
        bench.token(aud="https://oauth2.googleapis.com/token"),
        bench.token(iat=now - 7200, exp=now - 3600),
        bench.token(exp=now + 7200),
        "ya29.an-access-token",
    ]

    assert [401] * 6 == [bench.update(token) for token in refused]
    assert {} == bench.risc.stream
    assert 200 == bench.update(bench.token())


def test_only_https_receivers_and_known_events_are_taken(bench: Bench) -> None:
    """An address without https and an event of another kind are refused."""
    assert 400 == bench.update(bench.token(), url="http://crm.example/risc")
    assert 400 == bench.update(bench.token(), event="https://example.com/event-type/account-disabled")
    assert [400, 400] == [call.status for call in bench.ledger.since(service="risc")]
