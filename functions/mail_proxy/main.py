"""mail_proxy: live reading, searching and sending of the caller's mail, and of what colleagues share.

Public: the CRM's front end and back end call it with a user's token; Cloud Tasks calls one route of
``routes_sending`` as one service account. Routes of a contact and of sending stand in the two files beside this one.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import flask
import functions_framework
from werkzeug import Response

from common import openapi, web

app = web.App("mail_proxy")


for _name in ("routes_contacts", "routes_sending"):
    if find_spec(_name):
        import_module(_name).register(app)
openapi.serve(app)


@functions_framework.http
def mail_proxy(request: flask.Request) -> Response:
    """The entry point."""
    return app(request)
