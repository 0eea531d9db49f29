"""oauth_callback: the connection of one CRM user with one Gmail mailbox, from consent to deactivation.

Public: the CRM's front end calls it with its user's token, Google's redirect and security events without one. Tasks and
Scheduler call one route, as one service account. What the routes do stands in the modules of ``common`` they name.
"""

from __future__ import annotations

from typing import Literal

import connection_examples
import flask
import functions_framework
import msgspec
from werkzeug import Response

from common import (
    audit,
    claim,
    connection,
    consent,
    deactivation,
    held_data,
    housekeeping,
    openapi,
    policy,
    problem_codes,
    risc,
    web,
)
from common import settings as connection_settings
from common.config import config
from common.errors import BadRequest, Forbidden
from common.health import Language
from common.membership import verify_member
from common.model import Policy
from common.paging import parse_page, seal_page
from common.store.client import Versioned, store

app = web.App("oauth_callback", connection_examples.EXAMPLES)
_SPOKEN = web.Wire(takes=("Accept-Language",))
# While others change the same connection.
_ENDS = ("connection-busy", "connection-changed-meanwhile", "mailbox-busy")
HOUSEKEEPER = web.service("housekeeping_service_account", "oauth_callback_url")
_AUDIT_PAGE = 100


class DeactivateQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether our labels stay in Gmail."""

    labels: Literal["keep", "remove"] = "keep"


class RedirectQuery(msgspec.Struct, kw_only=True):
    """What Google adds to its redirect: a code, or an error. What else it may add is passed over."""

    state: str = ""
    code: str = ""
    iss: str = ""
    error: str = ""


@app.route(
    "POST",
    "/authorize",
    web.USER,
    body=consent.AuthorizeBody,
    answer=consent.AuthorizeAnswer,
    problems=(*problem_codes.FEATURE, "return-to-not-allowed"),
)
def authorize(call: web.Call) -> Response:
    """Starts consent: answers the address of Google's page for the features wanted."""
    return web.json_response(consent.apply_authorize(call.caller, call.body(consent.AuthorizeBody)))


