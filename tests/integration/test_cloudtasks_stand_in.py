"""The Cloud Tasks stand-in, driven by Google's client: names, times, retries, rates, tokens."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.api_core import exceptions as google_errors
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from local.clock import LocalClock
from local.cloudtasks import CloudTasks
from local.dispatch import wait_until_idle
from local.faults import Fault, Faults
from local.ledger import Ledger
from tests.integration.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

LOCATION = "projects/local-project/locations/europe-west1"
QUEUE = f"{LOCATION}/queues/label-sweep"
FAST_RETRY = {
    "max_attempts": 4,
    "min_backoff": timedelta(milliseconds=20),
    "max_backoff": timedelta(milliseconds=80),
}


class Bench:
    """The stand-in, Google's client for it, an endpoint, and what the tests turn."""

    def __init__(self, folder: Path) -> None:
        self.ledger, self.faults = Ledger(), Faults()
        self.clock = LocalClock(folder / "clock")
        self.endpoint = Endpoint()
        self.server = CloudTasks(
            self.clock, self.ledger, self.faults, lambda email, audience: f"{email}|{audience}", slowdown_s=0.1
        )
        self.channel = grpc.insecure_channel(self.server.address)
        self.client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=self.channel))

    def queue(self, **settings: Any) -> tasks_v2.Queue:
        return self.client.create_queue(
            request={"parent": LOCATION, "queue": {"name": QUEUE, "retry_config": FAST_RETRY, **settings}}
        )

    def add(self, name: str = "", body: bytes = b"{}", *, full: bool = False, **task: Any) -> Any:
        http = {"url": f"{self.endpoint.url}/users/anna", "body": body, **task.pop("http", {})}
        named = {"name": f"{QUEUE}/tasks/{name}"} if name else {}
        view = tasks_v2.Task.View.FULL if full else tasks_v2.Task.View.BASIC
        return self.client.create_task(
            request={"parent": QUEUE, "task": {"http_request": http, **named, **task}, "response_view": view}
        )

    def attempts(self) -> list[int]:
        """The statuses of all dispatches so far."""
        return [call.status for call in self.ledger.since() if call.method == "dispatch"]

    def wait_for_attempts(self, count: int) -> None:
        wait_until_idle(lambda: len(self.attempts()) >= count, 5, lambda: "too few attempts")

    def close(self) -> None:
        self.channel.close()
        self.server.stop()
        self.endpoint.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.queue()
    yield made
    made.close()


@pytest.fixture
def empty_bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_task_is_posted_once(bench: Bench) -> None:
    """A task goes to its URL with its body and Google's headers; a 204 ends it."""
    bench.add("sweep-1", b'{"generation": 3}', http={"headers": {"Content-Type": "application/json"}})
    bench.server.drain(5)

    (received,) = bench.endpoint.received
    assert ("POST", "/users/anna", b'{"generation": 3}') == (received.method, received.path, received.body)
    assert {
        "user-agent": "Google-Cloud-Tasks",
        "content-type": "application/json",
        "x-cloudtasks-queuename": "label-sweep",
        "x-cloudtasks-taskname": "sweep-1",
        "x-cloudtasks-taskretrycount": "0",
        "x-cloudtasks-taskexecutioncount": "0",
    }.items() <= received.headers.items()
    assert [] == bench.server.pending()


def test_oidc_token_is_minted_for_the_audience(bench: Bench) -> None:
    """The token is the named service account's, for the named audience."""
    oidc = {"service_account_email": "tasks@x.iam", "audience": "https://sweep.example"}
    bench.add(http={"oidc_token": oidc})
    bench.server.drain(5)

    assert "Bearer tasks@x.iam|https://sweep.example" == bench.endpoint.received[0].headers["authorization"]


def test_oidc_audience_defaults_to_the_url(bench: Bench) -> None:
    """Without an audience the token is for the task's URL."""
    bench.add(http={"oidc_token": {"service_account_email": "tasks@x.iam"}})
    bench.server.drain(5)

    assert f"Bearer tasks@x.iam|{bench.endpoint.url}/users/anna" == bench.endpoint.received[0].headers["authorization"]


