"""Labels that are turned on and off, and what Gmail refuses to make, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from local.faults import Fault
from local.stack import Stack
from tests.integration.magnet_rig import counted, gmail_calls, unpushed
from tests.integration.sweep_rig import (
    CLOSING,
    CUSTOMERS,
    EMILY,
    JONAS,
    MIA,
    OPEN,
    OURS,
    arrive,
    calls_of_sweep,
    change_deal,
    connection,
    filed,
    hand,
    has_work,
    label_id,
    load_directory,
    modifies,
    place,
    places,
    state,
    sweep,
    sweeps,
    while_calling,
    write,
)

pytestmark = pytest.mark.integration


def patch(stack: Stack, **changes: Any) -> None:
    stack.ask("anna", "PATCH", "/oauth_callback/connection", json=changes)


def off(stack: Stack) -> None:
    """Labels are turned off, and what follows from that is done."""
    patch(stack, labels=False)
    stack.catch_up(within_s=120)


def on(stack: Stack) -> None:
    """Labels are turned on, and the sweep that follows is done."""
    stack.switch_on("anna", mailmagnet=True, labels=True)
    stack.catch_up(within_s=60)
    sweep(stack)


def shown(stack: Stack) -> dict[str, Any]:
    answer: dict[str, Any] = stack.ask("anna", "GET", "/oauth_callback/connection")
    return answer


def active(stack: Stack, *, is_active: bool = True, role: str = "") -> None:
    """What the CRM's back end writes about Anna."""
    anna = stack.people["anna"]
    told = {"id": "anna", "active": is_active, "role": role or anna.role, "permissions": list(anna.permissions)}
    write(stack, users=[told])


# What Gmail refuses to make


def test_refused_label_is_told_until_it_is_made(stack: Stack) -> None:
    """While Gmail takes no more labels, the connection's health says so and what to do; then mail is filed."""
    load_directory(stack)
    stack.connect("anna")
    stack.faults.inject(Fault("gmail", "users.labels.create", status=400, count=1000))
    stack.switch_on("anna", mailmagnet=True, labels=True)
    stack.catch_up(within_s=300)
    mail = filed(stack, MIA)
    refused = shown(stack)

    assert ("degraded", "labels-refused") == (refused["health"]["word"], refused["health"]["reason"])
    assert ("failing", "label-refused") == (refused["labels"]["state"], refused["labels"]["reason"])
    assert 3 == len(refused["labels"]["refused"])
    assert "delete labels" in refused["health"]["advice"]
    assert {"INBOX"} == place(stack, mail)

    stack.faults.clear()
    sweep(stack)

    healed = shown(stack)
    assert ("healthy", "on", "") == (healed["health"]["word"], healed["labels"]["state"], healed["labels"]["reason"])
    assert {CLOSING} == place(stack, mail)


def rename(stack: Stack, before: str, after: str) -> None:
    stack.google.gmail.person_renames_label(stack.people["anna"].email, label_id(stack, before), after)


def refuse_one(stack: Stack) -> None:
    """The user deletes the label for open deals, and gives both of its names to our two others."""
    stack.google.gmail.person_deletes_label(stack.people["anna"].email, label_id(stack, OPEN))
    rename(stack, CLOSING, OPEN)
    rename(stack, CUSTOMERS, f"{OPEN} (CRM)")
    stack.settle()


def test_one_refused_label_leaves_the_others_at_work(sorted_mailbox: Stack) -> None:
    """Mail for two labels is filed while Gmail makes no third; health names it, and its mail waits in the inbox."""
    stack = sorted_mailbox
    refuse_one(stack)
    mails = [filed(stack, sender) for sender in (MIA, JONAS, EMILY)]
    seen = [stack.labels_of("anna", mail) - {"UNREAD"} for mail in mails]
    told, preview = shown(stack), stack.ask("anna", "GET", "/mail_proxy/sweep/preview")
    why = stack.ask("anna", "GET", f"/mail_proxy/messages/{mails[1]}/category")

    assert [{OPEN}, {"INBOX"}, {f"{OPEN} (CRM)"}] == seen
    assert ("failing", ["open_deals"]) == (told["labels"]["state"], told["labels"]["refused"])
    assert ("labels-refused", True) == (told["health"]["reason"], f"“{OPEN}”" in told["health"]["advice"])
    assert ([], "label-refused") == (preview["moves"], why["reason"])

    stack.google.gmail.person_renames_label(
        stack.people["anna"].email, connection(stack)["label_ids"]["customers"], "X"
    )
    sweep(stack)

    assert {f"{OPEN} (CRM)"} == stack.labels_of("anna", mails[1]) - {"UNREAD"}
    assert ("healthy", False) == (shown(stack)["health"]["word"], has_work(stack))


