"""The Cloud Scheduler stand-in, driven by Google's client: jobs fire by the stack's clock, with tokens and retries."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.api_core import exceptions as google_errors
from google.cloud import scheduler_v1
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcTransport

from local.clock import LocalClock
from local.cloudscheduler import CloudScheduler
from local.faults import Fault, Faults
from local.ledger import Ledger
from tests.integration.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

LOCATION = "projects/local-project/locations/europe-west1"
SWEEP = f"{LOCATION}/jobs/label-sweep"


class Bench:
    """The stand-in, Google's client for it, an endpoint, and what the tests turn."""

    def __init__(self, folder: Path) -> None:
        self.ledger, self.faults = Ledger(), Faults()
        self.clock = LocalClock(folder / "clock")
        self.endpoint = Endpoint()
        self.server = CloudScheduler(
            self.clock, self.ledger, self.faults, lambda email, audience: f"{email}|{audience}"
        )
        self.channel = grpc.insecure_channel(self.server.address)
        self.client = scheduler_v1.CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=self.channel))

    def create(self, schedule: str = "*/10 * * * *", name: str = SWEEP, **job: Any) -> Any:
        target = {"uri": f"{self.endpoint.url}/", "http_method": scheduler_v1.HttpMethod.POST, **job.pop("target", {})}
        return self.client.create_job(
            request={"parent": LOCATION, "job": {"name": name, "schedule": schedule, "http_target": target, **job}}
        )

    def statuses(self) -> list[int]:
        return [call.status for call in self.ledger.since(service="scheduler") if call.method == "fire"]

    def close(self) -> None:
        self.channel.close()
        self.server.stop()
        self.endpoint.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_job_fires_by_the_clock(bench: Bench) -> None:
    """A job every ten minutes fires when the clock has moved on ten minutes, and not before."""
    bench.create()
    bench.server.drain(5)
    assert [] == bench.endpoint.received

    for expected in (1, 2):
        bench.clock.advance(600)
        bench.server.drain(5)
        assert expected == len(bench.endpoint.received)


def test_jump_over_many_times_fires_once(bench: Bench) -> None:
    """A clock that jumps a day fires the job once, and then goes on from there."""
    bench.create()
    bench.clock.advance(86_400)
    bench.server.drain(5)

    assert 1 == len(bench.endpoint.received)
    job: Any = bench.client.get_job(name=SWEEP)
    assert timedelta(0) < job.schedule_time - bench.clock.now() <= timedelta(minutes=10)


def test_request_of_a_job(bench: Bench) -> None:
    """The target gets method, body, its own headers, Google's headers and the token."""
    oidc = {"service_account_email": "scheduler@x.iam", "audience": "https://sweep.example"}
    bench.create(target={"body": b"{}", "headers": {"X-Own": "kept"}, "oidc_token": oidc})
    bench.client.run_job(name=SWEEP)
    bench.server.drain(5)

    (received,) = bench.endpoint.received
    assert ("POST", b"{}") == (received.method, received.body)
    assert {
        "user-agent": "Google-Cloud-Scheduler",
        "x-cloudscheduler": "true",
        "x-cloudscheduler-jobname": "label-sweep",
        "x-own": "kept",
        "authorization": "Bearer scheduler@x.iam|https://sweep.example",
    }.items() <= received.headers.items()


def test_manual_firing(bench: Bench) -> None:
    """Switched off, nothing fires by itself; RunJob does; switched on again, what was due fires once."""
    bench.server.set_automatic(False)
    bench.create()
    bench.clock.advance(3600)
    bench.server.drain(5)
    assert [] == bench.endpoint.received

    bench.client.run_job(name=SWEEP)
    bench.server.drain(5)
    assert 1 == len(bench.endpoint.received)

    bench.server.set_automatic(True)
    bench.server.drain(5)
    assert 2 == len(bench.endpoint.received)


def test_failure_is_not_retried_by_default(bench: Bench) -> None:
    """Google's default is no retry; the job shows the status of its last attempt."""
    bench.endpoint.answers.append(503)
    bench.create()
    bench.client.run_job(name=SWEEP)
    bench.server.drain(5)

    assert [503] == bench.statuses()
    job: Any = bench.client.get_job(name=SWEEP)
    assert grpc.StatusCode.UNAVAILABLE.value[0] == job.status.code


def test_retries(bench: Bench) -> None:
    """With a retry count the target is called again, after the backoff, and success ends it."""
    bench.endpoint.answers.extend([503, 500])
    bench.create(retry_config={"retry_count": 3, "min_backoff_duration": timedelta(milliseconds=20)})
    bench.client.run_job(name=SWEEP)
    bench.server.drain(5)

    assert [503, 500, 204] == bench.statuses()
    job: Any = bench.client.get_job(name=SWEEP)
    assert 0 == job.status.code


def test_retries_end(bench: Bench) -> None:
    """After the retries the run is given up until the next time."""
    bench.endpoint.answers.extend([503] * 9)
    bench.create(retry_config={"retry_count": 2, "min_backoff_duration": timedelta(milliseconds=20)})
    bench.client.run_job(name=SWEEP)
    bench.server.drain(5)

    assert [503, 503, 503] == bench.statuses()


