"""Pub/Sub, Cloud Tasks and Scheduler call a private function through the front, with tokens by Google's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcTransport
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from local.accounts import Accounts
from local.clock import LocalClock
from local.cloudscheduler import CloudScheduler
from local.cloudtasks import CloudTasks
from local.faults import Faults
from local.front import Front, Route
from local.http import HttpServer
from local.ledger import Ledger
from local.oauth import OAuthService, ServiceTokens
from local.pubsub import PubSub, PushSettings
from tests.integration.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

LOCATION = "projects/local-project/locations/europe-west1"
TOPIC = "projects/local-project/topics/gmail-push"
PUSH, TASKS, SCHEDULER = (f"{name}@local-project.iam.gserviceaccount.com" for name in ("push", "tasks", "scheduler"))


class Bench:
    """One private function behind the front, and everything that calls it."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.ledger, self.faults = LocalClock(folder / "clock"), Ledger(), Faults()
        self.oauth = OAuthService(self.clock, self.ledger, self.faults, Accounts(self.clock, "id", "secret", []))
        self.oauth_server = HttpServer(self.oauth.app)
        self.function = Endpoint()
        self.front = Front(self.clock, f"{self.oauth_server.url}/oauth2/v3/certs", folder / "requests.log")
        self.front.add(Route("magnet_ingest", [self.function.url], frozenset({PUSH, TASKS, SCHEDULER})))
        self.url = self.front.url_of("magnet_ingest")
        mint = ServiceTokens(self.clock, self.oauth.keys).mint
        self.pubsub = PubSub(self.clock, self.ledger, self.faults, mint)
        self.tasks = CloudTasks(self.clock, self.ledger, self.faults, mint)
        self.scheduler = CloudScheduler(self.clock, self.ledger, self.faults, mint)

    def push(self) -> None:
        self.pubsub.create_topic(TOPIC)
        settings = PushSettings(self.url, service_account=PUSH, audience=self.url)
        self.pubsub.create_push_subscription("projects/local-project/subscriptions/push", TOPIC, settings)
        self.pubsub.publish(TOPIC, b"{}")
        self.pubsub.drain(5)

    def enqueue(self) -> None:
        target = {"url": f"{self.url}/users/anna", "oidc_token": {"service_account_email": TASKS, "audience": self.url}}
        with grpc.insecure_channel(self.tasks.address) as channel:
            client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
            queue = f"{LOCATION}/queues/ingest"
            client.create_queue(request={"parent": LOCATION, "queue": {"name": queue}})
            client.create_task(request={"parent": queue, "task": {"http_request": target}})
        self.tasks.drain(5)

    def schedule(self) -> None:
        oidc = {"service_account_email": SCHEDULER, "audience": self.url}
        job = {
            "name": f"{LOCATION}/jobs/renew",
            "schedule": "0 3 * * *",
            "http_target": {"uri": f"{self.url}/renew", "oidc_token": oidc},
        }
        with grpc.insecure_channel(self.scheduler.address) as channel:
            client = scheduler_v1.CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))
            client.create_job(request={"parent": LOCATION, "job": job})
        self.clock.advance(86_400)
        self.scheduler.drain(5)

    def close(self) -> None:
        for part in (self.pubsub, self.tasks, self.scheduler, self.front, self.function, self.oauth_server):
            part.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def _caller(bench: Bench) -> dict[str, Any]:
    """What the function can read of the one token that it was sent."""
    (received,) = bench.function.received
    token = received.headers["authorization"].removeprefix("Bearer ")
    assert token.endswith(".SIGNATURE_REMOVED_BY_GOOGLE")
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


@pytest.mark.parametrize(
    ("call", "path", "email"),
    [(Bench.push, "/", PUSH), (Bench.enqueue, "/users/anna", TASKS), (Bench.schedule, "/renew", SCHEDULER)],
)
def test_each_service_reaches_the_private_function(bench: Bench, call: Any, path: str, email: str) -> None:
    """The call arrives at its route with the caller's claims, and with the signature taken off."""
    call(bench)

    claims = _caller(bench)
    assert path == bench.function.received[0].path
    assert {
        "iss": "https://accounts.google.com",
        "aud": bench.url,
        "email": email,
        "email_verified": True,
    }.items() <= claims.items()


def test_rotated_keys_reach_the_front(bench: Bench) -> None:
    """After Google's keys have been rotated the calls still pass."""
    bench.push()
    bench.oauth.rotate_keys()
    bench.pubsub.publish(TOPIC, b"again")
    bench.pubsub.drain(10)

    assert 2 == len(bench.function.received)
