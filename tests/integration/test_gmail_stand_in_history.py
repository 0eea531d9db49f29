"""The Gmail stand-in's history, watches and pushes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.gmail import TOPIC
from tests.integration.gmail_rig import ANNA, BEN, Rig, mail, refused, running

pytestmark = pytest.mark.integration

WEEK_S = 7 * 24 * 3600


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path) as rig:
        yield rig


@pytest.fixture
def anna(rig: Rig) -> Any:
    return rig.client(ANNA)


def _cursor(anna: Any) -> str:
    return str(anna.getProfile(userId="me").execute()["historyId"])


def _records(anna: Any, start: str, **query: Any) -> list[dict[str, Any]]:
    found = anna.history().list(userId="me", startHistoryId=start, **query).execute()
    return list(found.get("history", []))


def _told(records: list[dict[str, Any]]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Kind, message and changed labels of each record."""
    told = []
    for record in records:
        kind = (set(record) - {"id", "messages"}).pop()
        entry = record[kind][0]
        told.append((kind, entry["message"]["id"], tuple(entry.get("labelIds", ()))))
    return told


def test_history_tells_each_change_in_its_order(rig: Rig, anna: Any) -> None:
    """Arrival, labels put on and taken off, and deletion are told as four kinds of record."""
    start = _cursor(anna)
    message_id = rig.gmail.deliver(mail(), to=ANNA)[ANNA]
    body = {"addLabelIds": ["STARRED"], "removeLabelIds": ["INBOX"]}
    anna.messages().modify(userId="me", id=message_id, body=body).execute()
    anna.messages().delete(userId="me", id=message_id).execute()
    expected = [
        ("messagesAdded", message_id, ()),
        ("labelsAdded", message_id, ("STARRED",)),
        ("labelsRemoved", message_id, ("INBOX",)),
        ("messagesDeleted", message_id, ()),
    ]
    assert expected == _told(_records(anna, start))


def test_a_record_says_which_labels_the_message_then_had(rig: Rig, anna: Any) -> None:
    """messagesAdded carries the labels of the arrival, whatever became of the mail since."""
    start = _cursor(anna)
    message_id = rig.gmail.deliver(mail(), to=ANNA)[ANNA]
    rig.gmail.person_trashes(ANNA, message_id)
    added = _records(anna, start, historyTypes=["messageAdded"])[0]
    assert {"id": message_id, "threadId": message_id, "labelIds": ["INBOX", "UNREAD"]} == added["messagesAdded"][0][
        "message"
    ]
    assert [{"id": message_id, "threadId": message_id}] == added["messages"]


def test_history_ids_grow_and_leave_gaps(rig: Rig, anna: Any) -> None:
    """Ids are only ever greater, not one greater, and the message bears that of its last change."""
    start = _cursor(anna)
    ids = [rig.gmail.deliver(mail(str(n)), to=ANNA)[ANNA] for n in range(6)]
    numbers = [int(record["id"]) for record in _records(anna, start)]
    assert sorted(set(numbers)) == numbers
    assert numbers[-1] - int(start) > len(numbers)
    last = anna.messages().get(userId="me", id=ids[-1], format="minimal").execute()
    assert numbers[-1] == int(last["historyId"])


def test_no_change_is_an_answer_without_history(anna: Any) -> None:
    """Without news there is the present history id and no list."""
    start = _cursor(anna)
    assert {"historyId": start} == anna.history().list(userId="me", startHistoryId=start).execute()


def test_history_comes_in_pages_and_a_records_id_is_a_start(rig: Rig, anna: Any) -> None:
    """Pages neither repeat nor lose; each answers the mailbox's present id; reading may go on from any record."""
    start = _cursor(anna)
    for n in range(5):
        rig.gmail.deliver(mail(str(n)), to=ANNA)
    whole = _records(anna, start)
    first = anna.history().list(userId="me", startHistoryId=start, maxResults=3).execute()
    second = (
        anna.history().list(userId="me", startHistoryId=start, maxResults=3, pageToken=first["nextPageToken"]).execute()
    )
    assert whole == first["history"] + second["history"]
    assert "nextPageToken" not in second
    assert [_cursor(anna)] * 2 == [first["historyId"], second["historyId"]]
    assert whole[2:] == _records(anna, whole[1]["id"])


def test_a_page_holds_a_hundred_records_and_at_most_five_hundred(rig: Rig, anna: Any) -> None:
    """100 records is the default; who asks for more than 500 gets 500."""
    start = _cursor(anna)
    message_id = rig.gmail.deliver(mail(), to=ANNA)[ANNA]
    for n in range(300):
        rig.gmail.person_moves(ANNA, message_id, add=["STARRED"] if n % 2 == 0 else ["IMPORTANT"])
        rig.gmail.person_moves(ANNA, message_id, remove=["STARRED"] if n % 2 == 0 else ["IMPORTANT"])
    assert [100, 500] == [len(_records(anna, start)), len(_records(anna, start, maxResults=1000))]


