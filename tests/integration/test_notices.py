"""Notices and the summary of contacts, on the embedded Firestore and on Google's emulator, without Gmail."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from common import clock
from common.auth import Caller
from common.contact_summary import ContactsBody, summarise
from common.errors import BadRequest
from common.model import (
    PERMISSION,
    Category,
    Connection,
    Contact,
    ContactAddress,
    Deal,
    DealState,
    Notice,
    Send,
    Sender,
    SendState,
    Sync,
    User,
)
from common.notices import NoticesQuery, ReadBody, list_notices, mark_read, new_etag, poll
from common.session import Member
from common.store.client import Store
from tests.integration.store_rig import BACKENDS, Backend, close_store, open_store, started

pytestmark = pytest.mark.integration

MIA, JONAS = "mia@customer.example", "jonas@weber.example"


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with started(request.param, tmp_path_factory.mktemp("notices")) as running:
        yield running


@pytest.fixture
def store(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store with Anna connected, MailMagnet on, and a contact of everybody's."""
    monkeypatch.setenv("SEALING_KEYS", base64.b64encode(b"s" * 32).decode())
    opened = open_store(backend, monkeypatch)
    now = clock.now()
    user = User(user_id="anna", active=True, role="sales", permissions=frozenset({PERMISSION}), heard_at=now)
    opened.users.save(user)
    opened.connections.save(CONNECTION)
    opened.syncs.save(Sync(user_id="anna", generation="g1", mailbox_key="box", cursor=7))
    opened.contacts.save(contact("mia", MIA))
    yield opened
    close_store()


CONNECTION = Connection(
    user_id="anna",
    address="anna@demo-crm.example",
    mailbox_key="box",
    generation="g1",
    secret="s",
    scopes=frozenset(),
    connected_at=datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
    mailmagnet=True,
)


def contact(contact_id: str, *addresses: str, visible_to: tuple[str, ...] = ("everyone",)) -> Contact:
    listed = tuple(ContactAddress(address=one, added_at=clock.now()) for one in addresses)
    return Contact(contact_id=contact_id, name=contact_id.title(), addresses=listed, visible_to=visible_to)


def member(store: Store) -> Member:
    """Anna, as a request finds her."""
    context = store.load_context("anna")
    assert context.user is not None
    caller = Caller("anna", "sales", frozenset({PERMISSION}), "", clock.now(), is_admin=False)
    return Member(caller, context, context.user.value)


def add_notice(store: Store, number: int, sender: str = MIA, **more: Any) -> str:
    """A notice, received so many minutes ago; the name of its mail."""
    now = clock.now().replace(microsecond=0)
    known = Notice(
        mail_id=f"mail{number}",
        from_address=sender,
        received_at=now - timedelta(minutes=number),
        mailbox_key="box",
        expires_at=now + timedelta(days=30),
    )
    notice = replace(known, **more)
    store.notices.save("anna", notice)
    return notice.mail_id


def listed(store: Store, **query: Any) -> list[str]:
    return [one.mail_id for one in list_notices(member(store), NoticesQuery(**query)).notices]


def test_notices_come_newest_first_with_their_contacts(store: Store) -> None:
    """A page names each mail's contacts, where MailMagnet knows it, and what is unread in all."""
    add_notice(store, 2, seen=True, filed=Category.CUSTOMERS, pinned=True)
    add_notice(store, 1, JONAS, unverified=True)

    answer = list_notices(member(store), NoticesQuery())

    newer, older = answer.notices
    assert ("mail1", JONAS, True, "inbox", []) == (
        newer.mail_id,
        newer.from_address,
        newer.unverified,
        newer.place,
        newer.contacts,
    )
    assert ("mail2", True, True, "customers") == (older.mail_id, older.seen, older.pinned, older.place)
    assert [("mia", "Mia")] == [(one.id, one.name) for one in older.contacts]
    assert (1, True) == (answer.unread, answer.mailmagnet)


@pytest.mark.parametrize(
    ("filed", "place"), [("", "inbox"), ("none", "inbox"), ("outside", "outside"), ("open_deals", "open_deals")]
)
def test_place_of_a_mail(store: Store, filed: str, place: str) -> None:
    """A notice says where its mail is known to be, in words for people's programs."""
    add_notice(store, 1, filed=filed)

    assert [place] == [one.place for one in list_notices(member(store), NoticesQuery()).notices]


def test_contacts_of_others_are_not_named(store: Store) -> None:
    """A notice names only contacts that its user may see."""
    store.contacts.save(contact("secret", MIA, visible_to=("ben",)))
    add_notice(store, 1)

    (notice,) = list_notices(member(store), NoticesQuery()).notices

    assert ["mia"] == [one.id for one in notice.contacts]


