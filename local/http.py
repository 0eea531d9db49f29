"""Serves a WSGI application on loopback, in threads, over HTTP/1.1."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        """Says nothing: who wants an access log keeps it in the application."""


class HttpServer:
    """A running server; ``url`` has no slash at its end. ``stop`` ends it and frees the port."""

    def __init__(self, app: WSGIApplication, port: int = 0) -> None:
        self._server: BaseWSGIServer = make_server("127.0.0.1", port, app, threaded=True, request_handler=_QuietHandler)
        self.port: int = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        # The poll interval is what stop() waits; half a second by default.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name=f"http-{self.port}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def drop_connection(environ: WSGIEnvironment) -> None:
    """Closes the client's connection under a request: whatever the application answers afterwards is lost."""
    connection: socket.socket = environ["werkzeug.socket"]
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
