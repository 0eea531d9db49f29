"""Owns the description of the routes: OpenAPI 3.1, generated from what an ``App`` has registered. Knows no function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final

import msgspec
from werkzeug import Response

from common import problem_codes as codes
from common.examples import answer_example, body_example
from common.web import ANYONE, App, Call, Route, Wire, json_response

_REF: Final = "#/components/schemas/{name}"
_PROBLEM_TYPE: Final = "application/problem+json"
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457 problem details; clients decide by code, which is stable.",
    "required": ["type", "title", "status", "code", "retryable"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "pattern": "^[a-z0-9-]+$"},
        "retryable": {"type": "boolean"},
        "detail": {"type": "string"},
    },
}
_PASSING: Final = (HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Retry-After": {
        "description": "Whole seconds, where it is known when asking again may succeed: with 409, 429 and 503.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "ETag": {"description": "Names this answer until something changes.", "schema": {"type": "string"}},
    "Location": {"description": "Where the browser goes.", "schema": {"type": "string", "format": "uri-reference"}},
    "Content-Disposition": {"description": "The file's name (RFC 6266).", "schema": {"type": "string"}},
}
_TAKEN: Final[dict[str, dict[str, Any]]] = {
    "Idempotency-Key": {
        "required": True,
        "description": "A new one for each mail, the same one for each retry.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-.0-~]+$"},
        "example": "3c9f7c1e-5f0a-4b57-9a55-0d7f4e0a4f7e",
    },
    "If-None-Match": {
        "required": False,
        "description": "The ETag of the answer at hand: 304 while it still holds.",
        "schema": {"type": "string"},
        "example": 'W/"u8Tz…"',
    },
    "If-Match": {
        "required": False,
        "description": "The ETag of what was read: 412 where it has changed.",
        "schema": {"type": "string"},
        "example": '"u8Tz…"',
    },
    "Accept-Language": {
        "required": False,
        "description": "`de` or `en`: of sentences for people.",
        "schema": {"type": "string"},
        "example": "de",
    },
}
# By the name in the path; what is called id by the first word of the path, too.
_NAMED: Final[dict[str, tuple[str, str]]] = {
    "user": ("The CRM's id of a user.", "ben"),
    "owner": ("The CRM's id of the user whose mailbox it is.", "anna"),
    "message_id": ("Gmail's id of the mail in the owner's mailbox.", "18df3a5c0b7e1d42"),
    "part_id": ("The part as the mail's `attachments` name it.", "1"),
    "key": ("The Idempotency-Key that the mail was sent with.", "3c9f7c1e-5f0a-4b57-9a55-0d7f4e0a4f7e"),
    "messages": ("Gmail's id of the mail.", "18df3a5c0b7e1d42"),
    "threads": ("Gmail's id of the conversation.", "18df3a5c0b7e1d40"),
    "drafts": ("Gmail's id of the draft.", "r-4821"),
    "sweeps": ("The sweep as `GET /sweeps` names it.", "s-20260302-0920"),
    "contacts": ("The CRM's id of the contact.", "mia"),
    "deals": ("The CRM's id of the deal.", "d-01"),
    "users": ("The CRM's id of the user, base64url-encoded.", "YW5uYQ"),
}
_SCHEMES: Final[dict[str, Any]] = {
    "crm": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The CRM's token of its user."},
    "google": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Google's OIDC token of the one service account that may call this route.",
    },
}


def document(apps: Iterable[App], *, title: str, prefixed: bool = False) -> dict[str, Any]:
    """The OpenAPI document of ``apps``; ``prefixed`` puts each path below its function's name.

    Raises LookupError or ValidationError where an example is missing or does not fit.
    """
    listed = list(apps)
    schemas, components = _schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for app in listed:
        prefix = f"/{app.name}" if prefixed else ""
        for route in app.routes:
            operation = _operation(app, route, schemas)
            paths.setdefault(prefix + route.template, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1", "description": "Times are RFC 3339 in UTC. Changes only add."},
        "servers": [
            {"url": "http://127.0.0.1:8601", "description": "make run"} if prefixed else {"url": ".", "description": ""}
        ],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM, "ProblemCode": _known_codes(), **components},
            "responses": {"Problem": _any_problem()},
            "headers": {_component(name): header for name, header in _HEADERS.items()},
            "securitySchemes": _SCHEMES,
        },
    }


def serve(app: App) -> None:
    """Adds ``GET /openapi.json``, open to all, which describes the app's own part."""
    made: list[dict[str, Any]] = []

    @app.route("GET", "/openapi.json", ANYONE, wire=Wire(media="application/json"))
    def openapi(_: Call) -> Response:
        """This description."""
        if not made:
            made.append(document([app], title=app.name))
        return json_response(made[0])


