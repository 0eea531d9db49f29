"""mail_proxy: live reading, searching and sending of the caller's mail, and of what colleagues share.

Public: the CRM's front end and back end call it with a user's token; Cloud Tasks calls one route of
``routes_sending`` as one service account. Routes of a contact and of sending stand in the two files beside this one.
"""

from __future__ import annotations

import flask
import functions_framework
import mail_examples
import routes_contacts
import routes_sending
from werkzeug import Response

from common import (
    contact_summary,
    directory_load,
    downloads,
    explain,
    mail_actions,
    mailbox_view,
    notices,
    openapi,
    opening,
    problem_codes,
    suspension,
    sweep_review,
    web,
)
from common.cache import answers
from common.reading_api import LookQuery, MessageAnswer, ThreadAnswer
from common.session import Access, open_mailbox, open_member, open_session

app = web.App("mail_proxy", mail_examples.EXAMPLES)
_SOURCE = web.Wire(media="message/rfc822", gives=("Content-Disposition",))


@app.route(
    "POST",
    "/messages/search",
    web.USER,
    body=mailbox_view.SearchBody,
    answer=mailbox_view.MessagePageAnswer,
    problems=(*problem_codes.MAILBOX, *problem_codes.PAGE, "instance-busy"),
)
def search(call: web.Call) -> Response:
    """The caller's own mail, newest first, by Gmail's search syntax."""
    body = call.body(mailbox_view.SearchBody)
    return web.json_response(mailbox_view.search(open_session(call.caller), body))


@app.route("GET", "/messages/{id}", web.USER, query=LookQuery, answer=MessageAnswer, problems=problem_codes.MAIL)
def show_message(call: web.Call) -> Response:
    """One mail of the caller's. Opening it does not mark it as read: the client says so."""
    (message_id,) = web.verify_gmail_ids([call.params["id"]])
    query = call.query(LookQuery)
    session = open_session(call.caller)
    look = opening.Look(query.remote, query.images, with_bcc=True, hidden_label_id=session.connection.hidden_label_id)
    resource = opening.fetch_full(session.gmail, message_id)
    return web.json_response(opening.open_message(session.gmail, resource, look))


@app.route("GET", "/threads/{id}", web.USER, query=LookQuery, answer=ThreadAnswer, problems=problem_codes.MAIL)
def show_thread(call: web.Call) -> Response:
    """A conversation of the caller's, oldest mail first."""
    (thread_id,) = web.verify_gmail_ids([call.params["id"]])
    query = call.query(LookQuery)
    session = open_session(call.caller)
    look = opening.Look(query.remote, with_bcc=True, hidden_label_id=session.connection.hidden_label_id)
    return web.json_response(opening.open_thread(session.gmail, thread_id, look))


@app.route("GET", "/messages/{id}/raw", web.USER, wire=_SOURCE, problems=problem_codes.MAIL)
def show_source(call: web.Call) -> Response:
    """A mail's source, as a file."""
    (message_id,) = web.verify_gmail_ids([call.params["id"]])
    return downloads.file_response(downloads.fetch_source(open_session(call.caller).gmail, message_id))


@app.route("GET", "/messages/{id}/attachments/{part_id}", web.USER, wire=web.FILE, problems=problem_codes.MAIL)
def show_attachment(call: web.Call) -> Response:
    """One part of a mail, as a file; ``root`` is the part of a mail that has but one."""
    (message_id,) = web.verify_gmail_ids([call.params["id"]])
    gmail = open_session(call.caller).gmail
    resource = opening.fetch_full(gmail, message_id)
    return downloads.file_response(downloads.fetch_attachment(gmail, resource, call.params["part_id"]))


@app.route(
    "POST",
    "/messages/modify",
    web.USER,
    body=mail_actions.ModifyBody,
    status=204,
    problems=(*problem_codes.MAILBOX, "not-found", "label-busy", "connection-busy"),
)
def modify(call: web.Call) -> Response:
    """Marks mails as read, stars, archives, trashes or hides them from colleagues, or undoes that."""
    body = call.body(mail_actions.ModifyBody)
    ids = list(dict.fromkeys(web.verify_gmail_ids(body.ids)))
    mail_actions.apply_action(open_session(call.caller, Access.CHANGE), ids, body.action)
    return web.no_content()


@app.route(
    "GET",
    "/labels",
    web.USER,
    answer=mail_actions.LabelsAnswer,
    problems=(*problem_codes.MAILBOX, "connection-busy"),
)
def show_labels(call: web.Call) -> Response:
    """The labels of the caller's mailbox."""
    return web.json_response(mail_actions.list_labels(open_session(call.caller)))


