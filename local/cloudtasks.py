"""Google's Cloud Tasks: named tasks, schedule times, retries, rates and OIDC, over gRPC (google.cloud.tasks.v2).

Owns the queues of a local stack and dispatches their tasks over HTTP. May import no other stand-in. Limits and headers:
https://cloud.google.com/tasks/docs/quotas and https://cloud.google.com/tasks/docs/creating-http-target-tasks.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import grpc
from google.cloud import tasks_v2
from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from local.dispatch import NO_ANSWER, Answer, Loop, Mint, Workers, send_http, wait_until_idle
from local.ledger import Call
from local.paging import page_of
from local.rpc import Method, RpcServer, refuse
from local.task_queue import QueuedTask, QueueProto, TaskProto, TaskQueue, with_defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from local.clock import LocalClock
    from local.faults import Faults
    from local.ledger import Ledger

MAX_BODY_BYTES = 100_000
MAX_AHEAD = timedelta(days=30)
MAX_URL_CHARACTERS = 2083
DEFAULT_DEADLINE_S = 600.0
_DEADLINES = (timedelta(seconds=15), timedelta(minutes=30))
_LOCATION_NAME = re.compile(r"projects/[^/]+/locations/[^/]+")
_QUEUE_NAME = re.compile(r"(projects/[^/]+/locations/[^/]+)/queues/([A-Za-z0-9-]{1,100})")
_TASK_NAME = re.compile(r"(projects/[^/]+/locations/[^/]+/queues/[A-Za-z0-9-]{1,100})/tasks/([A-Za-z0-9_-]{1,500})")
_METHODS_WITH_BODY = {tasks_v2.HttpMethod.POST, tasks_v2.HttpMethod.PUT, tasks_v2.HttpMethod.PATCH}
_REPLACED_HEADERS = ("host", "content-length", "user-agent", "x-google-", "x-appengine-", "x-cloudtasks-")

_Code = grpc.StatusCode
_View = tasks_v2.Task.View


@dataclass(frozen=True)
class Payload:
    """What a task carried: for tests that search every payload ever made."""

    name: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class TaskSeen:
    """A task that was taken in, or, with a ``status``, that ran and was answered so."""

    queue: str
    url: str
    status: int | None = None


class CloudTasks:
    """The running service; ``address`` is for ``grpc.insecure_channel``.

    ``slowdown_s`` is the first pause of a whole queue after a 429 or 503 (it doubles with each further one).
    ``payload_log`` holds every payload that was ever created. The ledger has each rpc, and each dispatch as
    ``dispatch``; its faults strike before the endpoint is reached or, with ``drop_answer``, after its work.
    ``observe``, where somebody has set it, hears of each task when it is taken in and each time it ran.
    """

    observe: Callable[[TaskSeen], None] | None = None

    def __init__(
        self,
        clock: LocalClock,
        ledger: Ledger,
        faults: Faults,
        mint: Mint,
        *,
        port: int = 0,
        slowdown_s: float = 1.0,
        max_workers: int = 64,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._mint = mint
        self._slowdown_s = slowdown_s
        self._lock = threading.RLock()
        self._queues: dict[str, TaskQueue] = {}
        self._paused = False
        self._names = 0
        self.payload_log: list[Payload] = []
        self._workers = Workers("cloudtasks", max_workers)
        self._loop = Loop("cloudtasks", self._dispatch_due)
        self._server = RpcServer(
            "google.cloud.tasks.v2.CloudTasks",
            self._methods(),
            ledger=ledger,
            ledger_service="cloudtasks",
            faults=faults,
            port=port,
        )
        self.address = self._server.address

    def _methods(self) -> Mapping[str, Method]:
        return {
            "CreateQueue": Method(tasks_v2.CreateQueueRequest, self._create_queue),
            "GetQueue": Method(tasks_v2.GetQueueRequest, self._get_queue),
            "PurgeQueue": Method(tasks_v2.PurgeQueueRequest, self._purge_queue),
            "PauseQueue": Method(tasks_v2.PauseQueueRequest, self._pause_queue),
            "ResumeQueue": Method(tasks_v2.ResumeQueueRequest, self._resume_queue),
            "CreateTask": Method(tasks_v2.CreateTaskRequest, self._create_task),
            "GetTask": Method(tasks_v2.GetTaskRequest, self._get_task),
            "ListTasks": Method(tasks_v2.ListTasksRequest, self._list_tasks),
            "DeleteTask": Method(tasks_v2.DeleteTaskRequest, self._delete_task),
        }

    # For tests and the stack

    def pending(self) -> list[TaskProto]:
        """All tasks that wait or run, complete with their payloads."""
        with self._lock:
            return [tasks_v2.Task(task.proto) for queue in self._queues.values() for task in queue.tasks.values()]

    def pause(self) -> None:
        """Dispatches nothing until ``resume``; tasks are still taken in."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._loop.wake()

    def idle(self) -> bool:
        """Whether nothing runs, is due now or waits for a retry; what is scheduled for later does not count."""
        now = self._clock.now()
        with self._lock:
            return not any(queue.has_due(now) for queue in self._queues.values())

    def drain(self, timeout_s: float) -> None:
        """Waits until idle. Raises TimeoutError."""
        wait_until_idle(self.idle, timeout_s, lambda: f"{len(self.pending())} tasks are left")

    def clear(self) -> None:
        """Forgets all tasks, blocked names and the payload log; keeps the queues."""
        with self._lock:
            for name, queue in self._queues.items():
                self._queues[name] = TaskQueue(queue.proto, queue.created_at, self._slowdown_s)
            self.payload_log.clear()

    def stop(self) -> None:
        self._server.stop()
        self._loop.stop()
        self._workers.stop()

    # Queues

    def _create_queue(self, request: tasks_v2.CreateQueueRequest) -> QueueProto:
        match = _QUEUE_NAME.fullmatch(request.queue.name)
        if match is None or match[1] != request.parent:
            refuse(_Code.INVALID_ARGUMENT, f"[{request.queue.name}] is not the name of a queue of {request.parent}.")
        with self._lock:
            if request.queue.name in self._queues:
                refuse(_Code.ALREADY_EXISTS, "Queue already exists")
            queue = TaskQueue(with_defaults(request.queue), self._clock.now(), self._slowdown_s)
            self._queues[request.queue.name] = queue
            return tasks_v2.Queue(queue.proto)

    def _get_queue(self, request: tasks_v2.GetQueueRequest) -> QueueProto:
        with self._lock:
            return tasks_v2.Queue(self._queue(request.name).proto)

    def _purge_queue(self, request: tasks_v2.PurgeQueueRequest) -> QueueProto:
        with self._lock:
            queue, now = self._queue(request.name), self._clock.now()
            for task in list(queue.tasks.values()):
                queue.remove(task, now)
            queue.proto.purge_time = now
            return tasks_v2.Queue(queue.proto)

    def _pause_queue(self, request: tasks_v2.PauseQueueRequest) -> QueueProto:
        return self._set_state(request.name, tasks_v2.Queue.State.PAUSED)

    def _resume_queue(self, request: tasks_v2.ResumeQueueRequest) -> QueueProto:
        return self._set_state(request.name, tasks_v2.Queue.State.RUNNING)

    def _set_state(self, name: str, state: int) -> QueueProto:
        with self._lock:
            queue = self._queue(name)
            queue.proto.state = state
            answer = tasks_v2.Queue(queue.proto)
        self._loop.wake()
        return answer

    def _queue(self, name: str) -> TaskQueue:
        if not _QUEUE_NAME.fullmatch(name):
            refuse(_Code.INVALID_ARGUMENT, f"[{name}] is not the name of a queue.")
        if name not in self._queues:
            refuse(_Code.NOT_FOUND, "Queue does not exist.")
        return self._queues[name]

    # Tasks

    def _create_task(self, request: tasks_v2.CreateTaskRequest) -> TaskProto:
        now = self._clock.now()
        _check_task(request.task, request.parent, now)
        with self._lock:
            queue = self._queue(request.parent)
            task = self._accept(request, now)
            if queue.is_name_used(task.name, now):
                refuse(_Code.ALREADY_EXISTS, "Requested entity already exists")
            queue.add(QueuedTask(task, max(task.schedule_time, now)))
            http = task.http_request
            self.payload_log.append(Payload(task.name, http.url, dict(http.headers), http.body))
            # A copy: the dispatcher counts attempts in the task while this answer is still being written.
            answer = _view(task, request.response_view)
        self._tell(queue, task)
        self._loop.wake()
        return answer

    def _accept(self, request: tasks_v2.CreateTaskRequest, now: datetime) -> TaskProto:
        task: TaskProto = tasks_v2.Task(request.task)
        if not task.name:
            self._names += 1
            task.name = f"{request.parent}/tasks/{10**18 + self._names}"
        if "schedule_time" not in task:
            task.schedule_time = now
        if "dispatch_deadline" not in task:
            task.dispatch_deadline = timedelta(seconds=DEFAULT_DEADLINE_S)
        if not task.http_request.http_method:
            task.http_request.http_method = tasks_v2.HttpMethod.POST
        task.create_time = now
        return task

    def _get_task(self, request: tasks_v2.GetTaskRequest) -> TaskProto:
        with self._lock:
            return _view(self._find(request.name)[1].proto, request.response_view)

    def _list_tasks(self, request: tasks_v2.ListTasksRequest) -> tasks_v2.ListTasksResponse:
        with self._lock:
            tasks = sorted(self._queue(request.parent).tasks.values(), key=lambda task: (task.due, task.name))
            page, token = page_of(tasks, request.page_token, request.page_size, largest=1000)
            views = [_view(task.proto, request.response_view) for task in page]
        return tasks_v2.ListTasksResponse(tasks=views, next_page_token=token)

    def _delete_task(self, request: tasks_v2.DeleteTaskRequest) -> Empty:
        with self._lock:
            queue, task = self._find(request.name)
            queue.remove(task, self._clock.now())
        return Empty()

    def _find(self, name: str) -> tuple[TaskQueue, QueuedTask]:
        match = _TASK_NAME.fullmatch(name)
        if match is None:
            refuse(_Code.INVALID_ARGUMENT, f"[{name}] is not the name of a task.")
        queue = self._queue(match[1])
        if name not in queue.tasks:
            refuse(_Code.NOT_FOUND, "The task no longer exists, though a task with this name existed recently.")
        return queue, queue.tasks[name]

    # Dispatch

    def _dispatch_due(self) -> bool:
        now = self._clock.now()
        with self._lock:
            if self._paused:
                return False
            for queue in self._queues.values():
                while task := queue.take_due(now):
                    self._workers.submit(partial(self._attempt, queue, task))
            return any(queue.tasks for queue in self._queues.values())

    def _attempt(self, queue: TaskQueue, task: QueuedTask) -> None:
        started_s = time.monotonic()
        dispatched_at = self._clock.now()
        answer = self._call(queue, task)
        now = self._clock.now()
        with self._lock:
            _note_attempt(task.proto, dispatched_at, now, answer.status)
            queue.finish(task, answer.status, answer.retry_after_s, now)
        http_id = self._ledger.next_http_id()
        self._ledger.record(Call("cloudtasks", "dispatch", "", 0, answer.status, started_s, time.monotonic(), http_id))
        self._tell(queue, task.proto, answer.status)
        self._loop.wake()

    def _tell(self, queue: TaskQueue, task: TaskProto, status: int | None = None) -> None:
        if self.observe is not None:
            self.observe(TaskSeen(queue.proto.name.rpartition("/")[2], task.http_request.url, status))

    def _call(self, queue: TaskQueue, task: QueuedTask) -> Answer:
        fault = self._faults.take("cloudtasks", "dispatch")
        if fault is not None:
            time.sleep(fault.delay_s)
            if fault.status and not fault.drop_answer:
                return Answer(fault.status)
        http = task.proto.http_request
        answer = send_http(
            tasks_v2.HttpMethod(http.http_method).name,
            http.url,
            self._headers(queue, task),
            http.body,
            task.proto.dispatch_deadline.total_seconds(),
        )
        return Answer(NO_ANSWER) if fault is not None and fault.drop_answer else answer

    def _headers(self, queue: TaskQueue, task: QueuedTask) -> dict[str, str]:
        http = task.proto.http_request
        headers = {
            name: value for name, value in http.headers.items() if not name.lower().startswith(_REPLACED_HEADERS)
        }
        headers |= {
            "User-Agent": "Google-Cloud-Tasks",
            "X-CloudTasks-QueueName": queue.proto.name.rpartition("/")[2],
            "X-CloudTasks-TaskName": task.name.rpartition("/")[2],
            "X-CloudTasks-TaskRetryCount": str(task.failures),
            "X-CloudTasks-TaskExecutionCount": str(task.executions),
            "X-CloudTasks-TaskETA": f"{task.due.timestamp():.6f}",
        }
        if http.oidc_token.service_account_email:
            token = self._mint(http.oidc_token.service_account_email, http.oidc_token.audience or http.url)
            headers["Authorization"] = f"Bearer {token}"
        return headers


