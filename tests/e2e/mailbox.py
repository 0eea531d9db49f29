"""A CRM as people have it after some weeks: all connected, labels on for Anna, mail of every kind in her mailbox."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import timedelta

from local.stack import Stack
from tests.integration.sweep_rig import load_directory, start_labels

MIA = "Mia Schneider <mia@customer.example>"
JONAS = "Jonas Weber <jonas.weber@weber-bau.example>"
LENA = "Lena Krüger <lena@krueger-energie.example>"
EMILY = "Emily Carter <emily@carter-design.example>"
LUKAS = "Lukas Groß <lukas.gross@gross-logistik.example>"
SHOWN = "Rückfrage zur Lieferzeit"
_PDF = base64.b64encode(b"%PDF-1.7 " + b"x" * 180_000).decode()


@dataclass(frozen=True)
class _Mail:
    sender: str
    subject: str
    text: str
    days_ago: float
    files: tuple[str, ...] = ()
    html: str = ""
    auth: str | None = None
    labels: tuple[str, ...] = field(default=("INBOX",))


_MAILS = (
    _Mail(MIA, "Katalog", "Guten Tag,\n\nbitte senden Sie uns Ihren Katalog.", 44),
    _Mail(EMILY, "Invoice 2041", "Hi Anna,\n\nthanks, paid today.", 20),
    _Mail(JONAS, "Baubeginn", "Hallo Anna,\n\nwann können Sie anfangen?", 8),
    _Mail(MIA, "Anfrage Büromöbel", "Guten Tag,\n\nwir brauchen zwölf Schreibtische und hätten gern Muster.", 3.4),
    _Mail(LUKAS, "Doch noch einmal", "Guten Tag,\n\ngibt es das Angebot noch? Wir würden gern sprechen.", 2.2),
    _Mail("Rita Fremd <rita@elsewhere.example>", "Bewerbung", "Ich suche eine Stelle.", 2, ("Lebenslauf.pdf",)),
    _Mail("Möbelwelt <news@moebelwelt.example>", "Newsletter im Herbst", "Alles muss raus.", 1.6),
    _Mail(EMILY, "The new logo looks great", "Hi Anna,\n\nthe board signed off this morning.\n\nBest,\nEmily", 1.2),
    _Mail(JONAS, "Statik der Halle", "Hallo Anna,\n\nanbei die Statik. Wann telefonieren wir?", 0.9, ("Statik.pdf",)),
    _Mail(MIA, "Neue Bankverbindung", "Bitte überweisen Sie ab sofort auf das neue Konto.", 0.7, auth="fail"),
)
_NEW = _Mail(
    MIA,
    SHOWN,
    "Liebe Frau Berger,\n\nvielen Dank für das Angebot. Können Sie die zwölf Schreibtische bis zum 15. liefern? "
    "Unser Umzug ist in der Woche danach.\n\nMit freundlichen Grüßen\nMia Schneider",
    0,
    ("Grundriss.pdf",),
    html='<p><img src="https://images.customer.example/logo.png" alt="Schneider GmbH" width="140" height="40"></p>',
    labels=("INBOX", "UNREAD"),
)


def live_in(stack: Stack) -> Stack:
    """Fills the CRM; the newest mail, with ``SHOWN`` as its subject, came after the last sweep."""
    load_directory(stack)
    for mail in _MAILS:
        _write(stack, mail)
    start_labels(stack, locale="de")
    stack.connect("ben", features=("mail",))
    stack.connect("carla", features=("mail", "mailmagnet"))
    stack.ask("ben", "PATCH", "/oauth_callback/connection", json={"sharing": "public"})
    stack.ask("anna", "PATCH", "/oauth_callback/connection", json={"sharing": "custom"})
    stack.ask("anna", "PUT", "/mail_proxy/contacts/mia/share")
    stack.mail("ben", MIA, "Frage zur Rechnung", text="Hallo Herr Okafor,\n\neine Frage zur letzten Rechnung.")
    _write(stack, _NEW)
    stack.settle()
    return stack


def address_of(stack: Stack, subject: str) -> str:
    """Where the page shows a mail of Anna's."""
    found = stack.ask("anna", "POST", "/mail_proxy/messages/search", json={"q": f'subject:"{subject}"'})["messages"]
    return f"#/mail/{found[0]['id']}"


def _write(stack: Stack, mail: _Mail) -> None:
    files = [{"filename": name, "content_type": "application/pdf", "data_base64": _PDF} for name in mail.files]
    paragraphs = "".join(f"<p>{one.replace(chr(10), '<br>')}</p>" for one in mail.text.split("\n\n"))
    stack.mail(
        "anna",
        mail.sender,
        mail.subject,
        auth=mail.auth,
        labels=mail.labels,
        at=stack.clock.now() - timedelta(days=mail.days_ago) if mail.days_ago else None,
        text=mail.text,
        html=paragraphs + mail.html,
        attachments=files,
    )
