"""Schemathesis against the two public functions: no server error, and no answer that openapi.yaml does not describe."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import hypothesis
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from local.functions import ROOT
from local.stack import Stack
from tests.integration.magnet_rig import MIA
from tests.integration.sending_rig import mail, post
from tests.integration.sweep_rig import start_labels

pytestmark = pytest.mark.integration

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# They end what the others need, so that they come after those, in this order.
LAST = (
    "DELETE /drafts/{id}",
    "POST /drafts/{id}/send",
    "PATCH /connection",
    "PUT /policy",
    "DELETE /connections/{user}",
    "DELETE /connection",
    "POST /directory",
)
CALLERS = {"policy": "carla", "audit": "carla", "connections": "carla", "directory": "crm-backend"}
# What only Google, or a sign-in that has just been through Google's page, is answered well.
REFUSED = {
    "mail_proxy": {"POST /tasks/send", "PATCH /sends/{key}", "DELETE /sends/{key}"},
    "oauth_callback": {"GET /callback", "POST /connection", "POST /risc", "POST /tasks/housekeeping"},
}
# What stands in a body that is about real things, as it is here, or (...) as ``things`` has it.
_MAIL = {"to": [{"address": MIA}], "cc": [], "bcc": [], "from": "", "mode": "new", "message_id": "", "send_at": None}
REAL: dict[str, dict[str, Any]] = {
    "POST /messages": _MAIL,
    "PUT /drafts/{id}": {key: value for key, value in _MAIL.items() if key != "send_at"},
    "POST /messages/modify": {"ids": ...},
    "POST /authorize": {"return_to": ...},
    "POST /notices/read": {"ids": ..., "until": None},
    "PUT /contacts/{id}/share": {"addresses": None},
    "POST /contacts/{id}/emails": {"q": "", "page_token": "", "mailboxes": None},
    "POST /deals/{id}/emails": {"q": "", "page_token": "", "mailboxes": None},
}
# Of each operation, the same ones each time; with more of them (300, say) it is a hunt.
ANY_CASES, REAL_CASES = 4, 3
SETTINGS = hypothesis.settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer("application/secevent+jwt")
def write_token(_context: Any, value: Any) -> Any:
    return str(value).encode()


def operations(function: str) -> list[Any]:
    """The function's operations, those that end something last; an answer that is not described by itself is wrong."""
    described = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    own = {path: one for path, one in described["paths"].items() if path.startswith(f"/{function}/")}
    for methods in own.values():
        for operation in methods.values():
            del operation["responses"]["default"]
    schema = schemathesis.openapi.from_dict({**described, "paths": own})
    found = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    return sorted(found, key=lambda one: LAST.index(name_of(one)) if name_of(one) in LAST else -1)


def name_of(operation: Any) -> str:
    return f"{operation.method.upper()} /{operation.path.split('/', 2)[2]}"


def things(stack: Stack) -> dict[str, Any]:
    """What there is to ask for, by the names of the paths' parameters, or by their first words."""
    files = [{"filename": "a.txt", "content_type": "text/plain", "data_base64": base64.b64encode(b"a").decode()}]
    mail_id = stack.mail("anna", MIA, "Offer", html="<p>Offer</p>", attachments=files)
    stack.settle()
    stack.sweep()
    opened = stack.ask("anna", "GET", f"/mail_proxy/messages/{mail_id}")
    post(stack, mail(), "known")
    return {
        "messages": mail_id,
        "message_id": mail_id,
        "part_id": opened["attachments"][0]["part_id"],
        "threads": opened["thread_id"],
        "ids": [mail_id],
        "drafts": stack.ask("anna", "POST", "/mail_proxy/drafts", json=mail())["id"],
        "DELETE /drafts/{id}": stack.ask("anna", "POST", "/mail_proxy/drafts", json=mail())["id"],
        "sweeps": stack.ask("anna", "GET", "/mail_proxy/sweeps")["sweeps"][0]["id"],
        "contacts": "mia",
        "deals": "d-01",
        "owner": "anna",
        "user": "ben",
        "key": "known",
        "return_to": f"{stack.crm_url}/connected",
    }


def real_cases(operation: Any, known: Mapping[str, Any]) -> st.SearchStrategy[Case[Any]]:
    """Requests by the description, about things that there are."""
    first, name = operation.path.split("/")[2], name_of(operation)

    def about_real_things(case: Case[Any]) -> Case[Any]:
        names = case.path_parameters or {}
        case.path_parameters = {one: known.get(name, known[first if one == "id" else one]) for one in names}
        if isinstance(case.body, dict) and name in REAL:
            case.body |= {key: known[key] if value is ... else value for key, value in REAL[name].items()}
        return case

    right: st.SearchStrategy[Case[Any]] = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    return right.map(about_real_things)


def any_cases(operation: Any) -> st.SearchStrategy[Case[Any]]:
    """Requests by the description and against it."""
    return st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))


def ask_for(stack: Stack, operation: Any, known: Mapping[str, Any]) -> tuple[set[int], list[str]]:
    """The statuses of the answers, and what was wrong with them."""
    # A minute's quota for each, however fast this runs.
    stack.advance(61)
    token = stack.token(CALLERS.get(operation.path.split("/")[2], "anna"))
    statuses: set[int] = set()
    wrong: list[str] = []

    def ask(case: Case[Any]) -> None:
        sent = {"Authorization": f"Bearer {token}"}
        answer = case.call(base_url=stack.front.url, headers=sent, allow_redirects=False)
        statuses.add(answer.status_code)
        try:
            case.validate_response(answer, checks=CHECKS)
        except BaseExceptionGroup as failures:
            wrong.extend(f"{name_of(operation)}: {one}" for one in failures.exceptions)

    for chosen, number in ((any_cases(operation), ANY_CASES), (real_cases(operation, known), REAL_CASES)):
        hypothesis.settings(SETTINGS, max_examples=number)(hypothesis.given(case=chosen)(ask))()
    return statuses, wrong


@pytest.mark.parametrize("function", ["mail_proxy", "oauth_callback"])
def test_answers_are_as_described(stack: Stack, function: str) -> None:
    """No request, right or wrong, is answered with a server error, or otherwise than openapi.yaml says."""
    stack.load_directory()
    stack.google.add_account(MIA, "Mia Schneider")
    start_labels(stack)
    known = things(stack)

    told = {name_of(operation): ask_for(stack, operation, known) for operation in operations(function)}

    assert [] == [wrong for _, found in told.values() for wrong in found]
    assert REFUSED[function] == {name for name, (statuses, _) in told.items() if min(statuses) >= 300}