def test_history_is_filtered_by_kind_and_label(rig: Rig, anna: Any) -> None:
    """historyTypes keeps kinds, labelId keeps what has to do with a label."""
    start = _cursor(anna)
    inbox = rig.gmail.deliver(mail("a"), to=ANNA)[ANNA]
    rig.gmail.deliver(mail("b"), to=ANNA, labels=["SPAM"])
    rig.gmail.person_moves(ANNA, inbox, remove=["INBOX"])
    assert [("labelsRemoved", inbox, ("INBOX",))] == _told(_records(anna, start, historyTypes=["labelRemoved"]))
    in_inbox = _told(_records(anna, start, labelId="INBOX"))
    assert [("messagesAdded", inbox, ()), ("labelsRemoved", inbox, ("INBOX",))] == in_inbox


def test_one_action_may_stand_in_one_record(tmp_path: Path) -> None:
    """With joined history a batchModify of two mails is one record that tells of both, in both directions."""
    with running(tmp_path, joined_history=True) as rig:
        anna = rig.client(ANNA)
        ids = [rig.gmail.deliver(mail(str(n)), to=ANNA)[ANNA] for n in range(2)]
        start = _cursor(anna)
        body = {"ids": ids, "addLabelIds": ["STARRED"], "removeLabelIds": ["INBOX"]}
        anna.messages().batchModify(userId="me", body=body).execute()
        rig.gmail.deliver(mail("more"), to=ANNA)
        first, second = _records(anna, start)
        assert ids == [message["id"] for message in first["messages"]]
        assert [ids, ids] == [
            [one["message"]["id"] for one in first[kind]] for kind in ("labelsAdded", "labelsRemoved")
        ]
        assert [second] == _records(anna, first["id"])


def test_a_deleted_label_comes_off_each_of_its_mails(rig: Rig, anna: Any) -> None:
    """Deleting a label is a labelsRemoved for every mail that had it."""
    ids = [rig.gmail.deliver(mail(str(n)), to=ANNA)[ANNA] for n in range(2)]
    label = rig.gmail.person_creates_label(ANNA, "Kunden").id
    rig.gmail.person_moves(ANNA, ids, add=[label])
    start = _cursor(anna)
    rig.gmail.person_deletes_label(ANNA, label)
    assert [("labelsRemoved", one, (label,)) for one in ids] == _told(_records(anna, start))


def test_too_old_a_cursor_is_404(rig: Rig, anna: Any) -> None:
    """History reaches back a week; an older cursor is not found, a present one still is."""
    start = _cursor(anna)
    rig.gmail.deliver(mail("a"), to=ANNA)
    rig.clock.advance(WEEK_S - 60)
    rig.gmail.deliver(mail("b"), to=ANNA)
    assert 2 == len(_records(anna, start))
    rig.clock.advance(120)
    assert (404, "notFound") == refused(anna.history().list(userId="me", startHistoryId=start))[:2]
    assert [] == _records(anna, _cursor(anna))


def test_history_can_be_made_to_expire(rig: Rig, anna: Any) -> None:
    """A test may let all cursors but the present one grow too old."""
    start = _cursor(anna)
    rig.gmail.deliver(mail(), to=ANNA)
    rig.gmail.expire_history(ANNA)
    assert 404 == refused(anna.history().list(userId="me", startHistoryId=start))[0]
    assert [] == _records(anna, _cursor(anna))


# Watches


def _watch(anna: Any, **body: Any) -> Any:
    return anna.watch(userId="me", body={"topicName": TOPIC, **body}).execute()


def _pushed(rig: Rig) -> int:
    """How many pushes there were since the last look."""
    count = len(rig.pushes)
    rig.pushes.clear()
    return count


def test_a_watch_pushes_at_once_and_lasts_seven_days(rig: Rig, anna: Any) -> None:
    """watch answers the history id and an end in milliseconds as text, and sends one push of the same id."""
    before_ms = rig.clock.now().timestamp() * 1000
    answer = _watch(anna)
    assert [(TOPIC, {"emailAddress": ANNA, "historyId": int(answer["historyId"])})] == rig.pushes
    assert abs(int(answer["expiration"]) - before_ms - WEEK_S * 1000) < 5000


