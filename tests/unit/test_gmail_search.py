"""The Gmail stand-in's search syntax, by what it finds in a small mailbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from local.gmail.mailbox import Mailbox
from local.gmail.search import parse_query

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
OFFER_FILE = (
    "Content-Type: application/pdf; name=angebot.pdf\r\nContent-Disposition: attachment; filename=angebot.pdf\r\n"
)


def _mail(headers: str, text: str = "") -> bytes:
    return f"{headers}\r\n{text}\r\n".encode()


@pytest.fixture(scope="module")
def mailbox() -> Mailbox:
    """Five mails, a day apart: a is from today, e four days old."""
    mailbox = Mailbox("anna@demo-crm.example", [], lambda: NOW, lambda *_: None, 1)
    label = mailbox.create_label("Offene Deals/Groß (A)").id
    sources = {
        "a": (_mail("From: Mia <mia@customer.example>\r\nTo: anna@demo-crm.example\r\nSubject: Neues Angebot\r\n"
                    "Message-ID: <A1@customer.example>\r\n", "Bitte um Rückruf"), {"INBOX", "UNREAD"}),
        "b": (_mail("From: Max <max@other.example>\r\nTo: Anna <anna@demo-crm.example>\r\nCc: mia@customer.example\r\n"
                    "Subject: Rechnung\r\n", "Das Angebot liegt bei"), {"INBOX", label}),
        "c": (_mail("From: anna@demo-crm.example\r\nTo: mia@customer.example\r\nSubject: Re: Angebot\r\n"), {"SENT"}),
        "d": (_mail(f"From: mia@customer.example.org\r\nTo: x@y.example\r\nSubject: Datei\r\n{OFFER_FILE}", "JVBERi0="),
              {"STARRED"}),
        "e": (_mail("From: x@y.example\r\nTo: anna@demo-crm.example\r\nSubject: Newsletter\r\n"), {"SPAM"}),
    }  # fmt: skip
    for age, (name, (raw, labels)) in enumerate(sources.items()):
        moment = NOW - timedelta(days=age, hours=1)
        mailbox.add(raw, labels, internal_ms=int(moment.timestamp() * 1000)).thread_id = name
    return mailbox


def _found(mailbox: Mailbox, text: str) -> str:
    query = parse_query(text, mailbox, NOW)
    return "".join(sorted(message.thread_id for message in mailbox.messages.values() if query.matches(message)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from:mia@customer.example", "ad"),
        ("from:MIA@Customer.Example", "ad"),
        ("from:ia@customer.example", ""),
        ("from:other.example", "b"),
        ("to:mia@customer.example", "bc"),
        ("cc:mia@customer.example", "b"),
        ("subject:angebot", "ac"),
        ('subject:"neues angebot"', "a"),
        ('subject:"angebot neues"', ""),
        ("angebot", "abcd"),
        ('"angebot liegt"', "b"),
        ("Rückruf", "a"),
        ("angebo", ""),
        ("filename:angebot.pdf", "d"),
        ("has:attachment", "d"),
        ("rfc822msgid:A1@customer.example", "a"),
        ("rfc822msgid:<A1@customer.example>", "a"),
        ("rfc822msgid:a1@customer.example", ""),
        ("label:inbox", "ab"),
        ("in:inbox", "ab"),
        ("in:sent", "c"),
        ("in:spam", "e"),
        ("label:offene-deals-groß--a-", "b"),
        ('label:"Offene Deals/Groß (A)"', "b"),
        ("label:unknown", ""),
        ("is:unread", "a"),
        ("is:read", "bcde"),
        ("is:starred", "d"),
        ("has:userlabels", "b"),
        ("newer_than:2d", "ab"),
        ("older_than:2d", "cde"),
        ("after:2026/03/08", "abc"),
        ("before:2026/03/08", "de"),
        ("after:03/09/2026", "ab"),
        (f"after:{int((NOW - timedelta(days=2)).timestamp())}", "ab"),
        (f"before:{int((NOW - timedelta(days=2)).timestamp())}", "cde"),
    ],
)
def test_an_operator_finds_what_it_names(mailbox: Mailbox, text: str, expected: str) -> None:
    """Each operator alone finds exactly the mails that it describes."""
    assert expected == _found(mailbox, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "abcde"),
        ("from:mia subject:angebot", "a"),
        ("from:mia AND subject:angebot", "a"),
        ("from:max OR from:anna", "bc"),
        ("{from:max from:anna}", "bc"),
        ("from:{max anna}", "bc"),
        ("from:(max other)", "b"),
        ("subject:(neues angebot)", "a"),
        ("-in:inbox", "cde"),
        ("-from:mia -in:spam", "bc"),
        ("-{from:mia from:max}", "ce"),
        ("in:inbox {from:mia from:max} -is:unread", "b"),
        # OR binds tighter than the blank.
        ("in:inbox from:mia OR from:max", "ab"),
        ("(from:mia in:inbox) OR in:spam", "ae"),
        ("{(from:mia in:inbox) in:spam}", "ae"),
        ("from:mia or angebot", ""),
        ("((from:mia) in:inbox", "a"),
        ("from:mia) in:inbox", "a"),
    ],
)
def test_terms_combine(mailbox: Mailbox, text: str, expected: str) -> None:
    """Blanks mean and, OR and braces or, a hyphen not; brackets group, and a stray one does no harm."""
    assert expected == _found(mailbox, text)


@pytest.mark.parametrize(
    ("text", "everywhere"),
    [
        ("in:anywhere", True),
        ("in:spam", True),
        ("label:trash", True),
        ("-in:spam", False),
        ("in:inbox", False),
        ("from:trash", False),
    ],
)
def test_a_search_says_whether_it_wants_spam_and_trash(mailbox: Mailbox, text: str, everywhere: bool) -> None:
    """Only who names those places looks into them."""
    assert everywhere == parse_query(text, mailbox, NOW).everywhere


@pytest.mark.parametrize(
    "text", ["from:", "-", '"', "{", ")(", "OR", "from:( OR )", "after:soon", "size:x", "a:b:c", "::"]
)
def test_an_odd_search_fails_nobody(mailbox: Mailbox, text: str) -> None:
    """Whatever is typed is a search."""
    assert set(_found(mailbox, text)) <= set("abcde")
