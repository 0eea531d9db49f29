"""Where Terraform, its schema and the tools that check it are, and how a copy of ``terraform/`` is run offline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "terraform"
TOOLS: Final = ROOT / ".venv-terraform" / "bin"
SCHEMA: Final = Path(os.environ.get("TERRAFORM_SCHEMA", ROOT.parent / "shared" / "terraform" / "schema.json"))
_FUNCTIONS: Final = ("oauth_callback", "mail_proxy", "magnet_ingest", "label_sweep")
_TIMEOUT_S: Final = 400


def missing() -> str:
    """What is not here of what the checks need, in words for a skipped test; empty where all of it is."""
    wanted = {
        "terraform": shutil.which("terraform"),
        f"the providers' schema at {SCHEMA} (or TERRAFORM_SCHEMA)": SCHEMA.is_file(),
        "the tools of requirements-terraform.txt (make terraform-tools)": (TOOLS / "checkov").is_file(),
    }
    absent = [name for name, found in wanted.items() if not found]
    return f"SKIPPED LOUDLY: Terraform is not checked here, for want of {'; '.join(absent)}" if absent else ""


@dataclass(frozen=True)
class Copy:
    """``terraform/`` beside sources that are stubs: archives of the real ones would make each run slow."""

    folder: Path

    @classmethod
    def make(cls, root: Path) -> Copy:
        """A copy below ``root``, initialised."""
        hidden = shutil.ignore_patterns(".*")
        shutil.copytree(SOURCE, root / "terraform", ignore=hidden)
        (root / "common" / "store").mkdir(parents=True)
        shutil.copy(ROOT / "common" / "store" / "indexes.json", root / "common" / "store")
        (root / "common" / "__init__.py").write_text("")
        for name in _FUNCTIONS:
            (root / "functions" / name).mkdir(parents=True)
            for file in ("main.py", "requirements.txt"):
                (root / "functions" / name / file).write_text("# a stub\n")
        copy = cls(root / "terraform")
        copy.run("init", "-backend=false", "-input=false")
        return copy

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs Terraform in the copy, with the recorded schema for its providers."""
        command = [
            *(str(TOOLS / "python"), "-m", "tests.terraform.schema_provider", str(SCHEMA)),
            *("terraform", f"-chdir={self.folder}", *arguments),
        ]
        return run(command)


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command from the project's root, without anybody's own configuration of Terraform."""
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    return subprocess.run(
        list(command), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )


def read_lines(output: str) -> list[dict[str, Any]]:
    """The lines of ``terraform test -json``."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]
