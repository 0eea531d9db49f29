"""One name in one place is the name everywhere, and files stay readable."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from local.environment import FUNCTIONS as STACK_FUNCTIONS
from tests.unit.import_graph import FUNCTIONS, ROOT

SOURCES = sorted(
    source for package in ("bench", "common", "functions", "local", "ops") for source in (ROOT / package).rglob("*.py")
)
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
LONGEST_FUNCTION = 50
LONGEST_FILE = 500


def functions_of(source: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_entry_point_is_named_like_its_folder(name: str) -> None:
    """functions/<name>/main.py defines the function <name>."""
    assert name in {function.name for function in functions_of(ROOT / "functions" / name / "main.py")}


def test_functions_are_the_same_everywhere() -> None:
    """The folders, the local stack and the Makefile know the same functions."""
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/main.py")}
    listed = re.search(r"^FUNCTIONS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert listed is not None
    assert folders == set(FUNCTIONS) == set(STACK_FUNCTIONS) == set(listed[1].split())


def test_files_and_functions_are_short() -> None:
    """No file is longer than 500 lines and no function longer than 50."""
    long_files = [str(path.relative_to(ROOT)) for path in SOURCES if path.read_text().count("\n") > LONGEST_FILE]
    long_functions = [
        f"{path.relative_to(ROOT)}:{function.name}"
        for path in SOURCES
        for function in functions_of(path)
        if (function.end_lineno or 0) - function.lineno >= LONGEST_FUNCTION
    ]

    assert ([], []) == (long_files, long_functions)


def test_modules_say_what_they_own() -> None:
    """Every module has a docstring."""
    silent = [str(path.relative_to(ROOT)) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]

    assert [path for path in silent if (ROOT / path).stat().st_size > 0] == []


def test_tests_say_what_they_show() -> None:
    """Every test has a docstring: one plain sentence of behaviour."""
    silent = [
        f"{path.relative_to(ROOT)}:{function.name}"
        for path in TESTS
        for function in functions_of(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]

    assert silent == []
