"""The dispatch: what changed in the directory, or with the month, is filed anew; what is due gets one task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from local import environment
from local.crm.people import BACKEND
from local.stack import Stack
from tests.integration.magnet_rig import counted, encoded, gmail_calls, notices
from tests.integration.sweep_rig import (
    CLOSING,
    CUSTOMERS,
    EMILY,
    JONAS,
    LUKAS,
    MIA,
    OPEN,
    arrive,
    call_as,
    change_contact,
    change_deal,
    filed,
    has_work,
    load_directory,
    pending_sweeps,
    place,
    places,
    record,
    start_labels,
    sweep,
    write,
)

pytestmark = pytest.mark.integration


def month_end(stack: Stack) -> datetime:
    now = stack.clock.now()
    return (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)


def to_time(stack: Stack, at: datetime) -> None:
    stack.advance((at - stack.clock.now()).total_seconds())


def renew(stack: Stack) -> None:
    """The daily round, after a time in which the watch has ended."""
    stack.run_job("magnet-renew")
    stack.catch_up(within_s=3600)


def firestore_calls(stack: Stack, mark: int) -> int:
    return len(stack.ledger.since(mark, service="firestore"))


# Deals


def test_new_deal_takes_a_contacts_mail_out_of_the_inbox(sorted_mailbox: Stack) -> None:
    """Mail looked at and left in the inbox goes under a label once its contact has a deal."""
    mail = filed(sorted_mailbox, LUKAS)
    change_deal(sorted_mailbox, "d-04", state="open")
    sweep(sorted_mailbox)
    assert {OPEN} == place(sorted_mailbox, mail)


def test_deal_moved_to_another_contact_is_followed_by_both(sorted_mailbox: Stack) -> None:
    """The mail of the contact that a deal once had is looked at too."""
    mails = [filed(sorted_mailbox, sender) for sender in (JONAS, LUKAS)]
    change_deal(sorted_mailbox, "d-02", contacts=["lukas"])
    sweep(sorted_mailbox)
    assert [{"INBOX"}, {OPEN}] == places(sorted_mailbox, *mails)


def test_reopened_and_deleted_deals_are_followed(sorted_mailbox: Stack) -> None:
    """Won, reopened, then deleted: the mail goes along each time."""
    mail = filed(sorted_mailbox, EMILY)
    seen = [place(sorted_mailbox, mail)]
    for changes in ({"state": "open"}, {"state": "won"}, {"deleted": True}):
        change_deal(sorted_mailbox, "d-03", **changes)
        sweep(sorted_mailbox)
        seen.append(place(sorted_mailbox, mail))
    assert [{CUSTOMERS}, {OPEN}, {CUSTOMERS}, {"INBOX"}] == seen


def test_deal_that_the_user_may_not_see_does_not_count(sorted_mailbox: Stack) -> None:
    """For Anna, Frank has a won deal only: Ben's open one is hidden from her, until it is shown to her."""
    mail = filed(sorted_mailbox, "frank@vogel-metall.example")
    before = place(sorted_mailbox, mail)
    change_deal(sorted_mailbox, "d-07", visible_to=["ben", "anna"])
    sweep(sorted_mailbox)
    assert [{CUSTOMERS}, {CLOSING}] == [before, place(sorted_mailbox, mail)]


def test_change_that_changes_no_category_sets_no_work(sorted_mailbox: Stack) -> None:
    """A deal's new title costs nothing at Gmail."""
    filed(sorted_mailbox, MIA)
    mark = sorted_mailbox.ledger.mark()
    change_deal(sorted_mailbox, "d-01", title="Another title")
    sweep(sorted_mailbox)
    assert [] == gmail_calls(sorted_mailbox, mark)


# Contacts


def test_deleted_contact_gives_its_mail_back(sorted_mailbox: Stack) -> None:
    """Mail filed because of a contact returns to the inbox when the contact is deleted."""
    mail = filed(sorted_mailbox, MIA)
    write(sorted_mailbox, contacts=[{"id": "mia", "deleted": True}])
    sweep(sorted_mailbox)
    assert {"INBOX"} == place(sorted_mailbox, mail)


