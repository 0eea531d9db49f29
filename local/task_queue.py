"""One queue of Cloud Tasks: which task is due, how fast they may go, when a failed one is tried again.

Decides by the times it is given; sends nothing and holds no lock. May not import the service.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from google.cloud import tasks_v2

# proto-plus annotates fields with their wire types (Timestamp), yet gives and takes Python's (datetime).
QueueProto: TypeAlias = Any
"""A tasks_v2.Queue."""
TaskProto: TypeAlias = Any
"""A tasks_v2.Task."""

NAME_BLOCKED_FOR = timedelta(hours=1)
_LONGEST_SLOWDOWN_S = 60.0


def with_defaults(queue: QueueProto) -> QueueProto:
    """The queue with the settings that Google picks where none are given (gcloud's ``queues describe`` shows them)."""
    filled = tasks_v2.Queue(
        name=queue.name,
        rate_limits=tasks_v2.RateLimits(max_dispatches_per_second=500, max_concurrent_dispatches=1000),
        retry_config=tasks_v2.RetryConfig(
            max_attempts=100,
            min_backoff=timedelta(seconds=0.1),
            max_backoff=timedelta(hours=1),
            max_doublings=16,
        ),
        state=tasks_v2.Queue.State.RUNNING,
    )
    for given, target in ((queue.rate_limits, filled.rate_limits), (queue.retry_config, filled.retry_config)):
        for name in type(given).meta.fields:
            if getattr(given, name):
                setattr(target, name, getattr(given, name))
    filled.rate_limits.max_burst_size = max(1, int(filled.rate_limits.max_dispatches_per_second))
    return filled


def plan_backoff_s(retry: Any, failures: int) -> float:
    """The wait in seconds after so many failures: doubling, then linear, then the largest (RetryConfig's reference)."""
    smallest_s, largest_s = retry.min_backoff.total_seconds(), retry.max_backoff.total_seconds()
    doublings = retry.max_doublings
    if failures - 1 <= doublings:
        wait_s = smallest_s * 2 ** (failures - 1)
    else:
        wait_s = smallest_s * 2**doublings * (failures - doublings)
    return float(min(wait_s, largest_s))


@dataclass
class QueuedTask:
    """A task and what has become of it so far."""

    proto: TaskProto
    due: datetime
    failures: int = 0
    executions: int = 0
    first_tried_at: datetime | None = None
    running: bool = False

    @property
    def name(self) -> str:
        return str(self.proto.name)


@dataclass
class TaskQueue:
    """The tasks of one queue. ``slowdown_s`` is the first pause that a 429 or 503 costs the whole queue; it doubles."""

    proto: QueueProto
    created_at: datetime
    slowdown_s: float
    tasks: dict[str, QueuedTask] = field(default_factory=dict)
    running: int = 0
    _blocked_names: dict[str, datetime] = field(default_factory=dict)
    _order: list[tuple[datetime, int, QueuedTask]] = field(default_factory=list)
    _sequence: int = 0
    _slow_until: datetime | None = None
    _slowdowns: int = 0
    _tokens: float = 1.0
    _tokens_at: datetime | None = None
    # Read out once: they are asked for at every look at the queue, and proto-plus takes its time.
    _per_second: float = field(init=False)
    _at_once: int = field(init=False)
    _burst: float = field(init=False)

    def __post_init__(self) -> None:
        limits = self.proto.rate_limits
        self._per_second = float(limits.max_dispatches_per_second)
        self._at_once = int(limits.max_concurrent_dispatches)
        self._burst = float(limits.max_burst_size)

    def is_name_used(self, name: str, now: datetime) -> bool:
        """Whether a task of this name exists, or did within the last hour."""
        # Blocked last, stands last: the expired ones are in front.
        while self._blocked_names and next(iter(self._blocked_names.values())) <= now:
            del self._blocked_names[next(iter(self._blocked_names))]
        return name in self.tasks or name in self._blocked_names

    def add(self, task: QueuedTask) -> None:
        self.tasks[task.name] = task
        self._enqueue(task)

    def remove(self, task: QueuedTask, now: datetime) -> None:
        """Takes the task off and blocks its name for an hour."""
        self.tasks.pop(task.name, None)
        self._blocked_names.pop(task.name, None)
        self._blocked_names[task.name] = now + NAME_BLOCKED_FOR

    def take_due(self, now: datetime) -> QueuedTask | None:
        """The next task to dispatch now, marked as running; None where nothing is due or the limits forbid it."""
        if not self._may_dispatch(now):
            return None
        while self._order and self._order[0][0] <= now:
            due, _, task = heapq.heappop(self._order)
            if self.tasks.get(task.name) is task and not task.running and task.due == due:
                self._tokens -= 1
                self._start(task, now)
                return task
        return None

    def has_due(self, now: datetime) -> bool:
        """Whether work remains that time alone brings: running, due, or waiting for its retry."""
        return self.running > 0 or any(task.due <= now or task.failures for task in self.tasks.values())

    def finish(self, task: QueuedTask, status: int, retry_after_s: float, now: datetime) -> None:
        """Settles an attempt: a 2xx ends the task, all else plans the retry or gives up."""
        task.running = False
        self.running -= 1
        task.executions += 1 if status else 0
        self._adapt_speed(status, now)
        if 200 <= status <= 299:
            self.remove(task, now)
            return
        task.failures += 1
        if self._is_exhausted(task, now):
            self.remove(task, now)
        elif self.tasks.get(task.name) is task:
            wait_s = max(plan_backoff_s(self.proto.retry_config, task.failures), retry_after_s)
            task.due = now + timedelta(seconds=wait_s)
            task.proto.schedule_time = task.due
            self._enqueue(task)

    def _start(self, task: QueuedTask, now: datetime) -> None:
        task.running = True
        self.running += 1
        task.first_tried_at = task.first_tried_at or now
        task.proto.dispatch_count += 1

    def _enqueue(self, task: QueuedTask) -> None:
        self._sequence += 1
        heapq.heappush(self._order, (task.due, self._sequence, task))

    def _may_dispatch(self, now: datetime) -> bool:
        if not self._order or self._order[0][0] > now:
            return False
        if self.proto.state != tasks_v2.Queue.State.RUNNING or (self._slow_until and now < self._slow_until):
            return False
        elapsed_s = (now - self._tokens_at).total_seconds() if self._tokens_at else float("inf")
        refilled = self._tokens + max(0.0, elapsed_s) * self._per_second
        self._tokens = min(self._burst, refilled)
        self._tokens_at = now
        return self._tokens >= 1 and self.running < self._at_once

    def _adapt_speed(self, status: int, now: datetime) -> None:
        if status in (429, 503):
            pause_s = min(self.slowdown_s * 2**self._slowdowns, _LONGEST_SLOWDOWN_S)
            self._slow_until = now + timedelta(seconds=pause_s)
            self._slowdowns += 1
        elif 200 <= status <= 299:
            self._slowdowns = 0

    def _is_exhausted(self, task: QueuedTask, now: datetime) -> bool:
        retry = self.proto.retry_config
        if retry.max_attempts < 0 or task.failures < retry.max_attempts or task.first_tried_at is None:
            return False
        return bool(now - task.first_tried_at >= retry.max_retry_duration)
