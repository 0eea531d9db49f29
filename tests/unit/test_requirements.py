"""The pins: one list for all, and of it for each function what the function imports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.import_graph import FUNCTIONS, ROOT, distributions_of, files_of_function, normalised


def read_pins(path: Path) -> dict[str, str]:
    lines = [line.strip() for line in path.read_text().splitlines()]
    pins = [line for line in lines if line and not line.startswith(("#", "-r"))]
    return {normalised(re.split(r"[=\[]", pin)[0]): pin for pin in pins}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_requires_what_it_imports(name: str) -> None:
    """A function's requirements are those pins of the common list that it imports, itself or through common."""
    pins = read_pins(ROOT / "requirements.txt")
    imported = distributions_of(files_of_function(name))

    assert sorted(pins[one] for one in imported) == sorted(
        read_pins(ROOT / "functions" / name / "requirements.txt").values()
    )


def test_runtime_list_holds_nothing_unused() -> None:
    """Each runtime pin is imported by a function."""
    imported = set[str]().union(*(distributions_of(files_of_function(name)) for name in FUNCTIONS))

    assert imported == set(read_pins(ROOT / "requirements.txt"))


def test_command_line_requires_what_it_imports() -> None:
    """What ops imports is in the runtime list or in its own, and its own list holds nothing unused."""
    sources = set((ROOT / "ops").glob("*.py")) - {ROOT / "ops" / "openapi.py"}
    imported = distributions_of(sources)
    runtime, own = read_pins(ROOT / "requirements.txt"), read_pins(ROOT / "requirements-ops.txt")

    assert (set(own), set()) == (imported & set(own), imported - set(own) - set(runtime))


@pytest.mark.parametrize("path", ["requirements.txt", "requirements-ops.txt", "requirements-dev.txt"])
def test_pins_are_exact(path: str) -> None:
    """Every requirement names one version."""
    pins = read_pins(ROOT / path).values()

    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9_.\-\[\]]+==[\w.]+", pin)] == []