def test_pages_neither_repeat_nor_skip(store: Store) -> None:
    """Page after page, every notice comes once, also those of one moment."""
    moment = clock.now()
    wanted = {add_notice(store, number, received_at=moment) for number in range(5)}

    first = list_notices(member(store), NoticesQuery(page_size=2))
    second = list_notices(member(store), NoticesQuery(page_size=2, page_token=first.next_page_token))
    third = list_notices(member(store), NoticesQuery(page_size=2, page_token=second.next_page_token))

    pages = [[one.mail_id for one in page.notices] for page in (first, second, third)]
    assert [2, 2, 1] == [len(page) for page in pages]
    assert wanted == {mail_id for page in pages for mail_id in page}
    assert "" == third.next_page_token


def test_page_token_of_another_query_is_refused(store: Store) -> None:
    """A token goes with the question it was made for."""
    for number in range(3):
        add_notice(store, number)
    token = list_notices(member(store), NoticesQuery(page_size=1)).next_page_token

    with pytest.raises(BadRequest):
        list_notices(member(store), NoticesQuery(page_size=1, unread=True, page_token=token))


def test_notices_of_another_mailbox_are_not_shown(store: Store) -> None:
    """What belongs to a mailbox that the user had before is not listed, counted or marked."""
    foreign = add_notice(store, 1, mailbox_key="old box")

    answer = list_notices(member(store), NoticesQuery())
    marked = mark_read(member(store), ReadBody(ids=[foreign]))

    assert ([], 0, 0) == (answer.notices, answer.unread, marked.marked)


def test_named_notices_are_marked_as_read(store: Store) -> None:
    """Those named are read afterwards and no others; unknown ids and a second time do nothing."""
    for number in range(3):
        add_notice(store, number)

    first = mark_read(member(store), ReadBody(ids=["mail0", "mail2", "unknown"]))
    second = mark_read(member(store), ReadBody(ids=["mail0", "mail2"]))

    assert ["mail1"] == listed(store, unread=True)
    assert (2, 0) == (first.marked, second.marked)


def test_notices_are_marked_up_to_a_time(store: Store) -> None:
    """``until`` marks what was received then or before, and leaves what came after the reader looked."""
    for number in range(4):
        add_notice(store, number)
    until = list_notices(member(store), NoticesQuery()).notices[1].received_at

    marked = mark_read(member(store), ReadBody(until=until))

    assert ["mail0"] == listed(store, unread=True)
    assert (3, False) == (marked.marked, marked.more)


def test_many_notices_are_marked_in_several_commits(store: Store) -> None:
    """More than one commit takes are marked all the same."""
    with store.batch() as batch:
        now = clock.now()
        for number in range(350):
            notice = Notice(
                mail_id=f"mail{number}",
                from_address=MIA,
                received_at=now - timedelta(seconds=number),
                mailbox_key="box",
                expires_at=now + timedelta(days=1),
            )
            store.notices.save("anna", notice, batch)

    assert 350 == mark_read(member(store), ReadBody(until=now)).marked
    assert [] == listed(store, unread=True)


@pytest.mark.parametrize(
    "body",
    [
        ReadBody(),
        ReadBody(ids=["mail0"], until=datetime.fromisoformat("2026-01-01T00:00:00+00:00")),
        ReadBody(until=datetime.fromisoformat("2026-01-01T00:00:00")),
    ],
)
def test_unclear_marking_is_refused(store: Store, body: ReadBody) -> None:
    """Either ids or a time with its zone is needed."""
    with pytest.raises(BadRequest):
        mark_read(member(store), body)


def tag(store: Store, query: NoticesQuery | None = None) -> str:
    """The ETag of an answer given now."""
    asked, caller = query or NoticesQuery(), member(store)
    return new_etag(caller, asked, list_notices(caller, asked))


def is_current(store: Store, etag: str, query: NoticesQuery | None = None, user_id: str = "anna") -> bool:
    """Whether the ETag still names the answer."""
    caller = Caller(user_id, "sales", frozenset({PERMISSION}), "", clock.now(), is_admin=False)
    return poll(caller, query or NoticesQuery(), ["of-nobody", etag.removeprefix("W/").strip('"')])[1] == etag


