"""What the commands that stay up share: how they end, and which ports they find free."""

from __future__ import annotations

import signal
import socket
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


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
