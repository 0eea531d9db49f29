"""What the Gmail stand-in asks of its surroundings: who a token belongs to, and where pushes go.

Imports nothing of the other stand-ins, so that each can be used and tested alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Publish = Callable[[str, bytes], None]
"""Publishes data to a Pub/Sub topic, given by its full name."""


class Grant(Protocol):
    """What an access token allows: Google's ``sub``, the account's present address, the granted scopes."""

    @property
    def account(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def scopes(self) -> frozenset[str]: ...
    @property
    def client_id(self) -> str: ...


class AccessChecker(Protocol):
    """Tells what an access token allows; None for one that is unknown, expired or revoked."""

    def check(self, access_token: str) -> Grant | None: ...


@dataclass
class SendAs:
    """An address that a mailbox may send from (users.settings.sendAs). ``verification_status``: accepted or pending."""

    address: str
    display_name: str = ""
    signature: str = ""
    reply_to: str = ""
    is_default: bool = False
    is_primary: bool = False
    verification_status: str = "accepted"

    def as_json(self) -> dict[str, object]:
        """The resource as Gmail gives it: false flags are left out, and the primary address has no verification."""
        resource: dict[str, object] = {
            "sendAsEmail": self.address,
            "displayName": self.display_name,
            "replyToAddress": self.reply_to,
            "signature": self.signature,
        }
        if self.is_primary:
            resource["isPrimary"] = True
        else:
            resource |= {"treatAsAlias": True, "verificationStatus": self.verification_status}
        if self.is_default:
            resource["isDefault"] = True
        return resource
