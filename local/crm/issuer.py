"""The demo CRM's token issuer: RS256 and ES256 keys, their JWKS at ``/jwks.json``, and tokens for its users.

Owns the CRM's keys. May import ``local.signing`` and the clock; knows nothing of Google.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify

from local.signing import Algorithm, SigningKeys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.clock import LocalClock

ISSUER = "https://demo-crm.example"
AUDIENCE = "gmail-in-crm"
TENANT = "demo"


class CrmIssuer:
    """Issues the CRM's tokens; ``app`` serves the public keys of both algorithms."""

    def __init__(
        self, clock: LocalClock, *, issuer: str = ISSUER, audience: str = AUDIENCE, tenant: str = TENANT
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.tenant = tenant
        self._clock = clock
        self._keys: dict[Algorithm, SigningKeys] = {"RS256": SigningKeys("RS256"), "ES256": SigningKeys("ES256")}
        self.app = Flask("local.crm.issuer")
        self.app.add_url_rule("/jwks.json", view_func=self._get_jwks)

    def rotate_keys(self) -> None:
        """Signs with new keys from now on; the keys before stay published once more."""
        for keys in self._keys.values():
            keys.rotate()

    def private_key(self) -> tuple[str, str]:
        """The ``kid`` and the private key (PEM) that sign RS256 now, for the samples of docs/integrate.md."""
        keys = self._keys["RS256"]
        return keys.kid, keys.private_pem()

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys as a JWK Set."""
        return {"keys": [key for keys in self._keys.values() for key in keys.jwks()["keys"]]}

    def token(
        self,
        user_id: str,
        *,
        role: str,
        permissions: Sequence[str],
        email: str,
        tenant: str | None = None,
        expires_in_s: float = 3_600,
        algorithm: Algorithm = "RS256",
        **overrides: object,
    ) -> str:
        """A signed token. ``overrides`` replace or add claims; None leaves a claim out."""
        now = int(self._clock.now().timestamp())
        claims: dict[str, object] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": user_id,
            "tenant": self.tenant if tenant is None else tenant,
            "role": role,
            "permissions": list(permissions),
            "email": email,
            "iat": now,
            "exp": now + int(expires_in_s),
        }
        kept = {name: value for name, value in (claims | overrides).items() if value is not None}
        return self._keys[algorithm].sign(kept)

    def _get_jwks(self) -> Response:
        answer = jsonify(self.jwks())
        answer.headers["Cache-Control"] = "public, max-age=3600"
        return answer
