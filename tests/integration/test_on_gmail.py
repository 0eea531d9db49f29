"""The functions on Google's own OAuth and Gmail, as ``make run-gmail`` starts them; here a stand-in plays these."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local import browser, environment
from local.crm.people import ANNA
from local.functions import ROOT
from local.http import HttpServer
from local.key_sets import KeySets
from local.oauth_client import CALLBACK, parse_client
from local.on_gmail import OnGmail, contacts_as_records
from local.stack import Stack
from tests.integration.magnet_rig import counted

pytestmark = pytest.mark.integration

PAULA = "paula@shop.example"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def client_file(port: int) -> str:
    entry = {
        "client_id": environment.CLIENT_ID.replace("-local", "-abc"),
        "client_secret": environment.CLIENT_SECRET,
        "redirect_uris": ["https://crm.example/callback", f"http://localhost:{port}{CALLBACK}"],
    }
    return json.dumps({"web": entry})


def google_variables(google: Stack) -> dict[str, str]:
    """The addresses of ``google``, by the names under which a command takes them."""
    url = google.google.oauth_server.url
    return {
        "GOOGLE_AUTH_URL": f"{url}/o/oauth2/v2/auth",
        "GOOGLE_TOKEN_URL": f"{url}/token",
        "GOOGLE_REVOKE_URL": f"{url}/revoke",
        "GOOGLE_RISC_URL": f"{url}/.well-known/risc-configuration",
        "GOOGLE_JWKS_URL": f"{url}/oauth2/v3/certs",
        "GMAIL_URL": google.google.gmail_server.url,
    }


@pytest.fixture(scope="module")
def running(_running_stack: Stack) -> Iterator[OnGmail]:
    client = parse_client(client_file(free_port()))
    with OnGmail(client, google_variables(_running_stack), [PAULA]) as started:
        started.stack.google.scheduler.set_automatic(False)
        yield started


@pytest.fixture
def on_gmail(stack: Stack, running: OnGmail) -> Stack:
    """The functions beside ``stack``, whose OAuth and Gmail they use as if these were the real ones."""
    stack.google.accounts.client_id = running.client.client_id
    stack.google.accounts.redirect_uris = (running.client.redirect_uri,)
    running.stack.reset()
    # One time for both, since each has a clock of its own.
    stack.advance(max(0.0, (running.stack.clock.now() - stack.clock.now()).total_seconds()))
    running.stack.advance(max(0.0, (stack.clock.now() - running.stack.clock.now()).total_seconds()))
    # At that time, since a deal that closes this month is one of it.
    running.stack.load_directory(contacts_as_records([PAULA], running.stack.clock.now().date()))
    return running.stack


def pass_time(google: Stack, on_gmail: Stack, seconds: float) -> None:
    """Both clocks go on, in steps small enough that nothing is done late."""
    for _ in range(0, int(seconds), 15):
        google.advance(15)
        on_gmail.advance(15)
        on_gmail.settle()


def noticed(on_gmail: Stack) -> set[str]:
    return {one["mail_id"] for path, one in on_gmail.documents().items() if "/notices/" in path}


def test_new_mail_is_noticed_by_the_minute_without_a_watch(stack: Stack, on_gmail: Stack) -> None:
    """A mailbox is connected at the real addresses, watched by nobody, and what comes is noticed within a minute."""
    on_gmail.connect(ANNA.id, features=["mail", "mailmagnet"])
    mark = stack.ledger.mark()
    on_gmail.switch_on(ANNA.id, mailmagnet=True)
    pass_time(stack, on_gmail, 60)
    mail_id = stack.mail(ANNA.id, PAULA)
    pass_time(stack, on_gmail, 60)
    shown = on_gmail.ask(ANNA.id, "GET", "/oauth_callback/connection")

    assert {mail_id} == noticed(on_gmail)
    assert ("on", "healthy") == (shown["mailmagnet"]["state"], shown["health"]["word"])
    calls = counted(stack.ledger.since(mark, service="gmail"))
    assert {"watch", "stop"}.isdisjoint(calls)
    assert 1 == calls["messages.get"]


def test_one_chain_of_drains_goes_on(stack: Stack, on_gmail: Stack) -> None:
    """Started and renewed, a mailbox is still looked at once a minute, by one history.list."""
    on_gmail.connect(ANNA.id, features=["mail", "mailmagnet"])
    on_gmail.switch_on(ANNA.id, mailmagnet=True)
    on_gmail.run_job("magnet-renew")
    # Renewals are spread over most of an hour.
    on_gmail.catch_up(3300)
    # A little past a full minute, when the last drain is over.
    on_gmail.advance((20 - on_gmail.clock.now().second) % 60)
    on_gmail.settle()
    stack.advance(max(0.0, (on_gmail.clock.now() - stack.clock.now()).total_seconds()))
    mark = stack.ledger.mark()
    pass_time(stack, on_gmail, 300)

    assert {"history.list": 5} == counted(stack.ledger.since(mark, service="gmail"))


def test_a_mailbox_turned_off_is_looked_at_no_more(stack: Stack, on_gmail: Stack) -> None:
    """Turning MailMagnet off ends the looking, and stops no watch: what runs is another deployment's."""
    on_gmail.connect(ANNA.id, features=["mail", "mailmagnet"])
    on_gmail.switch_on(ANNA.id, mailmagnet=True)
    on_gmail.switch_on(ANNA.id, mailmagnet=False)
    mark = stack.ledger.mark()
    pass_time(stack, on_gmail, 180)

    assert {} == counted(stack.ledger.since(mark, service="gmail"))
    assert [] == [path for path in on_gmail.documents() if path.startswith("sync/")]


