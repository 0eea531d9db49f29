"""Owns the way to consent: the address of Google's page, and what its redirect back means. Mints nothing.

Between the two stands a pending connection: the PKCE verifier sealed under the state, then, once Google has answered,
the code and the verifier sealed under a one-time ticket. Neither state nor ticket is stored, so that who reads the
store can open neither. RFC 9700, RFC 7636, RFC 9207. The claim of the ticket is ``common.claim``'s.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec

from common import clock, oauth
from common.auth import Caller
from common.config import config
from common.errors import BadRequest
from common.keys import Unsealable, keys, random_token, sha256
from common.membership import verify_allowed, verify_member
from common.model import Connection, ConnectionStatus, Feature, PendingConnection
from common.store.client import Lost, Versioned, store

STATE_LIFETIME: Final = timedelta(minutes=10)
TICKET_LIFETIME: Final = timedelta(minutes=5)
# As many tabs as a person may have open on Google's page; one more ends the oldest.
MAX_OPEN: Final = 5
SEALED_CODE: Final = "consent-code"
_SEALED_VERIFIER: Final = "consent-verifier"
_MAX_STATE_CHARS: Final = 128
_MAX_CODE_CHARS: Final = 2048


class AuthorizeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where the browser goes afterwards (one of the configured URLs), and which features are wanted."""

    return_to: Annotated[str, msgspec.Meta(max_length=2048)]
    features: Annotated[list[Feature], msgspec.Meta(min_length=1, max_length=8)]
    login_hint: Annotated[str, msgspec.Meta(max_length=320)] = ""


class AuthorizeAnswer(msgspec.Struct, kw_only=True):
    """Where to send the browser, and until when the answer is waited for."""

    url: str
    expires_at: datetime


@dataclass(frozen=True)
class Redirect:
    """What the query of Google's redirect says. All of it is unverified."""

    unverified_state: str
    unverified_code: str = ""
    unverified_issuer: str | None = None
    unverified_error: str = ""


def apply_authorize(caller: Caller, body: AuthorizeBody) -> AuthorizeAnswer:
    """Keeps a pending connection and answers Google's address. Raises BadRequest, Forbidden."""
    if body.return_to not in config().return_to_urls:
        raise BadRequest("return-to-not-allowed", "return_to must be one of the configured URLs, to the letter")
    context = store().load_context(caller.user_id)
    verify_member(caller, context.user)
    verify_allowed(body.features, context.policy.value)
    connection = context.connection.value if context.connection else None
    state, verifier = random_token(), random_token()
    pending = PendingConnection(
        state_hash=sha256(state),
        user_id=caller.user_id,
        return_to=body.return_to,
        features=tuple(feature.value for feature in body.features),
        generation=connection.generation if connection else "",
        sealed=keys().seal(_SEALED_VERIFIER, verifier, under=state),
        expires_at=clock.now() + STATE_LIFETIME,
    )
    store().pending.create(pending)
    _end_oldest(pending)
    hint = body.login_hint or (connection.address if connection else "")
    url = oauth.authorization_url(state, oauth.code_challenge(verifier), _scopes(body.features, connection), hint)
    return AuthorizeAnswer(url=url, expires_at=pending.expires_at)


def _end_oldest(newest: PendingConnection) -> None:
    """Ends the user's open consents beyond five. A claim under way is none of them, and wins if it is faster."""
    held = store().pending.of_user(newest.user_id)
    others = [one for one in held if not one.value.consumed and one.value.state_hash != newest.state_hash]
    others.sort(key=lambda one: one.value.expires_at, reverse=True)
    for one in others[MAX_OPEN - 1 :]:
        with contextlib.suppress(Lost):
            store().pending.delete(one.value.state_hash, version=one.version)


def _scopes(features: list[Feature], connection: Connection | None) -> frozenset[str]:
    if connection is None:
        return oauth.scopes_for([Feature.MAIL, *features])
    if connection.status is ConnectionStatus.REAUTH_REQUIRED:
        # What was granted before may be gone at Google, so all of it is asked for.
        return oauth.scopes_for([Feature.MAIL, *features, *oauth.granted_features(connection.scopes)])
    if Feature.MAIL in features:
        # Whole, since another Google account than the connected one may be chosen.
        return oauth.scopes_for(features)
    # What was granted before, include_granted_scopes keeps; who consents is asked anew.
    return (oauth.scopes_for(features) - connection.scopes) | {"openid", "email"}


def apply_redirect(redirect: Redirect) -> str:
    """Keeps the code under a one-time ticket and returns where the browser goes, with the ticket in the fragment.

    What Google or the user refused ends the pending connection and goes there as an error code. Raises BadRequest for
    a state that is unknown, expired or used: nothing is known of such a browser, so it is sent nowhere.
    """
    held = _load_pending(redirect.unverified_state)
    try:
        failure = plan_failure(redirect)
        if failure:
            store().pending.delete(held.value.state_hash, version=held.version)
            return f"{held.value.return_to}#error={failure}"
        ticket = _save_code(held, redirect)
    except (Lost, Unsealable) as error:
        raise _invalid_state() from error
    return f"{held.value.return_to}#ticket={ticket}"


def plan_failure(redirect: Redirect) -> str:
    """The error code for what Google's redirect says, empty where it brings a code of ours."""
    # RFC 9207: a client that talks to one issuer alone refuses an answer of another.
    if redirect.unverified_issuer is not None and redirect.unverified_issuer != config().google_issuer:
        return "issuer-mismatch"
    if redirect.unverified_error:
        return "consent-denied" if redirect.unverified_error == "access_denied" else "consent-failed"
    if not 1 <= len(redirect.unverified_code) <= _MAX_CODE_CHARS:
        return "consent-failed"
    return ""


def _load_pending(unverified_state: str) -> Versioned[PendingConnection]:
    if not 1 <= len(unverified_state) <= _MAX_STATE_CHARS:
        raise _invalid_state()
    held = store().pending.load(sha256(unverified_state))
    if held is None or held.value.ticket_hash:
        raise _invalid_state()
    return held


def _save_code(held: Versioned[PendingConnection], redirect: Redirect) -> str:
    verifier = keys().unseal(_SEALED_VERIFIER, held.value.sealed, under=redirect.unverified_state)
    ticket = f"{held.value.state_hash}.{random_token()}"
    store().pending.update(
        held,
        ticket_hash=sha256(ticket),
        sealed=keys().seal(SEALED_CODE, [redirect.unverified_code, verifier], under=ticket),
        expires_at=clock.now() + TICKET_LIFETIME,
    )
    return ticket


def _invalid_state() -> BadRequest:
    return BadRequest("invalid-state", "this sign-in is unknown, over or used already: start again from the CRM")


_STRAY: Final = {
    "en": ("This sign-in has ended", "It is unknown, over or used already. Go back to the CRM and connect again."),
    "de": (
        "Diese Anmeldung ist beendet",
        "Sie ist unbekannt, abgelaufen oder schon benutzt. Bitte im CRM neu beginnen.",
    ),
}


def stray_page(language: Literal["de", "en"]) -> str:
    """What a person sees whose browser comes back with a state that is none (any more)."""
    title, text = _STRAY[language]
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{title}</title>'
        f"<h1>{title}</h1><p>{text}</p></html>"
    )
