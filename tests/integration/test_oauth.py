"""The product's side of Google's OAuth, against the local OAuth server over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from werkzeug.wrappers import Response

from common import clock, oauth
from common.config import config
from common.model import Feature
from local.browser import consent
from local.http import HttpServer
from local.oauth import ServiceTokens
from tests.integration.google_rig import ANNA, VERIFIER, Google, running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.integration


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    with running(monkeypatch, tmp_path) as rig:
        yield rig


def test_code_becomes_grant(google: Google) -> None:
    """A consented code gives the Google account, what it granted, and tokens that Google takes."""
    grant = google.grant()
    account = google.accounts.find(ANNA)
    held = google.accounts.check(grant.access_token.value)

    assert account is not None
    assert oauth.Identity(account.sub, ANNA, True) == oauth.verify_identity(grant.unverified_id_token)
    assert oauth.scopes_for([Feature.LABELS]) == grant.scopes
    assert held is not None
    assert ANNA == held.address


def test_unticked_scope_takes_its_features(google: Google) -> None:
    """A scope that the user unticks is not in the grant, and only what needs it is missing."""
    grant = google.grant(untick=[oauth.MODIFY])

    assert {Feature.MAIL, Feature.MAILMAGNET} == oauth.granted_features(grant.scopes)


def test_code_is_good_once(google: Google) -> None:
    """A code that was exchanged already is an invalid grant."""
    url = oauth.authorization_url("s", oauth.code_challenge(VERIFIER), oauth.scopes_for([Feature.MAIL]))
    code = parse_qs(urlsplit(consent(url, ANNA)).query)["code"][0]
    oauth.exchange_code(code, VERIFIER)

    with pytest.raises(oauth.InvalidGrant) as refusal:
        oauth.exchange_code(code, VERIFIER)
    assert "revoked" == refusal.value.reason


def test_wrong_verifier_is_refused(google: Google) -> None:
    """Whoever stole a code cannot exchange it without the verifier of its start."""
    url = oauth.authorization_url("s", oauth.code_challenge(VERIFIER), oauth.scopes_for([Feature.MAIL]))
    code = parse_qs(urlsplit(consent(url, ANNA)).query)["code"][0]

    with pytest.raises(oauth.InvalidGrant):
        oauth.exchange_code(code, "w" * 43)


def test_refresh_lasts_as_long_as_google_says(google: Google) -> None:
    """A fresh access token is good for Google's 3,599 seconds."""
    token = oauth.refresh(google.grant().refresh_token)

    assert 3590 < (token.expires_at - clock.now()).total_seconds() <= 3599


def test_revoked_grant_is_invalid(google: Google) -> None:
    """After a revocation refreshing fails with InvalidGrant, and revoking again is fine."""
    grant = google.grant()
    oauth.revoke(grant.refresh_token)
    oauth.revoke(grant.refresh_token)

    with pytest.raises(oauth.InvalidGrant) as refusal:
        oauth.refresh(grant.refresh_token)
    assert "revoked" == refusal.value.reason


def test_ended_session_is_told_apart(google: Google) -> None:
    """A Workspace session that the administrator's policy has ended is told as such."""
    grant = google.grant()
    google.accounts.end_session(ANNA)

    with pytest.raises(oauth.InvalidGrant) as refusal:
        oauth.refresh(grant.refresh_token)
    assert "session" == refusal.value.reason


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 500}, {"status": 429}, {"drop_answer": True}])
def test_trouble_is_never_an_invalid_grant(google: Google, fault: dict[str, int]) -> None:
    """When Google fails or the answer is lost, nothing is known about the grant."""
    grant = google.grant()
    google.inject("oauth", "token", **fault)

    with pytest.raises(oauth.OAuthUnavailable):
        oauth.refresh(grant.refresh_token)


def test_wrong_client_is_not_the_users_fault(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client secret that Google does not take is refused under Google's word, without touching the grant."""
    grant = google.grant()
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", "another")
    config.cache_clear()

    with pytest.raises(oauth.OAuthRefused) as refusal:
        oauth.refresh(grant.refresh_token)
    assert "invalid_client" == refusal.value.error


def test_failed_revocation_is_told(google: Google) -> None:
    """A revocation that Google did not take has to be tried again."""
    grant = google.grant()
    google.inject("oauth", "revoke", status=503)

    with pytest.raises(oauth.OAuthUnavailable):
        oauth.revoke(grant.refresh_token)
    assert oauth.refresh(grant.refresh_token).value


def test_errors_hold_no_token(google: Google) -> None:
    """Neither the error nor anything that hangs on it names the token."""
    refresh_token = google.grant().refresh_token
    google.inject("oauth", "token", drop_answer=True)

    with pytest.raises(oauth.OAuthUnavailable) as failure:
        oauth.refresh(refresh_token)
    assert failure.value.__context__ is None
    assert refresh_token not in repr(failure.value)


class Scripted:
    """A token endpoint that answers what it is told."""

    def __init__(self) -> None:
        self.status, self.content = 200, b"{}"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return Response(self.content, self.status)(environ, start_response)


@pytest.fixture
def token_endpoint(google: Google, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    scripted = Scripted()
    server = HttpServer(scripted)
    monkeypatch.setenv("GOOGLE_TOKEN_URL", server.url)
    config.cache_clear()
    yield scripted
    server.stop()


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"\xff"])
def test_other_than_google_is_no_verdict(token_endpoint: Scripted, content: bytes) -> None:
    """An answer that is no JSON object comes from a machine on the way: nothing is known about the grant."""
    token_endpoint.content = content

    with pytest.raises(oauth.OAuthUnavailable):
        oauth.refresh("1//token")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b'{"expires_in": 3599}', "no_access_token"),
        (b'{"access_token": "a", "expires_in": "soon"}', "no_access_token"),
    ],
)
def test_answer_without_token_is_refused(token_endpoint: Scripted, content: bytes, error: str) -> None:
    """Success without a usable access token is not taken for one."""
    token_endpoint.content = content

    with pytest.raises(oauth.OAuthRefused) as refusal:
        oauth.refresh("1//token")
    assert error == refusal.value.error