def test_headers_of_google_cannot_be_forged(bench: Bench) -> None:
    """A task's own X-CloudTasks headers and user agent are replaced."""
    bench.add("real", http={"headers": {"X-CloudTasks-TaskName": "forged", "User-Agent": "me", "X-Own": "kept"}})
    bench.server.drain(5)

    headers = bench.endpoint.received[0].headers
    assert ("real", "Google-Cloud-Tasks", "kept") == (
        headers["x-cloudtasks-taskname"],
        headers["user-agent"],
        headers["x-own"],
    )


def test_name_is_taken_while_the_task_exists(bench: Bench) -> None:
    """A second task of the same name is ALREADY_EXISTS while the first one waits."""
    bench.server.pause()
    bench.add("same")

    with pytest.raises(google_errors.AlreadyExists):
        bench.add("same")
    assert 1 == len(bench.server.pending())


@pytest.mark.parametrize("end", ["executed", "deleted"])
def test_name_stays_blocked_for_an_hour(bench: Bench, end: str) -> None:
    """After a task has run or was deleted its name stays blocked for an hour of the stack's clock."""
    if end == "executed":
        bench.add("same")
        bench.server.drain(5)
    else:
        bench.server.pause()
        bench.add("same")
        bench.client.delete_task(name=f"{QUEUE}/tasks/same")

    bench.clock.advance(3500)
    with pytest.raises(google_errors.AlreadyExists):
        bench.add("same")
    bench.clock.advance(101)
    assert bench.add("same").name.endswith("/tasks/same")


def test_unnamed_tasks_get_names(bench: Bench) -> None:
    """Without a name Google gives one, another each time."""
    bench.server.pause()

    assert 2 == len({bench.add().name, bench.add().name})


def test_scheduled_task_waits_for_the_clock(bench: Bench) -> None:
    """A task goes when its time has come by the stack's clock, not before; drain does not wait for it."""
    bench.add("later", schedule_time=bench.clock.now() + timedelta(days=2))
    bench.add("now", b"now")
    bench.server.drain(5)
    assert [b"now"] == bench.endpoint.bodies()

    bench.clock.advance(2 * 86_400)
    bench.server.drain(5)
    assert [b"now", b"{}"] == bench.endpoint.bodies()


@pytest.mark.parametrize(("days", "is_taken"), [(29.9, True), (30.1, False)])
def test_schedule_reaches_thirty_days(bench: Bench, days: float, is_taken: bool) -> None:
    """More than 30 days ahead is INVALID_ARGUMENT."""
    taken = True
    try:
        bench.add(schedule_time=bench.clock.now() + timedelta(days=days))
    except google_errors.InvalidArgument:
        taken = False

    assert is_taken == taken


@pytest.mark.parametrize(
    "task",
    [
        {"http": {"body": b"x" * 100_000}},
        {"http": {"http_method": tasks_v2.HttpMethod.GET, "body": b"x"}},
        {"http": {"url": "ftp://x.example"}},
        {"http": {"url": "http://x.example/" + "a" * 2083}},
        {"name": f"{LOCATION}/queues/other/tasks/a"},
        {"name": f"{QUEUE}/tasks/with space"},
        {"name": f"{QUEUE}/tasks/" + "a" * 501},
        {"dispatch_deadline": timedelta(seconds=14)},
        {"dispatch_deadline": timedelta(seconds=1801)},
    ],
)
def test_bad_tasks_are_refused(bench: Bench, task: dict[str, Any]) -> None:
    """A task that Google would not take is INVALID_ARGUMENT and leaves nothing."""
    with pytest.raises(google_errors.InvalidArgument):
        bench.add(**task)
    assert [] == bench.server.payload_log


def test_unknown_queue_is_not_found(empty_bench: Bench) -> None:
    """A task for a queue that does not exist is NOT_FOUND."""
    with pytest.raises(google_errors.NotFound):
        empty_bench.add()


def test_failures_are_retried_until_success(bench: Bench) -> None:
    """Anything but 2xx is tried again with a rising count; redirects are no success."""
    bench.endpoint.answers.extend([500, 302, 404])
    bench.add("stubborn")
    bench.server.drain(5)

    assert ["0", "1", "2", "3"] == [r.headers["x-cloudtasks-taskretrycount"] for r in bench.endpoint.received]
    assert [500, 302, 404, 204] == bench.attempts()


def test_retries_back_off(bench: Bench) -> None:
    """The waits between attempts double from the smallest up to the largest."""
    bench.endpoint.answers.extend([500, 500, 500])
    bench.add()
    bench.server.drain(5)

    times = [received.at_s for received in bench.endpoint.received]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert all(wait >= planned for wait, planned in zip(waits, [0.02, 0.04, 0.08], strict=True))


