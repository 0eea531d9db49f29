"""Google accounts, and what their owners granted to the one project of the local stack.

Owns accounts, codes, refresh and access tokens, and the rules by which they live and die. Speaks no HTTP; may import
only the clock. Rules: https://developers.google.com/identity/protocols/oauth2 (section "Refresh token expiration") and
https://developers.google.com/identity/protocols/oauth2/web-server.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.clock import LocalClock

ACCESS_TOKEN_S = 3_599
CODE_S = 600
REFRESH_TOKENS_PER_ACCOUNT = 100
UNUSED_REFRESH_TOKEN = timedelta(days=182)
TESTING_REFRESH_TOKEN = timedelta(days=7)
GMAIL_SCOPES = ("https://mail.google.com/", "https://www.googleapis.com/auth/gmail.")


class OAuthError(Exception):
    """A refusal of the token or revocation endpoint, in the words that Google uses."""

    def __init__(self, error: str, description: str, status: int = 400, subtype: str | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status
        self.subtype = subtype


@dataclass(frozen=True)
class Account:
    """A Google account. ``sub`` is its id for ever: 21 digits as text; the address may change."""

    sub: str
    address: str
    name: str
    email_verified: bool = True
    signed_in: bool = True
    disabled: bool = False
    session_ended: bool = False

    @property
    def hosted_domain(self) -> str | None:
        """The Workspace domain (claim ``hd``), None for a consumer's account."""
        domain = self.address.rpartition("@")[2]
        return None if domain in ("gmail.com", "googlemail.com") else domain


@dataclass(frozen=True)
class Grant:
    """What an access token allows. ``account`` is the account's ``sub``, ``address`` the address it has now."""

    account: str
    address: str
    scopes: frozenset[str]
    client_id: str


@dataclass(frozen=True)
class CodeRequest:
    """What a code stands for: who consented to what, and what must come back with it."""

    sub: str
    scopes: tuple[str, ...]
    redirect_uri: str
    challenge: str | None
    challenge_method: str
    nonce: str | None
    offline: bool
    prompted: bool


@dataclass(frozen=True)
class Minted:
    """Tokens made for one call of the token endpoint."""

    account: Account
    scopes: tuple[str, ...]
    access_token: str
    refresh_token: str | None
    nonce: str | None


@dataclass
class _Code:
    request: CodeRequest
    expires_at: datetime
    used: bool = False
    minted: list[str] = field(default_factory=list)


@dataclass
class _RefreshToken:
    scopes: tuple[str, ...]
    issued_at: datetime
    used_at: datetime


@dataclass
class _AccessToken:
    scopes: tuple[str, ...]
    expires_at: datetime


@dataclass
class _Held:
    """All that one account has granted to the project."""

    scopes: tuple[str, ...] = ()
    offline: bool = False
    refresh: dict[str, _RefreshToken] = field(default_factory=dict)
    access: dict[str, _AccessToken] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)


