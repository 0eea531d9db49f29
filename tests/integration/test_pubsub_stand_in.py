"""The Pub/Sub stand-in: pushes as Google posts them, acknowledgements, retries, slow-down, dead letters."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests

from local.clock import LocalClock
from local.dispatch import wait_until_idle
from local.emulators import PubsubEmulator, pubsub_missing
from local.faults import Fault, Faults
from local.ledger import Ledger
from local.pubsub import OfficialPubSub, PubSub, PushSettings
from tests.integration.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

TOPIC = "projects/local-project/topics/gmail-push"
DEAD = "projects/local-project/topics/gmail-push-dead"
SUBSCRIPTION = "projects/local-project/subscriptions/gmail-push"


class Bench:
    """The stand-in with one topic, a push endpoint, and what the tests turn."""

    def __init__(self, folder: Path) -> None:
        self.ledger, self.faults = Ledger(), Faults()
        self.clock = LocalClock(folder / "clock")
        self.endpoint = Endpoint()
        self.pubsub = PubSub(self.clock, self.ledger, self.faults, lambda email, audience: f"{email}|{audience}")
        self.pubsub.create_topic(TOPIC)
        self.pubsub.create_topic(DEAD)
        self.settings = PushSettings(
            self.endpoint.url + "/",
            service_account="push@x.iam",
            audience="https://ingest.example",
            min_backoff_s=0.02,
            max_backoff_s=0.08,
            slowdown_s=0.001,
        )
        self.subscribe()

    def subscribe(self, **changes: Any) -> None:
        self.pubsub.create_push_subscription(SUBSCRIPTION, TOPIC, replace(self.settings, **changes))

    def pushed(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.endpoint.bodies()]

    def pushed_data(self) -> list[bytes]:
        return [base64.b64decode(body["message"]["data"]) for body in self.pushed()]

    def pushes(self) -> list[int]:
        return [call.status for call in self.ledger.since(service="pubsub") if call.method == "push"]

    def close(self) -> None:
        self.pubsub.stop()
        self.endpoint.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_push_is_wrapped_as_googles(bench: Bench) -> None:
    """The body holds data in base64, id and time in both spellings, and the subscription's full name."""
    message_id = bench.pubsub.publish(TOPIC, b'{"emailAddress":"a@b.example","historyId":"7"}')
    bench.pubsub.drain(5)

    (body,) = bench.pushed()
    message = body["message"]
    assert {"data", "messageId", "message_id", "publishTime", "publish_time"} == message.keys()
    assert b'{"emailAddress":"a@b.example","historyId":"7"}' == base64.b64decode(message["data"])
    assert message_id == message["messageId"] == message["message_id"]
    assert message["publishTime"] == message["publish_time"]
    assert datetime.fromisoformat(message["publishTime"]).utcoffset() is not None
    assert {"message", "subscription"} == body.keys()
    assert SUBSCRIPTION == body["subscription"]


def test_push_carries_the_token(bench: Bench) -> None:
    """The request is a JSON POST with the service account's token for the audience."""
    bench.pubsub.publish(TOPIC, b"x")
    bench.pubsub.drain(5)

    (received,) = bench.endpoint.received
    assert "POST" == received.method
    assert "application/json" == received.headers["content-type"]
    assert "Bearer push@x.iam|https://ingest.example" == received.headers["authorization"]


def test_attributes_are_passed_on(bench: Bench) -> None:
    """Attributes arrive as they were published."""
    bench.pubsub.publish(TOPIC, b"x", {"kind": "test"})
    bench.pubsub.drain(5)

    assert {"kind": "test"} == bench.pushed()[0]["message"]["attributes"]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_acknowledgements(bench: Bench, status: int) -> None:
    """200, 201, 202 and 204 acknowledge: the message is not sent again."""
    bench.endpoint.answers.append(status)
    bench.pubsub.publish(TOPIC, b"x")
    bench.pubsub.drain(5)

    assert [status] == bench.pushes()


@pytest.mark.parametrize("status", [203, 206, 302, 400, 401, 404, 429, 500, 503])
def test_everything_else_is_a_nack(bench: Bench, status: int) -> None:
    """Any other answer, also another 2xx, makes the message come again."""
    bench.endpoint.answers.append(status)
    bench.pubsub.publish(TOPIC, b"x")
    bench.pubsub.drain(5)

    assert [status, 204] == bench.pushes()


