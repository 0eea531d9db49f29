"""The product's Gmail client, against the Gmail stand-in over HTTP: what it reads, changes and watches."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from common import clock
from common.errors import BadRequest, Conflict, NotFound, ReauthRequired, Unavailable
from common.gmail.client import Gmail, open_gmail
from common.gmail.errors import HistoryLost
from common.gmail.results import DraftRef, Label, SendAs
from common.oauth import MODIFY
from local.gmail.service import TOPIC
from local.ledger import sequential_round_trips, units
from tests.integration.google_rig import ANNA, MIA, Google, running

pytestmark = pytest.mark.integration


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    with running(monkeypatch, tmp_path) as rig:
        yield rig


@pytest.fixture
def gmail(google: Google) -> Gmail:
    """Anna's mailbox, with the token warm."""
    opened = open_gmail(google.connect())
    opened.list_labels()
    return opened


def deliver(google: Google, count: int = 1, *, raw: bytes | None = None) -> list[str]:
    """Mails from Mia to Anna: their ids, oldest first."""
    return [google.gmail.deliver(raw or mail(f"Angebot {number}"), to=ANNA)[ANNA] for number in range(count)]


def mail(subject: str = "Angebot", body: str = "Guten Tag", sender: str = MIA, to: str = ANNA) -> bytes:
    return f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{body}\r\n".encode()


def subject_of(message: dict[str, object]) -> str:
    headers = message["payload"]["headers"]  # type: ignore[index]
    return str(next(header["value"] for header in headers if header["name"] == "Subject"))


def test_page_of_twenty_costs_406_units_in_two_round_trips(google: Google, gmail: Gmail) -> None:
    """A cold page of 20: the profile beside the list, then one batch."""
    deliver(google, 21)
    google.gmail.app.latency_s = 0.05
    before = google.ledger.mark()
    page, profile = gmail.in_parallel(lambda: gmail.list_messages(limit=20), gmail.fetch_profile)
    fetched = gmail.fetch_messages(page.ids)
    calls = google.ledger.since(before, service="gmail")

    assert (406, 2) == (units(calls), sequential_round_trips(calls))
    assert ANNA == profile.address
    assert 20 == len({subject_of(fetched.messages[message_id]) for message_id in page.ids})


def test_client_counts_its_units_as_google_does(google: Google, gmail: Gmail) -> None:
    """What the client says it spent is what the mailbox was charged."""
    before, spent = google.ledger.mark(), gmail.units
    gmail.fetch_messages(deliver(google, 3))
    gmail.fetch_history(gmail.fetch_profile().history_id)

    assert gmail.units - spent == units(google.ledger.since(before, service="gmail"))


def test_pages_follow_one_another(google: Google, gmail: Gmail) -> None:
    """A page's token leads to the next page, and the last page has none."""
    ids = deliver(google, 3)
    first = gmail.list_messages(limit=2)
    second = gmail.list_messages(limit=2, page_token=first.next_page_token)

    assert (2, 1) == (len(first.ids), len(second.ids))
    assert set(ids) == {*first.ids, *second.ids}
    assert "" == second.next_page_token


def test_search_and_labels_narrow_the_list(google: Google, gmail: Gmail) -> None:
    """Gmail's search syntax and label ids are passed on."""
    wanted, _ = deliver(google, 2)

    assert [wanted] == gmail.list_messages(q='subject:"Angebot 0"', label_ids=["INBOX"]).ids
    assert [] == gmail.list_messages(label_ids=["SENT"]).ids


def test_search_longer_than_an_address_may_be_works(google: Google, gmail: Gmail) -> None:
    """A search over very many addresses, which no URL holds, finds what a short one does."""
    ids = deliver(google)
    others = " ".join(f"from:person{number}@customer.example" for number in range(100))

    assert ids == gmail.list_messages(q=f"{{{others} from:{MIA}}}").ids


def test_foreign_page_token_is_refused(gmail: Gmail) -> None:
    """A page token that is not Gmail's is a bad request."""
    with pytest.raises(BadRequest):
        gmail.list_messages(page_token="no-such-page")


def test_more_than_fifty_go_in_batches(google: Google, gmail: Gmail) -> None:
    """Sixty messages are fetched in a batch of fifty and one of ten; an id given twice is fetched once."""
    ids = deliver(google, 60)
    before = google.ledger.mark()
    fetched = gmail.fetch_messages([*ids, ids[0]], format="minimal")
    requests = [call.http_id for call in google.ledger.since(before, service="gmail")]

    assert (set(ids), 60, 2) == (set(fetched.messages), len(requests), len(set(requests)))


