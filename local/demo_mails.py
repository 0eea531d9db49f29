"""The mails of the main job: what lies in Anna's mailbox before, what arrives, and where each belongs in the end.

Owns the texts. Each part of a mail can carry a word of its own, so that a test can search for it everywhere.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from local.stack import Stack

Words = Callable[[str], str]
"""Gives the word that a part of a mail (``subject``, ``body``, ``file`` …) carries; empty for none."""

CUSTOMER = "mia@customer.example"
CLOSING, OPEN, CUSTOMERS = "Closing This Month (CTM)", "Open Deals", "Customers"


def no_words(_place: str) -> str:
    """Mails for people: no words to search for."""
    return ""


@dataclass(frozen=True)
class DemoMail:
    """A mail: who it is from, the label it belongs under ("" for the inbox), whether MailMagnet notices it."""

    sender: str
    subject: str
    text: str
    label: str = ""
    is_noticed: bool = True
    auth: str | None = None
    days_ago: float = 0
    headers: tuple[tuple[str, str], ...] = ()
    file: str = ""


_MIA = "Mia Schneider <mia@customer.example>"
_JONAS = "Jonas Weber <jonas.weber@weber-bau.example>"
_EMILY = "Emily Carter <emily@carter-design.example>"
_LENA = "Lena Krüger <lena@krueger-energie.example>"
_LUKAS = "Lukas Groß <lukas.gross@gross-logistik.example>"
_STRANGER = "Rita Fremd <rita@elsewhere.example>"

_BACKLOG = (
    DemoMail(_MIA, "Anfrage Büromöbel", "Wir brauchen zwölf Schreibtische.", CLOSING, days_ago=3),
    DemoMail(_JONAS, "Baubeginn", "Wann können Sie anfangen?", OPEN, days_ago=8),
    DemoMail(_EMILY, "Invoice 2041", "Thanks, paid today.", CUSTOMERS, days_ago=20),
    DemoMail(_LUKAS, "Absage", "Wir haben uns anders entschieden.", days_ago=5),
    DemoMail(_STRANGER, "Bewerbung", "Ich suche eine Stelle.", is_noticed=False, days_ago=2),
    # Older than thirty days: the backlog leaves it where it is.
    DemoMail(_MIA, "Katalog", "Bitte senden Sie uns Ihren Katalog.", is_noticed=False, days_ago=45),
)
_NEW = (
    DemoMail(_MIA, "Angebot Schreibtische", "Können Sie uns ein Angebot machen?", CLOSING, file="Grundriss.pdf"),
    DemoMail(_LENA, "Stehlampen", "Und zwanzig Stehlampen dazu.", CLOSING),
    DemoMail(_JONAS, "Statik", "Anbei die Statik der Halle.", OPEN, file="Statik.pdf"),
    DemoMail(_EMILY, "New logo", "The new logo looks great.", CUSTOMERS),
    DemoMail(_LUKAS, "Doch noch einmal", "Gibt es das Angebot noch?"),
    DemoMail(_STRANGER, "Angebot für Sie", "Sie haben gewonnen!", is_noticed=False),
    DemoMail(
        "Möbelwelt <news@moebelwelt.example>",
        "Newsletter im Herbst",
        "Alles muss raus.",
        is_noticed=False,
        headers=(("List-Unsubscribe", "<https://moebelwelt.example/out>"), ("List-Id", "<news.moebelwelt.example>")),
    ),
    DemoMail("Ben Okafor <ben@demo-crm.example>", "Mittag?", "Um zwölf im Hof?", is_noticed=False),
    # Says that it is from Mia, and is not: Gmail could not authenticate it.
    DemoMail(_MIA, "Neue Bankverbindung", "Bitte überweisen Sie ab sofort nach …", auth="fail"),
)


class Mails:
    """What was written, by Gmail's id: ``backlog`` and ``new``."""

    def __init__(self, stack: Stack, words: Words) -> None:
        self._stack = stack
        self._words = words
        self.backlog: dict[str, DemoMail] = {}
        self.new: dict[str, DemoMail] = {}

    def write_backlog(self) -> None:
        """Puts the mail of the last weeks into Anna's mailbox."""
        for mail in sorted(_BACKLOG, key=lambda one: -one.days_ago):
            self.backlog[self._write(mail)] = mail

    def write_new(self) -> None:
        """Lets the new mails arrive, one after the other, and waits until each push was dealt with."""
        for mail in _NEW:
            self.new[self._write(mail)] = mail
            self._stack.settle()

    def of(self, name: str) -> list[str]:
        """The ids of all mails with this name in From, oldest first; also that which is forged."""
        return [mail_id for mail_id, mail in (self.backlog | self.new).items() if mail.sender.startswith(name)]

    def filed_of(self, name: str) -> list[str]:
        """The ids of those of them that belong under a label."""
        return [mail_id for mail_id in self.of(name) if (self.backlog | self.new)[mail_id].label]

    def _write(self, mail: DemoMail) -> str:
        word = self._words
        name, _, ending = mail.file.rpartition(".")
        parts: dict[str, Any] = {
            "text": f"{mail.text} {word('text')}",
            "html": f"<p>{mail.text}</p><p title='{word('title')}'>{word('html')}</p>",
            "cc": f"{word('cc_name')} <{word('cc')}einkauf@customer.example>",
            "headers": dict(mail.headers) | {"X-Campaign": word("header")},
        }
        if mail.file:
            data = base64.b64encode(f"%PDF-1.7 {word('content')}".encode()).decode()
            file = {"filename": f"{name}{word('file')}.{ending}", "content_type": "application/pdf"}
            parts["attachments"] = [file | {"data_base64": data}]
        at = self._stack.clock.now() - timedelta(days=mail.days_ago) if mail.days_ago else None
        subject = f"{mail.subject} {word('subject')}".strip()
        sender_name, _, address = mail.sender.rpartition(" <")
        sender = f"{sender_name} {word('from_name')} <{address}"
        return self._stack.mail("anna", sender, subject, auth=mail.auth, at=at, **parts)
