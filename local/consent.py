"""The authorization request and the consent page of the local Google: what is refused, what is shown.

Pure: parses and renders, keeps nothing. May import ``local.accounts``. Parameters and refusals as in
https://developers.google.com/identity/protocols/oauth2/web-server#creatingclient.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

import jinja2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from werkzeug.datastructures import MultiDict

    from local.accounts import Account

ISSUER = "https://accounts.google.com"
OPENID = "openid"
EMAIL = "https://www.googleapis.com/auth/userinfo.email"
PROFILE = "https://www.googleapis.com/auth/userinfo.profile"
_GMAIL = "https://www.googleapis.com/auth/gmail."

# Google grants the short names under their long ones, and never asks for them one by one.
_LONG_NAMES = {"email": EMAIL, "profile": PROFILE}
SIGN_IN_SCOPES = (OPENID, EMAIL, PROFILE)

DESCRIPTIONS: dict[str, dict[str, str]] = {
    OPENID: {"en": "Know who you are on Google", "de": "Wissen, wer Sie bei Google sind"},
    EMAIL: {"en": "See your email address", "de": "Ihre E-Mail-Adresse sehen"},
    PROFILE: {"en": "See your name and picture", "de": "Ihren Namen und Ihr Bild sehen"},
    f"{_GMAIL}readonly": {"en": "Read all your mail and settings", "de": "Alle Ihre E-Mails und Einstellungen lesen"},
    f"{_GMAIL}send": {"en": "Send mail on your behalf", "de": "E-Mails in Ihrem Namen senden"},
    f"{_GMAIL}modify": {
        "en": "Read, write and send mail from your account",
        "de": "E-Mails in Ihrem Konto lesen, schreiben und senden",
    },
    f"{_GMAIL}compose": {"en": "Write and send drafts", "de": "Entwürfe schreiben und senden"},
    f"{_GMAIL}insert": {"en": "Put mail into your mailbox", "de": "E-Mails in Ihr Postfach legen"},
    f"{_GMAIL}labels": {"en": "See and edit your labels", "de": "Ihre Labels sehen und bearbeiten"},
    f"{_GMAIL}metadata": {"en": "See headers, not bodies", "de": "Kopfzeilen sehen, nicht den Text"},
    f"{_GMAIL}settings.basic": {"en": "Edit mail settings and filters", "de": "Einstellungen und Filter bearbeiten"},
    f"{_GMAIL}settings.sharing": {"en": "Manage delegation", "de": "Delegierungen verwalten"},
    "https://mail.google.com/": {
        "en": "Read, write, send and delete for good all your mail",
        "de": "Alle Ihre E-Mails lesen, schreiben, senden und endgültig löschen",
    },
}

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Sign in with Google (local)",
        "wants": "wants access to your Google account",
        "account": "Which account?",
        "scopes": "Select what it may do",
        "fixed": "always",
        "allow": "Allow",
        "deny": "Cancel",
        "blocked": "Access blocked",
    },
    "de": {
        "title": "Über Google anmelden (lokal)",
        "wants": "möchte auf Ihr Google-Konto zugreifen",
        "account": "Welches Konto?",
        "scopes": "Wählen Sie aus, was erlaubt ist",
        "fixed": "immer",
        "allow": "Zulassen",
        "deny": "Abbrechen",
        "blocked": "Zugriff blockiert",
    },
}

_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)


class RefusedRequest(Exception):
    """An authorization request that Google answers with a page of its own, never with a redirect."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


@dataclass(frozen=True)
class AuthRequest:
    """A well-formed authorization request of the registered client."""

    redirect_uri: str
    scopes: tuple[str, ...]
    state: str | None
    nonce: str | None
    challenge: str | None
    challenge_method: str
    offline: bool
    prompt_consent: bool
    include_granted: bool
    login_hint: str | None


