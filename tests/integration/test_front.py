"""The front before the functions, and the functions' processes behind it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.wrappers import Request, Response

from local.clock import LocalClock
from local.dispatch import wait_until_idle
from local.front import Front, Route
from local.functions import FunctionFailed, FunctionProcess
from local.http import HttpServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.integration

SCHEDULER = "scheduler@local-project.iam.gserviceaccount.com"
MIB = 1024 * 1024
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Upstream:
    """A function's server: answers with what it saw, or streams what it is asked to."""

    def __init__(self, mark: str = "") -> None:
        self.mark = mark
        self.requests = 0
        self.server = HttpServer(self)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.requests += 1
        request = Request(environ)
        size = int(request.args.get("stream", "0"))
        if size:
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            return (b"x" * MIB for _ in range(size))
        if "early" in request.args:
            return Response("too much", 422)(environ, start_response)
        digest, length = hashlib.sha256(), 0
        while block := request.stream.read(65_536):
            digest.update(block)
            length += len(block)
        seen = {
            "mark": self.mark,
            "method": request.method,
            "raw": environ["REQUEST_URI"],
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "length": length,
            "sha256": digest.hexdigest(),
        }
        status = int(request.args.get("status", "200"))
        headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Own", "kept")]
        return Response(json.dumps(seen), status, headers, content_type="application/json")(environ, start_response)


class Bench:
    """A front with a public and a private function, keys, and what the tests turn."""

    def __init__(self, folder: Path) -> None:
        self.clock = LocalClock(folder / "clock")
        self.keys = {"keys": [_jwk(KEY, "k1")]}
        self.key_fetches = 0
        self.key_server = HttpServer(self._serve_keys)
        self.upstream = Upstream()
        self.front = Front(self.clock, f"{self.key_server.url}/certs", folder / "requests.log")
        self.front.add(Route("mail_proxy", [self.upstream.server.url]))
        self.front.add(Route("label_sweep", [self.upstream.server.url], frozenset({SCHEDULER})))
        self.public = self.front.url_of("mail_proxy")
        self.private = self.front.url_of("label_sweep")

    def _serve_keys(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.key_fetches += 1
        return Response(json.dumps(self.keys), content_type="application/json")(environ, start_response)

    def token(self, key: rsa.RSAPrivateKey = KEY, kid: str = "k1", **changes: Any) -> str:
        now_s = int(self.clock.now().timestamp())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": self.private,
            "email": SCHEDULER,
            "email_verified": True,
            "iat": now_s,
            "exp": now_s + 3600,
        }
        return jwt.encode({**claims, **changes}, key, algorithm="RS256", headers={"kid": kid})

    def call(self, token: str, **headers: str) -> requests.Response:
        return requests.post(self.private, headers={"Authorization": f"Bearer {token}", **headers}, timeout=10)

    def log(self) -> list[dict[str, Any]]:
        if not self.front.log_file.exists():
            return []
        return [json.loads(line)["httpRequest"] for line in self.front.log_file.read_text().splitlines()]

    def close(self) -> None:
        self.front.stop()
        self.upstream.server.stop()
        self.key_server.stop()


