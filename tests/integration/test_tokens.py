"""Access tokens of real connections: secret, refresh, and what follows when the grant is dead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from common import audit, secrets, tokens
from common.errors import ReauthRequired, Unavailable
from common.model import ConnectionStatus
from common.store.client import store
from tests.integration.google_rig import ANNA, BEN, Google, running

pytestmark = pytest.mark.integration


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    with running(monkeypatch, tmp_path) as rig:
        yield rig


def test_ten_requests_refresh_once(google: Google) -> None:
    """Ten requests that arrive together cost one reading of the secret and one refresh, and get a good token."""
    connection = google.connect()
    before = google.ledger.mark()
    google.inject("oauth", "token", delay_s=0.2)

    with ThreadPoolExecutor(10) as threads:
        got = set(threads.map(tokens.access_token, [connection] * 10))

    held = google.accounts.check(got.pop())
    assert held is not None
    assert (ANNA, set()) == (held.address, got)
    assert 1 == google.count("oauth", "token", before)
    assert 1 == google.count("secretmanager", "AccessSecretVersion", before)


def test_token_is_renewed_before_it_ends(google: Google) -> None:
    """A minute before Google lets a token die, another one is fetched."""
    connection = google.connect()
    first = tokens.access_token(connection)
    google.clock.advance(3500)
    kept = tokens.access_token(connection)
    google.clock.advance(45)

    assert (first, False) == (kept, tokens.access_token(connection) == first)


def test_dead_grant_is_said_once(google: Google) -> None:
    """A revoked grant sets the status and one audit record, however many find out."""
    connection = google.connect()
    google.accounts.revoke_account(ANNA)

    for _ in range(3):
        with pytest.raises(ReauthRequired) as refusal:
            tokens.access_token(connection)
        assert {"reason": "revoked"} == refusal.value.members

    held = store().connections.load("anna")
    records = [record for record in store().audit.page(limit=10) if record.action == audit.REAUTH_REQUIRED]
    assert held is not None
    assert (ConnectionStatus.REAUTH_REQUIRED, "revoked") == (held.value.status, held.value.reauth_reason)
    assert [("anna", "revoked")] == [(record.subject, record.what) for record in records]


def test_status_stops_all_work(google: Google) -> None:
    """Once the status says so, neither the secret nor Google is asked."""
    google.connect()
    held = store().connections.load("anna")
    assert held is not None
    dead = replace(held.value, status=ConnectionStatus.REAUTH_REQUIRED)
    before = google.ledger.mark()

    with pytest.raises(ReauthRequired):
        tokens.access_token(dead)
    assert [] == google.ledger.since(before)


def test_old_generations_death_does_not_touch_the_new(google: Google) -> None:
    """What a task of a former connection finds out about its dead grant changes nothing about the present one."""
    connection = google.connect()
    google.accounts.revoke_account(ANNA)
    held = store().connections.load("anna")
    assert held is not None
    store().connections.update(held, generation="the next one")

    with pytest.raises(ReauthRequired):
        tokens.access_token(connection)
    after = store().connections.load("anna")
    assert after is not None
    assert ConnectionStatus.CONNECTED is after.value.status


def test_destroyed_secret_asks_for_reconnection(google: Google) -> None:
    """A connection whose secret is gone can only be connected anew, and says so."""
    connection = google.connect()
    secrets.destroy(connection.secret)

    with pytest.raises(ReauthRequired):
        tokens.access_token(connection)
    held = store().connections.load("anna")
    assert held is not None
    assert "secret-missing" == held.value.reauth_reason


@pytest.mark.parametrize(("service", "method"), [("oauth", "token"), ("secretmanager", "AccessSecretVersion")])
def test_trouble_changes_nothing(google: Google, service: str, method: str) -> None:
    """When Google or its Secret Manager fails, the connection stays as it is, and the next try may succeed."""
    connection = google.connect()
    google.inject(service, method, status=500)

    with pytest.raises(Unavailable):
        tokens.access_token(connection)
    held = store().connections.load("anna")
    assert held is not None
    assert ConnectionStatus.CONNECTED is held.value.status
    assert tokens.access_token(connection)


def test_dead_grant_is_told_even_where_it_cannot_be_kept(google: Google) -> None:
    """When the store fails, the caller hears of the dead grant all the same, and the next who asks keeps it."""
    connection = google.connect()
    google.accounts.revoke_account(ANNA)
    google.inject("firestore", "Commit", status=500)

    for _ in range(2):
        with pytest.raises(ReauthRequired):
            tokens.access_token(connection)
    held = store().connections.load("anna")
    assert held is not None
    assert ConnectionStatus.REAUTH_REQUIRED is held.value.status


def test_one_dead_connection_leaves_others_alone(google: Google) -> None:
    """Anna's dead grant does not keep Ben's token from coming."""
    anna, ben = google.connect(), google.connect("ben", BEN)
    google.accounts.revoke_account(ANNA)
    with pytest.raises(ReauthRequired):
        tokens.access_token(anna)

    held = google.accounts.check(tokens.access_token(ben))
    assert held is not None
    assert BEN == held.address


def test_marking_twice_says_so_once(google: Google) -> None:
    """The second who marks a connection is told that it was known."""
    connection = google.connect()

    assert [True, False] == [tokens.mark_reauth(connection, "revoked") for _ in range(2)]


def test_many_who_find_out_at_once_mark_once(google: Google) -> None:
    """Of five that mark at the same moment, as instances would, one does it, and one audit record says so."""
    connection = google.connect()
    with ThreadPoolExecutor(5) as threads:
        marked = list(threads.map(lambda _: tokens.mark_reauth(connection, "revoked"), range(5)))

    records = [record for record in store().audit.page(limit=10) if record.action == audit.REAUTH_REQUIRED]
    assert (1, 1) == (sum(marked), len(records))


def test_deactivated_connection_is_not_marked(google: Google) -> None:
    """A connection that is gone by now is left alone."""
    connection = google.connect()
    store().connections.delete("anna")

    assert tokens.mark_reauth(connection, "revoked") is False
    assert store().connections.load("anna") is None


def test_nothing_is_told_of_the_token(google: Google, capsys: pytest.CaptureFixture[str]) -> None:
    """The log of a dead grant has neither the token, nor the address, nor the user's id."""
    connection = google.connect()
    refresh_token = secrets.access_latest(connection.secret)
    google.accounts.revoke_account(ANNA)
    with pytest.raises(ReauthRequired):
        tokens.access_token(connection)

    logged = capsys.readouterr().err
    assert '"event": "reauth"' in logged
    assert [] == [word for word in (refresh_token, ANNA, '"anna"') if word in logged]