def test_missed_ack_deadline_is_a_nack(bench: Bench) -> None:
    """An answer after the ack deadline comes too late: the message is sent again."""
    bench.subscribe(ack_deadline_s=0.1)
    bench.endpoint.slow_s = 0.3
    bench.pubsub.publish(TOPIC, b"x")
    wait_until_idle(lambda: len(bench.pushes()) >= 1, 5, lambda: "no push")
    bench.endpoint.slow_s = 0.0
    bench.pubsub.drain(5)

    statuses = bench.pushes()
    assert (0, 204) == (statuses[0], statuses[-1])


def test_retries_back_off(bench: Bench) -> None:
    """The waits between deliveries double from the smallest up to the largest backoff."""
    bench.endpoint.answers.extend([503] * 4)
    bench.pubsub.publish(TOPIC, b"x")
    bench.pubsub.drain(5)

    times = [received.at_s for received in bench.endpoint.received]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert all(wait >= planned for wait, planned in zip(waits, [0.02, 0.04, 0.08, 0.08], strict=True))


def test_backoff_follows_the_stacks_clock(bench: Bench) -> None:
    """A backoff of ten minutes is over as soon as the clock has been moved on."""
    bench.subscribe(min_backoff_s=600.0, max_backoff_s=600.0)
    bench.endpoint.answers.append(503)
    bench.pubsub.publish(TOPIC, b"x")
    wait_until_idle(lambda: bench.pushes() == [503], 5, lambda: "no push")
    with pytest.raises(TimeoutError):
        bench.pubsub.drain(0.05)

    bench.clock.advance(601)
    bench.pubsub.drain(5)
    assert [503, 204] == bench.pushes()


def test_nack_slows_the_whole_subscription(bench: Bench) -> None:
    """After a nack other messages of the subscription wait too."""
    bench.subscribe(slowdown_s=0.15)
    bench.endpoint.answers.append(503)
    bench.pubsub.publish(TOPIC, b"poison")
    wait_until_idle(lambda: bench.pushes() == [503], 5, lambda: "no push")
    bench.pubsub.publish(TOPIC, b"innocent")
    bench.pubsub.drain(5)

    innocent_at_s = bench.endpoint.received[bench.pushed_data().index(b"innocent")].at_s
    assert innocent_at_s - bench.endpoint.received[0].at_s >= 0.15


def test_acknowledged_messages_are_not_slowed(bench: Bench) -> None:
    """Without nacks twenty messages take no pauses: a slow-down of a second would show."""
    bench.subscribe(slowdown_s=1.0)
    for number in range(20):
        bench.pubsub.publish(TOPIC, str(number).encode())
    bench.pubsub.drain(0.9)

    assert {str(number).encode() for number in range(20)} == set(bench.pushed_data())


def test_dead_letters(bench: Bench) -> None:
    """After the last delivery attempt the message goes to the dead-letter topic, with where it came from."""
    bench.subscribe(dead_letter_topic=DEAD, max_delivery_attempts=5)
    bench.endpoint.answers.extend([500] * 20)
    bench.pubsub.publish(TOPIC, b"poison", {"kind": "test"})
    bench.pubsub.drain(5)

    assert [1, 2, 3, 4, 5] == [body["deliveryAttempt"] for body in bench.pushed()]
    (dead,) = bench.pubsub.messages(DEAD)
    assert (b"poison", "test", "5", "gmail-push") == (
        dead.data,
        dead.attributes["kind"],
        dead.attributes["CloudPubSubDeadLetterSourceDeliveryCount"],
        dead.attributes["CloudPubSubDeadLetterSourceSubscription"],
    )


def test_redelivery(bench: Bench) -> None:
    """A message can be delivered again, as Pub/Sub promises only at least once: the same id, several times."""
    message_id = bench.pubsub.publish(TOPIC, b"x")
    bench.pubsub.drain(5)
    bench.pubsub.redeliver(message_id, times=2)
    bench.pubsub.drain(5)

    assert [message_id] * 3 == [body["message"]["messageId"] for body in bench.pushed()]


def test_reordering(bench: Bench) -> None:
    """Held messages can be let go last first."""
    bench.pubsub.pause(SUBSCRIPTION)
    for data in (b"1", b"2", b"3"):
        bench.pubsub.publish(TOPIC, data)
    bench.pubsub.drain(5)
    assert [] == bench.endpoint.received

    bench.pubsub.resume(SUBSCRIPTION, reverse=True, one_at_a_time=True)
    bench.pubsub.drain(5)
    assert [b"3", b"2", b"1"] == bench.pushed_data()


