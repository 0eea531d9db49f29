"""Ends process groups when whoever started them dies, also by SIGKILL: nothing of a stack outlives its owner.

A process of its own reads group ids from a pipe; when the pipe ends, the owner is gone. May import only the standard
library.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
from functools import cache
from typing import IO


class Watchdog:
    """The running watchdog of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # In a session of its own, so that Ctrl-C reaches it only through its owner's end.
        self._process = subprocess.Popen(
            [sys.executable, "-S", __file__], stdin=subprocess.PIPE, start_new_session=True, text=True
        )

    def guard(self, group: int) -> None:
        """Kills the process group ``group`` as soon as this process is gone."""
        self._tell(f"+{group}")

    def release(self, group: int) -> None:
        """Forgets the group: it has ended, and its number may be another's soon."""
        self._tell(f"-{group}")

    def stop(self) -> None:
        """Lets it kill what is still guarded, and waits until it has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=5)

    def _tell(self, line: str) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            pipe = self._process.stdin
            if pipe is not None:
                pipe.write(f"{line}\n")
                pipe.flush()


@cache
def _watchdog() -> Watchdog:
    started = Watchdog()
    atexit.register(started.stop)
    return started


_starting = threading.Lock()


def watchdog() -> Watchdog:
    """The watchdog of this process, started when first asked for."""
    # The cache alone would start one for each thread that asks at once.
    with _starting:
        return _watchdog()


def watch(lines: IO[str]) -> None:
    """Notes groups line by line (``+12`` and ``-12``); kills those that are left when the lines end."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    watch(sys.stdin)