def _jwk(key: rsa.RSAPrivateKey, kid: str) -> dict[str, Any]:
    return {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": "RS256"}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_prefix_is_cut_and_all_else_kept(bench: Bench) -> None:
    """The function sees method, path without the prefix as it was encoded, query, headers and body."""
    answer = requests.put(
        f"{bench.public}/contacts/a%2Fb%20c/emails?q=1&q=%C3%A4", data=b"body", headers={"X-Custom": "1"}, timeout=10
    )
    seen = answer.json()

    assert ("PUT", "/contacts/a%2Fb%20c/emails?q=1&q=%C3%A4") == (seen["method"], seen["raw"])
    assert ("1", 4) == (seen["headers"]["x-custom"], seen["length"])
    assert bench.public.split("/")[2] == seen["headers"]["host"]


def test_root_of_a_function(bench: Bench) -> None:
    """The bare prefix is the function's root."""
    assert "/" == requests.get(bench.public, timeout=10).json()["raw"]
    assert "/?a=1" == requests.get(f"{bench.public}?a=1", timeout=10).json()["raw"]


def test_answer_is_passed_on(bench: Bench) -> None:
    """Status and headers come back, repeated ones too."""
    answer = requests.get(f"{bench.public}/?status=418", timeout=10)

    assert (418, "kept") == (answer.status_code, answer.headers["X-Own"])
    assert ["a=1", "b=2"] == answer.raw.headers.getlist("Set-Cookie")


def test_unknown_function_is_not_found(bench: Bench) -> None:
    """What is no function's prefix is 404, also where a name only begins alike."""
    assert [404, 404] == [
        requests.get(f"{bench.front.url}/{path}", timeout=10).status_code for path in ("", "mail_proxy2/x")
    ]


def test_public_function_gets_any_token_unchanged(bench: Bench) -> None:
    """Nothing is checked and nothing changed before a public function: it must check by itself."""
    headers = {"Authorization": "Bearer a.b.SIGNATURE_REMOVED_BY_GOOGLE", "X-Serverless-Authorization": "Bearer x"}
    seen = requests.get(bench.public, headers=headers, timeout=10).json()["headers"]

    assert "Bearer a.b.SIGNATURE_REMOVED_BY_GOOGLE" == seen["authorization"]
    assert "Bearer x" == seen["x-serverless-authorization"]


def test_private_function_sees_no_signature(bench: Bench) -> None:
    """A valid token passes, and its signature is replaced as Google's front does."""
    token = bench.token()
    answer = bench.call(token)

    header, payload, _ = token.split(".")
    assert 200 == answer.status_code
    assert f"Bearer {header}.{payload}.SIGNATURE_REMOVED_BY_GOOGLE" == answer.json()["headers"]["authorization"]


def test_serverless_authorization_is_checked_first(bench: Bench) -> None:
    """Where X-Serverless-Authorization is valid it is cut, and Authorization passes unchecked and unchanged."""
    headers = {"Authorization": "Bearer forged.by.someone", "X-Serverless-Authorization": f"bearer {bench.token()}"}
    answer = requests.post(bench.private, headers=headers, timeout=10)

    assert 200 == answer.status_code
    assert "Bearer forged.by.someone" == answer.json()["headers"]["authorization"]
    assert "x-serverless-authorization" not in answer.json()["headers"]


def test_bad_serverless_authorization_is_not_healed_by_a_good_token(bench: Bench) -> None:
    """An invalid X-Serverless-Authorization is 401 even beside a valid Authorization."""
    assert 401 == bench.call(bench.token(), **{"X-Serverless-Authorization": "Bearer x.y.z"}).status_code


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer abc", "Bearer a.b.c"])
def test_no_token_is_unauthenticated(bench: Bench, authorization: str) -> None:
    """Without a token, or with something that is none, a private function is 401 and is not called."""
    headers = {"Authorization": authorization} if authorization else {}

    assert 401 == requests.post(bench.private, headers=headers, timeout=10).status_code
    assert 0 == bench.upstream.requests


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://other.example"},
        {"iss": "https://evil.example"},
        {"email_verified": False},
        {"exp": 1},
        {"iat": 4_000_000_000},
        {"key": OTHER_KEY},
        {"kid": "unknown"},
    ],
)
def test_invalid_tokens_are_unauthenticated(bench: Bench, changes: dict[str, Any]) -> None:
    """Wrong audience, issuer, time, signature or key is 401."""
    assert 401 == bench.call(bench.token(**changes)).status_code
    assert 0 == bench.upstream.requests


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_other_algorithms_are_unauthenticated(bench: Bench, algorithm: str) -> None:
    """An unsigned token and one signed with a shared secret are 401."""
    claims = jwt.decode(bench.token(), options={"verify_signature": False})
    secret = "" if algorithm == "none" else "s" * 32
    token = jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": "k1"})

    assert 401 == bench.call(token).status_code


def test_removed_signature_is_unauthenticated(bench: Bench) -> None:
    """A token whose signature was cut off elsewhere is no token here."""
    header, payload, _ = bench.token().split(".")

    assert 401 == bench.call(f"{header}.{payload}.SIGNATURE_REMOVED_BY_GOOGLE").status_code


