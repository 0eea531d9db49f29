"""A CRM's webhook that hears what a stack tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from werkzeug import Request, Response

from local.http import HttpServer
from local.stack import Stack


@dataclass
class Receiver:
    """A CRM's webhook that keeps what it is told and answers as it is told to."""

    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def app(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        self.requests.append(({name.lower(): value for name, value in request.headers}, request.get_data()))
        status = self.statuses.pop(0) if self.statuses else 204
        response = Response(status=status)
        if status == 302:
            response.headers["Location"] = request.base_url + "elsewhere"
        return response(environ, start_response)

    def bodies(self) -> list[dict[str, Any]]:
        """All that was heard, in order."""
        return [json.loads(body) for _, body in self.requests]

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [body["data"] for body in self.bodies() if body["type"] == kind]

    def ids(self) -> list[str]:
        """The ids under which the news came."""
        return [headers["webhook-id"] for headers, _ in self.requests]

    def forget(self) -> None:
        """Hears as if for the first time."""
        self.requests.clear()
        self.statuses.clear()


@contextmanager
def hooked(directory: Path) -> Iterator[tuple[Stack, Receiver]]:
    """A stack with a webhook, as long as the block lasts."""
    receiver = Receiver()
    server = HttpServer(receiver.app)
    try:
        with Stack(directory, extra_environment={"WEBHOOK_URL": f"{server.url}/hook"}) as running:
            yield running, receiver
    finally:
        server.stop()
