"""Writes openapi.yaml, the description of all routes, from the code: ``python -m ops.openapi``; --check only tells.

Runs in the project's root; knows where the functions lie, and nothing of what they do.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import yaml

from common.openapi import document
from common.web import App

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "openapi.yaml"
_HEAD = "# Generated from the routes: make openapi. Do not edit.\n"


def load_apps() -> list[App]:
    """The routes of every function, by the function's name."""
    apps = []
    for path in sorted((ROOT / "functions").glob("*/main.py")):
        spec = importlib.util.spec_from_file_location(f"functions.{path.parent.name}", path)
        if spec is None or spec.loader is None:
            raise ImportError(path.parent.name)
        module = importlib.util.module_from_spec(spec)
        # As functions-framework does: a function's own files lie beside its main.py.
        sys.path.append(str(path.parent))
        # msgspec resolves annotations by their module's name.
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        apps.append(module.app)
    return apps


def render() -> str:
    """openapi.yaml as it has to be."""
    described = document(load_apps(), title="Gmail inside any CRM", prefixed=True)
    # Through JSON, so that nothing is shared and written as an anchor.
    plain = json.loads(json.dumps(described))
    return f"{_HEAD}{yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)}"


def main(arguments: list[str]) -> int:
    """Writes the file, or with ``--check`` returns 1 where it is not up to date."""
    rendered = render()
    if "--check" in arguments:
        return int(not TARGET.exists() or TARGET.read_text() != rendered)
    TARGET.write_text(rendered)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
