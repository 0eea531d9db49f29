"""axe-core, as npm has it: its script, of the very bytes that are pinned here, and what it finds serious in a page."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

PACKAGE = "axe-core@4.11.0"
SHA512 = "ilYanEU8vxxBexpJd8cWM4ElSQq4QctCLKih0TSfjIfCQTeyH/6zVrmIJfLPrKTKJRbiG+cfnZbQIjAlJmF1jQ=="
_SERIOUS = {"serious", "critical"}
_RUN = """async (only) => (await axe.run(document, only ? { runOnly: only } : {})).violations
  .map(({ id, impact, nodes }) => ({ id, impact,
    where: nodes.map((one) => `${one.target} ${one.failureSummary}`) }))"""


def fetch_axe(folder: Path) -> str:
    """The script, downloaded into a folder. Skips where npm is missing or reaches no registry."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("SKIPPED LOUDLY: no npm here: the page is not checked by axe")
    command = [npm, "pack", "--silent", PACKAGE]
    if subprocess.run(command, cwd=folder, capture_output=True, timeout=90, check=False).returncode:
        pytest.skip("SKIPPED LOUDLY: npm reaches no registry: the page is not checked by axe")
    archive = next(folder.glob("*.tgz"))
    assert SHA512 == base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    with tarfile.open(archive) as opened:
        script = opened.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def findings(page: Page, axe: str, only: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """What axe finds serious in what is shown now, by these rules only where some are named."""
    page.evaluate(axe)
    found: list[dict[str, Any]] = page.evaluate(_RUN, list(only) or None)
    return [one for one in found if one["impact"] in _SERIOUS]
