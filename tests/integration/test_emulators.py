"""Google's official emulators, started and stopped by us."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from local import emulators

pytestmark = [pytest.mark.integration, pytest.mark.emulator]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("emulator", "missing"),
    [
        (emulators.FirestoreEmulator, emulators.firestore_missing()),
        (emulators.PubsubEmulator, emulators.pubsub_missing()),
    ],
)
def test_an_emulator_is_up_when_started_and_gone_when_stopped(
    emulator: type[emulators.FirestoreEmulator | emulators.PubsubEmulator], missing: str
) -> None:
    """It listens once it is constructed; stopping it, twice too, frees its port."""
    if missing:
        pytest.skip(missing)
    with emulator() as running:
        assert _listens(running.port)
        running.stop()
        assert not _listens(running.port)


def test_without_the_cloud_sdk_the_reason_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where gcloud is not installed, nothing is available, and starting says why."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not emulators.firestore_available()
    assert not emulators.pubsub_available()
    with pytest.raises(emulators.EmulatorUnavailableError, match="no gcloud"):
        emulators.FirestoreEmulator()


def test_without_the_component_the_reason_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the Cloud SDK lacks an emulator, the reason is the command that installs it."""
    for name in ("bin/gcloud", "bin/java"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert "gcloud components install cloud-firestore-emulator" in emulators.firestore_missing()
    assert "gcloud components install pubsub-emulator" in emulators.pubsub_missing()


def test_an_emulator_that_ends_at_once_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If java fails, the error says so at once, with what it printed."""
    for name, text in (("bin/gcloud", ""), ("bin/java", "echo out of luck; exit 3"), ("platform/x", "")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    jars = tmp_path / "platform" / "pubsub-emulator" / "lib"
    jars.mkdir(parents=True)
    (jars / "cloud-pubsub-emulator-1-all.jar").touch()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    with pytest.raises(emulators.EmulatorUnavailableError, match="out of luck"):
        emulators.PubsubEmulator()
