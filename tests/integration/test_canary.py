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
    found: dict[str, list[str]] = {"documents": [], "secrets": []}
    for told in job.play():
        if told.number == 5:
            _read_and_write_more(watched, job)
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
    _send_more(stack)


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
    later = message | {"send_at": _in_an_hour(stack)}
    stack.ask("anna", "POST", "/mail_proxy/messages", headers={"Idempotency-Key": "later"}, json=later)
    stack.ask("anna", "POST", "/mail_proxy/drafts", json=message)
    broken = stack.call("anna", "POST", "/mail_proxy/messages/search", json={"q": [word("broken")]})
    assert 400 == broken.status_code


def _in_an_hour(stack: Stack) -> str:
    return (stack.clock.now() + timedelta(hours=1)).isoformat()


def test_words_are_in_the_mails(watched: Stack, kept: dict[str, list[str]]) -> None:
    """The words really went through: they stand in the mailboxes, where mail belongs."""
    mailbox = watched.google.gmail.mailbox("anna@demo-crm.example")
    sources = [message.raw for message in mailbox.newest_first()]

    assert all(any(word(place).encode() in raw for raw in sources) for place in ("subject", "header", "own_subject"))


@pytest.mark.parametrize("place", ["documents", "secrets"])
def test_no_store_holds_a_word(kept: dict[str, list[str]], place: str) -> None:
    """After no step does a document, or a secret, hold a word of a mail."""
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