def _view(task: TaskProto, view: int) -> TaskProto:
    """A copy of the task; without its body unless FULL is asked for."""
    copy: TaskProto = tasks_v2.Task(task)
    copy.view = view or _View.BASIC
    if copy.view != _View.FULL:
        copy.http_request.body = b""
    return copy


def _note_attempt(task: TaskProto, dispatched_at: datetime, now: datetime, status: int) -> None:
    attempt = tasks_v2.Attempt(
        schedule_time=task.schedule_time,
        dispatch_time=dispatched_at,
        response_time=now if status else None,
        response_status=Status(code=0 if 200 <= status <= 299 else 2, message=f"HTTP status code {status}"),
    )
    task.response_count += 1 if status else 0
    if task.dispatch_count == 1:
        task.first_attempt = tasks_v2.Attempt(dispatch_time=dispatched_at)
    task.last_attempt = attempt


def _check_task(task: TaskProto, parent: str, now: datetime) -> None:
    """Google's checks of a new task; refuses with INVALID_ARGUMENT."""
    http = task.http_request
    if task.name:
        match = _TASK_NAME.fullmatch(task.name)
        if match is None or match[1] != parent:
            refuse(_Code.INVALID_ARGUMENT, "The task name must be formatted: PARENT/tasks/TASK_ID.")
    if "app_engine_http_request" in task or "oauth_token" in http or "retry_config" in task:
        refuse(
            _Code.UNIMPLEMENTED,
            "App Engine targets, OAuth tokens and retries of one task are not part of this stand-in",
        )
    if not http.url.startswith(("http://", "https://")) or len(http.url) > MAX_URL_CHARACTERS:
        refuse(
            _Code.INVALID_ARGUMENT, "HttpRequest.url must start with http:// or https:// and be below 2083 characters."
        )
    if http.body and http.http_method not in {*_METHODS_WITH_BODY, tasks_v2.HttpMethod.HTTP_METHOD_UNSPECIFIED}:
        refuse(_Code.INVALID_ARGUMENT, "HTTP Body must be empty for this HTTP method.")
    if len(http.body) >= MAX_BODY_BYTES:
        refuse(_Code.INVALID_ARGUMENT, "Task size too large.")
    if "schedule_time" in task and task.schedule_time > now + MAX_AHEAD:
        refuse(_Code.INVALID_ARGUMENT, "The schedule_time is too far in the future.")
    if "dispatch_deadline" in task and not _DEADLINES[0] <= task.dispatch_deadline <= _DEADLINES[1]:
        refuse(_Code.INVALID_ARGUMENT, "The dispatch_deadline must be between 15s and 30m.")
