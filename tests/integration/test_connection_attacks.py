"""Attacks on the connection, and races for it: who tries what is told, and nothing is left over."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from time import sleep

import pytest
import requests

from local.browser import consent
from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import (
    FUNCTION,
    begin,
    claim,
    come_back,
    exchanges,
    fragment,
    is_granted,
    kept,
    refusal,
    ticket_of,
)

pytestmark = pytest.mark.integration
TEAM = "carla@demo-crm.example"


def wait_for(stack: Stack, fault: Fault) -> None:
    """Until the call that the fault slows down has come."""
    for _ in range(200):
        if fault.struck:
            return
        sleep(0.02)
    raise AssertionError(f"{fault.method} was never called")


@pytest.mark.parametrize("ticket", [".", "..", "./x", "\u0000.x", "ü.x", "x" * 256, "/.x", "__x__.y"])
def test_a_ticket_of_no_form_is_refused(stack: Stack, ticket: str) -> None:
    """Whatever stands in a ticket that is none of ours, it is an unknown one."""
    assert (400, "invalid-ticket") == refusal(claim(stack, "anna", ticket))


def test_joining_a_teams_mailbox_while_the_last_user_leaves(stack: Stack) -> None:
    """Revoking ends every grant of the mailbox: who claims one meanwhile is told to start again, and then succeeds."""
    stack.connect("ben", address=TEAM)
    ticket = ticket_of(stack, address=TEAM)
    slow = stack.faults.inject(Fault("oauth", "revoke", delay_s=1.5))

    with ThreadPoolExecutor(1) as pool:
        leaving: Future[requests.Response] = pool.submit(lambda: stack.call("ben", "DELETE", f"{FUNCTION}/connection"))
        wait_for(stack, slow)
        answer = claim(stack, "anna", ticket)

    assert (409, "grant-ended-meanwhile") == refusal(answer)
    assert 204 == leaving.result().status_code
    assert ({}, False) == (kept(stack), is_granted(stack, "carla"))
    stack.connect("anna", address=TEAM)
    assert "healthy" == stack.ask("anna", "GET", f"{FUNCTION}/connection")["health"]["word"]


def test_leaving_while_another_joins_revokes_nothing(stack: Stack) -> None:
    """A claim that was granted already, and is not made yet, keeps the last user's leaving from revoking."""
    stack.connect("ben", address=TEAM)
    ticket = ticket_of(stack, address=TEAM)
    slow = stack.faults.inject(Fault("secretmanager", "CreateSecret", delay_s=1.5))

    with ThreadPoolExecutor(1) as pool:
        claiming = pool.submit(lambda: claim(stack, "anna", ticket))
        wait_for(stack, slow)
        stack.ask("ben", "DELETE", f"{FUNCTION}/connection")

    assert 201 == claiming.result().status_code
    assert ({"connections": 1, "secrets": 1}, True) == (kept(stack), is_granted(stack, "carla"))


def test_an_administrators_end_reaches_a_claim_under_way(stack: Stack) -> None:
    """Deactivation while the code is being exchanged voids the consent: no connection comes after it."""
    ticket = ticket_of(stack)
    slow = stack.faults.inject(Fault("oauth", "token", delay_s=1.5))

    with ThreadPoolExecutor(1) as pool:
        claiming = pool.submit(lambda: claim(stack, "anna", ticket))
        wait_for(stack, slow)
        stack.ask("carla", "DELETE", f"{FUNCTION}/connections/anna")

    assert (409, "connection-changed-meanwhile") == refusal(claiming.result())
    assert ({}, False) == (kept(stack), is_granted(stack))


def test_an_administrators_end_reaches_a_claim_that_is_faster(stack: Stack) -> None:
    """A connection that is made while a deactivation is looking around is ended by it, too."""
    ticket = ticket_of(stack)
    slow = stack.faults.inject(Fault("firestore", "RunQuery", delay_s=1.5))

    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(lambda: stack.ask("carla", "DELETE", f"{FUNCTION}/connections/anna"))
        wait_for(stack, slow)
        claim(stack, "anna", ticket)

    ending.result()
    assert ({}, False) == (kept(stack), is_granted(stack))


