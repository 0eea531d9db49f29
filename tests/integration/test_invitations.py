"""Invitations over HTTP: the event's fields stand in the answer, wherever Gmail keeps the calendar."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from local.crm.people import ANNA
from local.faults import Fault
from local.stack import Stack
from tests.integration.mailbox_rig import MIA, counted, deliver, gmail_calls, show

pytestmark = pytest.mark.integration

EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:Vorführung\r\n"
    "DTSTART;TZID=Europe/Berlin:20270701T090000\r\nDTEND;TZID=Europe/Berlin:20270701T100000\r\n"
    "ORGANIZER;CN=Mia:mailto:mia@customer.example\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def invitation(name: str = "") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = MIA, ANNA.email, "Invitation"
    mail.set_content("Please come")
    mail.add_alternative(EVENT, subtype="calendar", params={"method": "REQUEST"})
    if name:
        mail.get_payload(1).add_header("Content-Disposition", "attachment", filename=name)  # type: ignore[union-attr]
    return mail


@pytest.mark.parametrize(("name", "calls"), [("", 1), ("meeting.ics", 2)])
def test_an_invitation_shows_what_it_invites_to(stack: Stack, name: str, calls: int) -> None:
    """Event, time and host are fields; a calendar that Gmail keeps apart costs one call more."""
    stack.connect("anna")
    mail_id = deliver(stack, invitation(name))
    made = gmail_calls(stack, lambda: show(stack, mail_id))
    opened = show(stack, mail_id)
    event = opened["invitation"]

    assert ("REQUEST", "Vorführung") == (opened["calendar_method"], event["summary"])
    assert ("2027-07-01T07:00:00Z", "2027-07-01T08:00:00Z") == (event["starts_at"], event["ends_at"])
    assert {"name": "Mia", "address": "mia@customer.example"} == event["organizer"]
    assert calls == sum(counted(made).values())


def test_a_calendar_that_cannot_be_had_leaves_the_mail_readable(stack: Stack) -> None:
    """Where Gmail does not hand the calendar out, the mail opens without the event."""
    stack.connect("anna")
    mail_id = deliver(stack, invitation("meeting.ics"))
    stack.faults.inject(Fault("gmail", "users.messages.attachments.get", status=404, count=1))
    opened = show(stack, mail_id)

    assert (None, "REQUEST") == (opened["invitation"], opened["calendar_method"])
    assert "Please come" in opened["text"]
