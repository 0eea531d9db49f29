"""Mail on its way: what Gmail's servers write into it when it arrives and when it is sent.

Knows raw mail and addresses; mailboxes are handed in by the service.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection
from datetime import datetime
from email.utils import format_datetime, formataddr, parsedate_to_datetime

from local.gmail import wire
from local.gmail.errors import invalid_argument

# "500 recipients per message" (support.google.com/a/answer/166852)
MAX_RECIPIENTS = 500


def arrived(raw: bytes, to: str, auth: str | None, at: datetime) -> bytes:
    """The mail as it lies in the mailbox of ``to``: Gmail's own headers stand above those it came with."""
    raw = wire.to_crlf(raw)
    sender = next(iter(wire.addresses(raw, "from")), "")
    domain = sender.rpartition("@")[2] or "unknown.invalid"
    when = format_datetime(at)
    token = secrets.token_hex(8)
    lines = [
        f"Delivered-To: {to}",
        f"Received: by 2002:a05:7300:1111:b0:12c:3f2a:9d01 with SMTP id {token}csp;\r\n        {when}",
        f"Return-Path: <{sender}>",
        f"Received: from mail.{domain} (mail.{domain}. [192.0.2.25])\r\n"
        f"        by mx.google.com with ESMTPS id {token}\r\n        for <{to}>;\r\n        {when}",
        f"Authentication-Results: {authentication_results(auth or 'pass', sender, domain)}",
    ]
    if not wire.header_value(raw, "message-id"):
        lines.append(f"Message-ID: <{secrets.token_hex(12)}SMTPIN_ADDED_MISSING@mx.google.com>")
    return wire.with_first(raw, *lines)


def authentication_results(auth: str, sender: str, domain: str) -> str:
    """The header's value: ``pass``, ``fail``, ``none`` (the domain has no DMARC record), or as given."""
    if auth not in ("pass", "fail", "none"):
        return auth
    fold = ";\r\n       "
    if auth == "none":
        spf = f"spf=none (google.com: {sender} does not designate permitted sender hosts) smtp.mailfrom={sender}"
        return fold.join(["mx.google.com", spf])
    if auth == "fail":
        return fold.join(
            [
                "mx.google.com",
                f"spf=softfail (google.com: domain of transitioning {sender} does not designate 192.0.2.25 as "
                f"permitted sender) smtp.mailfrom={sender}",
                f"dmarc=fail (p=NONE sp=NONE dis=NONE) header.from={domain}",
            ]
        )
    return fold.join(
        [
            "mx.google.com",
            f"dkim=pass header.i=@{domain} header.s=mail header.b=q3Jd0aVx",
            f"spf=pass (google.com: domain of {sender} designates 192.0.2.25 as permitted sender) "
            f"smtp.mailfrom={sender}",
            f"dmarc=pass (p=NONE sp=NONE dis=NONE) header.from={domain}",
        ]
    )


def recipients(raw: bytes) -> list[str]:
    """Everyone a mail goes to, once each. Raises GmailError 400 for none, too many, or what is no address."""
    for name in ("to", "cc", "bcc"):
        for value in wire.header_values(raw, name):
            if value and not wire.addresses(raw, name):
                raise invalid_argument(f"Invalid {name.capitalize()} header")
    found = list(dict.fromkeys(wire.addresses(raw, "to", "cc", "bcc")))
    if not found:
        raise invalid_argument("Recipient address required")
    if len(found) > MAX_RECIPIENTS:
        raise invalid_argument("Too many recipients")
    return found


def sent(raw: bytes, primary: str, display_name: str, allowed: Collection[str], at: datetime) -> bytes:
    """The mail as Gmail sends it.

    From is the primary address unless it names one that the mailbox may send from; Message-ID is always Gmail's own;
    what was replaced is kept under X-Google-Original-….
    """
    raw = wire.to_crlf(raw)
    own = [f"Message-ID: <CA{_id_text(24)}=_{_id_text(21)}@mail.gmail.com>"]
    senders = wire.addresses(raw, "from")
    if len(senders) != 1 or senders[0] not in allowed:
        own.insert(0, f"From: {formataddr((display_name, primary))}")
        raw = _renamed(raw, "from", b"X-Google-Original-From")
    if not wire.header_value(raw, "date"):
        own.append(f"Date: {format_datetime(at)}")
    if not wire.header_value(raw, "mime-version"):
        own.append("MIME-Version: 1.0")
    return wire.with_first(_renamed(raw, "message-id", b"X-Google-Original-Message-ID"), *own)


def _renamed(raw: bytes, name: str, new_name: bytes) -> bytes:
    def edit(field: str, whole: bytes) -> bytes:
        return new_name + whole[whole.index(b":") :] if field == name else whole

    return wire.edited(raw, edit)


def _id_text(length: int) -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(length)).decode("ascii")[:length]


def date_header_ms(raw: bytes) -> int | None:
    """The Date header as milliseconds; None where it is no date."""
    try:
        return int(parsedate_to_datetime(wire.header_value(raw, "date")).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
