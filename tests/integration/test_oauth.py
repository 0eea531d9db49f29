"""The product's side of Google's OAuth, against the local OAuth server over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from common import clock, oauth
from common.config import config
from common.model import Feature
from local.browser import consent
from tests.integration.google_rig import ANNA, VERIFIER, Google, running

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
    assert oauth.Identity(account.sub, ANNA, True) == grant.identity
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
