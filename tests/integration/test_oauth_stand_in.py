"""The local OAuth server, driven over HTTP as a browser and a client do."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
import pytest
import requests

from local.accounts import REFRESH_TOKENS_PER_ACCOUNT, Accounts, s256
from local.browser import ConsentRefused, consent
from local.clock import LocalClock
from local.faults import Fault, Faults
from local.http import HttpServer
from local.ledger import Ledger
from local.oauth import OAuthService, ServiceTokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

READONLY = "https://www.googleapis.com/auth/gmail.readonly"
SEND = "https://www.googleapis.com/auth/gmail.send"
MODIFY = "https://www.googleapis.com/auth/gmail.modify"
EMAIL = "https://www.googleapis.com/auth/userinfo.email"
ANNA = "anna@demo-crm.example"
BEN = "ben@demo-crm.example"
CALLBACK = "http://127.0.0.1:1/oauth_callback/callback"
CLIENT_ID = "1234-abc.apps.googleusercontent.com"
SECRET = "GOCSPX-local"
DEAD = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}


@dataclass
class Google:
    """The server under test, with what a client would know of it."""

    url: str
    service: OAuthService
    accounts: Accounts
    clock: LocalClock
    ledger: Ledger
    faults: Faults

    def auth_url(self, *, scope: str = f"openid email {READONLY}", without: str = "", **changes: str) -> str:
        query = {
            "client_id": CLIENT_ID,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": scope,
            "state": "state-1",
            "nonce": "nonce-1",
            "access_type": "offline",
            "prompt": "consent",
            "include_granted_scopes": "true",
            "code_challenge": s256("v" * 43),
            "code_challenge_method": "S256",
        } | changes
        return f"{self.url}/o/oauth2/v2/auth?{urlencode({k: v for k, v in query.items() if k != without})}"

    def code(self, address: str = ANNA, **changes: str) -> str:
        return answer_of(consent(self.auth_url(**changes), address))["code"]

    def token(self, **fields: str) -> requests.Response:
        client = {"client_id": CLIENT_ID, "client_secret": SECRET}
        return requests.post(f"{self.url}/token", data=client | fields, timeout=10)

    def exchange(self, code: str, **changes: str) -> requests.Response:
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return self.token(**{**fields, "code_verifier": "v" * 43, **changes})

    def connect(self, address: str = ANNA, **changes: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.exchange(self.code(address, **changes)).json()
        return answer

    def refresh(self, refresh_token: str) -> requests.Response:
        return self.token(grant_type="refresh_token", refresh_token=refresh_token)

    def claims(self, token: str, audience: str = CLIENT_ID) -> dict[str, Any]:
        keys = jwt.PyJWKClient(f"{self.url}/oauth2/v3/certs", cache_jwk_set=False)
        return jwt.decode(token, keys.get_signing_key_from_jwt(token), ["RS256"], audience=audience)


def answer_of(location: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(location).query))


@pytest.fixture
def google(tmp_path: Path) -> Iterator[Google]:
    clock, ledger, faults = LocalClock(tmp_path / "clock"), Ledger(), Faults()
    accounts = Accounts(clock, CLIENT_ID, SECRET, [CALLBACK])
    accounts.add(ANNA, "Anna Berger")
    accounts.add(BEN, "Ben Ode")
    service = OAuthService(clock, ledger, faults, accounts)
    server = HttpServer(service.app)
    yield Google(server.url, service, accounts, clock, ledger, faults)
    server.stop()


def test_consent_redirects_with_code_state_scope_and_issuer(google: Google) -> None:
    """Allow leads to the redirect URI with code, state, granted scopes and Google as the issuer."""
    location = consent(google.auth_url(), ANNA)

    answer = answer_of(location)
    assert location.startswith(f"{CALLBACK}?")
    assert answer["code"].startswith("4/")
    assert "state-1" == answer["state"]
    assert "https://accounts.google.com" == answer["iss"]
    assert {"openid", "email", EMAIL, READONLY} == set(answer["scope"].split())


def test_deny_redirects_with_access_denied(google: Google) -> None:
    """Deny leads to the redirect URI with the error alone, state and issuer included."""
    answer = answer_of(consent(google.auth_url(), ANNA, deny=True))

    assert {"error": "access_denied", "state": "state-1", "iss": "https://accounts.google.com"} == answer


def test_code_is_exchanged_for_tokens_of_the_granted_scopes(google: Google) -> None:
    """The token answer has both tokens, 3,599 seconds, the long scope names, and works at once."""
    answer = google.connect()

    assert {"access_token", "expires_in", "refresh_token", "scope", "token_type", "id_token"} == set(answer)
    assert 3599 == answer["expires_in"]
    assert "Bearer" == answer["token_type"]
    assert {"openid", EMAIL, READONLY} == set(answer["scope"].split())
    grant = google.accounts.check(answer["access_token"])
    assert grant is not None
    assert (ANNA, frozenset({"openid", EMAIL, READONLY}), CLIENT_ID) == (grant.address, grant.scopes, grant.client_id)


def test_id_token_says_who_consented(google: Google) -> None:
    """The id_token names the account for ever (sub), its address of today, the client and the nonce."""
    claims = google.claims(google.connect()["id_token"])

    anna = google.accounts.find(ANNA)
    assert anna is not None
    assert (21, True) == (len(anna.sub), anna.sub.isdigit())
    assert {
        "iss": "https://accounts.google.com",
        "aud": CLIENT_ID,
        "azp": CLIENT_ID,
        "sub": anna.sub,
        "hd": "demo-crm.example",
        "email": ANNA,
        "email_verified": True,
        "nonce": "nonce-1",
    } == {name: value for name, value in claims.items() if name not in ("iat", "exp", "at_hash")}
    assert 3600 == claims["exp"] - claims["iat"]


def test_unverified_address_is_told(google: Google) -> None:
    """An account whose address Google has not verified says so, and a consumer's account has no domain."""
    google.accounts.add("zoe@gmail.com", "Zoe", email_verified=False)

    claims = google.claims(google.connect("zoe@gmail.com")["id_token"])

    assert claims["email_verified"] is False
    assert "hd" not in claims