def test_of_two_consents_of_one_user_one_connects(stack: Stack) -> None:
    """Two tickets of one user, claimed at the same moment: one connection with a living grant, and one refusal."""
    tickets = [ticket_of(stack) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        answers = [one.status_code for one in pool.map(lambda ticket: claim(stack, "anna", ticket), tickets)]

    assert [201, 409] == sorted(answers)
    assert ({"connections": 1, "secrets": 1}, True) == (kept(stack), is_granted(stack))


def test_of_two_consents_for_two_mailboxes_the_loser_is_given_back(stack: Stack) -> None:
    """The mailbox that lost the race has no grant left, the other one works."""
    stack.google.add_account("second@demo-crm.example", "Second")
    tickets = [ticket_of(stack), ticket_of(stack, address="second@demo-crm.example")]

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda ticket: claim(stack, "anna", ticket), tickets))

    assert [201, 409] == sorted(answer.status_code for answer in answers)
    granted = {}
    for address in ("anna@demo-crm.example", "second@demo-crm.example"):
        account = stack.google.accounts.find(address)
        assert account is not None
        granted[address] = bool(stack.google.accounts.granted(account.sub))
    shown = stack.ask("anna", "GET", f"{FUNCTION}/connection")["address"]
    assert {address: address == shown for address in granted} == granted
    assert {"connections": 1, "secrets": 1} == kept(stack)


def test_a_second_consent_is_void_once_the_first_connects(stack: Stack) -> None:
    """A ticket that was begun before the connection changed is refused without asking Google, and is gone."""
    first, second = ticket_of(stack), ticket_of(stack)
    claim(stack, "anna", first)
    mark = stack.ledger.mark()

    assert (409, "connection-changed-meanwhile") == refusal(claim(stack, "anna", second))
    assert ({"connections": 1, "secrets": 1}, 0) == (kept(stack), exchanges(stack, mark))


def test_of_two_redirects_at_once_one_brings_a_ticket(stack: Stack) -> None:
    """The same answer of Google's, delivered twice at the same moment, is taken once."""
    location = consent(begin(stack), "anna@demo-crm.example")

    with ThreadPoolExecutor(4) as pool:
        answers = [answer.status_code for answer in pool.map(lambda _: come_back(location), range(4))]

    assert [302, 400, 400, 400] == sorted(answers)


def test_deactivation_is_not_lost_to_a_change(stack: Stack) -> None:
    """A setting that changes between the reading and the ending of a connection does not keep it alive."""
    stack.connect("anna")
    slow = stack.faults.inject(Fault("firestore", "Commit", delay_s=1.0))

    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(lambda: stack.call("anna", "DELETE", f"{FUNCTION}/connection"))
        wait_for(stack, slow)
        stack.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"locale": "de"})

    assert 204 == ending.result().status_code
    assert ({}, False) == (kept(stack), is_granted(stack))


def test_of_two_policies_at_once_one_is_told_to_try_again(stack: Stack) -> None:
    """No administrator's change disappears unseen, also without If-Match."""
    stack.ask("carla", "GET", f"{FUNCTION}/connection")
    slow = stack.faults.inject(Fault("firestore", "Commit", delay_s=1.0))

    with ThreadPoolExecutor(1) as pool:
        slower = pool.submit(
            lambda: stack.call("carla", "PUT", f"{FUNCTION}/policy", json={"time_zone": "Europe/Rome"})
        )
        wait_for(stack, slow)
        stack.ask("carla", "PUT", f"{FUNCTION}/policy", json={"time_zone": "Europe/Oslo"})

    assert (409, "policy-changed-meanwhile") == refusal(slower.result())
    assert slower.result().json()["retryable"]
    assert "Europe/Oslo" == stack.ask("carla", "GET", f"{FUNCTION}/policy")["time_zone"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("admin_policy_enforced", (403, "google-policy")),
        ("invalid_grant", (400, "code-refused")),
        ("redirect_uri_mismatch", (502, "google-refused")),
    ],
)
def test_a_refused_exchange_ends_the_consent(stack: Stack, reason: str, expected: tuple[int, str]) -> None:
    """What Google refuses for good is told by its kind, and nothing is pending."""
    ticket = ticket_of(stack)
    stack.faults.inject(Fault("oauth", "token", status=400, reason=reason))

    assert expected == refusal(claim(stack, "anna", ticket))
    assert {} == kept(stack)


