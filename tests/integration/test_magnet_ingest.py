"""magnet_ingest: what a push leaves, what it must not leave, and what happens when Gmail fails on the way."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest

from local import environment
from local.crm.people import ANNA
from local.faults import Fault
from local.ledger import units
from local.stack import Stack
from tests.integration.magnet_rig import (
    JONAS,
    MIA,
    STRANGER,
    call_as,
    counted,
    deliver_all,
    generation,
    gmail_calls,
    held,
    notices,
    pubsub,
    push,
    send_task,
    sync,
    unpushed,
)

pytestmark = pytest.mark.integration


def fail(stack: Stack, method: str, *, status: int = 503, **more: object) -> Fault:
    fault = Fault("gmail", f"users.{method}", status=status, **more)  # type: ignore[arg-type]
    return stack.faults.inject(fault)


# What a push leaves


def test_pushed_mail_of_a_contact_is_noticed(magnet: Stack) -> None:
    """A mail from a contact becomes a notice with its id, From address, time and our own state, for 22 units."""
    mark = magnet.ledger.mark()
    mail_id = magnet.mail("anna", f"Mia <{MIA.upper()}>", "Secret subject")
    magnet.settle()

    (notice,) = notices(magnet).values()
    received_at, expires_at = notice.pop("received_at"), notice.pop("expires_at")
    assert {
        "mail_id": mail_id,
        "from_address": MIA,
        "mailbox_key": sync(magnet)["mailbox_key"],
        "filed": "",
        "intent": "",
        "begun_at": None,
        "pinned": False,
        "seen": False,
        "unverified": False,
    } == notice
    assert timedelta(days=30) == timedelta(days=round((expires_at - received_at) / timedelta(days=1)))
    calls = gmail_calls(magnet, mark)
    assert ({"history.list": 1, "messages.get": 1}, 22) == (counted(calls), units(calls))


def test_old_push_costs_nothing(magnet: Stack) -> None:
    """A push that is not newer than the cursor makes no call and writes nothing."""
    magnet.mail("anna", MIA)
    magnet.settle()
    before, mark = magnet.documents(), magnet.ledger.mark()

    pubsub(magnet).redeliver(pubsub(magnet).messages(environment.TOPIC)[-1].message_id, times=3)
    magnet.settle()

    assert (before, []) == (magnet.documents(), gmail_calls(magnet, mark))


def test_cursor_comes_from_history_alone(magnet: Stack) -> None:
    """A push with an invented history id far ahead moves the cursor no further than history goes."""
    before = int(sync(magnet)["cursor"])
    push(magnet, json.dumps({"emailAddress": ANNA.email, "historyId": 2**63}).encode())
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()

    assert [mail_id] == list(notices(magnet))
    assert before < int(sync(magnet)["cursor"]) < 2**63


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no json",
        b'{"emailAddress": 1, "historyId": "x"}',
        b'{"emailAddress": "anna@demo-crm.example", "historyId": -1}',
        b'{"emailAddress": "nobody@elsewhere.example", "historyId": 99999999}',
        b'{"emailAddress": "' + b"a" * 5000 + b'@x.example", "historyId": 5}',
    ],
)
def test_poison_push_is_acknowledged(magnet: Stack, data: bytes) -> None:
    """A push that nobody can use is acknowledged at once, without a call to Gmail."""
    mark = magnet.ledger.mark()
    push(magnet, data)

    assert [] == gmail_calls(magnet, mark)
    assert [204] == [call.status for call in magnet.ledger.since(mark, service="pubsub") if call.method == "push"]


def test_push_in_base64url_is_read(magnet: Stack) -> None:
    """Pub/Sub's data is taken in base64url without padding too."""
    with unpushed(magnet):
        mail_id = magnet.mail("anna", MIA)
        told = json.dumps({"emailAddress": ANNA.email, "historyId": 2**40, "x": "???>>>"}).encode()
        data = base64.urlsafe_b64encode(told).rstrip(b"=").decode()
        assert 204 == call_as(magnet, environment.PUSH, "/", {"message": {"data": data}})
        assert [mail_id] == list(notices(magnet))


@pytest.mark.parametrize("account", [environment.TASKS, environment.SCHEDULER])
def test_push_route_takes_pubsub_alone(magnet: Stack, account: str) -> None:
    """The push route refuses every service account but Pub/Sub's."""
    assert 401 == call_as(magnet, account, "/", {"message": {"data": ""}})


def test_task_route_refuses_pubsub(magnet: Stack) -> None:
    """The route of tasks refuses Pub/Sub's service account."""
    assert 401 == call_as(magnet, environment.PUSH, "/users/YW5uYQ", {"kind": "drain", "user": "anna"})


# Which mail is noticed


def test_only_contacts_are_noticed(magnet: Stack) -> None:
    """Strangers, newsletters, colleagues and contacts that the user may not see leave no notice."""
    with unpushed(magnet):
        deliver_all(magnet, STRANGER, "news@shop.example", "ben@demo-crm.example", "william@taylor-partners.example")
        (mail_id,) = deliver_all(magnet, MIA)

    assert [mail_id] == list(notices(magnet))


@pytest.mark.parametrize(
    "sender",
    [
        f"{MIA}, {STRANGER}",
        f'"{MIA}" <{STRANGER}>',
        f"{STRANGER} ({MIA})",
        f"Team: {MIA}, {STRANGER};",
        "mia@customer.example.evil.example",
        "nobody",
    ],
)
def test_trick_in_from_names_nobody(magnet: Stack, sender: str) -> None:
    """A From with several addresses, or a contact's address in a name or comment, is no contact's."""
    deliver_all(magnet, sender)
    magnet.settle()

    assert {} == notices(magnet)


def test_mail_without_from_is_passed(magnet: Stack) -> None:
    """A mail without headers is passed, and the next one noticed."""
    magnet.deliver(b"\r\nno headers at all\r\n", to=ANNA.email)
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()

    assert [mail_id] == list(notices(magnet))


def test_unauthenticated_mail_is_marked(magnet: Stack) -> None:
    """A mail that Gmail could not authenticate gets a notice that says so."""
    mail_id = magnet.mail("anna", MIA, auth="fail")
    magnet.settle()

    assert {mail_id: True} == {name: one["unverified"] for name, one in notices(magnet).items()}


def test_mail_kept_out_of_the_inbox_is_noticed_outside(magnet: Stack) -> None:
    """A mail that a filter kept out of the inbox gets a notice that says so."""
    mail_id = magnet.mail("anna", MIA, labels=["UNREAD"])
    magnet.settle()

    assert {mail_id: "outside"} == {name: one["filed"] for name, one in notices(magnet).items()}


@pytest.mark.parametrize("label", ["SPAM", "TRASH"])
def test_mail_taken_back_is_noticed_then(magnet: Stack, label: str) -> None:
    """A mail in spam or trash is not noticed until it is taken back; the next drain sees it, whatever it was for."""
    mail_id = magnet.mail("anna", MIA, labels=[label])
    magnet.mail("anna", STRANGER)
    magnet.settle()
    before = notices(magnet)
    magnet.google.gmail.person_moves(ANNA.email, mail_id, add=["INBOX"], remove=[label])
    magnet.mail("anna", STRANGER)
    magnet.settle()

    assert ({}, [(mail_id, False)]) == (before, [(name, one["pinned"]) for name, one in notices(magnet).items()])


@pytest.mark.parametrize("label", ["SENT", "DRAFT"])
def test_own_mail_is_not_read(magnet: Stack, label: str) -> None:
    """What the history shows as sent or a draft is dropped without a get."""
    mark = magnet.ledger.mark()
    with unpushed(magnet):
        magnet.mail("anna", MIA, labels=[label])
        (mail_id,) = deliver_all(magnet, MIA)

    assert [mail_id] == list(notices(magnet))
    assert {"history.list": 1, "messages.get": 1} == counted(gmail_calls(magnet, mark))


