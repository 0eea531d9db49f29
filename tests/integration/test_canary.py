"""Nothing of a mail is kept: the main job with words of their own in every part, then a search for them everywhere."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.demo_mails import CUSTOMER
from local.faults import Fault
from local.firestore.server import FirestoreServer
from local.functions import ROOT
from local.main_job import MainJob
from local.stack import Stack

pytestmark = pytest.mark.integration

_MARK = "qzx7canary"
_WATCHER = ROOT / "tests" / "integration" / "watch_files"
# What the functions' processes write: compiled code, coverage's data, and gunicorn's empty file for its heartbeat.
_ALLOWED_FILES = re.compile(r"\.pyc(\.\d+)?'$|\.coverage|/wgunicorn-|^'?/dev/(null|urandom|tty)|watched-files|^\d+$")


def word(place: str) -> str:
    """A word for one part of a mail, which stands nowhere else."""
    return f"{_MARK}{place.replace('_', '')}zz"


def spellings(text: str) -> list[bytes]:
    """The text plain, and as base64 shows it at each of the three positions (the ends depend on the neighbours)."""
    encoded = [
        base64.b64encode(b"\0" * shift + text.encode()).rstrip(b"=")[4 if shift else 0 : -2] for shift in range(3)
    ]
    return [text.encode(), *encoded]


NEEDLES = spellings(_MARK)


def finds(haystack: Any) -> bool:
    """Whether a word is in the text, bytes, or what JSON makes of the rest."""
    data = haystack if isinstance(haystack, bytes) else json.dumps(haystack, default=_plain).encode()
    return any(needle in data for needle in NEEDLES)


def _plain(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the watched processes note the files that they open for writing."""
    return tmp_path_factory.mktemp("canary") / "watched-files"


@pytest.fixture(scope="module")
def watched(written: Path) -> Iterator[Stack]:
    """A stack of its own, whose functions note every file that they open for writing."""
    environment = {"PYTHONPATH": str(_WATCHER), "WATCHED_FILES": str(written)}
    with Stack(written.parent / "stack", extra_environment=environment) as stack:
        yield stack


@pytest.fixture(scope="module")
def kept(watched: Stack) -> dict[str, list[str]]:
    """The main job and more, played with words; then where one of them was found, by kind of place, after each step."""
    job = MainJob(watched, word)
    found: dict[str, list[str]] = {"documents": [], "secrets": [], "requests": []}
    # Also what lies in a document between two steps, and what is only asked for.
    server = watched.google.firestore
    assert isinstance(server, FirestoreServer)
    server.observe = lambda method, sent: found["requests"].extend([method] * finds(sent))
    for told in job.play():
        if told.number == 5:
            _read_and_write_more(watched, job)
        if told.number == 6:
            _look_as_a_colleague(watched)
        found["documents"] += [path for path, document in watched.documents().items() if finds([path, document])]
        found["secrets"] += [name for name, secret in watched.google.secrets.dump().items() if finds([name, secret])]
    return found


def _read_and_write_more(stack: Stack, job: MainJob) -> None:
    """What the main job leaves out and content passes through: search, source, files, drafts, mail for later."""
    mail_id = job.mails.filed_of("Mia")[-1]
    for query in (word("subject"), f"from:{CUSTOMER} {word('text')}", f'"{word("nothing")}"'):
        stack.ask("anna", "POST", "/mail_proxy/messages/search", json={"q": query})
    mail = stack.ask("anna", "GET", f"/mail_proxy/messages/{mail_id}")
    assert word("subject") in mail["subject"]
    for attachment in mail["attachments"]:
        answer = stack.call("anna", "GET", f"/mail_proxy/messages/{mail_id}/attachments/{attachment['part_id']}")
        assert word("content").encode() in answer.content
    assert word("header").encode() in stack.call("anna", "GET", f"/mail_proxy/messages/{mail_id}/raw").content
    stack.ask("anna", "GET", "/mail_proxy/notices?expand=summary")
    stack.ask("anna", "GET", f"/mail_proxy/threads/{mail['thread_id']}")
    stack.ask("anna", "GET", f"/mail_proxy/messages/{mail_id}/category")
    stack.ask("anna", "GET", "/mail_proxy/sweep/preview")
    _send_more(stack)
    _forward(stack, mail_id)
    _meet_trouble(stack, mail_id)


def _look_as_a_colleague(stack: Stack) -> None:
    """Another user searches within what is shared, and opens a mail and its files."""
    path = "/mail_proxy/contacts/mia/emails"
    page = stack.ask("ben", "POST", path, json={"q": f"{word('subject')} from:{word('nobody')}", "page_size": 1})
    assert [] == page["entries"]
    page = stack.ask("ben", "POST", path, json={"q": word("subject"), "page_size": 1})
    stack.ask("ben", "POST", path, json={"q": word("subject"), "page_size": 1, "page_token": page["next_page_token"]})
    files = 0
    for entry in stack.ask("ben", "POST", path, json={})["entries"]:
        for attachment in stack.ask("ben", "GET", f"{path}/anna/{entry['id']}")["attachments"]:
            one = f"{path}/anna/{entry['id']}/attachments/{attachment['part_id']}"
            files += stack.call("ben", "GET", one).status_code == 200
    assert files > 0


