"""Google's Pub/Sub: topics, push subscriptions with OIDC, retries, slow-down and dead letters, and pull subscriptions.

Owns topics and messages of a local stack. ``OfficialPubSub`` does the same by Google's emulator. May import no other
stand-in. Behaviour: https://cloud.google.com/pubsub/docs/push and …/docs/handling-failures.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import requests

from local.dispatch import NO_ANSWER, Loop, Mint, Workers, send_http, wait_until_idle
from local.ledger import Call
from local.pubsub_pull import PullSubscription

if TYPE_CHECKING:
    from local.clock import LocalClock
    from local.faults import Faults
    from local.ledger import Ledger

ACKNOWLEDGED = frozenset({102, 200, 201, 202, 204})
_KEPT_MESSAGES = 20_000
# https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_TOPIC_NAME = re.compile(r"projects/[^/]+/topics/(?!goog)[A-Za-z][\w.~+%-]{2,254}", re.ASCII)
_SUBSCRIPTION_NAME = re.compile(r"projects/[^/]+/subscriptions/(?!goog)[A-Za-z][\w.~+%-]{2,254}", re.ASCII)


@dataclass(frozen=True)
class PushSettings:
    """A push subscription: where to, in whose name, how long to wait, how to retry.

    ``slowdown_s`` is the first pause of the whole subscription after a nack; it doubles with each further one up to
    ``max_slowdown_s`` (Google: from 100 ms to 60 s). ``dead_letter_topic`` takes a message after
    ``max_delivery_attempts`` failures; without one it is tried for ever.
    """

    endpoint: str
    service_account: str = ""
    audience: str = ""
    ack_deadline_s: float = 10.0
    min_backoff_s: float = 10.0
    max_backoff_s: float = 600.0
    dead_letter_topic: str = ""
    max_delivery_attempts: int = 5
    slowdown_s: float = 0.1
    max_slowdown_s: float = 60.0
    max_outstanding: int = 100


@dataclass(frozen=True)
class PubSubMessage:
    message_id: str
    topic: str
    data: bytes
    attributes: Mapping[str, str]
    published_at: datetime


@dataclass
class _Delivery:
    message: PubSubMessage
    due: datetime
    failures: int = 0


@dataclass
class _Subscription:
    name: str
    topic: str
    settings: PushSettings
    waiting: list[_Delivery] = field(default_factory=list)
    outstanding: int = 0
    paused: bool = False
    nacks_in_a_row: int = 0
    slow_until: datetime | None = None

    def take_due(self, now: datetime) -> _Delivery | None:
        """The first delivery that may go now, counted as outstanding."""
        if self.paused or self.outstanding >= self.settings.max_outstanding:
            return None
        if self.slow_until is not None and now < self.slow_until:
            return None
        delivery = next((waiting for waiting in self.waiting if waiting.due <= now), None)
        if delivery is not None:
            self.waiting.remove(delivery)
            self.outstanding += 1
        return delivery


class PubSub:
    """The running service, called in process. Topics and subscriptions go by their full names (``projects/…``).

    The ledger has ``publish`` and ``push``. Faults: of ``publish`` with a status, the message is lost on its way (as
    Gmail's pushes may be); of ``push`` with a status, that counts as the endpoint's answer without calling it; with
    ``drop_answer`` the endpoint is called and its answer lost.
    """

    def __init__(self, clock: LocalClock, ledger: Ledger, faults: Faults, mint: Mint, *, max_workers: int = 32) -> None:
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._mint = mint
        self._lock = threading.RLock()
        self._topics: dict[str, deque[PubSubMessage]] = {}
        self._subscriptions: dict[str, _Subscription] = {}
        self._pulls: dict[str, PullSubscription] = {}
        self._grants: dict[str, dict[str, set[str]]] = {}
        self._next_id = 2_070_443_601_311_540
        self._workers = Workers("pubsub", max_workers)
        self._loop = Loop("pubsub", self._push_due)

    def create_topic(self, topic: str) -> None:
        """Makes the topic; an existing one stays as it is. Raises ValueError for a name that Google would refuse."""
        if not _TOPIC_NAME.fullmatch(topic):
            raise ValueError(f"{topic} is not the name of a topic")
        with self._lock:
            self._topics.setdefault(topic, deque(maxlen=_KEPT_MESSAGES))

    def has_topic(self, topic: str) -> bool:
        return topic in self._topics

    def create_push_subscription(self, name: str, topic: str, settings: PushSettings) -> None:
        """Makes or replaces the subscription. Raises KeyError for an unknown topic, ValueError for a bad name."""
        if not _SUBSCRIPTION_NAME.fullmatch(name):
            raise ValueError(f"{name} is not the name of a subscription")
        with self._lock:
            _ = self._topics[topic]
            if settings.dead_letter_topic:
                _ = self._topics[settings.dead_letter_topic]
            self._subscriptions[name] = _Subscription(name, topic, settings)

    def create_pull_subscription(self, name: str, topic: str, *, ack_deadline_s: int = 10) -> None:
        """Makes or replaces the subscription. Raises KeyError for an unknown topic, ValueError for a bad name."""
        if not _SUBSCRIPTION_NAME.fullmatch(name):
            raise ValueError(f"{name} is not the name of a subscription")
        with self._lock:
            _ = self._topics[topic]
            self._pulls[name] = PullSubscription(name, topic, ack_deadline_s)

    def describe(self, name: str) -> dict[str, Any]:
        """A subscription as Google's interface shows it. Raises KeyError for an unknown one."""
        with self._lock:
            if name in self._pulls:
                pulled = self._pulls[name]
                shown = {"name": name, "topic": pulled.topic, "state": "ACTIVE"}
                return {**shown, "ackDeadlineSeconds": pulled.ack_deadline_s}
            held = self._subscriptions[name]
        return {
            "name": name,
            "topic": held.topic,
            "ackDeadlineSeconds": int(held.settings.ack_deadline_s),
            "state": "ACTIVE",
            "pushConfig": {"pushEndpoint": held.settings.endpoint},
        }

    def pull(self, name: str, limit: int) -> list[tuple[str, PubSubMessage]]:
        """Leases messages of a pull subscription. Raises KeyError for an unknown one."""
        with self._lock:
            return self._pulls[name].pull(self._clock.now(), limit)

    def acknowledge(self, name: str, ack_ids: Iterable[str]) -> None:
        """Forgets leased messages. Raises KeyError for an unknown subscription."""
        with self._lock:
            self._pulls[name].acknowledge(ack_ids, self._clock.now())

    def modify_ack_deadline(self, name: str, ack_ids: Iterable[str], seconds: int) -> None:
        """Moves the end of leases; 0 gives the messages back. Raises KeyError for an unknown subscription."""
        with self._lock:
            self._pulls[name].modify(ack_ids, seconds, self._clock.now())

    def grants(self, topic: str) -> dict[str, set[str]]:
        """Who may do what with a topic, members by role. Raises KeyError for an unknown topic."""
        with self._lock:
            _ = self._topics[topic]
            return {role: set(members) for role, members in self._grants.get(topic, {}).items() if members}

    def grant(self, topic: str, role: str, member: str) -> None:
        """Gives a role on a topic."""
        with self._lock:
            self._grants.setdefault(topic, {}).setdefault(role, set()).add(member)

    def revoke(self, topic: str, role: str, member: str) -> None:
        """Takes a role on a topic away."""
        with self._lock:
            self._grants.get(topic, {}).get(role, set()).discard(member)

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publishes and returns the message's id. Raises KeyError for an unknown topic."""
        started_s = time.monotonic()
        fault = self._faults.take("pubsub", "publish")
        if fault is not None:
            time.sleep(fault.delay_s)
        is_lost = fault is not None and fault.status >= 400
        with self._lock:
            self._next_id += 1
            message = PubSubMessage(str(self._next_id), topic, data, dict(attributes or {}), self._clock.now())
            kept = self._topics[topic]
            if not is_lost:
                kept.append(message)
                for subscription in self._subscriptions.values():
                    if subscription.topic == topic:
                        subscription.waiting.append(_Delivery(message, message.published_at))
                for pulled in self._pulls.values():
                    if pulled.topic == topic:
                        pulled.add(message)
        self._record("publish", fault.status if fault is not None and is_lost else 200, started_s)
        self._loop.wake()
        return message.message_id

    def messages(self, topic: str) -> list[PubSubMessage]:
        """What was published to the topic, oldest first; of a dead-letter topic, the dead letters."""
        with self._lock:
            return list(self._topics[topic])

    def redeliver(self, message_id: str, times: int = 1) -> None:
        """Pushes a message again, as Pub/Sub may do at any time. Raises KeyError if it is unknown."""
        with self._lock:
            message = self._find(message_id)
            for subscription in self._subscriptions.values():
                if subscription.topic == message.topic:
                    now = self._clock.now()
                    subscription.waiting.extend(_Delivery(message, now) for _ in range(times))
        self._loop.wake()

    def pause(self, subscription: str) -> None:
        """Holds the subscription's messages back until ``resume``."""
        with self._lock:
            self._subscriptions[subscription].paused = True

    def resume(self, subscription: str, *, reverse: bool = False, one_at_a_time: bool = False) -> None:
        """Lets the held messages go; ``reverse``: the last first, as Pub/Sub keeps no order.

        ``one_at_a_time`` makes the order of sending also that of arrival, from then on.
        """
        with self._lock:
            held = self._subscriptions[subscription]
            if reverse:
                held.waiting.reverse()
            if one_at_a_time:
                held.settings = replace(held.settings, max_outstanding=1)
            held.paused = False
        self._loop.wake()

    def idle(self) -> bool:
        """Whether no message is under way or waits, also for a retry; what a paused subscription holds is left out."""
        with self._lock:
            return not any(
                subscription.outstanding or (subscription.waiting and not subscription.paused)
                for subscription in self._subscriptions.values()
            )

    def drain(self, timeout_s: float) -> None:
        """Waits until idle. Raises TimeoutError."""
        wait_until_idle(self.idle, timeout_s, self._what_is_left)

    def clear(self) -> None:
        """Forgets all messages; keeps topics and subscriptions."""
        with self._lock:
            for kept in self._topics.values():
                kept.clear()
            for subscription in self._subscriptions.values():
                subscription.waiting.clear()
                subscription.slow_until, subscription.nacks_in_a_row = None, 0
            for pulled in self._pulls.values():
                pulled.clear()

    def stop(self) -> None:
        self._loop.stop()
        self._workers.stop()

    def _find(self, message_id: str) -> PubSubMessage:
        for kept in self._topics.values():
            for message in kept:
                if message.message_id == message_id:
                    return message
        raise KeyError(message_id)

    def _what_is_left(self) -> str:
        with self._lock:
            left = {s.name: len(s.waiting) + s.outstanding for s in self._subscriptions.values()}
        return f"messages are left: {left}"

    def _push_due(self) -> bool:
        now = self._clock.now()
        with self._lock:
            for subscription in self._subscriptions.values():
                while delivery := subscription.take_due(now):
                    self._workers.submit(partial(self._push, subscription, delivery))
            return any(s.waiting and not s.paused for s in self._subscriptions.values())

    def _push(self, subscription: _Subscription, delivery: _Delivery) -> None:
        started_s = time.monotonic()
        status = self._call(subscription, delivery)
        with self._lock:
            subscription.outstanding -= 1
            if status in ACKNOWLEDGED:
                subscription.nacks_in_a_row = 0
            else:
                self._plan_retry(subscription, delivery)
        self._record("push", status, started_s)
        self._loop.wake()

    def _call(self, subscription: _Subscription, delivery: _Delivery) -> int:
        fault = self._faults.take("pubsub", "push")
        if fault is not None:
            time.sleep(fault.delay_s)
            if fault.status and not fault.drop_answer:
                return fault.status
        settings = subscription.settings
        headers = {"Content-Type": "application/json", "User-Agent": "CloudPubSub-Google", "From": "noreply@google.com"}
        if settings.service_account:
            token = self._mint(settings.service_account, settings.audience or settings.endpoint)
            headers["Authorization"] = f"Bearer {token}"
        body = json.dumps(_push_body(subscription, delivery)).encode()
        answer = send_http("POST", settings.endpoint, headers, body, settings.ack_deadline_s)
        return NO_ANSWER if fault is not None and fault.drop_answer else answer.status

    def _plan_retry(self, subscription: _Subscription, delivery: _Delivery) -> None:
        settings, now = subscription.settings, self._clock.now()
        pause_s = min(settings.slowdown_s * 2 ** min(subscription.nacks_in_a_row, 20), settings.max_slowdown_s)
        subscription.nacks_in_a_row += 1
        subscription.slow_until = now + timedelta(seconds=pause_s)
        delivery.failures += 1
        if settings.dead_letter_topic and delivery.failures >= settings.max_delivery_attempts:
            self.publish(settings.dead_letter_topic, delivery.message.data, _dead_letter(subscription, delivery))
            return
        backoff_s = min(settings.min_backoff_s * 2 ** min(delivery.failures - 1, 20), settings.max_backoff_s)
        delivery.due = now + timedelta(seconds=backoff_s)
        subscription.waiting.append(delivery)

    def _record(self, method: str, status: int, started_s: float) -> None:
        http_id = self._ledger.next_http_id()
        self._ledger.record(Call("pubsub", method, "", 1, status, started_s, time.monotonic(), http_id))


def _push_body(subscription: _Subscription, delivery: _Delivery) -> dict[str, Any]:
    """The wrapped message as Google posts it: both spellings of id and time; the attempt only with dead lettering."""
    message = delivery.message
    published = message.published_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    wrapped: dict[str, Any] = {
        "data": base64.b64encode(message.data).decode(),
        "messageId": message.message_id,
        "message_id": message.message_id,
        "publishTime": published,
        "publish_time": published,
    }
    if message.attributes:
        wrapped["attributes"] = dict(message.attributes)
    body: dict[str, Any] = {"message": wrapped, "subscription": subscription.name}
    if subscription.settings.dead_letter_topic:
        body["deliveryAttempt"] = delivery.failures + 1
    return body


def _dead_letter(subscription: _Subscription, delivery: _Delivery) -> dict[str, str]:
    """The attributes that Google adds to a dead letter."""
    _, project, _, name = subscription.name.split("/")
    return {
        **delivery.message.attributes,
        "CloudPubSubDeadLetterSourceDeliveryCount": str(delivery.failures),
        "CloudPubSubDeadLetterSourceSubscription": name,
        "CloudPubSubDeadLetterSourceSubscriptionProject": project,
        "CloudPubSubDeadLetterSourceTopicPublishTime": delivery.message.published_at.isoformat(),
    }


class OfficialPubSub:
    """The same on Google's own emulator, by REST. That one sends no OIDC token and takes 202 for a nack."""

    def __init__(self, host: str) -> None:
        self._url = f"http://{host}/v1"

    def create_topic(self, topic: str) -> None:
        """Makes the topic; an existing one stays as it is."""
        self._call("PUT", topic, {}, may_exist=True)

    def create_push_subscription(self, name: str, topic: str, settings: PushSettings) -> None:
        """Makes the subscription. Raises requests.HTTPError where the emulator refuses it."""
        body: dict[str, Any] = {
            "topic": topic,
            "pushConfig": {"pushEndpoint": settings.endpoint},
            "ackDeadlineSeconds": max(10, int(settings.ack_deadline_s)),
            "retryPolicy": {
                "minimumBackoff": f"{settings.min_backoff_s}s",
                "maximumBackoff": f"{settings.max_backoff_s}s",
            },
        }
        if settings.dead_letter_topic:
            body["deadLetterPolicy"] = {
                "deadLetterTopic": settings.dead_letter_topic,
                "maxDeliveryAttempts": settings.max_delivery_attempts,
            }
        self._call("PUT", name, body)

    def create_pull_subscription(self, name: str, topic: str, *, ack_deadline_s: int = 10) -> None:
        """Makes the subscription. Raises requests.HTTPError where the emulator refuses it."""
        self._call("PUT", name, {"topic": topic, "ackDeadlineSeconds": ack_deadline_s})

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publishes and returns the message's id. Raises requests.HTTPError for an unknown topic."""
        message = {"data": base64.b64encode(data).decode(), "attributes": dict(attributes or {})}
        answer = self._call("POST", f"{topic}:publish", {"messages": [message]})
        return str(answer["messageIds"][0])

    def _call(self, method: str, path: str, body: Mapping[str, Any], *, may_exist: bool = False) -> dict[str, Any]:
        with requests.Session() as session:
            session.trust_env = False
            response = session.request(method, f"{self._url}/{path}", json=body, timeout=10)
        if not (may_exist and response.status_code == 409):
            response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer
