"""mail_proxy's routes of a contact in context: the mails of a contact or deal over many mailboxes, and sharing.

``main`` registers them. Who may see what is decided in ``common``, for each request anew.
"""

from __future__ import annotations

import msgspec
from werkzeug import Response

from common import contact_share, downloads, problem_codes, shared_mail, timeline_api, web
from common.colleagues import View, in_threads, load_visible_contact
from common.contact_details import contact_row, deal_contact, deal_row, load_details
from common.directory import directory
from common.errors import NotFound
from common.membership import verify_allowed
from common.model import Feature
from common.reading_api import LookQuery
from common.session import Member, open_member
from common.sharing import may_see
from common.timeline import Loaded, load_timeline

# A deal with more contacts shows the mails of the first ones: each address makes Gmail's search longer.
_MOST_CONTACTS = 20
_MAIL = "/contacts/{id}/emails/{owner}/{message_id}"


def register(app: web.App) -> None:
    """Adds the routes."""
    _register_timelines(app)
    _register_mails(app)
    _register_shares(app)


def _register_timelines(app: web.App) -> None:
    asked, told = timeline_api.EmailsBody, timeline_api.ContactEmailsAnswer
    codes = problem_codes.TIMELINE
    app.route("POST", "/contacts/{id}/emails", web.USER, body=asked, answer=told, problems=codes)(show_contact)
    of_deal = timeline_api.DealEmailsAnswer
    app.route("POST", "/deals/{id}/emails", web.USER, body=asked, answer=of_deal, problems=codes)(show_deal)


def _register_mails(app: web.App) -> None:
    mail, told, codes = _MAIL, timeline_api.SharedMessageAnswer, problem_codes.SHARED_MAIL
    app.route("GET", mail, web.USER, query=LookQuery, answer=told, problems=codes)(show_mail)
    app.route("GET", f"{mail}/attachments/{{part_id}}", web.USER, wire=web.FILE, problems=codes)(show_attachment)


def _register_shares(app: web.App) -> None:
    path, codes = "/contacts/{id}/share", problem_codes.SHARE
    asked, told = contact_share.ShareBody, contact_share.ShareAnswer
    refused = (*codes, "not-connected", "addresses-changed")
    app.route("PUT", path, web.USER, body=asked, answer=told, problems=refused)(share_contact)
    app.route("DELETE", path, web.USER, status=204, problems=codes)(unshare_contact)


def show_contact(call: web.Call) -> Response:
    """A contact's details, category and deals, and every mail with it that the caller may see."""
    body = call.body(timeline_api.EmailsBody)
    member = _open(call)
    contact = load_visible_contact(web.verify_crm_id(call.params["id"]), member.user)
    view = View(member.user, member.policy, (contact,))
    loaded: Loaded
    loaded, details = in_threads(
        lambda: load_timeline(view, body, f"contact {contact.contact_id}"),
        lambda: load_details(view.viewer, view.policy, view.contacts),
    )
    answer = timeline_api.ContactEmailsAnswer(
        **msgspec.structs.asdict(loaded.timeline),
        contact=contact_row(contact, loaded.own, loaded.doors),
        category=details.category_row(contact),
        deals=[deal_row(deal, loaded.doors) for deal in details.of(contact)],
    )
    return web.json_response(answer)


def show_deal(call: web.Call) -> Response:
    """A deal's contacts, and every mail with them that the caller may see."""
    body = call.body(timeline_api.EmailsBody)
    member = _open(call)
    deal = directory().deal(web.verify_crm_id(call.params["id"]))
    if deal is None or not may_see(deal, member.user):
        raise NotFound
    known = directory().contacts(deal.contact_ids)
    visible = [known[one] for one in deal.contact_ids if one in known and may_see(known[one], member.user)]
    view = View(member.user, member.policy, tuple(visible[:_MOST_CONTACTS]))
    loaded: Loaded
    loaded, details = in_threads(
        lambda: load_timeline(view, body, f"deal {deal.deal_id}"),
        lambda: load_details(view.viewer, view.policy, view.contacts),
    )
    answer = timeline_api.DealEmailsAnswer(
        **msgspec.structs.asdict(loaded.timeline),
        deal=deal_row(deal, loaded.doors),
        contacts=[deal_contact(one, loaded.own, loaded.doors, details) for one in view.contacts],
        contacts_left_out=len(visible) - len(view.contacts),
    )
    return web.json_response(answer)


def show_mail(call: web.Call) -> Response:
    """One mail of a contact, in the mailbox of its owner, if it is shared with the caller."""
    query = call.query(LookQuery)
    mail = _fetch(call)
    return web.json_response(shared_mail.open_shared_mail(mail, remote=query.remote, images=query.images))


def show_attachment(call: web.Call) -> Response:
    """One part of such a mail, as a file."""
    mail = _fetch(call)
    return downloads.file_response(downloads.fetch_attachment(mail.gmail, mail.resource, call.params["part_id"]))


def share_contact(call: web.Call) -> Response:
    """Shares the caller's mail with this contact, and confirms the addresses that the contact has now."""
    body = call.body(contact_share.ShareBody)
    member = _open(call)
    return web.json_response(contact_share.apply_share(member, web.verify_crm_id(call.params["id"]), body))


def unshare_contact(call: web.Call) -> Response:
    """Takes the share back, and the confirmation of its addresses."""
    contact_share.apply_unshare(_open(call), web.verify_crm_id(call.params["id"]))
    return web.no_content()


def _open(call: web.Call) -> Member:
    member = open_member(call.caller)
    verify_allowed([Feature.MAIL], member.policy)
    return member


def _fetch(call: web.Call) -> shared_mail.SharedMail:
    (message_id,) = web.verify_gmail_ids([call.params["message_id"]])
    contact_id, owner = web.verify_crm_id(call.params["id"]), web.verify_crm_id(call.params["owner"])
    return shared_mail.fetch_shared_mail(_open(call), contact_id, owner, message_id)
