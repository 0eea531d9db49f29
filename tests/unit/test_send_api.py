"""Mails as they come in: JSON and multipart, parsed in memory under limits; what makes two of them the same."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from werkzeug import Request

from common import config, memory
from common.config import Config
from common.errors import BadRequest, TooLarge, Unavailable
from common.mail.writing import OutgoingAttachment
from common.memory import byte_budget
from common.send_api import DraftBody, Parcel, Recipient, SendBody, parse_key, receive, verify_key
from common.web import Call

BODY = {"to": [{"address": "mia@customer.example"}], "subject": "Angebot", "text": "Hallo"}
MEGABYTE = 1024 * 1024
opened: list[str] = []
watching = False


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    # An audit hook cannot be taken away again: it is switched on where it is wanted.
    if watching and (event.startswith("tempfile.") or event == "open"):
        opened.append(f"{event} {arguments[0]!r}")


sys.addaudithook(_note)


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A configuration with a megabyte for uploads, in the defaults' proportion to the budget."""
    room = str(Config.body_budget_bytes * MEGABYTE // Config.max_upload_bytes)
    values = {
        "PROJECT_ID": "p", "REGION": "r", "MAX_UPLOAD_BYTES": str(MEGABYTE), "BODY_BUDGET_BYTES": room,
        "HMAC_KEY": base64.b64encode(b"h" * 32).decode(),
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    for cached in (config.config, memory.byte_budget):
        cached.cache_clear()
    yield
    for cached in (config.config, memory.byte_budget):
        cached.cache_clear()


def call(body: bytes, content_type: str, *, length: int | None = None, **headers: str) -> Call:
    """A request as the server hands it over; without a length where ``length`` is negative."""
    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_TYPE": content_type,
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    if length is not None and length < 0:
        environ["wsgi.input_terminated"] = True
    else:
        environ["CONTENT_LENGTH"] = str(len(body) if length is None else length)
    return Call(Request(environ))


def multipart(*files: tuple[str, tuple[str, bytes, str]], body: Any = None) -> tuple[bytes, str]:
    """A body as browsers send it, and its content type."""
    message = ("message", (None, json.dumps(BODY if body is None else body), "application/json"))
    prepared = requests.Request("POST", "http://x.example", files=[message, *files]).prepare()
    assert isinstance(prepared.body, bytes)
    return prepared.body, prepared.headers["Content-Type"]


def test_json() -> None:
    """A mail without files is JSON."""
    with receive(call(json.dumps(BODY).encode(), "application/json"), SendBody) as parcel:
        assert ("Angebot", ()) == (parcel.body.subject, parcel.files)


def test_multipart() -> None:
    """A mail with files is multipart; a part called cid:… is an image of the HTML."""
    sent = multipart(("file", ("ü.txt", b"a\r\n--", "text/plain")), ("cid:logo", ("l.png", b"\x89PNG", "image/png")))
    with receive(call(*sent), SendBody) as parcel:
        assert "Angebot" == parcel.body.subject
        assert (
            OutgoingAttachment("ü.txt", "text/plain", b"a\r\n--"),
            OutgoingAttachment("l.png", "image/png", b"\x89PNG", "logo"),
        ) == parcel.files


def test_no_file_is_written() -> None:
    """However big a part is, no file is opened for it."""
    global watching
    sent = multipart(("file", ("big.bin", b"x" * MEGABYTE, "application/octet-stream")))
    watching = True
    try:
        with receive(call(*sent), SendBody) as parcel:
            size = len(parcel.files[0].data)
    finally:
        watching = False

    assert (MEGABYTE, []) == (size, opened)


@pytest.mark.parametrize("length", [None, -1])
def test_too_big(length: int | None) -> None:
    """Beyond the limit the body is refused, whether it says its length or not, and the budget is given back."""
    body, content_type = multipart(("file", ("big.bin", b"x" * 3 * MEGABYTE, "application/octet-stream")))
    unread = call(body, content_type, length=length)

    with pytest.raises(TooLarge), receive(unread, SendBody):
        pass
    assert 0 == byte_budget().held_bytes
    # Else the server would close on unread bytes, and its answer would be lost.
    assert b"" == unread.request.environ["wsgi.input"].read()


def test_budget_is_held_while_the_mail_is_handled() -> None:
    """Three mails of the greatest size are taken at once, a fourth is told to come again; after one there is room."""
    sent = multipart(("file", ("big.bin", b"x" * MEGABYTE, "application/octet-stream")))
    with receive(call(*sent), SendBody), receive(call(*sent), SendBody):
        with receive(call(*sent), SendBody):
            with pytest.raises(Unavailable) as refusal, receive(call(*sent), SendBody):
                pass
            assert ("instance-busy", True) == (refusal.value.code, refusal.value.retry_at is not None)
        with receive(call(*sent), SendBody) as parcel:
            assert 1 == len(parcel.files)
    assert 0 == byte_budget().held_bytes


def test_json_of_a_multipart_is_limited() -> None:
    """The JSON beside files is held to the limit of JSON alone."""
    sent = multipart(body=BODY | {"text": "x" * MEGABYTE})

    with pytest.raises(TooLarge), receive(call(*sent), SendBody):
        pass


@pytest.mark.parametrize(
    "body", [b"", b"--b", b"--b\r\n", b"--b\r\nContent-Disposition: x\r\n\r\n", b"--b--", b"\xff" * 99]
)
def test_broken_multipart(body: bytes) -> None:
    """What ends early or was never multipart is refused."""
    with pytest.raises(BadRequest), receive(call(body, "multipart/form-data; boundary=b"), SendBody):
        pass


def test_body_that_is_shorter_than_it_says() -> None:
    """A client that goes away leaves nothing half-done."""
    body, content_type = multipart(("file", ("a", b"x" * 100_000, "text/plain")))

    with pytest.raises(BadRequest), receive(call(body[:50_000], content_type, length=len(body)), SendBody):
        pass
    assert 0 == byte_budget().held_bytes


@pytest.mark.parametrize(
    ("header", "key"), [("abc", "abc"), ('"abc"', "abc"), ("a:b+c=", "a:b+c="), ('"', '"'), ("k" * 128, "k" * 128)]
)
def test_key(header: str, key: str) -> None:
    """A key may stand in quotes, as the draft standard wants it, or without."""
    assert key == parse_key(call(b"", "", idempotency_key=header))


@pytest.mark.parametrize("key", ["", " ", "a b", "a/b", "ü", "a\n", "k" * 129])
def test_no_key(key: str) -> None:
    """What cannot be a key is refused."""
    with pytest.raises(BadRequest):
        verify_key(key)


def test_same_mail_has_the_same_fingerprint() -> None:
    """What is left out and what is said to be the default are the same mail."""
    plain = Parcel(SendBody(subject="x"))

    assert plain.fingerprint == Parcel(SendBody(subject="x", to=None, quote=True)).fingerprint


@pytest.mark.parametrize(
    "other",
    [
        Parcel(DraftBody(subject="y"), (OutgoingAttachment("a", "b/c", b"d"),)),
        Parcel(DraftBody(subject="x", to=[Recipient(address="a@b.example")]), (OutgoingAttachment("a", "b/c", b"d"),)),
        Parcel(DraftBody(subject="x"), (OutgoingAttachment("a", "b/c", b"e"),)),
        Parcel(DraftBody(subject="x"), (OutgoingAttachment("a", "b/d", b"d"),)),
        Parcel(DraftBody(subject="x"), (OutgoingAttachment("ab", "/c", b"d"),)),
        Parcel(DraftBody(subject="x"), (OutgoingAttachment("a", "b/c", b"d", "cid"),)),
        Parcel(DraftBody(subject="x"), (OutgoingAttachment("a", "b/c", b"d"),) * 2),
        Parcel(DraftBody(subject="x")),
    ],
)
def test_another_mail_has_another_fingerprint(other: Parcel) -> None:
    """Whatever differs makes another mail."""
    assert other.fingerprint != Parcel(DraftBody(subject="x"), (OutgoingAttachment("a", "b/c", b"d"),)).fingerprint


def test_nothing_of_a_mail_is_in_its_repr() -> None:
    """A parcel in an error message shows nothing of the mail."""
    parcel = Parcel(SendBody(subject="Geheim"), (OutgoingAttachment("Geheim.txt", "text/plain", b"Geheim"),))

    assert "Geheim" not in repr(parcel)
