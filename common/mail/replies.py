"""Owns replying and forwarding: who gets the answer, what it is called, what it quotes.

May import only the mail package.
"""

from __future__ import annotations

import html as markup
import re
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING
from urllib.parse import quote

from common.mail.addresses import Address, normalise
from common.mail.limits import MAX_REFERENCES
from common.mail.plain import html_to_text
from common.mail.view import displayed_html

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from common.mail.view import Attachment, MessageView

_IS_REPLY = re.compile(r"(?i)^\s*(?:re|aw|antw|sv|vs|rif|odp)(?:\[\d{1,3}\])?\s*:")
_IS_FORWARD = re.compile(r"(?i)^\s*(?:fwd?|wg|tr|rv|vl|vb)\s*:")
_MAX_SUBJECT_CHARS = 900
_WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "wrote": "On {date}, {who} wrote:",
        "forwarded": "---------- Forwarded message ----------",
        "from": "From",
        "date": "Date",
        "subject": "Subject",
        "to": "To",
        "cc": "Cc",
        "time": "%Y-%m-%d at %H:%M",
    },
    "de": {
        "wrote": "Am {date} schrieb {who}:",
        "forwarded": "---------- Weitergeleitete Nachricht ----------",
        "from": "Von",
        "date": "Datum",
        "subject": "Betreff",
        "to": "An",
        "cc": "Kopie",
        "time": "%d.%m.%Y um %H:%M",
    },
}


@dataclass(frozen=True)
class ReplyPlan:
    """The answer before anything is written: recipients, subject, thread, and the quote to put under the text."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    subject: str
    thread_id: str
    in_reply_to: str | None
    references: tuple[str, ...]
    quoted_text: str
    quoted_html: str


@dataclass(frozen=True)
class ForwardPlan:
    """The forwarded mail before anything is written: subject, what it quotes, and the attachments to carry along."""

    subject: str
    quoted_text: str
    quoted_html: str
    attachments: tuple[Attachment, ...]


def plan_reply(
    original: MessageView,
    own_addresses: Iterable[str],
    *,
    reply_all: bool,
    locale: str = "en",
    zone: tzinfo = UTC,
) -> ReplyPlan:
    """Who gets the answer (RFC 5322, 3.6.3), and its headers and quote.

    Reply-To goes before From; the answer to a mail of one's own goes to its recipients again; own addresses and
    repeats are left out, unless nobody else is left. Times are shown in ``zone``; ``locale`` is ``en`` or ``de``.
    """
    own = {normalise(address) for address in own_addresses}
    authors = _authors(original, own)
    to = _others(authors, own) or _others(authors, set())
    taken = own | {normalise(address.address) for address in to}
    cc = _others([*original.to, *original.cc], taken) if reply_all else ()
    words = _words(locale)
    who = _shown(original.from_) if original.from_ else ""
    line = words["wrote"].format(date=_shown_time(original.date or original.received_at, zone, words), who=who)
    return ReplyPlan(
        to=to,
        cc=cc,
        subject=_prefixed(original.subject, "Re: ", _IS_REPLY),
        thread_id=original.thread_id,
        in_reply_to=original.message_id,
        references=_chain(original),
        quoted_text=f"{line}\n{_quoted(_text_of(original))}",
        quoted_html=f"<p>{markup.escape(line)}</p><blockquote>{_html_of(original, {})}</blockquote>",
    )


def plan_forward(original: MessageView, *, locale: str = "en", zone: tzinfo = UTC) -> ForwardPlan:
    """What a forwarded mail says of the original, with all its attachments. Bcc of the original is never passed on."""
    words = _words(locale)
    rows = [
        (words["from"], _shown(original.from_) if original.from_ else ""),
        (words["date"], _shown_time(original.date or original.received_at, zone, words)),
        (words["subject"], original.subject),
        (words["to"], _shown_list(original.to)),
        (words["cc"], _shown_list(original.cc)),
    ]
    lines = [words["forwarded"], *(f"{name}: {value}" for name, value in rows if value)]
    # The images that the body shows go along, so that it may go on showing them.
    carried = {file.content_id: f"cid:{quote(file.content_id)}" for file in original.attachments if file.inline}
    head = "<br>".join(markup.escape(line) for line in lines)
    return ForwardPlan(
        subject=_prefixed(original.subject, "Fwd: ", _IS_FORWARD),
        quoted_text="\n".join([*lines, "", _text_of(original)]),
        quoted_html=f"<p>{head}</p>{_html_of(original, carried)}",
        attachments=original.attachments,
    )


def _authors(original: MessageView, own: set[str]) -> tuple[Address, ...]:
    sender = original.from_
    if sender and normalise(sender.address) in own and original.to:
        return original.to
    return original.reply_to or ((sender,) if sender and sender.address else ())


def _others(addresses: Iterable[Address], known: set[str]) -> tuple[Address, ...]:
    kept: dict[str, Address] = {}
    for address in addresses:
        key = normalise(address.address)
        if address.address and key not in known:
            kept.setdefault(key, address)
    return tuple(kept.values())


def _chain(original: MessageView) -> tuple[str, ...]:
    """References of the answer: the original's, then the original itself (RFC 5322, 3.6.4)."""
    if original.message_id is None:
        return ()
    chain = [*(known for known in original.references if known != original.message_id), original.message_id]
    return tuple(chain if len(chain) <= MAX_REFERENCES else [chain[0], *chain[-(MAX_REFERENCES - 1) :]])


def _prefixed(subject: str, prefix: str, known: re.Pattern[str]) -> str:
    # Unchanged where it has one: Gmail keeps a thread together only under the same subject.
    return subject if known.match(subject) else prefix + subject[:_MAX_SUBJECT_CHARS]


def _quoted(text: str) -> str:
    return "\n".join(f">{line}" if line.startswith(">") else f"> {line}".rstrip() for line in text.splitlines())


def _text_of(original: MessageView) -> str:
    return original.text if original.text is not None else html_to_text(original.unverified_html or "")


def _html_of(original: MessageView, cid_urls: Mapping[str, str]) -> str:
    # Remote images stay in: the recipient's own mailer decides on them.
    return displayed_html(original, remote=True, cid_urls=cid_urls).html


def _words(locale: str) -> Mapping[str, str]:
    return _WORDS.get(locale[:2].lower(), _WORDS["en"])


def _shown_time(time: datetime, zone: tzinfo, words: Mapping[str, str]) -> str:
    return time.astimezone(zone).strftime(words["time"])


def _shown(address: Address) -> str:
    return (
        f"{address.name} <{address.address}>" if address.name and address.address else address.name or address.address
    )


def _shown_list(addresses: Iterable[Address]) -> str:
    return ", ".join(_shown(address) for address in addresses)
