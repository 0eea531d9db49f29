"""What the commands that stay up share: how they end, which ports and folders they find free, who looks at them."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn


def end_on_signals() -> None:
    """From now on Ctrl-C and SIGTERM raise KeyboardInterrupt, once: make and the terminal may pass on the same one."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def is_taken(port: int) -> bool:
    """Whether a server of ours could not have this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As the server will do it: a port that was just used may be used again.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


_taken: list[int] = []


def take(directory: Path) -> bool:
    """Makes the folder this process's until it ends, however it ends; False where it is another one's."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _taken.append(lock)
    return True


def has_desktop() -> bool:
    """Whether a person sits there who could be shown a page: a terminal, with a desktop around it."""
    return sys.stdout.isatty() and (
        sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    )


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
