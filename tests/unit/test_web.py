"""From a request to a handler and back."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import functions_framework
import msgspec
import pytest
from google.api_core import exceptions as google_errors
from werkzeug import Request, Response
from werkzeug.test import Client, EnvironBuilder

from common import clock
from common.config import config
from common.errors import NotFound, RateLimited
from common.web import ANYONE, USER, App, Call, json_response, no_content, verify_crm_id, verify_gmail_ids

ORIGIN = "https://crm.example"


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    size: int = 0


app = App("test")


@app.route("POST", "/things/{id}", ANYONE, body=Body)
def make_thing(call: Call) -> Response:
    """Makes a thing."""
    body = call.body(Body)
    return json_response({"id": call.params["id"], "name": body.name})


@app.route("GET", "/things/{id}", ANYONE)
def get_thing(call: Call) -> Response:
    match call.params["id"]:
        case "limited":
            raise RateLimited(retry_at=clock.now() + timedelta(seconds=9.5))
        case "broken":
            raise RuntimeError("xylophone")
        case "away":
            raise google_errors.ServiceUnavailable("xylophone")  # type: ignore[no-untyped-call]
        case _:
            return no_content()


class Large:
    """What a handler holds while it runs."""


held: list[weakref.ref[Large]] = []


@app.route("GET", "/held", ANYONE)
def get_held(_call: Call) -> Response:
    large = Large()
    held.append(weakref.ref(large))
    problem = NotFound()
    # An error that its own frame knows by name.
    raise problem


@app.route("GET", "/mine", USER)
def get_mine(call: Call) -> Response:
    return json_response(call.caller.user_id)


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"PROJECT_ID": "p", "REGION": "r", "ALLOWED_ORIGINS": ORIGIN}.items():
        monkeypatch.setenv(name, value)
    config.cache_clear()
    yield
    config.cache_clear()


@pytest.fixture
def client() -> Client:
    return Client(Request.application(app))


def problem(response: Response) -> dict[str, object]:
    assert "application/problem+json" == response.content_type
    parsed: dict[str, object] = json.loads(response.get_data())
    return parsed


def test_a_route_gets_its_values_and_body(client: Client) -> None:
    """The path's values and the parsed body reach the handler."""
    response = client.post("/things/7", json={"name": "lamp"})
    assert {"id": "7", "name": "lamp"} == response.get_json()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{", "invalid-json"),
        (b"\xff\xfe", "invalid-json"),
        (b'{"name": "\xff"}', "invalid-json"),
        (b"[]", "invalid-body"),
        (b"{}", "invalid-body"),
        (b'{"name": 7}', "invalid-body"),
        (b'{"name": "a", "size": "b"}', "invalid-body"),
        (b'{"name": "a", "other": 1}', "invalid-body"),
    ],
)
def test_a_bad_body_is_told_by_code(client: Client, data: bytes, code: str) -> None:
    """Broken JSON, wrong types, missing and unknown fields are 400 with a code."""
    response = client.post("/things/7", data=data)
    assert (400, code) == (response.status_code, problem(response)["code"])


def test_a_body_above_the_limit_is_refused_with_and_without_its_length(client: Client) -> None:
    """1 MiB is the limit for JSON, whether the length was declared or not."""
    big = b'{"name": "' + b"a" * (1024 * 1024) + b'"}'
    assert 413 == client.post("/things/7", data=big).status_code
    environ = EnvironBuilder("/things/7", method="POST", data=big).get_environ()
    del environ["CONTENT_LENGTH"]
    environ["wsgi.input_terminated"] = True
    assert 413 == client.open(environ).status_code


@pytest.mark.parametrize("path", ["/robots.txt", "/favicon.ico", "/things/%0D%0Ax", "/nothing"])
def test_what_the_framework_refuses_itself_is_not_found_as_all_else_is(tmp_path: Path, path: str) -> None:
    """Paths that functions-framework answers without the function are problem+json with the safe headers, too."""
    source = tmp_path / "main.py"
    source.write_text(
        "import functions_framework\n"
        "from common import web\n"
        "app = web.App('test')\n"
        "@functions_framework.http\n"
        "def test(request):\n"
        "    return app(request)\n"
    )
    framework = functions_framework.create_app("test", str(source))  # type: ignore[no-untyped-call]
    response = framework.test_client().get(path)
    assert (404, "not-found", "nosniff") == (
        response.status_code, problem(response)["code"], response.headers["X-Content-Type-Options"],
    )  # fmt: skip


