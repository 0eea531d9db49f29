"""The demo CRM's web application, over HTTP."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
import pytest
import requests

from common.webhook import sign
from local.clock import LocalClock
from local.crm.app import CrmApp, FunctionUrls
from local.crm.issuer import AUDIENCE, ISSUER, CrmIssuer
from local.crm.records import Records
from local.crm.webhook import Webhook
from local.http import HttpServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

STATIC = Path(__file__).parents[2] / "local" / "crm" / "static"


KEY = b"k" * 32
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NEWS = b'{"type": "notice.created", "data": {"user": "anna"}}'


@pytest.fixture
def crm(tmp_path: Path) -> CrmApp:
    functions = FunctionUrls("http://127.0.0.1:9/oauth_callback", "http://127.0.0.1:9/mail_proxy")
    issuer = CrmIssuer(LocalClock(tmp_path / "clock"))
    return CrmApp(issuer, Records(date(2026, 11, 24)).all, functions)


@pytest.fixture
def crm_url(crm: CrmApp) -> Iterator[str]:
    server = HttpServer(crm.app)
    yield server.url
    server.stop()


def post_news(crm_url: str, headers: dict[str, str], body: bytes = NEWS) -> int:
    return requests.post(f"{crm_url}/webhook", data=body, headers=headers, timeout=10).status_code


def test_news_come_by_the_webhook_once(crm: CrmApp, crm_url: str) -> None:
    """Signed news are heard once however often they are sent; a changed body and no signature are refused."""
    heard: list[str] = []
    crm.webhook, crm.heard = Webhook(base64.b64encode(KEY).decode(), lambda: NOW), heard.append
    signed = sign("id-1", NOW, NEWS, KEY)

    assert [401, 401] == [post_news(crm_url, signed, NEWS + b" "), post_news(crm_url, {})]
    assert [204, 204] == [post_news(crm_url, signed), post_news(crm_url, signed)]
    assert ["notice.created"] == heard


def test_without_a_key_there_is_no_webhook(crm_url: str) -> None:
    """A CRM that was told no key believes nothing."""
    assert 404 == post_news(crm_url, sign("id-1", NOW, NEWS, KEY))


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_a_foreign_page_gets_no_token_and_no_records(crm_url: str, headers: dict[str, str]) -> None:
    """A page elsewhere is refused, and so is one whose name was made to resolve to this machine."""
    session = requests.post(f"{crm_url}/session", json={"user": "anna"}, headers=headers, timeout=10)
    records = requests.get(f"{crm_url}/records.json?user=anna", headers=headers, timeout=10)

    assert [403, 403] == [session.status_code, records.status_code]


def test_configuration_names_functions_and_users(crm_url: str) -> None:
    """The page learns where the functions are and who may sign in."""
    config = requests.get(f"{crm_url}/config.json", timeout=10).json()

    assert ["anna", "ben", "carla"] == [user["id"] for user in config["users"]]
    assert "http://127.0.0.1:9/oauth_callback" == config["oauth_callback"]
    assert "http://127.0.0.1:9/mail_proxy" == config["mail_proxy"]


def test_signing_in_gives_a_token_of_the_crm(crm_url: str) -> None:
    """Who picks a user gets that user's token, which the CRM's keys verify."""
    token = requests.post(f"{crm_url}/session", json={"user": "carla"}, timeout=10).json()["token"]

    key = jwt.PyJWKClient(f"{crm_url}/jwks.json").get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key, ["RS256"], audience=AUDIENCE, issuer=ISSUER)
    assert ("carla", "administrator", ["mail_integration"]) == (claims["sub"], claims["role"], claims["permissions"])


@pytest.mark.parametrize("body", [{"user": "mallory"}, {"user": "crm-backend"}, {}, ["anna"]])
def test_only_the_three_users_can_sign_in(crm_url: str, body: object) -> None:
    """Strangers and the back end get no token from the page."""
    assert 400 == requests.post(f"{crm_url}/session", json=body, timeout=10).status_code


def test_records_are_those_that_the_user_may_see(crm_url: str) -> None:
    """The CRM shows Ben his confidential deal and not Anna's private contact."""
    records = requests.get(f"{crm_url}/records.json?user=ben", timeout=10).json()

    assert "petra" not in {contact["id"] for contact in records["contacts"]}
    assert "d-07" in {deal["id"] for deal in records["deals"]}
    assert 400 == requests.get(f"{crm_url}/records.json?user=mallory", timeout=10).status_code


@pytest.mark.parametrize("path", ["/", "/connected", *(f"/static/{file.name}" for file in sorted(STATIC.iterdir()))])
def test_every_page_and_file_is_served_under_the_policy(crm_url: str, path: str) -> None:
    """Pages and files come with a policy that lets no foreign script run and no other site frame them."""
    answer = requests.get(f"{crm_url}{path}", timeout=10)

    policy = answer.headers["Content-Security-Policy"]
    assert 200 == answer.status_code
    assert "script-src 'self';" in policy
    assert "connect-src 'self' http://127.0.0.1:9;" in policy
    assert "frame-ancestors 'none'" in policy
    assert ("nosniff", "no-referrer") == (answer.headers["X-Content-Type-Options"], answer.headers["Referrer-Policy"])


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/missing.js"])
def test_nothing_but_the_static_files_is_served(crm_url: str, path: str) -> None:
    """Paths that lead out of the folder, or nowhere, are 404."""
    # requests would tidy the path up before it is sent.
    connection = HTTPConnection(crm_url.removeprefix("http://"), timeout=10)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()

    assert 404 == status


def test_scripts_never_parse_text_as_html() -> None:
    """No script of the page uses a way to turn text into HTML; mails go into the sandboxed frame alone."""
    ways = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "createContextualFragment")
    scripts = {file.name: file.read_text() for file in STATIC.glob("*.js")}

    assert {} == {
        name: [way for way in ways if way in text] for name, text in scripts.items() if any(way in text for way in ways)
    }
    assert ["dom.js"] == [name for name, text in scripts.items() if "srcdoc" in text]
    assert "allow-scripts" not in scripts["dom.js"]
    assert "allow-same-origin" not in scripts["dom.js"]
