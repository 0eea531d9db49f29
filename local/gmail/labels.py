"""A mailbox's labels: the system's, the user's, which names clash, which colours there are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from local.gmail.discovery import document
from local.gmail.errors import GmailError, invalid_argument, not_found

SYSTEM_LABELS = (
    "CHAT", "SENT", "INBOX", "IMPORTANT", "TRASH", "DRAFT", "SPAM", "CATEGORY_FORUMS", "CATEGORY_UPDATES",
    "CATEGORY_PERSONAL", "CATEGORY_PROMOTIONS", "CATEGORY_SOCIAL", "STARRED", "UNREAD",
)  # fmt: skip
# "applied automatically … cannot be added or removed" (developers.google.com/workspace/gmail/api/guides/labels)
FIXED_LABELS = frozenset({"SENT", "DRAFT", "CHAT"})
_RESERVED_NAMES = frozenset(name.lower() for name in (*SYSTEM_LABELS, "Drafts", "All Mail", "Bin", "Muted"))
_MAX_NAME = 225
_VISIBLE: dict[str, str] = {"labelListVisibility": "labelShow", "messageListVisibility": "show"}


@dataclass(slots=True)
class Label:
    """A label of the user's."""

    id: str
    name: str
    label_list_visibility: str
    message_list_visibility: str
    color: dict[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        """The resource without counts, as ``labels.list`` gives it."""
        resource: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "messageListVisibility": self.message_list_visibility,
            "labelListVisibility": self.label_list_visibility,
            "type": "user",
        }
        if self.color:
            resource["color"] = dict(self.color)
        return resource


@cache
def palette() -> frozenset[str]:
    """The colours that Gmail takes, read off the discovery document's description of them."""
    described = document()["schemas"]["LabelColor"]["properties"]["backgroundColor"]["description"]
    return frozenset(re.findall(r"#[0-9a-f]{6}", described.split("allowed:")[1]))


def clash_key(name: str) -> str:
    """Equal for names that Gmail does not keep apart: letters' case, and a nested label's slash beside a hyphen."""
    return name.strip().casefold().replace("/", "-")


def search_key(name: str) -> str:
    """The name as ``label:`` in a search writes it: hyphens for blanks, slashes and the like."""
    return re.sub(r"[\s/&()\[\]{}\"|]", "-", name.strip().casefold())


class LabelBook:
    """The labels of one mailbox. Not locked: its mailbox is."""

    def __init__(self) -> None:
        self._user: dict[str, Label] = {}
        self._made = 0

    def exists(self, label_id: str) -> bool:
        return label_id in SYSTEM_LABELS or label_id in self._user

    def as_json(self) -> list[dict[str, Any]]:
        """All labels, the system's first."""
        return [self.one(label_id) for label_id in (*SYSTEM_LABELS, *self._user)]

    def one(self, label_id: str) -> dict[str, Any]:
        """One label without counts. Raises GmailError 404."""
        if label_id in SYSTEM_LABELS:
            return {"id": label_id, "name": label_id, "type": "system"}
        return self.user_label(label_id).as_json()

    def user_label(self, label_id: str) -> Label:
        """A label of the user's. Raises GmailError 404, or 400 for one of the system's."""
        if label_id in SYSTEM_LABELS:
            raise invalid_argument("Invalid update request")
        if label_id not in self._user:
            raise not_found()
        return self._user[label_id]

    def ids_named(self, search_name: str) -> list[str]:
        """The ids of the labels that a search means by this name."""
        wanted = search_key(search_name)
        named = [label.id for label in self._user.values() if search_key(label.name) == wanted]
        return named or [label_id for label_id in SYSTEM_LABELS if search_key(label_id) == wanted]

    def create(self, body: dict[str, Any]) -> Label:
        """A new label. Raises GmailError 400 for a bad name or colour, 409 where the name is taken."""
        self._verify(body, other_than="")
        self._made += 1
        described = _VISIBLE | {name: value for name, value in body.items() if value}
        label = Label(
            f"Label_{self._made}",
            body["name"].strip(),
            described["labelListVisibility"],
            described["messageListVisibility"],
            body.get("color"),
        )
        self._user[label.id] = label
        return label

    def change(self, label_id: str, body: dict[str, Any]) -> Label:
        """Overwrites what ``body`` names. Raises as ``create`` does, and GmailError 404."""
        label = self.user_label(label_id)
        if body.get("id", label_id) != label_id:
            raise invalid_argument("Label ID in request body does not match the URL")
        self._verify({"name": label.name} | body, other_than=label_id)
        label.name = body.get("name", label.name).strip()
        label.label_list_visibility = body.get("labelListVisibility", label.label_list_visibility)
        label.message_list_visibility = body.get("messageListVisibility", label.message_list_visibility)
        label.color = body.get("color", label.color)
        return label

    def delete(self, label_id: str) -> None:
        """Raises GmailError 404, or 400 for one of the system's."""
        if label_id in SYSTEM_LABELS:
            raise invalid_argument("Invalid delete request")
        del self._user[self.user_label(label_id).id]

    def _verify(self, body: dict[str, Any], *, other_than: str) -> None:
        name = str(body.get("name") or "").strip()
        if not name or len(name) > _MAX_NAME or name.casefold() in _RESERVED_NAMES or name.strip("/") != name:
            raise invalid_argument("Invalid label name")
        key = clash_key(name)
        if any(label.id != other_than and clash_key(label.name) == key for label in self._user.values()):
            raise GmailError(409, "aborted", "Label name exists or conflicts")
        if body.get("color"):
            _verify_color(body["color"])

    def verify_known(self, label_ids: Iterable[str]) -> None:
        """Raises GmailError 400 for an id that no label has."""
        for label_id in label_ids:
            if not self.exists(label_id):
                raise invalid_argument(f"Invalid label: {label_id}")


def _verify_color(color: dict[str, str]) -> None:
    for part in ("textColor", "backgroundColor"):
        value = color.get(part)
        if not value:
            raise invalid_argument("Both textColor and backgroundColor are required")
        if value.lower() not in palette():
            raise invalid_argument(f"Label color {value} is not on the allowed color palette")
