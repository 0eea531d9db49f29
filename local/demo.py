"""``make demo`` and ``make run``: plays the main job on a local Google and says what happened, a line a step.

Exits with 1 if a step did not do what it says. With ``--stay`` everything stays up afterwards until Ctrl-C.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from local.administration import write_file
from local.functions import ROOT, FunctionFailed
from local.main_job import MainJob, StepLied, Told
from local.stack import CallFailed, Stack
from local.terminal import end_on_signals, has_desktop, is_taken, take

# Where a person finds it again; another port is taken where these are not free.
_CRM_PORT = 8600
_FRONT_PORT = 8601
# Where python -m ops --local looks.
RUN = ROOT / ".local" / "run"


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--stay", action="store_true", help="stay up after the last step, until Ctrl-C")
    stay: bool = parser.parse_args(arguments).stay
    end_on_signals()
    try:
        with _stack(stay) as stack:
            return _perform(stack, stay)
    except FunctionFailed as failed:
        _say(f"A function did not start. {failed}")
        return 1
    except KeyboardInterrupt:
        return 0


def _stack(stay: bool) -> Stack:
    if not stay:
        return Stack()
    crm_port, front_port = _free_or_any(_CRM_PORT), _free_or_any(_FRONT_PORT)
    return Stack(_run_directory(), webhook=True, crm_port=crm_port, front_port=front_port)


def _perform(stack: Stack, stay: bool) -> int:
    _say(f"A Google and the four functions run on this machine; logs in {stack.directory}")
    job = MainJob(stack)
    number = 0
    try:
        for told in job.play():
            number = told.number
            _say(_line(told))
    except (StepLied, CallFailed, TimeoutError) as failure:
        _say(f"{number + 1}. FAILED: {failure}")
        return 1
    _say("What is still stored: " + _stored(job.still_stored()))
    if stay:
        _stay(stack)
    return 0


def _line(told: Told) -> str:
    calls = ", ".join(f"{count}× {method.removeprefix('users.')}" for method, count in sorted(told.calls.items()))
    cost = f"{told.units} units" + (f": {calls}" if calls else "")
    return f"{told.number}. {told.title}: {told.what} [{cost}]"


def _stored(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if count)


def _stay(stack: Stack) -> None:
    # The deal that was won in the play is open again: whoever clicks through may win it.
    stack.load_directory()
    stack.google.scheduler.set_automatic(True)
    _say(f"The functions: {stack.front.url}/oauth_callback and {stack.front.url}/mail_proxy")
    administered = write_file(stack)
    if administered == RUN / administered.name:
        where = administered.relative_to(ROOT)
        _say(f"Administer it: .venv/bin/python -m ops --local status (its environment is in {where})")
    else:
        _say("Another make run is up: python -m ops --local works on that one")
    _say(f"Deliver mail, move the clock, inject faults: {stack.control_url} (docs/architecture.md). Ctrl-C ends it.")
    _say(f"Open {stack.crm_url} and sign in as Anna, Ben or Carla: the demo CRM. Google's consent page is local too.")
    if has_desktop():
        webbrowser.open(stack.crm_url)
    while True:
        time.sleep(3600)


def _say(text: str) -> None:
    print(text, flush=True)


def _free_or_any(port: int) -> int:
    return 0 if is_taken(port) else port


def _run_directory() -> Path:
    """The first of ``.local/run``, ``.local/run-2`` … that no other run has; it is this process's to its end."""
    names = (RUN.with_name(f"{RUN.name}-{number}" if number > 1 else RUN.name) for number in itertools.count(1))
    directory = next(name for name in names if take(name))
    for old in directory.glob("*.log"):
        old.unlink()
    return directory


if __name__ == "__main__":
    sys.exit(main())