def test_mail_that_waits_for_a_refused_label_moves_nothing_else_again(sorted_mailbox: Stack) -> None:
    """While its label is refused, each sweep asks for it anew and moves nothing; whose deal changes is followed."""
    stack = sorted_mailbox
    mail = filed(stack, MIA)
    refuse_one(stack)
    change_deal(stack, "d-01", state="lost")
    filed(stack, JONAS)
    assert {"INBOX"} == place(stack, mail) - {OPEN}

    calls = calls_of_sweep(stack)

    assert (0, 1) == (modifies(calls), counted(calls)["history.list"])


def test_label_that_goes_and_is_refused_in_the_middle_of_a_sweep(sorted_mailbox: Stack) -> None:
    """What was about to go there stays, goes elsewhere when its deal does, and no hand is seen in it."""
    stack = sorted_mailbox
    mails = [arrive(stack, sender) for sender in (MIA, JONAS)]
    with while_calling(stack, "users.messages.batchModify", lambda: refuse_one(stack)):
        sweep(stack)
    seen = [stack.labels_of("anna", mail) - {"UNREAD"} for mail in mails]
    change_deal(stack, "d-02", state="won")
    sweep(stack)

    assert [{OPEN}, {"INBOX"}] == seen
    assert ({f"{OPEN} (CRM)"}, "customers", False) == (
        stack.labels_of("anna", mails[1]) - {"UNREAD"},
        *state(stack, mails[1])[::2],
    )


def test_what_was_filed_under_a_label_that_is_refused_now_cannot_be_undone(sorted_mailbox: Stack) -> None:
    """An undo that would put mail back under it does nothing, and says why."""
    stack = sorted_mailbox
    mail = filed(stack, JONAS)
    change_deal(stack, "d-02", state="won")
    sweep(stack)
    last = sweeps(stack)[0]["id"]
    refuse_one(stack)
    answer = stack.call("anna", "POST", f"/mail_proxy/sweeps/{last}/undo")

    assert (400, "label-refused") == (answer.status_code, answer.json()["code"])
    assert {f"{OPEN} (CRM)"} == stack.labels_of("anna", mail) - {"UNREAD"}


def test_labels_turned_off_are_no_trouble(stack: Stack) -> None:
    """What Gmail refused is forgotten with the labels."""
    load_directory(stack)
    stack.connect("anna")
    stack.faults.inject(Fault("gmail", "users.labels.create", status=400, count=1000))
    stack.switch_on("anna", mailmagnet=True, labels=True)
    stack.catch_up(within_s=60)
    off(stack)

    assert ("healthy", "off") == (shown(stack)["health"]["word"], shown(stack)["labels"]["state"])


# Users that change


def test_mail_of_who_comes_back_follows_at_once(sorted_mailbox: Stack) -> None:
    """What deals did while a user was inactive, and mail that came meanwhile, is filed by the next sweep, unpushed."""
    mail = filed(sorted_mailbox, MIA)
    active(sorted_mailbox, is_active=False)
    change_deal(sorted_mailbox, "d-01", state="won")
    later = filed(sorted_mailbox, JONAS)
    assert [{CLOSING}, {"INBOX"}] == places(sorted_mailbox, mail, later)
    active(sorted_mailbox, is_active=True)
    sweep(sorted_mailbox)

    assert [{CUSTOMERS}, {OPEN}] == places(sorted_mailbox, mail, later)


def test_mail_follows_what_the_user_may_see(sorted_mailbox: Stack) -> None:
    """A user whose role changes to one that does not see a deal finds its mail back in the inbox."""
    mail = filed(sorted_mailbox, MIA)
    change_deal(sorted_mailbox, "d-01", owner="ben", visible_to=["role:sales"])
    active(sorted_mailbox, role="sales")
    sweep(sorted_mailbox)
    assert {CLOSING} == place(sorted_mailbox, mail)
    active(sorted_mailbox, role="support")
    sweep(sorted_mailbox)

    assert {"INBOX"} == place(sorted_mailbox, mail)


