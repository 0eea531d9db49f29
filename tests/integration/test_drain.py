"""The drain beside a sweep, in this process: echoes, hands that came between, labels that were deleted, races."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from common import clock
from common.backfill import apply_sample
from common.directory import directory
from common.drain import DrainResult, Outcome, drain
from common.gmail.client import open_gmail
from common.model import Category, Contact, ContactAddress, Deal, DealState, Notice, Sync, User
from common.store.client import Context, store
from tests.integration import google_rig
from tests.integration.google_rig import ANNA, MIA, Google

pytestmark = pytest.mark.integration

RAW = f"From: {MIA}\r\nTo: {ANNA}\r\nSubject: x\r\n\r\nx\r\n".encode()


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    """The stand-ins, and Anna with MailMagnet and labels on; Mia is a customer with a won deal."""
    with google_rig.running(monkeypatch, tmp_path) as running:
        mailbox = running.gmail.mailbox(ANNA)
        names = (Category.CLOSING_THIS_MONTH, Category.OPEN_DEALS, Category.CUSTOMERS)
        ids = {name.value: mailbox.create_label(name.value).id for name in names}
        connection = replace(running.connect(), mailmagnet=True, labels=True, label_ids=ids)
        store().connections.save(connection)
        now = clock.now()
        cursor = mailbox.history.current_id
        store().syncs.create(
            Sync(user_id="anna", generation=connection.generation, mailbox_key=connection.mailbox_key, cursor=cursor)
        )
        permissions = frozenset({"mail_integration"})
        store().users.create(User(user_id="anna", active=True, permissions=permissions, heard_at=now))
        address = ContactAddress(address=MIA, added_at=now)
        store().contacts.create(Contact(contact_id="mia", name="Mia", addresses=(address,), owner="anna"))
        deal = Deal(deal_id="d", title="D", state=DealState.WON, closing_date=None, contact_ids=("mia",), owner="anna")
        store().deals.create(deal)
        yield running
        # It keeps the store that ends here.
        directory.cache_clear()


def label_of(category: Category) -> str:
    found = store().connections.load("anna")
    assert found is not None
    return found.value.label_ids[category]


def context() -> Context:
    return store().load_context("anna")


def run(held: Context | None = None) -> DrainResult:
    present = held or context()
    assert present.connection is not None
    return drain(present, open_gmail(present.connection.value, background=True))


def deliver(google: Google) -> str:
    return google.gmail.deliver(RAW, to=ANNA)[ANNA]


def labels(google: Google, mail_id: str) -> set[str]:
    mailbox = google.gmail.mailbox(ANNA)
    with mailbox.lock:
        return set(mailbox.message(mail_id).labels) - {"UNREAD"}


def notice(mail_id: str) -> Notice:
    return store().notices.load_many("anna", [mail_id])[mail_id].value


def intend(mail_id: str, target: str) -> None:
    """What a sweep writes before it calls Gmail."""
    store().notices.save("anna", replace(notice(mail_id), intent=target))


def file_under(google: Google, mail_id: str, category: Category) -> None:
    """What a sweep's batchModify does."""
    ours = {label_of(one) for one in (Category.CLOSING_THIS_MONTH, Category.OPEN_DEALS, Category.CUSTOMERS)}
    add = label_of(category)
    google.gmail.person_moves(ANNA, mail_id, add=[add], remove=sorted((ours | {"INBOX"}) - {add}))


def test_customers_mail_is_work(google: Google) -> None:
    """A customer's mail in the inbox leaves a notice and work, in the commit that moves the cursor."""
    mail_id = deliver(google)
    result = run()

    assert (Outcome.CAUGHT_UP, [mail_id]) == (result.outcome, [one.mail_id for one in result.noticed])
    work = store().work.load("anna")
    assert work is not None
    assert "generation-of-anna" == work.value.generation
    assert result.context.sync == context().sync


def test_second_drain_writes_nothing(google: Google) -> None:
    """A drain right after another finds nothing and writes nothing, not even a time."""
    deliver(google)
    run()
    before = context()
    run()

    assert before == context()


def test_echo_of_a_sweep_closes_its_intent(google: Google) -> None:
    """Our own move settles the notice, and pins nothing."""
    mail_id = deliver(google)
    run()
    intend(mail_id, Category.CUSTOMERS)
    file_under(google, mail_id, Category.CUSTOMERS)
    run()

    found = notice(mail_id)
    assert (Category.CUSTOMERS, "", False) == (found.filed, found.intent, found.pinned)


def test_hand_between_the_steps_of_a_sweep_wins(google: Google) -> None:
    """A mail that a hand took back just before our move is put back where the hand had it, and pinned."""
    mail_id = deliver(google)
    run()
    intend(mail_id, Category.CUSTOMERS)
    file_under(google, mail_id, Category.CUSTOMERS)
    run()
    intend(mail_id, Category.OPEN_DEALS)
    google.gmail.person_moves(ANNA, mail_id, add=["STARRED"])
    google.gmail.person_moves(ANNA, mail_id, add=["INBOX"])
    file_under(google, mail_id, Category.OPEN_DEALS)
    mark = google.ledger.mark()
    run()

    assert {"INBOX", label_of(Category.CUSTOMERS), "STARRED"} == labels(google, mail_id)
    assert notice(mail_id).pinned
    assert 1 == google.count("gmail", "users.messages.modify", mark)


