"""The description of the routes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any

import jsonschema_rs
import msgspec
import pytest
import yaml
from werkzeug import Response

from common import errors, web
from common.openapi import codes_of, document
from common.problem_codes import CATALOGUE
from ops import openapi


class _Body(msgspec.Struct):
    """A thing.

    ``name`` is short.
    """

    name: Annotated[str, msgspec.Meta(max_length=9)]


class _Query(msgspec.Struct):
    page: int = 1


class _Answer(msgspec.Struct):
    things: list[_Body]
    more: bool = False


_EXAMPLES: dict[Any, dict[str, Any]] = {_Body: {"name": "cup"}}


def _app() -> web.App:
    app = web.App("shop", _EXAMPLES)

    @app.route("PUT", "/messages/{id}", web.USER, body=_Body, query=_Query, status=204, problems=("not-found",))
    def put(_: web.Call) -> Response:
        """Puts a thing.

        More words.
        """
        raise AssertionError

    @app.route("POST", "/tasks", web.service("tasks_service_account", "mail_proxy_url"), answer=_Body)
    def work(_: web.Call) -> Response:
        """Works."""
        raise AssertionError

    @app.route("POST", "/mails", web.USER, body=_Body, answer=_Answer, files=True, keyed=True, accepts=True)
    def send(_: web.Call) -> Response:
        """Sends."""
        raise AssertionError

    return app


def test_a_route_is_described_by_what_it_registers() -> None:
    """Summary, path and query parameters, body and status come from the registration."""
    put = document([_app()], title="Shop")["paths"]["/messages/{id}"]["put"]

    assert ("Puts a thing.", [{"crm": []}], {"204", "400", "401", "403", "404", "413", "500", "503", "default"}) == (
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

    assert ["200", "202"] == [status for status in send["responses"] if status < "3"]
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
    assert {"/shop/messages/{id}", "/shop/tasks", "/shop/mails"} == document([_app()], title="Shop", prefixed=True)[
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
    described = document([_app()], title="Shop")
    problem = described["components"]["responses"]["Problem"]

    told = [operation["responses"] for path in described["paths"].values() for operation in path.values()]
    assert [{"$ref": "#/components/responses/Problem"}] * 3 == [one["default"] for one in told]
    assert [["Retry-After"]] * 4 == [list(one["503"]["headers"]) for one in told] + [list(problem["headers"])]


def test_a_route_names_the_codes_of_its_problems() -> None:
    """Each status has its codes: those of the route's kind, and its own."""
    answers = document([_app()], title="Shop")["paths"]["/messages/{id}"]["put"]["responses"]

    told = {status: answers[status]["content"]["application/problem+json"]["schema"] for status in ("400", "404")}
    assert {
        "400": ["invalid-json", "invalid-body", "invalid-query"],
        "404": ["not-found"],
    } == {status: schema["allOf"][1]["properties"]["code"]["enum"] for status, schema in told.items()}


def test_examples_are_made_of_those_of_what_is_nested() -> None:
    """An answer's example has all its fields: the nested ones by their own examples, the rest by their defaults."""
    answers = document([_app()], title="Shop")["paths"]["/mails"]["post"]["responses"]

    assert {"things": [{"name": "cup"}], "more": False} == answers["200"]["content"]["application/json"]["example"]


def test_an_example_that_does_not_fit_is_refused() -> None:
    """No description is made with an example that its type does not take, or without one that it needs."""
    app = _app()
    app.examples = {_Body: {"name": "far too long a name"}}
    with pytest.raises(msgspec.ValidationError):
        document([app], title="Shop")
    app.examples = {_Body: {}}
    with pytest.raises(msgspec.ValidationError):
        document([app], title="Shop")


def test_answers_always_have_all_their_fields() -> None:
    """What has a default in code is required in an answer, and stays optional in what is taken."""
    described = document([_app()], title="Shop")
    query = described["paths"]["/messages/{id}"]["put"]["parameters"][1]

    assert ["things", "more"] == described["components"]["schemas"]["_Answer"]["required"]
    assert (False, 1) == (query["required"], query["schema"]["default"])


