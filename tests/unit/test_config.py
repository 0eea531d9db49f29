"""What the environment tells."""

from __future__ import annotations

import pytest

from common.config import ConfigurationError, parse_config, parse_jwks

REQUIRED = {"PROJECT_ID": "p", "REGION": "r"}


def test_lists_flags_numbers_and_keys_are_read() -> None:
    """Each kind of variable is read in its form."""
    settings = parse_config(
        REQUIRED
        | {
            "ALLOWED_ORIGINS": "https://a.example, https://b.example",
            "TRUST_RUN_IAM": "true",
            "CACHE_BYTES": "1024",
            "COLLEAGUE_SHARE": "0.5",
            "HMAC_KEY": "a2V5",
            "SEALING_KEYS": "bmV3, b2xk",
        }
    )
    assert ("https://a.example", "https://b.example") == settings.allowed_origins
    assert (True, 1024, 0.5) == (settings.trust_run_iam, settings.cache_bytes, settings.colleague_share)
    assert (b"key", (b"new", b"old")) == (settings.hmac_key, settings.sealing_keys)


def test_defaults_are_googles_own_addresses() -> None:
    """Without any endpoint in the environment everything goes to Google."""
    settings = parse_config(REQUIRED)
    assert "https://gmail.googleapis.com" == settings.gmail_url
    assert "https://oauth2.googleapis.com/token" == settings.google_token_url
    assert ("", "", False) == (settings.secret_manager_address, settings.cloud_tasks_address, settings.trust_run_iam)


def test_a_missing_variable_is_named() -> None:
    """Who deploys is told what is missing."""
    with pytest.raises(ConfigurationError, match="PROJECT_ID is not set"):
        parse_config({"REGION": "r"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("CACHE_BYTES", "many"), ("TRUST_RUN_IAM", "yes"), ("HMAC_KEY", "geheim!"), ("SEALING_KEYS", "a,b")],
)
def test_a_variable_that_cannot_be_read_is_named_but_not_shown(name: str, value: str) -> None:
    """The value may be a key: only its name is told."""
    with pytest.raises(ConfigurationError) as caught:
        parse_config(REQUIRED | {name: value})
    assert name in str(caught.value)
    assert value not in str(caught.value)


def test_secrets_are_not_shown_by_repr() -> None:
    """A configuration that is printed by accident shows no key."""
    settings = parse_config(REQUIRED | {"OAUTH_CLIENT_SECRET": "hush-hush", "HMAC_KEY": "aHVzaA=="})
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": 1}'])
def test_a_given_key_set_must_be_one(text: str) -> None:
    """A JWKS in the configuration that is none is refused at once."""
    with pytest.raises(ConfigurationError):
        parse_jwks(text)
