"""The timeline over several mailboxes: pages, copies of one mail, mailboxes in trouble, and who is asked at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from common import clock
from common.colleagues import View
from common.directory import directory
from common.model import PERMISSION, Contact, ContactAddress, Policy, Sender, Share, SharingLevel, User
from common.store.client import store
from common.timeline import load_timeline
from common.timeline_api import EmailsBody, EntryRow, Timeline
from tests.integration import google_rig
from tests.integration.google_rig import ANNA, BEN, Google

pytestmark = pytest.mark.integration

MIA = "mia@customer.example"
DATE = "Tue, 24 Nov 2026 10:00:00 +0000"
HINT = "User-rate limit exceeded.  Retry after 2099-01-01T00:00:00.000Z"


@pytest.fixture(autouse=True)
def _directory() -> Iterator[None]:
    """The directory keeps the store that it was made with."""
    directory.cache_clear()
    yield
    directory.cache_clear()


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    """Anna, who shares everything, and Ben, who looks; a mailbox has a second to answer."""
    monkeypatch.setenv("MAILBOX_TIMEOUT_S", "1")
    with google_rig.running(monkeypatch, tmp_path) as running:
        connect(running, "anna", ANNA)
        connect(running, "ben", BEN)
        yield running


def connect(google: Google, user_id: str, address: str, sharing: SharingLevel = SharingLevel.PUBLIC) -> User:
    google.connect(user_id, address)
    store().connections.patch(user_id, sharing=sharing)
    user = User(
        user_id=user_id, active=True, permissions=frozenset({PERMISSION}), name=user_id.title(), heard_at=clock.now()
    )
    store().users.save(user)
    return user


def view(viewer: str = "ben", *addresses: str) -> View:
    entries = tuple(
        ContactAddress(address=one, added_at=clock.now() - timedelta(days=90)) for one in addresses or (MIA,)
    )
    contact = Contact(contact_id="mia", name="Mia", addresses=entries, visible_to=("everyone",))
    held = store().users.load(viewer)
    assert held is not None
    return View(held.value, Policy(), (contact,))


def look(viewer: str = "ben", **body: Any) -> Timeline:
    return load_timeline(view(viewer), EmailsBody(**body), "contact mia").timeline


def deliver(google: Google, *to: str, at_s: float = 0, **headers: str) -> str:
    """A mail of Mia's, received so many seconds ago; returns its id in the first mailbox."""
    told = {"From": f"Mia <{MIA}>", "To": ", ".join(to), "Subject": "Hello", "Date": DATE, **headers}
    raw = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items()) + "\r\nHello\r\n"
    at = google.clock.now() - timedelta(seconds=at_s)
    return google.gmail.deliver(raw.encode(), to=list(to), at=at)[to[0]]


def ids(entries: list[EntryRow]) -> list[str]:
    return [entry.id for entry in entries]


def states(timeline: Timeline) -> dict[str, str]:
    return {row.owner: row.state for row in timeline.mailboxes}


def walk(**body: Any) -> list[Timeline]:
    """All pages."""
    pages = [look(**body)]
    while pages[-1].next_page_token:
        pages.append(look(**body, page_token=pages[-1].next_page_token))
        assert len(pages) < 50
    return pages


# ---- Pages


def test_pages_over_two_mailboxes_neither_repeat_nor_hide(google: Google) -> None:
    """Page by page, both mailboxes' mails come once, newest first, whatever arrives meanwhile."""
    mails = [deliver(google, ANNA if number % 3 else BEN, at_s=1000 - number) for number in range(11)]

    first = look(page_size=4)
    deliver(google, ANNA, Subject="new")
    rest = look(page_size=4, page_token=first.next_page_token)
    last = look(page_size=4, page_token=rest.next_page_token)

    assert mails[::-1] == ids([*first.entries, *rest.entries, *last.entries])
    assert "" == last.next_page_token


