"""Pub/Sub's REST interface, as far as administrators use it: topics, subscriptions, pull, acknowledge, publish.

Owns the wire; the messages are ``local.pubsub``'s. Shapes and limits:
https://cloud.google.com/pubsub/docs/reference/rest.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, request

from local.ledger import Call
from local.pubsub import PubSub, PubSubMessage

if TYPE_CHECKING:
    from local.faults import Faults
    from local.ledger import Ledger

_MOST_PULLED = 1000
_LONGEST_DEADLINE_S = 600
_STATUS = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class PubSubApi:
    """``app`` is the WSGI side. The ledger has each call by its method's name, with faults as of Google's."""

    def __init__(self, pubsub: PubSub, ledger: Ledger, faults: Faults) -> None:
        self._pubsub = pubsub
        self._ledger = ledger
        self._faults = faults
        self.app = Flask("local.pubsub_api")
        for path, method, name, work in self._routes():
            self.app.add_url_rule(path, name, self._view(name, work), methods=[method])

    def _routes(self) -> list[tuple[str, str, str, Callable[[str], Any]]]:
        topic, subscription = "/v1/projects/<project>/topics/<name>", "/v1/projects/<project>/subscriptions/<name>"
        return [
            (topic, "GET", "topics.get", self._get_topic),
            (f"{topic}:getIamPolicy", "GET", "topics.getIamPolicy", self._get_policy),
            (f"{topic}:publish", "POST", "topics.publish", self._publish),
            (subscription, "GET", "subscriptions.get", self._get_subscription),
            (f"{subscription}:pull", "POST", "subscriptions.pull", self._pull),
            (f"{subscription}:acknowledge", "POST", "subscriptions.acknowledge", self._acknowledge),
            (f"{subscription}:modifyAckDeadline", "POST", "subscriptions.modifyAckDeadline", self._modify),
        ]

    def _view(self, name: str, work: Callable[[str], Any]) -> Callable[..., Response]:
        kind = name.partition(".")[0]

        def view(project: str, **parts: str) -> Response:
            started_s, http_id = time.monotonic(), self._ledger.next_http_id()
            answer = self._answer(name, lambda: work(f"projects/{project}/{kind}/{parts['name']}"))
            status = answer.status_code
            self._ledger.record(Call("pubsub", name, "", 1, status, started_s, time.monotonic(), http_id))
            return answer

        return view

    def _answer(self, name: str, work: Callable[[], Any]) -> Response:
        fault = self._faults.take("pubsub", name)
        if fault is not None and fault.status:
            return _refusal(fault.status, fault.message or "injected fault")
        try:
            return jsonify(work())
        except _Refused as refused:
            return _refusal(refused.status, refused.message)
        except KeyError:
            return _refusal(404, "Resource not found.")

    def _get_topic(self, topic: str) -> dict[str, Any]:
        if not self._pubsub.has_topic(topic):
            raise KeyError(topic)
        return {"name": topic}

    def _get_policy(self, topic: str) -> dict[str, Any]:
        grants = self._pubsub.grants(topic)
        return {"etag": "BwY=", "bindings": [{"role": role, "members": sorted(who)} for role, who in grants.items()]}

    def _publish(self, topic: str) -> dict[str, Any]:
        messages = _field("messages", list)
        if not messages:
            raise _Refused(400, "The value for message_count is too small.")
        ids = []
        for message in messages:
            try:
                data = base64.b64decode(message.get("data", ""), validate=True)
            except binascii.Error:
                raise _Refused(400, "Invalid value at 'messages.data'.") from None
            if not data and not message.get("attributes"):
                raise _Refused(400, "Some messages in the publish request are empty.")
            ids.append(self._pubsub.publish(topic, data, message.get("attributes")))
        return {"messageIds": ids}

    def _get_subscription(self, name: str) -> dict[str, Any]:
        return self._pubsub.describe(name)

    def _pull(self, name: str) -> dict[str, Any]:
        limit = _field("maxMessages", int)
        if limit < 1:
            raise _Refused(400, "The value for max_messages is too small.")
        found = self._pubsub.pull(name, min(limit, _MOST_PULLED))
        # An empty answer has no field at all.
        return {"receivedMessages": [_received(ack_id, one) for ack_id, one in found]} if found else {}

    def _acknowledge(self, name: str) -> dict[str, Any]:
        self._pubsub.acknowledge(name, _ack_ids())
        return {}

    def _modify(self, name: str) -> dict[str, Any]:
        seconds = _field("ackDeadlineSeconds", int)
        if not 0 <= seconds <= _LONGEST_DEADLINE_S:
            raise _Refused(400, "The ack deadline must be between 0 and 600 seconds.")
        self._pubsub.modify_ack_deadline(name, _ack_ids(), seconds)
        return {}


def _refusal(status: int, message: str) -> Response:
    error = {"code": status, "message": message, "status": _STATUS.get(status, "UNKNOWN")}
    answer = jsonify({"error": error})
    answer.status_code = status
    return answer


def _received(ack_id: str, message: PubSubMessage) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "data": base64.b64encode(message.data).decode(),
        "messageId": message.message_id,
        "publishTime": message.published_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if message.attributes:
        shown["attributes"] = dict(message.attributes)
    return {"ackId": ack_id, "message": shown}


def _ack_ids() -> list[str]:
    ids = [str(one) for one in _field("ackIds", list)]
    if not ids:
        raise _Refused(400, "No ack ids specified.")
    return ids


def _field(name: str, kind: type[Any]) -> Any:
    body = request.get_json(silent=True)
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, kind):
        raise _Refused(400, f"{name} is missing or of another type.")
    return value
