"""How a grant ends: each reason is its own, said once with one webhook, and nothing passing is taken for one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.cloud import tasks_v2

from common import config, tasks, tokens
from common.errors import Problem, ReauthRequired
from common.gmail.client import open_gmail
from common.model import Connection, ConnectionStatus
from common.oauth import MODIFY
from common.store.client import store
from local.cloudtasks import CloudTasks
from tests.integration.google_rig import ANNA, Google, running

pytestmark = pytest.mark.integration


@pytest.fixture
def cloud_tasks(google: Google, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudTasks]:
    """Cloud Tasks that hold still, with the webhook's queue."""
    service = CloudTasks(google.clock, google.ledger, google.faults, lambda email, audience: "token")
    service.pause()
    monkeypatch.setenv("CLOUD_TASKS_ADDRESS", service.address)
    monkeypatch.setenv("WEBHOOK_URL", "https://crm.example/hook")
    monkeypatch.setenv("MAGNET_INGEST_URL", "https://ingest.example")
    config.config.cache_clear()
    tasks._client.cache_clear()
    parent = "projects/local-project/locations/europe-west1"
    tasks._client().create_queue(parent=parent, queue=tasks_v2.Queue(name=f"{parent}/queues/webhook"))
    yield service
    tasks._client.cache_clear()
    service.stop()


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    with running(monkeypatch, tmp_path) as rig:
        yield rig


def status_of(user_id: str = "anna") -> tuple[ConnectionStatus, str]:
    held = store().connections.load(user_id)
    assert held is not None
    return held.value.status, held.value.reauth_reason


def told(service: CloudTasks) -> list[str]:
    """What the webhook is to be told."""
    return [json.loads(one.body)["kind"] for one in service.payload_log]


def end(google: Google, reason: str) -> None:
    match reason:
        case "revoked":
            google.accounts.revoke_account(ANNA)
        case "session":
            google.accounts.end_session(ANNA)
        case "policy":
            google.inject("gmail", "users.labels.list", status=403, reason="domainPolicy", count=99)
        case "scope":
            google.inject("gmail", "users.labels.list", status=403, reason="insufficientPermissions", count=99)


@pytest.mark.parametrize("reason", ["revoked", "session", "scope", "policy"])
def test_each_reason_is_its_own_and_said_once(google: Google, cloud_tasks: CloudTasks, reason: str) -> None:
    """Five requests that find out at once set the status with its reason, and leave one webhook's task."""
    connection = google.connect()
    if reason in ("scope", "policy"):
        tokens.access_token(connection)
    end(google, reason)

    def ask(_: int) -> object:
        with pytest.raises(ReauthRequired) as refusal:
            open_gmail(connection).list_labels()
        return refusal.value.members["reason"]

    with ThreadPoolExecutor(5) as threads:
        heard = set(threads.map(ask, range(5)))

    assert {reason} == heard
    assert (ConnectionStatus.REAUTH_REQUIRED, reason) == status_of()
    assert ["status"] == told(cloud_tasks)


def test_the_next_who_finds_out_tells_what_the_first_could_not(google: Google, cloud_tasks: CloudTasks) -> None:
    """News that could not be left is left by whoever is refused next, and after that no more."""
    connection = google.connect()
    end(google, "revoked")
    google.inject("cloudtasks", "CreateTask", status=503)
    heard = []

    for _ in range(3):
        with pytest.raises(ReauthRequired):
            open_gmail(connection).list_labels()
        heard.append(told(cloud_tasks))

    assert [[], ["status"], ["status"]] == heard


def test_a_policy_at_the_token_endpoint_is_a_policy(google: Google, cloud_tasks: CloudTasks) -> None:
    """An administrator of the Google account who forbids the client is told as such."""
    connection = google.connect()
    google.inject("oauth", "token", status=400, reason="admin_policy_enforced")

    with pytest.raises(ReauthRequired):
        open_gmail(connection).list_labels()

    assert (ConnectionStatus.REAUTH_REQUIRED, "policy") == status_of()


def test_a_scope_that_was_never_granted_ends_nothing(google: Google, cloud_tasks: CloudTasks) -> None:
    """Who left gmail.modify unticked cannot change mail, and reads on."""
    connection = google.connect(untick=[MODIFY])

    with pytest.raises(ReauthRequired):
        open_gmail(connection).batch_modify(["m1"], add=["STARRED"], remove=[])

    assert (ConnectionStatus.CONNECTED, "") == status_of()
    assert open_gmail(connection).list_labels()


def test_a_part_of_a_batch_ends_the_grant_too(google: Google, cloud_tasks: CloudTasks) -> None:
    """What every part of a batch is told counts like any other refusal."""
    connection = google.connect()
    google.inject("gmail", "users.messages.get", status=403, reason="domainPolicy", count=9)

    with pytest.raises(ReauthRequired):
        open_gmail(connection).fetch_messages(["m1", "m2"])

    assert (ConnectionStatus.REAUTH_REQUIRED, "policy") == status_of()
    assert ["status"] == told(cloud_tasks)


@pytest.mark.parametrize(
    ("service", "method", "status", "reason"),
    [
        ("oauth", "token", 500, ""),
        ("oauth", "token", 429, ""),
        ("oauth", "token", 401, "invalid_client"),
        ("oauth", "token", 400, "invalid_request"),
        ("gmail", "users.labels.list", 403, "dailyLimitExceeded"),
        ("gmail", "users.labels.list", 403, "userRateLimitExceeded"),
        ("gmail", "users.labels.list", 500, ""),
    ],
)
def test_what_passes_ends_nothing(
    google: Google, cloud_tasks: CloudTasks, service: str, method: str, status: int, reason: str
) -> None:
    """Trouble at Google, a limit, or our own client's mistake never asks the user to connect anew."""
    connection = google.connect()
    google.inject(service, method, status=status, reason=reason, count=9)

    with pytest.raises(Problem):
        open_gmail(connection, timeout_s=3).list_labels()

    assert (ConnectionStatus.CONNECTED, "") == status_of()
    assert [] == told(cloud_tasks)


def test_a_lost_answer_of_the_token_endpoint_ends_nothing(google: Google, cloud_tasks: CloudTasks) -> None:
    """A connection that breaks is no refusal: the next try succeeds."""
    connection = google.connect()
    google.inject("oauth", "token", drop_answer=True)

    with pytest.raises(Problem) as trouble:
        open_gmail(connection).list_labels()
    assert trouble.value.retryable
    assert (ConnectionStatus.CONNECTED, "") == status_of()
    assert open_gmail(connection).list_labels()


def test_another_generation_is_not_ended(google: Google, cloud_tasks: CloudTasks) -> None:
    """What a request of the former connection finds out says nothing about the present one."""
    former: Connection = google.connect()
    held = store().connections.load("anna")
    assert held is not None
    store().connections.update(held, generation="the next one")
    google.inject("gmail", "users.labels.list", status=403, reason="domainPolicy")

    with pytest.raises(ReauthRequired):
        open_gmail(former).list_labels()

    assert (ConnectionStatus.CONNECTED, "") == status_of()