def test_strangers_are_forbidden(bench: Bench) -> None:
    """A valid token of an account that may not invoke the function is 403."""
    assert 403 == bench.call(bench.token(email="cloud-tasks@local-project.iam.gserviceaccount.com")).status_code
    assert 0 == bench.upstream.requests


def test_expiry_follows_the_stacks_clock(bench: Bench) -> None:
    """A token dies when the stack's clock passes its expiry; one minted by that clock is good."""
    token = bench.token()
    bench.clock.advance(2 * 3600)

    assert [401, 200] == [bench.call(token).status_code, bench.call(bench.token()).status_code]


def test_rotated_keys_are_fetched(bench: Bench) -> None:
    """A token of a new key is accepted once the issuer publishes it; known keys are not fetched again."""
    assert [200, 200] == [bench.call(bench.token()).status_code for _ in range(2)]
    assert 1 == bench.key_fetches

    bench.keys["keys"].append(_jwk(OTHER_KEY, "k2"))
    assert 200 == bench.call(bench.token(OTHER_KEY, "k2")).status_code


@pytest.mark.parametrize("is_chunked", [False, True])
def test_large_bodies_stream_through(bench: Bench, is_chunked: bool) -> None:
    """A body of 32 MiB arrives whole, with a length or in chunks."""
    block = os.urandom(MIB)
    body: Any = (block for _ in range(32)) if is_chunked else block * 32
    seen = requests.post(bench.public, data=body, timeout=30).json()

    assert (32 * MIB, hashlib.sha256(block * 32).hexdigest()) == (seen["length"], seen["sha256"])


@pytest.mark.parametrize("is_chunked", [False, True])
def test_larger_bodies_are_refused(bench: Bench, is_chunked: bool) -> None:
    """A request above 32 MiB is 413, announced or not."""
    block = b"x" * MIB
    body: Any = (block for _ in range(33)) if is_chunked else block * 33

    assert 413 == requests.post(bench.public, data=body, timeout=30).status_code


def test_large_answers_stream_through(bench: Bench) -> None:
    """An answer in chunks may be larger than 32 MiB."""
    with requests.get(f"{bench.public}/?stream=40", stream=True, timeout=30) as answer:
        assert 40 * MIB == sum(len(block) for block in answer.iter_content(MIB))


def test_early_answer_is_passed_on(bench: Bench) -> None:
    """A function that answers before it has read a large body is heard all the same."""
    assert 422 == requests.post(f"{bench.public}/?early=1", data=b"x" * 20 * MIB, timeout=30).status_code


def test_cut_answer_stays_cut(bench: Bench) -> None:
    """Where a function dies in the middle of its answer the caller sees that, and the request is logged."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bench.front.add(Route("mail_proxy", [f"http://127.0.0.1:{listener.getsockname()[1]}"]))
        dying = threading.Thread(target=_answer_half, args=(listener,))
        dying.start()
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            requests.get(bench.public, timeout=10)
        dying.join(5)
    wait_until_idle(lambda: len(bench.log()) == 1, 5, lambda: "not logged")

    assert (200, "4") == (bench.log()[0]["status"], bench.log()[0]["responseSize"])


def _answer_half(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")


def test_head_has_no_body(bench: Bench) -> None:
    """HEAD comes back with its headers."""
    answer = requests.head(bench.public, timeout=10)

    assert (200, b"", "kept") == (answer.status_code, answer.content, answer.headers["X-Own"])


def test_dead_function_is_unavailable(bench: Bench) -> None:
    """Where no instance listens the front answers 503."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        bench.front.add(Route("mail_proxy", [f"http://127.0.0.1:{unused.getsockname()[1]}"]))

        assert 503 == requests.get(bench.public, timeout=10).status_code


def test_instances_take_turns(bench: Bench) -> None:
    """Several instances of a function are asked in turn."""
    upstreams = [Upstream("a"), Upstream("b")]
    bench.front.add(Route("mail_proxy", [upstream.server.url for upstream in upstreams]))
    marks = [requests.get(bench.public, timeout=10).json()["mark"] for _ in range(4)]
    for upstream in upstreams:
        upstream.server.stop()

    assert ["a", "b", "a", "b"] == marks