def test_unticked_scope_is_not_granted(google: Google) -> None:
    """A scope whose checkbox was unticked is missing from redirect, token answer and token."""
    location = consent(google.auth_url(scope=f"openid email {READONLY} {SEND}"), ANNA, untick=[SEND])

    answer = google.exchange(answer_of(location)["code"]).json()
    assert SEND not in answer_of(location)["scope"]
    assert {"openid", EMAIL, READONLY} == set(answer["scope"].split())


def test_unticking_everything_is_a_denial(google: Google) -> None:
    """A request without sign-in scopes of which nothing is allowed ends with access_denied."""
    location = consent(google.auth_url(scope=READONLY), ANNA, untick=[READONLY])

    assert "access_denied" == answer_of(location)["error"]


@pytest.mark.parametrize(
    ("wrong", "changes"),
    [
        ("invalid_client", {"client_id": "someone-else"}),
        ("redirect_uri_mismatch", {"redirect_uri": f"{CALLBACK}/"}),
        ("redirect_uri_mismatch", {"redirect_uri": f"{CALLBACK}?next=elsewhere"}),
        ("unsupported_response_type", {"response_type": "token"}),
        ("invalid_scope", {"scope": "openid https://www.googleapis.com/auth/gmail.everything"}),
        ("invalid_request", {"code_challenge_method": "S512"}),
        ("invalid_request", {"code_challenge": "short"}),
        ("invalid_request", {"without": "code_challenge"}),
        ("invalid_request", {"without": "scope"}),
        ("invalid_request", {"without": "client_id"}),
        ("invalid_request", {"access_type": "sometimes"}),
    ],
)
def test_bad_request_ends_on_a_page_of_googles_own(google: Google, wrong: str, changes: dict[str, str]) -> None:
    """What Google cannot trust is answered 400 with an error page and never redirects."""
    answer = requests.get(google.auth_url(**changes), allow_redirects=False, timeout=10)

    assert 400 == answer.status_code
    assert "Location" not in answer.headers
    assert f"<code>{wrong}</code>" in answer.text


