"""Owns what a call costs in Gmail's units. Imports nothing.

https://developers.google.com/gmail/api/reference/quota, for projects made since 1 May 2026; ``drafts.get`` is taken
to cost what ``messages.get`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

UNITS: Final[Mapping[str, int]] = {
    "users.getProfile": 1,
    "users.stop": 50,
    "users.watch": 100,
    "users.drafts.create": 10,
    "users.drafts.delete": 10,
    "users.drafts.get": 20,
    "users.drafts.list": 5,
    "users.drafts.send": 100,
    "users.drafts.update": 15,
    "users.history.list": 2,
    "users.labels.create": 5,
    "users.labels.delete": 5,
    "users.labels.list": 1,
    "users.labels.patch": 5,
    "users.messages.attachments.get": 20,
    "users.messages.batchModify": 50,
    "users.messages.get": 20,
    "users.messages.list": 5,
    "users.messages.modify": 5,
    "users.messages.send": 100,
    "users.messages.trash": 20,
    "users.messages.untrash": 20,
    "users.settings.sendAs.list": 1,
    "users.threads.get": 40,
    "users.threads.list": 10,
}
