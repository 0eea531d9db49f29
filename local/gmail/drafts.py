"""The API's handlers for drafts. Each saving of a draft makes a new message of it, which history tells."""

from __future__ import annotations

import secrets
from typing import Any

from local.gmail import wire
from local.gmail.call import ApiCall, Handler
from local.gmail.errors import GmailError, invalid_argument, not_found
from local.gmail.mailbox import Message
from local.gmail.resources import list_token, matching, message_json, raw_mail, short_json


def _draft_message(call: ApiCall, draft_id: str) -> Message:
    message_id = call.mailbox.drafts.get(draft_id)
    if message_id is None or message_id not in call.mailbox.messages:
        raise not_found()
    return call.mailbox.messages[message_id]


def _draft_ids(call: ApiCall) -> dict[str, str]:
    """Message id to draft id."""
    return {message_id: draft_id for draft_id, message_id in call.mailbox.drafts.items()}


def _create(call: ApiCall) -> dict[str, Any]:
    described = call.body.get("message", {})
    raw = wire.to_crlf(raw_mail(call, described))
    draft_id = f"r{secrets.randbits(62)}"
    with call.mailbox.changing():
        thread_id = call.mailbox.joined_thread(raw, described.get("threadId"))
        message = call.mailbox.add(raw, {"DRAFT"}, thread_id=thread_id)
        call.mailbox.drafts[draft_id] = message.id
        return {"id": draft_id, "message": short_json(message)}


def _update(call: ApiCall) -> dict[str, Any]:
    with call.mailbox.changing():
        message = _replaced(call, call.path["id"], call.body.get("message", {}))
        return {"id": call.path["id"], "message": short_json(message)}


def _replaced(call: ApiCall, draft_id: str, described: dict[str, Any]) -> Message:
    old = _draft_message(call, draft_id)
    raw = wire.to_crlf(raw_mail(call, described))
    thread_id = call.mailbox.joined_thread(raw, described.get("threadId"))
    # A draft stays in the thread that it is alone in.
    kept = old.thread_id if thread_id is None and "threadId" not in described else thread_id
    message = call.mailbox.add(raw, {"DRAFT"}, thread_id=kept)
    call.mailbox.delete(old.id)
    call.mailbox.drafts[draft_id] = message.id
    return message


def _get(call: ApiCall) -> dict[str, Any]:
    with call.mailbox.lock:
        message = _draft_message(call, call.path["id"])
        return {"id": call.path["id"], "message": message_json(message, call.text("format", "full"))}


def _list(call: ApiCall) -> dict[str, Any]:
    size = call.page_size()
    with call.mailbox.lock:
        ids = _draft_ids(call)
        found = [message for message in matching(call) if message.id in ids]
    page = found[:size]
    answer: dict[str, Any] = {"resultSizeEstimate": len(found)}
    if page:
        answer["drafts"] = [
            {"id": ids[message.id], "message": {"id": message.id, "threadId": message.thread_id}} for message in page
        ]
    if len(found) > size:
        answer["nextPageToken"] = list_token(page[-1])
    return answer


def _delete(call: ApiCall) -> None:
    with call.mailbox.changing():
        message = _draft_message(call, call.path["id"])
        call.mailbox.delete(message.id)
        del call.mailbox.drafts[call.path["id"]]


def _send(call: ApiCall) -> dict[str, Any]:
    draft_id = call.body.get("id")
    if not draft_id:
        raise invalid_argument("Invalid draft")
    mailbox = call.mailbox
    with mailbox.changing():
        message = _draft_message(call, draft_id)
        described = call.body.get("message", {})
        if call.media is not None or described.get("raw"):
            message = _replaced(call, draft_id, described)
        # Taken away before the mail goes, so that two calls at once send it once.
        del mailbox.drafts[draft_id]
    try:
        sent = call.gmail.send(mailbox, message.raw, message.thread_id)
    except GmailError:
        mailbox.drafts[draft_id] = message.id
        raise
    mailbox.delete(message.id)
    return short_json(sent)


HANDLERS: dict[str, Handler] = {
    "users.drafts.create": _create,
    "users.drafts.update": _update,
    "users.drafts.get": _get,
    "users.drafts.list": _list,
    "users.drafts.delete": _delete,
    "users.drafts.send": _send,
}
