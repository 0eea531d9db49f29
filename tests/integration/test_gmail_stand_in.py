"""The Gmail stand-in's mailboxes: reading, labels, moving, threads, driven by Google's own client."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.gmail import SendAs
from tests.integration.gmail_rig import ANNA, BEN, MIA, Rig, mail, refused, running

pytestmark = pytest.mark.integration


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path) as rig:
        yield rig


@pytest.fixture
def anna(rig: Rig) -> Any:
    return rig.client(ANNA)


def _deliver(rig: Rig, raw: bytes, **options: Any) -> str:
    return rig.gmail.deliver(raw, to=ANNA, **options)[ANNA]


def _listed(anna: Any, **query: Any) -> list[str]:
    found = anna.messages().list(userId="me", **query).execute()
    return [message["id"] for message in found.get("messages", [])]


def test_profile_names_the_mailbox_and_counts_its_mail(rig: Rig, anna: Any) -> None:
    """The profile gives the address, the numbers of messages and threads, and the history id as text."""
    _deliver(rig, mail("one"))
    _deliver(rig, mail("two"))
    profile = anna.getProfile(userId="me").execute()
    expected = {
        "emailAddress": ANNA,
        "messagesTotal": 2,
        "threadsTotal": 2,
        "historyId": str(rig.gmail.mailbox(ANNA).history.current_id),
    }
    assert expected == profile


def test_a_mailbox_may_be_named_by_its_address(anna: Any) -> None:
    """The address of the token's own account stands for ``me``, in any case of letters."""
    assert ANNA == anna.getProfile(userId=ANNA.upper()).execute()["emailAddress"]


def test_another_users_mailbox_is_refused(anna: Any) -> None:
    """A token opens its own mailbox and no other."""
    code, reason, _ = refused(anna.getProfile(userId=BEN))
    assert (403, "forbidden") == (code, reason)


def test_messages_are_listed_newest_first(rig: Rig, anna: Any) -> None:
    """Lists go by the time of arrival, whatever the order in which mail was stored."""
    now = rig.clock.now()
    old = _deliver(rig, mail("old"), at=now - timedelta(days=2))
    new = _deliver(rig, mail("new"), at=now)
    middle = _deliver(rig, mail("middle"), at=now - timedelta(days=1))
    assert [new, middle, old] == _listed(anna)


def test_pages_neither_repeat_nor_lose_when_mail_arrives_between(rig: Rig, anna: Any) -> None:
    """A page token stands for a place in the list."""
    now = rig.clock.now()
    ids = [_deliver(rig, mail(str(n)), at=now - timedelta(minutes=n)) for n in range(5)]
    first = anna.messages().list(userId="me", maxResults=2).execute()
    _deliver(rig, mail("late"), at=now + timedelta(minutes=1))
    second = anna.messages().list(userId="me", maxResults=2, pageToken=first["nextPageToken"]).execute()
    third = anna.messages().list(userId="me", maxResults=2, pageToken=second["nextPageToken"]).execute()
    pages = [[message["id"] for message in page["messages"]] for page in (first, second, third)]
    assert [ids[:2], ids[2:4], ids[4:]] == pages
    assert "nextPageToken" not in third


def test_an_invented_page_token_is_refused(anna: Any) -> None:
    """Only tokens that Gmail gave are taken."""
    assert 400 == refused(anna.messages().list(userId="me", pageToken="abc"))[0]


def test_an_empty_list_has_no_messages_field(anna: Any) -> None:
    """Google's JSON leaves empty lists out."""
    assert {"resultSizeEstimate": 0} == anna.messages().list(userId="me").execute()


def test_spam_and_trash_are_listed_only_on_request(rig: Rig, anna: Any) -> None:
    """A plain list leaves SPAM and TRASH out; includeSpamTrash, their labels and in:anywhere bring them."""
    inbox = _deliver(rig, mail("a"), at=rig.clock.now() - timedelta(minutes=2))
    spam = _deliver(rig, mail("b"), labels=["SPAM"], at=rig.clock.now() - timedelta(minutes=1))
    trash = _deliver(rig, mail("c"), labels=["TRASH"])
    assert [inbox] == _listed(anna)
    assert [inbox] == _listed(anna, q="from:mia@customer.example")
    assert [trash, spam, inbox] == _listed(anna, includeSpamTrash=True)
    assert [spam] == _listed(anna, labelIds=["SPAM"])
    assert [trash, spam, inbox] == _listed(anna, q="in:anywhere")
    assert [trash] == _listed(anna, q="in:trash")


