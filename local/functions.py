"""Runs the functions as production does: functions-framework with gunicorn, one process group each, logs in a file.

Owns the processes that it starts. Imports neither the functions nor ``common``.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from local.watchdog import watchdog

ROOT = Path(__file__).resolve().parent.parent
# As deployed. Without the second one, glibc keeps what big uploads took (docs/gotchas.md).
_DEFAULTS = {"THREADS": "8", "MALLOC_MMAP_THRESHOLD_": "1048576"}
_PORTS = range(20_000, 32_000)
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE")


class FunctionFailed(Exception):
    """A function did not come up; the text holds the end of its log."""


class FunctionProcess:
    """One instance of a function. ``start`` waits until it answers; ``url`` is its own address, behind the front.

    ``env`` is its whole environment, apart from what Python itself needs to run; its ``PYTHONPATH`` comes first.
    ``python`` runs it: this process's own, unless it has requirements of its own.
    """

    def __init__(
        self,
        name: str,
        env: Mapping[str, str],
        log_file: Path,
        *,
        source: Path | None = None,
        port: int = 0,
        root: Path = ROOT,
        python: str = sys.executable,
    ) -> None:
        self.name = name
        self.env = dict(env)
        self.log_file = log_file
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._source = source or root / "functions" / name
        self._root = root
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The id of the process group. Raises FunctionFailed when it was not started."""
        if self._process is None:
            raise FunctionFailed(f"{self.name} was not started")
        return self._process.pid

    def start(self, timeout_s: float = 30.0) -> None:
        """Starts it and returns when it answers. Raises FunctionFailed."""
        self.begin()
        give_up_s = time.monotonic() + timeout_s
        while not self._answers():
            if not self.is_running or time.monotonic() > give_up_s:
                self.kill()
                raise FunctionFailed(f"{self.name} did not come up:\n{self._log_end()}")
            time.sleep(0.05)

    def begin(self) -> None:
        """Starts it, and waits for nothing."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self._root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        watchdog().guard(self._process.pid)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ends it as Cloud Run does, by SIGTERM; kills what is left after the time. Doing it twice does nothing."""
        if self._process is None:
            return
        # To the master alone: it ends its workers one way, and they save what they must.
        if self.is_running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """Ends the whole group at once, as a crash would."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=5)
        watchdog().release(self._process.pid)

    def restart(self, env: Mapping[str, str] | None = None) -> None:
        """Stops and starts it on the same port, with another environment where one is given."""
        self.stop()
        if env is not None:
            self.env = dict(env)
        self.start()

    def _command(self) -> list[str]:
        return [
            self._python,
            "-m",
            "functions_framework",
            "--source",
            str(self._source / "main.py"),
            "--target",
            self.name,
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]

    def _environment(self) -> dict[str, str]:
        base = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        # No credentials of the developer's own may ever be found: a mistake here must not reach the real Google.
        sealed = {"CLOUDSDK_CONFIG": str(self.log_file.parent / "no-gcloud"), "NO_GCE_CHECK": "true"}
        path = [one for one in (self.env.get("PYTHONPATH"), str(self._root)) if one]
        own = {"PYTHONPATH": os.pathsep.join(path), "K_SERVICE": self.name}
        return {**_DEFAULTS, **base, **sealed, **self.env, **own}

    def _answers(self) -> bool:
        # robots.txt is answered by the framework itself: the function is not called.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/robots.txt")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def _log_end(self) -> str:
        return self.log_file.read_text(errors="replace")[-4000:]


def _free_port() -> int:
    # Below what systems give to connections that go out: one of those could take the port before the function does.
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise FunctionFailed("no port is free")