def test_etag_changes_with_what_it_names(store: Store) -> None:
    """The ETag stays until a notice is marked; each query has its own."""
    add_notice(store, 0)
    first = tag(store)

    assert is_current(store, first)
    assert not is_current(store, first, NoticesQuery(unread=True))
    mark_read(member(store), ReadBody(ids=["mail0"]))
    assert not is_current(store, first)
    second = tag(store)
    mark_read(member(store), ReadBody(ids=["mail0"]))
    assert is_current(store, second)


def test_an_etag_is_its_users_alone(store: Store) -> None:
    """Another user's ETag names nothing, whoever sends it."""
    add_notice(store, 0)
    first = tag(store)
    store.users.save(
        User(user_id="ben", active=True, permissions=frozenset({PERMISSION}), role="sales", heard_at=clock.now())
    )

    assert not is_current(store, first, user_id="ben")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Mia Becker"},
        {"visible_to": ("ben",)},
        {"visible_to": ("role:service",)},
        {"deleted": True},
        {"addresses": (ContactAddress(address=JONAS, added_at=clock.now()),)},
    ],
    ids=lambda change: str(next(iter(change))),
)
def test_etag_changes_with_the_contacts_shown(store: Store, change: dict[str, Any]) -> None:
    """A contact that was renamed, hidden, deleted or moved is not named from an answer of before."""
    add_notice(store, 0)
    first = tag(store)
    store.contacts.save(replace(contact("mia", MIA), **change))

    assert not is_current(store, first)
    assert is_current(store, tag(store))


def test_etag_changes_with_contacts_that_come(store: Store) -> None:
    """A second contact with the address, and a role that sees more, are news."""
    store.contacts.save(contact("hidden", MIA, visible_to=("role:service",)))
    add_notice(store, 0)
    first = tag(store)
    store.users.patch("anna", role="service")
    second = tag(store)
    store.contacts.save(contact("mia2", MIA))

    assert not is_current(store, first)
    assert not is_current(store, second)


def test_what_does_not_show_changes_no_etag(store: Store) -> None:
    """Contacts of other addresses may come and go."""
    add_notice(store, 0)
    first = tag(store)
    store.contacts.save(contact("jonas", JONAS))
    store.contacts.save(replace(contact("mia", MIA), owner="anna"))

    assert is_current(store, first)


def test_etag_changes_when_notices_may_have_expired(backend: Backend, store: Store) -> None:
    """The next day has another ETag, since notices expire."""
    first = tag(store)
    backend.clock.advance(86_400)

    assert not is_current(store, first)


def test_a_tag_that_no_header_can_hold_is_not_given(store: Store) -> None:
    """Of very many long addresses no ETag is made."""
    for number in range(20):
        add_notice(store, number, f"{'x' * 200}{number}@customer.example")

    assert "" == tag(store)


def test_without_mailmagnet_there_is_no_etag(store: Store) -> None:
    """Where nothing counts changes, nothing claims that there are none; marking works."""
    add_notice(store, 0)
    store.syncs.delete("anna")

    assert "" == tag(store)
    assert 1 == mark_read(member(store), ReadBody(ids=["mail0"])).marked


def failed_send(store: Store, **more: Any) -> Send:
    """A scheduled mail that did not go."""
    now = clock.now()
    send = Send(
        user_id="anna",
        key_hash="k1",
        body_hash="b",
        state=SendState.FAILED,
        version=1,
        generation="g1",
        expires_at=now + timedelta(days=2),
        changed_at=now,
        draft_id="draft7",
        send_at=now,
        reason="draft-gone",
    )
    send = replace(send, **more)
    store.sends.save(send)
    return send


def test_scheduled_mail_that_failed_is_told(store: Store) -> None:
    """A scheduled mail that could not be sent stands among the notices, with its draft; others do not."""
    add_notice(store, 5)
    sent = failed_send(store)
    store.sends.save(replace(sent, key_hash="k2", send_at=None))
    store.sends.save(replace(sent, key_hash="k3", state=SendState.SENT))

    failed, mail = list_notices(member(store), NoticesQuery()).notices

    assert ("scheduled_send_failed", "draft7", "draft-gone") == (failed.kind, failed.draft_id, failed.problem)
    assert ("mail", "mail5", "mail5") == (mail.kind, mail.mail_id, mail.id)


@pytest.mark.parametrize("by", ["ids", "until"])
def test_scheduled_mail_that_failed_is_marked_as_read(store: Store, by: str) -> None:
    """It counts as unread until it is marked, by its id or up to a time; another's id marks it not."""
    failed_send(store)
    before, first = list_notices(member(store), NoticesQuery()), tag(store)
    other = mark_read(member(store), ReadBody(ids=["mail5"]))
    body = ReadBody(ids=[before.notices[0].id]) if by == "ids" else ReadBody(until=clock.now())

    marked = [mark_read(member(store), body).marked for _ in range(2)]

    after, unread = (list_notices(member(store), NoticesQuery(unread=one)) for one in (False, True))
    assert (False, 1, 0) == (before.notices[0].seen, before.unread, other.marked)
    assert [1, 0] == marked
    assert (True, 0, []) == (after.notices[0].seen, after.unread, unread.notices)
    assert not is_current(store, first)


