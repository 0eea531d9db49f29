"""Owns who is calling: the CRM's signed-in users, and Google's service accounts on internal routes.

Verifies signed tokens with PyJWT; knows no route and no store. A key set that cannot be fetched is trouble of ours
(503), never a forged token.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from werkzeug.datastructures import Headers

from common import clock, log
from common.config import Config, config, parse_jwks
from common.errors import Forbidden, Unauthenticated, Unavailable
from common.lazy import jwt, requests
from common.model import DIRECTORY_PERMISSION, PERMISSION

if TYPE_CHECKING:
    from jwt.types import Options

ALGORITHMS: Final = ("RS256", "ES256")
REMOVED_SIGNATURE: Final = "SIGNATURE_REMOVED_BY_GOOGLE"
_LEEWAY = timedelta(seconds=30)
_KEYS_FRESH = timedelta(minutes=60)
_FETCH_PAUSE = timedelta(minutes=1)
_PAUSE_AFTER_FAILURE = timedelta(seconds=2)
_FETCH_TIMEOUT_S = 5.0
_GOOD_KEPT: Final = 2000


@dataclass(frozen=True)
class Caller:
    """A CRM user whose token was verified."""

    user_id: str
    role: str
    permissions: frozenset[str]
    email: str
    issued_at: datetime
    is_admin: bool


class KeySet:
    """The public keys at one URL, kept an hour; an unknown ``kid`` fetches them anew, at most once a minute."""

    def __init__(self, url: str, given: Mapping[str, Any] | None = None) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = parse_keys(given) if given else {}
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._failed = False

    def find(self, kid: str) -> jwt.PyJWK:
        """The key named ``kid``. Raises Unauthenticated if there is none, Unavailable if it could not be asked for."""
        key = self._keys.get(kid)
        if key is not None and not self._is_stale():
            return key
        with self._lock:
            if self._url and (kid not in self._keys or self._is_stale()):
                self._refresh()
            key = self._keys.get(kid)
        if key is not None:
            return key
        if self._failed:
            raise Unavailable("keys-unavailable")
        raise Unauthenticated

    def _is_stale(self) -> bool:
        return bool(self._url) and (self._fetched_at is None or clock.now() - self._fetched_at > _KEYS_FRESH)

    def _refresh(self) -> None:
        at = clock.now()
        pause = _PAUSE_AFTER_FAILURE if self._failed else _FETCH_PAUSE
        if self._tried_at is not None and at - self._tried_at < pause:
            return
        self._tried_at, self._failed = at, True
        try:
            self._keys = _fetch_keys(self._url)
        except (requests.RequestException, ValueError, TypeError, AttributeError, jwt.PyJWTError) as error:
            log.failure("keys", error)
            # From the end on: who waited here while it failed is not to try as long again, one after the other.
            self._tried_at = clock.now()
            return
        self._fetched_at, self._failed = at, False


def _fetch_keys(url: str) -> dict[str, jwt.PyJWK]:
    answer = requests.get(url, timeout=_FETCH_TIMEOUT_S, allow_redirects=False)
    # A redirect is not followed, and its body is nobody's keys.
    if answer.status_code != HTTPStatus.OK:
        raise ValueError("not keys")
    return parse_keys(answer.json())


def parse_keys(key_set: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """The usable keys of a JWK set by ``kid``. Raises PyJWTError, or ValueError and the like where there is none.

    PyJWT verifies by the key's own algorithm, whatever the token's header says: so those of others are left out.
    """
    found = jwt.PyJWKSet.from_dict(dict(key_set)).keys
    return {key.key_id: key for key in found if key.key_id and key.algorithm_name in ALGORITHMS}


@dataclass(frozen=True)
class _Good:
    """What a token said whose signature, issuer and audience were found good, and by which key."""

    kid: str
    key: jwt.PyJWK
    claims: Mapping[str, Any]


class _GoodTokens:
    """What was found good, by a hash of token, issuer and audience; those unused longest are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, _Good] = OrderedDict()

    def find(self, name: bytes) -> _Good | None:
        with self._lock:
            found = self._kept.get(name)
            if found is not None:
                self._kept.move_to_end(name)
            return found

    def keep(self, name: bytes, good: _Good) -> None:
        with self._lock:
            self._kept[name] = good
            if len(self._kept) > _GOOD_KEPT:
                self._kept.popitem(last=False)


_good = _GoodTokens()


@cache
def _crm_keys() -> KeySet:
    settings = config()
    return KeySet(settings.crm_jwks_url, parse_jwks(settings.crm_jwks) if settings.crm_jwks else None)


@cache
def google_keys() -> KeySet:
    """Google's keys for OIDC and id tokens, one set a process."""
    return KeySet(config().google_jwks_url)


