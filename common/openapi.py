"""Owns the description of the routes: OpenAPI 3.1, generated from what an ``App`` has registered. Knows no function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec
from werkzeug import Response

from common.web import ANYONE, App, Call, Route, json_response

_REF: Final = "#/components/schemas/{name}"
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
_RETRY_AFTER: Final[dict[str, Any]] = {
    "description": "Whole seconds, where it is known when asking again may succeed: with 429 and 503.",
    "schema": {"type": "integer", "minimum": 1},
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
    """The OpenAPI document of ``apps``; ``prefixed`` puts each path below its function's name."""
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
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM, **components},
            "headers": {"RetryAfter": _RETRY_AFTER},
            "securitySchemes": _SCHEMES,
        },
    }


def serve(app: App) -> None:
    """Adds ``GET /openapi.json``, open to all, which describes the app's own part."""
    made: list[dict[str, Any]] = []

    @app.route("GET", "/openapi.json", ANYONE)
    def openapi(_: Call) -> Response:
        """This description."""
        if not made:
            made.append(document([app], title=app.name))
        return json_response(made[0])


def _schemas(apps: list[App]) -> tuple[dict[int, Any], dict[str, Any]]:
    kinds = [kind for app in apps for route in app.routes for kind in (route.body, route.answer, route.query) if kind]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    for component in components.values():
        if "description" in component:
            # As a docstring is indented; in Markdown four spaces would begin a block of code.
            component["description"] = inspect.cleandoc(component["description"])
    return {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}, components


def _operation(app: App, route: Route, schemas: dict[int, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(app, route),
        "summary": route.summary,
        "tags": [app.name],
        "security": _security(route),
        "responses": {
            **{str(int(status)): _answer(route, status, schemas) for status in _statuses(route)},
            "default": {
                "description": "A problem.",
                "headers": {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}},
                "content": {"application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}},
            },
        },
    }
    parameters = _path_parameters(route) + _query_parameters(route) + _header_parameters(route)
    if parameters:
        operation["parameters"] = parameters
    if route.body:
        content = {"application/json": {"schema": schemas[id(route.body)]}}
        if route.files:
            content["multipart/form-data"] = {"schema": _with_files(schemas[id(route.body)])}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _operation_id(app: App, route: Route) -> str:
    return re.sub(r"\W+", "_", f"{app.name} {route.method.lower()} {route.template}").strip("_")


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.who.kind == "anyone":
        return []
    return [{"google" if route.who.kind == "service" else "crm": []}]


def _statuses(route: Route) -> list[int]:
    return [route.status, HTTPStatus.ACCEPTED] if route.accepts else [route.status]


def _with_files(body_schema: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["message"],
        "properties": {"message": body_schema},
        "additionalProperties": {"type": "string", "contentMediaType": "application/octet-stream"},
    }


def _answer(route: Route, status: int, schemas: dict[int, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if route.answer:
        described["content"] = {"application/json": {"schema": schemas[id(route.answer)]}}
    return described


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.template)
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
    if not route.keyed:
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": 128}
    return [{"name": "Idempotency-Key", "in": "header", "required": True, "schema": schema}]