class Accounts:
    """The accounts and their grants to one OAuth client. ``testing`` stands for the publishing status "Testing"."""

    def __init__(self, clock: LocalClock, client_id: str, client_secret: str, redirect_uris: Sequence[str]) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.redirect_uris = tuple(redirect_uris)
        self.testing = False
        self._clock = clock
        self._lock = threading.RLock()
        self._accounts: dict[str, Account] = {}
        self._subs: dict[str, str] = {}
        self._held: dict[str, _Held] = {}
        self._codes: dict[str, _Code] = {}
        self._owners: dict[str, str] = {}

    # ---- people

    def add(self, address: str, name: str, *, email_verified: bool = True) -> Account:
        """A new account, signed in. Raises ValueError when the address is taken."""
        with self._lock:
            self._require_free(address)
            digest = hashlib.sha256(f"{len(self._accounts)} {address}".encode()).digest()
            sub = f"1{int.from_bytes(digest) % 10**20:020d}"
            account = Account(sub, address, name, email_verified)
            self._accounts[sub] = account
            self._subs[address.lower()] = sub
            self._held[sub] = _Held()
            return account

    def find(self, address_or_sub: str) -> Account | None:
        """The account with this address (of today) or this ``sub``."""
        with self._lock:
            return self._accounts.get(self._subs.get(address_or_sub.lower(), address_or_sub))

    def signed_in(self) -> list[Account]:
        """The accounts that the consent page offers."""
        with self._lock:
            return [one for one in self._accounts.values() if one.signed_in and not one.disabled]

    def rename(self, old: str, new: str) -> Account:
        """Gives an account another address; its ``sub`` and its grants stay. Raises ValueError, KeyError."""
        with self._lock:
            self._require_free(new)
            account = self._put(replace(self._known(old), address=new))
            del self._subs[old.lower()]
            self._subs[new.lower()] = account.sub
            return account

    def sign_out(self, address: str) -> Account:
        """The consent page no longer offers this account."""
        return self._put(replace(self._known(address), signed_in=False))

    def disable(self, address: str) -> Account:
        """Google (or the Workspace administrator) suspends the account: its tokens stop working."""
        return self._put(replace(self._known(address), disabled=True))

    def enable(self, address: str) -> Account:
        """Lifts a suspension: tokens that have not expired work again."""
        return self._put(replace(self._known(address), disabled=False))

    def end_session(self, address: str) -> Account:
        """Workspace's session control: refreshes fail with ``invalid_rapt`` until the user consents again."""
        return self._put(replace(self._known(address), session_ended=True))

    def change_password(self, address: str) -> None:
        """The owner changes the password: refresh and access tokens with Gmail scopes die, the consent stays."""
        with self._lock:
            held = self._held[self._known(address).sub]
            for token in self._with_gmail(held):
                self._drop(held, token)

    def revoke_account(self, address: str) -> None:
        """What the owner does at myaccount.google.com: all grants of the project end, access tokens too."""
        with self._lock:
            self._end_grants(self._known(address).sub)

    # ---- grants

    def granted(self, sub: str) -> tuple[str, ...]:
        """The scopes that the account has granted to the project so far."""
        with self._lock:
            return self._held[sub].scopes

    def issue_code(self, request: CodeRequest, *, include_granted: bool) -> str:
        """Records a consent and returns its one-use code, good for 10 minutes."""
        with self._lock:
            held = self._held[request.sub]
            self._put(replace(self._accounts[request.sub], session_ended=False))
            merged = _merge(held.scopes, request.scopes)
            held.scopes = merged
            scopes = merged if include_granted else request.scopes
            code = f"4/0{secrets.token_urlsafe(48)}"
            expires_at = self._clock.now() + timedelta(seconds=CODE_S)
            self._codes[code] = _Code(replace(request, scopes=scopes), expires_at)
            held.codes.append(code)
            return code

    def redeem_code(self, code: str, redirect_uri: str, verifier: str | None) -> Minted:
        """Exchanges a code. Raises OAuthError; a second use revokes what the first one minted (RFC 6749, 4.1.2)."""
        with self._lock:
            known = self._codes.get(code)
            if known is None:
                malformed = not code.startswith("4/")
                raise OAuthError("invalid_grant", "Malformed auth code." if malformed else "Bad Request")
            if known.used:
                self._forget_minted(known)
                raise OAuthError("invalid_grant", "Bad Request")
            if known.expires_at <= self._clock.now():
                raise OAuthError("invalid_grant", "Bad Request")
            if known.request.redirect_uri != redirect_uri:
                raise OAuthError("redirect_uri_mismatch", "Bad Request")
            _verify_pkce(known.request, verifier)
            known.used = True
            return self._mint_for_code(known)

    def refresh(self, refresh_token: str) -> Minted:
        """A new access token. Raises OAuthError ``invalid_grant`` for a dead or unknown refresh token."""
        with self._lock:
            sub = self._owners.get(refresh_token, "")
            held = self._held.get(sub, _Held())
            token = held.refresh.get(refresh_token)
            if token is None or self._is_stale(token):
                raise OAuthError("invalid_grant", "Token has been expired or revoked.")
            account = self._accounts[sub]
            if account.disabled:
                raise OAuthError("invalid_grant", "Account has been deleted")
            if account.session_ended:
                # https://support.google.com/a/answer/9368756: reauthentication required by the administrator's policy
                raise OAuthError("invalid_grant", "reauth related error (invalid_rapt)", subtype="invalid_rapt")
            token.used_at = self._clock.now()
            return Minted(account, token.scopes, self._mint_access(sub, token.scopes), None, None)

    def revoke(self, unverified_token: str) -> None:
        """Ends all grants of the token's owner to the project. Raises OAuthError ``invalid_token`` if it is dead."""
        with self._lock:
            sub = self._owners.get(unverified_token)
            if sub is None or not self._is_alive(sub, unverified_token):
                raise OAuthError("invalid_token", "Token expired or revoked")
            self._end_grants(sub)

    def check(self, access_token: str) -> Grant | None:
        """What an access token allows now; None if it is unknown, expired, revoked, or its account is disabled."""
        with self._lock:
            sub = self._owners.get(access_token, "")
            token = self._held.get(sub, _Held()).access.get(access_token)
            if token is None or token.expires_at <= self._clock.now() or self._accounts[sub].disabled:
                return None
            return Grant(sub, self._accounts[sub].address, frozenset(token.scopes), self.client_id)

    def address_of(self, unverified_token_or_code: str) -> str:
        """Whose token or code this is, for the ledger; empty if unknown."""
        with self._lock:
            code = self._codes.get(unverified_token_or_code)
            sub = code.request.sub if code else self._owners.get(unverified_token_or_code, "")
            account = self._accounts.get(sub)
            return account.address if account else ""

    # ---- inside

    def _require_free(self, address: str) -> None:
        if address.lower() in self._subs:
            raise ValueError("there is an account with this address")

    def _known(self, address: str) -> Account:
        return self._accounts[self._subs[address.lower()]]

    def _put(self, account: Account) -> Account:
        with self._lock:
            self._accounts[account.sub] = account
            return account

    def _mint_for_code(self, code: _Code) -> Minted:
        request, account = code.request, self._accounts[code.request.sub]
        held = self._held[request.sub]
        # Google hands out a refresh token at the first consent only, unless the client asked to prompt again.
        wanted = request.offline and (request.prompted or not held.offline)
        refresh_token = self._mint_refresh(request) if wanted else None
        access_token = self._mint_access(request.sub, request.scopes)
        code.minted = [token for token in (access_token, refresh_token) if token]
        return Minted(account, request.scopes, access_token, refresh_token, request.nonce)

    def _mint_access(self, sub: str, scopes: tuple[str, ...]) -> str:
        held, now = self._held[sub], self._clock.now()
        for old in [name for name, one in held.access.items() if one.expires_at <= now]:
            self._drop(held, old)
        token = f"ya29.a0{secrets.token_urlsafe(72)}"
        held.access[token] = _AccessToken(scopes, now + timedelta(seconds=ACCESS_TOKEN_S))
        self._owners[token] = sub
        return token

    def _mint_refresh(self, request: CodeRequest) -> str:
        held, now = self._held[request.sub], self._clock.now()
        held.offline = True
        token = f"1//0{secrets.token_urlsafe(64)}"
        held.refresh[token] = _RefreshToken(request.scopes, now, now)
        self._owners[token] = request.sub
        for oldest in list(held.refresh)[:-REFRESH_TOKENS_PER_ACCOUNT]:
            self._drop(held, oldest)
        return token

    def _is_stale(self, token: _RefreshToken) -> bool:
        now = self._clock.now()
        if self.testing and token.issued_at + TESTING_REFRESH_TOKEN <= now:
            return True
        return token.used_at + UNUSED_REFRESH_TOKEN <= now

    def _is_alive(self, sub: str, token: str) -> bool:
        refresh, access = self._held[sub].refresh.get(token), self._held[sub].access.get(token)
        if refresh is not None:
            return not self._is_stale(refresh)
        return access is not None and access.expires_at > self._clock.now()

    def _drop(self, held: _Held, token: str) -> None:
        held.refresh.pop(token, None)
        held.access.pop(token, None)
        self._owners.pop(token, None)

    def _forget_minted(self, code: _Code) -> None:
        for token in code.minted:
            self._drop(self._held[code.request.sub], token)

    def _end_grants(self, sub: str) -> None:
        held = self._held[sub]
        for token in [*held.refresh, *held.access]:
            self._drop(held, token)
        self._held[sub] = _Held()
        for code in held.codes:
            del self._codes[code]

    @staticmethod
    def _with_gmail(held: _Held) -> list[str]:
        tokens: list[tuple[str, tuple[str, ...]]] = [(name, one.scopes) for name, one in held.refresh.items()]
        tokens += [(name, one.scopes) for name, one in held.access.items()]
        return [name for name, scopes in tokens if any(scope.startswith(GMAIL_SCOPES) for scope in scopes)]


def s256(verifier: str) -> str:
    """The PKCE challenge of a verifier (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _verify_pkce(request: CodeRequest, verifier: str | None) -> None:
    if request.challenge is None:
        if verifier:
            raise OAuthError("invalid_grant", "code_verifier or verifier is not needed.")
        return
    if not verifier:
        raise OAuthError("invalid_grant", "Missing code verifier.")
    expected = s256(verifier) if request.challenge_method == "S256" else verifier
    if not secrets.compare_digest(expected.encode(), request.challenge.encode()):
        raise OAuthError("invalid_grant", "Invalid code verifier.")


def _merge(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))