def test_mail_that_is_gone_is_passed(magnet: Stack) -> None:
    """A mail deleted before it could be read does not hold the others."""
    with unpushed(magnet):
        gone, kept = deliver_all(magnet, MIA, JONAS)
        magnet.google.gmail.person_deletes(ANNA.email, gone)

    assert [kept] == list(notices(magnet))


def test_mail_archived_by_hand_is_pinned(magnet: Stack) -> None:
    """A mail that the user archives after its notice is pinned: no sweep will move it."""
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()
    magnet.advance(2)
    magnet.google.gmail.person_moves(ANNA.email, mail_id, remove=["INBOX"])
    magnet.settle()

    assert {mail_id: True} == {name: one["pinned"] for name, one in notices(magnet).items()}


def test_mail_moved_by_hand_before_its_notice_is_pinned(magnet: Stack) -> None:
    """A mail that was archived and taken back before it was noticed stays where the hand had put it."""
    with unpushed(magnet):
        (mail_id,) = deliver_all(magnet, MIA)
        magnet.google.gmail.person_moves(ANNA.email, mail_id, remove=["INBOX"])
        magnet.google.gmail.person_moves(ANNA.email, mail_id, add=["INBOX"])

    assert {mail_id: ("", True)} == {name: (one["filed"], one["pinned"]) for name, one in notices(magnet).items()}


def test_deleted_mail_loses_its_notice(magnet: Stack) -> None:
    """A mail deleted for good takes its notice along."""
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()
    magnet.advance(2)
    magnet.google.gmail.person_deletes(ANNA.email, mail_id)
    magnet.mail("anna", STRANGER)
    magnet.settle()

    assert {} == notices(magnet)


def test_sender_is_kept_with_its_contacts(magnet: Stack) -> None:
    """Two contacts of one address stand in one sender record, with the time of the latest mail."""
    magnet.mail("anna", "buero@hoffmann-soehne.example")
    magnet.mail("anna", "buero@hoffmann-soehne.example")
    magnet.settle()

    (sender,) = [record for path, record in magnet.documents().items() if "/senders/" in path]
    latest = max(notice["received_at"] for notice in notices(magnet).values())
    assert (["greta", "karl"], "", latest) == (sender["contact_ids"], sender["category"], sender["last_received_at"])


# What Gmail's trouble leaves


def test_failing_mail_holds_the_cursor_but_not_the_others(magnet: Stack) -> None:
    """One mail that cannot be read in passing holds the cursor; the others are noticed, and it is, once, later."""
    fail(magnet, "messages.get", skip=1)
    before = int(sync(magnet)["cursor"])
    with unpushed(magnet):
        first, second, third = deliver_all(magnet, MIA, MIA, MIA)
    during, cursor = notices(magnet), int(sync(magnet)["cursor"])
    magnet.catch_up(within_s=120)

    assert {first, third} == set(during)
    assert {first, second, third} == set(notices(magnet))
    assert before < cursor < int(sync(magnet)["cursor"])
    assert [] == sync(magnet)["parked"]


def test_mail_that_keeps_failing_is_parked(magnet: Stack) -> None:
    """After ten tries over an hour a mail is passed over and shown as parked; the daily renewal gets it after all."""
    fault = fail(magnet, "messages.get", count=10_000)
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()
    magnet.catch_up(within_s=4200)
    (parked,) = sync(magnet)["parked"]
    magnet.faults.clear()
    later = magnet.mail("anna", MIA)
    magnet.settle()
    before = set(notices(magnet))
    magnet.run_job("magnet-renew")
    magnet.catch_up(within_s=3600)

    assert (mail_id, {later}) == (parked["mail_id"], before)
    assert 10 <= parked["attempts"] <= fault.struck
    assert ({mail_id, later}, []) == (set(notices(magnet)), sync(magnet)["parked"])


