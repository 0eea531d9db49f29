"""What work costs in Gmail's units: the design's table, row by row, from the ledger. Counts, never seconds."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from local import environment
from local.crm.people import ANNA
from local.ledger import Call, sequential_round_trips, units
from local.pubsub import PubSub
from local.stack import Stack

pytestmark = pytest.mark.integration

SEARCH = "/mail_proxy/messages/search"
MIA, JONAS, EMILY = "mia@customer.example", "jonas.weber@weber-bau.example", "emily@carter-design.example"


@pytest.fixture
def anna(stack: Stack) -> Stack:
    """The stack with the CRM's records and Anna connected, her access token in memory."""
    stack.load_directory()
    stack.connect("anna")
    stack.ask("anna", "GET", "/mail_proxy/labels")
    return stack


@pytest.fixture
def magnet(anna: Stack) -> Stack:
    """The same with MailMagnet and labels on, and nothing left to do."""
    anna.switch_on("anna")
    anna.catch_up(within_s=900)
    anna.sweep()
    anna.catch_up(within_s=60)
    return anna


def gmail_calls(stack: Stack, work: Callable[[], object], mailbox: str = ANNA.email) -> list[Call]:
    """The calls of one mailbox that a piece of work makes."""
    mark = stack.ledger.mark()
    work()
    return stack.ledger.since(mark, service="gmail", mailbox=mailbox)


def counted(calls: list[Call]) -> dict[str, int]:
    return dict(Counter(call.method.removeprefix("users.") for call in calls))


def deliver_unpushed(stack: Stack, *senders: str) -> list[str]:
    """Mails that arrive within one second: Gmail pushes once for all of them."""
    pubsub = stack.google.pubsub
    assert isinstance(pubsub, PubSub)
    pubsub.pause(environment.SUBSCRIPTION)
    stack.advance(2)
    raws = [f"From: {sender}\r\nTo: {ANNA.email}\r\nSubject: x\r\n\r\nx\r\n".encode() for sender in senders]
    ids = [stack.google.gmail.deliver(raw, to=ANNA.email)[ANNA.email] for raw in raws]
    pubsub.resume(environment.SUBSCRIPTION)
    return ids


@pytest.fixture
def distant(anna: Stack) -> Stack:
    """The same with a way to Gmail that takes time: only then it shows which calls wait for each other."""
    anna.google.gmail.app.latency_s = 0.1
    return anna


def test_page_of_twenty_mails(distant: Stack) -> None:
    """A cold page of 20 costs a profile beside a list, then one batch of gets: 406 units in 2 round trips."""
    for number in range(25):
        distant.mail("anna", MIA, f"Mail {number}")

    calls = gmail_calls(distant, lambda: distant.ask("anna", "POST", SEARCH, json={"page_size": 20}))

    assert {"getProfile": 1, "messages.list": 1, "messages.get": 20} == counted(calls)
    assert (406, 2) == (units(calls), sequential_round_trips(calls))


def test_same_page_again(distant: Stack) -> None:
    """The same page within five minutes costs a list beside a history.list: 7 units in one round trip."""
    for number in range(20):
        distant.mail("anna", MIA, f"Mail {number}")
    distant.ask("anna", "POST", SEARCH, json={"page_size": 20})

    calls = gmail_calls(distant, lambda: distant.ask("anna", "POST", SEARCH, json={"page_size": 20}))

    assert {"messages.list": 1, "history.list": 1} == counted(calls)
    assert (7, 1) == (units(calls), sequential_round_trips(calls))


def test_same_page_after_a_new_mail(anna: Stack) -> None:
    """A mail more since then costs its own get alone: 27 units."""
    for number in range(20):
        anna.mail("anna", MIA, f"Mail {number}")
    anna.ask("anna", "POST", SEARCH, json={"page_size": 20})
    anna.mail("anna", MIA, "New")

    calls = gmail_calls(anna, lambda: anna.ask("anna", "POST", SEARCH, json={"page_size": 20}))

    assert 27 == units(calls)


@pytest.mark.parametrize("count", [1, 3])
def test_push(magnet: Stack, count: int) -> None:
    """A push with k new mails in the inbox costs one history.list and k gets of metadata: 2 + 20k."""

    def arrive() -> None:
        deliver_unpushed(magnet, *[MIA] * count)
        magnet.settle()

    calls = gmail_calls(magnet, arrive)

    assert {"history.list": 1, "messages.get": count} == counted(calls)
    assert 2 + 20 * count == units(calls)


