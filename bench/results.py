"""Owns how results are written: a JSON file and a page of Markdown, with the machine and the versions."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
_PACKAGES = (
    "google-cloud-firestore",
    "google-cloud-tasks",
    "google-api-python-client",
    "functions-framework",
    "grpcio",
)


def machine() -> dict[str, Any]:
    """Where and when a run took place, and with what."""
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_memory_gib()} GiB",
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def table(figures: Mapping[str, Any]) -> str:
    """The figures as a table of Markdown."""
    rows = [f"| {name.replace('_', ' ')} | {_shown(value)} |" for name, value in figures.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def write(name: str, title: str, figures: Mapping[str, Any], text: str) -> None:
    """Writes ``results/<name>.json`` and ``.md``."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
    about = machine()
    where = f"{about['at']}; {about['machine']}; Python {about['python']}; load {about['load_average']:.1f}."
    packages = ", ".join(f"{one} {number}" for one, number in about["packages"].items())
    (RESULTS / f"{name}.md").write_text(f"# {title}\n\n{where} {packages}.\n\n{text}\n")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {one}" for key, one in value.items())
    return str(value)


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
