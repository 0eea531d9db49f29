"""The functions are told by Terraform what their code reads: environment and secrets, by ``common.config``'s names.

A copy of either side that drifts fails here, without Terraform: ``hcl`` reads its files, ``reach`` the code.
"""

from __future__ import annotations

import ast
import re

import pytest

from common import tasks
from common.config import Config, parse_config
from local.environment import INVOKERS, Addresses, Crm, DeploymentKeys, function_environment
from ops.openapi import load_apps
from tests.terraform import hcl
from tests.terraform.reach import reached
from tests.terraform.told import (
    FIELDS,
    PLATFORM,
    SECRETS,
    read_fields,
    service_fields,
    told_plainly,
    told_secretly,
)
from tests.unit.import_graph import FUNCTIONS, ROOT

PUBLIC = ("oauth_callback", "mail_proxy")
PRIVATE = ("magnet_ingest", "label_sweep")
# What the code reads and Terraform leaves at its default.
LEFT_AT_DEFAULT = {
    "google_auth_url": "Google's own address",
    "google_issuer": "Google's own address",
    "google_jwks_url": "Google's own address",
    "google_revoke_url": "Google's own address",
    "google_risc_url": "Google's own address",
    "google_token_url": "Google's own address",
    "gmail_url": "Google's own address",
    "secret_manager_address": "a stand-in's address",
    "cloud_tasks_address": "a stand-in's address",
    "webhook_allow_loopback": "for the local stack alone",
}
# Of web.py's and auth.py's code for users' tokens, which no route of a private function runs.
OF_USERS = {name for name in FIELDS if name.startswith("crm_")} | {"allowed_origins"}
# Variables of the local stack that are none of the configuration.
OF_THE_STACK = {"CLOCK_OFFSET_FILE", "FIRESTORE_EMULATOR_HOST"}
ADDRESSES = Addresses(
    front="http://front", oauth="http://oauth", gmail="http://gmail", firestore="firestore:1",
    secret_manager="secrets:1", cloud_tasks="tasks:1", crm="http://crm",
)  # fmt: skip


def told_locally(function: str) -> dict[str, str]:
    crm = Crm(issuer="https://crm", audience="gmail", tenant="acme")
    return function_environment(function, ADDRESSES, crm, DeploymentKeys(), "clock")


def test_environments_are_put_together_as_read_here() -> None:
    """A function's environment is that of all, that of the public or the private ones, its own, and the platform's."""
    merged = re.fullmatch(
        r"\$\{\{for name, function in local\.functions : name => merge\(local\.environment_of_all, function\.is_public "
        r"\? local\.environment_of_public : local\.environment_of_private, local\.environment_of_one\[name\], "
        r"\{(?P<platform>.*)\}\)\}\}",
        hcl.local_values()["environments"],
    )

    assert merged is not None
    assert set(hcl.assigned(merged["platform"])) == PLATFORM
    assert (
        "{for name, value in var.limits : upper(name) => tostring(value) if value != null}"
        in (hcl.local_values()["environment_of_all"])
    )