def test_search_lags_behind_and_a_plain_list_does_not(tmp_path: Path) -> None:
    """Mail younger than the lag is found by no q, but stands in the list."""
    with running(tmp_path, search_lag_s=20.0) as rig:
        anna = rig.client(ANNA)
        message_id = rig.gmail.deliver(mail(), to=ANNA)[ANNA]
        assert [] == _listed(anna, q="subject:Angebot")
        assert [message_id] == _listed(anna)
        rig.clock.advance(20)
        assert [message_id] == _listed(anna, q="subject:Angebot")


def test_the_four_formats(rig: Rig, anna: Any) -> None:
    """minimal has no headers, metadata the headers asked for and no tree, full the tree, raw the source alone."""
    message_id = _deliver(rig, mail("Angebot", text="Grüße"))
    by_format = {
        form: anna.messages().get(userId="me", id=message_id, format=form).execute()
        for form in ("minimal", "full", "raw")
    }
    metadata = (
        anna.messages()
        .get(userId="me", id=message_id, format="metadata", metadataHeaders=["subject", "From"])
        .execute()
    )
    assert {"id", "threadId", "labelIds", "snippet", "historyId", "internalDate", "sizeEstimate"} == set(
        by_format["minimal"]
    )
    assert [
        {"name": "From", "value": "Mia Kunde <mia@customer.example>"},
        {"name": "Subject", "value": "Angebot"},
    ] == metadata["payload"]["headers"]
    assert {"headers", "mimeType"} == set(metadata["payload"])
    assert "Grüße\r\n" == base64.urlsafe_b64decode(by_format["full"]["payload"]["body"]["data"]).decode()
    assert base64.urlsafe_b64decode(by_format["raw"]["raw"]).endswith(mail("Angebot", text="Grüße"))
    assert "payload" not in by_format["raw"]


def test_a_partial_response_holds_the_fields_asked_for(rig: Rig, anna: Any) -> None:
    """``fields`` cuts the answer down to what it names."""
    message_id = _deliver(rig, mail())
    answer = anna.messages().get(userId="me", id=message_id, fields="id,payload(partId,body/size)").execute()
    assert {"id": message_id, "payload": {"partId": "", "body": {"size": 11}}} == answer


def test_a_field_that_gmail_does_not_know_is_refused(rig: Rig, anna: Any) -> None:
    """A wrong ``fields`` is 400, not an empty answer."""
    message_id = _deliver(rig, mail())
    code, reason, _ = refused(anna.messages().get(userId="me", id=message_id, fields="id,payload/subject"))
    assert (400, "invalidParameter") == (code, reason)


def test_a_message_that_is_gone_is_404(anna: Any) -> None:
    """An id in Gmail's form that no message has is not found; what is no id is an invalid argument."""
    assert (404, "notFound") == refused(anna.messages().get(userId="me", id="18c0ffee18c0ffee"))[:2]
    assert (400, "invalidArgument") == refused(anna.messages().get(userId="me", id="no-id"))[:2]


def test_a_misspelt_parameter_is_refused(rig: Rig) -> None:
    """Gmail refuses query parameters and body fields that it does not know."""
    token = rig.token(ANNA)
    wrong_query = rig.get("/gmail/v1/users/me/messages", token, query="from:mia")
    wrong_body = rig.post("/gmail/v1/users/me/watch", token, {"topicName": "t", "labelFilterBehaviour": "exclude"})
    assert [400, 400] == [wrong_query.status_code, wrong_body.status_code]


def test_errors_come_in_googles_shape(rig: Rig) -> None:
    """An error body has code, message, errors with domain and reason, and status."""
    answer = rig.get("/gmail/v1/users/me/messages/18c0ffee18c0ffee", rig.token(ANNA))
    message = "Requested entity was not found."
    expected = {
        "error": {
            "code": 404,
            "message": message,
            "errors": [{"message": message, "domain": "global", "reason": "notFound"}],
            "status": "NOT_FOUND",
        }
    }
    assert expected == answer.json()