def test_task_is_given_up(bench: Bench) -> None:
    """After the last attempt the task is dropped, and its name stays blocked."""
    bench.endpoint.answers.extend([500] * 10)
    bench.add("hopeless")
    bench.server.drain(5)

    assert 4 == len(bench.endpoint.received)
    assert [] == bench.server.pending()
    with pytest.raises(google_errors.AlreadyExists):
        bench.add("hopeless")


def test_unreachable_endpoint_is_retried(bench: Bench) -> None:
    """No answer at all counts as an attempt without a response."""
    bench.add("nowhere", http={"url": "http://127.0.0.1:9/"})
    bench.server.drain(5)

    assert [0, 0, 0, 0] == bench.attempts()


def test_unavailable_slows_the_whole_queue(bench: Bench) -> None:
    """A 503 of one task holds back the other tasks of its queue."""
    bench.endpoint.answers.append(503)
    bench.add("first", b"first")
    bench.wait_for_attempts(1)
    bench.add("second", b"second")
    bench.server.drain(5)

    first, *others = bench.endpoint.received
    assert b"first" == first.body
    assert min(other.at_s for other in others) - first.at_s >= 0.1


def test_retry_after_is_heeded(bench: Bench) -> None:
    """An answer's Retry-After postpones the task's next attempt."""
    bench.endpoint.answers.append(429)
    bench.endpoint.retry_after = "60"
    bench.add("later")
    bench.wait_for_attempts(1)
    assert bench.server.pending()[0].schedule_time >= bench.clock.now() + timedelta(seconds=55)

    bench.clock.advance(61)
    bench.server.drain(5)
    assert 2 == len(bench.endpoint.received)


def test_concurrency_is_limited(empty_bench: Bench) -> None:
    """No more tasks run at once than the queue allows."""
    empty_bench.queue(rate_limits={"max_concurrent_dispatches": 2})
    empty_bench.endpoint.slow_s = 0.05
    for _ in range(6):
        empty_bench.add()
    empty_bench.server.drain(5)

    assert (6, 2) == (len(empty_bench.endpoint.received), empty_bench.endpoint.most_at_once)


def test_rate_is_limited(empty_bench: Bench) -> None:
    """Dispatches keep to the queue's rate after its burst: with 10 a second, 13 tasks take 0.3 s at least."""
    empty_bench.server.pause()
    empty_bench.queue(rate_limits={"max_dispatches_per_second": 10})
    for _ in range(13):
        empty_bench.add()
    empty_bench.server.resume()
    empty_bench.server.drain(5)

    times = sorted(received.at_s for received in empty_bench.endpoint.received)
    assert 13 == len(times)
    assert times[-1] - times[0] >= 0.25


def test_deadlines(bench: Bench) -> None:
    """Google's shortest deadline is taken; the default is ten minutes."""
    bench.server.pause()
    shortest = bench.add(dispatch_deadline=timedelta(seconds=15))

    assert [timedelta(seconds=15), timedelta(minutes=10)] == [shortest.dispatch_deadline, bench.add().dispatch_deadline]


def test_views(bench: Bench) -> None:
    """The body is shown by the FULL view only; tests see it by pending and in the log of payloads."""
    bench.server.pause()
    bench.add("seen", b"payload")
    name = f"{QUEUE}/tasks/seen"
    full = bench.client.get_task(request={"name": name, "response_view": tasks_v2.Task.View.FULL})

    assert (b"", b"payload") == (bench.client.get_task(name=name).http_request.body, full.http_request.body)
    assert [b"payload"] == [task.http_request.body for task in bench.server.pending()]
    assert [b"payload"] == [payload.body for payload in bench.server.payload_log]


def test_payload_log_outlives_the_task(bench: Bench) -> None:
    """The log of payloads keeps what has long been executed."""
    bench.add("done", b"payload")
    bench.server.drain(5)

    assert [(f"{QUEUE}/tasks/done", b"payload")] == [(p.name, p.body) for p in bench.server.payload_log]


