"""What the demo CRM's side panel asks: what just happened inside, and deeds that make something happen.

Owns the routes under ``/inside``, which are for the CRM's own page alone: JSON, from this origin, on this machine. No
CORS, and a page elsewhere is refused before anything is done. Nothing of this exists in production.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from urllib.parse import urlsplit

from flask import Response, abort, jsonify, make_response, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

_HERE = frozenset({"127.0.0.1", "localhost"})
_MAX_BODY_BYTES = 10_000


class Busy(Exception):
    """Something else is being done."""


class Unusable(Exception):
    """A deed was asked for with a body that it cannot use; the text says what must be changed."""


class Book(Protocol):
    """Where it stands what has happened."""

    def since(self, mark: int) -> dict[str, Any]:
        """What came after the mark, and the mark to go on from."""
        ...


class Deeds(Protocol):
    """What can be made to happen."""

    def choices(self) -> dict[str, Any]:
        """What can be chosen, and what is wrong at present."""
        ...

    def do(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Does one. Raises KeyError for an unknown one, Unusable, Busy or TimeoutError."""
        ...


class Inside:
    """The routes on a book and deeds."""

    def __init__(self, book: Book, deeds: Deeds) -> None:
        self._book = book
        self._deeds = deeds

    def add_to(self, app: Flask) -> None:
        app.add_url_rule("/inside/happenings.json", view_func=self._get_happenings)
        app.add_url_rule("/inside/choices.json", view_func=self._get_choices)
        app.add_url_rule("/inside/do/<name>", view_func=self._post_deed, methods=["POST"])

    def _get_happenings(self) -> Response:
        verify_own_page()
        since = request.args.get("since", "0")
        if not (since.isascii() and since.isdigit()):
            _refuse(400, "since must be a mark: a number, 0 or more")
        return jsonify(self._book.since(int(since)))

    def _get_choices(self) -> Response:
        verify_own_page()
        return jsonify(self._deeds.choices())

    def _post_deed(self, name: str) -> Response:
        verify_own_page()
        if not request.is_json or (request.content_length or 0) > _MAX_BODY_BYTES:
            _refuse(415, "the body must be application/json, and short")
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            _refuse(400, "the body must be a JSON object")
        try:
            return jsonify(self._deeds.do(name, body))
        except KeyError:
            _refuse(404, "there is no such deed")
        except Unusable as unusable:
            _refuse(400, str(unusable))
        except Busy:
            _refuse(409, "something else is being done: wait a moment")
        except TimeoutError:
            _refuse(504, "it takes longer than it should")


def verify_own_page() -> None:
    """Aborts with 403 unless the request is this origin's own, and this origin is this machine's.

    The name in ``Host`` is checked since a foreign name may be made to resolve to this machine (DNS rebinding).
    """
    own = urlsplit(request.host_url)
    origin = request.headers.get("Origin")
    is_own = request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
    if own.hostname not in _HERE or not is_own or (origin is not None and urlsplit(origin).netloc != own.netloc):
        _refuse(403, "only the CRM's own page may ask this")


def _refuse(status: int, message: str) -> NoReturn:
    abort(make_response(jsonify({"message": message}), status))