# Schemas


def _schemas(apps: list[App]) -> tuple[dict[int, Any], dict[str, Any]]:
    kinds = [kind for app in apps for route in app.routes for kind in (route.body, route.answer, route.query) if kind]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    for component in components.values():
        if "description" in component:
            # As a docstring is indented; in Markdown four spaces would begin a block of code.
            component["description"] = inspect.cleandoc(component["description"])
    for info in msgspec.inspect.multi_type_info(kinds):
        for kind in _classes(info, set()):
            _add_formats(kind, components)
    by_id = {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    taken = [by_id[id(kind)] for app in apps for route in app.routes for kind in (route.body, route.query) if kind]
    _complete(components, set(_reached(taken, components)), kinds)
    return by_id, components


def _classes(info: Any, known: set[type]) -> Iterator[Any]:
    """The Structs and dataclasses that a type is made of, each once."""
    if isinstance(info, msgspec.inspect.StructType | msgspec.inspect.DataclassType) and info.cls not in known:
        known.add(info.cls)
        yield info
        for field in info.fields:
            yield from _classes(field.type, known)
    for inner in _inner(info):
        yield from _classes(inner, known)


def _inner(info: Any) -> list[Any]:
    names = ("item_type", "value_type", "type")
    return [*getattr(info, "types", ()), *(one for name in names if (one := getattr(info, name, None)) is not None)]


def _add_formats(kind: Any, components: dict[str, Any]) -> None:
    """Says of times that they are: msgspec does so only where the type itself refuses a time without a zone."""
    name = kind.cls.__name__
    component = components[name if name in components else f"{kind.cls.__module__}.{name}"]
    for field in kind.fields:
        if _holds_time(field.type):
            component["properties"][field.encode_name] = _with_format(component["properties"][field.encode_name])


def _holds_time(info: Any) -> bool:
    return isinstance(info, msgspec.inspect.DateTimeType) or any(map(_holds_time, _inner(info)))


def _with_format(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_with_format(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {"format": "date-time"} if schema.get("type") == "string" else {}
    return {name: _with_format(value) for name, value in schema.items()} | told


def _complete(components: dict[str, Any], taken: set[str], kinds: Iterable[Any]) -> None:
    """Answers have all their fields: what has a default in code is required there, and the default says nothing."""
    classes = [one.cls for info in msgspec.inspect.multi_type_info(kinds) for one in _classes(info, set())]
    configs = {one.__name__: getattr(one, "__struct_config__", None) for one in classes}
    sparse = {name for name, settings in configs.items() if settings and settings.omit_defaults}
    for name, component in components.items():
        if name in taken or name in sparse or "properties" not in component:
            continue
        component["required"] = list(component["properties"])
        component["properties"] = {
            key: {word: value for word, value in schema.items() if word != "default"}
            for key, schema in component["properties"].items()
        }


def _reached(schemas: Any, components: dict[str, Any]) -> Iterator[str]:
    """The names of the components that a schema uses, however deep."""
    if isinstance(schemas, list):
        for one in schemas:
            yield from _reached(one, components)
    elif isinstance(schemas, dict):
        name = str(schemas.get("$ref", "")).rpartition("/")[2]
        if name:
            yield name
            yield from _reached(components[name], components)
        for value in schemas.values():
            yield from _reached(value, components)


# Operations


def _operation(app: App, route: Route, schemas: dict[int, Any]) -> dict[str, Any]:
    parameters = _path_parameters(route) + _query_parameters(route) + _header_parameters(route)
    more = inspect.cleandoc(route.handler.__doc__ or "").partition("\n")[2].strip()
    return {
        "operationId": _operation_id(app, route),
        "summary": route.summary,
        **({"description": more} if more else {}),
        "tags": [app.name],
        "security": _security(route),
        "responses": {
            **{str(int(status)): _answer(app, route, status, schemas) for status in _statuses(route)},
            **_problems(route),
            "default": {"$ref": "#/components/responses/Problem"},
        },
        **({"parameters": parameters} if parameters else {}),
        **_request_body(app, route, schemas),
    }


def _operation_id(app: App, route: Route) -> str:
    return re.sub(r"\W+", "_", f"{app.name} {route.method.lower()} {route.template}").strip("_")


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.who.kind == "anyone":
        return []
    return [{"google" if route.who.kind == "service" else "crm": []}]


def _statuses(route: Route) -> list[int]:
    more = [HTTPStatus.ACCEPTED] if route.accepts else []
    return [route.status, *more, *([HTTPStatus.NOT_MODIFIED] if "If-None-Match" in route.wire.takes else [])]


def _request_body(app: App, route: Route, schemas: dict[int, Any]) -> dict[str, Any]:
    if route.wire.body:
        schema: dict[str, Any] = {"type": "object"} if route.wire.body.endswith("/json") else {"type": "string"}
        media = {"schema": schema, "example": app.examples[route.wire.body]["body"]}
        return {"requestBody": {"required": True, "content": {route.wire.body: media}}}
    if not route.body:
        return {}
    example = body_example(route.body, app.examples)
    content = {"application/json": {"schema": schemas[id(route.body)], "example": example}}
    if route.files:
        parts = {"message": example, "file": "%PDF-1.7 …"}
        content["multipart/form-data"] = {"schema": _with_files(schemas[id(route.body)]), "example": parts}
    return {"requestBody": {"required": True, "content": content}}


def _with_files(body_schema: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["message"],
        "properties": {"message": body_schema},
        "additionalProperties": {"type": "string", "contentMediaType": "application/octet-stream"},
    }


def _answer(app: App, route: Route, status: int, schemas: dict[int, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if route.wire.gives:
        described["headers"] = {name: _header(name) for name in route.wire.gives}
    if status == HTTPStatus.NOT_MODIFIED:
        return described
    if route.answer:
        example = answer_example(route.answer, app.examples)
        described["content"] = {"application/json": {"schema": schemas[id(route.answer)], "example": example}}
    elif route.wire.media == "application/json":
        described["content"] = {"application/json": {"schema": {"type": "object"}, "example": {"openapi": "3.1.0"}}}
    elif route.wire.media:
        described["content"] = {route.wire.media: {"schema": {"type": "string"}, "example": "…"}}
    return described


# Problems


def codes_of(route: Route) -> list[str]:
    """The codes that a route's problems may have, but for trouble of our own, each once."""
    by_kind = {"anyone": (), "service": codes.TOKEN, "user": codes.USER, "admin": codes.ADMIN}
    found = [*by_kind[route.who.kind], *route.problems]
    found += codes.BODY if route.body and route.who.kind != "service" else ()
    found += codes.QUERY if route.query else ()
    found += codes.KEY if route.keyed else ()
    found += codes.FILES if route.files else ()
    return list(dict.fromkeys([*found, *codes.ALWAYS]))


def _problems(route: Route) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in codes_of(route):
        for status in codes.CATALOGUE[code][0]:
            by_status.setdefault(status, []).append(code)
    described = {str(status): _known_problem(status, found) for status, found in sorted(by_status.items())}
    if route.wire.page:
        described["400"]["content"][route.wire.page] = {"schema": {"type": "string"}}
    return described


def _known_codes() -> dict[str, Any]:
    meanings = [
        {"const": code, "description": f"{', '.join(map(str, statuses))}: {meaning}"}
        for code, (statuses, meaning) in codes.CATALOGUE.items()
    ]
    return {"description": "The codes of today; there may be more.", "anyOf": [*meanings, {"type": "string"}]}


def _known_problem(status: int, found: list[str]) -> dict[str, Any]:
    schema = {"allOf": [{"$ref": _REF.format(name="Problem")}, {"properties": {"code": {"enum": found}}}]}
    return {
        "description": HTTPStatus(status).phrase,
        **({"headers": {"Retry-After": _header("Retry-After")}} if status in _PASSING else {}),
        "content": {_PROBLEM_TYPE: {"schema": schema}},
    }


def _any_problem() -> dict[str, Any]:
    return {
        "description": "Any other problem.",
        "headers": {"Retry-After": _header("Retry-After")},
        "content": {_PROBLEM_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
    }


# Parameters and headers


def _component(header: str) -> str:
    return header.replace("-", "")


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{_component(name)}"}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    first = route.template.split("/")[1]
    named = [(name, *_NAMED[first if name == "id" else name]) for name in re.findall(r"\{(\w+)\}", route.template)]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": told,
            "schema": {"type": "string"},
            "example": one,
        }
        for name, told, one in named
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if not route.query:
        return []
    _, components = msgspec.json.schema_components([route.query], ref_template=_REF)
    schema = components[route.query.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": property_schema}
        for name, property_schema in schema["properties"].items()
    ]


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    names = ["Idempotency-Key"] if route.keyed else []
    return [{"name": name, "in": "header", **_TAKEN[name]} for name in [*names, *route.wire.takes]]
