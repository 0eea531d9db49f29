"""Who may import whom, and that a function carries nothing that it does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.import_graph import FUNCTIONS, ROOT, distributions_of, files_of_function, imported_names

# Heavy libraries, and the functions that have a use for them.
USES = {
    "nh3": {"mail_proxy"},
    "google-cloud-tasks": set(FUNCTIONS),
    "google-cloud-secret-manager": set(FUNCTIONS),
    "google-api-python-client": set(FUNCTIONS),
}


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def importers(folder: str, forbidden: str) -> list[str]:
    """The files of a folder that import the forbidden package."""
    return [
        str(source.relative_to(ROOT))
        for source in sources(folder)
        if any(name.split(".")[0] == forbidden for name in imported_names(source))
    ]


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("common", "local"),
        ("common", "functions"),
        ("common", "tests"),
        ("functions", "local"),
        ("functions", "tests"),
        ("local", "common"),
        ("local", "functions"),
        ("local", "tests"),
    ],
)
def test_layers_do_not_know_what_stands_above_or_beside_them(folder: str, forbidden: str) -> None:
    """The product and the local Google share no code, and common knows no function."""
    assert importers(folder, forbidden) == []


@pytest.mark.parametrize("library", sorted(USES))
def test_only_functions_with_a_use_for_it_carry_a_library(library: str) -> None:
    """A heavy library is reached from the functions that use it and from no other."""
    carriers = {name for name in FUNCTIONS if library in distributions_of(files_of_function(name))}

    assert carriers == USES[library]


def test_only_config_reads_the_environment() -> None:
    """Besides the configuration and the clock's seam, no product code reads the environment."""
    readers = {
        str(source.relative_to(ROOT))
        for source in [*sources("common"), *sources("functions")]
        if "environ" in source.read_text() or "getenv" in source.read_text()
    }

    assert readers == {"common/config.py", "common/clock.py"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_starts_without_configuration_or_network(name: str) -> None:
    """Loading an entry point makes no client, opens no connection and reads no configuration."""
    probe = (
        "import socket, sys\n"
        "def refuse(*_): raise OSError('no network at start')\n"
        "socket.socket.connect = refuse\n"
        f"sys.path.insert(0, 'functions/{name}')\n"
        "import main\n"
        "from common.config import config\n"
        "print(config.cache_info().currsize, 'google.cloud.secretmanager' in sys.modules)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )

    assert ("0 False", "") == (ended.stdout.strip(), ended.stderr.strip())
