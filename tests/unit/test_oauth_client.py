"""The file of an OAuth client, as Google's console gives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.oauth_client import ClientRefused, OAuthClient, load_client, parse_client

ID = "123456789012-abc123.apps.googleusercontent.com"
SECRET = "GOCSPX-never-shown"
HERE = "http://localhost:8601/oauth_callback/callback"
ELSEWHERE = "https://crm.example/oauth_callback/callback"


def entry(**changes: Any) -> dict[str, Any]:
    return {"client_id": ID, "client_secret": SECRET, "redirect_uris": [HERE]} | changes


def test_a_web_client_is_used_with_the_address_it_has_registered() -> None:
    """Of a web client the one redirect URI is used that leads to this machine, and its port."""
    own = "http://127.0.0.1:9000/oauth_callback/callback"
    client = parse_client(json.dumps({"web": entry(redirect_uris=[ELSEWHERE, own])}))

    assert OAuthClient(ID, SECRET, own, 9000) == client


def test_a_desktop_client_needs_no_registered_address() -> None:
    """Google lets a desktop client return to any port of localhost."""
    client = parse_client(json.dumps({"installed": entry(redirect_uris=["http://localhost"])}))

    assert (HERE, 8601) == (client.redirect_uri, client.port)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not the JSON"),
        ("[]", "not the JSON"),
        ("{" * 30_000, "not the JSON"),
        (json.dumps({"type": "service_account", "private_key": SECRET}), "service account"),
        (json.dumps({"other": {}}), "Web application"),
        (json.dumps({"web": entry(client_id="123")}), "client_id"),
        (json.dumps({"web": entry(client_secret="")}), "no client_secret"),
        (json.dumps({"web": entry(redirect_uris=[ELSEWHERE])}), f"Add {HERE}"),
        (json.dumps({"web": entry(redirect_uris=["http://localhost/oauth_callback/callback"])}), f"Add {HERE}"),
        (json.dumps({"web": entry(redirect_uris=["http://localhost:8601/other"])}), f"Add {HERE}"),
        (json.dumps({"web": entry(redirect_uris=["http://localhost:99999/oauth_callback/callback"])}), f"Add {HERE}"),
        (json.dumps({"web": entry(redirect_uris=None)}), f"Add {HERE}"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_do(content: str, says: str) -> None:
    """A file that cannot be used is refused with the reason; the secret in it is never told."""
    with pytest.raises(ClientRefused) as refused:
        parse_client(content)

    assert (True, False) == (says in str(refused.value), SECRET in str(refused.value))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A path without a file is told, with the command as it should be."""
    with pytest.raises(ClientRefused, match=r"make run-gmail CLIENT=client_secret\.json"):
        load_client(tmp_path / "client_secret.json")


def test_the_secret_is_never_shown() -> None:
    """A client's printed form leaves the secret out."""
    assert SECRET not in repr(parse_client(json.dumps({"web": entry()})))
