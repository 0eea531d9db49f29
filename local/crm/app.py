"""The demo CRM's web application: a static page, a sign-in by choice, the CRM's own records, its public keys.

Owns no mail and calls no function itself: the page does, from the browser, with the user's token. May import
``local.crm`` alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, jsonify, request, send_from_directory

from local.crm.inside import verify_own_page
from local.crm.people import USERS, Person
from local.crm.webhook import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.crm.inside import Inside
    from local.crm.issuer import CrmIssuer
    from local.crm.webhook import Webhook

_STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class FunctionUrls:
    """Where the two public functions are, without a slash at the end."""

    oauth_callback: str
    mail_proxy: str


class CrmApp:
    """The application; ``app`` is its WSGI side. ``functions`` may be set once they have started, ``records`` too.

    The page that Google's consent returns to is ``/connected``. ``show_inside`` gives the page its side panel, and
    ``heard``, where somebody has set it, is told the news that come by the webhook.
    """

    def __init__(
        self,
        issuer: CrmIssuer,
        records: Callable[[], Mapping[str, list[dict[str, Any]]]],
        functions: FunctionUrls | None = None,
    ) -> None:
        self.functions = functions or FunctionUrls("", "")
        self._issuer = issuer
        self.records = records
        self.webhook: Webhook | None = None
        self.heard: Callable[[str], None] | None = None
        self.has_inside = False
        self.app = self._make_app()

    def show_inside(self, inside: Inside) -> None:
        """Adds what the side panel asks. Before the first request."""
        inside.add_to(self.app)
        self.has_inside = True

    def _make_app(self) -> Flask:
        app = Flask("local.crm.app", static_folder=None)
        app.add_url_rule("/", view_func=lambda: send_from_directory(_STATIC, "index.html"), endpoint="page")
        app.add_url_rule(
            "/connected", view_func=lambda: send_from_directory(_STATIC, "connected.html"), endpoint="connected"
        )
        app.add_url_rule(
            "/reference", view_func=lambda: send_from_directory(_STATIC, "reference.html"), endpoint="reference"
        )
        app.add_url_rule("/static/<name>", view_func=lambda name: send_from_directory(_STATIC, name), endpoint="static")
        app.add_url_rule("/config.json", view_func=self._get_config)
        app.add_url_rule("/session", view_func=self._post_session, methods=["POST"])
        app.add_url_rule("/records.json", view_func=self._get_records)
        app.add_url_rule("/webhook", view_func=self._post_webhook, methods=["POST"])
        app.add_url_rule("/jwks.json", view_func=lambda: jsonify(self._issuer.jwks()), endpoint="jwks")
        app.after_request(self._protect)
        return app

    def _get_config(self) -> Response:
        users = [{"id": person.id, "name": person.name, "role": person.role} for person in USERS]
        return jsonify({**asdict(self.functions), "users": users, "inside": self.has_inside})

    def _post_session(self) -> Response:
        verify_own_page()
        body = request.get_json(silent=True)
        person = _find_user(body.get("user") if isinstance(body, dict) else None)
        token = self._issuer.token(
            person.id, role=person.role, permissions=person.permissions, email=person.email, name=person.name
        )
        return jsonify({"token": token})

    def _get_records(self) -> Response:
        """What the CRM itself shows the user: contacts and deals, no mail."""
        verify_own_page()
        person = _find_user(request.args.get("user"))
        records = self.records()
        return jsonify(
            {kind: [one for one in records[kind] if _may_see(person, one)] for kind in ("contacts", "deals")}
        )

    def _post_webhook(self) -> tuple[str, int]:
        """The product's news, as the CRM's back end hears them."""
        if self.webhook is None:
            abort(404)
        try:
            news = self.webhook.take(dict(request.headers.to_wsgi_list()), request.get_data())
        except Refused:
            abort(401)
        if news is not None and self.heard is not None:
            self.heard(str(news.get("type", "")))
        return "", 204

    def _protect(self, answer: Response) -> Response:
        # The mail's frame (srcdoc) inherits this policy: no script of a mail ever runs, whatever the frame says.
        called = sorted({_origin(url) for url in asdict(self.functions).values() if url})
        reachable = " ".join(["'self'", *called])
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:; "
            f"connect-src {reachable}; frame-src 'self'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["Cache-Control"] = "no-store"
        return answer


def _find_user(unverified_id: object) -> Person:
    people = [person for person in USERS if person.id == unverified_id]
    return people[0] if people else abort(400, "no such user")


def _may_see(person: Person, record: dict[str, Any]) -> bool:
    return not {"everyone", f"role:{person.role}", person.id}.isdisjoint(record["visible_to"])


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
