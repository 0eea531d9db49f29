"""The directory as the CRM fills it and the product reads it, on both Firestores."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from common.auth import Caller
from common.directory import Changes, directory, refresh_user
from common.directory_load import DirectoryAnswer, DirectoryBody, RecordResult, UnverifiedDirectory, apply_upsert
from common.errors import BadRequest, Conflict, TooLarge
from common.model import PERMISSION, Deal, User
from common.store.client import Store
from local.faults import Fault
from tests.integration.store_rig import BACKENDS, Backend, close_store, open_store, started

pytestmark = pytest.mark.integration

ANNA = {"id": "anna", "active": True, "permissions": [PERMISSION], "role": "sales"}
MIA = {"id": "mia", "name": "Mia", "addresses": ["mia@customer.example"], "owner": "anna"}
DEAL = {"id": "d1", "title": "t", "state": "open", "closing_date": "2026-10-31", "contacts": ["mia"]}


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


def upsert(**body: Any) -> DirectoryAnswer:
    """The answer to a body as it comes over the wire."""
    return apply_upsert(msgspec.json.decode(json.dumps(body), type=UnverifiedDirectory))


def codes(answer: DirectoryAnswer) -> list[str]:
    """What became of each record: ``ok`` or the code of its refusal."""
    return ["ok" if result.ok else result.code for result in answer.results]


def caller(issued_at: datetime, role: str = "sales") -> Caller:
    """Anna, as a token tells of her."""
    return Caller("anna", role, frozenset({PERMISSION}), "", issued_at, is_admin=False)


def test_what_was_upserted_is_read(store: Store) -> None:
    """Users, contacts and deals are found by id, by address and by contact."""
    upsert(users=[ANNA], contacts=[MIA], deals=[DEAL])

    user, contact, deal = directory().load_user("anna"), directory().contact("mia"), directory().deal("d1")

    assert user is not None
    assert (True, "sales") == (user.active, user.role)
    assert [contact] == directory().contacts_by_addresses(["mia@customer.example", "x@x.example"])[
        "mia@customer.example"
    ]
    assert [deal] == directory().deals_of_contacts(["mia"])
    assert {"mia": contact} == directory().contacts(["mia", "nobody"])
    assert {"anna": user} == directory().load_users(["anna", "nobody"])


def test_a_wrong_record_spoils_no_other(store: Store) -> None:
    """Each record is answered by its place; those that are right are stored."""
    future = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    outcome = upsert(
        users=[ANNA, {"id": "a/b", "active": True}, {"id": "ben"}, 5, {**ANNA, "id": "carla", "invented": 1}],
        contacts=[{**MIA, "addresses": [{"address": "mia@customer.example", "added_at": future}]}, {"id": "c2"}],
        deals=[{**DEAL, "state": "secret-word"}, {**DEAL, "closing_date": "31.10.2026"}],
    )

    expected = ["ok", "invalid-id", "invalid-record", "invalid-record", "invalid-record"]
    assert [*expected, "added-at-in-future", "ok", "invalid-record", "invalid-record"] == codes(outcome)
    assert RecordResult(kind="users", index=0, ok=True, id="anna") == outcome.results[0]
    assert "secret-word" not in msgspec.json.encode(outcome).decode()
    assert (None, None) == (directory().contact("mia"), directory().load_user("carla"))
    assert directory().contact("c2") is not None


def test_deleted_records_are_gone_for_readers_and_seen_as_changes(store: Store) -> None:
    """A deleted contact and deal are found by no reader, but told to whoever asks what changed."""
    upsert(users=[ANNA], contacts=[MIA], deals=[DEAL])
    outcome = upsert(
        contacts=[{"id": "mia", "deleted": True}, {"id": "unknown", "deleted": True}],
        deals=[{"id": "d1", "deleted": True}],
    )

    assert ["ok", "ok", "ok"] == codes(outcome)
    assert (None, None) == (directory().contact("mia"), directory().deal("d1"))
    assert {} == directory().contacts_by_addresses(["mia@customer.example"])
    assert [] == directory().deals_of_contacts(["mia"])
    (deal,) = directory().changed_deals(None).records
    assert (True, ("mia",)) == (deal.deleted, deal.former_contact_ids)
    assert ["mia"] == [one.contact_id for one in directory().changed_contacts(None).records]


def test_a_record_twice_in_a_body_counts_in_order(store: Store) -> None:
    """Of two records with one id the later holds, and knows what the earlier said."""
    upsert(deals=[DEAL, {**DEAL, "contacts": ["other"]}])

    deal = directory().deal("d1")

    assert deal is not None
    assert (("other",), ("mia",)) == (deal.contact_ids, deal.former_contact_ids)


def test_saying_the_same_again_is_no_change(store: Store) -> None:
    """A deal stated again, even by a full load, does not look changed to the dispatch."""
    upsert(contacts=[MIA], deals=[DEAL])
    before = store.deals.load("d1")

    upsert(deals=[DEAL])
    assert before == store.deals.load("d1")
    upsert(deals=[DEAL], full_load="load-1")
    after = store.deals.load("d1")

    assert before is not None
    assert after is not None
    assert (before.value.updated_at, "load-1") == (after.value.updated_at, after.value.full_load)


def test_users_who_may_no_longer_owe_a_suspension(store: Store) -> None:
    """Users made inactive, deleted or without the permission owe one, once; others do not."""
    upsert(users=[{**ANNA, "id": name} for name in ("anna", "ben", "carla", "dora")])
    change = [
        {**ANNA, "active": False},
        {"id": "ben", "deleted": True},
        {"id": "carla", "active": True},
        {**ANNA, "id": "dora"},
    ]

    upsert(users=change)
    assert {"anna", "ben", "carla"} == set(store.users.owing_suspension())
    for user_id in ("anna", "ben", "carla"):
        store.users.patch(user_id, suspension_owed=False)
    upsert(users=change)
    assert [] == store.users.owing_suspension()


def test_a_full_load_deletes_what_it_did_not_name(store: Store) -> None:
    """Of the kinds that the load named, what it left out is deleted; refused records and other kinds stay."""
    upsert(users=[ANNA], contacts=[MIA, {"id": "c2"}, {"id": "c3", "addresses": ["x@x.example"]}], deals=[DEAL])

    upsert(contacts=[MIA], full_load="load-1")
    upsert(contacts=[{"id": "c3", "addresses": ["broken"]}], full_load="load-1")
    outcome = upsert(full_load="load-1", done=True)

    assert ([], False) == (outcome.results, outcome.more)
    assert {"mia", "c3"} == directory().contacts(["mia", "c2", "c3"]).keys()
    assert directory().deal("d1") is not None
    assert directory().load_user("anna") is not None


def test_an_empty_list_names_a_kind(store: Store) -> None:
    """A full load that says there are no deals deletes all of them, and its users stop."""
    upsert(users=[ANNA], deals=[DEAL])

    upsert(users=[], deals=[], full_load="load-1", done=True)

    assert (["anna"], None) == (store.users.owing_suspension(), directory().deal("d1"))


def test_what_came_while_a_full_load_ran_stays(store: Store) -> None:
    """A record that the CRM wrote beside the load, after it had begun, is not taken for left out."""
    upsert(contacts=[MIA], full_load="load-1")
    upsert(contacts=[{"id": "new"}])

    upsert(full_load="load-1", done=True)

    assert {"mia", "new"} == directory().contacts(["mia", "new"]).keys()


def test_only_a_load_that_has_begun_can_end(store: Store) -> None:
    """The end of an unknown load, or of one that a later load has replaced, deletes nothing."""
    upsert(contacts=[MIA])
    with pytest.raises(Conflict) as unknown:
        upsert(full_load="never", done=True)
    upsert(contacts=[], full_load="first")
    upsert(contacts=[MIA], full_load="second")
    with pytest.raises(Conflict) as replaced:
        upsert(full_load="first", done=True)

    assert ("full-load-unknown", "full-load-unknown") == (unknown.value.code, replaced.value.code)
    assert directory().contact("mia") is not None


def test_a_load_that_has_ended_takes_no_more(store: Store) -> None:
    """Ending twice is harmless; going on after the end is refused and changes nothing, since an id is for one load."""
    upsert(contacts=[MIA], full_load="load-1", done=True)

    assert False is upsert(full_load="load-1", done=True).more
    with pytest.raises(Conflict) as refused:
        upsert(contacts=[{"id": "c2"}], full_load="load-1", done=True)
    assert "full-load-ended" == refused.value.code
    assert {"mia"} == directory().contacts(["mia", "c2"]).keys()


def test_a_long_end_says_that_there_is_more(store: Store) -> None:
    """Four hundred records left out are deleted in bounded steps until nothing more is to do; repeating is harmless."""
    upsert(contacts=[{"id": f"c{number}"} for number in range(400)])
    upsert(contacts=[MIA], full_load="load-1")

    steps = [upsert(full_load="load-1", done=True).more for _ in range(3)]

    assert [True, False, False] == steps
    assert {"mia"} == directory().contacts([*(f"c{number}" for number in range(0, 400, 7)), "mia"]).keys()


def test_bodies_beyond_the_limits_are_refused(store: Store) -> None:
    """More than 400 records, an end without a load, and an id that is none are refused before anything is written."""
    with pytest.raises(TooLarge):
        upsert(users=[ANNA] * 200, contacts=[MIA] * 201)
    with pytest.raises(BadRequest):
        upsert(done=True)
    with pytest.raises(BadRequest):
        upsert(contacts=[MIA], full_load="a/b")

    assert directory().contact("mia") is None


def test_concurrent_upserts_of_one_contact_both_count(store: Store) -> None:
    """Ten bodies that write the same contact at once leave one whole record, and none fails."""

    def write(number: int) -> list[str]:
        return codes(upsert(contacts=[{**MIA, "name": f"n{number}"}, {"id": f"c{number}"}]))

    with ThreadPoolExecutor(5) as threads:
        assert [["ok", "ok"]] * 5 == list(threads.map(write, range(5)))
    assert {f"c{number}" for number in range(5)} == directory().contacts(f"c{number}" for number in range(5)).keys()


def test_changes_are_paged(store: Store) -> None:
    """Pages of changed and of closing deals hold each deal once."""
    upsert(deals=[{**DEAL, "id": f"d {number}"} for number in range(5)])
    october = (date(2026, 10, 1), date(2026, 10, 31))

    def follow(read: Callable[[str], Changes[Deal]]) -> list[str]:
        changes = read("")
        seen = [deal.deal_id for deal in changes.records]
        while changes.next_page:
            changes = read(changes.next_page)
            seen += [deal.deal_id for deal in changes.records]
        return sorted(seen)

    expected = [f"d {number}" for number in range(5)]
    assert expected == follow(lambda page: directory().changed_deals(None, page=page, limit=2))
    assert expected == follow(lambda page: directory().open_deals_closing(*october, page=page, limit=2))


def test_the_form_for_reading_takes_what_the_form_for_describing_does() -> None:
    """The body as described and as read have the same members."""
    assert DirectoryBody.__struct_fields__ == UnverifiedDirectory.__struct_fields__


def test_a_token_brings_its_user_in_once(metered: Store, embedded: Backend) -> None:
    """The first token writes the user; further ones of the day cost no read and no write."""
    now = datetime.now(UTC)
    known = refresh_user(caller(now), None)
    mark = embedded.ledger.mark()

    again = refresh_user(caller(now), known)

    assert (known, []) == (again, embedded.calls(mark))
    loaded = directory().load_user("anna")
    assert loaded is not None
    assert (True, "sales", frozenset({PERMISSION})) == (loaded.active, loaded.role, loaded.permissions)


def test_a_token_does_not_overtake_the_directory(store: Store) -> None:
    """A user who was deleted after the request had read it, by a CRM that is right, is not brought back."""
    upsert(users=[ANNA])
    stale = directory().load_user("anna")
    issued_at = datetime.now(UTC)
    upsert(users=[{"id": "anna", "deleted": True}])

    told = refresh_user(caller(issued_at, role="manager"), stale)

    loaded = directory().load_user("anna")
    assert loaded is not None
    assert (False, False) == (told.active, loaded.active)


def test_a_later_token_revives(store: Store) -> None:
    """A token issued after its user was made inactive takes the user back, mark and all."""
    upsert(users=[{"id": "anna", "deleted": True}])

    refresh_user(caller(datetime.now(UTC) + timedelta(seconds=5)), directory().load_user("anna"))

    loaded = directory().load_user("anna")
    assert loaded is not None
    assert (True, False, None, None) == (loaded.active, loaded.deleted, loaded.inactive_since, loaded.expires_at)


def test_being_heard_of_is_no_change(metered: Store, embedded: Backend) -> None:
    """After a day one write notes that the user is there, without touching the time of the last change."""
    upsert(users=[ANNA])
    embedded.clock.advance(90_000)
    before = directory().load_user("anna")
    mark = embedded.ledger.mark()

    told = refresh_user(caller(datetime.now(UTC)), before)

    loaded = directory().load_user("anna")
    assert loaded is not None
    assert before is not None
    assert (before.updated_at, told.heard_at) == (loaded.updated_at, loaded.heard_at)
    assert 1 == embedded.writes(mark)


def test_an_upsert_costs_one_read_and_one_write_a_record(metered: Store, embedded: Backend) -> None:
    """Two hundred new records are one read and one write each in two calls, stating them again is reads alone."""
    contacts = [{"id": f"c{number}", "addresses": [f"a{number}@x.example"]} for number in range(200)]
    mark = embedded.ledger.mark()
    upsert(contacts=contacts)
    first = (embedded.reads(mark), embedded.writes(mark), len(embedded.calls(mark)))

    mark = embedded.ledger.mark()
    upsert(contacts=contacts)

    assert (200, 200, 2) == first
    assert (200, 0) == (embedded.reads(mark), embedded.writes(mark))


def test_an_upsert_whose_answer_was_lost_can_be_repeated(metered: Store, embedded: Backend) -> None:
    """A body that is sent again after an error ends as if it had been sent once."""
    embedded.faults.inject(Fault("firestore", "BatchGetDocuments", status=503))
    embedded.faults.inject(Fault("firestore", "Commit", status=409))

    assert ["ok"] == codes(upsert(contacts=[MIA]))
    assert ["ok"] == codes(upsert(contacts=[MIA]))
    assert directory().contact("mia") is not None


def test_unknown_users_are_not_made_up(store: Store) -> None:
    """Nobody is known before the CRM or a token has told of anyone."""
    assert directory().load_user("anna") is None
    assert {} == directory().load_users(["anna"])


def test_a_user_the_directory_has_deleted_reads_as_such(store: Store) -> None:
    """A deleted user is told as deleted, not as unknown: the difference decides whether a token may make one."""
    upsert(users=[{"id": "anna", "deleted": True}])

    loaded = directory().load_user("anna")

    assert isinstance(loaded, User)
    assert (True, False) == (loaded.deleted, loaded.active)
