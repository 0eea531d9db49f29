"""Owns what a timeline says beside its mails, in German and English: who may see one, what a category is from. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from msgspec import Struct

from common import sharing
from common.categories import Decision
from common.colleagues import Door, Doors, Facts, View, named_viewers
from common.health import Language
from common.model import EVERYONE, ROLE_PREFIX, Category, Contact, Deal, SharingLevel, User

Reason = Literal[
    "private", "contact_not_shared", "hidden", "excluded_domain", "address_not_open", "shared_contact", "public_sharing"
]
_MOST_LISTED: Final = 6


class AudienceMember(Struct, kw_only=True):
    """Who may see a mail: a user, all of a role, or everyone. ``contact_id``: because they may see this contact."""

    kind: Literal["user", "role", "everyone"]
    id: str = ""
    name: str = ""
    contact_id: str = ""


class Audience(Struct, kw_only=True):
    """Who may see a mail, and why: a sentence, and the same as data.

    ``members`` begins with the mailbox's owner; it names the owner alone where the mail is not shared. Of a colleague's
    mail it tells what the contacts at hand open. ``partial``: of very many addresses not all were looked at.
    """

    shared: bool
    reason: Reason
    members: list[AudienceMember]
    text: dict[Language, str]
    partial: bool = False


@dataclass(frozen=True)
class _Words:
    """One language's words. ``only_you`` are the sentences on mail that nobody else may see, by reason."""

    you: str
    everyone: str
    role: str
    more: str
    shared: str
    reasons: Mapping[Reason, str]
    only_you: Mapping[Reason, str]


_WORDS: Final[Mapping[Language, _Words]] = {
    "en": _Words(
        you="you",
        everyone="everyone in the CRM",
        role="role {}",
        more="{} more",
        shared="Visible to: {who} ({why}).",
        reasons={"shared_contact": "shared contact", "public_sharing": "all mail with contacts is shared"},
        only_you={
            "private": "Visible to you alone: you share no mail.",
            "contact_not_shared": "Visible to you alone: you have not shared this contact.",
            "hidden": "Visible to you alone: you have hidden it from colleagues.",
            "excluded_domain": "Visible to you alone: a domain that is never shared takes part in it.",
            "address_not_open": "Visible to you alone: its address is internal, or was added to the contact later.",
        },
    ),
    "de": _Words(
        you="Sie",
        everyone="alle im CRM",
        role="Rolle {}",
        more="{} weitere",
        shared="Sichtbar für: {who} ({why}).",
        reasons={
            "shared_contact": "freigegebener Kontakt",
            "public_sharing": "alle E-Mails mit Kontakten sind geteilt",
        },
        only_you={
            "private": "Nur für Sie sichtbar: Sie geben keine E-Mails frei.",
            "contact_not_shared": "Nur für Sie sichtbar: Sie haben diesen Kontakt nicht freigegeben.",
            "hidden": "Nur für Sie sichtbar: Sie haben sie vor Kollegen verborgen.",
            "excluded_domain": "Nur für Sie sichtbar: Eine Domain, die nie geteilt wird, ist daran beteiligt.",
            "address_not_open": "Nur für Sie sichtbar: Ihre Adresse ist intern oder kam erst später zum Kontakt.",
        },
    ),
}


def plan_audience(door: Door, facts: Facts, view: View, doors: Doors) -> Audience:
    """Who may see this mail of the door's mailbox by the view's contacts."""
    shared_by = door.shared_by(facts)
    owner = AudienceMember(kind="user", id=door.owner, name=doors.name(door.owner))
    if not shared_by:
        reason = _closed_reason(door, facts)
        text: dict[Language, str] = {language: words.only_you[reason] for language, words in _WORDS.items()}
        return Audience(shared=False, reason=reason, members=[owner], text=text)
    contacts = [contact for contact in view.contacts if contact.contact_id in shared_by]
    members = [owner, *_viewers(contacts, door.owner, view.viewer, doors)]
    reason = "public_sharing" if door.level is SharingLevel.PUBLIC else "shared_contact"

    def say(words: _Words) -> str:
        who = _listed(members, view.viewer.user_id, words)
        return words.shared.format(who=who, why=words.reasons[reason])

    return Audience(shared=True, reason=reason, members=members, text=_in_languages(say))