def _forward(stack: Stack, mail_id: str) -> None:
    body = {"mode": "forward", "message_id": mail_id, "to": [{"address": f"{word('to')}@customer.example"}]}
    stack.ask("anna", "POST", "/mail_proxy/messages", headers={"Idempotency-Key": "forward"}, json=body)
    for draft in stack.ask("anna", "GET", "/mail_proxy/drafts?page_size=1")["drafts"]:
        stack.ask("anna", "GET", f"/mail_proxy/drafts/{draft['id']}")


def _meet_trouble(stack: Stack, mail_id: str) -> None:
    """Gmail refuses in words that quote the request, fails, and takes a mail whose answer gets lost."""
    quoted = f"Invalid query: {word('quoted')}"
    for status in (400, 403, 429, 500):
        stack.faults.inject(Fault("gmail", "users.messages.list", status=status, message=quoted, count=2))
        stack.call("anna", "POST", "/mail_proxy/messages/search", json={"q": f"{word('failing')} {status}"})
        stack.faults.inject(Fault("gmail", "users.messages.get", status=status, message=quoted, count=2))
        stack.call("anna", "GET", f"/mail_proxy/messages/{mail_id}")
        stack.faults.clear()
    stack.faults.inject(Fault("gmail", "users.messages.send", drop_answer=True))
    lost = {"to": [{"address": f"{word('to')}@customer.example"}], "subject": word("lost"), "text": word("lost_text")}
    stack.call("anna", "POST", "/mail_proxy/messages", headers={"Idempotency-Key": "lost"}, json=lost)
    stack.faults.clear()


def _send_more(stack: Stack) -> None:
    message = {
        "to": [{"address": f"{word('to')}@customer.example", "name": word("to_name")}],
        "bcc": [{"address": f"{word('bcc')}@customer.example"}],
        "subject": word("own_subject"),
        "text": word("own_text"),
        "html": f"<p>{word('own_html')}</p>",
    }
    # Beyond 500 kB, where parsers of forms begin to spool into files.
    file = (f"{word('own_file')}.bin", (word("own_content").encode() + b"\0" * 1000) * 2000, "application/octet-stream")
    parts = {"message": (None, json.dumps(message), "application/json"), "file": file}
    stack.ask("anna", "POST", "/mail_proxy/messages", headers={"Idempotency-Key": word("key")}, files=parts)
    later = message | {"send_at": _soon(stack)}
    stack.ask("anna", "POST", "/mail_proxy/messages", headers={"Idempotency-Key": "later"}, json=later)
    stack.ask("anna", "POST", "/mail_proxy/drafts", json=message)
    broken = stack.call("anna", "POST", "/mail_proxy/messages/search", json={"q": [word("broken")]})
    assert 400 == broken.status_code


def _soon(stack: Stack) -> str:
    """A time that step 7 passes, so that the mail goes out."""
    return (stack.clock.now() + timedelta(minutes=5)).isoformat()


def test_words_are_in_the_mails(watched: Stack, kept: dict[str, list[str]]) -> None:
    """The words really went through: they stand in the mailboxes, where mail belongs."""
    mailbox = watched.google.gmail.mailbox("anna@demo-crm.example")
    sources = [message.raw for message in mailbox.newest_first()]

    assert all(any(word(place).encode() in raw for raw in sources) for place in ("subject", "header", "own_subject"))
    sent = [message.raw for message in mailbox.newest_first() if "SENT" in message.labels]
    assert 2 == sum(word("own_text").encode() in raw for raw in sent), "the one sent at once, and the one for later"


@pytest.mark.parametrize("place", ["documents", "secrets", "requests"])
def test_no_store_holds_a_word(kept: dict[str, list[str]], place: str) -> None:
    """After no step does a document, or a secret, hold a word of a mail, nor does any request to Firestore ever."""
    assert kept[place] == []


def test_no_task_ever_carried_a_word(watched: Stack, kept: dict[str, list[str]]) -> None:
    """No task that was ever made holds a word in its name, URL, headers or body."""
    log = watched.google.tasks.payload_log
    carriers = [task.url for task in log if finds([task.name, task.url, dict(task.headers), task.body])]

    assert len(log) > 0
    assert carriers == []


@pytest.mark.parametrize("name", ["oauth_callback", "mail_proxy", "magnet_ingest", "label_sweep", "requests"])
def test_no_log_holds_a_word(watched: Stack, kept: dict[str, list[str]], name: str) -> None:
    """Neither the functions' logs nor the platform's request log, with its whole URLs, hold a word."""
    lines = watched.log_file(name).read_bytes().splitlines()

    assert len(lines) > 0
    assert [line for line in lines if finds(line)] == []


def test_no_file_is_written(written: Path, kept: dict[str, list[str]]) -> None:
    """The functions write no file at all, not even one that is unlinked at once."""
    opened = set(written.read_text().splitlines())

    assert any("wgunicorn-" in path for path in opened), "the watcher sees what the processes open"
    assert {path for path in opened if not _ALLOWED_FILES.search(path)} == set()
