"""When Cloud Tasks tries a failed task again, and when it gives up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.cloud import tasks_v2

from local.task_queue import QueuedTask, TaskQueue, plan_backoff_s, with_defaults

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_backoff_is_googles_example() -> None:
    """Google's reference: 10 s to 300 s with three doublings waits 10, 20, 40, 80, 160, 240, 300, 300 s."""
    retry = tasks_v2.RetryConfig(min_backoff=timedelta(seconds=10), max_backoff=timedelta(seconds=300), max_doublings=3)

    assert [10, 20, 40, 80, 160, 240, 300, 300] == [plan_backoff_s(retry, failures) for failures in range(1, 9)]


@pytest.mark.parametrize(
    ("attempts", "duration_s", "tried_for_s", "failures", "is_given_up"),
    [
        (3, 0, 0, 2, False),
        (3, 0, 0, 3, True),
        (3, 60, 59, 3, False),
        (3, 60, 60, 3, True),
        (3, 60, 600, 2, False),
        (-1, 0, 10_000, 500, False),
    ],
)
def test_giving_up(attempts: int, duration_s: int, tried_for_s: int, failures: int, is_given_up: bool) -> None:
    """A task ends when both its attempts and its time for retries are used up; -1 means that it never ends."""
    retry = {"max_attempts": attempts, "max_retry_duration": timedelta(seconds=duration_s)}
    queue = TaskQueue(with_defaults(tasks_v2.Queue(name="q", retry_config=retry)), NOW, slowdown_s=1.0)
    task = QueuedTask(tasks_v2.Task(name="q/tasks/t"), NOW, failures=failures - 1, first_tried_at=NOW, running=True)
    queue.add(task)
    queue.running = 1
    queue.finish(task, 500, 0.0, NOW + timedelta(seconds=tried_for_s))

    assert is_given_up == ("q/tasks/t" not in queue.tasks)


def test_slowdown_doubles_and_success_resets_it() -> None:
    """Each further 503 doubles the queue's pause; a success brings it back to its first length."""
    queue = TaskQueue(with_defaults(tasks_v2.Queue(name="q")), NOW, slowdown_s=1.0)
    for number in range(9):
        queue.add(QueuedTask(tasks_v2.Task(name=f"q/tasks/{number}"), NOW))

    moment, waits_s = NOW, []
    for status in (503, 503, 204, 503, 503):
        task, wait_s = _next_start(queue, moment)
        moment += timedelta(seconds=wait_s)
        waits_s.append(wait_s)
        queue.finish(task, status, 0.0, moment)

    assert [0.0, 1.0, 2.0, 0.0, 1.0] == waits_s


def _next_start(queue: TaskQueue, moment: datetime) -> tuple[QueuedTask, float]:
    """The next task that the queue lets go, and how many seconds after the moment, to half a second."""
    for halves in range(20):
        if task := queue.take_due(moment + timedelta(seconds=halves / 2)):
            return task, halves / 2
    raise AssertionError("nothing goes within ten seconds")