def test_code_without_refresh_token_is_refused(token_endpoint: Scripted) -> None:
    """A grant that cannot be kept is none."""
    token_endpoint.content = b'{"access_token": "a", "expires_in": 3599, "scope": "openid"}'

    with pytest.raises(oauth.OAuthRefused) as refusal:
        oauth.exchange_code("code", VERIFIER)
    assert "no_refresh_token" == refusal.value.error


@pytest.mark.parametrize("id_token", ["", "a.b.c"])
def test_code_without_identity_is_refused(token_endpoint: Scripted, id_token: str) -> None:
    """Without Google's signature on whose mailbox it is, there is no grant."""
    answer = {"access_token": "a", "expires_in": 3599, "refresh_token": "r", "scope": "openid", "id_token": id_token}
    token_endpoint.content = json.dumps(answer).encode()

    with pytest.raises(oauth.OAuthRefused) as refusal:
        oauth.verify_identity(oauth.exchange_code("code", VERIFIER).unverified_id_token)
    assert "id_token" == refusal.value.error


def test_identity_for_another_client_is_refused(google: Google, token_endpoint: Scripted) -> None:
    """Google's word about its user, given to another client, is not taken."""
    foreign = ServiceTokens(google.clock, google.oauth_service.keys).mint(ANNA, "another-client")
    answer = {"access_token": "a", "expires_in": 3599, "refresh_token": "r", "scope": "openid", "id_token": foreign}
    token_endpoint.content = json.dumps(answer).encode()

    with pytest.raises(oauth.OAuthRefused):
        oauth.verify_identity(oauth.exchange_code("code", VERIFIER).unverified_id_token)


@pytest.mark.parametrize(("issuer", "is_taken"), [("accounts.google.com", True), ("accounts.google.com.evil", False)])
def test_google_may_leave_the_scheme_of_its_name_out(google: Google, issuer: str, is_taken: bool) -> None:
    """Both forms of the issuer that Google documents for its ID tokens are Google's; nothing else is."""
    claims = jwt.decode(google.grant().unverified_id_token, options={"verify_signature": False})
    unverified_token = google.oauth_service.keys.sign(claims | {"iss": issuer})

    try:
        taken = oauth.verify_identity(unverified_token).email == ANNA
    except oauth.OAuthRefused:
        taken = False
    assert is_taken is taken


@pytest.mark.parametrize("error", ["admin_policy_enforced", "policy_enforced", "access_denied"])
def test_a_policy_of_the_account_is_told_apart(token_endpoint: Scripted, error: str) -> None:
    """What the account's administrators forbid will not pass by itself, and is neither trouble nor a revocation."""
    token_endpoint.status, token_endpoint.content = 400, json.dumps({"error": error}).encode()

    with pytest.raises(oauth.InvalidGrant) as refusal:
        oauth.refresh("1//token")
    assert "policy" == refusal.value.reason


def test_the_sub_of_a_token_is_read_without_its_signature(google: Google) -> None:
    """To give a grant back it is enough to know whose it is; what is no token names nobody."""
    grant = google.grant()
    account = google.accounts.find(ANNA)
    assert account is not None

    assert [account.sub, "", ""] == [oauth.parse_sub(one) for one in (grant.unverified_id_token, "", "a.b.c")]


def test_strange_error_words_are_not_repeated(token_endpoint: Scripted) -> None:
    """Only what has the form of an OAuth error code gets into the error."""
    token_endpoint.status, token_endpoint.content = 400, b'{"error": "Anna <anna@demo-crm.example>"}'

    with pytest.raises(oauth.OAuthRefused) as refusal:
        oauth.refresh("1//token")
    assert "unknown_error" == refusal.value.error


def test_refused_revocation_is_told(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revocation that Google refuses for another reason is told under Google's word."""
    with pytest.raises(oauth.OAuthRefused) as refusal:
        oauth.revoke("")
    assert "invalid_request" == refusal.value.error


@pytest.mark.parametrize("content", [b"", b"{}", b"revoked"])
def test_a_revocation_is_told_by_its_status_alone(
    token_endpoint: Scripted, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """Whatever stands in the body of a success is not looked at (RFC 7009, 2.2)."""
    monkeypatch.setenv("GOOGLE_REVOKE_URL", config().google_token_url)
    config.cache_clear()
    token_endpoint.content = content

    oauth.revoke("1//token")

    token_endpoint.status = 503
    with pytest.raises(oauth.OAuthUnavailable):
        oauth.revoke("1//token")


def test_what_google_refuses_for_another_reason_is_told_to_operators(
    google: Google, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A client secret that is wrong stops everybody: the log says so by Google's own word, and nothing else of it."""
    grant = google.grant()
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", "another-secret")
    config.cache_clear()

    with pytest.raises(oauth.OAuthRefused):
        oauth.refresh(grant.refresh_token)

    logged = capsys.readouterr().err
    line = json.loads(logged.splitlines()[-1])
    assert ("ERROR", "google-refused", "invalid_client") == (line["severity"], line["event"], line["reason"])
    assert [] == [one for one in ("another-secret", grant.refresh_token) if one in logged]
