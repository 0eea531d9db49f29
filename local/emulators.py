"""Google's official Firestore and Pub/Sub emulators: finds them in the Cloud SDK, starts, resets and stops them.

Owns their processes. They run in process groups of their own, because java survives its parent otherwise; all waiting
is bounded. Of ``local`` imports the watchdog alone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from local.watchdog import watchdog

_JVM_FLAGS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0


class EmulatorUnavailableError(RuntimeError):
    """The emulator is not installed here, or did not come up in time; the text says which."""


def cloud_sdk_root() -> Path | None:
    """The folder of the Cloud SDK, from the real path of ``gcloud``; None where it is not installed."""
    gcloud = shutil.which("gcloud")
    return Path(gcloud).resolve().parent.parent if gcloud else None


def firestore_missing() -> str:
    """Why the Firestore emulator cannot run here; empty if it can."""
    return _missing(_firestore_jar(), "cloud-firestore-emulator")


def pubsub_missing() -> str:
    """Why the Pub/Sub emulator cannot run here; empty if it can."""
    return _missing(_pubsub_jar(), "pubsub-emulator")


def firestore_available() -> bool:
    """Whether the official Firestore emulator can be started here."""
    return not firestore_missing()


def pubsub_available() -> bool:
    """Whether the official Pub/Sub emulator can be started here."""
    return not pubsub_missing()


class _Emulator:
    """One running emulator; ``address`` is ``127.0.0.1:port``. Usable as a context manager."""

    def __init__(self, name: str, command: list[str], port: int, timeout_s: float) -> None:
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        self._name = name
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process; closed in stop
        self._process = subprocess.Popen(
            command, stdout=self._output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
        watchdog().guard(self._process.pid)
        try:
            self._wait_until_up(timeout_s)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the whole process group: asks first, kills after five seconds. May be called twice."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait(_STOP_TIMEOUT_S)
        watchdog().release(self._process.pid)
        self._output.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _wait_until_up(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self._is_up():
            if self._process.poll() is not None:
                raise EmulatorUnavailableError(f"the {self._name} emulator ended at once: {self._last_output()}")
            if time.monotonic() > deadline:
                raise EmulatorUnavailableError(f"the {self._name} emulator was not up after {timeout_s:.0f} s")
            time.sleep(0.05)

    def _is_up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=0.5).close()
        except OSError:
            return False
        return True

    def _last_output(self) -> str:
        self._output.seek(0)
        return self._output.read()[-2000:].decode(errors="replace").strip()


class FirestoreEmulator(_Emulator):
    """The official Firestore emulator, native mode, on loopback. Raises EmulatorUnavailableError."""

    def __init__(self, port: int = 0, timeout_s: float = _START_TIMEOUT_S) -> None:
        _verify_available(firestore_missing())
        port = port or _free_port()
        command = [
            *("java", *_JVM_FLAGS, "-cp", str(_firestore_jar())),
            *("com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start"),
            *("--host=127.0.0.1", f"--port={port}", "--database-mode=firestore-native"),
        ]
        super().__init__("Firestore", command, port, timeout_s)

    def reset(self, project: str = "local-project") -> None:
        """Deletes all documents of the project's default database."""
        url = f"{self.url}/emulator/v1/projects/{project}/databases/(default)/documents"
        with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10):
            pass

    def dump(self, project: str = "local-project") -> dict[str, dict[str, Any]]:
        """All documents by their path, their values as REST shows them (``{"stringValue": …}``)."""
        root = f"projects/{project}/databases/(default)/documents"
        # A query that names no collection finds the documents of all.
        query = {"structuredQuery": {"from": [{"allDescendants": True}]}}
        request = urllib.request.Request(
            f"{self.url}/v1/{root}:runQuery",
            data=json.dumps(query).encode(),
            headers={"Content-Type": "application/json", "Authorization": "Bearer owner"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = [row["document"] for row in json.load(answer) if "document" in row]
        return {document["name"].removeprefix(f"{root}/"): document.get("fields", {}) for document in found}

    def _is_up(self) -> bool:
        # The port listens before the service answers.
        try:
            with urllib.request.urlopen(self.url, timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class PubsubEmulator(_Emulator):
    """The official Pub/Sub emulator on loopback. Raises EmulatorUnavailableError."""

    # It has no reset: whoever shares one uses topics of their own.

    def __init__(self, port: int = 0, timeout_s: float = _START_TIMEOUT_S) -> None:
        _verify_available(pubsub_missing())
        port = port or _free_port()
        command = ["java", *_JVM_FLAGS, "-jar", str(_pubsub_jar()), "--host=127.0.0.1", f"--port={port}"]
        super().__init__("Pub/Sub", command, port, timeout_s)


def _verify_available(missing: str) -> None:
    if missing:
        raise EmulatorUnavailableError(missing)


def _missing(jar: Path | None, component: str) -> str:
    if cloud_sdk_root() is None:
        return "the Cloud SDK is not installed (no gcloud on the path)"
    if shutil.which("java") is None:
        return "java is not installed"
    if jar is None:
        return f"the Cloud SDK has no {component}: gcloud components install {component}"
    return ""


def _firestore_jar() -> Path | None:
    return _first("platform/cloud-firestore-emulator", "cloud-firestore-emulator*.jar")


def _pubsub_jar() -> Path | None:
    return _first("platform/pubsub-emulator/lib", "cloud-pubsub-emulator-*-all.jar")


def _first(folder: str, pattern: str) -> Path | None:
    root = cloud_sdk_root()
    return next(iter(sorted((root / folder).glob(pattern))), None) if root else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
