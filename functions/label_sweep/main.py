"""label_sweep: sorts customers' mail into three Gmail labels, and finds out for whom there is something to sort.

Private: Cloud Scheduler calls one route, Cloud Tasks the other, each as one service account. What they do stands in
``common.dispatch`` and ``common.sweep_errands``.
"""

from __future__ import annotations

import flask
import functions_framework
from werkzeug import Response

from common import announcing, sweep_errands, user_changes, web
from common import dispatch as dispatching

_EXAMPLES = {sweep_errands.Errand: {"user": "anna", "generation": "Zm9vYmFy"}}

app = web.App("label_sweep", _EXAMPLES)
SCHEDULER = web.service("scheduler_service_account", "label_sweep_url")
TASKS = web.service("tasks_service_account", "label_sweep_url")


@app.route("POST", "/", SCHEDULER, status=204)
def dispatch(_call: web.Call) -> Response:
    """Scheduler, every ten minutes: follows directory and month, and leaves a task for each user who has work due.

    News of a connection that is still owed to the webhook is left as well.
    """
    dispatching.dispatch()
    user_changes.follow_users()
    announcing.send_all_owed()
    return web.no_content()


@app.route("POST", "/users/{id}", TASKS, body=sweep_errands.Errand, status=204)
def work_for_user(call: web.Call) -> Response:
    """A task for one user: a sweep, or what follows when labels are turned on or off."""
    errand = call.errand(sweep_errands.Errand)
    if errand is not None:
        sweep_errands.apply_errand(errand)
    return web.no_content()


@functions_framework.http
def label_sweep(request: flask.Request) -> Response:
    """The entry point."""
    return app(request)
