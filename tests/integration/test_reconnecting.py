"""Whose mailbox it is, says Google's ``sub``: the same one goes on, another starts afresh, a team's is each user's."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, claim, is_granted, kept, refusal, ticket_of

pytestmark = pytest.mark.integration
HERS, PRIVATE, TEAM = "anna@demo-crm.example", "private@elsewhere.example", "carla@demo-crm.example"
FEATURES = ["mail", "mailmagnet", "actions", "labels"]


@pytest.fixture
def running(stack: Stack) -> Stack:
    """Anna with everything on: labels, a filed mail, its notice, a share of the contact."""
    stack.load_directory()
    stack.connect("anna")
    stack.switch_on("anna")
    stack.catch_up(within_s=300)
    stack.mail("anna", "mia@customer.example", "Offer", auth="pass")
    stack.settle()
    stack.sweep()
    stack.ask("anna", "PUT", "/mail_proxy/contacts/mia/share")
    return stack


def connection(stack: Stack) -> dict[str, Any]:
    return stack.documents()["connections/YW5uYQ"]


def below(stack: Stack) -> set[str]:
    """What is held of Anna's mail: the kinds of documents."""
    paths = stack.documents()
    kinds = {path.split("/")[2] for path in paths if path.startswith("connections/YW5uYQ/")}
    return kinds | {path.split("/")[0] for path in paths if path.startswith("shares/")}


def reconnect(stack: Stack, address: str = HERS) -> dict[str, Any]:
    shown: dict[str, Any] = claim(stack, "anna", ticket_of(stack, address=address, features=FEATURES)).json()
    return shown


def test_the_same_mailbox_goes_on(running: Stack) -> None:
    """Settings, labels, cursor and notices stay; generation and secret are new; mail is noticed and filed."""
    before, secret = connection(running), next(iter(running.google.secrets.dump()))
    held = below(running)

    shown = reconnect(running)
    running.settle()
    running.mail("anna", "mia@customer.example", "Next", auth="pass")
    running.settle()
    running.sweep()

    after = connection(running)
    assert {"notices", "senders", "sweeps", "shares"} == held == below(running)
    kept_fields = ("label_ids", "mailmagnet", "labels", "mailbox_key", "hidden_label_id")
    assert [before[name] for name in kept_fields] == [after[name] for name in kept_fields]
    assert before["generation"] != after["generation"] == running.documents()["sync/YW5uYQ"]["generation"]
    assert secret not in running.google.secrets.dump()
    assert "connected" == shown["status"]
    assert 2 == len(running.ask("anna", "GET", "/mail_proxy/notices")["notices"])
    assert "healthy" == running.ask("anna", "GET", f"{FUNCTION}/connection")["health"]["word"]


def test_another_mailbox_starts_afresh(running: Stack) -> None:
    """At once nothing of the former mailbox is shown; soon nothing of it is held, and its watch and grant are gone."""
    running.google.add_account(PRIVATE, "Anna privately")

    shown = reconnect(running, PRIVATE)

    assert (PRIVATE, "off", "off", "private") == (
        shown["address"],
        shown["mailmagnet"]["state"],
        shown["labels"]["state"],
        shown["sharing"]["effective"],
    )
    assert [] == running.ask("anna", "GET", "/mail_proxy/notices")["notices"]
    assert ({}, False) == (connection(running)["label_ids"], "sync/YW5uYQ" in running.documents())
    running.catch_up(within_s=61)
    assert (set(), {"connections": 1, "secrets": 1}, False) == (below(running), kept(running), is_granted(running))
    mailbox = running.google.gmail.mailbox(HERS)
    with mailbox.lock:
        assert mailbox.watch is None


def test_a_former_mailbox_is_left_though_google_is_down(running: Stack) -> None:
    """The new connection does not wait for the former grant's end, which is owed."""
    running.google.add_account(PRIVATE, "Anna privately")
    running.faults.inject(Fault("oauth", "revoke", status=503, count=2))

    shown = reconnect(running, PRIVATE)
    running.catch_up(within_s=61)
    owed = kept(running)
    running.catch_up(within_s=3600)

    assert ("connected", {"connections": 1, "secrets": 2, "revocations": 1}) == (shown["status"], owed)
    assert ({"connections": 1, "secrets": 1}, False) == (kept(running), is_granted(running))


