"""Writes openapi.yaml, the description of all routes, from the code: ``python -m ops.openapi``; --check only tells.

Runs in the project's root; knows where the functions lie, and nothing of what they do.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

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


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes lists of plain values in one line."""

    def represent_list(self, data: list[Any]) -> yaml.Node:
        is_plain = all(isinstance(one, str | int | float | bool) for one in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=is_plain)


_Dumper.add_representer(list, _Dumper.represent_list)


def render() -> str:
    """openapi.yaml as it has to be."""
    described = document(load_apps(), title="Gmail inside any CRM", prefixed=True)
    # Through JSON, so that nothing is shared and written as an anchor.
    plain = json.loads(json.dumps(described))
    return f"{_HEAD}{yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)}"


def main(arguments: list[str]) -> int:
    """Writes the file, or with ``--check`` returns 1 where it is not up to date."""
    rendered = render()
    if "--check" in arguments:
        return int(not TARGET.exists() or TARGET.read_text() != rendered)
    TARGET.write_text(rendered)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
