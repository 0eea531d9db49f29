"""The API's handlers for threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from local.gmail.call import ApiCall, Handler
from local.gmail.mailbox import Message
from local.gmail.resources import list_token, matching, message_json, short_json


def _list(call: ApiCall) -> dict[str, Any]:
    size = call.page_size()
    seen: set[str] = set()
    page: list[Message] = []
    more = False
    with call.mailbox.lock:
        for message in _newest_of_threads(call):
            if message.thread_id in seen:
                continue
            if len(page) == size:
                more = True
                break
            seen.add(message.thread_id)
            page.append(message)
        threads = [_summary(call, message.thread_id) for message in page]
    answer: dict[str, Any] = {"resultSizeEstimate": len(page) + more}
    if threads:
        answer["threads"] = threads
    if more:
        answer["nextPageToken"] = list_token(page[-1])
    return answer


def _newest_of_threads(call: ApiCall) -> Iterator[Message]:
    """Matches whose thread was not on an earlier page: a thread stands where its newest match does."""
    if not call.text("pageToken"):
        yield from matching(call)
        return
    before = call.query.copy()
    before.pop("pageToken")
    first = ApiCall(call.gmail, call.method, call.path, before, call.body, call.media, call.mailbox)
    newest: dict[str, str] = {}
    for message in matching(first):
        newest.setdefault(message.thread_id, message.id)
    for message in matching(call):
        if newest.get(message.thread_id) == message.id:
            yield message


def _summary(call: ApiCall, thread_id: str) -> dict[str, Any]:
    messages = call.mailbox.thread(thread_id)
    newest_change = max(message.history_id for message in messages)
    return {"id": thread_id, "snippet": messages[-1].snippet, "historyId": str(newest_change)}


def _get(call: ApiCall) -> dict[str, Any]:
    form, wanted = call.text("format", "full"), call.query.getlist("metadataHeaders")
    with call.mailbox.lock:
        messages = call.mailbox.thread(call.path["id"])
        newest_change = max(message.history_id for message in messages)
        return {
            "id": call.path["id"],
            "historyId": str(newest_change),
            "messages": [message_json(message, form, wanted) for message in messages],
        }


def _modify(call: ApiCall) -> dict[str, Any]:
    add, remove = call.body.get("addLabelIds", []), call.body.get("removeLabelIds", [])
    with call.mailbox.changing():
        messages = call.mailbox.thread(call.path["id"])
        call.mailbox.verify_changeable(add, remove)
        return _moved(call, messages, add, remove)


def _moved(call: ApiCall, messages: list[Message], add: list[str], remove: list[str]) -> dict[str, Any]:
    call.mailbox.change_labels(messages, add, remove)
    return {"id": call.path["id"], "messages": [short_json(message) for message in messages]}


def _trash(call: ApiCall) -> dict[str, Any]:
    with call.mailbox.changing():
        return _moved(call, call.mailbox.thread(call.path["id"]), ["TRASH"], [])


def _untrash(call: ApiCall) -> dict[str, Any]:
    with call.mailbox.changing():
        return _moved(call, call.mailbox.thread(call.path["id"]), [], ["TRASH"])


def _delete(call: ApiCall) -> None:
    with call.mailbox.changing():
        for message in call.mailbox.thread(call.path["id"]):
            call.mailbox.delete(message.id)


HANDLERS: dict[str, Handler] = {
    "users.threads.list": _list,
    "users.threads.get": _get,
    "users.threads.modify": _modify,
    "users.threads.trash": _trash,
    "users.threads.untrash": _untrash,
    "users.threads.delete": _delete,
}
