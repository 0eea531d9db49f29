"""The routes of sending: mails now and later, drafts, identities, and the one that Cloud Tasks calls for them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from werkzeug import Response

from common import composing, drafts, problem_codes, scheduled, send_api, send_ledger, send_lookup, sending, web
from common.mail.html import sanitise
from common.send_tasks import ROUTE, SendTask
from common.session import Access, Session, open_member, open_session

_TASKS = web.service("tasks_service_account", "mail_proxy_url")


def register(app: web.App) -> None:
    """Adds the routes to the function's."""
    _register_messages(app)
    _register_sends(app)
    _register_drafts(app)
    _register_saving(app)


def _register_messages(app: web.App) -> None:
    @app.route(
        "POST",
        "/messages",
        web.USER,
        body=send_api.SendBody,
        answer=send_api.SendAnswer,
        files=True,
        keyed=True,
        accepts=True,
        problems=problem_codes.SEND,
    )
    def send(call: web.Call) -> Response:
        """Sends, replies, forwards, now or at ``send_at``; needs an Idempotency-Key. With files as multipart."""
        key = send_api.parse_key(call)
        session = open_session(call.caller, Access.SEND)
        with send_api.receive(call, send_api.SendBody) as parcel:
            if parcel.send_at is None:
                return _answer(sending.send_mail(session, key, parcel))
            return _answer(scheduled.schedule(session, key, parcel, parcel.send_at))

    @app.route("GET", "/identities", web.USER, answer=send_api.IdentitiesAnswer, problems=problem_codes.MAILBOX)
    def show_identities(call: web.Call) -> Response:
        """The addresses that the caller may send from, with their signatures."""
        return web.json_response(_identities(open_session(call.caller)))


def _register_sends(app: web.App) -> None:
    codes = ("user-inactive", "not-found", "invalid-idempotency-key")
    waits = (*problem_codes.MAILBOX, *codes, "not-scheduled", "send-in-flight")

    @app.route("GET", "/sends/{key}", web.USER, answer=send_api.SendAnswer, problems=codes)
    def show_send(call: web.Call) -> Response:
        """What became of a mail, by its Idempotency-Key."""
        member = open_member(call.caller)
        held = send_ledger.load_of_key(member.user_id, call.params["key"])
        return web.json_response(sending.status_of(member, held))

    moves = (*waits, "invalid-send-at")

    @app.route("PATCH", "/sends/{key}", web.USER, body=send_api.MoveBody, answer=send_api.SendAnswer, problems=moves)
    def move_send(call: web.Call) -> Response:
        """Gives a scheduled mail another time."""
        body = call.body(send_api.MoveBody)
        return web.json_response(scheduled.move(open_member(call.caller), call.params["key"], body.send_at))

    @app.route("DELETE", "/sends/{key}", web.USER, answer=send_api.SendAnswer, problems=waits)
    def cancel_send(call: web.Call) -> Response:
        """Cancels a scheduled mail; it stays among the drafts."""
        return web.json_response(scheduled.cancel(open_member(call.caller), call.params["key"]))

    @app.route("POST", ROUTE, _TASKS, body=SendTask, status=HTTPStatus.NO_CONTENT)
    def run_task(call: web.Call) -> Response:
        """Cloud Tasks: a scheduled mail is due, or one whose answer was lost is looked for."""
        task = call.errand(SendTask)
        if task is not None and task.kind == "send":
            scheduled.run(task)
        elif task is not None:
            send_lookup.look_again(task)
        return web.no_content()


def _register_drafts(app: web.App) -> None:
    listed = (*problem_codes.MAILBOX, *problem_codes.PAGE)

    @app.route("GET", "/drafts", web.USER, query=drafts.DraftsQuery, answer=drafts.DraftsAnswer, problems=listed)
    def list_drafts(call: web.Call) -> Response:
        """The caller's drafts, the last saved first."""
        query = call.query(drafts.DraftsQuery)
        return web.json_response(drafts.list_drafts(open_session(call.caller, Access.CHANGE), query))

    @app.route("GET", "/drafts/{id}", web.USER, answer=drafts.DraftAnswer, problems=problem_codes.MAIL)
    def show_draft(call: web.Call) -> Response:
        """One draft."""
        draft_id, session = _open_draft(call)
        return web.json_response(drafts.open_draft(session, draft_id))

    deleted = (*problem_codes.MAILBOX, "not-found")

    @app.route("DELETE", "/drafts/{id}", web.USER, status=HTTPStatus.NO_CONTENT, problems=deleted)
    def delete_draft(call: web.Call) -> Response:
        """Deletes a draft."""
        draft_id, session = _open_draft(call)
        drafts.delete_draft(session, draft_id)
        return web.no_content()

    sent = problem_codes.SEND_DRAFT

    @app.route(
        "POST", "/drafts/{id}/send", web.USER, answer=send_api.SendAnswer, keyed=True, accepts=True, problems=sent
    )
    def send_draft(call: web.Call) -> Response:
        """Sends a draft; needs an Idempotency-Key."""
        key = send_api.parse_key(call)
        draft_id, session = _open_draft(call)
        return _answer(sending.send_draft(session, key, draft_id))


def _register_saving(app: web.App) -> None:
    saved: dict[str, Any] = {
        "body": send_api.DraftBody,
        "answer": drafts.DraftSaved,
        "files": True,
        "problems": problem_codes.DRAFT,
    }

    @app.route("POST", "/drafts", web.USER, **saved, status=201)
    def create_draft(call: web.Call) -> Response:
        """Saves a new draft; with files as multipart, like POST /messages."""
        session = open_session(call.caller, Access.CHANGE)
        with send_api.receive(call, send_api.DraftBody) as parcel:
            return web.json_response(drafts.save_draft(session, parcel), HTTPStatus.CREATED)

    @app.route("PUT", "/drafts/{id}", web.USER, **saved)
    def update_draft(call: web.Call) -> Response:
        """Saves over a draft, which stays in its conversation: what is not named again, attachments too, is gone."""
        draft_id, session = _open_draft(call)
        with send_api.receive(call, send_api.DraftBody) as parcel:
            return web.json_response(drafts.save_draft(session, parcel, draft_id))


def _open_draft(call: web.Call) -> tuple[str, Session]:
    (draft_id,) = web.verify_gmail_ids([call.params["id"]])
    return draft_id, open_session(call.caller, Access.CHANGE)


def _answer(answer: send_api.SendAnswer) -> Response:
    waits = answer.state in ("pending", "scheduled")
    return web.json_response(answer, HTTPStatus.ACCEPTED if waits else HTTPStatus.OK)


def _identities(session: Session) -> send_api.IdentitiesAnswer:
    rows = [
        send_api.IdentityRow(
            address=one.address,
            name=one.name,
            # The user's own markup, whose images are the user's own as well.
            signature=sanitise(one.signature, remote=True, cid_urls={}).html,
            reply_to=one.reply_to,
            primary=one.primary,
            default=one.default,
        )
        for one in composing.verified_identities(session)
    ]
    return send_api.IdentitiesAnswer(identities=rows)
