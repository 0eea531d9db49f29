"""One key set of two: Google's own public keys, and those of the local stand-ins that call the functions.

On a real mailbox, Google signs who has consented, while Tasks and Scheduler are stand-ins; the functions know one
address for the keys of both. Owns nothing; may import nothing of ``local``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests
from flask import Flask, Response, jsonify

_TIMEOUT_S = 5.0


class KeySets:
    """``app`` serves at ``/`` the keys at ``url`` and those of ``local``; 503 where Google's cannot be fetched."""

    def __init__(self, url: str, local: Callable[[], dict[str, list[dict[str, Any]]]]) -> None:
        self._url = url
        self._local = local
        self.app = Flask("local.key_sets")
        self.app.add_url_rule("/", view_func=self._get)

    def _get(self) -> Response:
        try:
            answer = requests.get(self._url, timeout=_TIMEOUT_S, allow_redirects=False)
            answer.raise_for_status()
            theirs = answer.json()["keys"]
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return Response(status=503)
        return jsonify({"keys": [*theirs, *self._local()["keys"]]})