def test_labels_are_sorted_and_mail_is_read_at_the_real_addresses(stack: Stack, on_gmail: Stack) -> None:
    """A sweep files the customer's mail in that Gmail, and the contact's mail is read there."""
    mail_id = stack.mail(ANNA.id, PAULA, at=stack.clock.now())
    on_gmail.connect(ANNA.id)
    on_gmail.switch_on(ANNA.id, mailmagnet=True, labels=True)
    on_gmail.catch_up(120)
    on_gmail.sweep()
    page = on_gmail.ask(ANNA.id, "POST", "/mail_proxy/contacts/c0/emails", json={})

    assert {"Closing This Month (CTM)", "UNREAD"} == stack.labels_of(ANNA.id, mail_id)
    assert [mail_id] == [one["id"] for one in page["entries"]]


def test_nothing_secret_is_written_down(stack: Stack, on_gmail: Stack) -> None:
    """Neither the client's secret, nor a code, a token or an address stands in any file that the run leaves."""
    started = on_gmail.ask(
        ANNA.id,
        "POST",
        "/oauth_callback/authorize",
        json={"return_to": f"{on_gmail.crm_url}/connected", "features": ["mail"]},
    )
    location = browser.consent(started["url"], ANNA.email)
    code = location.partition("code=")[2].partition("&")[0]
    back = requests.get(location, allow_redirects=False, timeout=30)
    ticket = back.headers["Location"].partition("ticket=")[2]
    on_gmail.ask(ANNA.id, "POST", "/oauth_callback/connection", json={"ticket": ticket})
    written = "".join(path.read_text(errors="replace") for path in on_gmail.directory.rglob("*") if path.is_file())

    assert "connection" in written
    assert [] == [one for one in (environment.CLIENT_SECRET, code, ticket, ANNA.email, "1//") if one in written]


def test_scheduled_work_and_consents_are_both_believed(stack: Stack, on_gmail: Stack) -> None:
    """The local Scheduler's token and Google's are both taken: the daily housekeeping of a public function runs."""
    on_gmail.connect(ANNA.id, features=["mail"])
    mark = on_gmail.ledger.mark()
    on_gmail.run_job("housekeeping")

    answered = [call.status for call in on_gmail.ledger.since(mark, service="scheduler") if call.method == "fire"]
    assert [204] == answered


def test_no_keys_are_served_when_googles_cannot_be_had() -> None:
    """Without Google's keys the key set answers 503, so that nobody is taken for a forger."""
    server = HttpServer(KeySets("http://127.0.0.1:9/certs", lambda: {"keys": []}).app)
    try:
        assert 503 == requests.get(server.url, timeout=10).status_code
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), ('{"type": "service_account"}', "service account"), ('{"web": {}}', "client_id")],
)
def test_a_client_that_cannot_be_used_ends_the_command(tmp_path: Path, content: str | None, says: str) -> None:
    """The command says on one line what is wrong with the file, and exits with 2."""
    path = tmp_path / "client_secret.json"
    if content is not None:
        path.write_text(content)
    command = [sys.executable, "-m", "local.on_gmail", str(path)]
    ended = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=60)

    assert (2, "", 1) == (ended.returncode, ended.stdout, ended.stderr.count("\n"))
    assert says in ended.stderr


def test_the_command_goes_to_google_itself(tmp_path: Path) -> None:
    """Started as make does it, it sends people to Google's own page with the file's client, and ends with Ctrl-C."""
    port = free_port()
    path = tmp_path / "client_secret.json"
    path.write_text(client_file(port))
    command = [sys.executable, "-m", "local.on_gmail", str(path), "--contacts", f"{PAULA}, tom@shop.example"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout is not None
            crm_url = process.stdout.readline().split()[-1]
            token = requests.post(f"{crm_url}/session", json={"user": "anna"}, timeout=30).json()["token"]
            records = requests.get(f"{crm_url}/records.json?user=anna", timeout=30).json()
            asked = {"return_to": f"{crm_url}/connected", "features": ["mail"]}
            headers = {"Authorization": f"Bearer {token}"}
            authorize = f"http://127.0.0.1:{port}/oauth_callback/authorize"
            url = requests.post(authorize, json=asked, headers=headers, timeout=30).json()["url"]
        finally:
            process.send_signal(signal.SIGINT)
        said = process.stdout.read()

    assert 0 == process.returncode
    assert url.startswith("https://accounts.google.com/o/oauth2/v2/auth?client_id=123456789012-abc.")
    assert f"redirect_uri=http%3A%2F%2Flocalhost%3A{port}%2Foauth_callback%2Fcallback" in url
    assert [PAULA, "tom@shop.example"] == [one["name"] for one in records["contacts"]]
    assert environment.CLIENT_SECRET not in said


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """Where something else has the port of the redirect URI, the command says so and exits with 2."""
    path = tmp_path / "client_secret.json"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path.write_text(client_file(port))
        command = [sys.executable, "-m", "local.on_gmail", str(path)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert (2, f"Port {port}, to which") == (ended.returncode, ended.stderr[: len(f"Port {port}, to which")])
