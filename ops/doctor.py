"""Owns the smoke test after an apply: asks every part, and has ``ops.checks`` judge what it finds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from google.api_core.exceptions import FailedPrecondition, Forbidden, GoogleAPICallError, NotFound
from googleapiclient.errors import HttpError

from common import clock
from common.config import config
from common.model import ConnectionStatus
from common.store.client import store
from ops import checks, environment, google, names, reach
from ops.checks import Check
from ops.output import OK, TROUBLE, Output, Trouble

HELP = {
    "doctor": """
        Changes nothing. Run it after each apply, and first thing when something is wrong: every trouble comes with
        how it is mended. What your credentials may not read is called skipped, with the right that is missing.

        Of organisation policies it sees what they prevent: strangers refused by a public function, or Gmail
        without its grant on the topic. The OAuth client is tried with a code that nobody issued.

        examples:
          python -m ops doctor
          python -m ops doctor --json | jq '.checks[] | select(.state == "trouble")'

        exit code: 1 where there is trouble; what was skipped is none.
        """
}
_MARKS: Final = {"ok": "ok      ", "trouble": "TROUBLE ", "skipped": "skipped "}
_INDEXES: Final = Path(__file__).resolve().parent.parent / "common" / "store" / "indexes.json"


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """It takes nothing but what all commands take."""


def run(_options: argparse.Namespace, output: Output) -> int:
    """Makes all checks, one after the other, and shows them."""
    found: list[Check] = []
    for what, check in _CHECKS.items():
        output.progress(f"{what} ...")
        found += _guarded(what, check)
    counts = {state: sum(one.state == state for one in found) for state in _MARKS}
    lines = [line for one in found for line in _lines(one)]
    lines.append(f"{counts['ok']} ok, {counts['trouble']} in trouble, {counts['skipped']} skipped")
    output.show({"counts": counts, "checks": [asdict(one) for one in found]}, lines)
    return TROUBLE if counts["trouble"] else OK


def _lines(check: Check) -> list[str]:
    line = f"{_MARKS[check.state]}{check.name}: {check.detail}"
    return [line, f"        -> {check.advice}"] if check.advice else [line]


def _guarded(what: str, check: Callable[[], Iterator[Check]]) -> list[Check]:
    found: list[Check] = []
    try:
        for one in check():
            found.append(one)
    except Forbidden as error:
        found.append(_skipped(what, str(error.message)))
    except HttpError as error:
        reason = str(error.reason)
        if error.resp.status == 403:
            found.append(_skipped(what, reason))
        else:
            found.append(checks.trouble(what, f"Google answered {error.resp.status}: {reason}", "terraform apply"))
    except GoogleAPICallError as error:
        found.append(
            checks.trouble(what, f"Google answered {error.code}: {error.message}", "try again in a few minutes")
        )
    except Trouble as trouble:
        found.append(checks.trouble(what, trouble.text, "is the address right? terraform output ops_environment"))
    return found


def _skipped(what: str, reason: str) -> Check:
    return Check(what, "skipped", f"your credentials may not read it: {reason}", "ask for a role that views it")


def _functions() -> Iterator[Check]:
    for name in names.PUBLIC:
        yield checks.judge_public(reach.fetch_public(name))
    for name in names.PRIVATE:
        yield checks.judge_private(reach.fetch_private(name))


def _grant() -> Iterator[Check]:
    policy = google.pubsub().topics().getIamPolicy(resource=names.topic()).execute()
    yield checks.judge_grant(policy.get("bindings", ()), names.GMAIL_PUSH)


def _push() -> Iterator[Check]:
    found = google.pubsub().subscriptions().get(subscription=names.subscription()).execute()
    endpoint = str(found.get("pushConfig", {}).get("pushEndpoint", ""))
    if endpoint.rstrip("/") == names.url("magnet_ingest"):
        yield checks.ok("push subscription", f"pushes to {endpoint}")
    else:
        wanted = names.url("magnet_ingest")
        yield checks.trouble(
            "push subscription", f"it pushes to {endpoint or 'nobody'}, not to {wanted}", "terraform apply"
        )


def _oauth() -> Iterator[Check]:
    settings = config()
    asked = {
        "response_type": "code",
        "client_id": settings.oauth_client_id,
        "redirect_uri": settings.oauth_redirect_uri,
        "scope": "openid email",
        "state": "doctor",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    page = google.call("GET", settings.google_auth_url, params=asked)
    yield checks.judge_redirect(page.status_code, page.headers.get("Location", ""), settings.oauth_redirect_uri)
    secret = settings.oauth_client_secret or _client_secret()
    if not secret:
        yield checks.trouble("OAuth client", "its secret has no value", "terraform output secrets_to_fill")
        return
    form = {
        "grant_type": "authorization_code",
        "code": "doctor-made-this-up",
        "client_id": settings.oauth_client_id,
        "client_secret": secret,
        "redirect_uri": settings.oauth_redirect_uri,
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    }
    answer = google.call("POST", settings.google_token_url, data=form)
    yield checks.judge_client(answer.status_code, _json(answer))


def _client_secret() -> str:
    path = f"{names.secret('oauth-client-secret')}/versions/latest"
    try:
        answer = google.secret_manager().access_secret_version(name=path, timeout=google.TIMEOUT_S)
    except (NotFound, FailedPrecondition):
        return ""
    return str(answer.payload.data.decode())


def _json(answer: Any) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _jobs() -> Iterator[Check]:
    for name, late_h in names.JOBS.items():
        try:
            job = google.scheduler().get_job(name=names.job(name), timeout=google.TIMEOUT_S)
        except NotFound:
            job = None
        yield from checks.judge_job(name, job, late_h, clock.now())


def _queues() -> Iterator[Check]:
    for name in names.queues():
        try:
            queue = google.tasks().get_queue(name=f"{names.location()}/queues/{name}", timeout=google.TIMEOUT_S)
        except NotFound:
            yield checks.trouble(f"queue {name}", "it is missing", "terraform apply")
            continue
        state = queue.state.name
        if state == "RUNNING":
            yield checks.ok(f"queue {name}", f"{queue.rate_limits.max_dispatches_per_second:g} a second")
        else:
            advice = f"gcloud tasks queues resume {name} --location={config().region}"
            yield checks.trouble(f"queue {name}", f"it is {state.lower()}", advice)


def _secrets() -> Iterator[Check]:
    given = environment.given(names.SECRETS)
    for name in names.SECRETS:
        if name == "webhook-key" and not config().webhook_url:
            continue
        states: list[str] | None = None
        try:
            found = google.secret_manager().list_secret_versions(parent=names.secret(name), timeout=google.TIMEOUT_S)
            states = [version.state.name for version in found]
        except NotFound:
            states = None
        yield checks.judge_secret(name, states, is_given=name in given)


def _data() -> Iterator[Check]:
    counts = {status.value: store().connections.count(status) for status in ConnectionStatus}
    told = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in counts.items())
    yield checks.ok("Firestore", f"connections: {told}")


def _indexes() -> Iterator[Check]:
    declared = checks.parse_declared(json.loads(_INDEXES.read_text())["indexes"])
    parent = f"{names.project()}/databases/{config().firestore_database}/collectionGroups/-"
    built = {}
    for index in google.firestore_admin().list_indexes(parent=parent, timeout=google.TIMEOUT_S):
        group = index.name.split("/collectionGroups/")[1].partition("/")[0]
        # Google adds the tie-breaker by itself.
        fields = tuple((one.field_path, one.order.name) for one in index.fields if one.field_path != "__name__")
        built[(group, index.query_scope.name, fields)] = index.state.name
    yield checks.judge_indexes(declared, built)


_CHECKS: Final[dict[str, Callable[[], Iterator[Check]]]] = {
    "functions": _functions,
    "Gmail may publish": _grant,
    "push subscription": _push,
    "OAuth client": _oauth,
    "secrets": _secrets,
    "jobs": _jobs,
    "queues": _queues,
    "Firestore": _data,
    "indexes": _indexes,
}