def test_a_mail_that_failed_again_is_unread_again(store: Store) -> None:
    """What was marked was the failure of before."""
    send = failed_send(store)
    mark_read(member(store), ReadBody(until=clock.now()))
    failed_send(store, changed_at=clock.now() + timedelta(seconds=1), seen_at=send.changed_at)

    assert 1 == list_notices(member(store), NoticesQuery()).unread


# ---- Summary of contacts


def deal(deal_id: str, state: DealState, *contact_ids: str, visible_to: tuple[str, ...] = ("everyone",)) -> Deal:
    return Deal(
        deal_id=deal_id, title="", state=state, closing_date=None, contact_ids=contact_ids, visible_to=visible_to
    )


def add_sender(store: Store, address: str, received_at: datetime, mailbox_key: str = "box") -> None:
    store.senders.save(
        "anna",
        Sender(
            address=address,
            contact_ids=("mia",),
            mailbox_key=mailbox_key,
            expires_at=clock.now() + timedelta(days=30),
            last_received_at=received_at,
        ),
    )


def test_contacts_in_a_list(store: Store) -> None:
    """Each contact has its category, and over all its addresses what is unread and when the last mail came."""
    store.contacts.save(contact("mia", MIA, "mia@home.example"))
    store.contacts.save(contact("jonas", JONAS))
    store.deals.save(deal("d1", DealState.WON, "mia"))
    last = clock.now().replace(microsecond=0)
    add_sender(store, MIA, last - timedelta(hours=1))
    add_sender(store, "mia@home.example", last)
    for number, sender in enumerate((MIA, MIA, "mia@home.example")):
        add_notice(store, number, sender)
    add_notice(store, 9, MIA, seen=True)

    jonas, mia = summarise(member(store), ContactsBody(ids=["jonas", "mia", "jonas"])).contacts

    assert ("jonas", Category.NONE, 0, None) == (jonas.id, jonas.category, jonas.unread, jonas.last_received_at)
    assert ("mia", Category.CUSTOMERS, 3, last) == (mia.id, mia.category, mia.unread, mia.last_received_at)


def test_only_what_the_caller_may_see_is_summarised(store: Store) -> None:
    """Contacts of others are as unknown ones, and deals of others decide nothing."""
    store.contacts.save(contact("secret", JONAS, visible_to=("ben",)))
    store.deals.save(deal("d1", DealState.OPEN, "mia", visible_to=("ben",)))

    answer = summarise(member(store), ContactsBody(ids=["secret", "unknown", "mia"]))

    assert [("mia", Category.NONE)] == [(one.id, one.category) for one in answer.contacts]


def test_contacts_that_share_an_address_have_their_deals_in_common(store: Store) -> None:
    """In a list as on their pages the union decides; by a contact that is out of sight nothing does."""
    store.contacts.save(contact("mia2", MIA, "mia@home.example"))
    store.contacts.save(contact("secret", MIA, visible_to=("ben",)))
    store.deals.save(deal("d1", DealState.OPEN, "mia2"))
    store.deals.save(deal("d2", DealState.WON, "secret"))

    alone, both = (summarise(member(store), ContactsBody(ids=ids)).contacts for ids in (["mia"], ["mia", "mia2"]))

    assert [Category.OPEN_DEALS] == [one.category for one in alone]
    assert [Category.OPEN_DEALS] * 2 == [one.category for one in both]


def test_summary_of_a_former_mailbox_is_empty(store: Store) -> None:
    """What another mailbox of the same user received is not told."""
    add_sender(store, MIA, clock.now(), mailbox_key="old box")

    (mia,) = summarise(member(store), ContactsBody(ids=["mia"])).contacts

    assert (0, None) == (mia.unread, mia.last_received_at)


def test_summary_without_a_connection(store: Store) -> None:
    """Who has connected no mailbox sees categories all the same."""
    store.deals.save(deal("d1", DealState.OPEN, "mia"))
    store.connections.delete("anna")

    (mia,) = summarise(member(store), ContactsBody(ids=["mia"])).contacts

    assert (Category.OPEN_DEALS, 0) == (mia.category, mia.unread)
