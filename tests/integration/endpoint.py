"""An HTTP endpoint for tests: it notes what it is sent and answers as it was told."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from werkzeug.wrappers import Request, Response

from local.http import HttpServer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@dataclass(frozen=True)
class Received:
    """One request as it came in; header names in lower case; ``at_s`` is monotonic."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float


class Endpoint:
    """Answers 204, unless ``answers`` holds statuses to give first. ``slow_s`` delays each answer."""

    def __init__(self) -> None:
        self.answers: deque[int] = deque()
        self.retry_after = ""
        self.slow_s = 0.0
        self.received: list[Received] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = HttpServer(self)
        self.url = self._server.url

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.received.append(Received(request.method, request.path, headers, request.get_data(), time.monotonic()))
            status = self.answers.popleft() if self.answers else 204
        time.sleep(self.slow_s)
        with self._lock:
            self._at_once -= 1
        response = Response(status=status, headers={"Retry-After": self.retry_after} if self.retry_after else {})
        return response(environ, start_response)

    def bodies(self) -> list[bytes]:
        return [received.body for received in self.received]

    def stop(self) -> None:
        self._server.stop()