def parse_bearer(header: str) -> str:
    """The token of an ``Authorization`` header (RFC 6750). Raises Unauthenticated."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("missing-token")
    return token.strip()


def google_issuers() -> list[str]:
    """The two forms in which Google names itself in its ID tokens (OpenID Connect, "An ID token's payload")."""
    issuer = config().google_issuer
    return [issuer, issuer.removeprefix("https://")]


def verify_signed(
    unverified_token: str, keys: KeySet, *, issuer: str | list[str], audience: str | list[str]
) -> dict[str, Any]:
    """The claims of a token signed by one of ``keys``. Raises Unauthenticated, or Unavailable without keys.

    What was found good before is not computed again; its key must still be among ``keys``, and its time not over.
    """
    name = hashlib.sha256(f"{issuer} {audience} {unverified_token}".encode()).digest()
    known = _good.find(name)
    if known is not None and keys.find(known.kid) is known.key:
        _verify_times(known.claims)
        return dict(known.claims)
    try:
        unverified_header = jwt.get_unverified_header(unverified_token)
    except jwt.PyJWTError as error:
        raise Unauthenticated from error
    kid, algorithm = unverified_header.get("kid"), unverified_header.get("alg")
    if not isinstance(kid, str) or algorithm not in ALGORITHMS:
        raise Unauthenticated
    key = keys.find(kid)
    claims = _verify_claims(unverified_token, issuer=issuer, audience=audience, key=key, algorithm=algorithm)
    _good.keep(name, _Good(kid, key, claims))
    return dict(claims)


def _verify_claims(
    unverified_token: str,
    *,
    issuer: str | list[str],
    audience: str | list[str],
    key: jwt.PyJWK | None,
    algorithm: str = "RS256",
) -> dict[str, Any]:
    # PyJWT compares times with the machine's clock; ours is a seam, so times are compared here.
    options: Options = {
        "verify_signature": key is not None,
        "verify_exp": False,
        "verify_iat": False,
        "verify_nbf": False,
        "verify_iss": True,
        "verify_aud": True,
        "require": ["exp", "iat", "iss", "aud"],
    }
    try:
        claims: dict[str, Any] = jwt.decode(
            unverified_token,
            key=key if key is not None else "",
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            options=options,
        )
        _verify_times(claims)
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise Unauthenticated from error
    return claims


def _verify_times(claims: Mapping[str, Any]) -> None:
    at = clock.now().timestamp()
    leeway_s = _LEEWAY.total_seconds()
    if float(claims["exp"]) + leeway_s <= at or float(claims["iat"]) - leeway_s > at:
        raise Unauthenticated
    if float(claims.get("nbf", 0)) - leeway_s > at:
        raise Unauthenticated


def verify_caller(authorization: str, *, permission: str = PERMISSION) -> Caller:
    """The CRM user whose token ``authorization`` carries; an empty ``permission`` asks for none.

    Raises Unauthenticated, Forbidden, or Unavailable.
    """
    settings = config()
    claims = verify_signed(
        parse_bearer(authorization), _crm_keys(), issuer=settings.crm_issuer, audience=settings.crm_audience
    )
    caller = parse_caller(claims, settings)
    if permission and permission not in caller.permissions:
        raise Forbidden("permission-missing", f"the permission {permission} is required")
    return caller


def parse_caller(claims: Mapping[str, Any], settings: Config) -> Caller:
    """What the configured claims say of the user. Raises Unauthenticated where they do not name one of this tenant."""
    user_id = _text(claims, settings.crm_claim_user)
    if settings.crm_tenant and _text(claims, settings.crm_claim_tenant) != settings.crm_tenant:
        raise Unauthenticated
    if not is_crm_id(user_id):
        raise Unauthenticated
    role = _text(claims, settings.crm_claim_role)
    raw_permissions = claims.get(settings.crm_claim_permissions, ())
    # Some CRMs send a list, others RFC 8693's space-separated text.
    names = raw_permissions.split() if isinstance(raw_permissions, str) else raw_permissions
    permissions = frozenset(str(name) for name in names) if isinstance(names, list | tuple) else frozenset()
    return Caller(
        user_id=user_id,
        role=role,
        permissions=permissions,
        email=_text(claims, settings.crm_claim_email),
        issued_at=datetime.fromtimestamp(float(claims["iat"]), tz=clock.now().tzinfo),
        is_admin=role in settings.crm_admin_roles,
    )


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def is_crm_id(value: str) -> bool:
    """Whether ``value`` is an id that a CRM may use: 1 to 128 printable characters without a slash."""
    return 1 <= len(value) <= 128 and value.isprintable() and "/" not in value


def verify_service(headers: Headers, *, audience: str, email: str) -> None:
    """Checks that Google's service account ``email`` calls this very route. Raises Unauthenticated, or Unavailable.

    In production IAM has verified the token of a private function and replaced its signature; only where
    ``TRUST_RUN_IAM`` is set is such a token taken. Where a request has ``X-Serverless-Authorization``, IAM checks
    that one and leaves ``Authorization`` unchecked (Cloud Run, service-to-service authentication): it is refused.
    """
    settings = config()
    unverified_token = parse_bearer(headers.get("Authorization", ""))
    if headers.get("X-Serverless-Authorization"):
        raise Unauthenticated
    has_signature = unverified_token.rpartition(".")[2] != REMOVED_SIGNATURE
    if not has_signature and not settings.trust_run_iam:
        raise Unauthenticated
    if not has_signature:
        claims = _verify_claims(unverified_token, issuer=google_issuers(), audience=audience, key=None)
    else:
        claims = verify_signed(unverified_token, google_keys(), issuer=google_issuers(), audience=audience)
    if not email or claims.get("email") != email or claims.get("email_verified") is not True:
        raise Unauthenticated


__all__ = [
    "ALGORITHMS", "DIRECTORY_PERMISSION", "PERMISSION", "REMOVED_SIGNATURE", "Caller", "KeySet", "google_keys",
    "is_crm_id", "parse_bearer", "parse_caller", "parse_keys", "verify_caller", "verify_service", "verify_signed",
]  # fmt: skip