# Labels


def _label(anna: Any, name: str, **more: Any) -> Any:
    return anna.labels().create(userId="me", body={"name": name, **more}).execute()


def test_a_label_is_made_found_changed_and_deleted(anna: Any) -> None:
    """A user's label lives through create, list, get, patch, update and delete under one id."""
    made = _label(anna, "Kunden")
    anna.labels().patch(userId="me", id=made["id"], body={"labelListVisibility": "labelHide"}).execute()
    anna.labels().update(userId="me", id=made["id"], body={"id": made["id"], "name": "Kundschaft"}).execute()
    got = anna.labels().get(userId="me", id=made["id"]).execute()
    assert ("Kundschaft", "user", "labelHide", 0) == (
        got["name"],
        got["type"],
        got["labelListVisibility"],
        got["messagesTotal"],
    )
    anna.labels().delete(userId="me", id=made["id"]).execute()
    listed = anna.labels().list(userId="me").execute()["labels"]
    assert {"system"} == {label["type"] for label in listed}
    assert 404 == refused(anna.labels().get(userId="me", id=made["id"]))[0]


@pytest.mark.parametrize(("first", "second"), [("Kunden", "kunden"), ("Kunden/Alt", "kunden-alt")])
def test_a_label_name_that_is_taken_is_409(anna: Any, first: str, second: str) -> None:
    """Names clash whatever their case, and a nested name with its hyphenated twin."""
    _label(anna, first)
    clash = refused(anna.labels().create(userId="me", body={"name": second}))
    assert (409, "aborted", "Label name exists or conflicts") == clash


def test_a_renamed_label_must_not_take_anothers_name(anna: Any) -> None:
    """Renaming meets the same clash as creating, but never with itself."""
    _label(anna, "Kunden")
    other = _label(anna, "Offen")
    assert 409 == refused(anna.labels().patch(userId="me", id=other["id"], body={"name": "KUNDEN"}))[0]
    renamed = anna.labels().patch(userId="me", id=other["id"], body={"name": "OFFEN"}).execute()
    assert "OFFEN" == renamed["name"]


def test_system_labels_stay_as_they_are(anna: Any) -> None:
    """Nobody makes, changes or deletes a label of the system's."""
    refusals = [
        refused(anna.labels().create(userId="me", body={"name": "inbox"})),
        refused(anna.labels().patch(userId="me", id="INBOX", body={"name": "x"})),
        refused(anna.labels().delete(userId="me", id="INBOX")),
    ]
    assert [400, 400, 400] == [code for code, _, _ in refusals]


def test_label_colours_come_from_the_palette(anna: Any) -> None:
    """A colour off Gmail's palette is refused, one on it is kept."""
    fine = {"textColor": "#ffffff", "backgroundColor": "#16a766"}
    assert fine == _label(anna, "a", color=fine)["color"]
    off = {"textColor": "#ffffff", "backgroundColor": "#123456"}
    assert 400 == refused(anna.labels().create(userId="me", body={"name": "b", "color": off}))[0]


def test_label_counts_follow_the_mail(rig: Rig, anna: Any) -> None:
    """labels.get counts messages and threads, read and unread."""
    first = _deliver(rig, mail("a"))
    _deliver(rig, mail("b"))
    anna.messages().modify(userId="me", id=first, body={"removeLabelIds": ["UNREAD"]}).execute()
    got = anna.labels().get(userId="me", id="INBOX").execute()
    assert (2, 1, 2, 1) == (got["messagesTotal"], got["messagesUnread"], got["threadsTotal"], got["threadsUnread"])


# Moving


def test_modify_moves_a_message(rig: Rig, anna: Any) -> None:
    """modify puts labels on and takes them off, and answers what the message now has."""
    message_id = _deliver(rig, mail())
    label = _label(anna, "Kunden")["id"]
    body = {"addLabelIds": [label], "removeLabelIds": ["INBOX"]}
    answer = anna.messages().modify(userId="me", id=message_id, body=body).execute()
    assert {label, "UNREAD"} == set(answer["labelIds"])