def test_repeated_parameter_is_refused(google: Google) -> None:
    """An authorization URL that gives a parameter twice is refused."""
    answer = requests.get(f"{google.auth_url()}&scope=openid", timeout=10)

    assert 400 == answer.status_code
    assert "single value: scope" in answer.text


def test_page_speaks_the_browsers_language(google: Google) -> None:
    """The page is German for a German browser and English for one whose language it does not know."""
    pages = [
        requests.get(google.auth_url(), headers={"Accept-Language": language}, timeout=10).text
        for language in ("de-AT,de;q=0.9,en;q=0.5", "fr-FR")
    ]

    assert ("Zulassen" in pages[0], "Abbrechen" in pages[0]) == (True, True)
    assert ("Allow" in pages[1], "Zulassen" in pages[1]) == (True, False)


def test_login_hint_preselects_the_account(google: Google) -> None:
    """Who only presses Allow consents as the account that login_hint named."""
    location = consent(google.auth_url(login_hint=BEN.upper()))

    claims = google.claims(google.exchange(answer_of(location)["code"]).json()["id_token"])
    assert BEN == claims["email"]


def test_signed_out_account_is_not_offered(google: Google) -> None:
    """The page offers only accounts that are signed in."""
    google.accounts.sign_out(ANNA)

    with pytest.raises(ConsentRefused):
        consent(google.auth_url(), ANNA)


def test_consent_form_works_once(google: Google) -> None:
    """A form made up, or sent a second time, gets an error page and no code."""
    form = {"request": secrets.token_urlsafe(24), "account": "1", "decision": "allow"}

    answer = requests.post(f"{google.url}/o/oauth2/v2/auth", data=form, allow_redirects=False, timeout=10)

    assert 400 == answer.status_code


def test_code_works_once_and_its_reuse_revokes(google: Google) -> None:
    """A second use of a code is invalid_grant and kills the tokens of the first."""
    code = google.code()
    first = google.exchange(code).json()

    second = google.exchange(code)

    assert (400, {"error": "invalid_grant", "error_description": "Bad Request"}) == (
        second.status_code,
        second.json(),
    )
    assert google.accounts.check(first["access_token"]) is None
    assert DEAD == google.refresh(first["refresh_token"]).json()


def test_parallel_exchanges_of_one_code_yield_one_success(google: Google) -> None:
    """Of eight simultaneous exchanges of one code exactly one gets tokens."""
    code = google.code()

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: google.exchange(code).status_code, range(8)))

    assert [200] + [400] * 7 == sorted(statuses)


def test_code_lasts_ten_minutes(google: Google) -> None:
    """A code that is ten minutes old is invalid_grant."""
    code = google.code()
    google.clock.advance(600)

    assert "invalid_grant" == google.exchange(code).json()["error"]


@pytest.mark.parametrize(
    ("status", "error", "changes"),
    [
        (400, "invalid_grant", {"code_verifier": "w" * 43}),
        (400, "invalid_grant", {"code_verifier": ""}),
        (400, "redirect_uri_mismatch", {"redirect_uri": f"{CALLBACK}/"}),
        (401, "invalid_client", {"client_secret": "guessed"}),
        (401, "invalid_client", {"client_id": "someone-else"}),
        (400, "invalid_request", {"client_secret": ""}),
        (400, "invalid_request", {"redirect_uri": ""}),
        (400, "invalid_request", {"grant_type": ""}),
        (400, "unsupported_grant_type", {"grant_type": "password"}),
        (400, "invalid_grant", {"code": "4/0unknown"}),
        (400, "invalid_grant", {"code": "unknown"}),
    ],
)
def test_wrong_exchange_is_refused_and_leaves_the_code(
    google: Google, status: int, error: str, changes: dict[str, str]
) -> None:
    """A wrong verifier, redirect URI, client or grant type is refused in Google's words, and the code stays good."""
    code = google.code()

    refused = google.exchange(**({"code": code} | changes))

    assert (status, error) == (refused.status_code, refused.json()["error"])
    assert 200 == google.exchange(code).status_code


