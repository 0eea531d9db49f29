"""Owns taking turns within one process: of several who are about to do the same, one does it and the others wait.

Saves work, and is never needed for correctness: other processes know nothing of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

# Who has waited so long goes ahead all the same.
_LONGEST_S: Final = 20.0


@dataclass
class _Turn:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


_turns: Final[dict[str, _Turn]] = {}
_guard: Final = threading.Lock()


@contextmanager
def take_turn(name: str) -> Iterator[bool]:
    """Holds the turn of this name within the block. True if somebody else has had it until just now."""
    with _guard:
        turn = _turns.setdefault(name, _Turn())
        turn.users += 1
    is_free = turn.lock.acquire(blocking=False)
    is_mine = is_free or turn.lock.acquire(timeout=_LONGEST_S)
    try:
        yield is_mine and not is_free
    finally:
        if is_mine:
            turn.lock.release()
        with _guard:
            turn.users -= 1
            if not turn.users:
                _turns.pop(name, None)
