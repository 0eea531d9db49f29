"""Owns how a timeline looks in JSON: what is asked, contacts, deals, mails, each mailbox's state. Knows no store."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from common.health import Language
from common.model import Category, DealState
from common.reading_api import MessageAnswer, Person
from common.timeline_query import MAX_SEARCH_CHARS
from common.timeline_words import Audience

MOST_MAILBOXES = 10

UserId = Annotated[str, Meta(min_length=1, max_length=128)]
State = Literal["ok", "slow", "rate_limited", "disconnected", "unavailable", "not_asked"]


class EmailsBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """``q``: words, "phrases" and a few of Gmail's operators, all of which must be found.

    ``mailboxes``: ask these users' mailboxes and no others, such as those that an answer named ``not_asked``.
    """

    q: Annotated[str, Meta(max_length=MAX_SEARCH_CHARS)] = ""
    page_token: str = ""
    page_size: Annotated[int, Meta(ge=1, le=50)] = 20
    mailboxes: Annotated[list[UserId], Meta(min_length=1, max_length=MOST_MAILBOXES)] | None = None


class UserRef(Struct, kw_only=True):
    id: str
    name: str


class AddressRow(Struct, kw_only=True):
    """An address of a contact. ``confirmed``: the caller has shared or confirmed it for the own mailbox."""

    address: str
    added_at: datetime
    confirmed: bool = False


class CategoryRow(Struct, kw_only=True):
    """The category, and what decided: the deals considered, those that decided, and a sentence."""

    category: Category
    considered: list[str]
    deciding: list[str]
    text: dict[Language, str]


class ContactRow(Struct, kw_only=True):
    """A contact's details. ``shared``: the caller shares the mail with this contact by itself."""

    id: str
    name: str
    addresses: list[AddressRow]
    owner: UserRef | None
    shared: bool = False


class DealRow(Struct, kw_only=True):
    id: str
    title: str
    state: DealState
    closing_date: date | None
    owner: UserRef | None


class CopyRef(Struct, kw_only=True):
    """The same mail in another mailbox."""

    owner: str
    id: str


class EntryRow(Struct, kw_only=True):
    """A mail of the timeline. ``id`` is Gmail's in the mailbox of ``owner``; ``copies`` are the others who got it.

    ``direction``: ``in`` from the contact, ``out`` to it. What only concerns a mailbox's owner (``thread_id``,
    ``labels``, ``unread``, ``starred``) is told of the caller's own mail alone, else empty or null.
    """

    id: str
    owner: str
    owner_name: str
    own: bool
    direction: Literal["in", "out"]
    contact_ids: list[str]
    from_: Person | None = msgspec.field(name="from")
    to: list[Person]
    cc: list[Person]
    subject: str
    snippet: str
    date: datetime | None
    received_at: datetime
    has_attachments: bool | None
    authenticated: bool
    audience: Audience
    copies: list[CopyRef]
    thread_id: str = ""
    labels: list[str] = []
    unread: bool | None = None
    starred: bool | None = None


class MailboxRow(Struct, kw_only=True):
    """What became of one mailbox. Where its state is not ``ok``, mail of it may be missing here.

    ``has_more``: it has mail beyond this page. ``not_asked`` ones can be asked for by ``mailboxes``.
    ``search_limit``: where not 0, a search looks at so many hits a page here and is silent on what lies behind them.
    """

    owner: str
    name: str
    own: bool
    state: State
    has_more: bool = False
    retry_at: datetime | None = None
    search_limit: int = 0


class Timeline(Struct, kw_only=True):
    """Mails of many mailboxes, newest first. A page may be short, even empty: only an empty token is the end.

    A mailbox in trouble comes later: repeat the request, with the same token, or go on with the next one.
    ``more_mailboxes``: there may be further mailboxes with such mail, not named here, or on a page before alone.
    """

    entries: list[EntryRow]
    mailboxes: list[MailboxRow]
    more_mailboxes: bool = False
    next_page_token: str = ""


class ContactEmailsAnswer(Timeline, kw_only=True):
    """A contact with its category, deals and mails."""

    contact: ContactRow
    category: CategoryRow
    deals: list[DealRow]


class DealContact(ContactRow, kw_only=True):
    """A contact of the deal, with its category."""

    category: CategoryRow


class DealEmailsAnswer(Timeline, kw_only=True):
    """A deal with its contacts, as far as the caller may see them, and the mails with them.

    ``contacts_left_out``: how many there are beyond those whose mails are shown.
    """

    deal: DealRow
    contacts: list[DealContact]
    contacts_left_out: int = 0


class SharedMessageAnswer(MessageAnswer, kw_only=True):
    """A mail of a contact as its owner or a colleague reads it. The owner's labels and marks are told to the owner."""

    owner: str
    owner_name: str
    contact_id: str
    audience: Audience