def test_stale_push(magnet: Stack) -> None:
    """A push that is not newer than the cursor costs nothing."""
    pubsub = magnet.google.pubsub
    assert isinstance(pubsub, PubSub)
    magnet.mail("anna", MIA)
    magnet.settle()
    last = pubsub.messages(environment.TOPIC)[-1].message_id

    def push_again() -> None:
        pubsub.redeliver(last, times=3)
        magnet.settle()

    assert gmail_calls(magnet, push_again) == []


def test_sweep_with_nothing_due(magnet: Stack) -> None:
    """A sweep that finds nothing due calls nobody."""
    assert gmail_calls(magnet, magnet.sweep) == []


def test_sweep_of_thirty_mails(magnet: Stack) -> None:
    """Thirty new mails in three categories cost one history.list and one batchModify a label: 152."""
    deliver_unpushed(magnet, *[MIA, JONAS, EMILY] * 10)
    magnet.settle()
    # Our own changes must cause no push within this count.
    pubsub = magnet.google.pubsub
    assert isinstance(pubsub, PubSub)
    pubsub.pause(environment.SUBSCRIPTION)

    calls = gmail_calls(magnet, magnet.sweep)

    pubsub.resume(environment.SUBSCRIPTION)
    assert {"history.list": 1, "messages.batchModify": 3} == counted(calls)
    assert 152 == units(calls)


def test_healing_of_a_label(magnet: Stack) -> None:
    """A label that the user deleted costs one labels.list, its creation and one batchModify: 1 + 5 + 50."""
    magnet.mail("anna", MIA)
    magnet.settle()
    magnet.sweep()
    mailbox = magnet.google.gmail.mailbox(ANNA.email)
    label = next(one["id"] for one in mailbox.labels.as_json() if one["name"].startswith("Closing"))
    magnet.advance(2)

    def heal() -> None:
        magnet.google.gmail.person_deletes_label(ANNA.email, label)
        magnet.settle()
        magnet.advance(600)
        magnet.sweep()

    calls = counted(gmail_calls(magnet, heal))

    assert (1, 1, 1) == (calls["labels.list"], calls["labels.create"], calls["messages.batchModify"])


def test_preview_of_a_sweep(magnet: Stack) -> None:
    """A preview costs one history.list: 2 units."""
    calls = gmail_calls(magnet, lambda: magnet.ask("anna", "GET", "/mail_proxy/sweep/preview"))

    assert 2 == units(calls)


def test_sending(anna: Stack) -> None:
    """Sending a mail costs the send alone: 100 units."""
    message = {"to": [{"address": MIA}], "subject": "Hello", "text": "Hello!"}
    headers = {"Idempotency-Key": str(uuid.uuid4())}

    calls = gmail_calls(anna, lambda: anna.ask("anna", "POST", "/mail_proxy/messages", json=message, headers=headers))

    assert {"messages.send": 1} == counted(calls)
    assert 100 == units(calls)


def test_page_of_a_contact(distant: Stack) -> None:
    """A contact's page over one mailbox with 3 mails costs a list and a batch of gets: 5 + 20 per mail looked at."""
    for number in range(3):
        distant.mail("anna", MIA, f"Mail {number}")

    calls = gmail_calls(distant, lambda: distant.ask("anna", "POST", "/mail_proxy/contacts/mia/emails", json={}))

    assert {"messages.list": 1, "messages.get": 3} == counted(calls)
    assert (65, 2) == (units(calls), sequential_round_trips(calls))


def test_backfill(anna: Stack) -> None:
    """A backfill of n mails costs one list and n gets: 5 per 500 + 20n."""
    for days in range(1, 8):
        anna.mail("anna", MIA, at=anna.clock.now() - timedelta(days=days))

    def backfill() -> None:
        anna.switch_on("anna", mailmagnet=True)
        anna.catch_up(within_s=900)

    calls = counted(gmail_calls(anna, backfill))

    assert (1, 7) == (calls["messages.list"], calls["messages.get"])


def test_idle_day(magnet: Stack) -> None:
    """A mailbox in which nothing happens costs one watch, one list and one history.list a day: 107."""
    # The directory has been followed, and its contacts have been searched for.
    magnet.sweep()
    magnet.catch_up(within_s=900)
    magnet.advance(24 * 3600)

    def pass_a_day() -> None:
        magnet.run_job("magnet-renew")
        magnet.catch_up(within_s=3600)
        magnet.sweep()

    calls = gmail_calls(magnet, pass_a_day)

    assert 107 == units([call for call in calls if call.method != "users.getProfile"])