@app.route(
    "GET",
    "/notices",
    web.USER,
    query=notices.NoticesQuery,
    answer=notices.NoticesAnswer,
    problems=(*problem_codes.CONNECTED, *problem_codes.PAGE),
    wire=web.Wire(takes=("If-None-Match",), gives=("ETag",)),
)
def show_notices(call: web.Call) -> Response:
    """MailMagnet's notices, newest first. With If-None-Match, 304 until something has changed."""
    query = call.query(notices.NoticesQuery)
    # Of an empty tag werkzeug makes None.
    tags = filter(None, call.request.if_none_match.as_set(include_weak=True))
    member, etag = notices.poll(call.caller, query, tags)
    if etag:
        return Response(status=304, headers={"ETag": etag})
    answer = notices.list_notices(member, query)
    etag = notices.new_etag(member, query, answer)
    return web.json_response(answer, headers={"ETag": etag} if etag else {})


@app.route("GET", "/messages/{id}/category", web.USER, answer=explain.Explanation, problems=problem_codes.MAIL)
def explain_category(call: web.Call) -> Response:
    """Why a mail is where it is: contact, deals, the rule that decided, the sweep, or why not."""
    (mail_id,) = web.verify_gmail_ids([call.params["id"]])
    member = open_member(call.caller)
    member.verify_access(Access.READ)
    with opening.named_thing():
        return web.json_response(explain.explain(member.context, mail_id, lambda: open_mailbox(member)))


@app.route(
    "DELETE",
    "/messages/{id}/pin",
    web.USER,
    status=204,
    problems=(*problem_codes.SWEEP, "not-found", "mailmagnet-required", "mail-thrown-away"),
)
def release_pin(call: web.Call) -> Response:
    """Lets the sweep have a mail again that a person had moved."""
    (mail_id,) = web.verify_gmail_ids([call.params["id"]])
    session = open_session(call.caller)
    sweep_review.release_pin(session.context, session.gmail, mail_id)
    return web.no_content()


@app.route(
    "GET",
    "/sweep/preview",
    web.USER,
    answer=sweep_review.PreviewAnswer,
    problems=(*problem_codes.SWEEP, "labels-off"),
)
def preview_sweep(call: web.Call) -> Response:
    """What the next sweep would do."""
    session = open_session(call.caller)
    return web.json_response(sweep_review.preview(session.context, session.gmail))


@app.route(
    "GET",
    "/sweeps",
    web.USER,
    query=sweep_review.SweepsQuery,
    answer=sweep_review.SweepsAnswer,
    problems=(*problem_codes.CONNECTED, *problem_codes.PAGE),
)
def show_sweeps(call: web.Call) -> Response:
    """What the last sweeps did, newest first."""
    query = call.query(sweep_review.SweepsQuery)
    return web.json_response(sweep_review.list_sweeps(open_member(call.caller).connection, query.page_token))


@app.route(
    "POST",
    "/sweeps/{id}/undo",
    web.USER,
    answer=sweep_review.UndoAnswer,
    problems=(*problem_codes.SWEEP, "not-found", "mailmagnet-required", "label-refused"),
)
def undo_sweep(call: web.Call) -> Response:
    """Puts the mails of a sweep back to where they were, except those that somebody has moved since, and pins them."""
    (sweep_id,) = web.verify_gmail_ids([call.params["id"]])
    session = open_session(call.caller)
    return web.json_response(sweep_review.undo(session.context, session.gmail, sweep_id))


@app.route(
    "POST",
    "/notices/read",
    web.USER,
    body=notices.ReadBody,
    answer=notices.ReadAnswer,
    problems=(*problem_codes.CONNECTED, "not-found", "notices-busy"),
)
def read_notices(call: web.Call) -> Response:
    """Marks notices as seen: those named, or all that were received by a time."""
    body = call.body(notices.ReadBody)
    web.verify_gmail_ids(body.ids or ())
    return web.json_response(notices.mark_read(open_member(call.caller), body))


@app.route(
    "POST",
    "/contacts/summary",
    web.USER,
    body=contact_summary.ContactsBody,
    answer=contact_summary.ContactsAnswer,
    problems=("user-inactive",),
)
def summarise_contacts(call: web.Call) -> Response:
    """For lists of up to 100 contacts: category, unread notices, last mail received."""
    body = call.body(contact_summary.ContactsBody)
    return web.json_response(contact_summary.summarise(open_member(call.caller), body))


@app.route(
    "POST",
    "/directory",
    web.DIRECTORY,
    body=directory_load.DirectoryBody,
    answer=directory_load.DirectoryAnswer,
    problems=("too-many-records", "directory-busy", "full-load-missing", "full-load-unknown", "full-load-ended"),
)
def load_directory(call: web.Call) -> Response:
    """The CRM's back end upserts or deletes up to 400 users, contacts and deals, each judged by itself."""
    answer = directory_load.apply_upsert(call.body(directory_load.UnverifiedDirectory))
    # Whoever owes it, from this call or from one that died: the CRM repeats a call that failed.
    suspension.apply_owed(actor=call.caller.user_id)
    return web.json_response(answer)


routes_contacts.register(app)
routes_sending.register(app)
openapi.serve(app)


@functions_framework.http
def mail_proxy(request: flask.Request) -> Response:
    """The entry point."""
    answers().purge()
    return app(request)
