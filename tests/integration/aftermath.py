"""What is left of everything when all has run to its end, in a form in which two users can be compared.

Generated ids, versions, times and cursors say nothing of whether something was lost or doubled; names stand in their
place. Two users with the same past, of whom one met a death, must have the same here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from local.gmail.mailbox import Mailbox
from local.stack import Stack
from tests.integration.magnet_rig import encoded
from tests.integration.webhook_rig import Receiver

# Of one connection, or of one moment, and never alike.
_OWN = {"generation", "secret", "mailbox_key", "user_id", "address", "label_ids", "hidden_label_id"}
_TIMES = {
    "connected_at", "changed_at", "expires_at", "received_at", "last_received_at", "caught_up_at", "last_sweep_at",
    "last_push_at", "last_error_at", "at", "undone_at", "due_at", "watch_expires_at", "resync_from", "resync_at",
    "backfill_until",
}  # fmt: skip
# How often something was written; how far a history of other length has been read.
_COUNTERS = {"notices_version", "cursor", "mark", "sweep_id", "mail_id"}
_UNSAID = _OWN | _TIMES | _COUNTERS


def left_of(stack: Stack, receiver: Receiver, user: str, *, since: str = "") -> dict[str, Any]:
    """All that there is of a user: mails and their labels, documents, the watch, the secret, tasks, what was told.

    Of mails, those alone whose subject does not come before ``since``.
    """
    mailbox = stack.google.gmail.mailbox(stack.people[user].email)
    with mailbox.lock:
        messages = [message for message in mailbox.newest_first() if message.subject >= since]
        names = {message.id: message.subject for message in messages}
        placed = {message.subject: _label_names(mailbox, message.labels) for message in messages}
        is_watched = mailbox.watch is not None
        history_id = mailbox.history.current_id
        labels = sorted(str(label["name"]) for label in mailbox.labels.as_json())
    documents = stack.documents()
    held = documents.get(f"connections/{encoded(user)}", {})
    left = {
        "mails": placed,
        "labels": labels,
        "watched": is_watched,
        "secrets": sum(secret == held.get("secret") for secret in stack.google.secrets.dump()),
        "connection": _said(held) | {"labels made": sorted(held.get("label_ids", {}))},
        "mailbox": _mailbox(documents, user),
        "notices": _notices(documents, user, names),
        "senders": _records(documents, user, "senders", key="address"),
        "moves": _moves(documents, user, names),
        "sync": _sync(documents, user, history_id),
        "work": f"work/{encoded(user)}" in documents,
        "tasks": _tasks(stack, user),
        "told": _told(receiver, user, names),
    }
    return dict(_unnamed(left, user))


def _unnamed(value: Any, user: str) -> Any:
    """The same for every user: the name of this one is taken out."""
    match value:
        case str():
            return value.replace(user, "user")
        case dict():
            return {_unnamed(name, user): _unnamed(one, user) for name, one in value.items()}
        case list() | tuple():
            return [_unnamed(one, user) for one in value]
        case _:
            return value


def _label_names(mailbox: Mailbox, labels: Iterable[str]) -> list[str]:
    return sorted(str(mailbox.labels.one(label)["name"]) for label in labels)


def _said(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in _UNSAID}


def _mailbox(documents: dict[str, dict[str, Any]], user: str) -> tuple[bool, bool]:
    """Whether the user is one of a mailbox's, and owns its labels."""
    mailboxes = [record for path, record in documents.items() if path.startswith("mailboxes/")]
    return (
        any(user in record["user_ids"] for record in mailboxes),
        any(user == record["labels_owner"] for record in mailboxes),
    )


def _notices(documents: dict[str, dict[str, Any]], user: str, names: dict[str, str]) -> dict[str, Any]:
    """By the subject of its mail, each notice; that a mail has two of them cannot be, as its id is theirs."""
    prefix = f"connections/{encoded(user)}/notices/"
    found = [one for path, one in documents.items() if path.startswith(prefix) and one["mail_id"] in names]
    return {names[one["mail_id"]]: _said(one) for one in found}


def _records(documents: dict[str, dict[str, Any]], user: str, kind: str, *, key: str) -> dict[str, Any]:
    prefix = f"connections/{encoded(user)}/{kind}/"
    return {one[key]: _said(one) for path, one in documents.items() if path.startswith(prefix)}


def _moves(documents: dict[str, dict[str, Any]], user: str, names: dict[str, str]) -> dict[str, int]:
    """What sweeps say that they moved, in however many records: each step of each mail must stand there once."""
    prefix = f"connections/{encoded(user)}/sweeps/"
    steps = [
        f"{names[mail_id]}: {move['source']} > {move['target']}{' undone' if record['undone_at'] else ''}"
        for path, record in documents.items()
        if path.startswith(prefix)
        for move in record["moves"]
        for mail_id in move["mail_ids"]
        if mail_id in names
    ]
    return dict(sorted(Counter(steps).items()))


def _sync(documents: dict[str, dict[str, Any]], user: str, history_id: int) -> dict[str, Any]:
    """The sync record, and whether it has come to the mailbox's present."""
    record = documents.get(f"sync/{encoded(user)}", {})
    if not record:
        return {}
    return _said(record) | {"is up to date": int(record["cursor"]) == history_id}


def _tasks(stack: Stack, user: str) -> list[str]:
    """The routes of the tasks that still wait for the user."""
    waiting = [task.http_request for task in stack.google.tasks.pending()]
    return sorted(one.url.rpartition("/")[2] for one in waiting if f'"{user}"' in one.body.decode())


def _told(receiver: Receiver, user: str, names: dict[str, str]) -> list[str]:
    """The mails of which the webhook has heard, each id of its news once: hearing twice is allowed."""
    news = zip(receiver.ids(), receiver.bodies(), strict=True)
    heard = {(id_, body["data"]["mail_id"]) for id_, body in news
             if body["type"] == "notice.created" and body["data"]["user"] == user}  # fmt: skip
    return sorted(names[mail_id] for _, mail_id in heard if mail_id in names)
