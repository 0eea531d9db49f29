"""Adds to the pushes of Google's Pub/Sub emulator what it lacks: the OIDC token of the subscription.

Owns the detour alone; the emulator's retries and dead letters stay its own. May import no other stand-in.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from werkzeug.wrappers import Request, Response

from local.dispatch import Mint, send_http
from local.http import HttpServer
from local.pubsub import ACKNOWLEDGED, PushSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class PushRelay:
    """The running relay. ``acknowledged`` holds the ids of the messages that their endpoint took."""

    def __init__(self, mint: Mint) -> None:
        self.acknowledged: set[str] = set()
        self._mint = mint
        self._lock = threading.Lock()
        self._targets: dict[str, PushSettings] = {}
        self._server = HttpServer(self)

    def relayed(self, settings: PushSettings) -> PushSettings:
        """The settings by which the emulator pushes here, and from here to where ``settings`` says."""
        name = str(len(self._targets))
        self._targets[name] = settings
        return replace(settings, endpoint=f"{self._server.url}/{name}")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        settings = self._targets[request.path.removeprefix("/")]
        token = self._mint(settings.service_account, settings.audience or settings.endpoint)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        body = request.get_data()
        answer = send_http("POST", settings.endpoint, headers, body, settings.ack_deadline_s)
        is_taken = answer.status in ACKNOWLEDGED
        if is_taken:
            with self._lock:
                self.acknowledged.add(str(json.loads(body)["message"]["messageId"]))
        # The emulator takes 202 for a failure; Google does not.
        return Response(status=204 if is_taken else answer.status or 503)(environ, start_response)

    def stop(self) -> None:
        self._server.stop()