def test_bytes_of_a_batch_are_heard_while_they_come(google: Google, gmail: Gmail) -> None:
    """Who fetches many messages hears how much of them is there, and ends it by what is raised then."""
    ids = deliver(google, 6, raw=mail(to=", ".join(f"u{number}@customer.example" for number in range(5_000))))
    heard: list[int] = []

    def refuse(read_bytes: int) -> None:
        if read_bytes > 300_000:
            raise Unavailable("instance-busy")

    assert set(ids) == set(gmail.fetch_messages(ids, take=heard.append).messages)
    assert (sorted(heard), True) == (heard, heard[-1] > 600_000)
    with pytest.raises(Unavailable) as refusal:
        gmail.fetch_messages(ids, take=refuse)
    assert "instance-busy" == refusal.value.code


def test_gone_messages_are_told_apart(google: Google, gmail: Gmail) -> None:
    """A message deleted in the meantime is gone, which is no failure."""
    kept, gone = deliver(google, 2)
    google.gmail.person_deletes(ANNA, gone)
    fetched = gmail.fetch_messages([kept, gone])

    assert ({kept}, {gone}, set()) == (set(fetched.messages), fetched.gone, set(fetched.failed))
    with pytest.raises(NotFound):
        gmail.fetch_message(gone)


def test_partial_answers_and_headers(google: Google, gmail: Gmail) -> None:
    """Only the fields and headers that were asked for come back."""
    (message_id,) = deliver(google)
    fetched = gmail.fetch_messages([message_id], format="metadata", headers=["Subject"], fields="id,payload/headers")

    headers = [{"name": "Subject", "value": "Angebot 0"}]
    assert {message_id: {"id": message_id, "payload": {"headers": headers}}} == fetched.messages


def test_source_and_attachment_arrive_whole(google: Google, gmail: Gmail) -> None:
    """The source and an attachment's bytes are exactly what was sent."""
    content = bytes(range(256)) * 300
    composed = EmailMessage()
    composed["From"], composed["To"], composed["Subject"] = MIA, ANNA, "Anhang"
    composed.set_content("siehe Anhang")
    composed.add_attachment(content, maintype="application", subtype="octet-stream", filename="plan.bin")
    (message_id,) = deliver(google, raw=composed.as_bytes())
    part = gmail.fetch_message(message_id)["payload"]["parts"][1]

    assert content == gmail.fetch_attachment(message_id, part["body"]["attachmentId"])
    assert base64.encodebytes(content)[:70].strip() in gmail.fetch_raw(message_id)


def test_history_is_read_from_a_cursor(google: Google, gmail: Gmail) -> None:
    """What happened since the cursor comes in order; the new position is a number."""
    start = gmail.fetch_profile().history_id
    (message_id,) = deliver(google)
    page = gmail.fetch_history(start)

    added = [entry["message"]["id"] for record in page.records for entry in record.get("messagesAdded", ())]
    assert ([message_id], "") == (added, page.next_page_token)
    assert page.history_id > start


def test_history_comes_in_pages(google: Google, gmail: Gmail) -> None:
    """A long history is read page by page."""
    start = gmail.fetch_profile().history_id
    ids = deliver(google, 3)
    first = gmail.fetch_history(start, limit=2)
    second = gmail.fetch_history(start, limit=2, page_token=first.next_page_token)

    records = [*first.records, *second.records]
    assert ids == [entry["message"]["id"] for record in records for entry in record.get("messagesAdded", ())]


def test_expired_history_is_lost(google: Google, gmail: Gmail) -> None:
    """A cursor older than the history that Gmail keeps is told as such."""
    start = gmail.fetch_profile().history_id
    deliver(google)
    google.gmail.expire_history(ANNA)

    with pytest.raises(HistoryLost):
        gmail.fetch_history(start)


def test_labels_are_made_renamed_and_deleted(gmail: Gmail) -> None:
    """A label is known by its id, through a rename until its deletion."""
    made = gmail.create_label("Kunden")
    renamed = gmail.update_label(made.label_id, name="Stammkunden")
    listed = [label for label in gmail.list_labels() if label.own]
    gmail.delete_label(made.label_id)

    assert Label(made.label_id, "Kunden", own=True) == made
    assert [Label(made.label_id, "Stammkunden", own=True)] == [renamed] == listed
    with pytest.raises(NotFound):
        gmail.delete_label(made.label_id)


def test_label_has_its_colour(google: Google, gmail: Gmail) -> None:
    """A label is made in the colour asked for, from Gmail's palette."""
    made = gmail.create_label("Kunden", background_color="#16a765", text_color="#ffffff")
    stored = google.gmail.mailbox(ANNA).labels.one(made.label_id)

    assert {"backgroundColor": "#16a765", "textColor": "#ffffff"} == stored["color"]


