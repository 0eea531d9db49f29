"""The rest that code and Terraform both name: Google's APIs, OAuth scopes, log lines behind metrics, alerts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from common import log, magnet_tasks, oauth
from local import environment
from ops.openapi import load_apps
from tests.terraform import hcl
from tests.terraform.reach import reached
from tests.unit.import_graph import FUNCTIONS, ROOT, files_of_function, imported_names

DEPLOY = ROOT / "docs" / "deploy.md"
OPERATIONS = ROOT / "docs" / "operations.md"
# The API behind each of Google's clients that the functions and the administrators' command line import.
OF_CLIENTS = {
    "google.cloud.firestore": "firestore",
    "google.cloud.secretmanager_v1": "secretmanager",
    "google.cloud.tasks_v2": "cloudtasks",
    "google.cloud.scheduler_v1": "cloudscheduler",
    "google.cloud.firestore_admin_v1": "firestore",
    "googleapiclient.discovery": "gmail",
    "google.auth.iam": "iamcredentials",
}
# The APIs behind each kind of resource, by how the kind begins.
OF_RESOURCES = {
    "google_billing": {"billingbudgets"},
    "google_cloud_run": {"run"},
    "google_cloud_scheduler": {"cloudscheduler"},
    "google_cloud_tasks": {"cloudtasks"},
    # A function is built by Cloud Build into Artifact Registry, and runs on Cloud Run.
    "google_cloudfunctions2": {"cloudfunctions", "cloudbuild", "artifactregistry", "run"},
    "google_compute": {"compute"},
    "google_firestore": {"firestore"},
    "google_kms": {"cloudkms"},
    "google_logging": {"logging"},
    "google_monitoring": {"monitoring"},
    "google_project_iam": {"iam"},
    "google_project_service": set(),  # resource_manager, apart: apis.tf says why.
    "google_pubsub": {"pubsub"},
    "google_secret_manager": {"secretmanager"},
    "google_service_account": {"iam"},
    "google_storage": {"storage"},
}
# Hosts of Google's that are no API to be turned on.
ALWAYS_ON = {"www", "oauth2"}
# What log.failure adds by itself.
OF_FAILURES = {"error", "code", "frames"}


@dataclass(frozen=True)
class Line:
    """A call that writes a line to the log: the names it may have, its fields, and its severities."""

    events: frozenset[str]
    fields: frozenset[str]
    severities: frozenset[str]


@cache
def lines() -> tuple[Line, ...]:
    """Every call of ``log.event`` and ``log.failure`` that a function's code comes to."""
    calls = {
        (definition, call)
        for function in FUNCTIONS
        for definition in reached(function)
        for call in definition.calls
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func) in ("log.event", "log.failure")
    }
    return tuple(_parse_line(call, ast.unparse(call.func)) for _, call in calls)


def _parse_line(call: ast.Call, called: str) -> Line:
    given = {one.arg: one.value for one in call.keywords if one.arg}
    fields = frozenset(given.keys() - {"severity"})
    if called == "log.failure":
        return Line(_texts(call.args[0]), fields | OF_FAILURES, frozenset({"ERROR"}))
    severities = _texts(given["severity"]) if "severity" in given else frozenset({"INFO"})
    return Line(_texts(call.args[0]), fields, severities)


def _texts(node: ast.expr) -> frozenset[str]:
    """The texts that an expression may be: a text, or either side of a condition."""
    if isinstance(node, ast.IfExp):
        return _texts(node.body) | _texts(node.orelse)
    return frozenset({node.value}) if isinstance(node, ast.Constant) and isinstance(node.value, str) else frozenset()


def lines_of(event: str) -> list[Line]:
    return [line for line in lines() if event in line.events]


def metrics() -> dict[str, Any]:
    found: dict[str, Any] = hcl.local_values()["metrics"]
    return found


def alerts() -> dict[str, Any]:
    found: dict[str, Any] = hcl.local_values()["alerts"]
    return found