def test_lost_push(bench: Bench) -> None:
    """A fault of publish loses the message: the publisher notices nothing, nobody gets it."""
    bench.faults.inject(Fault("pubsub", "publish", status=503))
    bench.pubsub.publish(TOPIC, b"lost")
    bench.pubsub.publish(TOPIC, b"found")
    bench.pubsub.drain(5)

    assert [b"found"] == bench.pushed_data()
    assert [503, 200] == [call.status for call in bench.ledger.since() if call.method == "publish"]


@pytest.mark.parametrize(
    ("fault", "calls"), [(Fault("pubsub", "push", status=503), 1), (Fault("pubsub", "push", drop_answer=True), 2)]
)
def test_faults_of_push(bench: Bench, fault: Fault, calls: int) -> None:
    """A faulty push is repeated: with a status the endpoint was not called, with a dropped answer it was."""
    bench.faults.inject(replace(fault))
    bench.pubsub.publish(TOPIC, b"x")
    bench.pubsub.drain(5)

    assert calls == len(bench.endpoint.received)


def test_unknown_topics_are_refused(bench: Bench) -> None:
    """Publishing to, or subscribing to, a topic that does not exist raises KeyError."""
    with pytest.raises(KeyError):
        bench.pubsub.publish("projects/local-project/topics/other", b"x")
    with pytest.raises(KeyError):
        bench.pubsub.create_push_subscription(SUBSCRIPTION, "projects/local-project/topics/other", bench.settings)
    with pytest.raises(KeyError):
        bench.subscribe(dead_letter_topic="projects/local-project/topics/other")


def test_clear_keeps_the_subscription(bench: Bench) -> None:
    """After clear no message is left to come, and new ones are pushed as before."""
    bench.pubsub.pause(SUBSCRIPTION)
    bench.pubsub.publish(TOPIC, b"before")
    bench.pubsub.clear()
    bench.pubsub.resume(SUBSCRIPTION)
    bench.pubsub.publish(TOPIC, b"after")
    bench.pubsub.drain(5)

    assert [b"after"] == bench.pushed_data()
    assert [b"after"] == [message.data for message in bench.pubsub.messages(TOPIC)]


@pytest.fixture(scope="module")
def emulator() -> Iterator[OfficialPubSub]:
    if missing := pubsub_missing():
        pytest.skip(f"the official Pub/Sub emulator is missing: {missing}")
    with PubsubEmulator() as running:
        yield OfficialPubSub(running.address)


def _without_times(body: dict[str, Any]) -> dict[str, Any]:
    changing = {"messageId", "message_id", "publishTime", "publish_time"}
    return {**body, "message": {name: "" if name in changing else value for name, value in body["message"].items()}}


@pytest.mark.emulator
def test_official_emulator_pushes_the_same(bench: Bench, emulator: OfficialPubSub) -> None:
    """Google's emulator posts the same body as the stand-in, repeats it after a nack, and takes 204 for an answer."""
    emulator.create_topic(TOPIC)
    emulator.create_topic(TOPIC)
    emulator.create_push_subscription(SUBSCRIPTION, TOPIC, bench.settings)
    bench.endpoint.answers.append(503)
    emulator.publish(TOPIC, b'{"historyId":"7"}', {"kind": "test"})
    wait_until_idle(lambda: len(bench.endpoint.received) == 2, 20, lambda: "the emulator does not push")
    official = bench.pushed()

    bench.pubsub.publish(TOPIC, b'{"historyId":"7"}', {"kind": "test"})
    bench.pubsub.drain(5)
    own = bench.pushed()[-1]
    assert official[0] == official[1]
    assert _without_times(official[0]) == _without_times(own)
    assert len(official[0]["message"]["publishTime"]) == len(own["message"]["publishTime"])


@pytest.mark.parametrize(
    "name", ["projects/local-project/topics/ab", "projects/local-project/topics/1abc", "gmail-push"]
)
@pytest.mark.emulator
def test_official_emulator_refuses_the_same_names(bench: Bench, emulator: OfficialPubSub, name: str) -> None:
    """A topic's id has 3 to 255 characters and begins with a letter: the stand-in and Google's emulator agree."""
    with pytest.raises(requests.HTTPError):
        emulator.create_topic(name)
    with pytest.raises(ValueError, match="not the name of a topic"):
        bench.pubsub.create_topic(name)
