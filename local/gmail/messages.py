"""The API's handlers for messages and attachments."""

from __future__ import annotations

from typing import Any

from local.gmail import wire
from local.gmail.call import ApiCall, Handler
from local.gmail.delivery import date_header_ms
from local.gmail.errors import invalid_argument
from local.gmail.mailbox import Message
from local.gmail.payload import encode, part_content
from local.gmail.resources import list_token, matching, message_json, parse_attachment_id, raw_mail, short_json

# "There is a limit of 1000 ids per request" (users.messages.batchModify)
MAX_BATCH_IDS = 1000


def _list(call: ApiCall) -> dict[str, Any]:
    size = call.page_size()
    with call.mailbox.lock:
        found = matching(call)
        page = [message for _, message in zip(range(size), found, strict=False)]
        more = next(found, None) is not None
    answer: dict[str, Any] = {"resultSizeEstimate": len(page) + more}
    if page:
        answer["messages"] = [{"id": message.id, "threadId": message.thread_id} for message in page]
    if more:
        answer["nextPageToken"] = list_token(page[-1])
    return answer


def _get(call: ApiCall) -> dict[str, Any]:
    with call.mailbox.lock:
        message = call.mailbox.message(call.path["id"])
        return message_json(message, call.text("format", "full"), call.query.getlist("metadataHeaders"))


def _attachment(call: ApiCall) -> dict[str, Any]:
    message_id, part_id = parse_attachment_id(call.path["id"])
    with call.mailbox.lock:
        message = call.mailbox.message(call.path["messageId"])
    content = part_content(message.raw, part_id) if message.id == message_id else None
    if content is None:
        raise invalid_argument("Invalid attachment token")
    return {"size": len(content), "data": encode(content)}


def _send(call: ApiCall) -> dict[str, Any]:
    raw = wire.to_crlf(raw_mail(call, call.body))
    with call.mailbox.lock:
        thread_id = call.mailbox.joined_thread(raw, call.body.get("threadId"))
    return short_json(call.gmail.send(call.mailbox, raw, thread_id))


def _store(call: ApiCall, date_source: str) -> dict[str, Any]:
    raw = wire.to_crlf(raw_mail(call, call.body))
    labels = call.body.get("labelIds", [])
    mailbox = call.mailbox
    dated = date_header_ms(raw) if call.text("internalDateSource", date_source) == "dateHeader" else None
    with mailbox.changing():
        mailbox.labels.verify_known(labels)
        thread_id = mailbox.joined_thread(raw, call.body.get("threadId"))
        return short_json(mailbox.add(raw, labels, internal_ms=dated, thread_id=thread_id))


def _insert(call: ApiCall) -> dict[str, Any]:
    return _store(call, "receivedTime")


def _import(call: ApiCall) -> dict[str, Any]:
    return _store(call, "dateHeader")


def _modify(call: ApiCall) -> dict[str, Any]:
    add, remove = call.body.get("addLabelIds", []), call.body.get("removeLabelIds", [])
    with call.mailbox.changing():
        message = call.mailbox.message(call.path["id"])
        call.mailbox.verify_changeable(add, remove)
        call.mailbox.change_labels([message], add, remove)
        return short_json(message)


def _known(call: ApiCall) -> list[Message]:
    """The messages that a batch call names; ids that the mailbox does not have are passed over in silence."""
    ids = call.body.get("ids", [])
    if not ids:
        raise invalid_argument("No message ids specified")
    if len(ids) > MAX_BATCH_IDS:
        raise invalid_argument(f"Too many message ids: the limit is {MAX_BATCH_IDS}")
    messages = call.mailbox.messages
    return [messages[message_id] for message_id in dict.fromkeys(ids) if message_id in messages]


def _batch_modify(call: ApiCall) -> None:
    add, remove = call.body.get("addLabelIds", []), call.body.get("removeLabelIds", [])
    with call.mailbox.changing():
        call.mailbox.verify_changeable(add, remove)
        call.mailbox.change_labels(_known(call), add, remove)


def _batch_delete(call: ApiCall) -> None:
    with call.mailbox.changing():
        for message in _known(call):
            call.mailbox.delete(message.id)


def _trash(call: ApiCall) -> dict[str, Any]:
    return _moved(call, add={"TRASH"}, remove=set())


def _untrash(call: ApiCall) -> dict[str, Any]:
    return _moved(call, add=set(), remove={"TRASH"})


def _moved(call: ApiCall, add: set[str], remove: set[str]) -> dict[str, Any]:
    with call.mailbox.changing():
        message = call.mailbox.message(call.path["id"])
        call.mailbox.change_labels([message], add, remove)
        return short_json(message)


def _delete(call: ApiCall) -> None:
    call.mailbox.delete(call.path["id"])


HANDLERS: dict[str, Handler] = {
    "users.messages.list": _list,
    "users.messages.get": _get,
    "users.messages.attachments.get": _attachment,
    "users.messages.send": _send,
    "users.messages.insert": _insert,
    "users.messages.import": _import,
    "users.messages.modify": _modify,
    "users.messages.batchModify": _batch_modify,
    "users.messages.batchDelete": _batch_delete,
    "users.messages.trash": _trash,
    "users.messages.untrash": _untrash,
    "users.messages.delete": _delete,
}
