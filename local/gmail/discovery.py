"""Gmail's discovery document as the stand-in's one source of routes, scopes, parameters and schemas.

The document ships with google-api-python-client; so the stand-in refuses what Gmail does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from local.gmail.errors import GmailError, invalid_argument

_GLOBAL_ONLY = {"uploadType", "upload_id", "upload_protocol"}


@dataclass(frozen=True)
class Method:
    """One method. ``name`` is the document's id without ``gmail.``; ``upload_limit_bytes`` is 0 where it takes none."""

    name: str
    verb: str
    segments: tuple[str, ...]
    scopes: frozenset[str]
    parameters: Mapping[str, Mapping[str, Any]]
    request: str
    response: str
    upload_limit_bytes: int

    def match(self, segments: Sequence[str]) -> dict[str, str] | None:
        """The path's parameters, or None if it is not this method's path."""
        if len(segments) != len(self.segments):
            return None
        found = {}
        for pattern, segment in zip(self.segments, segments, strict=True):
            if pattern.startswith("{"):
                found[pattern[1:-1]] = segment
            elif pattern != segment:
                return None
        return found


@cache
def document() -> dict[str, Any]:
    """The whole discovery document."""
    source = files("googleapiclient") / "discovery_cache" / "documents" / "gmail.v1.json"
    parsed: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    return parsed


def _walk(resource: Mapping[str, Any]) -> Iterator[Method]:
    for described in resource.get("methods", {}).values():
        upload = described.get("mediaUpload", {})
        yield Method(
            name=described["id"].removeprefix("gmail."),
            verb=described["httpMethod"],
            segments=tuple(described["path"].split("/")),
            scopes=frozenset(described["scopes"]),
            parameters=described.get("parameters", {}),
            request=described.get("request", {}).get("$ref", ""),
            response=described.get("response", {}).get("$ref", ""),
            upload_limit_bytes=int(upload.get("maxSize", 0)),
        )
    for inner in resource.get("resources", {}).values():
        yield from _walk(inner)


@cache
def methods() -> tuple[Method, ...]:
    """All methods; those whose path is literal come before those that a parameter would also match."""
    return tuple(sorted(_walk(document()), key=lambda method: sum(part.startswith("{") for part in method.segments)))


@cache
def _by_shape() -> dict[tuple[str, int], list[Method]]:
    shapes: dict[tuple[str, int], list[Method]] = {}
    for method in methods():
        shapes.setdefault((method.verb, len(method.segments)), []).append(method)
    return shapes


def find(verb: str, path: str) -> tuple[Method, dict[str, str]]:
    """The method of a path and its path parameters. Raises GmailError 404 where there is none."""
    segments = path.strip("/").split("/")
    for method in _by_shape().get((verb, len(segments)), ()):
        found = method.match(segments)
        if found is not None:
            return method, found
    raise GmailError(404, "notFound", "Not Found")


def verify_query(method: Method, query: Mapping[str, Sequence[str]]) -> None:
    """Raises GmailError 400 for a parameter that Gmail does not know, or a value that it does not take."""
    known = document()["parameters"]
    for name, values in query.items():
        described = method.parameters.get(name) or known.get(name)
        if described is None and name not in _GLOBAL_ONLY:
            raise invalid_argument(
                f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
                f"Field '{name}' could not be found in request message."
            )
        for value in values:
            _verify_value(name, value, described or {})


def _verify_value(name: str, value: str, described: Mapping[str, Any]) -> None:
    kind = "TYPE_ENUM" if "enum" in described else str(described.get("format", described.get("type", "string")))
    if "enum" in described and name in ("alt", "$.xgafv"):
        fine = value in described["enum"] or name == "$.xgafv"
    elif "enum" in described:
        fine = value in described["enum"]
    elif kind in ("uint32", "uint64", "int32"):
        fine = value.isdecimal()
    elif kind == "boolean":
        fine = value.lower() in ("true", "false", "1", "0")
    else:
        fine = True
    if not fine:
        raise invalid_argument(f"Invalid value at '{name}' ({kind}), \"{value}\"")


def verify_body(method: Method, body: object) -> None:
    """Raises GmailError 400 where a JSON body has a field that Gmail does not know or one of another type."""
    _verify_object(method.request, body, "")


def _verify_object(schema: str, value: object, where: str) -> None:
    if not isinstance(value, dict):
        raise invalid_argument(f"Invalid JSON payload received. Unexpected type at '{where or 'body'}'.")
    properties = document()["schemas"][schema]["properties"]
    for name, item in value.items():
        place = f"{where}.{name}".strip(".")
        if name not in properties:
            at = f" at '{where}'" if where else ""
            raise invalid_argument(f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.')
        _verify_field(properties[name], item, place)


def _verify_field(described: Mapping[str, Any], value: object, place: str) -> None:
    if value is None:
        return
    if "$ref" in described:
        _verify_object(described["$ref"], value, place)
    elif described["type"] == "array":
        if not isinstance(value, list):
            raise invalid_argument(f"Invalid value at '{place}', expected a list")
        for item in value:
            _verify_field(described["items"], item, place)
    elif "enum" in described and value not in described["enum"]:
        raise invalid_argument(f"Invalid value at '{place}' (TYPE_ENUM), \"{value}\"")
    elif not _scalar_fits(described["type"], value):
        raise invalid_argument(f"Invalid value at '{place}' (TYPE_{described['type'].upper()})")


def _scalar_fits(kind: str, value: object) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int | str) and not isinstance(value, bool) and str(value).lstrip("-").isdecimal()
    # A 64-bit number is a string in Google's JSON; a plain number is taken too.
    return isinstance(value, str) or (kind == "string" and isinstance(value, int) and not isinstance(value, bool))
