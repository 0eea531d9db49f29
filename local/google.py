"""All of Google that the product uses, on one machine: the stand-ins started together, wired, and emptied together.

Owns their lives. Knows no function and no CRM; may import every stand-in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import grpc
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcTransport
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from local import environment
from local.accounts import Accounts
from local.clock import LocalClock
from local.cloudscheduler import CloudScheduler
from local.cloudtasks import CloudTasks
from local.emulators import FirestoreEmulator, PubsubEmulator
from local.faults import Faults
from local.firestore import FirestoreServer, IndexList
from local.firestore_admin import FirestoreAdmin
from local.gmail import GmailService
from local.http import HttpServer
from local.ledger import Ledger
from local.oauth import OAuthService, ServiceTokens
from local.pubsub import OfficialPubSub, PubSub, PushSettings
from local.pubsub_api import PubSubApi
from local.push_relay import PushRelay
from local.risc_api import RiscApi
from local.secretmanager import SecretManager

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Kind = Literal["embedded", "official"]
S = TypeVar("S", bound="_Stoppable")

_INDEXES = Path(__file__).resolve().parent.parent / "common" / "store" / "indexes.json"
# Cloud Tasks and Pub/Sub hand on to each other, and are looked at one by one: what is quiet at two looks, with nobody's
# call between them, has settled. Whatever is under way shows in one of them until its own calls have been answered.
_QUIET_LOOKS = 2
_LOOK_EVERY_S = 0.003
_QUOTA_WINDOW_S = 61


class _Stoppable(Protocol):
    def stop(self) -> None: ...


class Google:
    """Every stand-in, running. ``accounts`` and ``gmail`` are new objects after each ``reset``."""

    def __init__(
        self, directory: Path, *, firestore: Kind = "embedded", pubsub: Kind = "embedded", automatic_jobs: bool = False
    ) -> None:
        self.clock = LocalClock(directory / "clock-offset")
        self.ledger = Ledger()
        self.faults = Faults()
        self._stops: list[Callable[[], None]] = []
        self._published: set[str] = set()
        self._relay: PushRelay | None = None
        self._redirect_uri = ""
        self.accounts = self._new_accounts()
        self.oauth = OAuthService(self.clock, self.ledger, self.faults, self.accounts)
        self.tokens = ServiceTokens(self.clock, self.oauth.keys)
        self.oauth_server = self._serve(self.oauth.app)
        self.firestore = self._start_firestore(firestore)
        self.pubsub = self._start_pubsub(pubsub)
        self.gmail = self._new_gmail()
        self.gmail_server = self._serve(lambda environ, start_response: self.gmail.app(environ, start_response))
        self.tasks = self._keep(CloudTasks(self.clock, self.ledger, self.faults, self.tokens.mint, slowdown_s=0.2))
        self.scheduler = self._keep(
            CloudScheduler(self.clock, self.ledger, self.faults, self.tokens.mint, automatic=automatic_jobs)
        )
        self.secrets = self._keep(SecretManager(self.clock, self.ledger, self.faults, project=environment.PROJECT))
        self.firestore_admin = self._keep(FirestoreAdmin(_INDEXES, self.ledger, self.faults))
        self.risc = RiscApi(self.clock, self.ledger, self.faults, environment.ADMINISTRATOR, self._verification)
        self.risc_server = self._serve(self.risc.app)

    def set_up(self, addresses: environment.Addresses) -> None:
        """Makes what Terraform makes: the OAuth client's redirect URI, topic, subscription, queues and jobs."""
        self._redirect_uri = addresses.redirect_uri
        self._renew_people()
        self._make_subscription(addresses.function("magnet_ingest"))
        _make_queues(self.tasks.address)
        _make_jobs(self.scheduler.address, addresses)

    def run_job(self, name: str) -> None:
        """Fires a scheduler job now, by Google's own client, and waits until its target has answered."""
        with grpc.insecure_channel(self.scheduler.address) as channel:
            client = scheduler_v1.CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))
            client.run_job(name=f"{environment.LOCATION}/jobs/{name}")
        self.scheduler.drain(60)

    def settle(self, timeout_s: float = 30.0) -> None:
        """Waits until nothing is under way: no push, no task that is due. Raises TimeoutError."""
        give_up_s = time.monotonic() + timeout_s
        looks, calls = 0, -1
        while looks < _QUIET_LOOKS:
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"not settled: {[task.http_request.url for task in self.tasks.pending()]}")
            time.sleep(_LOOK_EVERY_S)
            before, calls = calls, self.ledger.mark()
            looks = looks + 1 if self._is_quiet() and calls == before else 0

    def reset(self) -> None:
        """Empties everything: mailboxes, accounts, documents, secrets, tasks, messages, faults. The clock goes on by a
        minute, so that nobody's quota of the minute before is missing."""
        self.clock.advance(_QUOTA_WINDOW_S)
        self.faults.clear()
        self.tasks.clear()
        if isinstance(self.pubsub, PubSub):
            self.pubsub.clear()
        if isinstance(self.firestore, FirestoreServer):
            self.firestore.clear()
        else:
            self.firestore.reset(environment.PROJECT)
        self.secrets.clear()
        self.risc.stream.clear()
        self._renew_people()

    def add_account(self, address: str, name: str) -> None:
        """A Google account with an empty mailbox; one that exists stays as it is."""
        if self.accounts.find(address) is None:
            self.accounts.add(address, name)
            self.gmail.add_mailbox(address, name=name)

    def stop(self) -> None:
        """Stops everything, the last started first. Doing it twice does nothing."""
        while self._stops:
            self._stops.pop()()

    def _serve(self, app: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]) -> HttpServer:
        return self._keep(HttpServer(app))

    def _keep(self, service: S) -> S:
        self._stops.append(service.stop)
        return service

    def _start_firestore(self, kind: Kind) -> FirestoreServer | FirestoreEmulator:
        if kind == "official":
            return self._keep(FirestoreEmulator())
        return self._keep(FirestoreServer(self.clock, self.ledger, self.faults, IndexList.load(_INDEXES)))

    def _start_pubsub(self, kind: Kind) -> PubSub | OfficialPubSub:
        if kind == "official":
            emulator = self._keep(PubsubEmulator())
            self._relay = self._keep(PushRelay(self.tokens.mint))
            self.pubsub_url = f"http://{emulator.address}"
            return OfficialPubSub(emulator.address)
        embedded = self._keep(PubSub(self.clock, self.ledger, self.faults, self.tokens.mint))
        self.pubsub_url = self._serve(PubSubApi(embedded, self.ledger, self.faults).app).url
        return embedded

    def _make_subscription(self, endpoint: str) -> None:
        for topic in (environment.TOPIC, environment.DEAD_LETTERS):
            self.pubsub.create_topic(topic)
        settings = PushSettings(
            endpoint=endpoint,
            service_account=environment.PUSH,
            audience=endpoint,
            ack_deadline_s=60,
            min_backoff_s=1,
            max_backoff_s=60,
            dead_letter_topic=environment.DEAD_LETTERS,
        )
        if self._relay is not None:
            settings = self._relay.relayed(settings)
        self.pubsub.create_push_subscription(environment.SUBSCRIPTION, environment.TOPIC, settings)
        self.pubsub.create_pull_subscription(environment.DEAD_SUBSCRIPTION, environment.DEAD_LETTERS, ack_deadline_s=60)
        if isinstance(self.pubsub, PubSub):
            self.pubsub.grant(environment.TOPIC, "roles/pubsub.publisher", environment.GMAIL_PUSH)

    def _renew_people(self) -> None:
        self.accounts = self.oauth.accounts = self._new_accounts()
        self.gmail = self._new_gmail()

    def _new_accounts(self) -> Accounts:
        return Accounts(self.clock, environment.CLIENT_ID, environment.CLIENT_SECRET, [self._redirect_uri])

    def _new_gmail(self) -> GmailService:
        return GmailService(self.clock, self.ledger, self.faults, self.accounts, self._publish)

    def _publish(self, topic: str, data: bytes) -> None:
        message_id = self.pubsub.publish(topic, data)
        if self._relay is not None:
            self._published.add(message_id)

    def _verification(self, state: str) -> str:
        return self.oauth.security_event("verification", state=state)

    def _is_quiet(self) -> bool:
        if isinstance(self.pubsub, PubSub):
            is_pushed = self.pubsub.idle()
        else:
            is_pushed = self._relay is None or self._published <= self._relay.acknowledged
        return is_pushed and self.tasks.idle() and self.scheduler.idle()


def _make_queues(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        for queue in environment.QUEUES:
            limits = tasks_v2.RateLimits(
                max_dispatches_per_second=queue.per_second, max_concurrent_dispatches=queue.at_once
            )
            made = tasks_v2.Queue(name=f"{environment.LOCATION}/queues/{queue.name}", rate_limits=limits)
            client.create_queue(parent=environment.LOCATION, queue=made)


def _make_jobs(address: str, addresses: environment.Addresses) -> None:
    with grpc.insecure_channel(address) as channel:
        client = scheduler_v1.CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))
        for job in environment.JOBS:
            client.create_job(parent=environment.LOCATION, job=_scheduled(job, addresses.function(job.function)))


def _scheduled(job: environment.Job, function_url: str) -> scheduler_v1.Job:
    return scheduler_v1.Job(
        name=f"{environment.LOCATION}/jobs/{job.name}",
        schedule=job.schedule,
        http_target=scheduler_v1.HttpTarget(
            uri=f"{function_url}{job.path}",
            http_method=scheduler_v1.HttpMethod.POST,
            oidc_token=scheduler_v1.OidcToken(service_account_email=job.account, audience=function_url),
        ),
    )