def test_an_unknown_path_and_a_wrong_method_are_told_apart(client: Client) -> None:
    """404 for what is not there, 405 with ``Allow`` for what is there by another method."""
    assert 404 == client.get("/nothing").status_code
    wrong = client.delete("/things/7")
    assert (405, "GET, POST", "method-not-allowed") == (
        wrong.status_code,
        wrong.headers["Allow"],
        problem(wrong)["code"],
    )


def test_a_missing_token_is_unauthenticated(client: Client) -> None:
    """401 names the scheme (RFC 9110)."""
    response = client.get("/mine")
    assert (401, "Bearer", "missing-token") == (
        response.status_code, response.headers["WWW-Authenticate"], problem(response)["code"],
    )  # fmt: skip


def test_a_time_to_try_again_becomes_retry_after(client: Client) -> None:
    """Whole seconds, rounded up, and never below one."""
    response = client.get("/things/limited")
    assert (429, "10", True) == (
        response.status_code, response.headers["Retry-After"], problem(response)["retryable"],
    )  # fmt: skip


def test_what_a_failed_handler_held_is_let_go_of(client: Client) -> None:
    """Whatever way a request ends, a mail that it held is not kept until the garbage collector comes by."""
    gc.disable()
    try:
        client.get("/held")
        assert [None] == [one() for one in held]
    finally:
        gc.enable()
        held.clear()


def test_a_crash_tells_nothing(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """500 with a code; neither the answer nor the log holds the exception's text."""
    response = client.get("/things/broken")
    assert (500, "internal-error") == (response.status_code, problem(response)["code"])
    assert b"xylophone" not in response.get_data()
    assert "xylophone" not in capsys.readouterr().err


def test_trouble_of_googles_that_passes_is_503(client: Client) -> None:
    """Firestore or Tasks being away is retryable."""
    response = client.get("/things/away")
    assert (503, True) == (response.status_code, problem(response)["retryable"])


def test_the_log_holds_the_template_and_no_value(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids of paths and queries are not logged."""
    client.get("/things/marimba?q=xylophone")
    text = capsys.readouterr().err
    assert "/things/{id}" in text
    assert "marimba" not in text
    assert "xylophone" not in text


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://crm.example.evil.example", "http://crm.example"]
)
def test_a_foreign_origin_gets_no_cors(client: Client, origin: str) -> None:
    """Only the configured origins, exactly."""
    for response in (
        client.get("/things/7", headers={"Origin": origin}),
        client.options("/things/7", headers={"Origin": origin}),
    ):
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Access-Control-Allow-Methods" not in response.headers


def test_a_configured_origin_gets_cors_on_every_answer(client: Client) -> None:
    """Preflights, answers and errors alike; never a wildcard, never credentials."""
    preflight = client.options("/things/7", headers={"Origin": ORIGIN})
    assert (204, "GET, POST", ORIGIN) == (
        preflight.status_code,
        preflight.headers["Access-Control-Allow-Methods"],
        preflight.headers["Access-Control-Allow-Origin"],
    )
    assert ORIGIN == client.get("/nothing", headers={"Origin": ORIGIN}).headers["Access-Control-Allow-Origin"]
    assert "Access-Control-Allow-Credentials" not in preflight.headers


def test_every_answer_has_the_safe_headers(client: Client) -> None:
    """No cache, no sniffing, no referrer, and caches told that Origin matters."""
    headers = client.get("/things/7").headers
    assert ("no-store", "nosniff", "no-referrer", "Origin") == (
        headers["Cache-Control"], headers["X-Content-Type-Options"], headers["Referrer-Policy"], headers["Vary"],
    )  # fmt: skip


@pytest.mark.parametrize("unverified", ["", "a" * 129, "a/b", "a\x00b", "a\nb"])
def test_what_can_be_no_crm_id_is_not_found(unverified: str) -> None:
    """Ids of the CRM are 1 to 128 printable characters without a slash."""
    with pytest.raises(NotFound):
        verify_crm_id(unverified)


def test_what_can_be_no_gmail_id_is_not_found() -> None:
    """One id of a wrong form is enough."""
    with pytest.raises(NotFound):
        verify_gmail_ids(["18c2f", "../x"])
    assert ["18c2f"] == verify_gmail_ids(["18c2f"])
