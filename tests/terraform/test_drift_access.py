"""Who may do what in Terraform is what the code does: callers of routes, queues, secrets, and the names of both."""

from __future__ import annotations

import ast
import json
import re

import pytest

from common import secrets
from common.config import Config
from common.web import Route
from local import environment
from ops import names
from ops.openapi import load_apps
from tests.terraform import hcl
from tests.terraform.reach import Definition, reached
from tests.terraform.told import service_fields
from tests.unit.import_graph import FUNCTIONS, ROOT

# What a call of Secret Manager's client needs (its documentation, "Access control with IAM").
PERMISSIONS = {
    "create_secret": "secretmanager.secrets.create",
    "list_secrets": "secretmanager.secrets.list",
    "delete_secret": "secretmanager.secrets.delete",
    "add_secret_version": "secretmanager.versions.add",
    "access_secret_version": "secretmanager.versions.access",
    "list_secret_versions": "secretmanager.versions.list",
    "destroy_secret_version": "secretmanager.versions.destroy",
}
# What roles/cloudtasks.enqueuer allows of what the client can do: deleting a task needs another role.
ENQUEUER = {"create_task"}


def callers_of(function: str) -> set[str]:
    """Whose tokens the function's internal routes take, by their names in Terraform."""
    return {account.removesuffix("_service_account") for account, _ in service_fields(function)}


def service_routes(function: str) -> list[Route]:
    (app,) = [app for app in load_apps() if app.name == function]
    return [route for route in app.routes if route.who.kind == "service"]


def route_of(function: str, path: str) -> tuple[str, str]:
    """The caller and the audience that POST to a path of the function takes."""
    (route,) = [one for one in service_routes(function) if (one.method, one.template) == ("POST", path)]
    return route.who.service.removesuffix("_service_account"), route.who.audience.removesuffix("_url")


def enqueuing(function: str) -> list[tuple[Definition, ast.Call]]:
    """Each call of ``tasks.enqueue`` that the function's code comes to, and where it stands."""
    return [
        (definition, call) for definition in reached(function) for call in definition.calls if _is_enqueue(call.func)
    ]


def _is_enqueue(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "enqueue"
        and isinstance(node.value, ast.Name)
        and node.value.id == "tasks"
    )


def task_account(call: ast.Call) -> str:
    """In whose name a task calls: the usual account, unless another one is given."""
    given = [one.value for one in call.keywords if one.arg == "service_account"]
    if not given:
        return "tasks"
    assert isinstance(given[0], ast.Attribute)
    return given[0].attr.removesuffix("_service_account")