def test_code_without_challenge_takes_no_verifier(google: Google) -> None:
    """A code asked for without PKCE is refused with a verifier, and given without."""
    url = google.auth_url(without="code_challenge").replace("&code_challenge_method=S256", "")
    code = answer_of(consent(url, ANNA))["code"]

    assert "code_verifier or verifier is not needed." == google.exchange(code).json()["error_description"]
    assert 200 == google.exchange(code, code_verifier="").status_code


def test_client_may_use_basic_authentication(google: Google) -> None:
    """The client's id and secret are taken from the Authorization header too."""
    fields = {"grant_type": "refresh_token", "refresh_token": google.connect()["refresh_token"]}

    answer = requests.post(f"{google.url}/token", data=fields, auth=(CLIENT_ID, SECRET), timeout=10)

    assert 200 == answer.status_code


def test_access_token_expires_by_the_clock(google: Google) -> None:
    """An access token lives 3,599 seconds; the refresh token gives another of the same scopes and no refresh token."""
    first = google.connect()
    google.clock.advance(3_598)
    before = google.accounts.check(first["access_token"])
    google.clock.advance(2)

    second = google.refresh(first["refresh_token"]).json()

    assert before is not None
    assert google.accounts.check(first["access_token"]) is None
    assert google.accounts.check(second["access_token"]) is not None
    assert first["scope"] == second["scope"]
    assert "refresh_token" not in second


def test_refresh_token_comes_at_the_first_consent_only(google: Google) -> None:
    """Without prompt=consent a second consent yields no refresh token, with it another one."""
    answers = [google.connect(prompt=prompt) for prompt in ("select_account", "select_account", "consent")]

    assert [True, False, True] == ["refresh_token" in answer for answer in answers]


def test_online_access_gives_no_refresh_token(google: Google) -> None:
    """Without access_type=offline there is no refresh token."""
    assert "refresh_token" not in google.connect(access_type="online")


def test_incremental_grants_merge_when_asked(google: Google) -> None:
    """include_granted_scopes adds what was granted before; without it the token has what was asked for."""
    google.connect()

    merged = google.connect(scope=f"openid {MODIFY}")
    alone = google.connect(scope=f"openid {SEND}", include_granted_scopes="false")

    assert {"openid", EMAIL, READONLY, MODIFY} == set(merged["scope"].split())
    assert {"openid", SEND} == set(alone["scope"].split())


def test_oldest_of_more_than_a_hundred_refresh_tokens_dies_silently(google: Google) -> None:
    """The 101st refresh token of an account kills the first, and only the first."""
    tokens = [google.connect()["refresh_token"] for _ in range(REFRESH_TOKENS_PER_ACCOUNT + 1)]

    assert (400, DEAD) == ((first := google.refresh(tokens[0])).status_code, first.json())
    assert [200, 200] == [google.refresh(token).status_code for token in (tokens[1], tokens[-1])]


def test_unused_refresh_token_dies_after_six_months(google: Google) -> None:
    """Six months without use kill a refresh token; each use starts them anew."""
    used, unused = google.connect()["refresh_token"], google.connect()["refresh_token"]
    google.clock.advance(100 * 86_400)
    google.refresh(used)
    google.clock.advance(100 * 86_400)

    assert [200, 400] == [google.refresh(token).status_code for token in (used, unused)]


