"""The store's contract, on the embedded Firestore and on Google's emulator: both must agree."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from google.api_core import exceptions as google_errors

from common.model import (
    AuditRecord,
    Connection,
    Contact,
    ContactAddress,
    Deal,
    DealState,
    Move,
    Notice,
    Parked,
    PendingConnection,
    Revocation,
    Send,
    Sender,
    SendState,
    Share,
    SharingLevel,
    Sweep,
    Sync,
    User,
    Work,
)
from common.store.client import Before, Lost, Store
from local.faults import Fault
from tests.integration.store_rig import BACKENDS, Backend, close_store, open_store, started

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC).replace(microsecond=123456)
LATER = NOW + timedelta(days=30)
BOX = "mailbox-key"


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with started(request.param, tmp_path_factory.mktemp("firestore")) as running:
        yield running


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with started("embedded", tmp_path_factory.mktemp("embedded")) as running:
        yield running


@pytest.fixture
def store(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    yield open_store(backend, monkeypatch)
    close_store()


@pytest.fixture
def metered(embedded: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    yield open_store(embedded, monkeypatch)
    close_store()


def connection(user_id: str = "anna", **changes: Any) -> Connection:
    """A connection as consent makes it."""
    made = Connection(
        user_id=user_id,
        address=f"{user_id}@demo-crm.example",
        mailbox_key=BOX,
        generation="g1",
        secret="s1",
        scopes=frozenset({"openid", "email"}),
        connected_at=NOW,
    )
    return replace(made, **changes)


def notice(mail_id: str, **changes: Any) -> Notice:
    """A notice of an unseen mail in the inbox."""
    made = Notice(
        mail_id=mail_id, from_address="mia@customer.example", received_at=NOW, mailbox_key=BOX, expires_at=LATER
    )
    return replace(made, **changes)


def sender(address: str, **changes: Any) -> Sender:
    """A sender of one contact."""
    return replace(Sender(address=address, contact_ids=("c1",), mailbox_key=BOX, expires_at=LATER), **changes)


def deal(deal_id: str, **changes: Any) -> Deal:
    """An open deal of contact c1."""
    made = Deal(deal_id=deal_id, title="t", state=DealState.OPEN, closing_date=None, contact_ids=("c1",))
    return replace(made, **changes)


def ids(records: list[Any]) -> list[str]:
    """The mail ids of notices, in order."""
    return [record.value.mail_id for record in records]


def test_a_record_reads_as_it_was_written(store: Store) -> None:
    """A connection with every kind of field comes back equal."""
    written = connection(label_ids={"open_deals": "L1"}, aliases=("a@x.example",), sharing=SharingLevel.CUSTOM)
    store.connections.create(written)

    loaded = store.connections.load("anna")

    assert loaded is not None
    assert written == loaded.value


@pytest.mark.parametrize("user_id", ["__all__", "ü ñ", "a.b", ".", "..", "x" * 128, "😀" * 128, "a:b", "#?%"])
def test_any_id_of_a_crm_names_a_document(store: Store, user_id: str) -> None:
    """Ids that Firestore reserves or that are long or strange are stored and found like any other."""
    store.connections.create(connection(user_id))
    store.notices.create(user_id, notice("m1"))

    assert [user_id] == [one.value.user_id for one in store.connections.page()]
    assert ["m1"] == ids(store.notices.page(user_id, BOX))


def test_a_history_cursor_beyond_signed_integers_survives(store: Store) -> None:
    """A cursor of 2⁶⁴−1 and the parked messages come back as they were."""
    parked = (Parked(mail_id="m", attempts=3, first_failed_at=NOW),)
    written = Sync(user_id="anna", generation="g", mailbox_key=BOX, cursor=2**64 - 1, parked=parked)
    store.syncs.create(written)

    loaded = store.syncs.load("anna")

    assert loaded is not None
    assert written == loaded.value


def test_the_second_creation_loses(store: Store) -> None:
    """A record that exists is not created again, and stays as it is."""
    store.connections.create(connection(locale="de"))

    with pytest.raises(Lost):
        store.connections.create(connection(locale="en"))

    loaded = store.connections.load("anna")
    assert loaded is not None
    assert "de" == loaded.value.locale


def test_an_update_of_an_old_version_loses(store: Store) -> None:
    """Of two updates that read the same version, the second writes nothing."""
    written = store.connections.create(connection())
    store.connections.update(written, locale="de")

    with pytest.raises(Lost):
        store.connections.update(written, mailmagnet=True)

    loaded = store.connections.load("anna")
    assert loaded is not None
    assert ("de", False) == (loaded.value.locale, loaded.value.mailmagnet)


def test_a_version_written_serves_the_next_update(store: Store) -> None:
    """What a write returns can be updated without reading it again, and equals what a reader gets."""
    first = store.connections.create(connection())
    second = store.connections.update(first, locale="de")
    third = store.connections.update(second, mailmagnet=True)

    assert third == store.connections.load("anna")


def test_versions_of_queries_and_of_gets_are_the_same(store: Store) -> None:
    """A record found by a query has the version that loading it gives."""
    store.work.create(Work(user_id="anna", due_at=NOW, generation="g"))

    assert [store.work.load("anna")] == store.work.due(NOW, 10)


def test_a_change_of_what_is_gone_loses(store: Store) -> None:
    """Updating, patching and deleting by version a deleted record lose; deleting without a version does not."""
    written = store.connections.create(connection())
    store.connections.delete("anna")
    store.connections.delete("anna")

    with pytest.raises(Lost):
        store.connections.update(written, locale="de")
    with pytest.raises(Lost):
        store.connections.patch("anna", locale="de")
    with pytest.raises(Lost):
        store.connections.delete("anna", version=written.version)
    assert store.connections.load("anna") is None


def test_ten_racers_have_one_winner(store: Store) -> None:
    """Of ten concurrent updates of one version exactly one is written."""
    written = store.connections.create(connection())

    def race(number: int) -> int:
        try:
            store.connections.update(written, locale=f"l{number}")
        except Lost:
            return 0
        return 1

    with ThreadPoolExecutor(10) as threads:
        assert 1 == sum(threads.map(race, range(10)))


def test_a_batch_is_written_whole_or_not_at_all(store: Store) -> None:
    """A lost precondition in a batch leaves nothing of it behind."""
    old = store.syncs.create(Sync(user_id="anna", generation="g", mailbox_key=BOX, cursor=1))
    store.syncs.update(old, cursor=2)
    batch = store.batch()
    store.notices.create("anna", notice("m1"), batch)
    store.work.save(Work(user_id="anna", due_at=NOW, generation="g"), batch)
    store.syncs.update(old, batch, cursor=3)

    with pytest.raises(Lost):
        batch.commit()

    loaded = store.syncs.load("anna")
    assert (None, None) == (store.notices.load("anna", "m1"), store.work.load("anna"))
    assert loaded is not None
    assert 2 == loaded.value.cursor


def test_a_batch_whose_block_fails_is_not_written(store: Store) -> None:
    """An error in the block discards the batch; without one it is written."""

    def fill(number: int) -> float:
        with store.batch() as batch:
            store.connections.create(connection(f"u{number}"), batch)
            return 1 / number

    fill(1)
    with pytest.raises(ZeroDivisionError):
        fill(0)

    assert ["u1"] == [one.value.user_id for one in store.connections.page()]


def test_an_expired_record_is_not_read(store: Store) -> None:
    """A record whose time is over is found by no get and no query, and a page is full all the same."""
    for number in range(6):
        expires_at = NOW - timedelta(hours=1) if number % 2 else LATER
        received_at = NOW + timedelta(seconds=number)
        store.notices.create("anna", notice(f"m{number}", received_at=received_at, expires_at=expires_at))

    assert store.notices.load("anna", "m1") is None
    assert ["m4", "m2"] == ids(store.notices.page("anna", BOX, limit=2))
    assert ["m4", "m2", "m0"] == ids(store.notices.page("anna", BOX))
    assert {"m0"} == store.notices.load_many("anna", ["m0", "m1"]).keys()
    assert 3 == store.notices.count_unread("anna", BOX)


def test_an_expired_record_does_not_block_its_successor(store: Store) -> None:
    """What has expired but is not removed yet can be created anew, alone and in a batch; what lives cannot."""
    store.notices.save("anna", notice("m1", expires_at=NOW - timedelta(days=1), seen=True))
    store.notices.save("anna", notice("m2", expires_at=NOW - timedelta(days=1), seen=True))

    store.notices.create("anna", notice("m1"))
    with store.batch() as batch:
        store.notices.create("anna", notice("m2"), batch)
        store.work.save(Work(user_id="anna", due_at=NOW, generation="g"), batch)

    assert [False, False] == [one.value.seen for one in store.notices.page("anna", BOX)]
    with pytest.raises(Lost):
        store.notices.create("anna", notice("m1"))


def test_notices_are_paged_newest_first(store: Store) -> None:
    """Pages go on behind the last notice, also where several came in the same moment, and keep mailboxes apart."""
    for number in range(5):
        store.notices.create("anna", notice(f"m{number}", received_at=NOW + timedelta(seconds=number // 2)))
    store.notices.create("anna", notice("other", mailbox_key="another"))
    store.notices.create("ben", notice("bens"))

    pages: list[list[str]] = []
    before: Before | None = None
    while page := store.notices.page("anna", BOX, before=before, limit=2):
        pages.append(sorted(ids(page)))
        before = Before(page[-1].value.received_at, page[-1].value.mail_id)

    assert ["m4"] == [one for one in pages[0] if one == "m4"]
    assert ["m0", "m1", "m2", "m3", "m4"] == sorted(one for page in pages for one in page)
    assert 3 == len(pages)


def test_notices_are_found_by_what_a_sweep_asks(store: Store) -> None:
    """Unfiled ones, those of some senders, open intents and unread ones are told apart."""
    store.notices.create("anna", notice("plain"))
    store.notices.create("anna", notice("filed", filed="customers", seen=True))
    store.notices.create("anna", notice("pinned", pinned=True, seen=True))
    store.notices.create("anna", notice("meant", filed="customers", intent="open_deals", from_address="b@x.example"))

    assert ["plain"] == ids(store.notices.unfiled("anna", BOX))
    assert ["meant"] == ids(store.notices.open_intents("anna"))
    assert ["meant"] == ids(store.notices.by_senders("anna", BOX, ["b@x.example", "nobody@x.example"]))
    assert ["meant", "plain"] == sorted(ids(store.notices.page("anna", BOX, unread_only=True)))
    assert 2 == store.notices.count_unread("anna", BOX)
    counted = store.notices.count_unread_by("anna", BOX, ["b@x.example", "mia@customer.example"])
    assert {"b@x.example": 1, "mia@customer.example": 1} == counted


def test_more_addresses_than_one_query_takes_are_all_asked_for(store: Store) -> None:
    """Seventy addresses are found although a query takes thirty."""
    addresses = [f"a{number}@x.example" for number in range(70)]
    with store.batch() as batch:
        for address in addresses:
            store.senders.create("anna", sender(address), batch)

    found = store.senders.find_by_addresses(addresses)

    assert sorted(addresses) == sorted(record.value.address for _, record in found)


def test_senders_of_all_users_are_found(store: Store) -> None:
    """A sender is found by address and by contact, with its user, whoever that is; an expired one is not."""
    store.senders.create("anna/x", sender("mia@customer.example"))
    store.senders.create("ben", sender("mia@customer.example", contact_ids=("c2", "c3")))
    store.senders.create("carla", sender("mia@customer.example", expires_at=NOW - timedelta(days=1)))

    by_address = store.senders.find_by_addresses(["mia@customer.example"])

    assert ["anna/x", "ben"] == sorted(user_id for user_id, _ in by_address)
    assert ["ben"] == [user_id for user_id, _ in store.senders.of_contact("c3")]
    assert {"mia@customer.example"} == store.senders.load_many("ben", ["mia@customer.example", "x@x.example"]).keys()


def test_senders_of_several_contacts_are_found(store: Store) -> None:
    """One question finds the senders of many contacts, whoever's they are."""
    store.senders.create("anna", sender("mia@customer.example"))
    store.senders.create("ben", sender("jonas@customer.example", contact_ids=("c2", "c3")))
    store.senders.create("ben", sender("other@customer.example", contact_ids=("c9",)))
    found = store.senders.of_contacts(["c1", "c3", *(f"x{number}" for number in range(40))])
    assert [("anna", "c1"), ("ben", "c2")] == sorted((user_id, one.value.contact_ids[0]) for user_id, one in found)