def conditions() -> list[dict[str, Any]]:
    return [condition for alert in alerts().values() for condition in alert["conditions"].values()]


def filters(condition: dict[str, Any]) -> Iterator[str]:
    yield condition["filter"]
    if "ratio_to" in condition:
        yield condition["ratio_to"]


def labels_of(condition: dict[str, Any]) -> set[str]:
    """The labels that the metric of a condition's filter has; of Scheduler's own log it is the job."""
    (counted,) = re.findall(r"local\.counted\.(\w+)", condition["filter"]) or [""]
    if counted:
        return set(metrics()[counted]["labels"])
    return {"job"} if "local.job_failures" in condition["filter"] else {"quota_metric"}


def all_imported() -> set[str]:
    """What the functions and the administrators' command line import."""
    files = set((ROOT / "ops").glob("*.py")).union(*map(files_of_function, FUNCTIONS))
    return {name for file in files for name in imported_names(file)}


def hosts() -> set[str]:
    """The hosts of Google's APIs that stand in the functions' code and in that of the administrators' command line."""
    sources = [path for folder in ("common", "ops") for path in (ROOT / folder).rglob("*.py")]
    found = {host for path in sources for host in re.findall(r"https://([a-z0-9]+)\.googleapis\.com", path.read_text())}
    return found - ALWAYS_ON


def test_apis_are_those_that_clients_and_resources_need() -> None:
    """Each API is on that a client, an address in the code or a resource stands for, and no other."""
    imported = all_imported()
    clients = {api for module, api in OF_CLIENTS.items() if any(name.startswith(module) for name in imported)}
    kinds = {kind: [apis for start, apis in OF_RESOURCES.items() if kind.startswith(start)] for kind in hcl.resources()}

    assert [] == [kind for kind, found in kinds.items() if not found]
    needed = clients | hosts() | set[str]().union(*(one for found in kinds.values() for one in found))
    assert needed == set(hcl.texts(hcl.local_values()["apis"]))


def test_every_client_of_google_is_known() -> None:
    """A client of Google's that is imported has its API in the table of this test."""
    known = tuple(OF_CLIENTS)
    clients = {name for name in all_imported() if name.startswith(("google.cloud", "googleapiclient"))}
    libraries = ("googleapiclient.errors", "googleapiclient.http", "google.cloud.tasks_v2.services")

    assert [] == sorted(
        name for name in clients if not any(one.startswith(name) or name.startswith(one) for one in known + libraries)
    )


def test_the_consent_screen_gets_the_scopes_that_the_code_asks_for() -> None:
    """docs/deploy.md has exactly the ladder's scopes added to the consent screen, and names no other of Gmail's."""
    text = DEPLOY.read_text()
    asked = {scope.removeprefix("https://www.googleapis.com/auth/") for one in oauth.SCOPES.values() for scope in one}
    (added,) = re.findall(r"add the scopes ((?:`[a-z.]+`(?:, | and )?)+)", text)
    scopes_of_gmail = re.findall(r"`(?:https://www\.googleapis\.com/auth/)?(gmail\.[a-z.]+)`", text)

    assert asked == set(re.findall(r"`([a-z.]+)`", added))
    assert set() == set(scopes_of_gmail) - asked


def test_metrics_count_lines_that_the_code_writes() -> None:
    """Each metric's event is written somewhere, with the metric's labels and value among its fields."""
    for name, row in metrics().items():
        wanted = {*row["labels"], *([row["value"]] if "value" in row else [])}
        written = set[str]().union(*(line.fields for line in lines_of(row["event"])))

        assert lines_of(row["event"]), name
        assert (name, set(), set()) == (name, wanted - written, wanted - log.FIELDS)