def test_testing_mode_kills_refresh_tokens_after_seven_days(google: Google) -> None:
    """While the project is in testing a refresh token lives seven days, used or not."""
    google.accounts.testing = True
    token = google.connect()["refresh_token"]
    google.clock.advance(6 * 86_400)
    alive = google.refresh(token).status_code
    google.clock.advance(86_400)

    assert (200, DEAD) == (alive, google.refresh(token).json())


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("where", ["data", "params"])
def test_revoking_one_token_ends_all_grants_of_that_user(google: Google, kind: str, where: str) -> None:
    """Either token, in body or query, revokes every token of the user in the project, and nobody else's."""
    one, two, other = google.connect(), google.connect(), google.connect(BEN)
    pending = google.code()

    fields: dict[str, Any] = {where: {"token": one[kind]}}
    answer = requests.post(f"{google.url}/revoke", timeout=10, **fields)

    assert 200 == answer.status_code
    assert [None, None] == [google.accounts.check(each["access_token"]) for each in (one, two)]
    assert [DEAD, DEAD] == [google.refresh(each["refresh_token"]).json() for each in (one, two)]
    assert "invalid_grant" == google.exchange(pending).json()["error"]
    assert google.accounts.check(other["access_token"]) is not None
    assert 200 == google.refresh(other["refresh_token"]).status_code


def test_after_revocation_everything_begins_anew(google: Google) -> None:
    """After a revocation the next consent is a first one: a refresh token, and only the scopes asked for."""
    google.connect(scope=f"openid email {READONLY} {SEND}")
    google.accounts.revoke_account(ANNA)

    again = google.connect(prompt="select_account")

    assert "refresh_token" in again
    assert {"openid", EMAIL, READONLY} == set(again["scope"].split())


def test_revoking_an_unknown_or_dead_token_is_invalid_token(google: Google) -> None:
    """Unknown, revoked and expired tokens are 400 invalid_token; none at all is invalid_request."""
    token = google.connect()["access_token"]
    google.clock.advance(3_600)

    answers = [
        requests.post(f"{google.url}/revoke", data={"token": each}, timeout=10) for each in (token, "unknown", "")
    ]

    assert [400, 400, 400] == [answer.status_code for answer in answers]
    assert ["invalid_token", "invalid_token", "invalid_request"] == [answer.json()["error"] for answer in answers]


def test_owner_revokes_at_google(google: Google) -> None:
    """The owner's own revocation kills both tokens."""
    tokens = google.connect()

    google.accounts.revoke_account(ANNA)

    assert google.accounts.check(tokens["access_token"]) is None
    assert DEAD == google.refresh(tokens["refresh_token"]).json()


def test_password_change_kills_tokens_with_gmail_scopes_only(google: Google) -> None:
    """A new password kills tokens that carry Gmail scopes and leaves those that merely sign in."""
    sign_in = google.connect(scope="openid email")
    mail = google.connect()

    google.accounts.change_password(ANNA)

    assert google.accounts.check(mail["access_token"]) is None
    assert [200, 400] == [google.refresh(each["refresh_token"]).status_code for each in (sign_in, mail)]


def test_suspended_account_is_locked_out_until_it_is_enabled(google: Google) -> None:
    """A suspended account's tokens stop working, and work again when the suspension is lifted."""
    tokens = google.connect()
    google.accounts.disable(ANNA)
    locked = google.accounts.check(tokens["access_token"]), google.refresh(tokens["refresh_token"]).json()["error"]

    google.accounts.enable(ANNA)

    assert (None, "invalid_grant") == locked
    assert 200 == google.refresh(tokens["refresh_token"]).status_code


def test_ended_session_asks_to_sign_in_again(google: Google) -> None:
    """Where the administrator limits sessions, a refresh says invalid_rapt until the user consents again."""
    refresh_token = google.connect()["refresh_token"]
    google.accounts.end_session(ANNA)
    refused = google.refresh(refresh_token)

    google.connect()

    assert (400, "invalid_grant", "invalid_rapt") == (
        refused.status_code,
        refused.json()["error"],
        refused.json()["error_subtype"],
    )
    assert 200 == google.refresh(refresh_token).status_code