def test_a_change_is_pushed_at_most_once_a_second(rig: Rig, anna: Any) -> None:
    """Of changes within a second the first is pushed, the rest is dropped for good."""
    _watch(anna)
    rig.clock.advance(2)
    _pushed(rig)
    for n in range(3):
        rig.gmail.deliver(mail(str(n)), to=ANNA)
    assert 1 == _pushed(rig)
    rig.clock.advance(2)
    assert 0 == _pushed(rig)
    rig.gmail.deliver(mail("later"), to=ANNA)
    assert 1 == _pushed(rig)


def test_one_mailboxs_pushes_do_not_hold_up_anothers(rig: Rig, anna: Any) -> None:
    """The limit counts by mailbox."""
    _watch(anna)
    _watch(rig.client(BEN))
    rig.clock.advance(2)
    _pushed(rig)
    rig.gmail.deliver(mail(), to=[ANNA, BEN])
    assert [ANNA, BEN] == [push["emailAddress"] for _, push in rig.pushes]


def _passes(rig: Rig, change: Any) -> bool:
    rig.clock.advance(2)
    _pushed(rig)
    change()
    return _pushed(rig) > 0


def test_an_including_watch_tells_of_its_labels_only(rig: Rig, anna: Any) -> None:
    """labelIds alone: only changes that have to do with those labels are pushed, leaving them included."""
    _watch(anna, labelIds=["INBOX"])
    ids: list[str] = []
    assert _passes(rig, lambda: ids.append(rig.gmail.deliver(mail(), to=ANNA)[ANNA]))
    assert _passes(rig, lambda: rig.gmail.person_moves(ANNA, ids, remove=["INBOX"]))
    assert not _passes(rig, lambda: rig.gmail.person_moves(ANNA, ids, add=["STARRED"]))
    assert not _passes(rig, lambda: rig.gmail.deliver(mail(), to=ANNA, labels=["SPAM"]))


@pytest.mark.parametrize("name", ["labelFilterBehavior", "labelFilterAction"])
def test_an_excluding_watch_tells_of_all_but_its_labels(rig: Rig, anna: Any, name: str) -> None:
    """exclude, by its new or its old name, pushes all changes except those of the labels named."""
    _watch(anna, labelIds=["SENT", "DRAFT", "SPAM", "TRASH"], **{name: "exclude"})
    assert _passes(rig, lambda: rig.gmail.deliver(mail(), to=ANNA))
    assert _passes(rig, lambda: rig.gmail.deliver(mail(), to=ANNA, labels=[]))
    assert not _passes(rig, lambda: rig.gmail.deliver(mail(), to=ANNA, labels=["SPAM"]))


def test_a_watch_ends_by_stop_and_by_time(rig: Rig, anna: Any) -> None:
    """After stop, or seven days without a renewal, nothing is pushed."""
    _watch(anna)
    assert _passes(rig, lambda: rig.gmail.deliver(mail(), to=ANNA))
    anna.stop(userId="me").execute()
    assert not _passes(rig, lambda: rig.gmail.deliver(mail(), to=ANNA))
    _watch(anna)
    rig.clock.advance(WEEK_S)
    assert not _passes(rig, lambda: rig.gmail.deliver(mail(), to=ANNA))


def test_a_mailbox_has_one_watch(tmp_path: Path) -> None:
    """Watching again renews; another topic is refused until stop."""
    other = "projects/local-project/topics/other"
    with running(tmp_path, topics=[TOPIC, other]) as rig:
        anna = rig.client(ANNA)
        first = _watch(anna)
        rig.clock.advance(60)
        assert int(_watch(anna)["expiration"]) > int(first["expiration"])
        code, reason, message = refused(anna.watch(userId="me", body={"topicName": other}))
        assert (400, "failedPrecondition") == (code, reason)
        assert "Only one user push notification client allowed" in message
        anna.stop(userId="me").execute()
        assert anna.watch(userId="me", body={"topicName": other}).execute()["historyId"]


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("gmail-push", 400),
        ("projects/another-project/topics/gmail-push", 400),
        ("projects/local-project/topics/unknown", 404),
    ],
)
def test_a_watch_needs_a_topic_that_exists_in_the_project(rig: Rig, anna: Any, topic: str, code: int) -> None:
    """A topic of another project, an unknown one, and what is no topic's name are refused, and nothing is pushed."""
    assert code == refused(anna.watch(userId="me", body={"topicName": topic}))[0]
    assert [] == rig.pushes


@pytest.mark.parametrize("start", ["", str(2**64)])
def test_history_needs_a_start(rig: Rig, start: str) -> None:
    """No start, and one beyond 64 bits, are bad requests."""
    answer = rig.get("/gmail/v1/users/me/history", rig.token(ANNA), startHistoryId=start)
    assert 400 == answer.status_code
