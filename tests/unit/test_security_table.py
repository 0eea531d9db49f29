"""The table of attacks in docs/security.md names, for each of them, tests that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.unit.import_graph import ROOT

PAGE = ROOT / "docs" / "security.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
COLUMNS = 4


def rows() -> Iterator[list[str]]:
    """The cells of each row below the heading."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| who |"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


@cache
def collected_from(file: Path) -> frozenset[str]:
    """The names of the tests that pytest would collect from a file."""
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = (one.name for one in tree.body if isinstance(one, ast.FunctionDef))
    return frozenset(name for name in found if name.startswith("test_"))


def test_every_named_test_exists() -> None:
    """Each test that the page names is defined in the file that it names."""
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))

    assert [] == [f"{file}::{test}" for file, test in named if test not in collected_from(ROOT / file)]
    assert len(named) > 60


def test_every_row_is_answered() -> None:
    """Each attempt has who, what, answer, and by what it is shown: a test."""
    assert [] == [row for row in rows() if len(row) != COLUMNS or not all(row)]
    assert [] == [row[:2] for row in rows() if not NAMED.search(row[3])]


def test_no_attempt_is_left_out() -> None:
    """The page keeps every attempt that the product has to withstand."""
    assert 22 <= sum(1 for _ in rows())


def test_nothing_else_looks_like_a_test() -> None:
    """A name in quotes that is not of the form file::test would be checked by nobody."""
    quoted = re.findall(r"`([^`]*(?:test_|tests/)[^`]*)`", PAGE.read_text(encoding="utf-8"))

    assert [] == [
        one for one in quoted if not NAMED.fullmatch(f"`{one}`") and one != "tests/unit/test_security_table.py"
    ]
