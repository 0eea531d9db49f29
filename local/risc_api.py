"""Google's RISC service: where an OAuth client says which address is to hear of endangered accounts (v1beta).

Owns that one stream, and the service account who may set it. May import no other stand-in. Rules:
https://developers.google.com/identity/protocols/risc (sections 4 to 6).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask, Response, jsonify, request

from local.dispatch import send_http
from local.ledger import Call

if TYPE_CHECKING:
    from local.clock import LocalClock
    from local.faults import Faults
    from local.ledger import Ledger

AUDIENCE = "https://risc.googleapis.com/google.identity.risc.v1beta.RiscManagementService"
_PUSH = "https://schemas.openid.net/secevent/risc/delivery-method/push"
_EVENTS = (
    "https://schemas.openid.net/secevent/risc/event-type/",
    "https://schemas.openid.net/secevent/oauth/event-type/",
)
_LONGEST_S = 3600
_LEEWAY_S = 300


class RiscApi:
    """``app`` is the WSGI side; ``key_file`` is what a service account's key file holds, for who may call it."""

    def __init__(
        self, clock: LocalClock, ledger: Ledger, faults: Faults, account: str, mint_verification: Callable[[str], str]
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._account = account
        self._mint_verification = mint_verification
        self._key = rsa.generate_private_key(65537, 2048)
        self.stream: dict[str, Any] = {}
        self.app = Flask("local.risc_api")
        for path, method, work in (
            ("/v1beta/stream", "GET", self._get),
            ("/v1beta/stream:update", "POST", self._update),
            ("/v1beta/stream:verify", "POST", self._verify),
        ):
            self.app.add_url_rule(path, f"{method} {path}", self._view(path, work), methods=[method])

    def key_file(self) -> dict[str, str]:
        """The key as Google's console hands it out."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": self._account.partition("@")[2].partition(".")[0],
            "client_email": self._account,
            "private_key_id": "local",
            "private_key": pem.decode(),
            "token_uri": "http://127.0.0.1:9/never-asked",
        }

    def _view(self, path: str, work: Callable[[], Response]) -> Callable[[], Response]:
        name = path.removeprefix("/v1beta/")

        def view() -> Response:
            started_s, http_id = time.monotonic(), self._ledger.next_http_id()
            fault = self._faults.take("risc", name)
            if fault is not None and fault.status:
                answer = _refusal(fault.status, fault.message or "injected fault")
            else:
                answer = work() if self._is_permitted() else _refusal(401, "The token is not valid.")
            call = Call("risc", name, "", 0, answer.status_code, started_s, time.monotonic(), http_id)
            self._ledger.record(call)
            return answer

        return view

    def _is_permitted(self) -> bool:
        """Whether the token is one that the service account has signed for this very service, for an hour at most."""
        unverified = request.headers.get("Authorization", "").removeprefix("Bearer ")
        options: Any = {"verify_exp": False, "verify_iat": False, "require": ["iss", "sub", "aud", "iat", "exp"]}
        try:
            claims = jwt.decode(unverified, self._key.public_key(), ["RS256"], audience=AUDIENCE, options=options)
        except jwt.PyJWTError:
            return False
        now = self._clock.now().timestamp()
        lasts_s = claims["exp"] - claims["iat"]
        is_now = claims["iat"] - _LEEWAY_S <= now <= claims["exp"]
        return bool(claims["iss"] == claims["sub"] == self._account and is_now and 0 < lasts_s <= _LONGEST_S)

    def _get(self) -> Response:
        return jsonify(self.stream) if self.stream else _refusal(404, "No stream is configured.")

    def _update(self) -> Response:
        body = request.get_json(silent=True) or {}
        delivery, events = body.get("delivery"), body.get("events_requested")
        if not isinstance(delivery, dict) or delivery.get("delivery_method") != _PUSH:
            return _refusal(400, "The delivery method is not supported.")
        url = str(delivery.get("url", ""))
        # Google takes https alone; on this machine there is none.
        if not url.startswith(("https://", "http://127.0.0.1:")):
            return _refusal(400, "The receiver's URL must be https.")
        if not isinstance(events, list) or not events or not all(str(one).startswith(_EVENTS) for one in events):
            return _refusal(400, "An event type is not supported.")
        self.stream = {"delivery": delivery, "events_requested": events, "status": "enabled"}
        return jsonify({})

    def _verify(self) -> Response:
        if not self.stream:
            return _refusal(404, "No stream is configured.")
        token = self._mint_verification(str((request.get_json(silent=True) or {}).get("state", "")))
        headers = {"Content-Type": "application/secevent+jwt"}
        send_http("POST", self.stream["delivery"]["url"], headers, token.encode(), 10.0)
        return jsonify({})


def _refusal(status: int, message: str) -> Response:
    answer = jsonify({"error": {"code": status, "message": message}})
    answer.status_code = status
    return answer