def test_mail_moved_back_to_the_inbox_is_pinned(google: Google) -> None:
    """A filed mail that the user puts back into the inbox is pinned there."""
    mail_id = deliver(google)
    run()
    intend(mail_id, Category.CUSTOMERS)
    file_under(google, mail_id, Category.CUSTOMERS)
    run()
    google.gmail.person_moves(ANNA, mail_id, add=["INBOX"], remove=[label_of(Category.CUSTOMERS)])
    run()

    assert notice(mail_id).pinned


def test_deleted_label_is_nobodys_hand(google: Google) -> None:
    """A deleted label pins none of its mails; one labels.list tells, and the connection is freed of it for a sweep."""
    ids = [deliver(google), deliver(google)]
    run()
    for mail_id in ids:
        intend(mail_id, Category.CUSTOMERS)
        file_under(google, mail_id, Category.CUSTOMERS)
    run()
    store().work.delete("anna")
    label = label_of(Category.CUSTOMERS)
    google.gmail.person_deletes_label(ANNA, label)
    mark = google.ledger.mark()
    result = run()

    assert [(Category.CUSTOMERS, False)] * 2 == [(notice(one).filed, notice(one).pinned) for one in ids]
    assert frozenset({label}) == result.vanished
    connection = context().connection
    assert connection is not None
    assert {Category.CLOSING_THIS_MONTH, Category.OPEN_DEALS} == set(connection.value.label_ids)
    assert store().work.load("anna") is not None
    assert 1 == google.count("gmail", "users.labels.list", mark)


def test_label_taken_off_by_hand_is_a_hand(google: Google) -> None:
    """A label that still exists and came off pins the mail."""
    mail_id = deliver(google)
    run()
    intend(mail_id, Category.CUSTOMERS)
    file_under(google, mail_id, Category.CUSTOMERS)
    run()
    google.gmail.person_moves(ANNA, mail_id, remove=[label_of(Category.CUSTOMERS)])
    result = run()

    assert (True, frozenset()) == (notice(mail_id).pinned, result.vanished)


def test_loser_of_a_race_writes_nothing(google: Google) -> None:
    """Of two drains from one cursor the second commits nothing, and the notice is there once."""
    mail_id = deliver(google)
    early = context()
    run()
    before = context()
    result = run(early)

    assert (Outcome.LOST, before) == (result.outcome, context())
    assert [mail_id] == [one.mail_id for one in store().notices.all_of("anna")]


def test_drains_at_once_read_new_mail_once(google: Google) -> None:
    """Four drains of one mailbox at once get its new mail a single time, and one notice comes of it."""
    deliver(google)
    google.inject("gmail", "users.messages.get", delay_s=0.3)
    at_once, mark = context(), google.ledger.mark()
    with ThreadPoolExecutor(4) as pool:
        outcomes = [one.outcome for one in pool.map(run, [at_once] * 4)]

    assert [Outcome.CAUGHT_UP, *[Outcome.LOST] * 3] == sorted(outcomes)
    assert 1 == google.count("gmail", "users.messages.get", mark)
    assert Outcome.CAUGHT_UP == run().outcome


def test_drain_dies_with_magnet_turned_off(google: Google) -> None:
    """What a drain read before MailMagnet was turned off is not written after it."""
    deliver(google)
    early = context()
    store().syncs.delete("anna")
    result = run(early)

    assert (Outcome.LOST, []) == (result.outcome, store().notices.all_of("anna"))


def test_idle_drain_notes_the_time_hourly(google: Google) -> None:
    """When a mailbox was last found complete is kept to the hour, at no write more than one an hour."""
    run()
    first = context().sync
    google.clock.advance(timedelta(minutes=61).total_seconds())
    run()
    second = context().sync

    assert first is not None
    assert second is not None
    assert first.value.caught_up_at is not None
    assert second.value.caught_up_at is not None
    assert second.value.caught_up_at - first.value.caught_up_at > timedelta(hours=1)


@pytest.mark.parametrize(("lost", "figures"), [(False, (1, 1, 0)), (True, (1, 0, 1))])
def test_completeness_is_stated_as_a_figure(
    google: Google, capsys: pytest.CaptureFixture[str], lost: bool, figures: tuple[int, int, int]
) -> None:
    """The daily sample says how many mails it expected, found and healed, and warns where one was missing."""
    mail_id = deliver(google)
    run()
    if lost:
        store().notices.delete("anna", mail_id)
    capsys.readouterr()
    present = context()
    assert present.connection is not None
    apply_sample(present, open_gmail(present.connection.value, background=True))

    (line,) = [one for one in map(json.loads, capsys.readouterr().err.splitlines()) if one["event"] == "reconciled"]
    assert figures == (line["expected"], line["found"], line["healed"])
    assert ("WARNING" if lost else "INFO") == line["severity"]
    assert notice(mail_id).mail_id == mail_id


def test_without_magnet_there_is_no_drain(google: Google) -> None:
    """Where MailMagnet does not run, a drain refuses before it asks Gmail."""
    connection = context().connection
    assert connection is not None
    store().connections.update(connection, mailmagnet=False)
    mark = google.ledger.mark()
    with pytest.raises(LookupError):
        run()

    assert [] == google.ledger.since(mark, service="gmail")
