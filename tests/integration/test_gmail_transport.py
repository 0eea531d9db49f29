"""The way to Gmail and back, where what comes back is not what Gmail says: over HTTP, against scripted answers."""

from __future__ import annotations

import base64
import gzip
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from werkzeug.wrappers import Request, Response

from common.config import config
from common.gmail import transport
from common.gmail.errors import AnswerLost, NotSent, Refused
from common.gmail.transport import Http
from local.http import HttpServer, drop_connection

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.integration
PROFILE = {"emailAddress": "anna@demo-crm.example", "historyId": "5"}
Script = Callable[[Request], Response]


@dataclass
class Scripted:
    """A server that answers as it is told, each request with the next script, the last one again and again."""

    scripts: list[Script] = field(default_factory=list)
    received: list[Request] = field(default_factory=list)
    tokens: list[str] = field(default_factory=lambda: ["one"])
    url: str = ""

    def answer(self, request: Request) -> Response:
        request.get_data()
        self.received.append(request)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        return script(request)

    def http(self, *, seconds: float = 5.0) -> Http:
        return Http(
            lambda: self.tokens[-1], lambda rejected: self.tokens.append(f"not-{rejected}"), time.monotonic() + seconds
        )


@pytest.fixture
def gmail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    scripted = Scripted()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return scripted.answer(Request(environ))(environ, start_response)

    server = HttpServer(app)
    for name, value in {"PROJECT_ID": "p", "REGION": "r", "GMAIL_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    config.cache_clear()
    scripted.url = server.url
    yield scripted
    transport._shared_pool().clear()
    config.cache_clear()
    server.stop()


def says(content: bytes | str, status: int = 200, **headers: str) -> Script:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Response(content, status, headers=named)


def drops(request: Request) -> Response:
    drop_connection(request.environ)
    return Response(b"")


def batch_of(*parts: tuple[str, int, str]) -> Script:
    """A batch's answer: message id, status and JSON of each part."""

    def script(request: Request) -> Response:
        sent = request.get_data().decode()
        base = sent.split("Content-ID: <", 1)[1].split(" + ", 1)[0]
        body = "".join(
            f"--b\r\nContent-Type: application/http\r\nContent-ID: <response-{base} + {key}>\r\n\r\n"
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n\r\n{text}\r\n"
            for key, status, text in parts
        )
        return Response(f"{body}--b--", content_type='multipart/mixed; boundary="b"')

    return script


def profile(gmail: Scripted, http: Http | None = None) -> object:
    return transport.execute(transport.users().getProfile(userId="me"), http or gmail.http())


def batch(gmail: Scripted, *ids: str) -> dict[str, object]:
    requests = {key: transport.messages().get(userId="me", id=key) for key in ids}
    return transport.execute_batch(requests, gmail.http())


def upload(gmail: Scripted, size_bytes: int) -> object:
    media = transport.media_of(io.BytesIO(b"x" * size_bytes), beside_json=False)
    return transport.execute_upload(transport.messages().send(userId="me", media_body=media), gmail.http())


def test_request_carries_token_and_agent(gmail: Scripted) -> None:
    """A request has the user's token, says who asks, and takes zipped answers."""
    gmail.scripts = [says(gzip.compress(json.dumps(PROFILE).encode()), Content_Encoding="gzip")]

    assert PROFILE == profile(gmail)
    headers = gmail.received[0].headers
    assert ("Bearer one", "gmail-in-crm (gzip)") == (headers["Authorization"], headers["User-Agent"])


def test_redirect_is_not_followed(gmail: Scripted) -> None:
    """A redirect is a refusal: no token goes where an answer points to."""
    gmail.scripts = [says(b"", 302, Location=f"{gmail.url}/elsewhere")]

    with pytest.raises(Refused):
        profile(gmail)
    assert 1 == len(gmail.received)


def test_lost_answer_is_not_asked_for_again(gmail: Scripted) -> None:
    """A connection that closes without an answer is told, also where it had been kept alive before."""
    gmail.scripts = [says(json.dumps(PROFILE)), drops, says(json.dumps(PROFILE))]
    profile(gmail)

    with pytest.raises(AnswerLost) as failure:
        profile(gmail)
    assert failure.value.__context__ is None
    assert 2 == len(gmail.received)


def test_half_an_answer_is_lost(gmail: Scripted) -> None:
    """An answer that ends before its announced length is lost."""

    def half(request: Request) -> Response:
        def chunks() -> Iterator[bytes]:
            yield b"{"
            drop_connection(request.environ)

        return Response(chunks(), headers={"Content-Length": "100"})

    gmail.scripts = [half]

    with pytest.raises(AnswerLost):
        profile(gmail)


@pytest.mark.parametrize("content", [b"<html>", b"\xff\xfe", b'{"a":'])
def test_other_than_json_is_a_failure(gmail: Scripted, content: bytes) -> None:
    """What is no JSON did not come from Gmail, and is trouble on the way."""
    gmail.scripts = [says(content)]

    with pytest.raises(Refused) as refusal:
        profile(gmail)
    assert (502, None) == (refusal.value.status, refusal.value.__context__)


def test_endless_answer_is_cut(gmail: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer above the limit is not read to its end."""
    monkeypatch.setattr(transport, "_MAX_ANSWER_BYTES", 1000)
    gmail.scripts = [says(b" " * 1001)]

    with pytest.raises(AnswerLost):
        profile(gmail)


def test_trickling_answer_is_cut(gmail: Scripted) -> None:
    """An answer that comes byte by byte ends when the time is over."""

    def trickle(_: Request) -> Response:
        def chunks() -> Iterator[bytes]:
            for _ in range(100):
                time.sleep(0.05)
                yield b" " * transport._CHUNK_BYTES

        return Response(chunks())

    gmail.scripts = [trickle]
    started_s = time.monotonic()

    with pytest.raises(AnswerLost):
        profile(gmail, gmail.http(seconds=0.3))
    assert time.monotonic() - started_s < 2


def test_no_time_left_sends_nothing(gmail: Scripted) -> None:
    """When the time is over, nothing is sent any more."""
    gmail.scripts = [says(json.dumps(PROFILE))]

    with pytest.raises(NotSent):
        profile(gmail, gmail.http(seconds=-1))
    assert [] == gmail.received


def test_parts_are_told_apart(gmail: Scripted) -> None:
    """Each part of a batch has its own answer or refusal."""
    gmail.scripts = [batch_of(("a", 200, '{"id": "a"}'), ("b", 404, "{}"))]
    answers = batch(gmail, "a", "b")

    assert {"id": "a"} == answers["a"]
    assert isinstance(answers["b"], Refused)
    assert 404 == answers["b"].status


def test_parts_refused_for_the_token_come_with_another(gmail: Scripted) -> None:
    """Only the parts that were answered 401 are asked again, with another token."""
    gmail.scripts = [batch_of(("a", 200, '{"id": "a"}'), ("b", 401, "{}")), batch_of(("b", 200, '{"id": "b"}'))]

    assert {"a": {"id": "a"}, "b": {"id": "b"}} == batch(gmail, "a", "b")
    assert ["Bearer one", "Bearer not-one"] == [request.headers["Authorization"] for request in gmail.received]


@pytest.mark.parametrize(
    "script",
    [
        says("{}", Content_Type="application/json"),
        says("no parts", Content_Type='multipart/mixed; boundary="b"'),
        batch_of(("a", 200, '{"id": "a"}')),
        says(b"\xff", Content_Type='multipart/mixed; boundary="b"'),
    ],
)
def test_unreadable_batch_is_lost(gmail: Scripted, script: Script) -> None:
    """A batch's answer that lacks a part or cannot be read is trouble on the way, and no crash."""
    gmail.scripts = [script]

    with pytest.raises(AnswerLost) as failure:
        batch(gmail, "a", "b")
    assert failure.value.__context__ is None


def test_unreadable_part_is_refused(gmail: Scripted) -> None:
    """A part that is no JSON is a failure of its own, and the others count."""
    gmail.scripts = [batch_of(("a", 200, '{"id": "a"}'), ("b", 200, "{"))]
    answers = batch(gmail, "a", "b")

    assert {"id": "a"} == answers["a"]
    assert isinstance(answers["b"], Refused)
    assert 502 == answers["b"].status


def test_refused_batch_is_refused(gmail: Scripted) -> None:
    """A batch that is refused as a whole is told with its status."""
    gmail.scripts = [says("{}", 503)]

    with pytest.raises(Refused) as refusal:
        batch(gmail, "a")
    assert (503, None) == (refusal.value.status, refusal.value.__context__)


BIG = 6 * 1024 * 1024


def started(gmail: Scripted) -> Script:
    return says(b"", Location=f"{gmail.url}/upload/gmail/v1/users/me/messages/send?upload_id=1")


def test_upload_that_was_never_begun_is_not_sent(gmail: Scripted) -> None:
    """Until Gmail names a place for the upload, nothing of the mail has been handed over."""
    gmail.scripts = [drops]

    with pytest.raises(NotSent):
        upload(gmail, BIG)


def test_upload_whose_answer_is_lost_is_lost(gmail: Scripted) -> None:
    """Once the mail was handed over, a lost answer leaves everything open, and nothing is repeated."""
    gmail.scripts = [started(gmail), drops]

    with pytest.raises(AnswerLost):
        upload(gmail, BIG)
    assert ["POST", "PUT"] == [request.method for request in gmail.received]


def test_upload_that_gmail_has_not_got_whole_is_not_sent(gmail: Scripted) -> None:
    """Where Gmail says that it lacks a part of the mail, it has not gone out, and nothing is repeated."""
    gmail.scripts = [started(gmail), says(b"", 308, Range=f"bytes=0-{BIG // 2 - 1}")]

    with pytest.raises(NotSent):
        upload(gmail, BIG)
    assert [0, BIG] == [len(request.get_data()) for request in gmail.received]


def test_unreadable_end_of_an_upload_is_lost(gmail: Scripted) -> None:
    """An upload answered by no JSON may have been taken."""
    gmail.scripts = [started(gmail), says(b"<html>")]

    with pytest.raises(AnswerLost) as failure:
        upload(gmail, BIG)
    assert failure.value.__context__ is None


@pytest.mark.parametrize("size_bytes", [10, BIG])
def test_upload_refused_is_refused(gmail: Scripted, size_bytes: int) -> None:
    """A refusal of an upload is told with its status."""
    gmail.scripts = [says("{}", 400)]

    with pytest.raises(Refused) as refusal:
        upload(gmail, size_bytes)
    assert (400, None) == (refusal.value.status, refusal.value.__context__)


def test_small_mail_travels_as_it_is(gmail: Scripted) -> None:
    """A small mail is the request's body, byte by byte, not in base64."""
    gmail.scripts = [says('{"id": "m"}')]
    media = transport.media_of(io.BytesIO(bytes(range(256))), beside_json=False)
    transport.execute_upload(transport.messages().send(userId="me", media_body=media), gmail.http())

    assert bytes(range(256)) == gmail.received[0].get_data()
    assert base64.b64encode(bytes(range(256))) not in gmail.received[0].get_data()
