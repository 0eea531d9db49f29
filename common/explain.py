"""Owns the answer to "why is this mail where it is?": contact, deals, rule, sweep, pin, or why not, in one sentence and
as data.

The reason is found purely, from what was read for this request. Gmail is asked only about a mail without a notice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

from msgspec import Struct

from common import clock
from common.categories import AddressCategory
from common.directory import directory
from common.errors import NotFound
from common.gmail.client import Gmail
from common.gmail.results import Message
from common.health import Language
from common.label_names import name_of, refused
from common.magnet import allowed
from common.model import IN_INBOX, LABELLED, OUTSIDE, Category, Connection, Contact, Deal, DealState, Notice, Sweep
from common.noticing import FIELDS, HEADERS, For, files_labels, load_categories, parse_arrival
from common.sharing import may_see
from common.store.client import Context, Versioned, store
from common.sweep_review import Place, place_of

Reason = Literal[
    "mailmagnet-off", "not-incoming", "not-a-contact", "not-noticed", "undone", "moved-by-hand", "kept-out-by-filter",
    "unverified", "labels-off", "label-refused", "waiting", "closing-this-month", "open-deals", "won-deal", "no-deals",
]  # fmt: skip
_SWEEPS_LOOKED_AT: Final = 20
_BY_CATEGORY: Final[Mapping[Category, Reason]] = {
    Category.CLOSING_THIS_MONTH: "closing-this-month",
    Category.OPEN_DEALS: "open-deals",
    Category.CUSTOMERS: "won-deal",
    Category.NONE: "no-deals",
}
_TEXTS: Final[Mapping[Reason, tuple[str, str]]] = {
    "mailmagnet-off": (
        "It is not sorted because MailMagnet is off or may not work for you.",
        "Sie wird nicht einsortiert, weil MailMagnet ausgeschaltet ist oder für Sie nicht arbeiten darf.",
    ),
    "not-incoming": (
        "It is not sorted because only mail received from one sender is: not sent mail, drafts, chats, spam or trash.",
        "Sie wird nicht einsortiert, weil das nur für Empfangenes von einem Absender geschieht: nicht für Gesendetes, "
        "Entwürfe, Chats, Spam oder Gelöschtes.",
    ),
    "not-a-contact": (
        "It is not sorted because its sender's address stands on no contact that you may see.",
        "Sie wird nicht einsortiert, weil die Adresse des Absenders bei keinem Kontakt steht, den Sie sehen dürfen.",
    ),
    "not-noticed": (
        "It is from {contacts}, but MailMagnet has not noticed it: it is too old, or was just received.",
        "Sie ist von {contacts}, aber MailMagnet hat sie nicht bemerkt: Sie ist zu alt oder gerade erst eingetroffen.",
    ),
    "undone": (
        "It was put back, because you have undone the sweep that had moved it.",
        "Sie wurde zurückgelegt, weil Sie das Einsortieren rückgängig gemacht haben, das sie bewegt hatte.",
    ),
    "moved-by-hand": (
        "It stays where it is because it was moved by hand in Gmail.",
        "Sie bleibt, wo sie ist, weil sie in Gmail von Hand bewegt wurde.",
    ),
    "kept-out-by-filter": (
        "It is not sorted because one of your Gmail filters kept it out of the inbox.",
        "Sie wird nicht einsortiert, weil einer Ihrer Gmail-Filter sie vom Posteingang ferngehalten hat.",
    ),
    "unverified": (
        "It stays in the inbox because Gmail could not verify that it really is from {contacts}.",
        "Sie bleibt im Posteingang, weil Gmail nicht bestätigen konnte, dass sie wirklich von {contacts} ist.",
    ),
    "labels-off": (
        "It is not sorted because your labels are off.",
        "Sie wird nicht einsortiert, weil Ihre Labels ausgeschaltet sind.",
    ),
    "waiting": (
        "It is from {contacts} and will be sorted anew with the next sweep, within about ten minutes.",
        "Sie ist von {contacts} und wird beim nächsten Einsortieren neu eingeordnet, in etwa zehn Minuten.",
    ),
    "label-refused": (
        'It is from {contacts} and belongs under "{label}", a label that Gmail does not make at present.',
        "Sie ist von {contacts} und gehört unter „{label}“, ein Label, das Gmail zurzeit nicht anlegt.",
    ),
    "closing-this-month": (
        'It is under "{label}" because {contacts} has an open deal that closes this month: {deal}.',
        "Sie liegt unter „{label}“, weil ein offener Deal von {contacts} in diesem Monat abgeschlossen wird: {deal}.",
    ),
    "open-deals": (
        'It is under "{label}" because {contacts} has an open deal: {deal}.',
        "Sie liegt unter „{label}“, weil {contacts} einen offenen Deal hat: {deal}.",
    ),
    "won-deal": (
        'It is under "{label}" because {contacts} has a won deal and no open one: {deal}.',
        "Sie liegt unter „{label}“, weil {contacts} einen gewonnenen Deal hat und keinen offenen: {deal}.",
    ),
    "no-deals": (
        "It stays in the inbox because {contacts} has no open or won deal that you may see.",
        "Sie bleibt im Posteingang, weil {contacts} keinen offenen oder gewonnenen Deal hat, den Sie sehen dürfen.",
    ),
}


class ContactMatch(Struct, kw_only=True):
    """A contact that has the sender's address."""

    id: str
    name: str


