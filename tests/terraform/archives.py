"""The functions' source archives as ``archives.tf`` makes them of ``archives.json``, without Terraform."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from tests.terraform.hcl import FOLDER
from tests.unit.import_graph import ROOT

MANIFEST: Final = FOLDER / "archives.json"
_INSTALL_TIMEOUT_S: Final = 800
# What pip says of an index that it cannot get at, as it tries again.
_UNREACHABLE: Final = re.compile(
    r"connection broken by|Could not connect|Network is unreachable|Name or service not known"
)


class IndexUnreachable(Exception):
    """Packages cannot be had here; the text holds the end of what pip says."""


def archive_files(function: str) -> dict[str, Path]:
    """The archive's paths, each with the file that it holds."""
    parts = json.loads(MANIFEST.read_text())[function]
    return {
        f"{part['to']}{path.relative_to(folder).as_posix()}": path
        for part in parts
        for folder in [ROOT / part["folder"]]
        for path in sorted(folder.glob(part["files"]))
        if path.is_file()
    }


def pack(function: str, target: Path) -> None:
    """Writes the archive. Raises UnicodeDecodeError for what Terraform's ``file`` would refuse."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in archive_files(function).items():
            archive.writestr(name, path.read_bytes().decode("utf-8"))


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks what ``pack`` has written."""
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)


def requirements(function: str) -> tuple[str, ...]:
    """The archive's own requirements, without comments."""
    lines = archive_files(function)["requirements.txt"].read_text().splitlines()
    return tuple(sorted(line for line in lines if line and not line.startswith("#")))


def install(pins: tuple[str, ...], folder: Path, *options: str) -> Path:
    """Makes an environment of these packages alone, and returns its Python.

    Raises IndexUnreachable, or AssertionError where an index is there but does not have what is asked for.
    """
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True, timeout=_INSTALL_TIMEOUT_S)
    done = subprocess.run(
        [python, "-m", "pip", "install", "--disable-pip-version-check", "--retries", "1", *options, *pins],
        capture_output=True,
        text=True,
        timeout=_INSTALL_TIMEOUT_S,
        check=False,
    )
    said = f"{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
    if done.returncode and _UNREACHABLE.search(done.stderr + done.stdout):
        raise IndexUnreachable(said)
    assert 0 == done.returncode, said
    return python