def test_renamed_account_keeps_its_grants(google: Google) -> None:
    """A new address leaves sub and tokens as they are, and is told from then on."""
    tokens = google.connect()
    before = google.claims(tokens["id_token"])["sub"]

    google.accounts.rename(ANNA, "anna.neu@demo-crm.example")

    grant = google.accounts.check(tokens["access_token"])
    assert grant is not None
    assert (before, "anna.neu@demo-crm.example") == (grant.account, grant.address)
    assert google.accounts.find(ANNA) is None


def test_two_accounts_cannot_share_an_address(google: Google) -> None:
    """An address that is taken can neither be added nor renamed to, in any case."""
    with pytest.raises(ValueError):
        google.accounts.add(ANNA.upper(), "Another Anna")
    with pytest.raises(ValueError):
        google.accounts.rename(BEN, ANNA)


def test_address_reused_by_another_account_has_another_sub(google: Google) -> None:
    """Who gets an address that someone else had before is another account, and holds none of the grants."""
    tokens = google.connect()
    google.accounts.rename(ANNA, "anna.neu@demo-crm.example")

    other = google.accounts.add(ANNA, "Anna Zweig")

    assert google.claims(tokens["id_token"])["sub"] != other.sub
    assert () == google.accounts.granted(other.sub)


def test_rotated_key_signs_and_the_one_before_still_verifies(google: Google) -> None:
    """After one rotation both keys are published, after a second one the first is gone."""
    old = google.connect()["id_token"]
    first_kid = jwt.get_unverified_header(old)["kid"]

    second_kid = google.service.rotate_keys()

    new = google.connect()["id_token"]
    assert second_kid == jwt.get_unverified_header(new)["kid"]
    assert [ANNA, ANNA] == [google.claims(token)["email"] for token in (old, new)]
    third_kid = google.service.rotate_keys()
    published = requests.get(f"{google.url}/oauth2/v3/certs", timeout=10)
    assert [second_kid, third_kid] == [key["kid"] for key in published.json()["keys"]]
    assert first_kid not in published.text
    assert "max-age=21600" in published.headers["Cache-Control"]


def test_published_keys_hold_no_private_part(google: Google) -> None:
    """The JWKS shows modulus, exponent and names alone."""
    (key,) = requests.get(f"{google.url}/oauth2/v3/certs", timeout=10).json()["keys"]

    assert {"kty", "n", "e", "kid", "alg", "use"} == set(key)


def test_discovery_names_the_endpoints(google: Google) -> None:
    """Google stays the issuer while the endpoints are on this machine."""
    document = requests.get(f"{google.url}/.well-known/openid-configuration", timeout=10).json()

    assert "https://accounts.google.com" == document["issuer"]
    assert f"{google.url}/token" == document["token_endpoint"]
    assert f"{google.url}/oauth2/v3/certs" == document["jwks_uri"]


def test_security_event_is_signed_with_the_keys_that_risc_names(google: Google) -> None:
    """A security event token has the issuer with its slash, the client as audience, the subject, and no expiry."""
    token = google.service.security_event("account-disabled", ANNA, reason="hijacking")

    document = requests.get(f"{google.url}/.well-known/risc-configuration", timeout=10).json()
    key = jwt.PyJWKClient(document["jwks_uri"], cache_jwk_set=False).get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key, ["RS256"], audience=CLIENT_ID, issuer=document["issuer"])
    anna = google.accounts.find(ANNA)
    assert anna is not None
    assert "https://accounts.google.com/" == claims["iss"]
    assert "exp" not in claims
    assert {
        "https://schemas.openid.net/secevent/risc/event-type/account-disabled": {
            "reason": "hijacking",
            "subject": {"subject_type": "iss-sub", "iss": "https://accounts.google.com/", "sub": anna.sub},
        }
    } == claims["events"]


