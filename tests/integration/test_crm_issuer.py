"""The demo CRM's tokens and keys, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests

from local.clock import LocalClock
from local.crm.issuer import CrmIssuer
from local.http import HttpServer
from local.signing import Algorithm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
def issuer(tmp_path: Path) -> CrmIssuer:
    return CrmIssuer(LocalClock(tmp_path / "clock"), issuer="https://crm.example", audience="mail", tenant="t1")


@pytest.fixture
def jwks_url(issuer: CrmIssuer) -> Iterator[str]:
    server = HttpServer(issuer.app)
    yield f"{server.url}/jwks.json"
    server.stop()


def anna(issuer: CrmIssuer, **overrides: Any) -> str:
    fields: dict[str, Any] = {"role": "sales", "permissions": ["mail_integration"], "email": "anna@demo-crm.example"}
    return issuer.token("anna", **(fields | overrides))


def verified(token: str, jwks_url: str, algorithm: str = "RS256") -> dict[str, Any]:
    key = jwt.PyJWKClient(jwks_url, cache_jwk_set=False).get_signing_key_from_jwt(token)
    return jwt.decode(token, key, [algorithm], audience="mail", issuer="https://crm.example")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_token_verifies_with_the_published_keys(issuer: CrmIssuer, jwks_url: str, algorithm: Algorithm) -> None:
    """A token of either algorithm verifies with the JWKS and has every claim."""
    claims = verified(anna(issuer, algorithm=algorithm), jwks_url, algorithm)

    assert {
        "iss": "https://crm.example",
        "aud": "mail",
        "sub": "anna",
        "tenant": "t1",
        "role": "sales",
        "permissions": ["mail_integration"],
        "email": "anna@demo-crm.example",
    } == {name: value for name, value in claims.items() if name not in ("iat", "exp")}
    assert 3600 == claims["exp"] - claims["iat"]


def test_claims_can_be_bent_for_tests(issuer: CrmIssuer, jwks_url: str) -> None:
    """Claims can be replaced, added and left out, another tenant named, and a token born expired."""
    token = anna(issuer, tenant="t2", email=None, extra=1)

    claims = verified(token, jwks_url)

    assert ("t2", 1, False) == (claims["tenant"], claims["extra"], "email" in claims)
    with pytest.raises(jwt.ExpiredSignatureError):
        verified(anna(issuer, expires_in_s=-60), jwks_url)


def test_rotated_keys_replace_the_old_ones_after_a_second_rotation(issuer: CrmIssuer, jwks_url: str) -> None:
    """A token outlives one rotation of the keys, not two."""
    token = anna(issuer)

    issuer.rotate_keys()
    assert "anna" == verified(token, jwks_url)["sub"]
    issuer.rotate_keys()

    with pytest.raises(jwt.PyJWKClientError):
        verified(token, jwks_url)
    assert "anna" == verified(anna(issuer), jwks_url)["sub"]


def test_published_keys_are_public(issuer: CrmIssuer, jwks_url: str) -> None:
    """The JWKS has a key of each algorithm and no private part."""
    keys = requests.get(jwks_url, timeout=10).json()["keys"]

    assert ["RS256", "ES256"] == [key["alg"] for key in keys]
    assert [False, False] == ["d" in key for key in keys]
