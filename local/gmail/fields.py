"""Partial responses: the ``fields`` parameter (developers.google.com/workspace/gmail/api/guides/performance).

Pure. A selection is checked against the method's response schema, as Google does.
"""

from __future__ import annotations

import re
from typing import Any

from local.gmail.discovery import document
from local.gmail.errors import invalid_parameter

Mask = dict[str, "Mask"]
"""Field name to what is wanted inside it; an empty mask wants everything."""

_TOKEN = re.compile(r"[A-Za-z0-9_*-]+|[(),/]")


def parse_fields(text: str) -> Mask:
    """The mask that ``fields`` asks for. Raises GmailError 400 where the text is no selection."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(r"\s", "", text) or not tokens:
        raise invalid_parameter(f"Invalid field selection {text}", "fields")
    mask, rest = _parse_list(tokens, text)
    if rest:
        raise invalid_parameter(f"Invalid field selection {text}", "fields")
    return mask


def _parse_list(tokens: list[str], text: str) -> tuple[Mask, list[str]]:
    mask: Mask = {}
    while True:
        tokens = _parse_path(tokens, mask, text)
        if tokens[:1] != [","]:
            return mask, tokens
        tokens = tokens[1:]


def _parse_path(tokens: list[str], mask: Mask, text: str) -> list[str]:
    if not tokens or tokens[0] in "(),/":
        raise invalid_parameter(f"Invalid field selection {text}", "fields")
    name, rest = tokens[0], tokens[1:]
    inner: Mask = {}
    if rest[:1] == ["/"]:
        rest = _parse_path(rest[1:], inner, text)
    elif rest[:1] == ["("]:
        inner, rest = _parse_list(rest[1:], text)
        if rest[:1] != [")"]:
            raise invalid_parameter(f"Invalid field selection {text}", "fields")
        rest = rest[1:]
    mask[name] = mask[name] | inner if mask.get(name) and inner else inner
    return rest


def verify_fields(mask: Mask, schema: str) -> None:
    """Raises GmailError 400 for a field that the response does not have."""
    properties = document()["schemas"][schema]["properties"] if schema else {}
    for name, inner in mask.items():
        if name == "*":
            continue
        if name not in properties:
            raise invalid_parameter(f"Invalid field selection {name}", "fields")
        described = properties[name].get("items", properties[name])
        if inner:
            verify_fields(inner, described.get("$ref", ""))


def select(mask: Mask, value: Any) -> Any:
    """What of an answer the mask wants. Lists are gone through item by item."""
    if not mask:
        return value
    if isinstance(value, list):
        return [select(mask, item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: select(mask.get(name, mask.get("*", {})), item) for name, item in value.items() if _has(mask, name)}


def _has(mask: Mask, name: str) -> bool:
    return name in mask or "*" in mask
