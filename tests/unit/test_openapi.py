"""The description of the routes."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
import yaml
from werkzeug import Response

from common import web
from common.openapi import document
from ops import openapi


class _Body(msgspec.Struct):
    """A thing.

    ``name`` is short.
    """

    name: Annotated[str, msgspec.Meta(max_length=9)]


class _Query(msgspec.Struct):
    page: int = 1


def _app() -> web.App:
    app = web.App("shop")

    @app.route("PUT", "/things/{id}", web.USER, body=_Body, query=_Query, status=204)
    def put(_: web.Call) -> Response:
        """Puts a thing.

        More words.
        """
        raise AssertionError

    @app.route("POST", "/tasks", web.service("tasks_service_account", "mail_proxy_url"), answer=_Body)
    def work(_: web.Call) -> Response:
        """Works."""
        raise AssertionError

    @app.route("POST", "/mails", web.USER, body=_Body, answer=_Body, files=True, keyed=True, accepts=True)
    def send(_: web.Call) -> Response:
        """Sends."""
        raise AssertionError

    return app


def test_a_route_is_described_by_what_it_registers() -> None:
    """Summary, path and query parameters, body and status come from the registration."""
    put = document([_app()], title="Shop")["paths"]["/things/{id}"]["put"]

    assert ("Puts a thing.", [{"crm": []}], {"204", "default"}) == (
        put["summary"],
        put["security"],
        put["responses"].keys(),
    )
    assert [("id", "path", True), ("page", "query", False)] == [
        (one["name"], one["in"], one["required"]) for one in put["parameters"]
    ]
    assert {"$ref": "#/components/schemas/_Body"} == put["requestBody"]["content"]["application/json"]["schema"]


def test_files_keys_and_later_answers_are_described() -> None:
    """A route that takes files, wants an Idempotency-Key or may answer later says so."""
    send = document([_app()], title="Shop")["paths"]["/mails"]["post"]
    schema = {"$ref": "#/components/schemas/_Body"}

    assert {"200", "202", "default"} == send["responses"].keys()
    assert [("Idempotency-Key", "header", True)] == [
        (one["name"], one["in"], one["required"]) for one in send["parameters"]
    ]
    assert schema == send["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["message"]


def test_an_internal_route_takes_googles_token() -> None:
    """A route for a service account is told apart from one for users."""
    assert [{"google": []}] == document([_app()], title="Shop")["paths"]["/tasks"]["post"]["security"]


def test_limits_of_a_body_are_told() -> None:
    """What a body's fields may hold stands in the schema."""
    name = document([_app()], title="Shop")["components"]["schemas"]["_Body"]["properties"]["name"]

    assert {"type": "string", "maxLength": 9} == name


def test_paths_of_several_functions_stand_below_their_names() -> None:
    """Together, each function's paths begin with its name."""
    assert {"/shop/things/{id}", "/shop/tasks", "/shop/mails"} == document([_app()], title="Shop", prefixed=True)[
        "paths"
    ].keys()


def test_openapi_yaml_is_up_to_date() -> None:
    """The file at the root is what the code says now: make openapi writes it."""
    assert yaml.safe_load(openapi.TARGET.read_text()) == yaml.safe_load(openapi.render())


def test_every_route_says_what_it_does() -> None:
    """No route is without a summary, and none has another's operation id."""
    described = document(openapi.load_apps(), title="All", prefixed=True)["paths"]
    operations = [operation for path in described.values() for operation in path.values()]

    assert [] == [one["operationId"] for one in operations if not one["summary"]]
    assert len(operations) == len({one["operationId"] for one in operations})


def test_the_readme_lists_every_route() -> None:
    """README.md names the routes of each function, all of them and no other."""
    rows = re.findall(r"^\| `(\w+)`[^|]*\|(.*)\|$", (openapi.ROOT / "README.md").read_text(), re.MULTILINE)
    named = {
        (function, method, path)
        for function, cell in rows
        for methods, path in re.findall(r"`([A-Z ]+) (/[^`]*)`", cell)
        for method in methods.split()
    }

    served = {(app.name, route.method, route.template) for app in openapi.load_apps() for route in app.routes}
    assert {route for route in served if route[2] != "/openapi.json"} == named


def test_descriptions_are_not_indented() -> None:
    """A docstring of several lines is described without the code's indentation, which Markdown would take for code."""
    schemas = document([_app()], title="Shop")["components"]["schemas"]

    assert "A thing.\n\n``name`` is short." == schemas["_Body"]["description"]


def test_problems_say_when_to_come_again() -> None:
    """Every route's problem may carry Retry-After."""
    paths = document([_app()], title="Shop")["paths"]

    told = [operation["responses"]["default"]["headers"] for path in paths.values() for operation in path.values()]
    assert [{"Retry-After"}] * 3 == [set(headers) for headers in told]
