"""What the product needs of Google, on loopback and in this process: OAuth, Gmail, Secret Manager, Firestore.

``running`` points the product's configuration there; ``connect`` makes a connection through the real consent page.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from common import auth, clock, config, keys, oauth, secrets, tokens
from common.gmail import budget, transport
from common.model import Connection, Feature
from common.store import client as store_client
from local.accounts import Accounts
from local.browser import consent
from local.clock import LocalClock
from local.faults import Fault, Faults
from local.firestore.indexes import IndexList
from local.firestore.server import FirestoreServer
from local.gmail import GmailService
from local.http import HttpServer
from local.ledger import Ledger
from local.oauth import OAuthService
from local.secretmanager import SecretManager

ANNA, BEN, MIA = "anna@demo-crm.example", "ben@demo-crm.example", "mia@customer.example"
CALLBACK = "http://127.0.0.1:1/oauth_callback/callback"
VERIFIER = "v" * 43
_CACHES = (
    config.config, keys.keys, auth.google_keys, secrets._client, tokens.tokens, store_client.store,
    budget.windows, budget.slots, transport._shared_pool,
)  # fmt: skip


@dataclass
class Google:
    """The running stand-ins, and what a test turns and reads."""

    accounts: Accounts
    gmail: GmailService
    oauth_service: OAuthService
    clock: LocalClock
    ledger: Ledger
    faults: Faults
    pushes: list[str] = field(default_factory=list)

    def grant(
        self, address: str = ANNA, *, features: Collection[Feature] = (Feature.LABELS,), untick: Collection[str] = ()
    ) -> oauth.Grant:
        """What a user gives on the consent page, exchanged."""
        url = oauth.authorization_url("state", oauth.code_challenge(VERIFIER), oauth.scopes_for(features), address)
        answer = parse_qs(urlsplit(consent(url, address, untick=untick)).query)
        return oauth.exchange_code(answer["code"][0], VERIFIER)

    def connect(self, user_id: str = "anna", address: str = ANNA, *, untick: Collection[str] = ()) -> Connection:
        """A connection, with its secret and its record, as the claim of a ticket makes one."""
        grant = self.grant(address, untick=untick)
        generation = f"generation-of-{user_id}"
        connection = Connection(
            user_id=user_id,
            address=address,
            mailbox_key=f"mailbox-of-{oauth.verify_identity(grant.unverified_id_token).sub}",
            generation=generation,
            secret=secrets.secret_name(user_id, generation),
            scopes=grant.scopes,
            connected_at=clock.now(),
        )
        secrets.create(connection.secret)
        secrets.add_version(connection.secret, grant.refresh_token)
        store_client.store().connections.create(connection)
        store_client.store().mailboxes.join(connection.mailbox_key, user_id)
        return connection

    def inject(self, service: str, method: str, **fault: Any) -> None:
        self.faults.inject(Fault(service, method, **fault))

    def count(self, service: str, method: str, since: int = 0) -> int:
        """How often ``method`` was called."""
        return sum(call.method == method for call in self.ledger.since(since, service=service))


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch, folder: Path, **gmail_options: Any) -> Iterator[Google]:
    """The stand-ins, with mailboxes for Anna, Ben and Mia, as long as the block lasts."""
    local_clock, ledger, faults = LocalClock(folder / "clock"), Ledger(), Faults()
    accounts = Accounts(local_clock, "client-id", "client-secret", [CALLBACK])
    pushes: list[str] = []
    gmail = GmailService(local_clock, ledger, faults, accounts, lambda topic, _: pushes.append(topic), **gmail_options)
    for address, name in ((ANNA, "Anna Berger"), (BEN, "Ben Ode"), (MIA, "Mia Kunde")):
        accounts.add(address, name)
        gmail.add_mailbox(address, name=name)
    oauth_service = OAuthService(local_clock, ledger, faults, accounts)
    oauth_server = HttpServer(oauth_service.app)
    gmail_server = HttpServer(gmail.app)
    secret_manager = SecretManager(local_clock, ledger, faults)
    firestore = FirestoreServer(local_clock, ledger, faults, IndexList.load("common/store/indexes.json"))
    monkeypatch.setattr(clock, "_OFFSET_FILE", str(local_clock.offset_file))
    _configure(monkeypatch, oauth_server.url, gmail_server.url, secret_manager.address, firestore.address)
    try:
        yield Google(accounts, gmail, oauth_service, local_clock, ledger, faults, pushes)
    finally:
        transport._shared_pool().clear()
        for cached in _CACHES:
            cached.cache_clear()
        for stop in (oauth_server.stop, gmail_server.stop, secret_manager.stop, firestore.stop):
            stop()


def _configure(
    monkeypatch: pytest.MonkeyPatch, oauth_url: str, gmail_url: str, secrets_address: str, firestore_address: str
) -> None:
    environment = {
        "PROJECT_ID": "local-project",
        "REGION": "europe-west1",
        "OAUTH_CLIENT_ID": "client-id",
        "OAUTH_CLIENT_SECRET": "client-secret",
        "OAUTH_REDIRECT_URI": CALLBACK,
        "GOOGLE_AUTH_URL": f"{oauth_url}/o/oauth2/v2/auth",
        "GOOGLE_TOKEN_URL": f"{oauth_url}/token",
        "GOOGLE_REVOKE_URL": f"{oauth_url}/revoke",
        "GOOGLE_JWKS_URL": f"{oauth_url}/oauth2/v3/certs",
        "GMAIL_URL": gmail_url,
        "SECRET_MANAGER_ADDRESS": secrets_address,
        "FIRESTORE_EMULATOR_HOST": firestore_address,
        "HMAC_KEY": base64.b64encode(b"h" * 32).decode(),
        "SEALING_KEYS": base64.b64encode(b"s" * 32).decode(),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for cached in _CACHES:
        cached.cache_clear()