def parse_request(query: MultiDict[str, str], client_id: str, redirect_uris: Sequence[str]) -> AuthRequest:
    """The request, verified. Raises RefusedRequest in the order in which Google looks: client, redirect, the rest."""
    for name in query:
        if len(query.getlist(name)) > 1:
            raise RefusedRequest("invalid_request", f"OAuth 2 parameters can only have a single value: {name}")
    if _required(query, "client_id") != client_id:
        raise RefusedRequest("invalid_client", "The OAuth client was not found.")
    redirect_uri = _required(query, "redirect_uri")
    if redirect_uri not in redirect_uris:
        raise RefusedRequest("redirect_uri_mismatch", "The redirect URI is not registered for this client.")
    if _required(query, "response_type") != "code":
        raise RefusedRequest("unsupported_response_type", "Only response_type=code is served here.")
    prompts = _one_of(query, "prompt", ("consent", "select_account"))
    challenge, method = _parse_challenge(query)
    return AuthRequest(
        redirect_uri=redirect_uri,
        scopes=_parse_scopes(_required(query, "scope")),
        state=query.get("state"),
        nonce=query.get("nonce"),
        challenge=challenge,
        challenge_method=method,
        offline="offline" in _one_of(query, "access_type", ("online", "offline")),
        prompt_consent="consent" in prompts,
        include_granted="true" in _one_of(query, "include_granted_scopes", ("true", "false")),
        login_hint=query.get("login_hint"),
    )


def consented_scopes(request: AuthRequest, ticked: Sequence[str]) -> tuple[str, ...]:
    """What the user allowed: sign-in scopes always, the others as ticked."""
    return tuple(scope for scope in request.scopes if scope in SIGN_IN_SCOPES or scope in ticked)


def response_url(request: AuthRequest, parameters: Mapping[str, str]) -> str:
    """The redirect URI with the answer in its query, state and issuer (RFC 9207) included."""
    answer = {"state": request.state} if request.state is not None else {}
    answer = {**answer, "iss": ISSUER, **parameters}
    parts = urlsplit(request.redirect_uri)
    query = "&".join(filter(None, (parts.query, urlencode(answer))))
    return urlunsplit(parts._replace(query=query))


def scopes_in_redirect(scopes: Sequence[str]) -> str:
    """The granted scopes as Google names them in the redirect: short names and long ones."""
    short = [name for name, long in _LONG_NAMES.items() if long in scopes]
    return " ".join([*short, *scopes])


def consent_page(
    request: AuthRequest, request_id: str, client_name: str, accounts: Sequence[Account], language: str
) -> str:
    """The page that asks: which account, a checkbox per scope, Allow and Deny. All scopes come ticked."""
    hint = (request.login_hint or "").lower()
    hinted = [one for one in accounts if hint in (one.address.lower(), one.sub)]
    return _PAGES.get_template("consent.html").render(
        language=language,
        texts=TEXTS[language],
        client_name=client_name,
        request_id=request_id,
        accounts=accounts,
        chosen=(hinted or list(accounts))[0].sub if accounts else "",
        fixed=[DESCRIPTIONS[scope][language] for scope in request.scopes if scope in SIGN_IN_SCOPES],
        scopes=[(scope, DESCRIPTIONS[scope][language]) for scope in request.scopes if scope not in SIGN_IN_SCOPES],
    )


def refusal_page(refusal: RefusedRequest, language: str) -> str:
    """The page on which Google ends a request that it does not trust."""
    return _PAGES.get_template("refusal.html").render(language=language, texts=TEXTS[language], refusal=refusal)


def _required(query: MultiDict[str, str], name: str) -> str:
    value = query.get(name)
    if not value:
        raise RefusedRequest("invalid_request", f"Required parameter is missing: {name}")
    return value


def _one_of(query: MultiDict[str, str], name: str, allowed: Sequence[str]) -> list[str]:
    values = query.get(name, "").split()
    if any(value not in allowed for value in values):
        raise RefusedRequest("invalid_request", f"Invalid parameter value for {name}")
    return values


def _parse_challenge(query: MultiDict[str, str]) -> tuple[str | None, str]:
    challenge, method = query.get("code_challenge"), query.get("code_challenge_method")
    if challenge is None and method is not None:
        raise RefusedRequest("invalid_request", "Required parameter is missing: code_challenge")
    # RFC 7636, 4.3: without a method the challenge is the plain verifier.
    if method not in (None, "S256", "plain"):
        raise RefusedRequest("invalid_request", "Invalid parameter value for code_challenge_method")
    if challenge is not None and not 43 <= len(challenge) <= 128:
        raise RefusedRequest("invalid_request", "Invalid parameter value for code_challenge")
    return challenge, method or "plain"


def _parse_scopes(scope: str) -> tuple[str, ...]:
    scopes = tuple(dict.fromkeys(_LONG_NAMES.get(name, name) for name in scope.split()))
    unknown = [name for name in scopes if name not in DESCRIPTIONS]
    if unknown:
        raise RefusedRequest("invalid_scope", f"Some requested scopes were invalid: {', '.join(unknown)}")
    return scopes
