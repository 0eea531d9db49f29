"""What people who watch a local stack are told: names of documents and fields, calls and their units, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.cloud.firestore_v1.types import common, document, firestore, write

from local.clock import LocalClock
from local.cloudtasks import TaskSeen
from local.firestore.written import Written, parse_written
from local.happenings import Happenings, readable
from local.ledger import Call

ROOT = "projects/p/databases/(default)/documents"
SECRET = "Angebot"
_Write: Any = write.Write.pb()
_Document: Any = document.Document.pb()
_Value: Any = document.Value.pb()


def update(path: str, *fields: str, mask: tuple[str, ...] | None = None, **more: Any) -> Any:
    """A write of text fields, below a mask where one is given."""
    one = _Write(update=_Document(name=f"{ROOT}/{path}"), **more)
    for name in fields:
        one.update.fields[name].CopyFrom(_Value(string_value=SECRET))
    if mask is not None:
        one.update_mask.CopyFrom(common.DocumentMask.pb()(field_paths=mask))
    return one


def commit(*writes: Any) -> Any:
    return firestore.CommitRequest.pb()(database="projects/p/databases/(default)", writes=writes)


def increment(name: str) -> Any:
    transform: Any = write.DocumentTransform.FieldTransform.pb()
    return transform(field_path=name, increment=_Value(integer_value=1))


@pytest.fixture
def book(tmp_path: Path) -> Happenings:
    return Happenings(LocalClock(tmp_path / "clock"))


def kinds(book: Happenings) -> list[tuple[str, str, str]]:
    return [(one["kind"], one["what"], one["where"]) for one in book.since(0)["happenings"]]


@pytest.mark.parametrize(
    ("one", "seen"),
    [
        (update("users/anna", "name", "role"), Written("set", "users/anna", ("name", "role"))),
        (
            update("sync/anna", "cursor", mask=("cursor", "health.word", "parked.`a.b`")),
            Written("update", "sync/anna", ("cursor", "health", "parked")),
        ),
        (
            update("work/anna", "due_at", current_document=common.Precondition.pb()(exists=False)),
            Written("create", "work/anna", ("due_at",)),
        ),
        (
            update("sync/anna", mask=(), update_transforms=[increment("notices_version")]),
            Written("update", "sync/anna", ("notices_version",)),
        ),
        (_Write(delete=f"{ROOT}/work/anna"), Written("delete", "work/anna")),
    ],
)
def test_a_write_is_told_in_names(one: Any, seen: Written) -> None:
    """Path, kind of write and the fields at the top are told, sorted; what is in them is not."""
    found = parse_written("Commit", commit(one))

    assert [seen] == found
    assert SECRET not in str(found)


def test_requests_of_one_document_are_told_alike() -> None:
    """Creating, updating and deleting by rpcs of their own say the same as in a commit; reading says nothing."""
    made = firestore.CreateDocumentRequest.pb()(
        parent=ROOT, collection_id="users", document_id="ben", document=update("users/ben", "name").update
    )
    changed = firestore.UpdateDocumentRequest.pb()(
        document=update("users/ben", "name").update, update_mask=common.DocumentMask.pb()(field_paths=["name"])
    )
    deleted = firestore.DeleteDocumentRequest.pb()(name=f"{ROOT}/users/ben")

    assert [Written("create", "users/ben", ("name",))] == parse_written("CreateDocument", made)
    assert [Written("update", "users/ben", ("name",))] == parse_written("UpdateDocument", changed)
    assert [Written("delete", "users/ben")] == parse_written("DeleteDocument", deleted)
    assert [] == parse_written("GetDocument", firestore.GetDocumentRequest.pb()(name=f"{ROOT}/users/ben"))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("connections/YW5uYQ/notices/MWEyMGUy", "connections/anna/notices/1a20e2"),
        ("label_sweep/users/YW5uYQ", "label_sweep/users/anna"),
        (
            "pending_connections/JWDcJV7qC99NF5WSswHewAobLIMLEwWI",
            "pending_connections/JWDcJV7qC99NF5WSswHewAobLIMLEwWI",
        ),
        ("dispatch/state", "dispatch/state"),
    ],
)
def test_ids_are_shown_as_words_where_they_are_words(path: str, shown: str) -> None:
    """An id that was encoded for a path is shown as it was; a hash stays a hash."""
    assert shown == readable(path)


def test_a_request_is_told_without_its_query(book: Happenings) -> None:
    """The page's own requests to the public functions are told by their path alone; preflights and tasks are not."""
    book.note_request("GET", f"/mail_proxy/messages/1a?q={SECRET}", 200, 0.02)
    book.note_request("OPTIONS", "/mail_proxy/notices", 204, 0.0)
    book.note_request("POST", "/mail_proxy/tasks/send", 204, 0.0)
    book.note_request("POST", "/magnet_ingest/", 204, 0.0)

    assert [("request", "GET", "mail_proxy/messages/1a")] == kinds(book)


def test_calls_and_tasks_are_told_by_what_they_are(book: Happenings) -> None:
    """Gmail's calls have units, of others they do not count; a task is told when it is left and when it ran."""

    class Stand:
        observe: Any = None
        observe_writes: Any = None

    class Google:
        ledger, tasks, scheduler, firestore = Stand(), Stand(), Stand(), Stand()

    google: Any = Google()
    book.watch(google)
    google.ledger.observe(Call("gmail", "users.messages.list", "anna@demo-crm.example", 5, 200, 1.0, 1.5, 1))
    google.ledger.observe(Call("secretmanager", "AccessSecretVersion", "", 1, 200, 1.0, 1.0, 2))
    google.ledger.observe(Call("firestore", "Commit.write", "", 3, 200, 1.0, 1.0, 3))
    google.tasks.observe(TaskSeen("label-sweep", "http://127.0.0.1:1/label_sweep/users/YW5uYQ"))
    google.tasks.observe(TaskSeen("label-sweep", "http://127.0.0.1:1/label_sweep/users/YW5uYQ", 204))
    google.scheduler.observe("label-sweep", 204)

    rows = book.since(0)["happenings"]
    assert [
        ("gmail", "messages.list", "anna@demo-crm.example", 5, 500),
        ("secret", "AccessSecretVersion", "", 0, 0),
        ("task_created", "label-sweep", "label_sweep/users/anna", 0, 0),
        ("task_run", "label-sweep", "label_sweep/users/anna", 0, 0),
        ("job", "label-sweep", "", 0, 0),
    ] == [(one["kind"], one["what"], one["where"], one["units"], one["ms"]) for one in rows]


def test_old_lines_make_room_and_are_counted(book: Happenings) -> None:
    """Who has not looked for long gets the newest lines, and how many there were before them."""
    for number in range(5_000):
        book.add("done", str(number))

    told = book.since(10)

    assert (5_000, "4999") == (told["mark"], told["happenings"][-1]["what"])
    assert 4_990 == told["missed"] + len(told["happenings"])
    assert [] == book.since(told["mark"])["happenings"]
