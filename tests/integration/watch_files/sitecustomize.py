"""Loaded by Python at the start of a watched process: notes every file that it opens for writing, unlinked ones too.

Owns the file that ``WATCHED_FILES`` names, one path a line. Imports nothing but the standard library.
"""

from __future__ import annotations

import os
import sys
import tempfile

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_log = os.open(os.environ["WATCHED_FILES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _note(event: str, arguments: tuple[object, ...]) -> None:
    # https://docs.python.org/3/library/audit_events.html: "open" is raised by open() and os.open() alike.
    opens = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & _WRITING)
    if opens or event in ("tempfile.mkstemp", "tempfile.mkdtemp"):
        os.write(_log, f"{arguments[0]!r}\n".encode())


# Where temporary files go is found out by writing one of four bytes, once a process: done here, before anybody listens.
tempfile.gettempdir()
sys.addaudithook(_note)
