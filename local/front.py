"""Google's front before the functions: one port, who may call what, size limits, and the request log.

Owns the proxying and the log. Does to private functions' tokens as Cloud Run does: verifies them, then takes the
signature off (https://cloud.google.com/run/docs/authenticating/service-to-service). May import no stand-in.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local.front_token import TokenVerifier, without_signature
from local.http import HttpServer

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIEnvironment

    from local.clock import LocalClock

MAX_REQUEST_BYTES = 32 * 1024 * 1024
MAX_UNSTREAMED_ANSWER_BYTES = 32 * 1024 * 1024
_BLOCK_BYTES = 64 * 1024
_UPSTREAM_TIMEOUT_S = 600.0
# RFC 9110 section 7.6.1: what concerns one connection is not passed on.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"}
)


class _TooLarge(Exception):
    """A streamed request grew beyond the limit."""


class _Refused(Exception):
    """The front answers by itself: status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass
class Route:
    """A function behind the front: its instances' URLs (round robin) and, where it is private, its invokers' emails."""

    name: str
    instances: list[str]
    invokers: frozenset[str] | None = None
    _turn: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def next_instance(self) -> str:
        return self.instances[next(self._turn) % len(self.instances)]


@dataclass
class _Exchange:
    """What the log will say of one request."""

    route: Route
    environ: WSGIEnvironment
    target: str
    headers: dict[str, str]
    started_s: float = field(default_factory=time.monotonic)
    status: int = 0
    request_bytes: int = 0
    answer_bytes: int = 0


class Front:
    """The running front. ``url_of(name)`` is a function's address, and the audience that a caller's token must have.

    ``observe``, where somebody has set it, hears of each request: method, path and query, status, seconds.
    """

    observe: Callable[[str, str, int, float], None] | None = None

    def __init__(self, clock: LocalClock, jwks_url: str, log_file: Path, *, port: int = 0) -> None:
        self._clock = clock
        self._verifier = TokenVerifier(clock, jwks_url)
        self.log_file = log_file
        self._lock = threading.Lock()
        self._routes: dict[str, Route] = {}
        self._counts: Counter[str] = Counter()
        self._server = HttpServer(self, port)
        self.port = self._server.port
        self.url = self._server.url

    def add(self, route: Route) -> None:
        """Puts a function behind the front, or replaces it."""
        with self._lock:
            self._routes[route.name] = route

    def url_of(self, name: str) -> str:
        return f"{self.url}/{name}"

    def counts(self) -> dict[str, int]:
        """How many requests each function was asked, refused ones included."""
        with self._lock:
            return dict(self._counts)

    def stop(self) -> None:
        self._server.stop()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        exchange = self._exchange(environ)
        if exchange is None:
            return _answer_text(start_response, 404, "The requested URL was not found on this server.")
        try:
            self._admit(exchange)
            return self._forward(exchange, start_response)
        except _Refused as refused:
            exchange.status = refused.status
            self._log(exchange)
            return _answer_text(start_response, refused.status, refused.text)

    def _exchange(self, environ: WSGIEnvironment) -> _Exchange | None:
        # The path as it came: decoding it would turn an id's %2F into a slash.
        raw = str(environ.get("RAW_URI") or environ["REQUEST_URI"])
        path, question, query = raw.partition("?")
        name, _, rest = path.removeprefix("/").partition("/")
        route = self._routes.get(name)
        if route is None:
            return None
        with self._lock:
            self._counts[name] += 1
        return _Exchange(route, environ, f"/{rest}{question}{query}", _request_headers(environ))

    def _admit(self, exchange: _Exchange) -> None:
        """Checks size and caller, and leaves in the headers what the function may see. Raises _Refused."""
        length = exchange.environ.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal():
            raise _Refused(400, "Bad Request")
        exchange.request_bytes = int(length)
        if exchange.request_bytes > MAX_REQUEST_BYTES:
            raise _Refused(413, "Request Entity Too Large")
        if exchange.route.invokers is not None:
            self._check_caller(exchange.headers, exchange.route, exchange.route.invokers)

    def _check_caller(self, headers: dict[str, str], route: Route, invokers: frozenset[str]) -> None:
        serverless = headers.pop("x-serverless-authorization", None)
        credential = serverless if serverless is not None else headers.get("authorization", "")
        scheme, _, unverified_token = credential.partition(" ")
        if scheme.lower() != "bearer" or not unverified_token:
            raise _Refused(401, "The request was not authenticated.")
        status, email = self._verifier.verify(unverified_token.strip(), audience=self.url_of(route.name))
        if status != 200:
            raise _Refused(status, "The access token could not be verified.")
        if email not in invokers:
            raise _Refused(403, f"Your client does not have permission to get URL /{route.name} from this server.")
        if serverless is None:
            headers["authorization"] = f"{scheme} {without_signature(unverified_token.strip())}"

    def _forward(self, exchange: _Exchange, start_response: StartResponse) -> Iterable[bytes]:
        upstream = urlsplit(exchange.route.next_instance())
        connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=_UPSTREAM_TIMEOUT_S)
        connection.blocksize = _BLOCK_BYTES
        try:
            # An upstream that answers before it has read everything closes its side: its answer counts all the same.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._send(connection, exchange)
            response = connection.getresponse()
        except _TooLarge:
            connection.close()
            raise _Refused(413, "Request Entity Too Large") from None
        except (OSError, http.client.HTTPException):
            connection.close()
            raise _Refused(503, "The service is unavailable.") from None
        exchange.status = response.status
        length = response.getheader("Content-Length")
        if length and int(length) > MAX_UNSTREAMED_ANSWER_BYTES:
            connection.close()
            raise _Refused(500, "The answer is larger than 32 MiB and was not streamed.")
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP]
        start_response(f"{response.status} {response.reason or 'Unknown'}", headers)
        return _Body(self, exchange, connection, response)

    def _send(self, connection: http.client.HTTPConnection, exchange: _Exchange) -> None:
        stream: InputStream = exchange.environ["wsgi.input"]
        is_chunked = exchange.environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
        headers = exchange.headers | _added_headers(exchange.environ, exchange.headers)
        connection.putrequest(
            exchange.environ["REQUEST_METHOD"], exchange.target, skip_host=True, skip_accept_encoding=True
        )
        if is_chunked:
            headers["transfer-encoding"] = "chunked"
        for name, value in headers.items():
            connection.putheader(name, value)
        body = _counted(stream, exchange) if is_chunked else _limited(stream, exchange.request_bytes)
        connection.endheaders(body, encode_chunked=is_chunked)

    def _log(self, exchange: _Exchange) -> None:
        """Writes the request as Cloud Run's log has it: the whole URL, its query too."""
        environ = exchange.environ
        raw = str(environ.get("RAW_URI") or environ["REQUEST_URI"])
        if self.observe is not None:
            self.observe(environ["REQUEST_METHOD"], raw, exchange.status, time.monotonic() - exchange.started_s)
        row: dict[str, Any] = {
            "timestamp": self._clock.now().isoformat(),
            "resource": {"type": "cloud_run_revision", "labels": {"service_name": exchange.route.name}},
            "httpRequest": {
                "requestMethod": environ["REQUEST_METHOD"],
                "requestUrl": f"{self.url}{raw}",
                "status": exchange.status,
                "latency": f"{time.monotonic() - exchange.started_s:.6f}s",
                "userAgent": environ.get("HTTP_USER_AGENT", ""),
                "referer": environ.get("HTTP_REFERER", ""),
                "remoteIp": environ.get("REMOTE_ADDR", ""),
                "requestSize": str(exchange.request_bytes),
                "responseSize": str(exchange.answer_bytes),
            },
        }
        with self._lock, self.log_file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")

    def finish(self, exchange: _Exchange) -> None:
        """Called by the answer's body when it was read to its end or given up."""
        self._log(exchange)


