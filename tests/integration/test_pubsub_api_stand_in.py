"""The Pub/Sub stand-in's REST interface, driven by Google's client: leases, acknowledgements, grants, refusals."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httplib2
import pytest
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from local.clock import LocalClock
from local.faults import Fault, Faults
from local.http import HttpServer
from local.ledger import Ledger
from local.pubsub import PubSub
from local.pubsub_api import PubSubApi

pytestmark = pytest.mark.integration

TOPIC = "projects/local-project/topics/dead"
PULLED = "projects/local-project/subscriptions/dead"


class Bench:
    """The stand-in with one topic and one pull subscription, and Google's client for it."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.ledger, self.faults = LocalClock(folder / "clock"), Ledger(), Faults()
        self.pubsub = PubSub(self.clock, self.ledger, self.faults, lambda email, audience: "")
        self.pubsub.create_topic(TOPIC)
        self.pubsub.create_pull_subscription(PULLED, TOPIC, ack_deadline_s=60)
        self.server = HttpServer(PubSubApi(self.pubsub, self.ledger, self.faults).app)
        options = {"api_endpoint": self.server.url}
        self.client = build("pubsub", "v1", http=httplib2.Http(timeout=10), client_options=options).projects()

    def publish(self, *texts: str) -> None:
        messages = [{"data": base64.b64encode(text.encode()).decode()} for text in texts]
        self.client.topics().publish(topic=TOPIC, body={"messages": messages}).execute()

    def pull(self, limit: int = 10) -> list[tuple[str, str]]:
        answer = self.client.subscriptions().pull(subscription=PULLED, body={"maxMessages": limit}).execute()
        found = answer.get("receivedMessages", [])
        return [(one["ackId"], base64.b64decode(one["message"]["data"]).decode()) for one in found]

    def acknowledge(self, *ack_ids: str) -> None:
        self.client.subscriptions().acknowledge(subscription=PULLED, body={"ackIds": list(ack_ids)}).execute()

    def close(self) -> None:
        self.server.stop()
        self.pubsub.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def refused(request: Any) -> int:
    with pytest.raises(HttpError) as raised:
        request.execute()
    return int(raised.value.resp.status)


def test_what_is_pulled_is_leased(bench: Bench) -> None:
    """Nobody else gets a message while its lease runs; when that is over it comes again."""
    bench.publish("one", "two")

    first = [text for _, text in bench.pull(1)]
    second = [text for _, text in bench.pull()]
    third = bench.pull()
    bench.clock.advance(61)

    assert (["one"], ["two"], []) == (first, second, third)
    assert ["one", "two"] == [text for _, text in bench.pull()]


def test_what_is_acknowledged_is_gone(bench: Bench) -> None:
    """An acknowledgement in time ends a message; one of a lease that is over does nothing."""
    bench.publish("one", "two")
    (kept, _), (done, _) = bench.pull()

    bench.acknowledge(done)
    bench.clock.advance(61)
    bench.acknowledge(kept)

    assert ["one"] == [text for _, text in bench.pull()]


def test_a_lease_can_be_given_back(bench: Bench) -> None:
    """A deadline of 0 seconds gives a message back at once."""
    bench.publish("one")
    ((ack_id, _),) = bench.pull()

    body = {"ackIds": [ack_id], "ackDeadlineSeconds": 0}
    bench.client.subscriptions().modifyAckDeadline(subscription=PULLED, body=body).execute()

    assert ["one"] == [text for _, text in bench.pull()]


def test_grants_are_shown(bench: Bench) -> None:
    """The policy of a topic names who may do what, and is empty where nobody may."""
    policy = bench.client.topics().getIamPolicy(resource=TOPIC)
    before = policy.execute()["bindings"]
    bench.pubsub.grant(TOPIC, "roles/pubsub.publisher", "user:a@b.example")

    assert [] == before
    assert [{"role": "roles/pubsub.publisher", "members": ["user:a@b.example"]}] == policy.execute()["bindings"]


def test_what_google_would_refuse_is_refused(bench: Bench) -> None:
    """Unknown names are 404; no messages, no ids and no limit are 400; faults are what they say."""
    client, unknown = bench.client, f"{PULLED}-unknown"
    answers = [
        refused(client.subscriptions().get(subscription=unknown)),
        refused(client.topics().get(topic=f"{TOPIC}-unknown")),
        refused(client.subscriptions().pull(subscription=PULLED, body={"maxMessages": 0})),
        refused(client.subscriptions().acknowledge(subscription=PULLED, body={"ackIds": []})),
        refused(client.topics().publish(topic=TOPIC, body={"messages": []})),
    ]
    bench.faults.inject(Fault("pubsub", "topics.getIamPolicy", status=403))

    assert [404, 404, 400, 400, 400] == answers
    assert 403 == refused(client.topics().getIamPolicy(resource=TOPIC))
    assert ["subscriptions.get", 404] == [getattr(bench.ledger.since()[0], name) for name in ("method", "status")]
