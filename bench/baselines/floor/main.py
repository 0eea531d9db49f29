"""The bare libraries: a function that reads documents in one ``get_all`` and one mail, and hands the mail out.

The same client libraries and upstream calls as a proxied read, with nothing around them: nobody is verified, nothing
is decided, cleaned or logged.
"""

from __future__ import annotations

import json
import os
import threading

import flask
import functions_framework
import google_auth_httplib2
import httplib2
from google.cloud import firestore
from google.oauth2.credentials import Credentials
from googleapiclient import discovery

_PATHS = os.environ["FLOOR_DOCUMENTS"].split(",")
_CREDENTIALS = Credentials(os.environ["FLOOR_TOKEN"])  # type: ignore[no-untyped-call]
_client = firestore.Client(project=os.environ["PROJECT_ID"])
_messages = (
    discovery.build("gmail", "v1", credentials=_CREDENTIALS, client_options={"api_endpoint": os.environ["GMAIL_URL"]})
    .users()
    .messages()
)
# httplib2 is not safe to share between threads; each keeps its connection.
_local = threading.local()


def _http() -> google_auth_httplib2.AuthorizedHttp:
    if not hasattr(_local, "http"):
        _local.http = google_auth_httplib2.AuthorizedHttp(_CREDENTIALS, http=httplib2.Http())
    return _local.http


@functions_framework.http
def floor(request: flask.Request) -> flask.Response:
    """The entry point: ``GET /{message id}``."""
    found = [snapshot.to_dict() for snapshot in _client.get_all([_client.document(path) for path in _PATHS])]
    mail = _messages.get(
        userId="me", id=request.path.rpartition("/")[2], format="full", fields=os.environ["FLOOR_FIELDS"]
    ).execute(http=_http())
    return flask.Response(json.dumps({"documents": len(found), "mail": mail}), content_type="application/json")
