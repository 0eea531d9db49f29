"""Who is let in: the CRM's users and Google's service accounts. The keys are given in the configuration: no network."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from werkzeug.datastructures import Headers

from common import auth, clock
from common.config import config
from common.errors import Forbidden, Unauthenticated

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
JWKS = {
    "keys": [
        {**json.loads(RSAAlgorithm.to_jwk(RSA_KEY.public_key())), "kid": "rsa", "alg": "RS256", "use": "sig"},
        {**json.loads(ECAlgorithm.to_jwk(EC_KEY.public_key())), "kid": "ec", "alg": "ES256", "use": "sig"},
    ]
}
URL = "https://region-project.example/magnet_ingest"
PUSHER = "push@project.example"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "PROJECT_ID": "p", "REGION": "r", "CRM_ISSUER": "https://crm.example", "CRM_AUDIENCE": "gmail",
        "CRM_TENANT": "t1", "CRM_JWKS": json.dumps(JWKS), "TRUST_RUN_IAM": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    config.cache_clear()
    auth._crm_keys.cache_clear()
    auth.google_keys.cache_clear()
    yield
    config.cache_clear()
    auth._crm_keys.cache_clear()
    auth.google_keys.cache_clear()


def claims(**changes: Any) -> dict[str, Any]:
    at = int(clock.now().timestamp())
    base = {
        "iss": "https://crm.example", "aud": "gmail", "sub": "anna", "tenant": "t1", "role": "sales",
        "permissions": ["mail_integration"], "email": "anna@demo-crm.example", "iat": at, "exp": at + 600,
    }  # fmt: skip
    return {name: value for name, value in (base | changes).items() if value is not None}


def signed(body: dict[str, Any], key: Any = RSA_KEY, algorithm: str = "RS256", kid: str | None = "rsa") -> str:
    return "Bearer " + jwt.encode(body, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA_KEY, "RS256", "rsa"), (EC_KEY, "ES256", "ec")])
def test_a_signed_token_names_the_caller(key: Any, algorithm: str, kid: str) -> None:
    """RS256 and ES256 are taken; the configured claims say who it is."""
    caller = auth.verify_caller(signed(claims(role="administrator"), key, algorithm, kid))
    assert ("anna", "administrator", "anna@demo-crm.example", True) == (
        caller.user_id, caller.role, caller.email, caller.is_admin,
    )  # fmt: skip


def test_a_token_found_good_is_still_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time, too, its time must not be over, and its key must be among the keys."""
    header = signed(claims())
    assert auth.verify_caller(header) == auth.verify_caller(header)

    monkeypatch.setenv("CRM_JWKS", json.dumps({"keys": JWKS["keys"][1:]}))
    config.cache_clear()
    auth._crm_keys.cache_clear()
    with pytest.raises(Unauthenticated):
        auth.verify_caller(header)

    monkeypatch.setenv("CRM_JWKS", json.dumps(JWKS))
    config.cache_clear()
    auth._crm_keys.cache_clear()
    assert "anna" == auth.verify_caller(header).user_id
    late = clock.now() + timedelta(seconds=631)
    monkeypatch.setattr(clock, "now", lambda: late)
    with pytest.raises(Unauthenticated):
        auth.verify_caller(header)


def test_a_token_found_good_says_nothing_of_others() -> None:
    """A token that differs by a character of its signature, or for another audience, is verified by itself."""
    header = signed(claims())
    auth.verify_caller(header)
    other = header[:-10] + ("A" if header[-10] != "A" else "B") + header[-9:]
    with pytest.raises(Unauthenticated):
        auth.verify_caller(other)
    with pytest.raises(Unauthenticated):
        auth.verify_signed(header[7:], auth._crm_keys(), issuer="https://crm.example", audience="another")


def unsigned() -> str:
    return "Bearer " + jwt.encode(claims(), "", algorithm="none", headers={"kid": "rsa"})


def with_public_key_as_secret() -> str:
    # The classic confusion of algorithms: the public key is known, so HS256 with it must never pass.
    secret = base64.urlsafe_b64encode(json.dumps(JWKS["keys"][0]).encode()).decode()
    return "Bearer " + jwt.encode(claims(), secret, algorithm="HS256", headers={"kid": "rsa"})