def test_mails_of_one_second_come_once(google: Google) -> None:
    """Gmail searches by seconds; a mailing of many mails in one is paged through all the same."""
    at_s = 100.0
    mails = {deliver(google, ANNA, Subject=f"Mail {number}", at_s=at_s) for number in range(9)}

    told = [one for page in walk(page_size=2) for one in ids(page.entries)]

    assert mails == set(told)
    assert 9 == len(told)


def test_mail_that_is_not_shared_does_not_stop_the_pages(google: Google) -> None:
    """Mail that is not to be seen is passed over within the page: it leaves no gap, and no page that is empty."""
    store().connections.patch("anna", excluded_domains=("bank.example",))
    shown = deliver(google, ANNA, at_s=900)
    for number in range(5):
        deliver(google, ANNA, at_s=100 + number, Cc="x@bank.example")

    pages = walk(page_size=2)

    assert [[shown]] == [ids(page.entries) for page in pages]


# ---- One entry a mail


def test_a_mail_that_several_got_is_one_entry(google: Google) -> None:
    """What Mia wrote to both is told once: as the reader's own, with the colleague's copy named."""
    mail_id = deliver(google, BEN, ANNA, Message_ID="<one@customer.example>")

    (seen_by_ben,) = look().entries
    (seen_by_anna,) = look("anna").entries

    assert ("ben", mail_id, ["anna"]) == (seen_by_ben.owner, seen_by_ben.id, [one.owner for one in seen_by_ben.copies])
    assert ("anna", ["ben"]) == (seen_by_anna.owner, [one.owner for one in seen_by_anna.copies])


@pytest.mark.parametrize(
    "forged",
    [{"Subject": "Other"}, {"From": "Evil <mia@customer.example>"}, {"Date": "Tue, 24 Nov 2026 10:00:01 +0000"}],
)
def test_a_forged_message_id_hides_nothing(google: Google, forged: dict[str, str]) -> None:
    """Two mails with one Message-ID are two, unless From, Date and Subject agree as well."""
    genuine = deliver(google, ANNA, Message_ID="<one@customer.example>")
    other = deliver(google, BEN, Message_ID="<one@customer.example>", **forged)  # type: ignore[arg-type]  # no header is at_s

    assert {genuine, other} == set(ids(look().entries))


def test_a_perfect_forgery_stands_beside_as_a_copy(google: Google) -> None:
    """Where all four agree they are one entry, in which each mailbox's mail can be opened."""
    genuine = deliver(google, ANNA, Message_ID="<one@customer.example>")
    other = deliver(google, BEN, Message_ID="<one@customer.example>")

    (entry,) = look().entries

    assert (other, [genuine]) == (entry.id, [one.id for one in entry.copies])


def test_twins_in_one_mailbox_are_two(google: Google) -> None:
    """In one mailbox no mail stands for another."""
    mails = [deliver(google, ANNA, Message_ID="<one@customer.example>", at_s=9 - number) for number in range(2)]

    assert mails[::-1] == ids(look().entries)


# ---- Mailboxes in trouble


def test_a_slow_mailbox_is_named_and_comes_late(google: Google) -> None:
    """The answer does not wait for a mailbox that hangs; its mail comes on a later page."""
    hers = deliver(google, ANNA, at_s=50)
    his = [deliver(google, BEN, at_s=100 - number) for number in range(3)][::-1]
    look()
    google.inject("gmail", "users.messages.list", mailbox=ANNA, delay_s=2.5, count=2)
    started_s = time.monotonic()

    first = look(page_size=2)
    took_s = time.monotonic() - started_s
    google.faults.clear()
    second = look(page_size=2, page_token=first.next_page_token)

    assert took_s < 2.4
    assert {"ben": "ok", "anna": "slow"} == states(first)
    assert his[:2] == ids(first.entries)
    assert {"ben": "ok", "anna": "ok"} == states(second)
    assert [hers, his[2]] == ids(second.entries)


