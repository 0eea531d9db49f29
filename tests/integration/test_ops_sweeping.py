"""``sweep-now``, ``pause`` and ``resume``: what administrators do with the scheduler's jobs."""

from __future__ import annotations

import pytest

from local.stack import Stack
from tests.integration.ops_rig import ops

pytestmark = pytest.mark.integration


def test_sweep_now_files_mail(stack: Stack) -> None:
    """The job runs at once and files the mail of a customer."""
    stack.load_directory()
    stack.connect("anna")
    stack.switch_on("anna")
    mail = stack.mail("anna", "mia@customer.example")
    stack.settle()

    ended = ops(stack, "sweep-now")
    stack.google.scheduler.drain(30)
    stack.catch_up(within_s=60)

    assert 0 == ended.code
    assert ended.out.startswith("label-sweep runs now; next by schedule: ")
    assert "Closing This Month (CTM)" in stack.labels_of("anna", mail)


def test_a_paused_job_stays_paused_until_it_is_resumed(stack: Stack) -> None:
    """pause and resume say what the job is then, and do nothing when repeated."""
    paused = [ops(stack, "pause", "--json").json for _ in range(2)]
    resumed = ops(stack, "resume", "--json").json

    assert [{"job": "label-sweep", "state": "PAUSED", "next_run_at": None}] * 2 == paused
    assert ("ENABLED", True) == (resumed["state"], resumed["next_run_at"].endswith("Z"))


def test_other_jobs_can_be_named(stack: Stack) -> None:
    """--job names another job, and refuses names that are none."""
    ran = ops(stack, "sweep-now", "--job", "housekeeping", "--json")
    stack.google.scheduler.drain(30)
    stack.settle()

    assert (0, "housekeeping") == (ran.code, ran.json["job"])
    assert [204] == [call.status for call in stack.ledger.since(service="scheduler") if call.method == "fire"][-1:]
    assert 2 == ops(stack, "pause", "--job", "nightly").code