def test_rate_limit_leaves_a_task_for_its_time(magnet: Stack) -> None:
    """A rate limit is acknowledged and kept: until its time Gmail is not called, however many pushes come."""
    until = magnet.clock.now() + timedelta(minutes=10)
    message = f"User-rate limit exceeded.  Retry after {until:%Y-%m-%dT%H:%M:%S}.000Z"
    fail(magnet, "history.list", status=429, reason="rateLimitExceeded", message=message)
    mark = magnet.ledger.mark()
    ids = [magnet.mail("anna", MIA)]
    magnet.settle()
    ids += [magnet.mail("anna", MIA), magnet.mail("anna", MIA)]
    magnet.settle()
    calls = gmail_calls(magnet, mark)
    nacks = [call for call in magnet.ledger.since(mark, service="pubsub") if call.status not in (200, 204)]
    pending = len(magnet.google.tasks.pending())
    magnet.catch_up(within_s=700)

    assert ({"history.list": 1}, [], 1) == (counted(calls), nacks, pending)
    assert set(ids) == set(notices(magnet))


def test_trouble_of_the_store_is_told_to_the_queue(magnet: Stack) -> None:
    """Where Firestore fails, the push is not acknowledged, and its mail is noticed once when it comes again."""
    magnet.faults.inject(Fault("firestore", "Commit", status=500, count=1))
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()
    magnet.catch_up(within_s=120)

    assert [mail_id] == list(notices(magnet))


@pytest.mark.parametrize(
    ("service", "method"),
    [
        ("firestore", "Commit"),
        ("firestore", "BatchGetDocuments"),
        ("firestore", "RunQuery"),
        ("gmail", "users.history.list"),
        ("gmail", "users.messages.get"),
        ("pubsub", "push"),
    ],
)
def test_lost_answer_loses_and_doubles_nothing(magnet: Stack, service: str, method: str) -> None:
    """Work that was done but whose answer got lost is done again, and comes to the same."""
    magnet.faults.inject(Fault(service, method, drop_answer=True))
    mail_id = magnet.mail("anna", MIA)
    magnet.settle()
    magnet.catch_up(within_s=120)
    magnet.advance(5)
    magnet.settle()

    assert [mail_id] == list(notices(magnet))
    assert 1 == len([path for path in magnet.documents() if "/senders/" in path])


def test_lost_race_repeats_nothing(magnet: Stack) -> None:
    """The same push delivered five times at once makes one notice."""
    with unpushed(magnet):
        (mail_id,) = deliver_all(magnet, MIA)
        pubsub(magnet).redeliver(pubsub(magnet).messages(environment.TOPIC)[-1].message_id, times=5)
    magnet.catch_up(within_s=60)

    assert [mail_id] == list(notices(magnet))
    assert 1 == len([path for path in magnet.documents() if "/senders/" in path])


def test_many_mails_are_worked_off_in_pieces(magnet: Stack) -> None:
    """After an outage with 230 mails of strangers the cursor moves on in pieces, within the background's share."""
    before, mark = int(sync(magnet)["cursor"]), magnet.ledger.mark()
    with unpushed(magnet):
        *_, last = deliver_all(magnet, *[STRANGER] * 230, MIA)
    after_first, first = int(sync(magnet)["cursor"]), counted(gmail_calls(magnet, mark))["messages.get"]
    magnet.catch_up(within_s=600)

    assert [last] == list(notices(magnet))
    assert before < after_first < int(sync(magnet)["cursor"])
    assert first <= 100
    assert 231 == counted(gmail_calls(magnet, mark))["messages.get"]


# A lost history