def test_a_page_of_nothing_but_trouble_has_no_next(google: Google) -> None:
    """Where only mailboxes in trouble have more, the same request is to be repeated: no token leads in circles."""
    deliver(google, ANNA)
    google.inject("gmail", "users.messages.list", mailbox=ANNA, status=429, reason="rateLimitExceeded", message=HINT)

    page = look()

    assert ({"ben": "ok", "anna": "rate_limited"}, "") == (states(page), page.next_page_token)
    assert [False, True] == [row.has_more for row in page.mailboxes]


def test_a_batch_that_breaks_off_hides_nothing(google: Google) -> None:
    """Mail below one that could not be had waits; what stands above it is told, and the mailbox is named."""
    mails = [deliver(google, ANNA, at_s=100 - number) for number in range(4)][::-1]
    google.inject(
        "gmail", "users.messages.get", mailbox=ANNA, status=403, reason="userRateLimitExceeded", message=HINT, skip=2,
        count=9,
    )  # fmt: skip

    broken = look()

    assert mails[:2] == ids(broken.entries)
    assert "rate_limited" == states(broken)["anna"]


def test_a_crash_in_one_mailbox_stays_there(google: Google) -> None:
    """An answer of Google's that nobody understands takes one mailbox away, not the page."""
    his = deliver(google, BEN)
    google.inject("gmail", "users.messages.list", mailbox=ANNA, status=500, reason="backendError", count=5)

    page = look()

    assert [his] == ids(page.entries)
    assert {"ben": "ok", "anna": "unavailable"} == states(page)


