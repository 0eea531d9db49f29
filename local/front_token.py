"""How the front checks a caller's OIDC token and takes its signature off. Owns the cache of the issuer's keys."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import jwt
import requests

if TYPE_CHECKING:
    from local.clock import LocalClock

ISSUER = "https://accounts.google.com"
REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"
_LEEWAY_S = 30


class TokenVerifier:
    """Verifies tokens by the keys at ``jwks_url``; unknown key ids fetch them anew."""

    def __init__(self, clock: LocalClock, jwks_url: str) -> None:
        self._clock = clock
        self._jwks_url = jwks_url
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}

    def verify(self, unverified_token: str, *, audience: str) -> tuple[int, str]:
        """(200, email) of a valid token; (401, "") of any other; (503, "") where the keys cannot be fetched."""
        try:
            key = self._key(str(jwt.get_unverified_header(unverified_token).get("kid")))
            claims: dict[str, Any] = jwt.decode(
                unverified_token,
                key,
                algorithms=["RS256"],
                audience=audience,
                issuer=ISSUER,
                # The times are checked by the stack's clock, below.
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["exp", "iat"]},
            )
        except requests.RequestException:
            return 503, ""
        except (jwt.PyJWTError, KeyError):
            return 401, ""
        now_s = self._clock.now().timestamp()
        if claims["exp"] <= now_s - _LEEWAY_S or claims["iat"] > now_s + _LEEWAY_S or not claims.get("email_verified"):
            return 401, ""
        return 200, str(claims.get("email", ""))

    def _key(self, key_id: str) -> jwt.PyJWK:
        with self._lock:
            if key_id not in self._keys:
                self._keys = self._fetch_keys()
            return self._keys[key_id]

    def _fetch_keys(self) -> dict[str, jwt.PyJWK]:
        with requests.Session() as session:
            session.trust_env = False
            response = session.get(self._jwks_url, timeout=5)
            response.raise_for_status()
            return {str(key.key_id): key for key in jwt.PyJWKSet.from_dict(response.json()).keys}


def without_signature(token: str) -> str:
    """The token with its signature replaced, as a private function sees it."""
    header, payload, _ = token.split(".")
    return f"{header}.{payload}.{REMOVED}"