def test_the_function_gets_environment_and_secrets_as_read_here() -> None:
    """The deployed function takes its environment from that table, and each secret under its name in capitals."""
    service = hcl.inner(hcl.resource("google_cloudfunctions2_function", "this"), "service_config")
    secrets = next(
        one["secret_environment_variables"] for one in service["dynamic"] if "secret_environment_variables" in one
    )

    assert "${local.environments[each.key]}" == service["environment_variables"]
    assert ("${toset(each.value.secrets)}", "${upper(secret.key)}") == (
        secrets["for_each"],
        secrets["content"][0]["key"],
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_is_told_nothing_unknown(function: str) -> None:
    """Every variable is a field of the configuration, in capitals, or the platform's."""
    names = {name.upper() for name in FIELDS} | PLATFORM

    assert set() == set(told_plainly(function)) - names
    assert set() == told_secretly(function) - FIELDS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_is_told_what_it_reads(function: str) -> None:
    """Every field that the function's code reads is set, apart from those that stay at their default for a reason."""
    told = {name.lower() for name in told_plainly(function)} | told_secretly(function)
    excused = set(LEFT_AT_DEFAULT) | (OF_USERS if function in PRIVATE else {"trust_run_iam"})

    assert set() == read_fields(function) - told - excused


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_is_told_nothing_of_its_own_that_it_does_not_read(function: str) -> None:
    """What is set for one function alone is read by it."""
    own = set(hcl.local_values()["environment_of_one"][function])

    assert set() == own - {name.upper() for name in read_fields(function)}


def test_excuses_are_needed() -> None:
    """What is said to stay at its default is read somewhere, and set nowhere."""
    read = set[str]().union(*map(read_fields, FUNCTIONS))
    told = {name.lower() for function in FUNCTIONS for name in told_plainly(function)}

    assert set() == set(LEFT_AT_DEFAULT) - read
    assert set() == set(LEFT_AT_DEFAULT) & told


def test_no_private_function_takes_a_users_token() -> None:
    """Private functions have routes for service accounts alone: so they need not be told about the CRM's tokens."""
    kinds = {app.name: {route.who.kind for route in app.routes} for app in load_apps()}

    assert {name: {"service"} for name in PRIVATE} == {name: kinds[name] for name in PRIVATE}


def test_every_field_is_read() -> None:
    """The configuration has no field that no function reads."""
    read = set[str]().union(*map(read_fields, FUNCTIONS))

    assert set() == FIELDS - read


@pytest.mark.parametrize("function", FUNCTIONS)
def test_secrets_come_from_secret_manager_alone(function: str) -> None:
    """What is secret is no plain variable, and a function gets exactly the secrets that its code reads."""
    assert set() == {name.upper() for name in SECRETS} & set(told_plainly(function))
    assert read_fields(function) & SECRETS == told_secretly(function)


def test_every_secret_is_made() -> None:
    """Terraform makes a secret for each that a function reads; all but the HMAC key's have a version to choose."""
    chosen = set(hcl.optional_fields("secret_versions"))
    made = str(hcl.local_values()["secrets"])

    assert set[str]().union(*map(told_secretly, FUNCTIONS)) == SECRETS == chosen | {"hmac_key"}
    assert "{hmac_key = 1}" in made
    assert "in var.secret_versions : name => version" in made


def test_iam_is_trusted_by_private_functions_only() -> None:
    """TRUST_RUN_IAM is set for the private functions and never for a public one, in Terraform and locally."""
    functions = hcl.local_values()["functions"]

    assert set(PUBLIC) == {name for name in FUNCTIONS if functions[name]["is_public"] is True}
    assert set(PRIVATE) == {name for name in FUNCTIONS if functions[name]["is_public"] is False}
    assert {name: name in PRIVATE for name in FUNCTIONS} == {
        name: told_plainly(name).get("TRUST_RUN_IAM") == "true" for name in FUNCTIONS
    }
    assert set(INVOKERS) == set(PRIVATE)
    assert {name: name in PRIVATE for name in FUNCTIONS} == {
        name: parse_config(told_locally(name)).trust_run_iam for name in FUNCTIONS
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_variables_name_what_they_say(function: str) -> None:
    """A function's URL, a caller's account and a queue stand under the variable that the code looks them up by."""
    told = told_plainly(function)
    urls = {f"{name.upper()}_URL": f'local.urls["{name}"]' for name in FUNCTIONS}
    queues = {
        f"{name}_QUEUE": f'google_cloud_tasks_queue.this["{getattr(Config, f"{name.lower()}_queue")}"].name'
        for name in ("INGEST", "SWEEP", "SEND", "WEBHOOK", "HOUSEKEEPING")
    }
    accounts = {
        f"{name.upper()}_SERVICE_ACCOUNT": f'google_service_account.caller["{name}"].email'
        for name in hcl.local_values()["callers"]
    }

    assert urls | queues == {name: told[name] for name in urls | queues}
    assert {name: accounts.get(name) for name in told if name.endswith("_SERVICE_ACCOUNT")} == {
        name: value.strip("${}") for name, value in told.items() if name.endswith("_SERVICE_ACCOUNT")
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_services_that_may_call_are_told(function: str) -> None:
    """The account and the audience that a route takes are set for its function; unset, nobody could call it."""
    told = told_plainly(function)

    assert set() == {field.upper() for pair in service_fields(function) for field in pair} - set(told)
    assert {f"{function}_url"} >= {audience for _, audience in service_fields(function)}


def test_limits_are_numbers_of_the_configuration() -> None:
    """The limits that can be set are fields that hold a number, each of them read by a function."""
    kinds = {name: Config.__annotations__[name] for name in hcl.optional_fields("limits")}

    assert {"int", "float"} == set(kinds.values())
    assert set() == set(kinds) - set[str]().union(*map(read_fields, FUNCTIONS))


def test_tasks_wait_as_long_as_functions_may_take() -> None:
    """The functions' timeout is the deadline that the code gives its tasks."""
    assert tasks._DEADLINE_S == hcl.local_values()["timeout_s"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_local_stack_sets_what_terraform_sets(function: str) -> None:
    """Locally every variable is known, and what Terraform sets is set, too, or has a default."""
    local = set(told_locally(function)) - OF_THE_STACK
    defaults = {name.upper() for name in FIELDS if getattr(Config, name, None)}
    # The other way to give what CRM_JWKS_URL gives.
    others = {"CRM_JWKS"}

    assert set() == local - {name.upper() for name in FIELDS}
    told = {name.upper() for name in read_fields(function)} & set(told_plainly(function))
    assert set() == told - local - defaults - others


def test_only_the_configuration_reads_the_environment() -> None:
    """No other module does, the clock's seam apart: so the fields are all that can be told."""
    readers = {
        definition.module
        for function in FUNCTIONS
        for definition in reached(function)
        for node in definition.attributes
        if node.attr in ("environ", "getenv") and isinstance(node.value, ast.Name)
    }

    assert {"common.config", "common.clock"} == readers
    assert (ROOT / "common" / "clock.py").read_text().count("environ") == 1