@app.route(
    "GET",
    "/callback",
    web.ANYONE,
    query=RedirectQuery,
    status=302,
    problems=("invalid-state",),
    wire=web.Wire(takes=("Accept-Language",), gives=("Location",), page="text/html"),
)
def callback(call: web.Call) -> Response:
    """Google's redirect: leads back to the CRM with a one-time ticket, or an error code, in the fragment."""
    query = call.request.args
    redirect = consent.Redirect(
        unverified_state=query.get("state", ""),
        unverified_code=query.get("code", ""),
        unverified_issuer=" ".join(query.getlist("iss")) if "iss" in query else None,
        unverified_error=query.get("error", ""),
    )
    try:
        location = consent.apply_redirect(redirect)
    except BadRequest:
        if not call.request.accept_mimetypes.accept_html:
            raise
        response = Response(consent.stray_page(_language(call)), status=400, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        return response
    response = Response(status=302)
    response.headers["Location"] = location
    return response


@app.route(
    "POST",
    "/connection",
    web.USER,
    body=claim.ClaimBody,
    answer=connection.ConnectionAnswer,
    status=201,
    wire=_SPOKEN,
    problems=(*problem_codes.FEATURE, *problem_codes.CLAIM),
)
def connect(call: web.Call) -> Response:
    """The same signed-in user claims the ticket: only now the code is exchanged and the connection made."""
    claim.apply_claim(call.caller, call.body(claim.ClaimBody), locale=_language(call))
    return _answer(call, status=201)


@app.route("GET", "/connection", web.USER, answer=connection.ConnectionAnswer, wire=_SPOKEN)
def show(call: web.Call) -> Response:
    """The caller's connection: status, features, sharing, MailMagnet, labels, health."""
    return _answer(call)


@app.route(
    "PATCH",
    "/connection",
    web.USER,
    body=connection_settings.ConnectionPatch,
    answer=connection.ConnectionAnswer,
    wire=_SPOKEN,
    problems=problem_codes.SETTINGS,
)
def change(call: web.Call) -> Response:
    """Changes sharing, excluded domains, MailMagnet, labels or locale."""
    connection_settings.apply_patch(call.caller, call.body(connection_settings.ConnectionPatch))
    return _answer(call)


@app.route("DELETE", "/connection", web.HELD, query=DeactivateQuery, status=204, problems=_ENDS)
def deactivate(call: web.Call) -> Response:
    """Deactivates: stops the watch, revokes at Google, destroys the secret, deletes what is held."""
    remove_labels = call.query(DeactivateQuery).labels == "remove"
    user_id = call.caller.user_id
    deactivation.apply_deactivation(user_id, actor=user_id, remove_labels=remove_labels)
    return web.no_content()


@app.route(
    "GET",
    "/connection/data",
    web.HELD,
    query=connection.PageQuery,
    answer=held_data.HeldData,
    problems=problem_codes.PAGE,
)
def data(call: web.Call) -> Response:
    """What is held about the caller, complete."""
    return web.json_response(held_data.collect(call.caller.user_id, call.query(connection.PageQuery).page_token))


@app.route("GET", "/policy", web.ADMIN, answer=policy.PolicyAnswer, wire=web.Wire(gives=("ETag",)))
def show_policy(call: web.Call) -> Response:
    """The organisation's policy, for administrators."""
    _verify_admin(call)
    return _policy_answer(store().policies.load_policy())


@app.route(
    "PUT",
    "/policy",
    web.ADMIN,
    body=policy.PolicyBody,
    answer=policy.PolicyAnswer,
    wire=web.Wire(takes=("If-Match",), gives=("ETag",)),
    problems=("invalid-domain", "invalid-time-zone", "policy-changed-meanwhile"),
)
def put_policy(call: web.Call) -> Response:
    """Replaces the organisation's policy. What it narrows holds at once, what it widens once the owner accepts.

    With If-Match, only if it is still the one that was read.
    """
    _verify_admin(call)
    expected = call.request.if_match
    stored = policy.apply_policy(
        call.body(policy.PolicyBody),
        call.caller.user_id,
        lambda tag: "If-Match" not in call.request.headers or expected.contains(tag.strip('"')),
    )
    return _policy_answer(stored)


@app.route(
    "GET",
    "/audit",
    web.ADMIN,
    query=connection.PageQuery,
    answer=audit.AuditPage,
    problems=problem_codes.PAGE,
)
def show_audit(call: web.Call) -> Response:
    """Who did what to connections, sharing and policy, newest first, for administrators."""
    _verify_admin(call)
    bound = ("audit", call.caller.user_id)
    before = audit.parse_position(parse_page(call.query(connection.PageQuery).page_token, *bound))
    records = store().audit.page(before=before, limit=_AUDIT_PAGE)
    token = seal_page(audit.position_of(records[-1]), *bound) if len(records) == _AUDIT_PAGE else ""
    entries = [audit.entry(record) for record in records]
    return web.json_response(audit.AuditPage(records=entries, next_page_token=token))


@app.route(
    "GET",
    "/connections",
    web.ADMIN,
    query=connection.PageQuery,
    answer=connection.ConnectionPage,
    wire=_SPOKEN,
    problems=problem_codes.PAGE,
)
def show_connections(call: web.Call) -> Response:
    """Everyone's connection, for administrators."""
    _verify_admin(call)
    token = call.query(connection.PageQuery).page_token
    return web.json_response(connection.list_connections(call.caller.user_id, token, _language(call)))


@app.route(
    "DELETE",
    "/connections/{user}",
    web.ADMIN,
    query=DeactivateQuery,
    status=204,
    problems=("not-found", *_ENDS),
)
def deactivate_user(call: web.Call) -> Response:
    """Deactivates a user's connection, for administrators."""
    _verify_admin(call)
    user_id = web.verify_crm_id(call.params["user"])
    remove_labels = call.query(DeactivateQuery).labels == "remove"
    deactivation.apply_deactivation(user_id, actor=call.caller.user_id, remove_labels=remove_labels)
    return web.no_content()


@app.route(
    "POST",
    "/risc",
    web.ANYONE,
    status=202,
    wire=web.Wire(body="application/secevent+jwt"),
    problems=("invalid-security-event", "body-too-large", "keys-unavailable", "connection-changed-meanwhile"),
)
def take_security_event(call: web.Call) -> Response:
    """Google's security event tokens (Cross-Account Protection), each signed by Google for our client."""
    raw = web.read_body(call.request, risc.MAX_TOKEN_BYTES)
    for event in risc.verify_security_event(raw.decode("ascii", "replace").strip()):
        risc.apply_event(event)
    return Response(status=202)


@app.route(
    "POST",
    "/tasks/housekeeping",
    HOUSEKEEPER,
    body=housekeeping.Errand,
    status=204,
    problems=("housekeeping-unfinished",),
)
def keep_house(call: web.Call) -> Response:
    """Scheduler's daily run, and the tasks that it and others leave."""
    errand = call.errand(housekeeping.Errand)
    if errand is not None:
        housekeeping.apply_errand(errand)
    return web.no_content()


openapi.serve(app)


def _answer(call: web.Call, status: int = 200) -> Response:
    return web.json_response(connection.show_connection(call.caller, _language(call)), status)


def _policy_answer(held: Versioned[Policy]) -> Response:
    return web.json_response(policy.answer(held.value), headers={"ETag": policy.etag(held)})


def _language(call: web.Call) -> Language:
    return "de" if call.request.accept_languages.best_match(["de", "en"]) == "de" else "en"


def _verify_admin(call: web.Call) -> None:
    user = verify_member(call.caller, store().users.load(call.caller.user_id))
    # The directory may have taken the role away since the token was issued.
    if user.role and user.role not in config().crm_admin_roles:
        raise Forbidden("administrators-only")


@functions_framework.http
def oauth_callback(request: flask.Request) -> Response:
    """The entry point."""
    return app(request)