@pytest.mark.parametrize("label", ["SENT", "DRAFT", "Label_99"])
def test_labels_that_cannot_be_changed_are_refused(rig: Rig, anna: Any, label: str) -> None:
    """SENT, DRAFT and labels that do not exist: 400 Invalid label, and nothing is changed."""
    message_id = _deliver(rig, mail())
    body = {"addLabelIds": [label], "removeLabelIds": ["INBOX"]}
    assert (400, "invalidArgument", f"Invalid label: {label}") == refused(
        anna.messages().modify(userId="me", id=message_id, body=body)
    )
    assert 400 == refused(anna.messages().batchModify(userId="me", body={"ids": [message_id], **body}))[0]
    assert {"INBOX", "UNREAD"} == rig.gmail.mailbox(ANNA).messages[message_id].labels


def test_batch_modify_passes_over_unknown_ids(rig: Rig, anna: Any) -> None:
    """batchModify answers nothing, changes what it knows and is silent about the rest."""
    message_id = _deliver(rig, mail())
    body = {"ids": ["18c0ffee18c0ffee", message_id], "removeLabelIds": ["INBOX"]}
    assert "" == anna.messages().batchModify(userId="me", body=body).execute()
    assert {"UNREAD"} == rig.gmail.mailbox(ANNA).messages[message_id].labels


def test_batch_modify_takes_a_thousand_ids(anna: Any) -> None:
    """A thousand ids go, one more is refused."""
    ids = [f"{n:016x}" for n in range(1001)]
    anna.messages().batchModify(userId="me", body={"ids": ids[:1000], "addLabelIds": ["STARRED"]}).execute()
    too_many = anna.messages().batchModify(userId="me", body={"ids": ids, "addLabelIds": ["STARRED"]})
    assert 400 == refused(too_many)[0]


def test_trash_takes_a_message_out_of_the_inbox(rig: Rig, anna: Any) -> None:
    """A message is in the inbox or in the trash, never in both."""
    message_id = _deliver(rig, mail())
    trashed = anna.messages().trash(userId="me", id=message_id).execute()
    untrashed = anna.messages().untrash(userId="me", id=message_id).execute()
    assert {"TRASH", "UNREAD"} == set(trashed["labelIds"])
    assert {"UNREAD"} == set(untrashed["labelIds"])


def test_delete_removes_for_good(rig: Rig, anna: Any) -> None:
    """A deleted message is gone from lists and gets."""
    message_id = _deliver(rig, mail())
    anna.messages().delete(userId="me", id=message_id).execute()
    assert [] == _listed(anna, includeSpamTrash=True)
    assert 404 == refused(anna.messages().get(userId="me", id=message_id))[0]


# Threads


def test_an_answer_joins_its_thread_and_a_new_reply_inherits_no_label(rig: Rig, anna: Any) -> None:
    """A mail that refers to another and bears its subject is in its thread; labels stay with messages."""
    first = _deliver(rig, mail("Angebot", headers="Message-ID: <a@customer.example>\r\n"))
    label = _label(anna, "Kunden")["id"]
    anna.messages().modify(userId="me", id=first, body={"addLabelIds": [label]}).execute()
    answer = _deliver(rig, mail("AW: Angebot", headers="In-Reply-To: <a@customer.example>\r\n"))
    stranger = _deliver(rig, mail("Neues", headers="In-Reply-To: <a@customer.example>\r\n"))
    thread = anna.threads().get(userId="me", id=first, format="minimal").execute()
    assert [first, answer] == [message["id"] for message in thread["messages"]]
    assert label not in thread["messages"][1]["labelIds"]
    listed = anna.threads().list(userId="me").execute()["threads"]
    assert {first, stranger} == {found["id"] for found in listed}


