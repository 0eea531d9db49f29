"""Owns invitations: what the first event of a calendar file (RFC 5545) says. May import only the mail package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from common.mail.addresses import Address, is_address
from common.mail.headers import clean_text
from common.mail.view import Invitation

if TYPE_CHECKING:
    from icalendar import Component

_MOST_LINES = 2_000
_MOST_ATTENDEES = 100
_MAX_CHARS = 500
_MAX_FILE_CHARS = 1_000_000
_FOLD = re.compile(r"\r?\n[ \t]")
# Long, and shown by nobody here.
_PASSED_OVER = re.compile(r"(?i)(?:ATTACH|DESCRIPTION|COMMENT|X-)")
_END = re.compile(r"(?i)END:VEVENT\s*")


def parse_invitation(text: str) -> Invitation | None:
    """The first event of the calendar, or None where there is none that can be read. Times come in UTC."""
    # Imported on first use: it takes 140 ms, and few mails invite to anything.
    from icalendar import Calendar

    try:
        calendar = Calendar.from_ical("\r\n".join(_lines(text[:_MAX_FILE_CHARS])))
        event = next(iter(calendar.walk("VEVENT")), None)
        return None if event is None else _invitation(event)
    # The library raises whatever its parsers do: a strange file is no invitation.
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
        return None


def _lines(text: str) -> Iterator[str]:
    """The calendar up to the end of its first event, without what is long and not shown."""
    lines = (line for line in _FOLD.sub("", text).splitlines() if line.strip() and not _PASSED_OVER.match(line))
    for count, line in enumerate(lines):
        if count >= _MOST_LINES:
            return
        yield line
        if _END.fullmatch(line):
            yield "END:VCALENDAR"
            return


def _invitation(event: Component) -> Invitation:
    starts, ends = _moment(event, "DTSTART"), _moment(event, "DTEND")
    return Invitation(
        summary=_text(event, "SUMMARY"),
        location=_text(event, "LOCATION"),
        starts_at=starts if isinstance(starts, datetime) else None,
        ends_at=ends if isinstance(ends, datetime) else None,
        starts_on=None if isinstance(starts, datetime) else starts,
        ends_on=None if isinstance(ends, datetime) else ends,
        organizer=next(iter(_people(event, "ORGANIZER")), None),
        attendees=tuple(_people(event, "ATTENDEE")),
        recurring="RRULE" in event,
        status=_text(event, "STATUS").upper(),
    )


def _moment(event: Component, name: str) -> datetime | date | None:
    """A time in UTC, a date where the event takes whole days, None where neither can be read."""
    found = getattr(event.get(name), "dt", None)
    if isinstance(found, datetime):
        # Floating time (RFC 5545, 3.3.5) belongs to no zone: it is left out rather than guessed.
        return found.astimezone(UTC) if found.tzinfo else None
    return found if isinstance(found, date) else None


def _text(event: Component, name: str) -> str:
    return _clean(event.get(name, ""))


def _clean(value: object) -> str:
    return clean_text(" ".join(str(value).split()))[:_MAX_CHARS]


def _people(event: Component, name: str) -> Iterator[Address]:
    values: Any = event.get(name, [])
    for value in (values if isinstance(values, list) else [values])[:_MOST_ATTENDEES]:
        address = re.sub(r"(?i)^mailto:", "", str(value)).strip()
        known = _clean(getattr(value, "params", {}).get("CN", ""))
        if is_address(address) or known:
            yield Address(known, address if is_address(address) else "")
