"""Owns how commands speak: a result for people or as JSON on stdout, progress and trouble on stderr, exit codes.

Imports nothing of the project.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any, Final

OK: Final = 0
TROUBLE: Final = 1
USAGE: Final = 2


class Trouble(Exception):
    """What a command could not do: a stable code, and a text that says what to do."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Usage(Trouble):
    """The command was called in a way that cannot be understood."""

    def __init__(self, text: str) -> None:
        super().__init__("usage", text)


class Output:
    """Where one command's words go."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def progress(self, text: str) -> None:
        """One line on stderr, at once: stdout stays what a program can read."""
        print(text, file=sys.stderr, flush=True)

    def show(self, result: Any, lines: Iterable[str]) -> None:
        """The result: one JSON document, or the lines for people."""
        if self.as_json:
            print(json.dumps(result, indent=2, ensure_ascii=False, default=plain))
            return
        for line in lines:
            print(line)

    def fail(self, trouble: Trouble) -> int:
        """Says what went wrong and returns the exit code."""
        if self.as_json:
            print(json.dumps({"error": {"code": trouble.code, "detail": trouble.text}}, ensure_ascii=False))
        else:
            print(f"{trouble.code}: {trouble.text}", file=sys.stderr)
        return USAGE if isinstance(trouble, Usage) else TROUBLE


def plain(value: Any) -> Any:
    """A value as JSON has it: RFC 3339 in UTC, lists for sets."""
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Enum():
            return value.value
        case set() | frozenset() | tuple():
            return sorted(value) if isinstance(value, set | frozenset) else list(value)
        case _:
            raise TypeError(type(value).__name__)


def table(rows: Sequence[Sequence[Any]], head: Sequence[str] = ()) -> list[str]:
    """The rows in columns, two spaces apart."""
    texts = [[str(cell) for cell in row] for row in ([head] if head else []) + list(rows)]
    if not texts:
        return []
    widths = [max(len(row[at]) for row in texts) for at in range(len(texts[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts]


def moment(at: Any) -> str:
    """A time for people, to the minute, in UTC."""
    return at.strftime("%Y-%m-%d %H:%M UTC") if at else "never"
