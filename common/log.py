"""Owns what is written to the log: one JSON line an event, with fields from a closed list. Imports clock alone.

Nothing of a mail, no token, no address: ids are hashed by their loggers' callers, exceptions are told by class, code
and frames, never by text; the libraries' own loggers are off, since some print whole URLs with their queries.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from typing import Final

from common import clock

FIELDS: Final = frozenset(
    {
        "function", "route", "method", "status", "code", "duration_ms", "user", "owner", "mailbox", "mail", "contact",
        "kind", "reason", "count", "attempt", "generation", "units", "task", "until", "error", "frames", "outcome",
        "sweep", "limit", "size_bytes", "version", "expected", "found", "healed",
    }
)  # fmt: skip

_write_lock = threading.Lock()


def silence_libraries() -> None:
    """Turns off the loggers of every library: googleapiclient, urllib3 and werkzeug would print URLs and bodies."""
    logging.getLogger().handlers = [logging.NullHandler()]
    logging.getLogger().setLevel(logging.CRITICAL)
    for name in (
        "werkzeug",
        "gunicorn.access",
        "googleapiclient",
        "google",
        "urllib3",
        "httplib2",
        "google_auth_httplib2",
    ):
        logging.getLogger(name).disabled = True


def event(name: str, *, severity: str = "INFO", **fields: str | int | float | bool | list[str] | None) -> None:
    """Writes one line. Raises ValueError for a field that the closed list does not have."""
    unknown = fields.keys() - FIELDS
    if unknown:
        raise ValueError(f"not a log field: {sorted(unknown)}")
    line = {"severity": severity, "time": clock.now().isoformat(), "event": name}
    line.update({key: value for key, value in fields.items() if value is not None})  # type: ignore[misc]
    with _write_lock:
        sys.stderr.write(json.dumps(line, ensure_ascii=True) + "\n")
        sys.stderr.flush()


def failure(name: str, error: BaseException, **fields: str | int | float | bool | list[str] | None) -> None:
    """Writes an error by class, code and frames."""
    frames = [
        f"{frame.filename.rsplit('/', 2)[-1]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    event(
        name,
        severity="ERROR",
        error=type(error).__name__,
        code=str(getattr(error, "code", "")) if isinstance(getattr(error, "code", ""), (str, int)) else None,
        frames=frames[-8:],
        **fields,
    )
