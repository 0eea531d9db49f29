"""The API's handlers for what is a mailbox's as a whole: profile, labels, history, watch, send-as addresses."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from operator import attrgetter
from typing import Any

from local.gmail.call import ApiCall, Handler
from local.gmail.errors import invalid_argument, not_found
from local.gmail.history import KIND_OF_TYPE, Kind, Record, record_json
from local.gmail.payload import encode
from local.gmail.resources import decode_token

_MAX_UINT64 = 2**64 - 1


def _profile(call: ApiCall) -> dict[str, Any]:
    mailbox = call.mailbox
    with mailbox.lock:
        return {
            "emailAddress": mailbox.address,
            "messagesTotal": len(mailbox.messages),
            "threadsTotal": len(mailbox.threads),
            "historyId": str(mailbox.history.current_id),
        }


def _list_labels(call: ApiCall) -> dict[str, Any]:
    with call.mailbox.lock:
        return {"labels": call.mailbox.labels.as_json()}


def _get_label(call: ApiCall) -> dict[str, Any]:
    with call.mailbox.lock:
        return call.mailbox.labels.one(call.path["id"]) | call.mailbox.counts(call.path["id"])


def _create_label(call: ApiCall) -> dict[str, Any]:
    with call.mailbox.changing():
        return call.mailbox.labels.create(call.body).as_json()


def _change_label(call: ApiCall) -> dict[str, Any]:
    if call.method.name == "users.labels.update" and not call.body.get("name"):
        raise invalid_argument("Invalid label name")
    with call.mailbox.changing():
        return call.mailbox.labels.change(call.path["id"], call.body).as_json()


def _delete_label(call: ApiCall) -> None:
    call.mailbox.delete_label(call.path["id"])


def _list_history(call: ApiCall) -> dict[str, Any]:
    start = call.text("startHistoryId")
    if not start or int(start) > _MAX_UINT64:
        raise invalid_argument("Missing or invalid startHistoryId")
    after = _parse_history_token(call.text("pageToken")) or int(start)
    kinds = {KIND_OF_TYPE[name] for name in call.query.getlist("historyTypes")} or set(KIND_OF_TYPE.values())
    size = call.page_size()
    with call.mailbox.lock:
        call.mailbox.labels.verify_known(filter(None, [call.text("labelId")]))
        since = call.mailbox.history.since(after, call.gmail.now().timestamp())
        records = [record for record in since if _wanted(record, kinds, call.text("labelId"))]
        answer: dict[str, Any] = {"historyId": str(call.mailbox.history.current_id)}
    grouped = [
        list(group) for _, group in groupby(records, key=attrgetter("step" if call.gmail.joined_history else "id"))
    ]
    if grouped:
        answer["history"] = [record_json(group) for group in grouped[:size]]
    if len(grouped) > size:
        answer["nextPageToken"] = encode(f"h:{grouped[size - 1][-1].id}".encode()).rstrip("=")
    return answer


def _wanted(record: Record, kinds: Collection[Kind], label_id: str) -> bool:
    return record.kind in kinds and (not label_id or label_id in record.concerns())


def _parse_history_token(token: str) -> int | None:
    if not token:
        return None
    prefix, _, number = decode_token(token).partition(":")
    if prefix != "h" or not number.isdecimal():
        raise invalid_argument("Invalid pageToken")
    return int(number)


def _watch(call: ApiCall) -> dict[str, Any]:
    return dict(call.gmail.watches.start(call.mailbox, call.body))


def _stop(call: ApiCall) -> None:
    call.gmail.watches.stop(call.mailbox)


def _list_send_as(call: ApiCall) -> dict[str, Any]:
    with call.mailbox.lock:
        return {"sendAs": [alias.as_json() for alias in call.mailbox.aliases]}


def _get_send_as(call: ApiCall) -> dict[str, Any]:
    with call.mailbox.lock:
        for alias in call.mailbox.aliases:
            if alias.address.lower() == call.path["sendAsEmail"].lower():
                return alias.as_json()
    raise not_found()


HANDLERS: dict[str, Handler] = {
    "users.getProfile": _profile,
    "users.labels.list": _list_labels,
    "users.labels.get": _get_label,
    "users.labels.create": _create_label,
    "users.labels.update": _change_label,
    "users.labels.patch": _change_label,
    "users.labels.delete": _delete_label,
    "users.history.list": _list_history,
    "users.watch": _watch,
    "users.stop": _stop,
    "users.settings.sendAs.list": _list_send_as,
    "users.settings.sendAs.get": _get_send_as,
}