def test_senders_still_to_be_looked_at_are_found(store: Store) -> None:
    """Those without a category, of this mailbox alone."""
    store.senders.create("anna", sender("new@x.example"))
    store.senders.create("anna", sender("settled@x.example", category="customers"))
    store.senders.create("anna", sender("foreign@x.example", mailbox_key="another"))
    assert ["new@x.example"] == [one.value.address for one in store.senders.unsettled("anna", BOX)]
    assert [] == store.senders.unsettled("anna", BOX, after="new@x.example")


def test_notices_of_senders_are_paged(store: Store) -> None:
    """The notices of many senders come newest first over all of them, page by page, each once."""
    addresses = [f"a{number}@x.example" for number in range(35)]
    for number, address in enumerate(addresses):
        store.notices.create(
            "anna", notice(f"m{number:02}", from_address=address, received_at=NOW + timedelta(seconds=number // 4))
        )
    found: list[Any] = []
    before: Before | None = None
    while page := store.notices.by_senders("anna", BOX, addresses, before=before, limit=8):
        found += page
        before = Before(page[-1].value.received_at, page[-1].value.mail_id)

    assert (35, 35) == (len(found), len(set(ids(found))))
    times = [one.value.received_at for one in found]
    assert sorted(times, reverse=True) == times


def test_many_senders_are_read_page_by_page(store: Store) -> None:
    """Senders beyond one page are found too, each once."""
    for start in range(0, 320, 160):
        with store.batch() as batch:
            for number in range(start, start + 160):
                store.senders.create(f"u{number}", sender("mia@customer.example"), batch)

    found = [user_id for user_id, _ in store.senders.find_by_addresses(["mia@customer.example"])]

    assert (320, 320) == (len(found), len(set(found)))


def test_deleting_goes_on_where_it_stopped(store: Store) -> None:
    """Everything of a user is deleted in bounded steps, and nothing of another user."""
    with store.batch() as batch:
        for number in range(7):
            store.notices.create("anna", notice(f"m{number}"), batch)
        store.notices.create("ben", notice("m0"), batch)

    steps = [store.notices.delete_all("anna", limit=3) for _ in range(4)]

    assert [3, 3, 1, 0] == steps
    assert ["m0"] == ids(store.notices.page("ben", BOX))


def test_what_belongs_to_another_mailbox_is_deleted(store: Store) -> None:
    """Notices of a former mailbox go, those of the present one stay."""
    store.notices.create("anna", notice("old", mailbox_key="former"))
    store.notices.create("anna", notice("new"))

    assert 1 == store.notices.delete_foreign("anna", BOX)
    assert ["new"] == ids(store.notices.page("anna", BOX))


def test_a_sweep_keeps_every_move(store: Store) -> None:
    """Five thousand moves fit into one sweep and come back, newest sweep first."""
    moves = tuple(Move(mail_id=f"{number:016x}", source="", target=f"t{number % 5}") for number in range(5000))
    store.sweeps.create("anna", Sweep(sweep_id="s1", at=NOW, mailbox_key=BOX, moves=moves, expires_at=LATER))
    later = NOW + timedelta(minutes=10)
    store.sweeps.create("anna", Sweep(sweep_id="s2", at=later, mailbox_key=BOX, moves=(), expires_at=LATER))

    page = store.sweeps.page("anna", BOX)

    assert ["s2", "s1"] == [one.value.sweep_id for one in page]
    assert set(moves) == set(page[1].value.moves)
    assert ["s1"] == [one.value.sweep_id for one in store.sweeps.page("anna", BOX, before=later)]


def test_due_work_is_paged(store: Store) -> None:
    """Dispatch sees what is due, the longest first, each once over all pages, and nothing of the future."""
    for number in range(5):
        due_at = NOW + timedelta(seconds=number // 2)
        store.work.create(Work(user_id=f"u{number}", due_at=due_at, generation="g"))
    store.work.create(Work(user_id="later", due_at=LATER, generation="g"))

    first = store.work.due(NOW + timedelta(minutes=1), 3)
    second = store.work.due(NOW + timedelta(minutes=1), 3, first[-1])

    assert ["u0", "u1", "u2", "u3", "u4"] == sorted(one.value.user_id for one in first + second)
    assert {"u0", "u1"} < {one.value.user_id for one in first}


def test_new_work_survives_the_sweep_of_old_work(store: Store) -> None:
    """A sweep cannot delete work that was set after it had read it, not even where it is the same work again."""
    read = store.work.save(Work(user_id="anna", due_at=NOW, generation="g"))
    store.work.save(Work(user_id="anna", due_at=NOW, generation="g"))

    with pytest.raises(Lost):
        store.work.delete("anna", version=read.version)

    assert store.work.load("anna") is not None


def test_a_mailbox_knows_who_shares_it(store: Store) -> None:
    """Joining and leaving need no reading, and joining twice counts once."""
    for user_id in ("anna", "ben", "anna"):
        store.mailboxes.join(BOX, user_id)
    store.mailboxes.leave(BOX, "anna")

    loaded = store.mailboxes.load(BOX)

    assert loaded is not None
    assert ("ben",) == loaded.value.user_ids


def test_a_retry_hint_is_never_shortened(store: Store) -> None:
    """The latest hint of a mailbox stays, rounded up to a millisecond; a mailbox that is gone takes none."""
    store.mailboxes.join(BOX, "anna")
    for until in (NOW, NOW + timedelta(minutes=15), NOW + timedelta(minutes=1)):
        store.mailboxes.set_retry_after(BOX, until)
    store.mailboxes.set_retry_after("gone", NOW)

    loaded = store.mailboxes.load(BOX)

    assert loaded is not None
    assert NOW.replace(microsecond=124000) + timedelta(minutes=15) == loaded.value.retry_after
    assert store.mailboxes.load("gone") is None


def test_connections_are_found_by_what_google_says(store: Store) -> None:
    """By address, by mailbox, and whether any of some addresses is a colleague's own or alias."""
    store.connections.create(connection("anna", aliases=("sales@demo-crm.example",)))
    store.connections.create(connection("ben"))
    store.connections.create(connection("carla", mailbox_key="hers"))
    asked = ["ben@demo-crm.example", "sales@demo-crm.example", "mia@customer.example"]

    assert ["ben"] == [one.user_id for one in store.connections.find_by_address("ben@demo-crm.example")]
    assert ["anna", "ben"] == sorted(one.user_id for one in store.connections.find_by_mailbox(BOX))
    assert {"ben@demo-crm.example", "sales@demo-crm.example"} == store.connections.find_inside(asked)


def test_connections_are_paged(store: Store) -> None:
    """Every connection is on exactly one page."""
    for number in range(5):
        store.connections.create(connection(f"u{number}"))

    first = store.connections.page(limit=3)
    second = store.connections.page(after=first[-1].value.user_id, limit=3)

    assert ["u0", "u1", "u2", "u3", "u4"] == sorted(one.value.user_id for one in first + second)


def test_a_consent_is_consumed_once(store: Store) -> None:
    """Of two that claim one ticket the second loses; an expired consent is seen by housekeeping alone."""
    pending = PendingConnection(
        state_hash="h1",
        user_id="anna",
        return_to="https://crm.example",
        features=("mail",),
        generation="g",
        sealed="x",
        expires_at=LATER,
        ticket_hash="t1",
    )
    store.pending.create(pending)
    store.pending.create(replace(pending, state_hash="h2", ticket_hash="t2", expires_at=NOW - timedelta(days=1)))
    found = store.pending.find_by_ticket("t1")
    assert found is not None
    store.pending.update(found, consumed=True)

    with pytest.raises(Lost):
        store.pending.update(found, consumed=True)
    assert store.pending.load("h2") is None
    assert ["h2"] == [one.value.state_hash for one in store.pending.expired(NOW, 10)]
    assert 2 == store.pending.delete_all("anna")


def test_sends_are_kept_by_user_and_key(store: Store) -> None:
    """A send is found by its key, and a user's by their states."""
    for user_id, key, state in (
        ("anna", "k1", SendState.SENT),
        ("anna", "k2", SendState.FAILED),
        ("ben", "k1", SendState.SENT),
    ):
        send = Send(
            user_id=user_id,
            key_hash=key,
            body_hash="b",
            state=state,
            version=1,
            generation="g",
            expires_at=LATER,
            changed_at=NOW,
        )
        store.sends.create(send)

    loaded = store.sends.load("anna", "k2")
    assert loaded is not None
    assert SendState.FAILED == loaded.value.state
    assert ["k2"] == [one.value.key_hash for one in store.sends.of_user("anna", [SendState.FAILED])]
    assert 2 == store.sends.delete_all("anna")
    assert ["k1"] == [one.value.key_hash for one in store.sends.of_user("ben")]


def test_shares_are_found_from_both_ends(store: Store) -> None:
    """By owner, by contact, and for several owners and contacts at once."""
    for owner, contact_id in (("anna", "c1"), ("anna", "c2"), ("ben", "c1")):
        share = Share(owner=owner, contact_id=contact_id, addresses=("a",), mailbox_key=BOX, shared=True, at=NOW)
        store.shares.create(share)

    assert ["c1", "c2"] == [one.contact_id for one in store.shares.of_owner("anna")]
    assert ["c2"] == [one.contact_id for one in store.shares.of_owner("anna", after="c1")]
    assert ["anna", "ben"] == sorted(one.owner for one in store.shares.of_contact("c1"))
    assert {("anna", "c1"), ("ben", "c1")} == store.shares.load_of(["anna", "ben", "carla"], ["c1"]).keys()
    assert 2 == store.shares.delete_all("anna")


def test_reads_are_counted_by_day(store: Store) -> None:
    """Reads of one day are one record, those of the next another; concurrent ones are all counted."""
    with ThreadPoolExecutor(5) as threads:
        for _ in range(5):
            threads.submit(store.audit.count_read, "ben", "anna", "c1", "2026-10-05", expires_at=LATER)
    store.audit.count_read("ben", "anna", "c1", "2026-10-06", expires_at=LATER)
    store.audit.add(
        AuditRecord(record_id="r1", at=NOW, actor="carla", action="policy", subject="anna", expires_at=LATER)
    )

    assert [1, 5] == sorted(one.count for one in store.audit.reads_of_owner("anna"))
    assert 3 == len(store.audit.page())
    assert 3 == len(store.audit.about("anna"))
    assert ["r1"] == [one.record_id for one in store.audit.by("carla")]


def test_the_audit_is_paged_by_time_and_id(store: Store) -> None:
    """Records of one moment are neither left out nor told twice where a page ends among them."""
    for number in range(5):
        store.audit.add(
            AuditRecord(record_id=f"r{number}", at=NOW, actor="anna", action="x", subject="anna", expires_at=LATER)
        )

    for read in (store.audit.page, partial(store.audit.about, "anna"), partial(store.audit.by, "anna")):
        told: list[str] = []
        while page := read(before=(NOW, told[-1]) if told else None, limit=2):
            told += [one.record_id for one in page]
        assert ["r4", "r3", "r2", "r1", "r0"] == told


def test_the_policy_has_defaults_until_it_is_set(store: Store) -> None:
    """The first of two administrators who both saw the default wins; names like Firestore's reserved ones are kept."""
    default = store.policies.load_policy()
    levels = {"__x__": SharingLevel.PUBLIC, "a.b": SharingLevel.PRIVATE}
    store.policies.update(default, sharing_by_user=levels, time_zone="Europe/Berlin")

    with pytest.raises(Lost):
        store.policies.update(default, time_zone="UTC")

    policy = store.policies.load_policy().value
    assert (levels, "Europe/Berlin") == (policy.sharing_by_user, policy.time_zone)


def test_revocations_outlive_their_time(store: Store) -> None:
    """A revocation is still found after ``until``, since its secret has to be destroyed."""
    owed = Revocation(revocation_id="r1", user_id="anna", mailbox_key=BOX, secret="s", until=NOW - timedelta(days=1))
    store.revocations.create(owed)

    assert ["r1"] == [one.value.revocation_id for one in store.revocations.page()]
    assert ["r1"] == [one.value.revocation_id for one in store.revocations.of_user("anna")]


def test_a_context_is_everything_about_a_connection(store: Store) -> None:
    """Connection, sync, user, policy and mailbox come together, also after the mailbox has changed."""
    store.connections.create(connection())
    store.syncs.create(Sync(user_id="anna", generation="g", mailbox_key=BOX, cursor=1))
    store.users.create(User(user_id="anna", active=True))
    store.mailboxes.join(BOX, "anna")
    store.mailboxes.join("second", "ben")

    first = store.load_context("anna")
    store.connections.patch("anna", mailbox_key="second")
    second = store.load_context("anna")

    assert first.mailbox is not None
    assert second.mailbox is not None
    assert (("anna",), ("ben",)) == (first.mailbox.value.user_ids, second.mailbox.value.user_ids)
    assert first.connection is not None
    assert first.sync is not None
    assert first.user is not None
    assert ("anna", 1, True) == (first.connection.value.user_id, first.sync.value.cursor, first.user.value.active)
    assert None is store.load_context("nobody").connection


def test_the_directory_tells_what_changed_by_commit_time(store: Store) -> None:
    """Records of one commit share a time and are all paged; a later change comes last, whatever its clock says."""
    with store.batch() as batch:
        for number in range(5):
            store.deals.create(deal(f"d{number}", updated_at=LATER), batch)
    held = store.deals.load("d2")
    assert held is not None
    store.deals.update(held, title="new")

    seen: list[str] = []
    after: tuple[datetime, str] | None = None
    while page := store.deals.changed_since(None, 2, after):
        seen += [one.value.deal_id for one in page]
        last = page[-1].value
        assert last.updated_at is not None
        after = (last.updated_at, last.deal_id)

    assert ["d0", "d1", "d2", "d3", "d4"] == sorted(seen)
    assert "d2" == seen[-1]
    assert after is not None
    assert ["d2"] == [one.value.deal_id for one in store.deals.changed_since(after[0], 10)]


def test_contacts_are_found_by_address_until_deleted(store: Store) -> None:
    """Two contacts may share an address; a deleted one is not found, an address taken off neither."""
    address = ContactAddress(address="mia@customer.example", added_at=NOW)
    other = ContactAddress(address="second@customer.example", added_at=NOW)
    store.contacts.create(Contact(contact_id="c1", name="n", addresses=(address, other)))
    store.contacts.create(Contact(contact_id="c2", name="n", addresses=(address,)))
    asked = ["mia@customer.example", "second@customer.example"]

    assert ["c1", "c2"] == sorted(one.contact_id for one in store.contacts.by_address(asked))
    for contact_id, changes in (("c1", {"addresses": (other,)}), ("c2", {"deleted": True})):
        held = store.contacts.load(contact_id)
        assert held is not None
        store.contacts.update(held, **changes)
    assert [] == store.contacts.by_address(["mia@customer.example"])
    assert ["c1"] == [one.contact_id for one in store.contacts.by_address(asked)]


def test_deals_are_found_by_contact_and_by_closing_date(store: Store) -> None:
    """Open deals closing in a span of days come in order; won ones and former contacts do not count."""
    store.deals.create(deal("d1", closing_date=date(2026, 10, 31)))
    store.deals.create(deal("d2", closing_date=date(2026, 10, 1), contact_ids=("c2",), former_contact_ids=("c1",)))
    store.deals.create(deal("d3", closing_date=date(2026, 10, 15), state=DealState.WON))
    store.deals.create(deal("d4", closing_date=date(2026, 11, 1)))
    october = (date(2026, 10, 1), date(2026, 10, 31))

    assert ["d1", "d3", "d4"] == sorted(one.deal_id for one in store.deals.of_contacts(["c1"]))
    assert ["d2", "d1"] == [one.value.deal_id for one in store.deals.open_closing(*october, 10)]
    assert ["d1"] == [one.value.deal_id for one in store.deals.open_closing(*october, 10, (october[0], "d2"))]


def test_an_address_or_contact_of_very_many_is_read_to_the_end(store: Store) -> None:
    """Five hundred and one contacts of one address, and as many deals of one contact, are all found."""
    shared = ContactAddress(address="shared@customer.example", added_at=NOW)
    for start in range(0, 501, 250):
        with store.batch() as batch:
            for number in range(start, min(start + 250, 501)):
                store.contacts.create(Contact(contact_id=f"c{number}", name="n", addresses=(shared,)), batch)
                store.deals.create(deal(f"d{number}", contact_ids=("c1",)), batch)

    assert 501 == len(store.contacts.by_address(["shared@customer.example"]))
    assert 501 == len(store.deals.of_contacts(["c1"]))


def test_a_context_costs_five_reads_in_one_call(metered: Store, embedded: Backend) -> None:
    """Once the mailbox is known, everything about a connection is one round trip."""
    metered.connections.create(connection())
    metered.load_context("anna")
    mark = embedded.ledger.mark()

    metered.load_context("anna")

    assert (5, ["BatchGetDocuments.read"]) == (embedded.reads(mark), embedded.calls(mark))


def test_a_drain_commits_once(metered: Store, embedded: Backend) -> None:
    """Fifty notices, a sender, work and the cursor are one commit, and nothing is read for it."""
    held = metered.syncs.create(Sync(user_id="anna", generation="g", mailbox_key=BOX, cursor=1))
    mark = embedded.ledger.mark()

    with metered.batch() as batch:
        for number in range(50):
            metered.notices.create("anna", notice(f"m{number}"), batch)
        metered.senders.save("anna", sender("mia@customer.example"), batch)
        metered.work.save(Work(user_id="anna", due_at=NOW, generation="g"), batch)
        metered.syncs.update(held, batch, cursor=2)

    assert (53, ["Commit.write"], 0) == (embedded.writes(mark), embedded.calls(mark), embedded.reads(mark))


def test_dispatch_costs_what_is_due(metered: Store, embedded: Backend) -> None:
    """Asking for due work reads only what is due, however much waits."""
    with metered.batch() as batch:
        for number in range(100):
            metered.work.create(Work(user_id=f"u{number}", due_at=LATER, generation="g"), batch)
        metered.work.create(Work(user_id="now", due_at=NOW, generation="g"), batch)
    mark = embedded.ledger.mark()

    assert ["now"] == [one.value.user_id for one in metered.work.due(NOW, 50)]
    assert 1 == embedded.reads(mark)


def test_a_passing_failure_of_firestore_is_repeated(metered: Store, embedded: Backend) -> None:
    """One unavailable answer to a get and to a commit is not seen by the caller."""
    embedded.faults.inject(Fault("firestore", "Commit", status=503))
    embedded.faults.inject(Fault("firestore", "BatchGetDocuments", status=503))

    metered.connections.create(connection())

    assert metered.connections.load("anna") is not None


def test_a_lost_answer_is_not_taken_for_a_lost_race(metered: Store, embedded: Backend) -> None:
    """A commit that was done but not answered, and then found done, is trouble that passes: who won is not known."""
    embedded.faults.inject(Fault("firestore", "Commit", drop_answer=True))

    with pytest.raises(google_errors.ServiceUnavailable):
        metered.connections.create(connection())
    assert metered.connections.load("anna") is not None


def test_a_lost_race_costs_no_reads(metered: Store, embedded: Backend) -> None:
    """Who loses to another version has nothing to look up; only a taken name is looked at."""
    old = metered.syncs.create(Sync(user_id="anna", generation="g", mailbox_key=BOX, cursor=1))
    metered.syncs.update(old, cursor=2)
    batch = metered.batch()
    metered.notices.create("anna", notice("m1"), batch)
    metered.syncs.update(old, batch, cursor=3)
    mark = embedded.ledger.mark()

    with pytest.raises(Lost):
        batch.commit()

    assert 0 == embedded.reads(mark)


class Large:
    """What a function holds while it writes."""


def test_a_lost_write_keeps_nothing_of_who_made_it(store: Store) -> None:
    """Who came second holds nothing any longer once it has ended, before any garbage collection."""
    send = Send(
        user_id="anna", key_hash="lost", body_hash="b", state=SendState.CLAIMED, version=1, generation="g",
        expires_at=LATER, changed_at=NOW, marker="m",
    )  # fmt: skip
    store.sends.create(send)

    def lose() -> weakref.ref[Large]:
        large = Large()
        kept = weakref.ref(large)
        try:
            store.sends.create(send)
        except Lost:
            return kept
        raise AssertionError("it was created twice")

    gc.disable()
    try:
        assert lose()() is None
    finally:
        gc.enable()
