"""Reads ``terraform/`` without Terraform: blocks as plain data, expressions as text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import hcl2

from tests.unit.import_graph import ROOT

FOLDER = ROOT / "terraform"
_OPTIONS = hcl2.SerializationOptions(strip_string_quotes=True, with_comments=False, explicit_blocks=False)


@cache
def local_values() -> dict[str, Any]:
    """All local values by name."""
    return {name: value for block in _blocks("locals") for name, value in block.items()}


@cache
def resources() -> dict[str, dict[str, Any]]:
    """All resources: kind, name, arguments."""
    return _labelled("resource")


@cache
def variables() -> dict[str, dict[str, Any]]:
    """All variables: name, arguments."""
    return {name: body for block in _blocks("variable") for name, body in block.items()}


def resource(kind: str, name: str) -> dict[str, Any]:
    """One resource's arguments."""
    found: dict[str, Any] = resources()[kind][name]
    return found


def inner(block: dict[str, Any], *path: str) -> dict[str, Any]:
    """The block within blocks, where there is one of each name."""
    for name in path:
        (block,) = block[name]
    return block


def assigned(expression: object) -> dict[str, str]:
    """What an object, or an expression made of objects, gives to names in capitals: each name's expression."""
    if isinstance(expression, dict):
        return {name: str(value) for name, value in expression.items()}
    return dict(re.findall(r"\b([A-Z][A-Z0-9_]*) = ((?:[^,{}()]|\([^()]*\))+)", str(expression)))


def texts(expression: object) -> list[str]:
    """A list's texts, or all texts in quotes of an expression that makes a list."""
    return list(expression) if isinstance(expression, list) else re.findall(r'"([^"]+)"', str(expression))


def optional_fields(variable: str) -> list[str]:
    """The optional fields of a variable that is an object."""
    return re.findall(r"(\w+) = optional\(", str(variables()[variable]["type"]))


def _labelled(kind: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for block in _blocks(kind):
        for one, named in block.items():
            found.setdefault(one, {}).update(named)
    return found


def _blocks(kind: str) -> Iterable[dict[str, Any]]:
    return [block for file in _files() for block in file.get(kind, ())]


@cache
def _files() -> tuple[dict[str, Any], ...]:
    return tuple(hcl2.loads(path.read_text(), serialization_options=_OPTIONS) for path in sorted(FOLDER.glob("*.tf")))
