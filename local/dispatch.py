"""How Google's services call an endpoint at a time: one request with its deadline, and the loop that waits.

Shared by Pub/Sub, Cloud Tasks and Cloud Scheduler; knows none of them.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

Mint = Callable[[str, str], str]
"""Gives the OIDC token of a service account for an audience."""

NO_ANSWER = 0
_CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Answer:
    """An endpoint's answer. ``status`` is NO_ANSWER where none came in time."""

    status: int
    retry_after_s: float = 0.0


def send_http(method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Answer:
    """Sends one request and returns its answer; never raises for the network's trouble."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    # No library that heeds a proxy or ~/.netrc of this machine, follows redirects, or takes milliseconds.
    connection = kind(parts.hostname or "", parts.port, timeout=min(_CONNECT_TIMEOUT_S, timeout_s))
    try:
        connection.connect()
        connection.sock.settimeout(timeout_s)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return Answer(NO_ANSWER)
    finally:
        connection.close()
    return Answer(response.status, _seconds(response.headers.get("Retry-After", "")))


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 0.0


class Workers:
    """A bounded pool of threads. What fails in one is shown by ``threading.excepthook``, never lost."""

    def __init__(self, name: str, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    def submit(self, work: Callable[[], None]) -> None:
        self._pool.submit(work).add_done_callback(_show_failure)

    def stop(self) -> None:
        """Begins nothing more; what runs may end by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _show_failure(future: Future[None]) -> None:
    if not future.cancelled() and (failure := future.exception()) is not None:
        details = (type(failure), failure, failure.__traceback__, threading.current_thread())
        threading.excepthook(threading.ExceptHookArgs(details))


class Loop:
    """A thread that calls ``step`` when woken, and every ``poll_s`` while ``step`` says that something waits.

    It polls because the clock jumps without telling anyone.
    """

    def __init__(self, name: str, step: Callable[[], bool], poll_s: float = 0.02) -> None:
        self._step = step
        self._poll_s = poll_s
        self._woken = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        self._stopped = True
        self._woken.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        waits = False
        while not self._stopped:
            self._woken.wait(self._poll_s if waits else None)
            self._woken.clear()
            if not self._stopped:
                waits = self._step()


def wait_until_idle(idle: Callable[[], bool], timeout_s: float, what: Callable[[], str]) -> None:
    """Returns as soon as ``idle`` says so. Raises TimeoutError with ``what`` is left."""
    give_up_s = time.monotonic() + timeout_s
    while not idle():
        if time.monotonic() > give_up_s:
            raise TimeoutError(what())
        time.sleep(0.005)