def client_calls(function: str, module: str) -> set[str]:
    """The methods of its Google client that a module of ``common`` calls, as far as the function comes to them."""
    return {
        call.func.attr
        for definition in reached(function)
        if definition.module == module
        for call in definition.calls
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "_client()"
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_invokers_are_the_callers_of_its_routes(function: str) -> None:
    """IAM lets into a private function those whom its routes take, no more and no fewer; public ones name nobody."""
    row = hcl.local_values()["functions"][function]

    assert (set() if row["is_public"] else callers_of(function)) == set(row["invokers"])
    assert callers_of(function) <= set(hcl.local_values()["callers"])


def test_each_job_calls_a_route_that_takes_it() -> None:
    """A job of Scheduler posts to a route of its function, in the name and for the audience that the route takes."""
    jobs = hcl.local_values()["jobs"].values()
    target = hcl.inner(hcl.resource("google_cloud_scheduler_job", "this"), "http_target")
    token = hcl.inner(target, "oidc_token")

    assert [(job["caller"], job["function"]) for job in jobs] == [
        route_of(job["function"], job["path"]) for job in jobs
    ]
    assert ("POST", "${local.urls[each.value.function]}${each.value.path}") == (
        target["http_method"],
        target["uri"].strip('"'),
    )
    assert ("${google_service_account.caller[each.value.caller].email}", "${local.urls[each.value.function]}") == (
        token["service_account_email"],
        token["audience"],
    )


def test_each_route_of_the_scheduler_has_its_job() -> None:
    """A route that takes Scheduler's account is called by a job."""
    called = {(job["function"], job["path"]) for job in hcl.local_values()["jobs"].values()}
    routes = {
        (function, route.template)
        for function in FUNCTIONS
        for route in service_routes(function)
        if route.who.service in ("scheduler_service_account", "housekeeping_service_account")
    }

    assert called == routes


def test_gmails_push_reaches_the_route_that_takes_it() -> None:
    """The subscription pushes to magnet_ingest's root, as the account and for the audience that this route takes."""
    push = hcl.inner(hcl.resource("google_pubsub_subscription", "push"), "push_config")
    token = hcl.inner(push, "oidc_token")
    caller, audience = route_of("magnet_ingest", "/")

    assert '${local.urls["magnet_ingest"]}/' == push["push_endpoint"]
    assert (f'${{google_service_account.caller["{caller}"].email}}', f'${{local.urls["{audience}"]}}') == (
        token["service_account_email"],
        token["audience"],
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_queues_are_those_that_it_leaves_tasks_in(function: str) -> None:
    """A function may leave tasks in the queues that its code names, and in no others."""
    fields = {node.attr for one, _ in enqueuing(function) for node in one.attributes if node.attr.endswith("_queue")}

    assert {getattr(Config, field) for field in fields} == set(hcl.local_values()["functions"][function]["queues"])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_acts_as_those_in_whose_name_its_tasks_call(function: str) -> None:
    """A function may act as the accounts that its tasks call as, and as no others."""
    accounts = {task_account(call) for _, call in enqueuing(function)}

    assert accounts == set(hcl.local_values()["functions"][function]["tasks_as"])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_its_tasks_call_takes_them(function: str) -> None:
    """Where a task calls, a route takes its account, and IAM lets it in."""
    rows = hcl.local_values()["functions"]
    calls = {
        (node.attr.removesuffix("_url"), task_account(call))
        for one, call in enqueuing(function)
        for node in one.attributes
        if node.attr.endswith("_url") and node.attr.removesuffix("_url") in FUNCTIONS
    }

    assert calls
    assert [] == [(target, caller) for target, caller in calls if caller not in callers_of(target)]
    assert [] == [
        (target, caller)
        for target, caller in calls
        if not rows[target]["is_public"] and caller not in rows[target]["invokers"]
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_writer_of_tasks_only_makes_them(function: str) -> None:
    """No function asks Cloud Tasks for more than the role that it has on its queues."""
    assert "roles/cloudtasks.enqueuer" == hcl.resource("google_cloud_tasks_queue_iam_member", "writer")["role"]
    assert client_calls(function, "common.tasks") == ENQUEUER


def test_queues_are_made_under_the_names_that_the_code_knows() -> None:
    """Each queue of the configuration's defaults is made, under this name, and no other."""
    defaults = {value for name, value in vars(Config).items() if name.endswith("_queue")}

    assert defaults == set(hcl.local_values()["queues"])
    assert "${each.key}" == hcl.resource("google_cloud_tasks_queue", "this")["name"]
    assert defaults == set(_listed_in_validation("queue_rates"))


def test_oauth_callback_alone_keeps_refresh_tokens() -> None:
    """Its two roles hold the permissions that its calls of Secret Manager need, and no others."""
    roles = hcl.resources()["google_project_iam_custom_role"]
    needed = {PERMISSIONS[call] for call in client_calls("oauth_callback", "common.secrets")}
    on_the_project = {"secretmanager.secrets.create", "secretmanager.secrets.list"}

    assert needed - on_the_project == set(roles["refresh_token_keeper"]["permissions"])
    assert needed & on_the_project == set(roles["secret_maker"]["permissions"])


@pytest.mark.parametrize("function", sorted(set(FUNCTIONS) - {"oauth_callback"}))
def test_the_others_only_read_refresh_tokens(function: str) -> None:
    """Of Secret Manager they call what the role of their grant allows."""
    grant = hcl.resource("google_project_iam_member", "refresh_token_reader")

    assert "roles/secretmanager.secretAccessor" == grant["role"]
    assert 'if name != "oauth_callback"' in grant["for_each"]
    assert client_calls(function, "common.secrets") == {"access_secret_version"}


def test_iam_knows_refresh_tokens_by_the_prefix_that_the_code_gives() -> None:
    """The condition's prefix is that of secret_name, and none of the deployment's own secrets begins with it."""
    source = (ROOT / "common" / "secrets.py").read_text()
    (prefix,) = re.findall(r'return f"([a-z-]+)\{keys\(\)\.hash\(', source)
    condition = hcl.local_values()["refresh_token_condition"]
    members = hcl.resources()["google_project_iam_member"]

    assert f'/secrets/{prefix}")' in condition
    assert {"refresh_token_reader", "refresh_token_keeper"} == {
        name
        for name, grant in members.items()
        if "condition" in grant
        if hcl.inner(grant, "condition")["expression"] == "${local.refresh_token_condition}"
    }
    assert [] == [name for name in _own_secrets() if name.replace("_", "-").startswith(prefix)]


def test_labels_that_the_code_gives_are_nobody_elses() -> None:
    """The labels by which the functions find their secrets again can be set for nothing else by a variable."""
    assert set(secrets._LABELS) == set(_listed_in_validation("labels"))


def test_firestore_is_declared_from_the_file_that_the_local_one_enforces() -> None:
    """Indexes, exemptions and expiry come from common/store/indexes.json, each entry under a key of its own.

    That each query of the store has its index there, the local Firestore enforces in every integration test
    (tests/integration/test_store.py; its rules: tests/unit/test_firestore_indexes.py); that what expires has its TTL
    policy there, tests/unit/test_data_manifest.py.
    """
    declared = json.loads((ROOT / "common" / "store" / "indexes.json").read_text())
    indexes = [
        "/".join([one["collectionGroup"], *(f["fieldPath"] for f in one["fields"])]) for one in declared["indexes"]
    ]
    overrides = [f"{one['collectionGroup']}/{one['fieldPath']}" for one in declared["fieldOverrides"]]

    assert '${jsondecode(file("${path.module}/../common/store/indexes.json"))}' == hcl.local_values()["declared"]
    assert "in local.declared.indexes :" in hcl.resource("google_firestore_index", "this")["for_each"]
    assert "in local.declared.fieldOverrides :" in hcl.resource("google_firestore_field", "this")["for_each"]
    assert (sorted(set(indexes)), sorted(set(overrides))) == (sorted(indexes), sorted(overrides))
    assert {"indexes", "fieldOverrides"} == set(declared)


def test_the_local_google_has_terraforms_jobs() -> None:
    """The local stack's jobs have the name, schedule, path and caller of Terraform's."""
    accounts = local_accounts()

    assert {
        (name, job["schedule"], job["function"], job["path"], accounts[job["caller"]])
        for name, job in hcl.local_values()["jobs"].items()
    } == {(job.name, job.schedule, job.function, job.path, job.account) for job in environment.JOBS}


def test_the_local_google_has_terraforms_accounts_and_invokers() -> None:
    """The local stack's accounts are called as Terraform's, and the same ones may call the private functions."""
    accounts = local_accounts()
    local = {environment.PUSH, environment.SCHEDULER, environment.TASKS, environment.HOUSEKEEPING}
    rows = hcl.local_values()["functions"]

    assert local == set(accounts.values())
    assert {
        name: {accounts[caller] for caller in row["invokers"]} for name, row in rows.items() if not row["is_public"]
    } == environment.INVOKERS


def test_the_local_google_has_terraforms_queues_and_topics() -> None:
    """Queues, topics and the subscription have the same names locally."""
    topics = hcl.local_values()["topics"]
    local = [environment.TOPIC, environment.DEAD_LETTERS, environment.SUBSCRIPTION]

    assert {queue.name for queue in environment.QUEUES} == set(hcl.local_values()["queues"])
    assert [topics["push"], topics["dead"], hcl.resource("google_pubsub_subscription", "push")["name"]] == [
        name.rpartition("/")[2] for name in local
    ]


def test_administrators_tools_know_terraforms_names() -> None:
    """Jobs, secrets, functions, topic and subscriptions are called the same by ``python -m ops``."""
    rows = hcl.local_values()["functions"]
    resources = hcl.resources()
    source = (ROOT / "ops" / "names.py").read_text()

    assert set(names.JOBS) == set(hcl.local_values()["jobs"])
    assert {name.replace("_", "-"): name.upper() for name in _own_secrets()} == names.SECRETS
    assert '${replace(each.key, "_", "-")}' == hcl.resource("google_secret_manager_secret", "this")["secret_id"]
    assert (
        {name for name in rows if rows[name]["is_public"]},
        {name for name in rows if not rows[name]["is_public"]},
    ) == (
        set(names.PUBLIC),
        set(names.PRIVATE),
    )
    assert {one["name"] for one in resources["google_pubsub_subscription"].values()} == set(
        re.findall(r"/subscriptions/([a-z-]+)", source)
    )
    assert {hcl.local_values()["topics"]["push"]} == set(re.findall(r"/topics/([a-z-]+)", source))
    assert names.GMAIL_PUSH == hcl.resource("google_pubsub_topic_iam_member", "gmail")["member"]


def local_accounts() -> dict[str, str]:
    """Terraform's callers, each with the address that its account has in the local project."""
    domain = f"{environment.PROJECT}.iam.gserviceaccount.com"
    return {name: f"{one['account_id']}@{domain}" for name, one in hcl.local_values()["callers"].items()}


def _own_secrets() -> set[str]:
    return {"hmac_key", *hcl.optional_fields("secret_versions")}


def _listed_in_validation(variable: str) -> list[str]:
    """The names in the first list of a variable's validations."""
    for one in hcl.variables()[variable]["validation"]:
        if found := re.search(r"(?:setsubtract|setintersection)\(keys\(var\.\w+\), \[([^\]]+)\]", one["condition"]):
            return hcl.texts(found[1])
    return []