def test_lost_history_is_searched_for(magnet: Stack) -> None:
    """After a lost history, what came since is found by a list, what follows by pushes, and nothing is listed again."""
    before = magnet.mail("anna", MIA)
    magnet.settle()
    with unpushed(magnet):
        (missed,) = deliver_all(magnet, MIA)
        magnet.google.gmail.person_moves(ANNA.email, before, remove=["INBOX"])
        magnet.google.gmail.expire_history(ANNA.email)
    mark = magnet.ledger.mark()
    magnet.catch_up(within_s=300)
    calls = counted(gmail_calls(magnet, mark))
    later = magnet.mail("anna", MIA)
    magnet.settle()

    assert {before, missed, later} == set(notices(magnet))
    assert [True, False, False] == [notices(magnet)[one]["pinned"] for one in (before, missed, later)]
    assert ("", None) == (sync(magnet)["resync"], sync(magnet)["resync_from"])
    # One for the inbox's mails, one for what may be missing.
    assert (2, 1) == (calls["messages.list"], calls["messages.get"])


def test_history_lost_again_and_again_is_searched_for_once_an_hour(magnet: Stack) -> None:
    """Where Gmail refuses the ids that it gives itself, no search follows another; an hour later nothing is missing."""
    gmail = magnet.google.gmail
    arrived, mark = [], magnet.ledger.mark()
    for _ in range(4):
        with unpushed(magnet):
            arrived += deliver_all(magnet, MIA)
            gmail.expire_history(ANNA.email)
        magnet.catch_up(within_s=120)
    searches = counted(gmail_calls(magnet, mark))["getProfile"]
    magnet.advance(3600)
    arrived.append(magnet.mail("anna", MIA))
    magnet.catch_up(within_s=300)

    assert 1 == searches
    assert set(arrived) == set(notices(magnet))
    assert "" == sync(magnet)["resync"]


# Generations and absence


@pytest.mark.parametrize("kind", ["start", "stop", "drain", "renew", "backfill", "resync", "search_contact"])
def test_task_of_an_older_generation_does_nothing(magnet: Stack, kind: str) -> None:
    """What belongs to an older connection is acknowledged and does nothing."""
    before, mark = magnet.documents(), magnet.ledger.mark()

    assert 204 == send_task(magnet, {"kind": kind, "user": "anna", "generation": "old", "contact": "mia"})
    assert (before, []) == (magnet.documents(), gmail_calls(magnet, mark))


@pytest.mark.parametrize(
    "payload",
    [
        {"kind": "drain", "user": "nobody", "generation": "x"},
        {"kind": "unknown", "user": "anna", "generation": "x"},
        {"user": "anna"},
    ],
)
def test_poison_task_is_acknowledged(magnet: Stack, payload: dict[str, str]) -> None:
    """A task of an absent connection, or one that cannot be read, is acknowledged."""
    assert 204 == send_task(magnet, payload)


def test_user_who_lost_the_permission_gets_no_notice(magnet: Stack) -> None:
    """For a user whom the directory says is inactive nothing is asked and nothing noticed."""
    magnet.load_directory({"users": [{"id": "anna", "active": False}]})
    mark = magnet.ledger.mark()
    magnet.mail("anna", MIA)
    magnet.settle()

    assert ([], {}) == (gmail_calls(magnet, mark), notices(magnet))


def test_revoked_grant_stops_all_work(magnet: Stack) -> None:
    """A revoked grant sets reauth_required once; the pushes that follow cost nothing."""
    magnet.google.accounts.revoke_account(ANNA.email)
    magnet.mail("anna", MIA)
    magnet.settle()
    mark = magnet.ledger.mark()
    magnet.mail("anna", MIA)
    magnet.settle()

    assert "reauth_required" == magnet.ask("anna", "GET", "/oauth_callback/connection")["status"]
    assert [] == gmail_calls(magnet, mark)


def test_generation_is_the_connections(magnet: Stack) -> None:
    """The sync record carries the generation of the connection that it belongs to."""
    assert generation(magnet) == sync(magnet)["generation"]
    assert ["sync"] == held(magnet)
