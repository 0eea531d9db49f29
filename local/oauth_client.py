"""Owns the file that Google's console gives for an OAuth client: what of it can be used on this machine.

Pure, apart from reading the file. No error holds a value of the file, since one of them is a secret.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

DEFAULT_PORT: Final = 8601
CALLBACK: Final = "/oauth_callback/callback"
REDIRECT_URI: Final = f"http://localhost:{DEFAULT_PORT}{CALLBACK}"
_LOOPBACK: Final = ("localhost", "127.0.0.1")
_ID: Final = re.compile(r"[0-9]+-[a-z0-9]+\.apps\.googleusercontent\.com")
_MOST_CHARS: Final = 20_000


class ClientRefused(Exception):
    """The file cannot be used; the text says why, and what to do."""


@dataclass(frozen=True)
class OAuthClient:
    """An OAuth client whose redirect comes back to this machine, at ``port``."""

    client_id: str
    secret: str = field(repr=False)
    redirect_uri: str
    port: int


def load_client(path: Path) -> OAuthClient:
    """The client in the file at ``path``. Raises ClientRefused."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ClientRefused(
            f"{path} cannot be read: download the OAuth client's JSON in Google's console (Google Auth Platform, "
            "Clients), and name that file: make run-gmail CLIENT=client_secret.json"
        ) from None
    return parse_client(text)


def parse_client(text: str) -> OAuthClient:
    """The client that ``text`` describes. Raises ClientRefused."""
    whole = _parse_json(text)
    kind = next((name for name in ("web", "installed") if isinstance(whole.get(name), dict)), "")
    if not kind:
        raise ClientRefused(_not_a_client(whole))
    entry: dict[str, Any] = whole[kind]
    client_id, secret = entry.get("client_id"), entry.get("client_secret")
    if not isinstance(client_id, str) or not _ID.fullmatch(client_id):
        raise ClientRefused(
            "The file's client_id is not one of Google's (…apps.googleusercontent.com): download it anew."
        )
    if not isinstance(secret, str) or not secret.strip():
        raise ClientRefused(
            "The file has no client_secret: clients for Android, iOS and Chrome have none, and Google shows that of "
            "others only when it is made. Add a secret to the client, and download the file then."
        )
    redirect_uri = _find_redirect(entry.get("redirect_uris")) if kind == "web" else REDIRECT_URI
    return OAuthClient(client_id, secret.strip(), redirect_uri, urlsplit(redirect_uri).port or 80)


def _parse_json(text: str) -> dict[str, Any]:
    try:
        whole = json.loads(text) if len(text) <= _MOST_CHARS else None
    except ValueError:
        whole = None
    if not isinstance(whole, dict):
        raise ClientRefused("The file is not the JSON of an OAuth client: download it from Google's console again.")
    return whole


def _not_a_client(whole: dict[str, Any]) -> str:
    if whole.get("type") == "service_account":
        return (
            "The file is a service account's key. Mailboxes of people need an OAuth client: make one of the type "
            '"Web application" in Google\'s console.'
        )
    return 'The file has no client ("web" or "installed") in it: make an OAuth client of the type "Web application".'


def _find_redirect(registered: object) -> str:
    """The registered redirect URI that leads here. Google compares it to the letter (RFC 9700, 2.1)."""
    for one in registered if isinstance(registered, list) else []:
        if isinstance(one, str) and _leads_here(one):
            return one
    raise ClientRefused(
        f"No redirect URI of the client leads to this machine. Add {REDIRECT_URI} to the client's authorised redirect "
        "URIs (another port will do as well), wait a minute, and download the file again."
    )


def _leads_here(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return False
    here = parts.scheme == "http" and parts.hostname in _LOOPBACK and port is not None and port >= 1024
    return here and (parts.path, parts.query, parts.fragment, parts.username) == (CALLBACK, "", "", None)