def test_a_task_of_the_former_connection_does_nothing(running: Stack) -> None:
    """What was left for the old generation comes late, and finds that it is none of its business."""
    running.google.tasks.pause()
    running.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"mailmagnet": False})
    running.google.add_account(PRIVATE, "Anna privately")
    reconnect(running, PRIVATE)
    running.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"mailmagnet": True})
    running.google.tasks.resume()
    running.catch_up(within_s=300)

    shown = running.ask("anna", "GET", f"{FUNCTION}/connection")
    assert ("on", "healthy") == (shown["mailmagnet"]["state"], shown["health"]["word"])


def test_a_renamed_address_is_the_same_mailbox(running: Stack) -> None:
    """Google's ``sub`` counts, so that a new address keeps everything."""
    running.google.accounts.rename(HERS, "anna.new@demo-crm.example")
    running.google.gmail.rename(HERS, "anna.new@demo-crm.example")

    shown = reconnect(running, "anna.new@demo-crm.example")
    running.settle()
    running.mail("anna.new@demo-crm.example", "mia@customer.example", "Next", auth="pass")
    running.settle()

    assert ("anna.new@demo-crm.example", "healthy", "on", [HERS]) == (
        shown["address"],
        shown["health"]["word"],
        shown["labels"]["state"],
        shown["aliases"],
    )
    assert 2 == len(running.ask("anna", "GET", "/mail_proxy/notices")["notices"])


def test_an_old_address_of_somebody_else_is_another_mailbox(stack: Stack) -> None:
    """An account that got Anna's former address is not taken for hers."""
    stack.connect("anna")
    stack.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"sharing": "public"})
    stack.google.accounts.rename(HERS, "anna.new@demo-crm.example")
    stack.google.gmail.rename(HERS, "anna.new@demo-crm.example")
    stack.google.add_account(HERS, "Somebody else")

    shown = reconnect(stack)
    assert ("private", "connected") == (shown["sharing"]["level"], shown["status"])


def test_users_of_a_teams_mailbox_do_not_see_each_others_settings(stack: Stack) -> None:
    """One mailbox, two connections: sharing, features and deactivation are each user's own."""
    for user in ("anna", "ben"):
        stack.connect(user, address=TEAM)
    stack.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"sharing": "public", "mailmagnet": True})
    stack.settle()

    bens = stack.ask("ben", "GET", f"{FUNCTION}/connection")
    assert ("private", "off") == (bens["sharing"]["level"], bens["mailmagnet"]["state"])
    stack.ask("anna", "DELETE", f"{FUNCTION}/connection")
    assert "healthy" == stack.ask("ben", "GET", f"{FUNCTION}/connection")["health"]["word"]
    assert 200 == stack.call("ben", "GET", "/mail_proxy/labels").status_code


def test_the_watch_of_a_teams_mailbox_ends_with_its_last_user(stack: Stack) -> None:
    """Anna's leaving does not stop what Ben's MailMagnet lives on."""
    for user in ("anna", "ben"):
        stack.connect(user, address=TEAM)
        stack.switch_on(user, mailmagnet=True)
    mailbox = stack.google.gmail.mailbox(TEAM)
    watched = []
    for user in ("anna", "ben"):
        stack.ask(user, "DELETE", f"{FUNCTION}/connection")
        with mailbox.lock:
            watched.append(mailbox.watch is not None)

    assert [True, False] == watched


def test_a_security_event_reaches_all_users_of_a_mailbox(stack: Stack) -> None:
    """Whoever has connected the account is told; while Google's keys cannot be had, Google is asked to come again."""
    for user in ("anna", "ben"):
        stack.connect(user, address=TEAM)
    stack.advance(86401)
    token = stack.google.oauth.security_event("tokens-revoked", TEAM)
    stack.faults.inject(Fault("jwks", "risc_certs", status=503, count=2))

    def post() -> requests.Response:
        return stack.call(None, "POST", f"{FUNCTION}/risc", data=token)

    assert (503, "keys-unavailable") == refusal(post())
    stack.faults.clear()
    stack.advance(3)
    assert 202 == post().status_code
    shown = [stack.ask(user, "GET", f"{FUNCTION}/connection") for user in ("anna", "ben")]
    assert [("reauth_required", "revoked")] * 2 == [(one["status"], one["reauth_reason"]) for one in shown]


@pytest.mark.parametrize(
    ("name", "status"), [("x" * 128, 204), ("x" * 129, 404), ("%00", 404), ("a%0Ab", 404), ("..", 404)]
)
def test_an_administrator_names_users_as_a_crm_does(stack: Stack, name: str, status: int) -> None:
    """An id that no CRM may use names nobody; one that may and has no connection is nothing to be ended."""
    assert status == stack.call("carla", "DELETE", f"{FUNCTION}/connections/{name}").status_code
