"""Owns one mail of a contact in somebody's mailbox, opened by a viewer: every check anew, on the mail as it is now.

Whatever the viewer may not see is not found, in the same words: whether it is there is nobody's business. Headers are
fetched first, so that a mail that is not for the viewer costs the same call as one that does not exist, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.audiences import load_own_scope
from common.colleagues import Door, Doors, Facts, View, load_doors, load_visible_contact, parse_facts
from common.errors import NotFound, ReauthRequired
from common.gmail.client import Gmail
from common.gmail.results import Message
from common.model import Contact
from common.opening import Look, fetch_full, named_thing, open_message
from common.session import Member
from common.timeline import count_reads
from common.timeline_api import SharedMessageAnswer
from common.timeline_words import Audience, plan_audience

_DECIDING_FIELDS = "id,labelIds,internalDate,payload(headers)"


@dataclass(frozen=True)
class SharedMail:
    """A whole mail that the viewer may see, in an open mailbox."""

    gmail: Gmail
    resource: Message
    door: Door
    doors: Doors
    view: View
    facts: Facts
    contact: Contact


def fetch_shared_mail(member: Member, contact_id: str, owner: str, message_id: str) -> SharedMail:
    """The mail, if rule 3 lets the member see it by this contact; the read is counted for its owner.

    Raises NotFound for everything else; RateLimited or Unavailable where Gmail cannot be asked.
    """
    contact = load_visible_contact(contact_id, member.user)
    view = View(member.user, member.policy, (contact,))
    doors = load_doors(view, [owner])
    door = doors.by_owner.get(owner)
    if door is None or not door.is_connected:
        raise NotFound
    gmail = door.open(member.user)
    try:
        with named_thing():
            deciding = gmail.fetch_message(message_id, fields=_DECIDING_FIELDS)
        _verify_visible(deciding, door, view)
        resource = fetch_full(gmail, message_id)
    except ReauthRequired:
        if door.own:
            raise
        # Of a colleague's connection it says what the next request will find: there is none.
        raise NotFound from None
    facts = _verify_visible(resource, door, view)
    if not door.own:
        count_reads(view, [(owner, contact.contact_id)])
    return SharedMail(gmail, resource, door, doors, view, facts, contact)


def _verify_visible(resource: Message, door: Door, view: View) -> Facts:
    facts = parse_facts(resource)
    if not door.is_visible(facts, view):
        raise NotFound
    return facts


def open_shared_mail(mail: SharedMail, *, remote: bool, images: bool) -> SharedMessageAnswer:
    """The mail for its reader: never Bcc, and nothing of a colleague's own marks."""
    own = mail.door.own
    hidden = mail.door.connection.hidden_label_id if own else ""
    shown = open_message(mail.gmail, mail.resource, Look(remote, images, with_bcc=own, hidden_label_id=hidden))
    fields: dict[str, Any] = {name: getattr(shown, name) for name in shown.__struct_fields__}
    if not own:
        fields |= {"thread_id": "", "labels": [], "unread": False, "starred": False, "bcc": []}
    return SharedMessageAnswer(
        **fields,
        owner=mail.door.owner,
        owner_name=mail.doors.name(mail.door.owner),
        contact_id=mail.contact.contact_id,
        audience=_audience(mail),
    )


def _audience(mail: SharedMail) -> Audience:
    scope = load_own_scope(mail.view, mail.doors, [mail.facts]) if mail.door.own else None
    return scope.audience(mail.facts) if scope else plan_audience(mail.door, mail.facts, mail.view, mail.doors)


__all__ = ["SharedMail", "fetch_shared_mail", "open_shared_mail"]