def test_token_events_have_the_oauth_event_type(google: Google) -> None:
    """Revoked tokens are told under OAuth's event type, a verification without a subject."""
    tokens = (
        google.service.security_event("tokens-revoked", ANNA),
        google.service.security_event("verification", state="s"),
    )

    events = [jwt.decode(token, options={"verify_signature": False})["events"] for token in tokens]

    assert ["https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked"] == list(events[0])
    assert {"https://schemas.openid.net/secevent/risc/event-type/verification": {"state": "s"}} == events[1]


def test_service_account_token_is_good_for_an_hour(google: Google) -> None:
    """A service account's token names it, verified, for one audience and one hour by the clock."""
    google.clock.advance(5 * 86_400)
    email, audience = "tasks@local-project.iam.gserviceaccount.com", "https://function.example"
    token = ServiceTokens(google.clock, google.service.keys).mint(email, audience)

    keys = jwt.PyJWKClient(f"{google.url}/oauth2/v3/certs").get_signing_key_from_jwt(token)
    claims = jwt.decode(token, keys, ["RS256"], audience=audience, options={"verify_iat": False})

    assert ("https://accounts.google.com", email, True) == (claims["iss"], claims["email"], claims["email_verified"])
    assert {"iss", "aud", "azp", "sub", "email", "email_verified", "iat", "exp"} == set(claims)
    assert 3600 == claims["exp"] - claims["iat"]
    assert abs(claims["iat"] - google.clock.now().timestamp()) < 60


def test_every_call_stands_in_the_ledger(google: Google) -> None:
    """Each call is recorded with method, mailbox and status, the page twice: shown and sent."""
    google.refresh(google.connect()["refresh_token"])
    google.token(grant_type="refresh_token", refresh_token="unknown")

    calls = [(call.method, call.mailbox, call.status) for call in google.ledger.since(0, service="oauth")]

    assert [
        ("auth", "", 200),
        ("auth", ANNA, 302),
        ("token", ANNA, 200),
        ("token", ANNA, 200),
        ("token", "", 400),
    ] == calls


def test_fault_strikes_one_mailbox_as_often_as_told(google: Google) -> None:
    """A 503 for Anna's refresh comes once and leaves Ben alone; keys can fail too."""
    anna, ben = google.connect()["refresh_token"], google.connect(BEN)["refresh_token"]
    google.faults.inject(Fault("oauth", "token", mailbox=ANNA, status=503))
    google.faults.inject(Fault("jwks", "certs", status=500))

    assert [200, 503, 200] == [google.refresh(token).status_code for token in (ben, anna, anna)]
    assert [500, 200] == [requests.get(f"{google.url}/oauth2/v3/certs", timeout=10).status_code for _ in range(2)]


def test_dropped_answer_has_done_the_work(google: Google) -> None:
    """When the answer to an exchange is lost, the connection breaks and the code is used up."""
    code = google.code()
    google.faults.inject(Fault("oauth", "token", drop_answer=True))

    with pytest.raises(requests.ConnectionError):
        google.exchange(code)

    assert "invalid_grant" == google.exchange(code).json()["error"]


def test_redirect_keeps_the_query_of_the_registered_uri(tmp_path: Path) -> None:
    """A registered redirect URI with a query of its own keeps it beside the answer."""
    clock, callback = LocalClock(tmp_path / "clock"), f"{CALLBACK}?tenant=demo"
    accounts = Accounts(clock, CLIENT_ID, SECRET, [callback])
    accounts.add(ANNA, "Anna Berger")
    service = OAuthService(clock, Ledger(), Faults(), accounts)
    server = HttpServer(service.app)
    google = Google(server.url, service, accounts, clock, Ledger(), Faults())
    try:
        location = consent(google.auth_url(redirect_uri=callback), ANNA)
    finally:
        server.stop()

    assert ["demo"] == parse_qs(urlsplit(location).query)["tenant"]