def test_retry_backoff_is_five_seconds_by_default(bench: Bench) -> None:
    """Without a setting the first retry waits five seconds of the stack's clock."""
    bench.endpoint.answers.append(503)
    bench.create(retry_config={"retry_count": 1})
    bench.client.run_job(name=SWEEP)
    with pytest.raises(TimeoutError):
        bench.server.drain(0.3)
    assert [503] == bench.statuses()

    bench.clock.advance(5)
    bench.server.drain(5)
    assert [503, 204] == bench.statuses()


def test_paused_job_fires_only_by_hand(bench: Bench) -> None:
    """A paused job does not fire by the clock, but RunJob runs it; resumed it fires again."""
    bench.create()
    assert scheduler_v1.Job.State.PAUSED == bench.client.pause_job(name=SWEEP).state
    bench.clock.advance(3600)
    bench.server.drain(5)
    assert [] == bench.endpoint.received

    bench.client.run_job(name=SWEEP)
    bench.server.drain(5)
    assert 1 == len(bench.endpoint.received)

    assert scheduler_v1.Job.State.ENABLED == bench.client.resume_job(name=SWEEP).state
    bench.clock.advance(600)
    bench.server.drain(5)
    assert 2 == len(bench.endpoint.received)


def test_running_job_is_not_run_beside_itself(bench: Bench) -> None:
    """While a scheduled run lasts the next one waits for its end."""
    bench.create("* * * * *")
    bench.endpoint.slow_s = 0.2
    for _ in range(3):
        bench.clock.advance(60)
    bench.server.drain(5)
    bench.clock.advance(60)
    bench.server.drain(5)

    assert 1 == bench.endpoint.most_at_once


def test_time_zone(bench: Bench) -> None:
    """The schedule is read in the job's time zone."""
    job = bench.create("0 3 * * *", time_zone="Europe/Berlin")

    assert job.schedule_time.hour in {1, 2}
    assert "Europe/Berlin" == job.time_zone


@pytest.mark.parametrize(
    "job",
    [
        {"schedule": "every day"},
        {"schedule": "0 0 30 2 *"},
        {"time_zone": "Europe/Nowhere"},
        {"target": {"uri": "sweep.example"}},
        {"attempt_deadline": timedelta(seconds=14)},
        {"attempt_deadline": timedelta(seconds=1801)},
        {"retry_config": {"retry_count": 6}},
        {"name": "label-sweep"},
        {"name": f"{LOCATION}/jobs/with space"},
    ],
)
def test_bad_jobs_are_refused(bench: Bench, job: dict[str, Any]) -> None:
    """A job that Google would not take is INVALID_ARGUMENT and is not there."""
    with pytest.raises(google_errors.InvalidArgument):
        bench.create(**job)
    assert [] == list(bench.client.list_jobs(parent=LOCATION))


def test_defaults(bench: Bench) -> None:
    """The deadline is three minutes by default, the zone UTC, the retry count 0."""
    job = bench.create()

    assert (timedelta(minutes=3), "UTC", 0) == (job.attempt_deadline, job.time_zone, job.retry_config.retry_count)


def test_update_changes_the_schedule(bench: Bench) -> None:
    """An update by mask changes what it names and nothing else."""
    bench.create(description="sweeps")
    job: Any = bench.client.update_job(
        request={"job": {"name": SWEEP, "schedule": "0 0 1 1 *"}, "update_mask": {"paths": ["schedule"]}}
    )

    assert ("0 0 1 1 *", "sweeps", (1, 1)) == (
        job.schedule,
        job.description,
        (job.schedule_time.month, job.schedule_time.day),
    )


def test_list_exists_delete(bench: Bench) -> None:
    """Jobs are listed by name and exist once; a deleted one is NOT_FOUND and does not fire."""
    bench.create()
    bench.create(name=f"{LOCATION}/jobs/another")
    with pytest.raises(google_errors.AlreadyExists):
        bench.create()
    assert ["another", "label-sweep"] == [
        job.name.rpartition("/")[2] for job in bench.client.list_jobs(parent=LOCATION)
    ]

    bench.client.delete_job(name=f"{LOCATION}/jobs/another")
    bench.client.delete_job(name=SWEEP)
    bench.clock.advance(3600)
    bench.server.drain(5)
    assert [] == bench.endpoint.received
    with pytest.raises(google_errors.NotFound):
        bench.client.run_job(name=SWEEP)


@pytest.mark.parametrize(("fault", "calls"), [(Fault("x", status=503), 0), (Fault("x", drop_answer=True), 1)])
def test_faults_of_firing(bench: Bench, fault: Fault, calls: int) -> None:
    """A faulty run fails: with a status the target was not called, with a dropped answer it was."""
    bench.faults.inject(Fault("scheduler", "fire", status=fault.status, drop_answer=fault.drop_answer))
    bench.create()
    bench.client.run_job(name=SWEEP)
    bench.server.drain(5)

    assert calls == len(bench.endpoint.received)
    assert [fault.status] == bench.statuses()