def test_a_thread_is_listed_once_over_its_pages(rig: Rig, anna: Any) -> None:
    """A thread stands where its newest message stands, on one page only."""
    now = rig.clock.now()
    a = _deliver(rig, mail("A", headers="Message-ID: <a@x>\r\n"), at=now - timedelta(hours=3))
    b = _deliver(rig, mail("B"), at=now - timedelta(hours=2))
    _deliver(rig, mail("Re: A", headers="References: <a@x>\r\n"), at=now - timedelta(hours=1))
    first = anna.threads().list(userId="me", maxResults=1).execute()
    second = anna.threads().list(userId="me", maxResults=1, pageToken=first["nextPageToken"]).execute()
    assert [[a], [b]] == [[thread["id"] for thread in page["threads"]] for page in (first, second)]
    assert "nextPageToken" not in second


def test_a_thread_is_moved_and_trashed_whole(rig: Rig, anna: Any) -> None:
    """threads.modify and threads.trash change each of its messages."""
    first = _deliver(rig, mail("A", headers="Message-ID: <a@x>\r\n"))
    _deliver(rig, mail("Re: A", headers="References: <a@x>\r\n"))
    body = {"addLabelIds": ["STARRED"], "removeLabelIds": ["UNREAD"]}
    anna.threads().modify(userId="me", id=first, body=body).execute()
    anna.threads().trash(userId="me", id=first).execute()
    labels = [message.labels for message in rig.gmail.mailbox(ANNA).messages.values()]
    assert [{"STARRED", "TRASH"}, {"STARRED", "TRASH"}] == labels


# Send-as addresses, renaming, delivery


def test_send_as_addresses_tell_their_state(rig: Rig) -> None:
    """The primary address comes first, without a verification; aliases show theirs, and their signature."""
    alias = SendAs("sales@demo-crm.example", "Sales", signature="<b>S</b>", verification_status="pending")
    rig.gmail.add_mailbox("dora@demo-crm.example", aliases=[alias], name="Dora")
    dora = rig.client("dora@demo-crm.example")
    primary, other = dora.settings().sendAs().list(userId="me").execute()["sendAs"]
    assert (True, True, "Dora") == (primary["isPrimary"], primary["isDefault"], primary["displayName"])
    assert "verificationStatus" not in primary
    assert {
        "sendAsEmail": "sales@demo-crm.example",
        "displayName": "Sales",
        "replyToAddress": "",
        "signature": "<b>S</b>",
        "treatAsAlias": True,
        "verificationStatus": "pending",
    } == other
    assert 404 == refused(dora.settings().sendAs().get(userId="me", sendAsEmail="x@demo-crm.example"))[0]


def test_a_renamed_account_keeps_its_mail(rig: Rig, anna: Any) -> None:
    """After a rename the mailbox answers under its new address, and takes mail for the old one too."""
    rig.gmail.rename(BEN, "ben.weiss@demo-crm.example")
    client = rig.client("ben.weiss@demo-crm.example")
    rig.gmail.deliver(mail(to=BEN), to=BEN)
    profile = client.getProfile(userId="me").execute()
    assert ("ben.weiss@demo-crm.example", 1) == (profile["emailAddress"], profile["messagesTotal"])


@pytest.mark.parametrize(
    ("auth", "found", "missing"),
    [
        (None, "dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=customer.example", "dmarc=fail"),
        ("fail", "dmarc=fail (p=NONE sp=NONE dis=NONE) header.from=customer.example", "dmarc=pass"),
        ("none", "spf=none", "dmarc="),
        ("mx.google.com; dkim=pass header.i=@other.example", "dkim=pass header.i=@other.example", "dmarc="),
    ],
)
def test_gmails_own_authentication_results_stand_on_top(
    rig: Rig, anna: Any, auth: str | None, found: str, missing: str
) -> None:
    """Whatever a mail claims of itself, the first Authentication-Results is Gmail's."""
    forged = "Authentication-Results: mx.google.com; dmarc=pass header.from=customer.example\r\n"
    message_id = _deliver(rig, mail(headers=forged), auth=auth)
    got = anna.messages().get(userId="me", id=message_id, format="metadata").execute()
    values = [one["value"] for one in got["payload"]["headers"] if one["name"] == "Authentication-Results"]
    assert 2 == len(values)
    assert found in values[0]
    assert missing not in values[0]