def _closed_reason(door: Door, facts: Facts) -> Reason:
    hidden = door.connection.hidden_label_id
    if door.level is SharingLevel.PRIVATE:
        return "private"
    if hidden and hidden in facts.mail.label_ids:
        return "hidden"
    if sharing.has_excluded_domain(facts.mail, door.excluded_domains):
        return "excluded_domain"
    if door.level is SharingLevel.CUSTOM and not door.shared_contacts:
        return "contact_not_shared"
    return "address_not_open"


def _viewers(contacts: Sequence[Contact], owner: str, reader: User, doors: Doors) -> list[AudienceMember]:
    found: dict[tuple[str, str], AudienceMember] = {}
    for contact in contacts:
        for one in _viewers_of(contact, doors):
            if not sharing.may_see(contact, reader):
                # That somebody sees the mail is the reader's business, by which contact is not.
                one.contact_id = ""
            if one.id != owner:
                found.setdefault((one.kind, one.id), one)
    everyone = found.get(("everyone", ""))
    return [everyone] if everyone else list(found.values())


def _viewers_of(contact: Contact, doors: Doors) -> Iterable[AudienceMember]:
    for user_id in named_viewers(contact):
        yield AudienceMember(kind="user", id=user_id, name=doors.name(user_id), contact_id=contact.contact_id)
    for one in contact.visible_to:
        if one == EVERYONE:
            yield AudienceMember(kind="everyone", contact_id=contact.contact_id)
        elif one.startswith(ROLE_PREFIX):
            role = one.removeprefix(ROLE_PREFIX)
            yield AudienceMember(kind="role", id=role, name=role, contact_id=contact.contact_id)


def _listed(members: Sequence[AudienceMember], viewer: str, words: _Words) -> str:
    named = [_named(member, viewer, words) for member in members]
    # A reader who comes in by a role, or as one of everyone, is told so as well.
    told = list(dict.fromkeys([words.you, *named]))
    left_out = len(told) - _MOST_LISTED
    return ", ".join(told if left_out <= 0 else [*told[:_MOST_LISTED], words.more.format(left_out)])


def _named(member: AudienceMember, viewer: str, words: _Words) -> str:
    if member.kind == "everyone":
        return words.everyone
    if member.kind == "role":
        return words.role.format(member.name)
    return words.you if member.id == viewer else member.name


_CATEGORY_TEXTS: Final[Mapping[Category, tuple[str, str]]] = {
    Category.CLOSING_THIS_MONTH: (
        "An open deal closes this month: {}.",
        "Ein offener Deal wird in diesem Monat abgeschlossen: {}.",
    ),
    Category.OPEN_DEALS: (
        "There is an open deal, and none closes this month: {}.",
        "Es gibt einen offenen Deal, und keiner wird in diesem Monat abgeschlossen: {}.",
    ),
    Category.CUSTOMERS: ("A deal was won, and none is open: {}.", "Ein Deal wurde gewonnen, und keiner ist offen: {}."),
    Category.NONE: ("No deal is open or won.", "Kein Deal ist offen oder gewonnen."),
}


def plan_category_text(decision: Decision, deals: Iterable[Deal]) -> dict[Language, str]:
    """Why the category is what it is; ``deals`` are those that the reader may see."""
    titles = {deal.deal_id: deal.title or deal.deal_id for deal in deals}
    deciding = ", ".join(titles[one] for one in decision.deciding[:_MOST_LISTED] if one in titles)
    english, german = _CATEGORY_TEXTS[decision.category]
    return {"en": english.format(deciding), "de": german.format(deciding)}


def _in_languages(say: Callable[[_Words], str]) -> dict[Language, str]:
    return {language: say(words) for language, words in _WORDS.items()}
