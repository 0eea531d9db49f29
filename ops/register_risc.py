"""Owns the registration of the address that hears of endangered Google accounts (Cross-Account Protection)."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any, Final

import google.auth
import google.auth.iam
import google.auth.jwt
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials

from common import clock
from common.keys import random_token
from ops import names
from ops.environment import address
from ops.google import call
from ops.output import OK, Output, Trouble

# https://developers.google.com/identity/protocols/risc (sections 4 to 6).
_AUDIENCE: Final = "https://risc.googleapis.com/google.identity.risc.v1beta.RiscManagementService"
_PUSH: Final = "https://schemas.openid.net/secevent/risc/delivery-method/push"
_RISC: Final = "https://schemas.openid.net/secevent/risc/event-type"
_EVENTS: Final = (
    "https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked",
    f"{_RISC}/sessions-revoked",
    f"{_RISC}/account-disabled",
    f"{_RISC}/account-purged",
    f"{_RISC}/verification",
)
_LIFETIME: Final = timedelta(minutes=10)

HELP = {
    "register-risc": """
        Google then tells POST /risc when an account is disabled, signs out everywhere or takes its grant back, and
        the connection ends at once instead of at the next refresh. One registration per project; repeating it
        replaces the address.

        Google takes tokens of a service account only. It needs roles/riscconfigs.admin, and the APIs
        risc.googleapis.com and iamcredentials.googleapis.com must be on. With user credentials, name the account;
        you need roles/iam.serviceAccountTokenCreator on it, and no key leaves Google:

        examples:
          python -m ops register-risc --service-account risc-admin@my-project.iam.gserviceaccount.com
          python -m ops register-risc --service-account risc-admin@... --show
          python -m ops register-risc --service-account risc-admin@... --verify    # has Google send a test event
        """
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--service-account", metavar="EMAIL", help="in whose name; default: that of the credentials")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--show", action="store_true", help="only show what is registered")
    what.add_argument("--verify", action="store_true", help="only have Google send a test event")


def run(options: argparse.Namespace, output: Output) -> int:
    """Registers, shows, or asks for a test event."""
    token = _token(options.service_account)
    if options.show:
        registered = _ask("GET", "/v1beta/stream", token)
        url = registered.get("delivery", {}).get("url", "")
        kinds = [one.rpartition("/")[2] for one in registered.get("events_requested", [])]
        output.show({"url": url, "events": kinds}, [f"{url}: {', '.join(kinds)}"])
        return OK
    if options.verify:
        _ask("POST", "/v1beta/stream:verify", token, {"state": random_token(12)})
        output.show({"verification": "asked"}, ["Google sends a test event now; the log of oauth_callback shows it"])
        return OK
    url = f"{names.public_url('oauth_callback')}/risc"
    body = {"delivery": {"delivery_method": _PUSH, "url": url}, "events_requested": list(_EVENTS)}
    _ask("POST", "/v1beta/stream:update", token, body)
    output.show({"url": url, "events": [one.rpartition("/")[2] for one in _EVENTS]}, [f"{url} is registered"])
    return OK


def _token(service_account: str | None) -> str:
    """A token that the service account itself signs for this one service; an access token is not taken there."""
    credentials: Any
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    if service_account:
        signer: Any = google.auth.iam.Signer(Request(), credentials, service_account)  # type: ignore[no-untyped-call]
        email = service_account
    elif isinstance(credentials, Credentials):
        signer, email = credentials.signer, credentials.service_account_email
    else:
        raise Trouble("service-account-missing", "the credentials are no service account's: give --service-account")
    now = clock.now()
    claims = {
        "iss": email,
        "sub": email,
        "aud": _AUDIENCE,
        "iat": int(now.timestamp()),
        "exp": int((now + _LIFETIME).timestamp()),
    }
    signed: bytes = google.auth.jwt.encode(signer, claims)  # type: ignore[no-untyped-call]
    return signed.decode()


def _ask(method: str, path: str, token: str, body: Any = None) -> dict[str, Any]:
    answer = call(method, address("RISC_URL", "https://risc.googleapis.com") + path, json=body, token=token)
    if not answer.ok:
        advice = {
            401: "the token is not taken: is the service account of this project?",
            403: "grant the service account roles/riscconfigs.admin, and turn risc.googleapis.com on",
            404: "nothing is registered yet",
        }.get(answer.status_code, "try again later")
        raise Trouble("risc-refused", f"{advice} (HTTP {answer.status_code})")
    found: dict[str, Any] = answer.json()
    return found