def test_list_is_paged_by_time(bench: Bench) -> None:
    """Tasks are listed by their time, page by page."""
    bench.server.pause()
    for minutes in (3, 1, 2):
        bench.add(f"t{minutes}", schedule_time=bench.clock.now() + timedelta(minutes=minutes))
    pages = list(bench.client.list_tasks(request={"parent": QUEUE, "page_size": 2}).pages)

    assert [["t1", "t2"], ["t3"]] == [[task.name.rpartition("/")[2] for task in page.tasks] for page in pages]


def test_deleted_task_does_not_run(bench: Bench) -> None:
    """A deleted task is not dispatched; deleting it again is NOT_FOUND."""
    name = bench.add("gone", schedule_time=bench.clock.now() + timedelta(minutes=1)).name
    bench.client.delete_task(name=name)
    bench.clock.advance(120)
    bench.server.drain(5)

    assert [] == bench.endpoint.received
    with pytest.raises(google_errors.NotFound):
        bench.client.delete_task(name=name)


def test_paused_and_purged_queue(bench: Bench) -> None:
    """A paused queue keeps its tasks; purged it has none; resumed it dispatches again."""
    assert tasks_v2.Queue.State.PAUSED == bench.client.pause_queue(name=QUEUE).state
    bench.add("old", b"old")
    bench.client.purge_queue(name=QUEUE)
    bench.add("new", b"new")
    assert tasks_v2.Queue.State.RUNNING == bench.client.resume_queue(name=QUEUE).state
    bench.server.drain(5)

    assert [b"new"] == bench.endpoint.bodies()


def test_queue_has_googles_defaults(empty_bench: Bench) -> None:
    """What is not set is 500 dispatches a second, 1,000 at once, 100 attempts, 0.1 s to 1 h, 16 doublings."""
    empty_bench.client.create_queue(request={"parent": LOCATION, "queue": {"name": QUEUE}})
    queue: Any = empty_bench.client.get_queue(name=QUEUE)

    assert (500, 1000) == (queue.rate_limits.max_dispatches_per_second, queue.rate_limits.max_concurrent_dispatches)
    assert (100, timedelta(seconds=0.1), timedelta(hours=1), 16) == (
        queue.retry_config.max_attempts,
        queue.retry_config.min_backoff,
        queue.retry_config.max_backoff,
        queue.retry_config.max_doublings,
    )


def test_queue_exists_once(bench: Bench) -> None:
    """Creating a queue a second time is ALREADY_EXISTS."""
    with pytest.raises(google_errors.AlreadyExists):
        bench.queue()


def test_other_methods_are_unimplemented(bench: Bench) -> None:
    """What the stand-in does not know it refuses loudly."""
    with pytest.raises(google_errors.MethodNotImplemented, match="RunTask"):
        bench.client.run_task(name=f"{QUEUE}/tasks/a")


def test_dropped_answer_of_create(bench: Bench) -> None:
    """With a dropped answer the caller sees UNAVAILABLE and the task exists: asking again is ALREADY_EXISTS."""
    bench.server.pause()
    bench.faults.inject(Fault("cloudtasks", "CreateTask", drop_answer=True))

    with pytest.raises(google_errors.ServiceUnavailable):
        bench.add("twice")
    with pytest.raises(google_errors.AlreadyExists):
        bench.add("twice")


@pytest.mark.parametrize(("fault", "calls"), [(Fault("x", status=500), 1), (Fault("x", drop_answer=True), 2)])
def test_faults_of_dispatch(bench: Bench, fault: Fault, calls: int) -> None:
    """A fault of the dispatch is retried: with a status the endpoint was not called, with a dropped answer it was."""
    fault.service, fault.method, fault.count = "cloudtasks", "dispatch", 1
    bench.faults.inject(fault)
    bench.add()
    bench.server.drain(5)

    assert calls == len(bench.endpoint.received)


def test_drain_says_when_it_gives_up(bench: Bench) -> None:
    """Drain raises TimeoutError while due tasks are held back."""
    bench.server.pause()
    bench.add()

    with pytest.raises(TimeoutError, match="1 tasks are left"):
        bench.server.drain(0.05)


def test_clear_keeps_the_queues(bench: Bench) -> None:
    """After clear no task, blocked name or payload is left, and the queue still takes tasks."""
    bench.server.pause()
    bench.add("same", b"before")
    bench.server.clear()
    bench.add("same", b"after")
    bench.server.resume()
    bench.server.drain(5)

    assert [b"after"] == bench.endpoint.bodies()
    assert [b"after"] == [payload.body for payload in bench.server.payload_log]