def test_address_taken_from_a_contact_is_followed(sorted_mailbox: Stack) -> None:
    """Mail from an address that the contact no longer has returns to the inbox."""
    mail = filed(sorted_mailbox, MIA)
    change_contact(sorted_mailbox, "mia", addresses=["mia@elsewhere.example"])
    sweep(sorted_mailbox)
    assert {"INBOX"} == place(sorted_mailbox, mail)


def test_contact_hidden_from_the_user_gives_its_mail_back(sorted_mailbox: Stack) -> None:
    """Only contacts count that the user may see."""
    mail = filed(sorted_mailbox, MIA)
    change_contact(sorted_mailbox, "mia", owner="ben", visible_to=["ben"])
    sweep(sorted_mailbox)
    assert {"INBOX"} == place(sorted_mailbox, mail)


def test_union_of_two_contacts_deals_decides(sorted_mailbox: Stack) -> None:
    """Two contacts share an address: when the open deal of the one is lost, the won one of the other counts."""
    mail = filed(sorted_mailbox, "buero@hoffmann-soehne.example")
    before = place(sorted_mailbox, mail)
    change_deal(sorted_mailbox, "d-02", contacts=["jonas"])
    sweep(sorted_mailbox)
    assert [{OPEN}, {CUSTOMERS}] == [before, place(sorted_mailbox, mail)]


def test_new_contact_whose_mail_lies_in_the_inbox(sorted_mailbox: Stack) -> None:
    """Mail that came before its sender was a contact is found, noticed, and filed."""
    mail = arrive(sorted_mailbox, "nora@neu.example")
    assert mail not in notices(sorted_mailbox)
    contact = {"id": "nora", "name": "Nora Neu", "addresses": ["nora@neu.example"], "owner": "anna", "visible_to": []}
    deal = record(sorted_mailbox, "deals", "d-10", id="d-99", contacts=["nora"], visible_to=["anna"])
    write(sorted_mailbox, contacts=[contact], deals=[deal])
    sweep(sorted_mailbox)
    sweep(sorted_mailbox)
    assert {OPEN} == place(sorted_mailbox, mail)


def test_contact_without_a_new_address_is_not_searched_for(sorted_mailbox: Stack) -> None:
    """A contact that changes otherwise, and whose address is known here, costs no search."""
    filed(sorted_mailbox, MIA)
    mark = sorted_mailbox.ledger.mark()
    change_contact(sorted_mailbox, "mia", name="Mia Schneider-Lang")
    sweep(sorted_mailbox)
    assert {} == counted(gmail_calls(sorted_mailbox, mark))


# The month


def test_turn_of_the_month(sorted_mailbox: Stack) -> None:
    """In a month's first second deals closing in it come up, and those of the old one that are still open go down."""
    first = month_end(sorted_mailbox)
    to_time(sorted_mailbox, first - timedelta(days=2))
    renew(sorted_mailbox)
    closing = {"d-01": first - timedelta(days=1), "d-02": first}
    write(
        sorted_mailbox,
        deals=[record(sorted_mailbox, "deals", one, closing_date=f"{at:%Y-%m-%d}") for one, at in closing.items()],
    )
    mails = [filed(sorted_mailbox, sender) for sender in (MIA, JONAS)]
    before = places(sorted_mailbox, *mails)
    to_time(sorted_mailbox, first)
    sweep(sorted_mailbox)
    assert [[{CLOSING}, {OPEN}], [{OPEN}, {CLOSING}]] == [before, places(sorted_mailbox, *mails)]


