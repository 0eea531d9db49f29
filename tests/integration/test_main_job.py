"""The main job: everything that the product is for, once through, as ``make demo`` plays it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from local.emulators import firestore_missing, pubsub_missing
from local.faults import Fault
from local.functions import ROOT
from local.main_job import MainJob, StepLied
from local.stack import Stack

pytestmark = pytest.mark.integration


def test_main_job(stack: Stack) -> None:
    """From consent to deactivation each of the eight steps does what it says, and costs what the design says."""
    job = MainJob(stack)

    told = list(job.play())

    # Filing: one history.list and one batchModify a label; after it Gmail's echo is read once more.
    assert [1, 2, 3, 4, 5, 6, 7, 8] == [step.number for step in told]
    assert {"users.messages.batchModify": 3} == {
        method: count for method, count in told[3].calls.items() if method == "users.messages.batchModify"
    }
    assert 1 == told[4].calls["users.messages.send"]
    assert 1 == told[7].calls["users.stop"]


def test_deactivation_leaves_nothing_of_the_user(stack: Stack) -> None:
    """After the main job Firestore holds of Anna what the CRM and the audit know, and nothing of her mailbox."""
    job = MainJob(stack)
    for _ in job.play():
        pass

    left = {path.partition("/")[0] for path, record in stack.documents().items() if "anna" in str(record)}

    assert {"audit", "contacts", "deals", "users"} == left


def test_step_that_lies_is_found(stack: Stack) -> None:
    """A step whose effect is missing ends the play: here no push ever arrives, and nobody noticed the mails."""
    steps = MainJob(stack).play()
    told = [next(steps), next(steps)]
    stack.faults.inject(Fault("pubsub", "publish", status=503, count=1000))

    with pytest.raises(StepLied, match="notices"):
        next(steps)
    assert [1, 2] == [step.number for step in told]


def test_demo_says_what_happens_and_ends_well() -> None:
    """``make demo`` prints a line for each step and one for what is still stored, and exits with 0."""
    ended = subprocess.run(
        [sys.executable, "-m", "local.demo"], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )

    lines = ended.stdout.splitlines()
    assert (0, "") == (ended.returncode, ended.stderr)
    assert [f"{number}." for number in range(1, 9)] == [line[:2] for line in lines if line[:1].isdigit()]
    assert lines[-1].startswith("What is still stored: ")


@pytest.mark.emulator
def test_main_job_on_googles_emulators(tmp_path: Path) -> None:
    """On Google's own Firestore and Pub/Sub emulators the same eight steps do what they say."""
    if missing := firestore_missing() or pubsub_missing():
        pytest.skip(missing)
    with Stack(tmp_path, firestore="official", pubsub="official") as official:
        told = list(MainJob(official).play())

    assert [1, 2, 3, 4, 5, 6, 7, 8] == [step.number for step in told]
