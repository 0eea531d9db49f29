"""Owns the files that the directory is loaded from: CSV and JSON lines, read line by line into records.

A line that cannot be read spoils no other. What a record must hold is judged by the product, not here.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ops.output import Usage

# Columns of CSV files; several values of one cell are parted by semicolons.
TEXTS: Final = {
    "users": ("id", "role", "email", "name"),
    "contacts": ("id", "name", "owner"),
    "deals": ("id", "title", "state", "closing_date", "owner"),
}
LISTS: Final = {
    "users": ("permissions",),
    "contacts": ("addresses", "visible_to"),
    "deals": ("contacts", "visible_to"),
}
FLAGS: Final = {"users": ("active", "deleted"), "contacts": ("deleted",), "deals": ("deleted",)}
_FLAG_VALUES: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_MOST_LINE_CHARS: Final = 200_000


@dataclass(frozen=True)
class Line:
    """A record and the line that it ends in."""

    number: int
    record: dict[str, Any]


@dataclass(frozen=True)
class BadLine:
    """A line that was not loaded: where, whose (if that can be read), and why; never what stands in it."""

    file: str
    line: int
    id: str
    code: str
    detail: str


def read_lines(path: Path, kind: str) -> Iterator[Line | BadLine]:
    """Every line of a file, by its ending: .csv, else .jsonl or .ndjson. Raises Usage for files of another form."""
    if path.suffix not in (".csv", ".jsonl", ".ndjson"):
        raise Usage(f"{path} must end in .csv, .jsonl or .ndjson")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _read_csv(file, path, kind) if path.suffix == ".csv" else _read_json(file, path)
    except OSError:
        raise Usage(f"{path} cannot be read") from None
    except UnicodeDecodeError:
        raise Usage(f"{path} is not UTF-8") from None


def _read_json(file: Iterator[str], path: Path) -> Iterator[Line | BadLine]:
    for number, text in enumerate(file, 1):
        if not text.strip():
            continue
        try:
            record = json.loads(text) if len(text) <= _MOST_LINE_CHARS else None
        except ValueError:
            record = None
        if isinstance(record, dict):
            yield Line(number, record)
        else:
            yield BadLine(path.name, number, "", "invalid-json", "not one JSON object")


def _read_csv(file: Iterator[str], path: Path, kind: str) -> Iterator[Line | BadLine]:
    reader = csv.DictReader(file, strict=True)
    columns = {*TEXTS[kind], *LISTS[kind], *FLAGS[kind]}
    try:
        head = set(reader.fieldnames or ())
        if "id" not in head or not head <= columns:
            raise Usage(f"{path} must have a head line with id, and of these: {', '.join(sorted(columns))}")
        for cells in reader:
            yield _parse_cells(cells, reader.line_num, path, kind)
    except csv.Error:
        # Behind it the quotes cannot be told apart any more.
        yield BadLine(path.name, reader.line_num, "", "invalid-csv", "the file cannot be read from here on")


def _parse_cells(cells: dict[str | Any, Any], number: int, path: Path, kind: str) -> Line | BadLine:
    record_id = (cells.get("id") or "").strip()
    if None in cells or None in cells.values():
        return BadLine(path.name, number, record_id, "invalid-csv", "more or fewer cells than the head line has")
    record: dict[str, Any] = {}
    for name, raw in cells.items():
        value = raw.strip()
        if name in FLAGS[kind]:
            if value and value.lower() not in _FLAG_VALUES:
                return BadLine(path.name, number, record_id, "invalid-record", f"{name} must be true or false")
            if value:
                record[name] = _FLAG_VALUES[value.lower()]
        elif name in LISTS[kind]:
            record[name] = [_parse_item(name, part.strip()) for part in value.split(";") if part.strip()]
        elif value:
            record[name] = value
    return Line(number, record)


def _parse_item(name: str, text: str) -> Any:
    """An item of a list; an address may say since when it stands: ``mia@customer.example@2024-01-31T00:00:00Z``."""
    if name != "addresses" or text.count("@") < 2:
        return text
    address, _, added_at = text.rpartition("@")
    return {"address": address, "added_at": added_at}
