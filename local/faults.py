"""Faults that tests inject into the stand-ins: a status, a delay, a lost answer; by service, method and mailbox."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class Fault:
    """What goes wrong.

    ``method`` is the stand-in's name of the call (``users.messages.get``, ``token``, ``CreateTask`` …), ``*`` for all.
    ``count`` is how often it still strikes; ``skip`` how many matching calls pass before it begins.
    ``status`` 0 means that the call itself succeeds (useful with ``delay_s`` or ``drop_answer``).
    ``drop_answer`` does the work, then closes the connection without an answer.
    """

    service: str
    method: str = "*"
    mailbox: str = "*"
    status: int = 0
    reason: str = ""
    message: str = ""
    delay_s: float = 0.0
    drop_answer: bool = False
    count: int = 1
    skip: int = 0
    struck: int = field(default=0, compare=False)


class Faults:
    """The faults that wait. ``take`` hands out the first that matches and counts it down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def inject(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def waiting(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def take(self, service: str, method: str, mailbox: str = "") -> Fault | None:
        """The fault that strikes this call, if any."""
        with self._lock:
            for fault in self._faults:
                if fault.service != service or fault.method not in ("*", method) or fault.mailbox not in ("*", mailbox):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.count -= 1
                fault.struck += 1
                if fault.count <= 0:
                    self._faults.remove(fault)
                return fault
        return None
