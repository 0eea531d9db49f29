"""Google's OAuth 2.0 and OpenID Connect server on one machine, and its security event tokens.

Owns the HTTP side: consent, token, revocation, keys, discovery. The rules of grants are in ``local.accounts``, the page
in ``local.consent``. Shapes as in https://developers.google.com/identity/protocols/oauth2/web-server and
https://developers.google.com/identity/protocols/risc.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, request

from local.accounts import ACCESS_TOKEN_S, CodeRequest, OAuthError
from local.consent import (
    EMAIL,
    ISSUER,
    OPENID,
    PROFILE,
    TEXTS,
    AuthRequest,
    RefusedRequest,
    consent_page,
    consented_scopes,
    parse_request,
    refusal_page,
    response_url,
    scopes_in_redirect,
)
from local.http import drop_connection
from local.ledger import Call
from local.signing import SigningKeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.accounts import Account, Accounts, Minted
    from local.clock import LocalClock
    from local.faults import Fault, Faults
    from local.ledger import Ledger

RISC_ISSUER = f"{ISSUER}/"
_ID_TOKEN_S = 3_600
_OPEN_PAGES = 1_000
_EVENT_TYPES = {
    "tokens-revoked": "https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked",
    "token-revoked": "https://schemas.openid.net/secevent/oauth/event-type/token-revoked",
}
_RISC_EVENT_TYPE = "https://schemas.openid.net/secevent/risc/event-type/"


class OAuthService:
    """The server; ``app`` is its WSGI application. Tokens live and die by the stack's clock."""

    def __init__(
        self, clock: LocalClock, ledger: Ledger, faults: Faults, accounts: Accounts, client_name: str = "Demo CRM"
    ) -> None:
        self.accounts = accounts
        self.keys = SigningKeys()
        self.risc_keys = SigningKeys()
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._client_name = client_name
        self._lock = threading.Lock()
        self._open_pages: OrderedDict[str, AuthRequest] = OrderedDict()
        self.app = self._make_app()

    def rotate_keys(self) -> str:
        """Signs with a new key from now on, and returns its id; the key before stays published."""
        return self.keys.rotate()

    def security_event(self, event: str, address_or_sub: str | None = None, **details: Any) -> str:
        """A signed security event token as Google posts it (Cross-Account Protection); it has no ``exp``.

        ``event`` is the last part of the event's type (``tokens-revoked``, ``account-disabled``, ``verification`` …);
        ``details`` go into the event (``reason``, ``state``). Raises KeyError for an unknown account.
        """
        body = dict(details)
        if address_or_sub is not None:
            account = self.accounts.find(address_or_sub)
            if account is None:
                raise KeyError("no such account")
            body["subject"] = {"subject_type": "iss-sub", "iss": RISC_ISSUER, "sub": account.sub}
        claims = {
            "iss": RISC_ISSUER,
            "aud": [self.accounts.client_id],
            "iat": int(self._clock.now().timestamp()),
            "jti": secrets.token_urlsafe(16),
            "events": {_EVENT_TYPES.get(event, f"{_RISC_EVENT_TYPE}{event}"): body},
        }
        return self.risc_keys.sign(claims, typ="secevent+jwt")

    # ---- HTTP

    def _make_app(self) -> Flask:
        app = Flask("local.oauth")
        app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask types the base provider only
        app.add_url_rule("/o/oauth2/v2/auth", view_func=self._get_auth, methods=["GET"])
        app.add_url_rule("/o/oauth2/v2/auth", view_func=self._post_auth, methods=["POST"])
        app.add_url_rule("/token", view_func=self._post_token, methods=["POST"])
        app.add_url_rule("/revoke", view_func=self._post_revoke, methods=["POST"])
        app.add_url_rule("/oauth2/v3/certs", view_func=self._get_certs)
        app.add_url_rule("/risc/v1/certs", view_func=self._get_risc_certs)
        app.add_url_rule("/.well-known/openid-configuration", view_func=self._get_openid_configuration)
        app.add_url_rule("/.well-known/risc-configuration", view_func=self._get_risc_configuration)
        return app

    def _get_auth(self) -> Response:
        return self._serve("auth", "", self._show_consent)

    def _post_auth(self) -> Response:
        chosen = self.accounts.find(request.form.get("account", ""))
        return self._serve("auth", chosen.address if chosen else "", self._take_consent)

    def _post_token(self) -> Response:
        secret = request.form.get("refresh_token") or request.form.get("code") or ""
        return self._serve("token", self.accounts.address_of(secret), self._answer_token)

    def _post_revoke(self) -> Response:
        token = request.values.get("token", "")
        return self._serve("revoke", self.accounts.address_of(token), lambda: self._answer_revoke(token))

    def _get_certs(self) -> Response:
        return self._serve("certs", "", lambda: _cacheable(self.keys.jwks()), service="jwks")

    def _get_risc_certs(self) -> Response:
        return self._serve("risc_certs", "", lambda: _cacheable(self.risc_keys.jwks()), service="jwks")

    def _serve(self, method: str, mailbox: str, work: Callable[[], Response], service: str = "oauth") -> Response:
        """One call: its fault, its work, its line in the ledger."""
        started_s, http_id = time.monotonic(), self._ledger.next_http_id()
        fault = self._faults.take(service, method, mailbox)
        if fault and fault.delay_s:
            time.sleep(fault.delay_s)
        answer = _faulty(fault) if fault and fault.status else work()
        status = answer.status_code
        self._ledger.record(Call(service, method, mailbox, 0, status, started_s, time.monotonic(), http_id))
        if fault and fault.drop_answer:
            drop_connection(request.environ)
        return answer

    def _show_consent(self) -> Response:
        language = _language()
        try:
            wanted = parse_request(request.args, self.accounts.client_id, self.accounts.redirect_uris)
        except RefusedRequest as refusal:
            return _page(refusal_page(refusal, language), 400)
        request_id = secrets.token_urlsafe(24)
        with self._lock:
            self._open_pages[request_id] = wanted
            while len(self._open_pages) > _OPEN_PAGES:
                self._open_pages.popitem(last=False)
        people = self.accounts.signed_in()
        return _page(consent_page(wanted, request_id, self._client_name, people, language))

    def _take_consent(self) -> Response:
        with self._lock:
            wanted = self._open_pages.pop(request.form.get("request", ""), None)
        if wanted is None:
            return _page(
                refusal_page(RefusedRequest("invalid_request", "This page is no longer open."), _language()), 400
            )
        account = self.accounts.find(request.form.get("account", ""))
        scopes = consented_scopes(wanted, request.form.getlist("scope"))
        if request.form.get("decision") != "allow" or account is None or account.disabled or not scopes:
            return _see(response_url(wanted, {"error": "access_denied"}))
        return _see(response_url(wanted, self._grant(wanted, account, scopes)))

    def _grant(self, wanted: AuthRequest, account: Account, scopes: tuple[str, ...]) -> dict[str, str]:
        asked = CodeRequest(
            sub=account.sub,
            scopes=scopes,
            redirect_uri=wanted.redirect_uri,
            challenge=wanted.challenge,
            challenge_method=wanted.challenge_method,
            nonce=wanted.nonce,
            offline=wanted.offline,
            prompted=wanted.prompt_consent,
        )
        code = self.accounts.issue_code(asked, include_granted=wanted.include_granted)
        shown = self.accounts.granted(account.sub) if wanted.include_granted else scopes
        answer = {"code": code, "scope": scopes_in_redirect(shown), "authuser": "0"}
        if account.hosted_domain:
            answer["hd"] = account.hosted_domain
        return {**answer, "prompt": "consent"}

    def _answer_token(self) -> Response:
        try:
            self._verify_client()
            minted = self._redeem(_field("grant_type"))
        except OAuthError as error:
            return _refusal(error)
        return _no_store(jsonify(self._token_response(minted)))

    def _redeem(self, grant_type: str) -> Minted:
        if grant_type == "refresh_token":
            return self.accounts.refresh(_field("refresh_token"))
        if grant_type != "authorization_code":
            raise OAuthError("unsupported_grant_type", f"Invalid grant_type: {grant_type}")
        code, redirect_uri = _field("code"), _field("redirect_uri")
        return self.accounts.redeem_code(code, redirect_uri, request.form.get("code_verifier"))

    def _verify_client(self) -> None:
        basic = request.authorization
        named = basic.username if basic else _field("client_id")
        secret = basic.password if basic else request.form.get("client_secret")
        if named != self.accounts.client_id:
            raise OAuthError("invalid_client", "The OAuth client was not found.", 401)
        if not secret:
            raise OAuthError("invalid_request", "client_secret is missing.")
        if not secrets.compare_digest(secret.encode(), self.accounts.client_secret.encode()):
            raise OAuthError("invalid_client", "The provided client secret is invalid.", 401)

    def _token_response(self, minted: Minted) -> dict[str, Any]:
        answer: dict[str, Any] = {"access_token": minted.access_token, "expires_in": ACCESS_TOKEN_S}
        if minted.refresh_token:
            answer["refresh_token"] = minted.refresh_token
        answer |= {"scope": " ".join(minted.scopes), "token_type": "Bearer"}
        if OPENID in minted.scopes:
            answer["id_token"] = self._id_token(minted)
        return answer

    def _id_token(self, minted: Minted) -> str:
        account, now = minted.account, int(self._clock.now().timestamp())
        digest = hashlib.sha256(minted.access_token.encode()).digest()
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "azp": self.accounts.client_id,
            "aud": self.accounts.client_id,
            "sub": account.sub,
            "at_hash": base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode(),
            "iat": now,
            "exp": now + _ID_TOKEN_S,
        }
        if account.hosted_domain:
            claims["hd"] = account.hosted_domain
        if EMAIL in minted.scopes:
            claims |= {"email": account.address, "email_verified": account.email_verified}
        if PROFILE in minted.scopes:
            claims["name"] = account.name
        if minted.nonce is not None:
            claims["nonce"] = minted.nonce
        return self.keys.sign(claims)

    def _answer_revoke(self, unverified_token: str) -> Response:
        if not unverified_token:
            return _refusal(OAuthError("invalid_request", "Required parameter is missing: token"))
        try:
            self.accounts.revoke(unverified_token)
        except OAuthError as error:
            return _refusal(error)
        return _no_store(jsonify({}))

    def _get_openid_configuration(self) -> Response:
        base = request.host_url.rstrip("/")
        return _cacheable(
            {
                "issuer": ISSUER,
                "authorization_endpoint": f"{base}/o/oauth2/v2/auth",
                "token_endpoint": f"{base}/token",
                "revocation_endpoint": f"{base}/revoke",
                "jwks_uri": f"{base}/oauth2/v3/certs",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid", "email", "profile"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "code_challenge_methods_supported": ["plain", "S256"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    def _get_risc_configuration(self) -> Response:
        base = request.host_url.rstrip("/")
        found = {"issuer": RISC_ISSUER, "jwks_uri": f"{base}/risc/v1/certs"}
        return self._serve("risc_configuration", "", lambda: _cacheable(found), service="jwks")


class ServiceTokens:
    """Mints the OIDC tokens with which Google's services (Pub/Sub, Scheduler, Tasks) call as a service account."""

    def __init__(self, clock: LocalClock, keys: SigningKeys) -> None:
        self._clock = clock
        self._keys = keys

    def mint(self, email: str, audience: str) -> str:
        """A token of the service account ``email`` for ``audience``, good for an hour."""
        now = int(self._clock.now().timestamp())
        digest = hashlib.sha256(email.encode()).digest()
        sub = f"1{int.from_bytes(digest) % 10**20:020d}"
        return self._keys.sign(
            {
                "iss": ISSUER,
                "aud": audience,
                "azp": sub,
                "sub": sub,
                "email": email,
                "email_verified": True,
                "iat": now,
                "exp": now + _ID_TOKEN_S,
            }
        )


def _language() -> str:
    return request.accept_languages.best_match(list(TEXTS)) or "en"


def _field(name: str) -> str:
    value = request.form.get(name)
    if not value:
        raise OAuthError("invalid_request", f"Missing required parameter: {name}")
    return value


def _page(html: str, status: int = 200) -> Response:
    answer = Response(html, status, content_type="text/html; charset=utf-8")
    answer.headers |= {"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"}
    return _no_store(answer)


def _see(location: str) -> Response:
    answer = Response(status=302)
    answer.headers["Location"] = location
    answer.headers["Referrer-Policy"] = "no-referrer"
    return _no_store(answer)


def _refusal(error: OAuthError) -> Response:
    body = {"error": error.error, "error_description": error.description}
    answer = jsonify(body | ({"error_subtype": error.subtype} if error.subtype else {}))
    answer.status_code = error.status
    return _no_store(answer)


def _faulty(fault: Fault) -> Response:
    answer = jsonify({"error": fault.reason or "internal_failure", "error_description": fault.message})
    answer.status_code = fault.status
    return _no_store(answer)


def _no_store(answer: Response) -> Response:
    answer.headers["Cache-Control"] = "no-cache, no-store, max-age=0, must-revalidate"
    return answer


def _cacheable(body: dict[str, Any]) -> Response:
    answer = jsonify(body)
    answer.headers["Cache-Control"] = "public, max-age=21600, must-revalidate"
    return answer