class _Body:
    """The upstream's answer, block by block as it comes."""

    def __init__(
        self,
        front: Front,
        exchange: _Exchange,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
    ) -> None:
        self._front = front
        self._exchange = exchange
        self._connection = connection
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        try:
            while block := self._response.read1(_BLOCK_BYTES):
                self._exchange.answer_bytes += len(block)
                yield block
        except http.client.HTTPException as cut:
            # The client shall see its connection cut, as it is.
            raise ConnectionResetError from cut

    def close(self) -> None:
        self._connection.close()
        self._front.finish(self._exchange)


def _request_headers(environ: WSGIEnvironment) -> dict[str, str]:
    """The request's headers in lower case, without those of the connection."""
    headers = {
        key.removeprefix("HTTP_").replace("_", "-").lower(): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[key.replace("_", "-").lower()] = environ[key]
    return {name: value for name, value in headers.items() if name not in _HOP_BY_HOP}


def _added_headers(environ: WSGIEnvironment, headers: dict[str, str]) -> dict[str, str]:
    """What Google's front adds: the caller's address, the scheme, a trace where the caller brings none."""
    forwarded = [part for part in (headers.get("x-forwarded-for"), environ.get("REMOTE_ADDR")) if part]
    added = {"x-forwarded-for": ",".join(forwarded), "x-forwarded-proto": "http", "connection": "close"}
    if "x-cloud-trace-context" not in headers:
        added["x-cloud-trace-context"] = f"{secrets.token_hex(16)}/{secrets.randbelow(2**63)};o=0"
    return added


def _limited(stream: InputStream, size: int) -> Iterator[bytes]:
    left = size
    while left > 0 and (block := stream.read(min(left, _BLOCK_BYTES))):
        left -= len(block)
        yield block


def _counted(stream: InputStream, exchange: _Exchange) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        exchange.request_bytes += len(block)
        if exchange.request_bytes > MAX_REQUEST_BYTES:
            raise _TooLarge
        yield block


def _answer_text(start_response: StartResponse, status: int, text: str) -> Iterable[bytes]:
    body = text.encode()
    reason = http.client.responses[status]
    start_response(f"{status} {reason}", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
