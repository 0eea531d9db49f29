"""Owns delivery reports (RFC 3464): who did not get a mail, and why. May import only the mail package."""

from __future__ import annotations

import re
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from common.mail.addresses import parse_addresses
from common.mail.headers import decode
from common.mail.limits import MAX_RECIPIENTS
from common.mail.view import RecipientReport

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message

_MAX_REPORT_CHARS = 500_000
_BLANK_LINES = re.compile(r"\r?\n[ \t]*\r?\n")


def parse_delivery_report(text: str) -> tuple[RecipientReport, ...]:
    """What a message/delivery-status part says of each recipient, at most 500; other blocks are passed over."""
    blocks = (block.strip() for block in _BLANK_LINES.split(text[:_MAX_REPORT_CHARS]))
    fields = (HeaderParser().parsestr(block) for block in blocks if block)
    reports = [_recipient(block) for block in fields if block["Final-Recipient"] or block["Original-Recipient"]]
    return tuple(reports[:MAX_RECIPIENTS])


def parse_failed_recipients(values: Iterable[str]) -> tuple[RecipientReport, ...]:
    """The addresses of X-Failed-Recipients, which Gmail and Exim put into mails that report a failure."""
    found = parse_addresses(values)[:MAX_RECIPIENTS]
    return tuple(RecipientReport(address.address, "failed", "", "") for address in found)


def _recipient(block: Message) -> RecipientReport:
    recipient = _typed(block, "Final-Recipient") or _typed(block, "Original-Recipient")
    found = parse_addresses([recipient])
    return RecipientReport(
        address=found[0].address if found else recipient,
        action=_field(block, "Action").lower(),
        status=_field(block, "Status").partition(" ")[0],
        diagnostic=" ".join(_typed(block, "Diagnostic-Code").split()),
    )


def _field(block: Message, name: str) -> str:
    return decode(str(block[name] or ""))[:2_000]


def _typed(block: Message, name: str) -> str:
    """A field's value without its type, as in ``rfc822; mia@customer.example`` (RFC 3464, 2.1.2)."""
    kind, semicolon, value = _field(block, name).partition(";")
    return value.strip() if semicolon else kind.strip()
