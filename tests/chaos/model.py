"""What must be true after a chaos run: the rules of notices and labels once more, in plain Python over what was done.

Written without the product's code, which it may not import. Where what happened leaves two outcomes open (a hand that
did just what the sweep was about to do), both are right; all else has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from tests.chaos.events import BOXES

INBOX, SPAM, TRASH = "INBOX", "SPAM", "TRASH"
AWAY: Final = frozenset({SPAM, TRASH})
CLOSING, OPEN, CUSTOMERS, NONE = "closing_this_month", "open_deals", "customers", "none"
LABELS: Final = frozenset({CLOSING, OPEN, CUSTOMERS})
# Notices and the way back into the inbox end after 30 days: near that, anything may be.
_OLD: Final = timedelta(days=29)

Places = frozenset[str]


@dataclass
class Mail:
    """One mail in one mailbox, as people left it. ``places`` are INBOX, SPAM, TRASH and categories.

    ``is_loose``: what hands did may, or may not, have been told from what the sweep did; both are right.
    """

    name: str
    box: str
    mail_id: str
    sender: str
    arrived_at: datetime
    arrival: Places
    others: frozenset[str]
    known_from: int
    is_verified: bool = True
    is_received: bool = True
    places: Places = frozenset()
    is_moved: bool = False
    is_loose: bool = False
    was_taken_out: bool = False
    is_new: bool = True
    moved_since_peace: bool = False
    lost_labels: frozenset[str] = frozenset()
    # Labels that were deleted and put on again, perhaps in the very moment of the last hand.
    healing: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.places = self.arrival


@dataclass
class User:
    """What is so of a user. ``is_disturbed``: since the last peace, work in flight may have died with a generation."""

    role: str
    is_active: bool = True
    is_connected: bool = False
    is_revoked: bool = False
    mailmagnet: bool = False
    labels: bool = False
    is_disturbed: bool = False

    @property
    def is_running(self) -> bool:
        return self.is_active and self.is_connected and not self.is_revoked and self.mailmagnet


@dataclass
class Seen:
    """What can be seen from outside: mail ids with their labels, and what is stored, told and logged."""

    labels: Mapping[str, Mapping[str, frozenset[str]]]
    notices: Mapping[str, set[str]]
    held: Mapping[str, list[str]]
    told: Mapping[tuple[str, str], set[str]]
    pinned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Model:
    """Everything that was done, and what follows from it."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {user: User("sales") for users in BOXES.values() for user in users}
        self.mails: dict[str, Mail] = {}
        self.gone: set[str] = set()
        self.contacts: dict[str, Mapping[str, Any]] = {}
        self.deals: dict[str, Mapping[str, Any]] = {}
        # Our labels, and those that were ours once.
        self.ours: dict[str, dict[str, str]] = {box: {} for box in BOXES}
        self.ever_ours: dict[str, set[str]] = {box: set() for box in BOXES}
        self.last_filer: dict[str, str] = {}
        self._known: list[dict[str, frozenset[str]]] = [{user: frozenset() for user in self.users}]

    # The directory

    def note_contact(self, contact: Mapping[str, Any]) -> None:
        self.contacts[contact["id"]] = contact
        self._known.append({user: self._addresses(user) for user in self.users})

    @property
    def known_now(self) -> int:
        """Which state of the directory's addresses is the last."""
        return len(self._known) - 1

    def _sees(self, user: str, record: Mapping[str, Any]) -> bool:
        viewers = record["visible_to"]
        named = {"everyone", user, f"role:{self.users[user].role}"} & set(viewers)
        return not record["deleted"] and (record.get("owner") == user or bool(named))

    def _addresses(self, user: str) -> frozenset[str]:
        seen = [one for one in self.contacts.values() if self._sees(user, one)]
        return frozenset(address for one in seen for address in one["addresses"])

    def category(self, user: str, address: str, today: date) -> str:
        """The category of the address for the user, by the design's section 4."""
        theirs = {one["id"] for one in self.contacts.values() if self._sees(user, one) and address in one["addresses"]}
        deals = [one for one in self.deals.values() if self._sees(user, one) and theirs & set(one["contacts"])]
        living = [one["closing_date"] for one in deals if one["state"] == "open"]
        if any(closing and closing[:7] == f"{today:%Y-%m}" for closing in living):
            return CLOSING
        if living:
            return OPEN
        return CUSTOMERS if any(one["state"] == "won" for one in deals) else NONE

    # What must be

    def mails_of(self, box: str) -> list[Mail]:
        return [mail for mail in self.mails.values() if mail.box == box]

    def filer(self, box: str) -> str:
        """The user whose labels are in the mailbox; empty where nobody's are."""
        return next((one for one in BOXES[box] if self.users[one].is_running and self.users[one].labels), "")

    def notice(self, user: str, mail: Mail, now: datetime) -> str:
        """Whether the user has a notice of the mail: ``must``, ``may`` or ``never``."""
        states = [mail.sender in known[user] for known in self._known[mail.known_from :]]
        if not mail.is_received or not any(states):
            return "never"
        if mail.places & AWAY:
            return "may" if mail.was_taken_out or not mail.arrival & AWAY else "never"
        if now - mail.arrived_at > _OLD or mail.was_taken_out or not all(states):
            return "may"
        return "must"

    def right_places(self, user: str, mail: Mail, now: datetime) -> set[Places]:
        """Where the mail may lie, by hands and categories."""
        by_hand = {mail.places, mail.places - mail.lost_labels, mail.places | mail.healing}
        notice = self.notice(user, mail, now)
        if notice == "never" or (mail.is_moved and not mail.is_loose):
            return by_hand
        if not mail.is_loose and INBOX not in mail.arrival:
            return by_hand
        category = self.category(user, mail.sender, now.date()) if mail.is_verified else NONE
        sorted_in = frozenset({INBOX if category == NONE else category})
        return {sorted_in} if notice == "must" and not mail.is_loose else {sorted_in, *by_hand}

    def wrong(self, seen: Seen, now: datetime) -> list[str]:
        """A sentence for each thing that is not as it must be."""
        return [
            *self._wrong_notices(seen, now),
            *self._wrong_labels(seen, now),
            *self._wrong_news(seen, now),
        ]

    def _wrong_notices(self, seen: Seen, now: datetime) -> Iterable[str]:
        for user, told in self.users.items():
            box = next(box for box, users in BOXES.items() if user in users)
            found = seen.notices.get(user, set())
            if not (told.is_connected and told.mailmagnet):
                if seen.held.get(user):
                    yield f"{user}: held although MailMagnet is off: {seen.held[user]}"
                continue
            if not told.is_running:
                continue
            for mail in self.mails_of(box):
                must = self.notice(user, mail, now)
                if (must == "must" and mail.mail_id not in found) or (must == "never" and mail.mail_id in found):
                    yield f"{user}: notice of {mail.name} {must}, is {mail.mail_id in found}"
            unknown = found - {mail.mail_id for mail in self.mails_of(box)} - self.gone
            if unknown:
                yield f"{user}: notices of unknown mails {unknown}"

    def _wrong_labels(self, seen: Seen, now: datetime) -> Iterable[str]:
        for mail in self.mails.values():
            labels = seen.labels[mail.box].get(mail.mail_id)
            if labels is None:
                yield f"{mail.name} has gone from {mail.box}"
                continue
            others = labels - {INBOX, *AWAY} - self.ever_ours[mail.box]
            if others != mail.others:
                yield f"{mail.name}: labels of others are {sorted(others)}, not {sorted(mail.others)}"
            yield from self._wrong_place(mail, self.places_of(mail.box, labels), now)

    def places_of(self, box: str, labels: Iterable[str]) -> Places:
        """The places among label ids."""
        ours = self.ours[box]
        return frozenset(ours.get(one, one) for one in labels if one in ours or one in {INBOX, *AWAY})

    def _wrong_place(self, mail: Mail, places: Places, now: datetime) -> Iterable[str]:
        if places & AWAY != mail.places & AWAY:
            yield f"{mail.name}: in {sorted(places)}, but people left it in {sorted(mail.places)}"
        filer = self.filer(mail.box)
        if not filer or now - mail.arrived_at > _OLD:
            return
        right = self.right_places(filer, mail, now)
        if places not in right:
            wanted = " or ".join(str(sorted(one)) for one in right)
            yield (
                f"{filer}: {mail.name} ({mail.mail_id} from {mail.sender}) lies in {sorted(places)}, not in {wanted}"
                f" (moved {mail.is_moved}, loose {mail.is_loose}, notice {self.notice(filer, mail, now)})"
            )

    def _wrong_news(self, seen: Seen, now: datetime) -> Iterable[str]:
        of_mail = {mail.mail_id: mail for mail in self.mails.values()}
        every = [one for ids in seen.told.values() for one in ids]
        if len(set(every)) != len(seen.told):
            yield f"webhook ids are not one a notice: {dict(seen.told)}"
        for user, mail_id in seen.told:
            mail = of_mail.get(mail_id)
            if mail is not None and self.notice(user, mail, now) == "never":
                yield f"{user}: the webhook was told of {mail.name}, which is none of its mails"
        for user, told in self.users.items():
            if not told.is_running or told.is_disturbed:
                continue
            for mail in self.mails.values():
                is_due = user in BOXES[mail.box] and mail.is_new and self.notice(user, mail, now) == "must"
                if is_due and (user, mail.mail_id) not in seen.told:
                    yield f"{user}: the webhook was not told of {mail.name}"

    # What is open

    def loosen(self, box: str) -> None:
        """What comes next begins from where the mails lie: by then hands are not known any more."""
        for mail in self.mails_of(box):
            mail.is_loose = True

    def be_at_peace(self) -> None:
        """All that was done has come to its end."""
        for mail in self.mails.values():
            mail.is_new = mail.moved_since_peace = False
        for user in self.users.values():
            user.is_disturbed = False