def test_months_in_which_nothing_ran_are_made_up_for(sorted_mailbox: Stack) -> None:
    """After two months of standing still, what closed in between goes down and what closes now comes up."""
    sorted_mailbox.ask("carla", "PUT", "/oauth_callback/policy", json={"notice_retention_days": 90})
    later = (month_end(sorted_mailbox) + timedelta(days=32)).replace(day=3)
    change_deal(sorted_mailbox, "d-02", closing_date=f"{later:%Y-%m-%d}")
    mails = [filed(sorted_mailbox, sender) for sender in (MIA, JONAS)]
    to_time(sorted_mailbox, later)
    renew(sorted_mailbox)
    sweep(sorted_mailbox)
    assert [{OPEN}, {CLOSING}] == places(sorted_mailbox, *mails)


def test_organisations_time_zone_decides_on_the_month(stack: Stack) -> None:
    """At half past eleven in the evening (UTC) of a month's last day it is the next month in Berlin."""
    now = stack.clock.now()
    last = datetime(now.year + 1, 1, 31, 22, 0, tzinfo=UTC)
    to_time(stack, last)
    stack.load_directory()
    stack.ask("carla", "PUT", "/oauth_callback/policy", json={"time_zone": "Europe/Berlin"})
    start_labels(stack)
    change_deal(stack, "d-02", closing_date=f"{now.year + 1}-02-01")
    mail = filed(stack, JONAS)
    before = place(stack, mail)
    to_time(stack, last + timedelta(hours=1, minutes=1))
    sweep(stack)
    assert [{OPEN}, {CLOSING}] == [before, place(stack, mail)]


# Runs


def test_idle_dispatch_costs_the_same_whatever_there_is(sorted_mailbox: Stack) -> None:
    """With nothing changed and nothing due, a dispatch makes the same few calls to Firestore, and none to Gmail."""
    filed(sorted_mailbox, MIA)
    sweep(sorted_mailbox)

    def idle() -> int:
        mark = sorted_mailbox.ledger.mark()
        sorted_mailbox.advance(600)
        sorted_mailbox.sweep()
        assert {} == counted(gmail_calls(sorted_mailbox, mark))
        return firestore_calls(sorted_mailbox, mark)

    before = idle()
    users = [{"id": f"u{n}", "active": True, "permissions": ["mail_integration"]} for n in range(200)]
    sorted_mailbox.ask(BACKEND.id, "POST", "/mail_proxy/directory", json={"users": users})
    # Read once, and once more for the overlap.
    sweep(sorted_mailbox)
    sweep(sorted_mailbox)
    assert before == idle()


def test_dispatch_twice_leaves_one_task(sorted_mailbox: Stack) -> None:
    """Two dispatches in the same ten minutes leave one task for the same work, and another for new work."""
    arrive(sorted_mailbox, MIA)
    sorted_mailbox.google.tasks.pause()
    counts = []
    for _ in range(2):
        assert 204 == call_as(sorted_mailbox, environment.SCHEDULER, "/")
        counts.append(pending_sweeps(sorted_mailbox))
    sorted_mailbox.google.tasks.resume()
    sorted_mailbox.settle()
    assert [1, 1] == counts


def test_users_without_labels_get_no_work(stack: Stack) -> None:
    """For a user with MailMagnet alone, changes of deals set no work."""
    load_directory(stack)
    stack.connect("anna")
    stack.switch_on("anna", mailmagnet=True)
    stack.catch_up(within_s=300)
    mail = filed(stack, MIA)
    change_deal(stack, "d-01", state="won")
    sweep(stack)
    assert ({"INBOX"}, False) == (place(stack, mail), has_work(stack))


def test_each_user_is_judged_by_what_that_user_sees(sorted_mailbox: Stack) -> None:
    """The same sender lies under another label for Ben, who sees another deal."""
    start_labels(sorted_mailbox, "ben")
    frank = "frank@vogel-metall.example"
    theirs = {user: sorted_mailbox.mail(user, frank) for user in ("anna", "ben")}
    sorted_mailbox.settle()
    sweep(sorted_mailbox)
    assert CUSTOMERS in sorted_mailbox.labels_of("anna", theirs["anna"])
    assert CLOSING in sorted_mailbox.labels_of("ben", theirs["ben"])
    assert f"work/{encoded('ben')}" not in sorted_mailbox.documents()
