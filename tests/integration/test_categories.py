"""Mail follows its contacts' categories: at the turn of the month in any zone, and when contacts and deals change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from local import environment
from local.stack import Stack
from tests.integration.magnet_rig import notices
from tests.integration.sweep_rig import (
    CLOSING,
    CUSTOMERS,
    EMILY,
    JONAS,
    MIA,
    OPEN,
    arrive,
    call_as,
    change_contact,
    change_deal,
    filed,
    place,
    places,
    record,
    send_task,
    start_labels,
    sweep,
    write,
)

pytestmark = pytest.mark.integration


def to_time(stack: Stack, at: datetime) -> None:
    stack.advance((at - stack.clock.now()).total_seconds())


def next_month(stack: Stack) -> datetime:
    first = stack.clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def start_before(stack: Stack, at: datetime, time_zone: str) -> Stack:
    """Anna as in ``sorted_mailbox``, at a time, in an organisation of this zone."""
    to_time(stack, at)
    stack.load_directory()
    stack.ask("carla", "PUT", "/oauth_callback/policy", json={"time_zone": time_zone})
    return start_labels(stack)


@pytest.mark.parametrize(
    ("time_zone", "offset_h", "month", "last_day"),
    [
        ("Pacific/Kiritimati", 14, 1, 31),
        ("America/St_Johns", -3.5, 1, 31),
        ("Pacific/Pago_Pago", -11, 4, 30),
    ],
    ids=["14 hours ahead", "half an hour off", "11 hours behind"],
)
def test_month_turns_at_the_organisations_midnight(
    stack: Stack, time_zone: str, offset_h: float, month: int, last_day: int
) -> None:
    """At 23:59 there nothing moves; at 00:00 what closes in the new month comes up, and the old month's goes down."""
    year = stack.clock.now().year + 1
    midnight = datetime(year, month, last_day, tzinfo=UTC) + timedelta(days=1) - timedelta(hours=offset_h)
    start_before(stack, midnight - timedelta(hours=3), time_zone)
    closing = {"d-01": f"{year}-{month:02}-{last_day}", "d-02": f"{year}-{month + 1:02}-01"}
    write(stack, deals=[record(stack, "deals", deal, closing_date=day) for deal, day in closing.items()])
    mails = [filed(stack, sender) for sender in (MIA, JONAS)]
    to_time(stack, midnight - timedelta(minutes=1))
    stack.sweep()
    before = places(stack, *mails)
    to_time(stack, midnight)
    stack.sweep()
    assert [[{CLOSING}, {OPEN}], [{OPEN}, {CLOSING}]] == [before, places(stack, *mails)]


def test_sweep_under_way_at_the_turn_of_a_month(sorted_mailbox: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that began in the old month files by the new one what a dispatch has marked meanwhile."""
    stack = sorted_mailbox
    first = next_month(stack)
    to_time(stack, first - timedelta(hours=2))
    stack.run_job("magnet-renew")
    stack.catch_up(within_s=3600)
    change_deal(stack, "d-02", closing_date=f"{first:%Y-%m-%d}")
    mails = [filed(stack, JONAS)]
    to_time(stack, first - timedelta(seconds=20))
    mails.append(arrive(stack, JONAS))
    is_turned = False

    def turn(service: str, method: str, mailbox: str = "") -> None:
        """The sweep has decided which day it is once it asks for its open steps; only then is it answered."""
        nonlocal is_turned
        if (service, method) == ("firestore", "RunQuery") and not is_turned:
            is_turned = True
            to_time(stack, first)
            call_as(stack, environment.SCHEDULER, "/")

    with monkeypatch.context() as patch:
        patch.setattr(stack.faults, "take", turn)
        assert (204, True) == (send_task(stack, kind="sweep"), is_turned)
    stack.settle()
    sweep(stack)
    assert [{CLOSING}] * 2 == places(stack, *mails)


def test_closing_date_moves_and_goes(sorted_mailbox: Stack) -> None:
    """Next month, a day of this month that has passed, none, last month: only a day of this month is this month's."""
    stack = sorted_mailbox
    now = stack.clock.now()
    mail, seen = filed(stack, MIA), []
    first = now.replace(day=1)
    for day in (next_month(stack), first, None, first - timedelta(days=1), now):
        change_deal(stack, "d-01", closing_date=f"{day:%Y-%m-%d}" if day else None)
        sweep(stack)
        seen.append(place(stack, mail))
    assert [{OPEN}, {CLOSING}, {OPEN}, {OPEN}, {CLOSING}] == seen


def test_deal_without_and_with_many_contacts(sorted_mailbox: Stack) -> None:
    """A deal counts for all of its contacts at once, and without any for nobody."""
    stack = sorted_mailbox
    mails = [filed(stack, sender) for sender in (MIA, JONAS, EMILY)]
    seen = []
    for contacts in (["mia", "jonas", "emily", "lukas", "lena"], []):
        change_deal(stack, "d-01", contacts=contacts)
        sweep(stack)
        seen.append(places(stack, *mails))
    assert [[{CLOSING}] * 3, [{"INBOX"}, {OPEN}, {CUSTOMERS}]] == seen


def test_contacts_are_merged(sorted_mailbox: Stack) -> None:
    """One contact takes over another's address and deals; the mail of both follows what remains."""
    stack = sorted_mailbox
    mails = [filed(stack, sender) for sender in (MIA, EMILY)]
    merged = record(stack, "contacts", "mia", addresses=[MIA, EMILY])
    deals = [record(stack, "deals", deal, contacts=["mia"]) for deal in ("d-01", "d-03")]
    write(stack, contacts=[merged, {"id": "emily", "deleted": True}], deals=deals)
    sweep(stack)
    assert [{CLOSING}] * 2 == places(stack, *mails)


def test_address_moves_to_another_contact(sorted_mailbox: Stack) -> None:
    """Mail from an address goes where the contact belongs that has it now."""
    stack = sorted_mailbox
    mail = filed(stack, MIA)
    change_contact(stack, "mia", addresses=["mia@elsewhere.example"])
    change_contact(stack, "emily", addresses=[EMILY, MIA])
    sweep(stack)
    assert {CUSTOMERS} == place(stack, mail)


def test_address_added_to_a_contact(sorted_mailbox: Stack) -> None:
    """Mail that has come from an address before it was put on a contact is found, and filed."""
    stack = sorted_mailbox
    mail = arrive(stack, "mia@private.example")
    before = mail in notices(stack)
    change_contact(stack, "mia", addresses=[MIA, "mia@private.example"])
    sweep(stack)
    sweep(stack)
    assert (False, {CLOSING}) == (before, place(stack, mail))


def test_contact_shown_again_takes_its_mail_along(sorted_mailbox: Stack) -> None:
    """Hidden from the user, and shown again by role: the mail returns to the inbox, then goes under its label."""
    stack = sorted_mailbox
    mail, seen = filed(stack, MIA), []
    for viewers in (["ben"], ["role:sales"]):
        change_contact(stack, "mia", owner="ben", visible_to=viewers)
        sweep(stack)
        seen.append(place(stack, mail))
    assert [{"INBOX"}, {CLOSING}] == seen


def test_lost_deal_leaves_what_others_decide(sorted_mailbox: Stack) -> None:
    """Won, lost and reopened: the best of what remains decides, and at the end nothing does."""
    stack = sorted_mailbox
    mail, seen = filed(stack, MIA), []
    for state in ("lost", "open", "won"):
        change_deal(stack, "d-01", state=state)
        sweep(stack)
        seen.append(place(stack, mail))
    assert [{"INBOX"}, {CLOSING}, {CUSTOMERS}] == seen
