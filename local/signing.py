"""Signing keys of the stand-ins: key pairs that rotate, their JWKS, and JSON Web Tokens signed with them.

Owns key material that lives as long as the process. Knows no claims; may not import other parts of ``local``.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

Algorithm = Literal["RS256", "ES256"]

# Google publishes the key in use and the one before (or after) it.
_PUBLISHED = 2


@dataclass(frozen=True)
class _Key:
    kid: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    jwk: dict[str, Any]


class SigningKeys:
    """Keys of one algorithm. The newest signs; the one before stays published, so that its tokens still verify."""

    def __init__(self, algorithm: Algorithm = "RS256") -> None:
        self.algorithm: Algorithm = algorithm
        self._lock = threading.Lock()
        self._keys: list[_Key] = []

    @property
    def kid(self) -> str:
        """The id of the key that signs now."""
        return self._published()[-1].kid

    def private_pem(self) -> str:
        """The private key that signs now (PKCS #8, PEM), for samples that sign by themselves."""
        key = self._published()[-1].private
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def rotate(self) -> str:
        """Makes a new key the signing one and returns its id."""
        key = _make_key(self.algorithm)
        before = self._published()
        with self._lock:
            self._keys = [*before, key][-_PUBLISHED:]
        return key.kid

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys as a JWK Set (RFC 7517)."""
        return {"keys": [key.jwk for key in self._published()]}

    def sign(self, claims: Mapping[str, Any], *, typ: str = "JWT") -> str:
        """The claims as a signed token whose header names the key."""
        key = self._published()[-1]
        return jwt.encode(dict(claims), key.private, self.algorithm, {"kid": key.kid, "typ": typ})

    def _published(self) -> list[_Key]:
        # Made on first use: a stack that never asks for these keys does not wait for them.
        with self._lock:
            if not self._keys:
                self._keys = [_make_key(self.algorithm)]
            return self._keys


def _make_key(algorithm: Algorithm) -> _Key:
    kid = secrets.token_hex(20)
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if algorithm == "RS256":
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        jwk = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        private = ec.generate_private_key(ec.SECP256R1())
        jwk = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    return _Key(kid, private, {**jwk, "kid": kid, "alg": algorithm, "use": "sig"})
