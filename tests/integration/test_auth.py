"""How the keys behind tokens are fetched: seldom, and never mistaken for a forged token where they cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug import Request, Response

from common import clock
from common.auth import KeySet
from common.config import config
from common.errors import Unauthenticated, Unavailable
from common.risc import Configuration
from local.clock import LocalClock
from local.http import HttpServer

pytestmark = pytest.mark.integration


class KeyServer:
    """Serves the keys named in ``kids``, or ``body``, with ``status``; counts how often it is asked."""

    def __init__(self) -> None:
        self.kids = ["first"]
        self.status = 200
        self.asked = 0
        self.body: object = None
        self.while_asked: Callable[[], object] = lambda: None
        self._key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
        self._server = HttpServer(Request.application(self._answer))
        self.url = self._server.url

    def _answer(self, _: Request) -> Response:
        self.asked += 1
        self.while_asked()
        keys = [{**self._key, "kid": kid, "alg": "ES256"} for kid in self.kids]
        body = {"keys": keys} if self.body is None else self.body
        return Response(json.dumps(body), status=self.status, content_type="application/json")

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    running = KeyServer()
    yield running
    running.stop()


@pytest.fixture
def local_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalClock:
    made = LocalClock(tmp_path / "clock")
    monkeypatch.setattr(clock, "_OFFSET_FILE", str(made.offset_file))
    return made


def test_made_up_kids_fetch_the_keys_once_a_minute(server: KeyServer, local_clock: LocalClock) -> None:
    """However many unknown kids come, the CRM's server is asked once a minute, and known ones are not held up."""
    keys = KeySet(server.url)
    assert "first" == keys.find("first").key_id

    for minute in range(3):
        for number in range(20):
            with pytest.raises(Unauthenticated):
                keys.find(f"made-up-{number}")
        assert "first" == keys.find("first").key_id
        assert minute + 1 == server.asked
        local_clock.advance(61)


def test_a_new_key_is_found(server: KeyServer, local_clock: LocalClock) -> None:
    """After a rotation the first token with the new kid brings the new keys, and the old one is gone."""
    keys = KeySet(server.url)
    keys.find("first")
    server.kids = ["second"]
    local_clock.advance(61)

    assert "second" == keys.find("second").key_id
    with pytest.raises(Unauthenticated):
        keys.find("first")


def test_keys_are_fetched_anew_every_hour(server: KeyServer, local_clock: LocalClock) -> None:
    """A key that its owner has withdrawn is taken for an hour at most."""
    keys = KeySet(server.url)
    keys.find("first")
    server.kids = ["second"]
    local_clock.advance(timedelta(minutes=61).total_seconds())

    with pytest.raises(Unauthenticated):
        keys.find("first")


@pytest.mark.parametrize("status", [500, 404, 302])
def test_keys_that_cannot_be_fetched_are_trouble_of_ours(
    server: KeyServer, local_clock: LocalClock, status: int
) -> None:
    """Without keys nobody is called a forger; a redirect is not followed; what was known stays good."""
    keys = KeySet(server.url)
    server.status = status
    with pytest.raises(Unavailable):
        keys.find("first")
    local_clock.advance(3)
    server.status = 200

    assert "first" == keys.find("first").key_id
    server.status = status
    local_clock.advance(3700)
    assert "first" == keys.find("first").key_id


def test_operators_are_told_why_keys_are_not_fetched(
    server: KeyServer, local_clock: LocalClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each failure is one line of the log, by the error's class and frames, without an address."""
    server.status = 500
    with pytest.raises(Unavailable):
        KeySet(server.url).find("first")

    logged = capsys.readouterr().err.splitlines()
    line = json.loads(logged[0])
    assert (1, "ERROR", "keys", "ValueError") == (len(logged), line["severity"], line["event"], line["error"])
    assert server.url not in logged[0]


@pytest.mark.parametrize("body", [7, [1], "keys", {"keys": "none"}, {"keys": [1]}, {"keys": [{"kid": "first"}]}])
def test_what_is_no_key_set_is_trouble_of_ours(server: KeyServer, local_clock: LocalClock, body: object) -> None:
    """JSON of another form is answered as keys that cannot be fetched, and what was known stays good."""
    keys = KeySet(server.url)
    server.body = body
    with pytest.raises(Unavailable):
        keys.find("first")
    local_clock.advance(3)
    server.body = None
    assert "first" == keys.find("first").key_id


def test_who_waited_for_keys_in_vain_does_not_ask_again(server: KeyServer, local_clock: LocalClock) -> None:
    """Where the keys' server takes long to fail, the next caller in the queue is refused at once."""
    keys = KeySet(server.url)
    server.status, server.while_asked = 500, lambda: local_clock.advance(5)

    for _ in range(3):
        with pytest.raises(Unavailable):
            keys.find("first")

    assert 1 == server.asked


def test_the_document_of_google_keys_is_not_waited_for_in_turn(
    server: KeyServer, local_clock: LocalClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same holds for the document that names the keys of security events."""
    for name, value in {"PROJECT_ID": "p", "REGION": "r", "GOOGLE_RISC_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    config.cache_clear()
    server.status, server.while_asked = 500, lambda: local_clock.advance(5)
    document = Configuration()

    for _ in range(3):
        with pytest.raises(Unavailable):
            document.receiver()

    config.cache_clear()
    assert 1 == server.asked
