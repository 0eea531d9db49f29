"""What users see and do about sweeps: preview, the list, undo, the release of a pin, and why a mail is where it is."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from local.faults import Fault
from local.ledger import units
from local.stack import Stack
from tests.integration.magnet_rig import counted, gmail_calls, notices
from tests.integration.sweep_rig import (
    CLOSING,
    CUSTOMERS,
    EMILY,
    JONAS,
    LUKAS,
    MIA,
    OPEN,
    arrive,
    change_deal,
    filed,
    hand,
    label_id,
    load_directory,
    place,
    places,
    send_task,
    start_labels,
    state,
    sweep,
    sweeps,
    while_modifying,
)

pytestmark = pytest.mark.integration


def preview(stack: Stack) -> Any:
    return stack.ask("anna", "GET", "/mail_proxy/sweep/preview")


def undo(stack: Stack, sweep_id: str) -> Any:
    answer = stack.ask("anna", "POST", f"/mail_proxy/sweeps/{sweep_id}/undo")
    stack.advance(2)
    stack.settle()
    return answer


def release(stack: Stack, mail_id: str) -> int:
    return stack.call("anna", "DELETE", f"/mail_proxy/messages/{mail_id}/pin").status_code


def why(stack: Stack, mail_id: str) -> Any:
    return stack.ask("anna", "GET", f"/mail_proxy/messages/{mail_id}/category")


# Preview


def test_preview_is_what_the_sweep_then_does(sorted_mailbox: Stack) -> None:
    """New mail, and mail that follows a won deal, are shown before they move, for two units."""
    old = filed(sorted_mailbox, MIA)
    new = [arrive(sorted_mailbox, sender) for sender in (JONAS, LUKAS)]
    change_deal(sorted_mailbox, "d-01", state="won")
    mark = sorted_mailbox.ledger.mark()
    shown = preview(sorted_mailbox)
    assert 2 == units(gmail_calls(sorted_mailbox, mark))
    sweep(sorted_mailbox)

    assert {"customers": 1, "open_deals": 1} == shown["counts"]
    done = [move for one in sweeps(sorted_mailbox)[:-1] for move in one["moves"]]
    assert sorted(shown["moves"], key=str) == sorted(done, key=str)
    assert [{CUSTOMERS}, {OPEN}, {"INBOX"}] == places(sorted_mailbox, old, *new)
    assert [] == preview(sorted_mailbox)["moves"]


def test_preview_without_labels_is_refused(stack: Stack) -> None:
    """Where labels are off, there is nothing to preview."""
    load_directory(stack)
    stack.connect("anna")
    response = stack.call("anna", "GET", "/mail_proxy/sweep/preview")
    assert (409, "labels-off") == (response.status_code, response.json()["code"])


# Undo


def test_undo_restores_and_pins(sorted_mailbox: Stack) -> None:
    """Each mail of the sweep goes back to where it was, and stays there whatever its deals do."""
    mails = [arrive(sorted_mailbox, sender) for sender in (MIA, JONAS, EMILY)]
    sweep(sorted_mailbox)
    (done,) = sweeps(sorted_mailbox)
    assert {"restored": 3, "kept": 0} == undo(sorted_mailbox, done["id"])
    change_deal(sorted_mailbox, "d-01", state="won")
    sweep(sorted_mailbox)

    assert [{"INBOX"}] * 3 == places(sorted_mailbox, *mails)
    assert [("none", "", True)] * 3 == [state(sorted_mailbox, mail) for mail in mails]
    assert sweeps(sorted_mailbox)[0]["undone_at"] is not None


def test_undo_of_following_goes_back_to_the_former_label(sorted_mailbox: Stack) -> None:
    """Undoing the sweep that followed a won deal puts the mail under the label that it had."""
    mail = filed(sorted_mailbox, MIA)
    change_deal(sorted_mailbox, "d-01", state="won")
    sweep(sorted_mailbox)
    undo(sorted_mailbox, sweeps(sorted_mailbox)[0]["id"])
    assert ({CLOSING}, ("closing_this_month", "", True)) == (place(sorted_mailbox, mail), state(sorted_mailbox, mail))


def test_undo_leaves_what_a_hand_has_moved(sorted_mailbox: Stack) -> None:
    """A mail moved by hand since stays where the hand put it; the others go back."""
    moved, other = (arrive(sorted_mailbox, MIA) for _ in range(2))
    sweep(sorted_mailbox)
    hand(sorted_mailbox, moved, add=[OPEN], remove=[CLOSING])
    assert {"restored": 1, "kept": 1} == undo(sorted_mailbox, sweeps(sorted_mailbox)[0]["id"])
    assert [{OPEN}, {"INBOX"}] == places(sorted_mailbox, moved, other)


def test_undo_twice_does_nothing_more(sorted_mailbox: Stack) -> None:
    """The second undo gives the same answer and moves nothing."""
    filed(sorted_mailbox, MIA)
    (done,) = sweeps(sorted_mailbox)
    first = undo(sorted_mailbox, done["id"])
    mark = sorted_mailbox.ledger.mark()
    second = undo(sorted_mailbox, done["id"])
    assert ({"restored": 1, "kept": 0}, {"history.list": 1}) == (first, counted(gmail_calls(sorted_mailbox, mark)))
    assert first == second


def test_undo_that_fails_can_be_repeated(sorted_mailbox: Stack) -> None:
    """An undo whose answer from Gmail was lost is completed by the next one."""
    mail = filed(sorted_mailbox, MIA)
    (done,) = sweeps(sorted_mailbox)
    sorted_mailbox.faults.inject(Fault("gmail", "users.messages.batchModify", drop_answer=True))
    assert 503 == sorted_mailbox.call("anna", "POST", f"/mail_proxy/sweeps/{done['id']}/undo").status_code
    assert {"restored": 1, "kept": 0} == undo(sorted_mailbox, done["id"])
    assert ({"INBOX"}, ("none", "", True)) == (place(sorted_mailbox, mail), state(sorted_mailbox, mail))


def test_undo_of_an_unknown_sweep_is_not_found(sorted_mailbox: Stack) -> None:
    """A sweep of nobody, or of another user, is not found."""
    filed(sorted_mailbox, MIA)
    (done,) = sweeps(sorted_mailbox)
    start_labels(sorted_mailbox, "ben")
    for user, sweep_id in (("anna", "unknown"), ("ben", done["id"])):
        assert 404 == sorted_mailbox.call(user, "POST", f"/mail_proxy/sweeps/{sweep_id}/undo").status_code


def test_hand_during_an_undo_wins(sorted_mailbox: Stack) -> None:
    """A mail that a hand moves while an undo is at work stays where the hand put it, and the undo says so."""
    mail = filed(sorted_mailbox, MIA)
    (done,) = sweeps(sorted_mailbox)
    ids = [label_id(sorted_mailbox, name) for name in (OPEN, CLOSING)]
    address = sorted_mailbox.people["anna"].email

    def move() -> None:
        sorted_mailbox.google.gmail.person_moves(address, mail, add=ids[:1], remove=ids[1:])

    with while_modifying(sorted_mailbox, move):
        assert {"restored": 0, "kept": 1} == undo(sorted_mailbox, done["id"])
    sweep(sorted_mailbox)
    assert ({OPEN}, True) == (place(sorted_mailbox, mail), state(sorted_mailbox, mail)[2])


# Sweeps at once


def test_another_sweep_does_not_forget_a_step_under_way(sorted_mailbox: Stack) -> None:
    """A hand before the step of a slow sweep gets its way, though another sweep looks at the mail in between."""
    mail = arrive(sorted_mailbox, MIA)
    address = sorted_mailbox.people["anna"].email
    customers = label_id(sorted_mailbox, CUSTOMERS)

    def move_and_sweep() -> None:
        sorted_mailbox.google.gmail.person_moves(address, mail, add=[customers], remove=["INBOX"])
        send_task(sorted_mailbox, kind="sweep")

    with while_modifying(sorted_mailbox, move_and_sweep, delay_s=4.0):
        sweep(sorted_mailbox)
    sorted_mailbox.catch_up(within_s=600)
    sweep(sorted_mailbox)

    assert ({CUSTOMERS}, ("", True)) == (place(sorted_mailbox, mail), state(sorted_mailbox, mail)[1:])


def test_a_step_is_made_by_one_sweep_alone(sorted_mailbox: Stack) -> None:
    """While a sweep has its step under way no other makes it: that could come after a hand which has been put right."""
    mail = arrive(sorted_mailbox, MIA)
    address = sorted_mailbox.people["anna"].email
    customers = label_id(sorted_mailbox, CUSTOMERS)
    another = threading.Thread(target=lambda: send_task(sorted_mailbox, kind="sweep"))

    def sweep_and_move() -> None:
        late = sorted_mailbox.faults.inject(Fault("gmail", "users.messages.batchModify", delay_s=4.0))
        another.start()
        while another.is_alive() and not late.struck:
            time.sleep(0.01)
        sorted_mailbox.google.gmail.person_moves(address, mail, add=[customers], remove=["INBOX"])

    with while_modifying(sorted_mailbox, sweep_and_move, delay_s=2.0):
        sweep(sorted_mailbox)
    another.join()
    sorted_mailbox.faults.clear()
    sorted_mailbox.catch_up(within_s=600)
    sweep(sorted_mailbox)

    assert ({CUSTOMERS}, ("", True)) == (place(sorted_mailbox, mail), state(sorted_mailbox, mail)[1:])


# Pins


def test_released_pin_lets_the_sweep_have_the_mail(sorted_mailbox: Stack) -> None:
    """A mail moved back to the inbox by hand is filed again after its pin was released."""
    mail = filed(sorted_mailbox, MIA)
    hand(sorted_mailbox, mail, add=["INBOX"], remove=[CLOSING])
    assert 204 == release(sorted_mailbox, mail)
    sweep(sorted_mailbox)
    assert ({CLOSING}, False) == (place(sorted_mailbox, mail), state(sorted_mailbox, mail)[2])


def test_pin_released_right_after_the_hand_stays_released(sorted_mailbox: Stack) -> None:
    """What the hand did is read before the release, so that it does not pin again."""
    mail = filed(sorted_mailbox, MIA)
    hand(sorted_mailbox, mail, add=[OPEN], remove=[CLOSING])
    address = sorted_mailbox.people["anna"].email
    sorted_mailbox.google.gmail.person_moves(address, mail, remove=[label_id(sorted_mailbox, OPEN)])
    assert 204 == release(sorted_mailbox, mail)
    sweep(sorted_mailbox)
    assert ({CLOSING}, False) == (place(sorted_mailbox, mail), state(sorted_mailbox, mail)[2])


def test_pin_of_an_unknown_or_thrown_away_mail_is_not_released(sorted_mailbox: Stack) -> None:
    """Without a notice there is no pin; mail in the trash stays there."""
    mail = filed(sorted_mailbox, MIA)
    hand(sorted_mailbox, mail, add=["TRASH"])
    assert [404, 409] == [release(sorted_mailbox, "1234567890abcdef"), release(sorted_mailbox, mail)]
    assert notices(sorted_mailbox)[mail]["pinned"] is True


# Why


def test_filed_mail_is_explained(sorted_mailbox: Stack) -> None:
    """Contact, deals, rule and sweep are named, in one sentence in each language and as data, for no unit."""
    mail = filed(sorted_mailbox, MIA)
    mark = sorted_mailbox.ledger.mark()
    told = why(sorted_mailbox, mail)
    assert [] == gmail_calls(sorted_mailbox, mark)
    assert ("closing-this-month", "closing_this_month") == (told["reason"], told["place"])
    assert [{"id": "mia", "name": "Mia Schneider"}] == told["contacts"]
    assert [("d-01", True)] == [(deal["id"], deal["decides"]) for deal in told["deals"]]
    assert sweeps(sorted_mailbox)[0]["id"] == told["sweep"]["id"]
    expected = (
        'It is under "Closing This Month (CTM)" because Mia Schneider has an open deal that closes this month: '
        "Rahmenvertrag Büroausstattung."
    )
    assert expected == told["text"]["en"]
    assert "Mia Schneider" in told["text"]["de"]


def test_reasons_why_not(sorted_mailbox: Stack) -> None:
    """Each mail that is not under a label is told why."""
    address = sorted_mailbox.people["anna"].email
    sent = sorted_mailbox.google.gmail.deliver(b"From: x@y.example\r\n\r\nx", to=address, labels=("SENT",))
    mails = {
        "no-deals": filed(sorted_mailbox, LUKAS),
        "unverified": filed(sorted_mailbox, MIA, auth="mx.google.com; dmarc=fail"),
        "kept-out-by-filter": filed(sorted_mailbox, MIA, labels=("UNREAD",)),
        "not-a-contact": filed(sorted_mailbox, "rita@elsewhere.example"),
        "not-incoming": sent[address],
        "moved-by-hand": filed(sorted_mailbox, JONAS),
    }
    hand(sorted_mailbox, mails["moved-by-hand"], add=["INBOX"], remove=[OPEN])
    mails["undone"] = filed(sorted_mailbox, EMILY)
    undo(sorted_mailbox, sweeps(sorted_mailbox)[0]["id"])

    told = {wanted: why(sorted_mailbox, mail) for wanted, mail in mails.items()}

    assert {wanted: wanted for wanted in mails} == {wanted: one["reason"] for wanted, one in told.items()}
    assert all(one["text"]["de"] and one["text"]["en"] for one in told.values())


def test_mail_that_waits_for_the_sweep_is_told_so(sorted_mailbox: Stack) -> None:
    """Between its arrival and the next sweep a mail waits."""
    assert "waiting" == why(sorted_mailbox, arrive(sorted_mailbox, MIA))["reason"]


def test_unknown_mail_is_not_explained(sorted_mailbox: Stack) -> None:
    """A mail that is not in the mailbox is not found."""
    response = sorted_mailbox.call("anna", "GET", "/mail_proxy/messages/1234567890abcdef/category")
    assert 404 == response.status_code
