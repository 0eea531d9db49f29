"""Owns the deployment's keys: names that stand for something (HMAC), and what is sealed (AES-256-GCM).

Knows no store and no route. The HMAC key is never rotated, since it names things; of the sealing keys the first seals
and all of them open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from common.config import config

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Unsealable(ValueError):
    """What was handed in was not sealed by us, not for this purpose, or has been changed."""


def encode_id(external_id: str) -> str:
    """An id from outside as it goes into names of documents, secrets and tasks: base64url without padding."""
    return base64.urlsafe_b64encode(external_id.encode()).rstrip(b"=").decode()


def decode_id(encoded: str) -> str:
    """The id that ``encode_id`` was given. Raises ValueError for anything else."""
    decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    if encode_id(decoded) != encoded:
        raise ValueError("not an encoded id")
    return decoded


def random_token(size_bytes: int = 32) -> str:
    """A fresh secret, base64url."""
    return base64.urlsafe_b64encode(os.urandom(size_bytes)).rstrip(b"=").decode()


def sha256(value: str) -> str:
    """A hash, base64url, for secrets that are random enough to need no key."""
    return base64.urlsafe_b64encode(hashlib.sha256(value.encode()).digest()).rstrip(b"=").decode()


class Keys:
    """The deployment's keys. ``hash`` names, ``seal`` and ``unseal`` hide."""

    def __init__(self, hmac_key: bytes, sealing_keys: Sequence[bytes]) -> None:
        self._hmac_key = hmac_key
        self._sealing_keys = list(sealing_keys)

    def hash(self, purpose: str, *parts: str) -> str:
        """A keyed hash of ``parts`` for one ``purpose``: 32 characters of base64url, always the same ones."""
        message = json.dumps([purpose, *parts]).encode()
        digest = hmac.new(self._hmac_key, message, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:24]).decode()

    def seal(self, purpose: str, value: Any, *, under: str = "") -> str:
        """``value`` (JSON) sealed for ``purpose``; with ``under``, only who holds that secret too can open it."""
        nonce = os.urandom(_NONCE_BYTES)
        cipher = _cipher(self._sealing_keys[0], purpose, under)
        sealed = nonce + cipher.encrypt(nonce, json.dumps(value).encode(), purpose.encode())
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def unseal(self, purpose: str, sealed: str, *, under: str = "") -> Any:
        """What ``seal`` was given. Raises Unsealable."""
        from cryptography.exceptions import InvalidTag

        try:
            blob = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise Unsealable(purpose) from error
        nonce, body = blob[:_NONCE_BYTES], blob[_NONCE_BYTES:]
        if len(nonce) < _NONCE_BYTES:
            raise Unsealable(purpose)
        for key in self._sealing_keys:
            try:
                return json.loads(_cipher(key, purpose, under).decrypt(nonce, body, purpose.encode()))
            except InvalidTag:
                continue
        raise Unsealable(purpose)


@cache
def keys() -> Keys:
    """The keys of this process's configuration."""
    settings = config()
    return Keys(settings.hmac_key, settings.sealing_keys)


def _cipher(key: bytes, purpose: str, under: str) -> AESGCM:
    # Few requests seal anything; the library is not imported for the others.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(algorithm=SHA256(), length=32, salt=under.encode(), info=purpose.encode()).derive(key)
    return AESGCM(derived)
