from __future__ import annotations

import time
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.mail.addresses import Address
from common.mail.calendar import parse_invitation
from common.mail.view import Invitation

OUTLOOK = "DTSTART;TZID=W. Europe Standard Time"
OUTLOOK_ZONE = """BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
"""


def calendar(event: str, zone: str = "") -> str:
    inner = f"{zone}BEGIN:VEVENT\n{event}\nEND:VEVENT\n"
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nMETHOD:REQUEST\n{inner}END:VCALENDAR\n".replace("\n", "\r\n")


def read(event: str, zone: str = "") -> Invitation:
    found = parse_invitation(calendar(event, zone))
    assert found is not None
    return found


def test_an_invitation_says_what_when_where_and_who() -> None:
    """Title, times, place, organiser and attendees are fields of their own; escapes and folded lines are undone."""
    event = (
        "SUMMARY:Besprechung\\, groß\n e Runde\nLOCATION:Raum 1\\nErdgeschoss\nDTSTART:20270301T090000Z\n"
        "DTEND:20270301T100000Z\nORGANIZER;CN=Mia Schneider:mailto:mia@customer.example\n"
        "ATTENDEE;CN=Anna:MAILTO:anna@demo-crm.example\nATTENDEE:mailto:ben@demo-crm.example\n"
        "RRULE:FREQ=WEEKLY\nSTATUS:confirmed\nDESCRIPTION:not shown\nATTACH;ENCODING=BASE64:AAAA"
    )

    assert read(event) == Invitation(
        summary="Besprechung, große Runde",
        location="Raum 1 Erdgeschoss",
        starts_at=datetime(2027, 3, 1, 9, tzinfo=UTC),
        ends_at=datetime(2027, 3, 1, 10, tzinfo=UTC),
        starts_on=None,
        ends_on=None,
        organizer=Address("Mia Schneider", "mia@customer.example"),
        attendees=(Address("Anna", "anna@demo-crm.example"), Address("", "ben@demo-crm.example")),
        recurring=True,
        status="CONFIRMED",
    )


@pytest.mark.parametrize(
    ("start", "zone", "at", "on"),
    [
        ("DTSTART;TZID=Europe/Berlin:20270701T090000", "", datetime(2027, 7, 1, 7, tzinfo=UTC), None),
        (f"{OUTLOOK}:20270701T090000", OUTLOOK_ZONE, datetime(2027, 7, 1, 7, tzinfo=UTC), None),
        (f"{OUTLOOK}:20270101T090000", OUTLOOK_ZONE, datetime(2027, 1, 1, 8, tzinfo=UTC), None),
        ("DTSTART;VALUE=DATE:20270301", "", None, date(2027, 3, 1)),
        ("DTSTART:20270301T090000", "", None, None),
        ("SUMMARY:no time at all", "", None, None),
    ],
)  # fmt: skip
def test_times_come_in_utc(start: str, zone: str, at: datetime | None, on: date | None) -> None:
    """Zones by name or as Outlook writes them become UTC; whole days stay dates; what has no zone is left out."""
    found = read(start, zone)

    assert (at, on) == (found.starts_at, found.starts_on)


@pytest.mark.parametrize(
    "text",
    ["", "no calendar", "BEGIN:VCALENDAR", calendar("DTSTART:tomorrow"), "BEGIN:VCALENDAR\r\nEND:VCALENDAR",
     "BEGIN:VCALENDAR\r\nEND:VEVENT\r\nEND:VCALENDAR", "END:VEVENT", "\x00" * 99],
)  # fmt: skip
def test_what_is_no_calendar_invites_to_nothing(text: str) -> None:
    """A file that cannot be read is no invitation, or one without what was broken in it."""
    found = parse_invitation(text)

    assert found is None or found.starts_at is None


def test_tricks_are_taken_out_of_the_words() -> None:
    """Bidi overrides and control characters go, lengths are bounded, and an address that is none is not passed on."""
    found = read(f"SUMMARY:a\u202eb\x07{'c' * 9_000}\nORGANIZER;CN=Boss:javascript:alert(1)")

    assert ("ab" + "c" * 498, Address("Boss", "")) == (found.summary, found.organizer)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from([*calendar(OUTLOOK_ZONE + "RRULE:FREQ=X\nDTSTART;TZID=/x:1").split("\r\n"), ";:", "A:"]))
)
def test_no_calendar_breaks_the_reader(lines: list[str]) -> None:
    """Lines in any order either make an invitation or none, and never raise."""
    found = parse_invitation("\r\n".join(["BEGIN:VCALENDAR", *lines]))

    assert found is None or isinstance(found.summary, str)


def test_a_huge_calendar_costs_little() -> None:
    """Of a hundred thousand events the first is read, and of a hundred thousand guests the first hundred."""
    began = time.process_time()
    many = parse_invitation(calendar("SUMMARY:first\nEND:VEVENT\nBEGIN:VEVENT\nRRULE:FREQ=SECONDLY\n" * 20_000))
    crowd = parse_invitation(calendar("ATTENDEE:mailto:a@x.example\n" * 1_900 + "SUMMARY:crowd"))

    assert many is not None
    assert crowd is not None
    assert ("first", 100, "crowd") == (many.summary, len(crowd.attendees), crowd.summary)
    assert time.process_time() - began < 5
