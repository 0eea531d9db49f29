"""The one clock of a local stack.

It runs with the real one, moved by an offset that is kept in a file, so that the functions (processes of their own)
see the same time: they read the file that ``CLOCK_OFFSET_FILE`` names.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path


class LocalClock:
    """Real time plus an offset that only grows."""

    def __init__(self, offset_file: Path) -> None:
        self.offset_file = offset_file
        self._lock = threading.Lock()
        self._offset_s = 0.0
        self._write()

    def now(self) -> datetime:
        """The stack's time, aware, in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self._offset_s)

    def advance(self, seconds: float) -> datetime:
        """Moves the time forward and returns it. Raises ValueError for a negative step."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        with self._lock:
            self._offset_s += seconds
            self._write()
        return self.now()

    def _write(self) -> None:
        # Renamed into place, so that no reader ever sees half a number.
        scratch = self.offset_file.with_suffix(".tmp")
        scratch.write_text(repr(self._offset_s))
        scratch.replace(self.offset_file)