def test_a_claim_does_not_depend_on_the_first_access_token(stack: Stack) -> None:
    """If Google cannot refresh right after the exchange, the connection is made, and works when Google does."""
    ticket = ticket_of(stack)
    stack.faults.inject(Fault("oauth", "token", status=503, skip=1, count=3))

    assert 201 == claim(stack, "anna", ticket).status_code
    stack.faults.clear()
    assert 200 == stack.call("anna", "GET", "/mail_proxy/labels").status_code


def test_a_refused_grant_that_google_does_not_take_back_is_owed(stack: Stack) -> None:
    """When the policy refuses a mailbox and Google is down, the grant is revoked later, like after a deactivation."""
    stack.ask("carla", "PUT", f"{FUNCTION}/policy", json={"mailbox_must_match_user": True})
    ticket = ticket_of(stack, address=TEAM)
    stack.faults.inject(Fault("oauth", "revoke", status=503, count=2))

    assert (403, "mailbox-not-allowed") == refusal(claim(stack, "anna", ticket))
    assert ({"revocations": 1, "secrets": 1}, True) == (kept(stack), is_granted(stack, "carla"))
    assert 1 == len(stack.ask("anna", "GET", f"{FUNCTION}/connection/data")["revocations"])

    stack.catch_up(3600)
    assert ({}, False) == (kept(stack), is_granted(stack, "carla"))


def test_a_refused_grant_leaves_the_users_own_connection_alone(stack: Stack) -> None:
    """Anna, connected to her mailbox, tries one that the policy refuses: her connection goes on."""
    stack.connect("anna")
    stack.ask("carla", "PUT", f"{FUNCTION}/policy", json={"mailbox_must_match_user": True})

    assert (403, "mailbox-not-allowed") == refusal(claim(stack, "anna", ticket_of(stack, address=TEAM)))

    assert ({"connections": 1, "secrets": 1}, True) == (kept(stack), is_granted(stack))
    assert not is_granted(stack, "carla")


def test_a_lost_answer_to_the_last_commit_is_no_failure(stack: Stack) -> None:
    """If Firestore made the connection and its answer was lost, the claim says so."""
    ticket = ticket_of(stack)
    stack.faults.inject(Fault("firestore", "Commit", drop_answer=True, skip=4))

    assert 201 == claim(stack, "anna", ticket).status_code
    assert {"connections": 1, "secrets": 1} == kept(stack)


def test_who_reads_the_store_cannot_claim(stack: Stack) -> None:
    """The hashes that the pending document holds open nothing, alone or together."""
    ticket_of(stack)
    path, stored = next((path, one) for path, one in stack.documents().items() if path.startswith("pending"))
    name = path.rpartition("/")[2]

    for guess in (
        stored["ticket_hash"],
        f"{stored['state_hash']}.{stored['ticket_hash']}",
        f"{name}.{stored['sealed']}",
    ):
        assert (400, "invalid-ticket") == refusal(claim(stack, "anna", guess[:256]))


def test_no_answer_of_a_sign_in_sets_a_cookie_or_names_the_ticket_to_a_server(stack: Stack) -> None:
    """The ticket travels in the fragment alone, which no browser sends, and nothing hangs on a cookie."""
    started = stack.call(
        "anna", "POST", f"{FUNCTION}/authorize", json={"return_to": f"{stack.crm_url}/connected", "features": ["mail"]}
    )
    returned = come_back(consent(started.json()["url"], "anna@demo-crm.example"))
    claimed = claim(stack, "anna", fragment(returned)[2])

    address, _, inside = returned.headers["Location"].partition("#")
    assert (f"{stack.crm_url}/connected", True) == (address, inside.startswith("ticket="))
    assert [False] * 3 == ["Set-Cookie" in answer.headers for answer in (started, returned, claimed)]
    assert ["no-store"] * 3 == [answer.headers["Cache-Control"] for answer in (started, returned, claimed)]
    assert "no-referrer" == returned.headers["Referrer-Policy"]


@pytest.mark.parametrize("origin", ["null", "https://evil.example"])
def test_a_strange_page_reads_no_answer(stack: Stack, origin: str) -> None:
    """Without an allowed origin no answer of these routes may be read across origins, errors neither."""
    for user in ("anna", None):
        answer = stack.call(user, "GET", f"{FUNCTION}/connection", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.headers["Vary"]
