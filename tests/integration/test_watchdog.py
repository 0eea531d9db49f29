"""Nothing of a stack outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.functions import ROOT

pytestmark = pytest.mark.integration

OWNER = """
import subprocess, time
from local.watchdog import watchdog
sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
guarded, released = (subprocess.Popen(sleeper, start_new_session=True) for _ in range(2))
watchdog().guard(guarded.pid)
watchdog().guard(released.pid)
watchdog().release(released.pid)
print(guarded.pid, released.pid, flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that waits to be buried does not."""
    if not Path("/proc/self/stat").exists():
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
        return state.strip() != "" and not state.startswith("Z")
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_guarded_processes_end_with_their_owner() -> None:
    """When its owner is killed, a guarded process is ended, and one that was released is left alone."""
    owner = subprocess.Popen(
        [sys.executable, "-c", f"import sys\n{OWNER}"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    guarded, released = map(int, owner.stdout.readline().split())
    owner.kill()
    owner.wait()
    owner.stdout.close()

    give_up_s = time.monotonic() + 10
    while is_alive(guarded) and time.monotonic() < give_up_s:
        time.sleep(0.02)
    ended = (is_alive(guarded), is_alive(released))
    os.kill(released, signal.SIGKILL)

    assert (False, True) == ended
