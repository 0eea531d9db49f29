"""The page on attackers names tests that exist."""

from __future__ import annotations

import re

from tests.unit.import_graph import ROOT

PAGE = ROOT / "docs" / "security.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_named_test_exists() -> None:
    """Each test that docs/security.md names is defined in the file that it names."""
    named = NAMED.findall(PAGE.read_text())
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).is_file() or f"def {test}(" not in (ROOT / file).read_text()
    ]

    assert len(named) > 30
    assert missing == []


def test_every_row_is_answered() -> None:
    """Each attempt in the table is answered by a named test or by the step that brings one."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| who |")]

    assert [row for row in rows if not NAMED.search(row) and not re.search(r"\bstep [2-7]\b", row)] == []
