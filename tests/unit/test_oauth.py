"""The ladder of consent and the address of the consent page."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from common import clock, oauth
from common.config import Config
from common.model import Feature


def test_ladder_asks_for_all_features_at_once() -> None:
    """Setup asks for what all wanted features need together, and never for the whole of Gmail."""
    asked = oauth.scopes_for([Feature.MAIL, Feature.LABELS])

    assert {"openid", "email", oauth.READONLY, oauth.SEND, oauth.MODIFY} == asked
    assert "https://mail.google.com/" not in oauth.scopes_for(Feature)


def test_mail_asks_for_nothing_more_than_it_needs() -> None:
    """Mail and MailMagnet need reading and sending alone."""
    assert {"openid", "email", oauth.READONLY, oauth.SEND} == oauth.scopes_for([Feature.MAIL, Feature.MAILMAGNET])


def test_modify_covers_reading_and_sending() -> None:
    """Who granted gmail.modify alone has everything, since that scope covers the lower ones."""
    assert frozenset(Feature) == oauth.granted_features(frozenset({"openid", "email", oauth.MODIFY}))


@pytest.mark.parametrize("missing", ["openid", "email", oauth.READONLY, oauth.SEND])
def test_each_scope_of_mail_is_needed(missing: str) -> None:
    """Without any one of its scopes there is no mail feature."""
    assert Feature.MAIL not in oauth.granted_features(oauth.scopes_for([Feature.MAIL]) - {missing})


def test_mailmagnet_needs_no_sending() -> None:
    """Who leaves sending unticked still gets notices: an unticked scope disables just its feature."""
    assert {Feature.MAILMAGNET} == oauth.granted_features(oauth.scopes_for([Feature.MAIL]) - {oauth.SEND})


def test_long_scope_names_are_the_short_ones() -> None:
    """Google answers the scope email by its long name; it counts all the same."""
    granted = f"openid https://www.googleapis.com/auth/userinfo.email {oauth.READONLY} {oauth.SEND}"

    assert {Feature.MAIL, Feature.MAILMAGNET} == oauth.granted_features(oauth.parse_scopes(granted))


def test_challenge_is_rfc_7636s() -> None:
    """The S256 challenge of RFC 7636's example (appendix B)."""
    challenge = oauth.code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")

    assert "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" == challenge


def test_consent_page_gets_what_google_requires(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consent page's address asks for offline access, the code flow, PKCE and incremental grants."""
    settings = Config(project_id="p", region="r", oauth_client_id="client", oauth_redirect_uri="https://f.example/cb")
    monkeypatch.setattr(oauth, "config", lambda: settings)
    url = oauth.authorization_url("st", "ch", frozenset({"openid", "email"}), "anna@demo-crm.example")

    assert {
        "client_id": ["client"],
        "redirect_uri": ["https://f.example/cb"],
        "response_type": ["code"],
        "scope": ["email openid"],
        "state": ["st"],
        "code_challenge": ["ch"],
        "code_challenge_method": ["S256"],
        "access_type": ["offline"],
        "prompt": ["consent"],
        "include_granted_scopes": ["true"],
        "login_hint": ["anna@demo-crm.example"],
    } == parse_qs(urlsplit(url).query)
    assert url.startswith("https://accounts.google.com/o/oauth2/v2/auth?")


def test_tokens_are_not_printed() -> None:
    """A grant's text shows no token, and nothing of the one that names the person."""
    token = oauth.AccessToken("ya29.secret", clock.now())
    grant = oauth.Grant("1//secret", token, frozenset(), "header.anna.signature")

    shown = f"{grant!r} {token!r}"
    assert "secret" not in shown
    assert "anna" not in shown