def test_delivery_adds_a_message_id_where_there_is_none(rig: Rig) -> None:
    """Gmail gives a Message-ID to mail that has none, and leaves one that there is."""
    given = _deliver(rig, mail())
    own = _deliver(rig, mail(headers="Message-ID: <own@customer.example>\r\n"))
    messages = rig.gmail.mailbox(ANNA).messages
    assert messages[given].message_id.endswith("@mx.google.com>")
    assert "<own@customer.example>" == messages[own].message_id


def test_insert_and_import_take_their_time_from_where_gmail_does(anna: Any) -> None:
    """import dates a mail by its Date header, insert by its arrival; both take labels."""
    raw = base64.urlsafe_b64encode(mail(headers="Date: Sat, 01 Feb 2020 10:00:00 +0000\r\n")).decode()
    body = {"raw": raw, "labelIds": ["INBOX"]}
    imported = anna.messages().import_(userId="me", body=body).execute()
    inserted = anna.messages().insert(userId="me", body=body).execute()
    dates = [
        int(anna.messages().get(userId="me", id=one["id"], format="minimal").execute()["internalDate"])
        for one in (imported, inserted)
    ]
    assert 1_580_551_200_000 == dates[0]
    assert dates[1] > 1_580_551_200_000
    assert ["INBOX"] == imported["labelIds"]


def test_mail_to_several_is_stored_in_each_mailbox(rig: Rig) -> None:
    """Delivery makes one message a mailbox, with an id of its own."""
    ids = rig.gmail.deliver(mail(to=f"{ANNA}, {BEN}"), to=[ANNA, BEN, ANNA])
    assert {ANNA, BEN} == set(ids)
    assert MIA not in ids


def test_messages_and_threads_are_deleted_in_one_call(rig: Rig, anna: Any) -> None:
    """batchDelete passes over unknown ids; threads.delete takes the whole thread."""
    first, second, third = (_deliver(rig, mail(str(n))) for n in range(3))
    anna.messages().batchDelete(userId="me", body={"ids": [first, "18c0ffee18c0ffee"]}).execute()
    anna.threads().delete(userId="me", id=second).execute()
    assert [third] == _listed(anna)


def test_a_thread_comes_back_from_the_trash(rig: Rig, anna: Any) -> None:
    """untrash takes TRASH off each of its messages."""
    thread_id = _deliver(rig, mail())
    anna.threads().trash(userId="me", id=thread_id).execute()
    back = anna.threads().untrash(userId="me", id=thread_id).execute()
    assert [["UNREAD"]] == [message["labelIds"] for message in back["messages"]]


def test_what_a_person_does_by_hand_costs_nothing(rig: Rig, anna: Any) -> None:
    """Moving, trashing, deleting and labels by hand change the mailbox without a call in the ledger."""
    first, second, third = (_deliver(rig, mail(str(n))) for n in range(3))
    label = rig.gmail.person_creates_label(ANNA, "Kunden").id
    rig.gmail.person_renames_label(ANNA, label, "Kundschaft")
    rig.gmail.person_moves(ANNA, first, add=[label], remove=["INBOX"])
    rig.gmail.person_trashes(ANNA, second)
    rig.gmail.person_deletes(ANNA, third)
    labels = {one: message.labels for one, message in rig.gmail.mailbox(ANNA).messages.items()}
    assert {first: {label, "UNREAD"}, second: {"TRASH", "UNREAD"}} == labels
    assert "Kundschaft" == rig.gmail.mailbox(ANNA).labels.one(label)["name"]
    assert [] == rig.ledger.since()


def test_mail_for_an_unknown_address_is_an_error_of_the_test(rig: Rig) -> None:
    """Delivery to nobody here raises, so that a typing error is seen; a tag after plus is fine."""
    with pytest.raises(KeyError):
        rig.gmail.deliver(mail(), to="nobody@demo-crm.example")
    assert [ANNA] == list(rig.gmail.deliver(mail(), to="anna+crm@demo-crm.example"))


def test_two_mailboxes_cannot_have_one_address(rig: Rig) -> None:
    """An address, in whatever case, is one mailbox's."""
    with pytest.raises(ValueError, match="already"):
        rig.gmail.add_mailbox(ANNA.upper())
    with pytest.raises(ValueError, match="already"):
        rig.gmail.rename(BEN, ANNA)
    assert BEN in rig.gmail.addresses()