@pytest.mark.parametrize(
    "header",
    [
        lambda: "",
        lambda: "Basic YTpi",
        lambda: "Bearer ",
        lambda: "Bearer rubbish",
        lambda: "Bearer a.b.c",
        unsigned,
        with_public_key_as_secret,
        lambda: signed(claims(), STRANGER),
        lambda: signed(claims(), kid="made-up"),
        lambda: signed(claims(), kid=None),
        lambda: signed(claims(), RSA_KEY, "RS512"),
        lambda: signed(claims(exp=int(clock.now().timestamp()) - 60)),
        lambda: signed(claims(exp=None)),
        lambda: signed(claims(iat=int(clock.now().timestamp()) + 3600)),
        lambda: signed(claims(nbf=int(clock.now().timestamp()) + 3600)),
        lambda: signed(claims(exp="soon")),
        lambda: signed(claims(iss="https://elsewhere.example")),
        lambda: signed(claims(aud="another")),
        lambda: signed(claims(tenant="t2")),
        lambda: signed(claims(tenant=None)),
        lambda: signed(claims(sub=None)),
        lambda: signed(claims(sub="a/b")),
        lambda: signed(claims(sub="a" * 129)),
        lambda: signed(claims(sub="a\nb")),
        lambda: signed(claims()).rpartition(".")[0] + "." + auth.REMOVED_SIGNATURE,
    ],
)
def test_every_other_token_is_refused_alike(header: Any) -> None:
    """Missing, unsigned, wrongly signed, foreign, expired, of another tenant: 401."""
    with pytest.raises(Unauthenticated):
        auth.verify_caller(header())


def test_other_keys_of_the_set_sign_nothing() -> None:
    """A secret, or a key of another algorithm, that stands in the key set by mistake lets nobody in."""
    p384 = ec.generate_private_key(ec.SECP384R1())
    secret = {"kty": "oct", "kid": "secret", "k": base64.urlsafe_b64encode(b"s" * 32).decode().rstrip("=")}
    found = auth.parse_keys({"keys": [*JWKS["keys"], secret, {**json.loads(ECAlgorithm.to_jwk(p384)), "kid": "p384"}]})

    assert {"rsa", "ec"} == set(found)


def test_the_permission_is_required() -> None:
    """A valid token without the permission may do nothing."""
    with pytest.raises(Forbidden) as caught:
        auth.verify_caller(signed(claims(permissions=["directory_write"])))
    assert "permission-missing" == caught.value.code


def test_permissions_may_come_as_one_text() -> None:
    """A CRM that sends RFC 8693's space-separated scope is understood."""
    assert "anna" == auth.verify_caller(signed(claims(permissions="read mail_integration"))).user_id


def test_a_permission_is_not_found_inside_another() -> None:
    """``xmail_integration`` is another permission."""
    with pytest.raises(Forbidden):
        auth.verify_caller(signed(claims(permissions="xmail_integration")))


def service_claims(**changes: Any) -> dict[str, Any]:
    return claims(iss="https://accounts.google.com", aud=URL, email=PUSHER, email_verified=True) | changes


def service_headers(body: dict[str, Any], **more: str) -> Headers:
    token = signed(body).rpartition(".")[0] + "." + auth.REMOVED_SIGNATURE
    return Headers({"Authorization": token, **more})


def test_a_private_function_takes_a_token_whose_signature_google_removed() -> None:
    """IAM has verified it; issuer, audience, email and expiry are checked here."""
    auth.verify_service(service_headers(service_claims()), audience=URL, email=PUSHER)
    with pytest.raises(Unauthenticated):
        auth.verify_service(service_headers(service_claims()), audience=URL, email="other@project.example")


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "https://region-project.example/label_sweep"},
        {"email": "someone@project.example"},
        {"email_verified": False},
        {"email_verified": "true"},
        {"exp": 1},
    ],
)
def test_a_service_token_must_fit_in_every_claim(changes: dict[str, Any]) -> None:
    """One wrong claim refuses the call."""
    with pytest.raises(Unauthenticated):
        auth.verify_service(service_headers(service_claims(**changes)), audience=URL, email=PUSHER)


def test_a_token_beside_the_one_that_iam_checked_is_refused() -> None:
    """With X-Serverless-Authorization, IAM did not look at Authorization: it may be forged."""
    headers = service_headers(service_claims(), **{"X-Serverless-Authorization": "Bearer valid"})
    with pytest.raises(Unauthenticated):
        auth.verify_service(headers, audience=URL, email=PUSHER)


def test_a_public_function_never_takes_a_token_without_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TRUST_RUN_IAM the removed signature is an attack."""
    monkeypatch.setenv("TRUST_RUN_IAM", "false")
    config.cache_clear()
    with pytest.raises(Unauthenticated):
        auth.verify_service(service_headers(service_claims()), audience=URL, email=PUSHER)


def test_an_unset_service_account_lets_nobody_in() -> None:
    """A deployment that forgot to name the caller has no caller."""
    with pytest.raises(Unauthenticated):
        auth.verify_service(service_headers(service_claims(email="")), audience=URL, email="")