def test_users_that_do_not_change_cost_nothing(sorted_mailbox: Stack) -> None:
    """Once read, changed users are not read again: an idle dispatch leaves no task and asks Gmail nothing."""
    active(sorted_mailbox, role="support")
    sweep(sorted_mailbox)
    sweep(sorted_mailbox)
    mark = sorted_mailbox.ledger.mark()
    sweep(sorted_mailbox)

    assert [] == sorted_mailbox.ledger.since(mark, service="cloudtasks")
    assert [] == gmail_calls(sorted_mailbox, mark)


# Off


def test_off_leaves_filed_mail_where_it_is(sorted_mailbox: Stack) -> None:
    """Turned off, labels and what lies under them stay, new mail stays in the inbox, a changed deal moves nothing."""
    mail = filed(sorted_mailbox, MIA)
    off(sorted_mailbox)
    change_deal(sorted_mailbox, "d-01", state="won")
    later = filed(sorted_mailbox, JONAS)

    assert [{CLOSING}, {"INBOX"}] == places(sorted_mailbox, mail, later)
    assert OURS <= sorted_mailbox.label_names("anna")
    assert not has_work(sorted_mailbox)


def test_on_again_goes_on_from_there(sorted_mailbox: Stack) -> None:
    """Turned on again, mail follows what its deals did meanwhile, what came meanwhile is filed, and hands stay."""
    mail, moved = (filed(sorted_mailbox, MIA) for _ in range(2))
    off(sorted_mailbox)
    later = arrive(sorted_mailbox, JONAS)
    hand(sorted_mailbox, moved, add=["INBOX"], remove=[CLOSING])
    change_deal(sorted_mailbox, "d-01", state="won")
    on(sorted_mailbox)

    assert [{CUSTOMERS}, {"INBOX"}, {OPEN}] == places(sorted_mailbox, mail, moved, later)
    assert [False, True, False] == [state(sorted_mailbox, one)[2] for one in (mail, moved, later)]


def test_off_in_the_middle_of_a_sweep_stops_it(sorted_mailbox: Stack) -> None:
    """Labels turned off while a sweep reads the history: nothing is moved any more, nothing stays begun or pinned."""
    mail = arrive(sorted_mailbox, MIA)
    mark = sorted_mailbox.ledger.mark()
    with while_calling(sorted_mailbox, "users.history.list", lambda: patch(sorted_mailbox, labels=False)):
        sweep(sorted_mailbox)
    sorted_mailbox.catch_up(within_s=120)

    assert 0 == modifies(gmail_calls(sorted_mailbox, mark))
    assert ({"INBOX"}, ("", "", False)) == (place(sorted_mailbox, mail), state(sorted_mailbox, mail))


def test_magnet_off_in_the_middle_of_a_sweep_stops_it(sorted_mailbox: Stack) -> None:
    """MailMagnet turned off while a sweep reads the history: nothing is moved any more, and nothing stays held."""
    mail = arrive(sorted_mailbox, MIA)
    with while_calling(sorted_mailbox, "users.history.list", lambda: patch(sorted_mailbox, mailmagnet=False)):
        sweep(sorted_mailbox)
    sorted_mailbox.catch_up(within_s=120)

    assert {"INBOX"} == place(sorted_mailbox, mail)
    assert [] == [path for path in sorted_mailbox.documents() if "/notices/" in path or path.startswith("work/")]


def test_off_before_the_echo_takes_no_step_of_ours_for_a_hand(sorted_mailbox: Stack) -> None:
    """A step whose echo was not read when labels went off is settled: on again, its mail follows its deals."""
    mail = arrive(sorted_mailbox, MIA)
    with unpushed(sorted_mailbox):
        sorted_mailbox.advance(600)
        sorted_mailbox.sweep()
        off(sorted_mailbox)
    assert ("closing_this_month", "", False) == state(sorted_mailbox, mail)
    change_deal(sorted_mailbox, "d-01", state="won")
    on(sorted_mailbox)

    assert {CUSTOMERS} == place(sorted_mailbox, mail)


def test_sweep_can_be_undone_after_labels_went_off(sorted_mailbox: Stack) -> None:
    """Who turns labels off because of what the last sweep did can still take that back."""
    mail = filed(sorted_mailbox, MIA)
    off(sorted_mailbox)
    (done,) = sweeps(sorted_mailbox)
    sorted_mailbox.ask("anna", "POST", f"/mail_proxy/sweeps/{done['id']}/undo")

    assert {"INBOX"} == place(sorted_mailbox, mail)
