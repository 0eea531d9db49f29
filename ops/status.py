"""Owns the overview: functions, queues, jobs, push and dead letters, connections, each read for itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from google.api_core.exceptions import GoogleAPICallError, NotFound
from googleapiclient.errors import HttpError

from common.model import ConnectionStatus
from common.store.client import store
from ops import dead_letters, google, names, reach
from ops.output import OK, TROUBLE, Output, moment, table

HELP = {
    "status": """
        Every part is asked for itself: what may not be read is named, and the rest shown all the same. A pushed
        message that nobody took is a dead letter; up to 100 are counted, by leasing them for a moment.

        examples:
          python -m ops status
          python -m ops status --json | jq .connections

        exit code: 1 where a part is not as it should be, or could not be read. A paused sweep is no trouble.
        """
}
Part = dict[str, Any]


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """It takes nothing but what all commands take."""


def run(_options: argparse.Namespace, output: Output) -> int:
    """Reads all parts and shows them."""
    parts: Mapping[str, Callable[[], Part]] = {
        "functions": _functions,
        "queues": _queues,
        "jobs": _jobs,
        "push": _push,
        "dead_letters": _dead_letters,
        "connections": _connections,
    }
    found = {name: _read(part) for name, part in parts.items()}
    lines = [line for name, part in found.items() for line in _section(name, part)]
    output.show(found, lines)
    return OK if all(part["ok"] for part in found.values()) else TROUBLE


def _read(part: Callable[[], Part]) -> Part:
    try:
        return part()
    except GoogleAPICallError as error:
        return {"ok": False, "error": f"Google answered {error.code}: {error.message}"}
    except HttpError as error:
        return {"ok": False, "error": f"Google answered {error.resp.status}: {error.reason}"}


def _functions() -> Part:
    found = reach.fetch_all()
    rows = [{"name": one.name, "url": one.url, "status": one.status, "ok": one.is_ok} for one in found]
    return {"ok": all(one.is_ok for one in found), "rows": rows}


def _queues() -> Part:
    rows = []
    for name in names.queues():
        try:
            queue = google.tasks().get_queue(name=f"{names.location()}/queues/{name}", timeout=google.TIMEOUT_S)
        except NotFound:
            rows.append({"name": name, "state": "MISSING", "per_second": 0.0})
            continue
        limits = queue.rate_limits
        rows.append({"name": name, "state": queue.state.name, "per_second": limits.max_dispatches_per_second})
    return {"ok": all(row["state"] == "RUNNING" for row in rows), "rows": rows}


def _jobs() -> Part:
    rows = []
    for name in names.JOBS:
        try:
            job = google.scheduler().get_job(name=names.job(name), timeout=google.TIMEOUT_S)
        except NotFound:
            rows.append({"name": name, "state": "MISSING", "last_run_at": None, "last_code": 0, "next_run_at": None})
            continue
        rows.append(
            {
                "name": name,
                "state": job.state.name,
                "last_run_at": job.last_attempt_time or None,
                "last_code": job.status.code,
                "next_run_at": job.schedule_time or None,
            }
        )
    ok = all(row["state"] in ("ENABLED", "PAUSED") and row["last_code"] == 0 for row in rows)
    return {"ok": ok, "rows": rows}


def _push() -> Part:
    answer = google.pubsub().subscriptions().get(subscription=names.subscription()).execute()
    endpoint = answer.get("pushConfig", {}).get("pushEndpoint", "")
    # Pub/Sub writes no state for one that was never in trouble.
    state = answer.get("state", "ACTIVE")
    return {"ok": state == "ACTIVE" and bool(endpoint), "state": state, "endpoint": endpoint}


def _dead_letters() -> Part:
    count = dead_letters.peek()
    return {"ok": not count, "count": count, "may_be_more": count >= dead_letters.PAGE}


def _connections() -> Part:
    counts = {status.value: store().connections.count(status) for status in ConnectionStatus}
    return {"ok": True, **counts}


def _section(name: str, part: Part) -> list[str]:
    title = f"{name.replace('_', ' ')}:"
    if "error" in part:
        return [f"{title} could not be read. {part['error']}"]
    if "rows" in part:
        cells = [[_shown(value) for value in row.values()] for row in part["rows"]]
        head = [column.replace("_", " ") for column in part["rows"][0]]
        return [title, *(f"  {line}" for line in table(cells, head))]
    told = ", ".join(f"{key.replace('_', ' ')} {_shown(value)}" for key, value in part.items() if key != "ok")
    return [f"{title} {told}"]


def _shown(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float() | str():
            return str(value)
        case _:
            return moment(value)
