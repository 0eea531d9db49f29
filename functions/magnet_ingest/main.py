"""magnet_ingest: makes notices of what Gmail pushes; renews watches, fills gaps, tells the CRM's webhook.

Private: Pub/Sub, Cloud Scheduler and Cloud Tasks call it, each its own routes, by one service account. What the routes
do stands in ``common.errands``, ``common.watching`` and ``common.webhook``.
"""

from __future__ import annotations

from typing import Any

import flask
import functions_framework
from werkzeug import Response

from common import errands, log, watching, web, webhook
from common.errors import TooLarge

_EXAMPLES: dict[Any, dict[str, Any]] = {
    "application/json": {"body": {"message": {"data": "eyJlbWFpbEFkZHJlc3MiOiAi…", "messageId": "1"}}},
    errands.Errand: {"kind": "drain", "user": "anna", "generation": "Zm9vYmFy"},
    webhook.News: {"kind": "notice", "user": "anna", "generation": "Zm9vYmFy", "mail": "18df3a5c0b7e1d42"},
}

app = web.App("magnet_ingest", _EXAMPLES)
PUSH = web.service("push_service_account", "magnet_ingest_url")
SCHEDULER = web.service("scheduler_service_account", "magnet_ingest_url")
TASKS = web.service("tasks_service_account", "magnet_ingest_url")


@app.route("POST", "/", PUSH, status=204, wire=web.Wire(body="application/json"))
def take_push(call: web.Call) -> Response:
    """Pub/Sub's push of one mailbox. Acknowledged, unless the trouble is our own: a nack slows everybody's."""
    try:
        push = errands.parse_push(call.raw_body)
    except TooLarge:
        push = None
    if push is None:
        log.event("push-poison", severity="WARNING")
    else:
        errands.apply_push(push)
    return web.no_content()


@app.route("POST", "/users/{id}", TASKS, body=errands.Errand, status=204)
def work_for_user(call: web.Call) -> Response:
    """A task for one user: start, stop, drain, renew, or a step of a search."""
    errand = call.errand(errands.Errand)
    if errand is not None:
        errands.apply_errand(errand)
    return web.no_content()


@app.route("POST", "/renew", SCHEDULER, status=204)
def renew(_call: web.Call) -> Response:
    """Scheduler's daily round: leaves a task for each mailbox."""
    watching.fan_out("")
    return web.no_content()


@app.route(
    "POST",
    "/deliver",
    TASKS,
    body=webhook.News,
    status=204,
    problems=("webhook-failing", "webhook-unreachable"),
)
def deliver(call: web.Call) -> Response:
    """A task that tells the CRM's webhook of one notice or status. 503 has the queue try again."""
    news = call.errand(webhook.News)
    if news is not None:
        webhook.deliver(news)
    return web.no_content()


@functions_framework.http
def magnet_ingest(request: flask.Request) -> Response:
    """The entry point."""
    return app(request)
