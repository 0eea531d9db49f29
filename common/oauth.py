"""Owns Google's OAuth endpoints: the ladder of consent, the code, the refresh, the revocation.

Speaks HTTP through requests; knows no store and no route, and must not import googleapiclient. No body of an answer,
no token and no address ever gets into an exception: Google's word for an error is taken over only in its own form.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from common import auth, clock, log
from common.config import config
from common.errors import Problem, Unauthenticated, Unavailable
from common.lazy import jwt, requests
from common.model import Feature

_TIMEOUT_S: Final = (5.0, 10.0)
_GMAIL: Final = "https://www.googleapis.com/auth/gmail."
READONLY: Final = f"{_GMAIL}readonly"
SEND: Final = f"{_GMAIL}send"
MODIFY: Final = f"{_GMAIL}modify"

_READING: Final = frozenset({"openid", "email", READONLY})
_MAIL: Final = _READING | {SEND}
# The ladder. What each rung needs; asked for together, refused one by one.
SCOPES: Final[Mapping[Feature, frozenset[str]]] = {
    Feature.MAIL: _MAIL,
    # Who leaves sending unticked still gets notices.
    Feature.MAILMAGNET: _READING,
    Feature.ACTIONS: _MAIL | {MODIFY},
    Feature.LABELS: _MAIL | {MODIFY},
}
# gmail.modify covers reading and sending (each method's list of scopes in Gmail's discovery document).
_COVERED: Final[Mapping[str, frozenset[str]]] = {MODIFY: frozenset({READONLY, SEND})}
# Google answers with the long name of what was asked for by the short one (OpenID Connect, scopes).
_LONG_NAMES: Final[Mapping[str, str]] = {
    "https://www.googleapis.com/auth/userinfo.email": "email",
    "https://www.googleapis.com/auth/userinfo.profile": "profile",
}
# The account's administrators, or its Advanced Protection, allow the client no more (Google Identity, "Refresh token
# expiration" and "Authorization errors"); a restricted account is denied.
_POLICY_ERRORS: Final = frozenset({"admin_policy_enforced", "policy_enforced", "access_denied"})
_ERROR_CODE: Final = re.compile(r"[a-z][a-z_]{0,63}")


class InvalidGrant(Exception):
    """Google takes this code or refresh token no more.

    ``reason``: ``revoked``, ``session`` (the user must sign in again), or ``policy`` (the account's administrators).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OAuthUnavailable(Unavailable):
    """Google could not be asked, or is in trouble: nothing is known about the grant."""

    code = "google-unavailable"


class OAuthRefused(Problem):
    """Google refuses for another reason than the grant; ``error`` is its own word (RFC 6749, 5.2), or ours."""

    status = HTTPStatus.BAD_GATEWAY
    code = "google-refused"

    def __init__(self, error: str) -> None:
        super().__init__(reason=error)
        self.error = error


@dataclass(frozen=True)
class Identity:
    """Who Google says has consented: ``sub`` names the account for ever, the address may change."""

    sub: str
    email: str
    email_verified: bool


@dataclass(frozen=True)
class AccessToken:
    """Good until ``expires_at``. Never printed."""

    value: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class Grant:
    """What an exchanged code gave; ``scopes`` are those that the user left ticked.

    Whose it is says ``unverified_id_token``, once ``verify_identity`` has read it.
    """

    refresh_token: str = field(repr=False)
    access_token: AccessToken = field(repr=False)
    scopes: frozenset[str]
    unverified_id_token: str = field(repr=False)


def scopes_for(features: Iterable[Feature]) -> frozenset[str]:
    """All scopes that ``features`` need together."""
    return frozenset().union(*(SCOPES[feature] for feature in features))


def parse_scopes(granted: str) -> frozenset[str]:
    """The scopes of a token answer's ``scope``, by the names under which they are asked for."""
    return frozenset(_LONG_NAMES.get(scope, scope) for scope in granted.split())


def granted_features(scopes: frozenset[str]) -> frozenset[Feature]:
    """The features for which ``scopes`` suffice."""
    held = scopes.union(*(_COVERED.get(scope, frozenset()) for scope in scopes))
    return frozenset(feature for feature, needed in SCOPES.items() if needed <= held)


def code_challenge(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_url(state: str, challenge: str, scopes: frozenset[str], login_hint: str = "") -> str:
    """The address of Google's consent page.

    ``prompt=consent`` since a refresh token comes only with it; ``include_granted_scopes`` keeps the lower rungs.
    """
    settings = config()
    query = {
        "client_id": settings.oauth_client_id,
        "redirect_uri": settings.oauth_redirect_uri,
        "response_type": "code",
        "scope": " ".join(sorted(scopes)),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "access_type": "offline",
        "prompt": "consent",
        "include_granted_scopes": "true",
    }
    if login_hint:
        query["login_hint"] = login_hint
    return f"{settings.google_auth_url}?{urlencode(query)}"


def exchange_code(code: str, verifier: str) -> Grant:
    """Exchanges a code. Raises InvalidGrant (used, expired, not ours), OAuthRefused, or Unavailable."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": config().oauth_redirect_uri,
    }
    answer = _post_token(form)
    refresh_token = answer.get("refresh_token")
    if not isinstance(refresh_token, str) or not refresh_token:
        raise OAuthRefused("no_refresh_token")
    return Grant(
        refresh_token=refresh_token,
        access_token=_parse_access_token(answer),
        scopes=parse_scopes(str(answer.get("scope", ""))),
        unverified_id_token=str(answer.get("id_token", "")),
    )


def verify_identity(unverified_id_token: str) -> Identity:
    """Who has consented. Raises OAuthRefused where Google has not signed it for us, Unavailable without its keys."""
    settings = config()
    try:
        claims = auth.verify_signed(
            unverified_id_token, auth.google_keys(), issuer=auth.google_issuers(), audience=settings.oauth_client_id
        )
    except Unauthenticated:
        claims = {}
    sub, email = claims.get("sub"), claims.get("email")
    if not isinstance(sub, str) or not sub or not isinstance(email, str) or not email:
        raise OAuthRefused("id_token")
    return Identity(sub, email, claims.get("email_verified") is True)


def parse_sub(unverified_id_token: str) -> str:
    """The account that the token names, empty where it names none. Good only for giving a grant back.

    It comes from Google's token endpoint over TLS, which vouches for it (OpenID Connect Core 3.1.3.7, 6).
    """
    try:
        claims = jwt.decode(unverified_id_token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return ""
    sub = claims.get("sub")
    return sub if isinstance(sub, str) else ""


def refresh(refresh_token: str) -> AccessToken:
    """A fresh access token. Raises InvalidGrant, OAuthRefused, or OAuthUnavailable."""
    return _parse_access_token(_post_token({"grant_type": "refresh_token", "refresh_token": refresh_token}))


def revoke(token: str) -> None:
    """Revokes all that the token's user granted to this project; what is dead already is fine.

    Raises OAuthUnavailable where it has to be tried again, OAuthRefused.
    """
    response = _send(config().google_revoke_url, {"token": token})
    # The body of a success is not to be looked at (RFC 7009, 2.2).
    if response.status_code == HTTPStatus.OK:
        return
    error = _parse_error(_parse_answer(response))
    if error not in ("invalid_token", "invalid_grant"):
        raise _refusal(error)


def _post_token(form: Mapping[str, str]) -> Mapping[str, Any]:
    settings = config()
    client = {"client_id": settings.oauth_client_id, "client_secret": settings.oauth_client_secret}
    response = _send(settings.google_token_url, {**form, **client})
    answer = _parse_answer(response)
    if response.status_code == HTTPStatus.OK:
        return answer
    error = _parse_error(answer)
    if error == "invalid_grant":
        # Workspace's session control answers invalid_grant too, with this subtype: the user must sign in again.
        raise InvalidGrant("session" if answer.get("error_subtype") == "invalid_rapt" else "revoked")
    if error in _POLICY_ERRORS:
        raise InvalidGrant("policy")
    raise _refusal(error)


def _refusal(error: str) -> OAuthRefused:
    # No user can mend it, and everybody meets it: a wrong client secret, an address that is not registered.
    log.event("google-refused", severity="ERROR", reason=error)
    return OAuthRefused(error)


def _send(url: str, form: Mapping[str, str]) -> requests.Response:
    """Google's answer. Raises OAuthUnavailable without its cause, which would hold the form."""
    try:
        response = requests.post(url, data=form, timeout=_TIMEOUT_S, allow_redirects=False)
    except requests.RequestException:
        response = None
    if response is None or response.status_code >= 500 or response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        raise OAuthUnavailable
    return response


def _parse_answer(response: requests.Response) -> Mapping[str, Any]:
    """The JSON object of an answer. Raises OAuthUnavailable for any other: it is not from Google's endpoint."""
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise OAuthUnavailable
    return answer


def _parse_error(answer: Mapping[str, Any]) -> str:
    error = answer.get("error")
    return error if isinstance(error, str) and _ERROR_CODE.fullmatch(error) else "unknown_error"


def _parse_access_token(answer: Mapping[str, Any]) -> AccessToken:
    value, lifetime_s = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(value, str) or not value or not isinstance(lifetime_s, int):
        raise OAuthRefused("no_access_token")
    return AccessToken(value, clock.now() + timedelta(seconds=lifetime_s))