def test_second_label_of_a_name_conflicts(gmail: Gmail) -> None:
    """Names compare without regard to case."""
    gmail.create_label("Kunden")
    with pytest.raises(Conflict):
        gmail.create_label("kunden")


def test_mails_move_by_labels(google: Google, gmail: Gmail) -> None:
    """batch_modify and modify_message change labels; trash and untrash move to the bin and back."""
    first, second = deliver(google, 2)
    label = gmail.create_label("Kunden").label_id
    gmail.batch_modify([first, second], add=[label], remove=["INBOX"])
    gmail.modify_message(second, add=["STARRED"], remove=["UNREAD"])
    gmail.trash(first)
    trashed = "TRASH" in gmail.fetch_message(first, format="minimal")["labelIds"]
    gmail.untrash(first)
    fetched = gmail.fetch_messages([first, second], format="minimal").messages

    assert trashed
    assert {label, "UNREAD"} == set(fetched[first]["labelIds"])
    assert {label, "STARRED"} == set(fetched[second]["labelIds"])


def test_no_more_than_a_thousand_at_a_time(gmail: Gmail) -> None:
    """Gmail's limit is kept before Gmail is asked."""
    with pytest.raises(ValueError, match="1000"):
        gmail.batch_modify([str(number) for number in range(1001)], add=["STARRED"])


def test_watch_lasts_a_week_and_stops(google: Google, gmail: Gmail) -> None:
    """A watch pushes what is new, until it is stopped."""
    watch = gmail.watch(TOPIC)
    deliver(google)
    pushed = len(google.pushes)
    gmail.stop()
    google.clock.advance(60)
    deliver(google)

    assert timedelta(days=6, hours=23) < watch.expires_at - clock.now() <= timedelta(days=7)
    assert watch.history_id > 0
    assert pushed == len(google.pushes) > 0


def test_anothers_watch_is_replaced(google: Google, gmail: Gmail) -> None:
    """Where Gmail allows no second watch, the first is stopped."""
    google.inject(
        "gmail",
        "users.watch",
        status=400,
        reason="failedPrecondition",
        message="Only one user push notification client allowed per developer (call /stop then try again)",
    )
    before = google.ledger.mark()
    gmail.watch(TOPIC)

    called = [call.method for call in google.ledger.since(before, service="gmail")]
    assert ["users.watch", "users.stop", "users.watch"] == called


def test_drafts_live_and_are_sent(google: Google, gmail: Gmail) -> None:
    """A draft is made, changed, listed, read and sent; then it is gone."""
    made = gmail.create_draft(mail("Entwurf", sender=ANNA, to=MIA))
    changed = gmail.update_draft(made.draft_id, mail("Endfassung", sender=ANNA, to=MIA))
    listed = gmail.list_drafts().drafts
    subject = subject_of(gmail.fetch_draft(made.draft_id))
    sent = gmail.send_draft(made.draft_id).message_id

    assert [DraftRef(made.draft_id, changed.message_id, changed.thread_id)] == listed
    assert "Endfassung" == subject
    assert "SENT" in gmail.fetch_message(sent, format="minimal")["labelIds"]
    with pytest.raises(NotFound):
        gmail.send_draft(made.draft_id)


def test_deleted_draft_is_gone(gmail: Gmail) -> None:
    """A deleted draft is not listed, and deleting it again says that it is not there."""
    made = gmail.create_draft(mail("Entwurf", sender=ANNA, to=MIA))
    gmail.delete_draft(made.draft_id)

    assert [] == gmail.list_drafts().drafts
    with pytest.raises(NotFound):
        gmail.delete_draft(made.draft_id)


def test_threads_are_read(google: Google, gmail: Gmail) -> None:
    """A thread has its messages, oldest first, and is found by search."""
    (message_id,) = deliver(google)
    thread_id = gmail.fetch_message(message_id, format="minimal")["threadId"]

    assert [message_id] == [message["id"] for message in gmail.fetch_thread(thread_id, format="minimal")]
    assert thread_id in gmail.list_threads(q="subject:Angebot").thread_ids


def test_identities_are_read(gmail: Gmail) -> None:
    """The user's own address is a verified identity."""
    assert [SendAs(ANNA, "Anna Berger", "", "", primary=True, default=True, verified=True)] == gmail.list_send_as()


def test_missing_scope_asks_for_repair(google: Google) -> None:
    """Without gmail.modify, reading works, and changing says that a scope is missing."""
    gmail = open_gmail(google.connect(untick=[MODIFY]))
    (message_id,) = deliver(google)

    assert [message_id] == gmail.list_messages().ids
    with pytest.raises(ReauthRequired) as refusal:
        gmail.modify_message(message_id, add=["STARRED"])
    assert {"reason": "scope"} == refusal.value.members
