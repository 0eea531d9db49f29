"""Owns this tool's own part of the environment: files of variables, tokens, and addresses of stand-ins.

What the functions know too stands in ``common.config``. Imports nothing of the project, as it runs before everything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ops.output import Trouble, Usage

LOCAL_FILE: Final = Path(__file__).resolve().parent.parent / ".local" / "run" / "ops.json"
TOKEN: Final = "CRM_TOKEN"  # noqa: S105  (a variable's name)


def use_file(path: Path) -> None:
    """Puts the variables of a JSON file into this process's environment, over what is there. Raises Usage."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        advice = (
            "start the local stack with `make run`" if path == LOCAL_FILE else "write it with terraform output -json"
        )
        raise Usage(f"there is no file {path}: {advice}") from None
    except ValueError:
        raise Usage(f"{path} is not JSON: terraform output -json ops_environment > {path}") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Usage(f"{path} must be one object whose values are texts")
    os.environ.update(found)


def address(name: str, default: str = "") -> str:
    """Where a service listens: the variable ``name``, else the default, which is Google's."""
    return os.environ.get(name) or default


def given(names: Mapping[str, str]) -> set[str]:
    """Those of ``names`` whose variable has a value here."""
    return {name for name, variable in names.items() if os.environ.get(variable)}


def load_token(token_file: Path | None) -> str:
    """The CRM's token for routes that want one, from a file or ``CRM_TOKEN``. Raises Trouble without one."""
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except OSError:
            raise Usage(f"the token file {token_file} cannot be read") from None
    else:
        token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise Trouble("no-token", f"a token of the CRM is needed: give --token-file FILE, or set {TOKEN}")
    return token
