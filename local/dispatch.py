"""How Google's services call an endpoint at a time: one request with its deadline, and the loop that waits.

Shared by Pub/Sub, Cloud Tasks and Cloud Scheduler; knows none of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import requests

Mint = Callable[[str, str], str]
"""Gives the OIDC token of a service account for an audience."""

NO_ANSWER = 0


@dataclass(frozen=True)
class Answer:
    """An endpoint's answer. ``status`` is NO_ANSWER where none came in time."""

    status: int
    retry_after_s: float = 0.0


def send_http(method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Answer:
    """Sends one request and returns its answer; never raises for the network's trouble."""
    with requests.Session() as session:
        # Neither a proxy nor ~/.netrc of this machine may touch the request.
        session.trust_env = False
        try:
            response = session.request(
                method,
                url,
                headers=dict(headers),
                data=body,
                timeout=(min(5.0, timeout_s), timeout_s),
                allow_redirects=False,
            )
        except requests.RequestException:
            return Answer(NO_ANSWER)
        return Answer(response.status_code, _seconds(response.headers.get("Retry-After", "")))


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
