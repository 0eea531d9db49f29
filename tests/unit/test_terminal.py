"""What the commands that stay up find free."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from local.functions import ROOT
from local.terminal import has_desktop, take

_TAKES = "import sys; from pathlib import Path; from local.terminal import take; print(take(Path(sys.argv[1])))"


def taken_by_another(directory: Path) -> str:
    """What another process is told that wants the folder."""
    command = [sys.executable, "-c", _TAKES, str(directory)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_a_folder_is_one_runs_alone(tmp_path: Path) -> None:
    """Whoever comes second is told so; a run that has ended, in whatever way, holds nothing."""
    assert "True" == taken_by_another(tmp_path / "run")
    assert take(tmp_path / "run")
    assert "False" == taken_by_another(tmp_path / "run")
    assert take(tmp_path / "run-2")


def test_a_page_is_shown_where_somebody_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, or without a desktop around it, no browser is opened."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not has_desktop()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert has_desktop()
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not has_desktop()