def test_request_log_holds_the_whole_url(bench: Bench) -> None:
    """Every request is logged as Cloud Run does, with query and user agent, refused ones too."""
    requests.get(f"{bench.public}/messages?q=word", headers={"User-Agent": "probe/1"}, timeout=10)
    bench.call("no.token.really")
    wait_until_idle(lambda: len(bench.log()) == 2, 5, lambda: "not logged")

    first, second = bench.log()
    assert ("GET", f"{bench.public}/messages?q=word", 200, "probe/1") == (
        first["requestMethod"],
        first["requestUrl"],
        first["status"],
        first["userAgent"],
    )
    assert float(first["latency"].removesuffix("s")) > 0
    assert ("POST", bench.private, 401) == (second["requestMethod"], second["requestUrl"], second["status"])


def test_requests_are_counted(bench: Bench) -> None:
    """The front counts the requests of each function."""
    for _ in range(3):
        requests.get(bench.public, timeout=10)
    bench.call(bench.token())

    assert {"mail_proxy": 3, "label_sweep": 1} == bench.front.counts()


def test_unreadable_length_is_refused(bench: Bench) -> None:
    """A Content-Length that is no number is 400."""
    connection = http.client.HTTPConnection("127.0.0.1", bench.front.port, timeout=10)
    connection.putrequest("POST", "/mail_proxy")
    connection.putheader("Content-Length", "-5")
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()

    assert 400 == status


MAIN = """
    import os, sys
    print("loaded", file=sys.stderr, flush=True)
    def echo(request):
        print("handled", request.path, flush=True)
        if request.path == "/environment":
            return os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "no credentials")
        return os.environ.get("GREETING", "none") + request.path
"""


@pytest.fixture
def function(tmp_path: Path) -> Iterator[FunctionProcess]:
    source = tmp_path / "functions" / "echo"
    source.mkdir(parents=True)
    (source / "main.py").write_text(textwrap.dedent(MAIN))
    process = FunctionProcess("echo", {"GREETING": "hello"}, tmp_path / "echo.log", source=source)
    yield process
    process.kill()


def test_function_runs_in_the_framework(function: FunctionProcess) -> None:
    """A function starts, gets its environment and every path, and logs into its file."""
    function.start()

    assert "hello/some/path" == requests.get(f"{function.url}/some/path", timeout=10).text
    assert {"loaded", "handled /some/path"} <= set(function.log_file.read_text().splitlines())


def test_function_sees_nothing_of_our_environment(function: FunctionProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of the developer's own do not reach it."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "ours")
    function.start()

    assert "no credentials" == requests.get(f"{function.url}/environment", timeout=10).text


def test_function_restarts_on_its_port(function: FunctionProcess) -> None:
    """Restarted it answers at the same address, with another environment."""
    function.start()
    function.restart({"GREETING": "again"})

    assert "again/" == requests.get(function.url, timeout=10).text


def test_function_stops_with_its_whole_group(function: FunctionProcess) -> None:
    """After stop nothing of the process group is left, and nothing answers."""
    function.start()
    group = function.pid
    function.stop()

    assert not function.is_running
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
    with pytest.raises(requests.ConnectionError):
        requests.get(function.url, timeout=2)


def test_function_can_crash(function: FunctionProcess) -> None:
    """Killed it is gone at once, and can be started again."""
    function.start()
    os.killpg(function.pid, signal.SIGKILL)
    wait_until_idle(lambda: not function.is_running, 5, lambda: "still running")
    function.start()

    assert "hello/" == requests.get(function.url, timeout=10).text


def test_broken_function_says_why(function: FunctionProcess, tmp_path: Path) -> None:
    """A function that cannot be loaded raises FunctionFailed with the end of its log."""
    (tmp_path / "functions" / "echo" / "main.py").write_text("import no_such_module\n")

    with pytest.raises(FunctionFailed, match="no_such_module"):
        function.start()
