"""Owns load on a function: requests one after the other, as many as go at once, or at a rate that waits for nobody."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

_TIMEOUT_S: Final = 30.0
_SENDERS: Final = 48


@dataclass
class Target:
    """One request that is made again and again. Each thread keeps its connection."""

    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    _local: threading.local = field(default_factory=threading.local, repr=False)

    def ask(self) -> None:
        """Asks once. Raises LookupError unless the answer is of 200."""
        try:
            status = self._exchange(self._connection())
        except (http.client.HTTPException, OSError):
            # The server closes what was idle for some seconds.
            self._local.connection = None
            status = self._exchange(self._connection())
        if status != http.client.OK:
            raise LookupError(f"{self.path} answered {status}")

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_S)
            self._local.connection = connection
        return connection

    def _exchange(self, connection: http.client.HTTPConnection) -> int:
        connection.request(self.method, self.path, headers=dict(self.headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status


def repeat(target: Target, count: int) -> None:
    """Asks so often, one after the other."""
    for _ in range(count):
        target.ask()


def saturate(target: Target, seconds: float, at_once: int = 16) -> float:
    """Answers a second where so many ask at a time, each as soon as it was answered."""
    ends_s = time.perf_counter() + seconds
    counts = [0] * at_once

    def ask(number: int) -> None:
        while time.perf_counter() < ends_s:
            target.ask()
            counts[number] += 1

    started_s = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(ask, range(at_once)))
    return sum(counts) / (time.perf_counter() - started_s)


def keep_rate(target: Target, rate: float, seconds: float) -> list[float]:
    """How long each answer took, in seconds, where requests come evenly at ``rate`` a second whatever is answered.

    Counted from when a request was due: one that had to wait for its turn has waited for the server.
    """
    count = int(rate * seconds)
    started_s = time.perf_counter() + 0.05

    def ask(number: int) -> float:
        due_s = started_s + number / rate
        time.sleep(max(0.0, due_s - time.perf_counter()))
        target.ask()
        return time.perf_counter() - due_s

    with ThreadPoolExecutor(_SENDERS) as pool:
        return list(pool.map(ask, range(count)))