def _contents(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What goes in and what comes out, by where it stands; problems apart."""
    for path in described["paths"].values():
        for operation in path.values():
            name = operation["operationId"]
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                yield f"{name} {media}", content
            for status, answer in operation["responses"].items():
                for media, content in answer.get("content", {}).items():
                    if status < "3":
                        yield f"{name} {status} {media}", content


def test_every_request_and_answer_has_an_example_of_its_schema() -> None:
    """Each body and each success has an example, and JSON ones fulfil their schemas, times and dates included."""
    described = yaml.safe_load(openapi.TARGET.read_text())
    contents = dict(_contents(described))
    checked = {where: one for where, one in contents.items() if "json" in where or "form-data" in where}

    wrong = {}
    for where, one in checked.items():
        schema = {**one["schema"], "components": described["components"]}
        validator = jsonschema_rs.validator_for(schema, validate_formats=True)
        found = [error.message for error in validator.iter_errors(one["example"])]
        if found:
            wrong[where] = found
    assert ([], {}) == ([where for where, one in contents.items() if "example" not in one], wrong)
    assert len(checked) > 60


def test_times_are_described_as_times() -> None:
    """What is called a time or a day is a date-time or a date in every schema."""
    schemas = yaml.safe_load(openapi.TARGET.read_text())["components"]["schemas"]
    forms = {
        f"{name}.{field}": re.findall(r"'format': '([^']*)'", str(schema))
        for name, one in schemas.items()
        for field, schema in one.get("properties", {}).items()
        if re.search(r"_(at|on|until)$", field) or field == "at"
    }

    assert {} == {field: found for field, found in forms.items() if found not in (["date-time"], ["date"])}
    assert len(forms) > 40


def test_downloads_say_what_they_are() -> None:
    """A source is message/rfc822, an attachment of any type; both come with a file's name."""
    paths = yaml.safe_load(openapi.TARGET.read_text())["paths"]
    files = {
        path: (list(answer["content"]), list(answer["headers"]))
        for path, methods in paths.items()
        if path.endswith(("/raw", "/attachments/{part_id}"))
        for answer in [methods["get"]["responses"]["200"]]
    }

    assert {
        "/mail_proxy/messages/{id}/raw": (["message/rfc822"], ["Content-Disposition"]),
        "/mail_proxy/messages/{id}/attachments/{part_id}": (["*/*"], ["Content-Disposition"]),
        "/mail_proxy/contacts/{id}/emails/{owner}/{message_id}/attachments/{part_id}": (
            ["*/*"],
            ["Content-Disposition"],
        ),
    } == files


def _kinds() -> dict[str, Any]:
    """The classes of problems, by name."""
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    return {name: kind for name, kind in kinds.items() if issubclass(kind, errors.Problem)}


def _own_codes(node: ast.ClassDef, kinds: dict[str, Any]) -> set[tuple[str, int]]:
    """The code of a problem that is a class of its own, with the status that it has or that of what it is made of."""
    lines = [line for line in node.body if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)]
    told = {ast.unparse(line.targets[0]): ast.unparse(line.value) for line in lines}
    made_of = [int(kinds[base.id].status) for base in node.bases if isinstance(base, ast.Name) and base.id in kinds]
    if "code" not in told or not made_of:
        return set()
    own = told.get("status", "").removeprefix("HTTPStatus.")
    return {(ast.literal_eval(told["code"]), int(HTTPStatus[own]) if own else made_of[0])}


def _raised() -> set[tuple[str, int]]:
    """The codes of all problems that the product makes, with their statuses, read from its source."""
    kinds = _kinds()
    # composing tells these as 422, or 413 for the one that says so.
    kinds["MailInputError"] = errors.Unprocessable
    found: set[tuple[str, int]] = set()
    for source in [*(openapi.ROOT / "common").rglob("*.py"), *(openapi.ROOT / "functions").rglob("*.py")]:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
                named = node.args[0] if node.args else None
                if isinstance(named, ast.Constant) and isinstance(named.value, str):
                    found.add((named.value, int(kinds[node.func.id].status)))
            elif isinstance(node, ast.ClassDef):
                found |= _own_codes(node, kinds)
    return found - {("message-too-large", int(errors.Unprocessable.status))}


def test_the_catalogue_has_every_code_that_is_raised() -> None:
    """Each code in the source stands in the catalogue with its status."""
    known = {(code, status) for code, (statuses, _) in CATALOGUE.items() for status in statuses}

    # Nobody is told of another watch: it is stopped.
    internal = {"watched-elsewhere", *(kind.code for kind in _kinds().values())}
    assert set() == {(code, status) for code, status in _raised() - known if code not in internal}


def test_every_code_of_the_catalogue_is_some_routes() -> None:
    """Each code in the catalogue is named by a route, or is not of one route."""
    named = {code for app in openapi.load_apps() for route in app.routes for code in codes_of(route)}

    assert {"method-not-allowed"} == CATALOGUE.keys() - named