def test_a_colleague_spends_a_share_of_the_quota(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Looking into another's mailbox has a budget; one's own has not, and the owner keeps hers."""
    monkeypatch.setenv("COLLEAGUE_SHARE", "0.01")
    with google_rig.running(monkeypatch, tmp_path) as google:
        connect(google, "anna", ANNA)
        connect(google, "ben", BEN)
        mails = [deliver(google, ANNA, at_s=number) for number in range(4)]

        pages = [look(), look("anna")]

        assert [{"ben": "ok", "anna": "rate_limited"}, {"anna": "ok", "ben": "ok"}] == [states(page) for page in pages]
        assert [[], mails] == [ids(page.entries) for page in pages]


# ---- Who is asked


def colleagues(google: Google, count: int, sharing: SharingLevel = SharingLevel.PUBLIC) -> list[str]:
    """So many more users with mailboxes."""
    names = [f"user{number:02}" for number in range(count)]
    for name in names:
        address = f"{name}@demo-crm.example"
        google.accounts.add(address, name)
        google.gmail.add_mailbox(address, name=name)
        connect(google, name, address, sharing)
    return names


def test_ten_mailboxes_are_asked_and_the_rest_is_named(google: Google) -> None:
    """Of a company that shares everything ten mailboxes answer a page; the others can be asked for."""
    names = colleagues(google, 11)
    mail_id = deliver(google, f"{names[-1]}@demo-crm.example")

    page = look()
    rest = [row.owner for row in page.mailboxes if row.state == "not_asked"]
    asked = look(mailboxes=rest)

    assert ("ben", 10, 3) == (page.mailboxes[0].owner, list(states(page).values()).count("ok"), len(rest))
    assert [] == page.entries
    assert [mail_id] == ids(asked.entries)
    assert set(rest) == set(states(asked))


def test_later_pages_do_not_look_complete(google: Google) -> None:
    """What a page does not ask, and named before, is told of again."""
    colleagues(google, 10)
    for number in range(2):
        deliver(google, ANNA, at_s=number)

    first, second = walk(page_size=1)

    assert [2, 0] == [list(states(page).values()).count("not_asked") for page in (first, second)]
    assert [False, True] == [page.more_mailboxes for page in (first, second)]


def test_a_company_of_five_hundred_is_not_asked_five_hundred_times(google: Google) -> None:
    """Where all share everything ten mailboxes are asked a page, some are named, and that there are more is said."""
    held = store().connections.load("anna")
    assert held is not None
    for number in range(500):
        name = f"user{number:03}"
        store().users.save(
            User(user_id=name, active=True, permissions=frozenset({PERMISSION}), name=name, heard_at=clock.now())
        )
        store().connections.save(
            replace(held.value, user_id=name, mailbox_key=f"key{number}", address=f"{name}@x.example")
        )
    deliver(google, ANNA)
    mark = google.ledger.mark()

    page = look()

    reads = sum(call.units for call in google.ledger.since(mark, service="firestore"))
    asked = [one for one in page.mailboxes if one.state != "not_asked"]
    assert (10, True) == (len(asked), page.more_mailboxes)
    assert 50 <= len(page.mailboxes) <= 60
    assert reads < 400


def test_where_mail_is_known_to_be_comes_first(google: Google) -> None:
    """A mailbox that has shared the contact is asked before those that merely might have mail."""
    colleagues(google, 11)
    last = [owner for owner, state in states(look()).items() if state == "not_asked"][-1]
    held = store().connections.load(last)
    assert held is not None
    store().shares.save(
        Share(
            owner=last, contact_id="mia", addresses=(MIA,), mailbox_key=held.value.mailbox_key, shared=True,
            at=clock.now(),
        )
    )  # fmt: skip

    assert "ok" == states(look())[last]


def test_the_order_of_mailboxes_does_not_tell_who_has_had_mail(google: Google) -> None:
    """A colleague's notice of the contact's mail, which may be hidden, moves no mailbox to the front."""
    colleagues(google, 2)
    before = [row.owner for row in look().mailboxes]
    held = store().connections.load("user01")
    assert held is not None
    store().senders.save(
        "user01",
        Sender(
            address=MIA, contact_ids=("mia",), mailbox_key=held.value.mailbox_key, last_received_at=clock.now(),
            expires_at=clock.now() + timedelta(days=1),
        ),
    )  # fmt: skip

    assert ["ben", "anna", "user00", "user01"] == before
    assert before == [row.owner for row in look().mailboxes]


def test_private_mailboxes_are_not_named(google: Google) -> None:
    """Who shares nothing is not named, not even when asked for by name; nor is who does not exist."""
    store().connections.patch("anna", sharing=SharingLevel.PRIVATE)
    deliver(google, ANNA)

    assert {"ben": "ok"} == states(look())
    assert {} == states(look(mailboxes=["anna"]))
    assert {} == states(look(mailboxes=["nobody"]))


def test_a_mailbox_of_ones_own_is_asked_once(google: Google) -> None:
    """A team's mailbox that both have connected is the reader's own."""
    connect(google, "carla", ANNA)
    mail_id = deliver(google, ANNA)

    page = look("carla")

    assert [("carla", mail_id)] == [(entry.owner, entry.id) for entry in page.entries]
    assert {"carla": "ok", "ben": "ok"} == states(page)


@pytest.mark.parametrize("message_id", ["<one@customer.example>", ""])
def test_a_mailbox_of_several_colleagues_tells_a_mail_once(google: Google, message_id: str) -> None:
    """A team's mailbox that two colleagues have connected and share is asked for both, and its mail is one entry."""
    connect(google, "carla", ANNA)
    deliver(google, ANNA, **({"Message_ID": message_id} if message_id else {}))  # type: ignore[arg-type]  # no header is at_s

    (entry,) = look().entries

    assert {"anna", "carla"} == {entry.owner, *(one.owner for one in entry.copies)}


def test_a_contact_without_addresses_asks_nobody(google: Google) -> None:
    """There is nothing to look for: an empty page, and no call."""
    contact = Contact(contact_id="mia", name="Mia", addresses=(), visible_to=("everyone",))
    held = store().users.load("ben")
    assert held is not None

    page = load_timeline(View(held.value, Policy(), (contact,)), EmailsBody(), "contact mia").timeline

    assert ([], {"ben": "ok"}) == (page.entries, states(page))
    assert 0 == google.count("gmail", "users.messages.list")