class DealConsidered(Struct, kw_only=True):
    """A deal of such a contact; ``decides``: the category is from it."""

    id: str
    title: str
    state: DealState
    closing_date: date | None
    decides: bool


class SweptBy(Struct, kw_only=True):
    """The last sweep that moved the mail."""

    id: str
    at: datetime
    undone_at: datetime | None = None


class Explanation(Struct, kw_only=True):
    """Why a mail is where it is. ``place`` is where MailMagnet knows it to be, null where it does not know the mail."""

    mail_id: str
    reason: Reason
    text: dict[Language, str]
    place: Place | None = None
    category: Category | None = None
    contacts: list[ContactMatch] = []
    deals: list[DealConsidered] = []
    sweep: SweptBy | None = None
    pinned: bool = False
    unverified: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of a mail that has a notice."""

    notice: Notice
    category: Category
    labels_on: bool
    file_unverified: bool
    sweep: Sweep | None = None
    refused: Collection[Category] = ()

    @property
    def place(self) -> str:
        """Where it lies, or is about to."""
        return self.notice.intent or self.notice.filed


def plan_reason(facts: Facts) -> Reason:
    """The one reason that counts: a hand before a filter, that before doubt, that before the rule."""
    notice = facts.notice
    if notice.pinned:
        is_undone = facts.sweep is not None and facts.sweep.undone_at is not None
        return "undone" if is_undone else "moved-by-hand"
    if notice.filed == OUTSIDE:
        return "kept-out-by-filter"
    if not facts.labels_on:
        return "labels-off"
    in_inbox = facts.place in (IN_INBOX, Category.NONE)
    if notice.unverified and not facts.file_unverified:
        return "unverified" if in_inbox else "waiting"
    belongs_in_inbox = facts.category is Category.NONE
    if facts.place != facts.category and not (in_inbox and belongs_in_inbox):
        return "label-refused" if facts.category in facts.refused else "waiting"
    return _BY_CATEGORY[facts.category]


def explain(context: Context, mail_id: str, open_mailbox: Callable[[], Gmail]) -> Explanation:
    """Why this mail of the user's is where it is. Twenty units where it has no notice, else none.

    Raises NotFound where there is no such mail, and what Gmail raises where it is asked.
    """
    connection = context.connection.value if context.connection else None
    if connection is None:
        raise NotFound
    notice = store().notices.load(connection.user_id, mail_id)
    whose = allowed(context)
    if notice is None or notice.value.mailbox_key != connection.mailbox_key or whose is None:
        return _explain_unnoticed(open_mailbox(), mail_id, whose)
    return _explain_noticed(notice, whose, refused(connection, context.sync.value if context.sync else None))


def _explain_noticed(held: Versioned[Notice], whose: For, lacking: Collection[Category]) -> Explanation:
    notice = held.value
    meaning = _meaning(notice.from_address, whose)
    facts = Facts(
        notice,
        meaning.category if meaning else Category.NONE,
        files_labels(whose),
        whose.policy.file_unverified,
        _find_sweep(notice.mail_id, whose.connection),
        lacking,
    )
    reason: Reason = plan_reason(facts)
    if reason == "no-deals" and meaning is None:
        reason = "not-a-contact"
    answer = _answer(notice.mail_id, reason, meaning, whose)
    answer.place, answer.pinned, answer.unverified = place_of(facts.place), notice.pinned, notice.unverified
    if facts.sweep is not None:
        answer.sweep = SweptBy(id=facts.sweep.sweep_id, at=facts.sweep.at, undone_at=facts.sweep.undone_at)
    return answer


def _explain_unnoticed(gmail: Gmail, mail_id: str, whose: For | None) -> Explanation:
    message = gmail.fetch_message(mail_id, format="metadata", fields=FIELDS, headers=HEADERS)
    if whose is None:
        return _plain(mail_id, "mailmagnet-off")
    return _explain_fetched(message, mail_id, whose)


def _explain_fetched(message: Message, mail_id: str, whose: For) -> Explanation:
    arrival = parse_arrival(message)
    if arrival is None:
        return _plain(mail_id, "not-incoming")
    meaning = _meaning(arrival.from_address, whose)
    if meaning is None:
        return _plain(mail_id, "not-a-contact")
    return _answer(mail_id, "not-noticed", meaning, whose)


def _plain(mail_id: str, reason: Reason) -> Explanation:
    english, german = _TEXTS[reason]
    return Explanation(mail_id=mail_id, reason=reason, text={"en": english, "de": german})


def _meaning(address: str, whose: For) -> AddressCategory | None:
    return load_categories([address], whose.user, clock.today(whose.policy.time_zone)).get(address)


def _find_sweep(mail_id: str, connection: Connection) -> Sweep | None:
    recent = store().sweeps.page(connection.user_id, connection.mailbox_key, limit=_SWEEPS_LOOKED_AT)
    return next((one.value for one in recent if any(move.mail_id == mail_id for move in one.value.moves)), None)


def _answer(mail_id: str, reason: Reason, meaning: AddressCategory | None, whose: For) -> Explanation:
    if meaning is None:
        return _plain(mail_id, reason)
    contacts = sorted(directory().contacts(meaning.contact_ids).values(), key=lambda one: one.contact_id)
    deals = [deal for deal in directory().deals_of_contacts(meaning.contact_ids) if may_see(deal, whose.user)]
    considered = _considered(deals, meaning.decision.deciding)
    return Explanation(
        mail_id=mail_id,
        reason=reason,
        text=plan_text(reason, meaning.category, contacts, considered),
        category=meaning.category,
        contacts=[ContactMatch(id=one.contact_id, name=one.name) for one in contacts],
        deals=considered,
    )


def _considered(deals: Iterable[Deal], deciding: Collection[str]) -> list[DealConsidered]:
    rows = [
        DealConsidered(
            id=deal.deal_id,
            title=deal.title,
            state=deal.state,
            closing_date=deal.closing_date,
            decides=deal.deal_id in deciding,
        )
        for deal in deals
    ]
    return sorted(rows, key=lambda row: (not row.decides, row.id))


def plan_text(
    reason: Reason, category: Category, contacts: Iterable[Contact], considered: Iterable[DealConsidered]
) -> dict[Language, str]:
    """The sentence, in both languages. The label is named as we made it: the user may have renamed it."""
    names = " / ".join(one.name or one.contact_id for one in contacts)
    deal = next((row.title or row.id for row in considered if row.decides), "")

    def say(language: Language, text: str) -> str:
        label = name_of(category, language) if category in LABELLED else ""
        return text.format(contacts=names, deal=deal, label=label)

    english, german = _TEXTS[reason]
    return {"en": say("en", english), "de": say("de", german)}