def test_metrics_filters_let_lines_through() -> None:
    """What a filter asks for, a line of the event has; and no line comes through without any of the labels."""
    heavier = {"WARNING": {"WARNING", "ERROR", "CRITICAL"}, "ERROR": {"ERROR", "CRITICAL"}}
    for name, row in metrics().items():
        at_least = re.findall(r"severity>=(\w+)", row.get("filter", ""))
        fields = set(re.findall(r"jsonPayload\.(\w+)", row.get("filter", "")))

        passed = [
            line
            for line in lines_of(row["event"])
            if fields <= line.fields and all(heavier[one] & line.severities for one in at_least)
        ]
        assert passed, name
        assert [] == [line for line in passed if row["labels"] and not line.fields & set(row["labels"])], name
        assert ("filter" in row) == bool(at_least or fields), name


def test_a_failed_renewal_is_told_by_a_kind_and_a_try_that_exist() -> None:
    """Renewals that fail are counted by the errand's kind, at a try that errands come to."""
    row = metrics()["renewal_failures"]["filter"]
    (kind,), (attempt,) = re.findall(r'kind="(\w+)"', row), re.findall(r"attempt=(\d+)", row)
    source = ast.parse((ROOT / "common" / "errands.py").read_text())
    (most,) = [
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_MOST_ATTEMPTS" and node.value
    ]

    assert kind in get_args(magnet_tasks.Kind)
    assert int(attempt) <= most


def test_conditions_are_on_what_is_counted() -> None:
    """Each condition names metrics of the table, and labels that its metric has."""
    for condition in conditions():
        texts = [*filters(condition), *condition.get("group_by", ())]
        asked = {label for one in texts for label in re.findall(r"metric\.labels\.(\w+)", one)}
        counted = {name for one in texts for name in re.findall(r"local\.counted\.(\w+)", one)}

        assert set() == counted - set(metrics())
        assert (condition["filter"], set()) == (condition["filter"], asked - labels_of(condition))


def test_conditions_compare_with_what_exists() -> None:
    """Routes, functions, jobs and subscriptions in conditions exist under these names."""
    text = " ".join(one for condition in conditions() for one in filters(condition)).replace('\\"', '"')
    routes = {route.template for app in load_apps() for route in app.routes}
    subscriptions = {one["name"] for one in hcl.resources()["google_pubsub_subscription"].values()}
    named = set(re.findall(r'route!?="([^"]+)"', text))

    assert {"/deliver", "/directory"} == named & routes == named
    assert set(re.findall(r'job="([^"]+)"', text)) == set(hcl.local_values()["jobs"])
    assert set() == set(re.findall(r'subscription_id="([a-z-]+)"', text)) - subscriptions
    assert set(FUNCTIONS) > {one for group in re.findall(r"one_of\(([^)]*)\)", text) for one in hcl.texts(group)}


def test_charts_show_labels_that_exist() -> None:
    """A chart of one of our metrics is split by a label that this metric has."""
    charts = [one for one in hcl.local_values()["charts"] if "local.counted" in one["filter"]]

    assert charts
    assert [] == [
        chart["title"] for chart in charts if chart["by"].removeprefix("metric.label.") not in labels_of(chart)
    ]


def test_no_two_metrics_count_the_same() -> None:
    """Each metric differs from the others in event, labels, value or filter."""
    rows = [str(row) for row in metrics().values()]

    assert sorted(set(rows)) == sorted(rows)


def test_every_alert_is_explained() -> None:
    """docs/operations.md has a section for each alert, to which the alert's text refers, and for no other."""
    (section,) = re.findall(r"(?ms)^## Alerts$(.*?)^## ", OPERATIONS.read_text())

    assert set(alerts()) == set(re.findall(r"(?m)^### (\S+)$", section))


def test_the_sweep_late_alert_is_later_than_the_sweep() -> None:
    """No dispatch is missed before three of Scheduler's times are over."""
    (job,) = [job for job in environment.JOBS if job.name == "label-sweep"]
    absent_s = alerts()["sweep-late"]["conditions"]["no dispatch"]["absent_s"]

    assert "*/10 * * * *" == job.schedule
    assert absent_s == 3 * 600
