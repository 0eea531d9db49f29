"""mail_proxy over HTTP: what is not to be seen and what is not there are one, by every way to ask, in every cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from local.stack import Stack
from tests.integration.contacts_rig import (
    CHANGES,
    CONNECTION,
    JONAS,
    MIA,
    begin,
    ids,
    opened,
    record,
    sent_by_anna,
    share,
    told,
    upsert,
)

pytestmark = pytest.mark.integration

UNKNOWN = "0123456789abcdef"
Told = tuple[int, bytes, dict[str, str]]
Closing = Callable[[Stack, str], None]


@pytest.fixture
def team(stack: Stack) -> Stack:
    """Anna, who shares Mia's mail, and Ben, who looks."""
    team = begin(stack)
    share(team)
    return team


def another_contacts(stack: Stack) -> str:
    return stack.mail("anna", JONAS, "Angebot", cc="partner@partner.example")


def in_secret(stack: Stack) -> str:
    return sent_by_anna(stack, to="x@elsewhere.example", bcc="mia@customer.example")


def a_draft(stack: Stack) -> str:
    return sent_by_anna(stack, labels=("DRAFT",))


def like_the_address(stack: Stack) -> str:
    return stack.mail("anna", '"mia@customer.example" <x@elsewhere.example>', "Angebot")


def shared_before(change: Closing) -> Callable[[Stack], str]:
    def deliver(stack: Stack) -> str:
        mail_id = stack.mail("anna", MIA, "Angebot", cc="partner@partner.example")
        assert 200 == opened(stack, mail_id).status_code
        change(stack, mail_id)
        return mail_id

    deliver.__name__ = change.__name__
    return deliver


def show_to_another_role(stack: Stack, _: str) -> None:
    upsert(stack, contacts=[record(stack, "contacts", "mia") | {"visible_to": ["role:management"]}])


def revoke_at_google(stack: Stack, _: str) -> None:
    stack.google.accounts.revoke_account("anna@demo-crm.example")
    opened(stack, UNKNOWN)


NEVER = [another_contacts, in_secret, a_draft, like_the_address]
HIDDEN = NEVER + [shared_before(one) for one in (*CHANGES, show_to_another_role, revoke_at_google)]


def calls(stack: Stack, work: Callable[[], object]) -> list[tuple[str, str, str, int]]:
    """What is asked of Google for it, in which there is nothing that counts mails."""
    mark = stack.ledger.mark()
    work()
    return sorted((one.service, one.method, one.mailbox, one.units) for one in stack.ledger.since(mark))


def asked(stack: Stack, ask: Callable[[Stack, str], requests.Response], mail_id: str) -> tuple[Told, object]:
    """The answer, and what was asked of Google for it."""
    answers: list[Told] = []
    made = calls(stack, lambda: answers.append(told(ask(stack, mail_id))))
    return answers[0], made


def attachment(stack: Stack, mail_id: str) -> requests.Response:
    return stack.call("ben", "GET", f"/mail_proxy/contacts/mia/emails/anna/{mail_id}/attachments/root")


@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda one: one.__name__)
def test_a_hidden_mail_is_as_one_that_never_was(team: Stack, hidden: Callable[[Stack], str]) -> None:
    """Opened, with its files, listed, in the deal: the same answer as for no mail, for the same calls to Google."""
    stranger = told(opened(team, UNKNOWN, owner="nobody"))
    mail_id = hidden(team)
    opened(team, UNKNOWN)

    for ask in (opened, attachment):
        (there, there_for), (nowhere, nowhere_for) = (asked(team, ask, one) for one in (mail_id, UNKNOWN))
        assert stranger == there == nowhere
        assert nowhere_for == there_for
    assert [] == timeline(team, "contacts/mia") == timeline(team, "deals/d-01")


def timeline(stack: Stack, of: str) -> list[str]:
    """The ids that Ben finds, none where there is no such contact or deal for him."""
    page = stack.call("ben", "POST", f"/mail_proxy/{of}/emails", json={})
    return ids(page.json()) if page.ok else []


@pytest.mark.parametrize("where", ["contacts/{}/emails", "contacts/{}/emails/anna/" + UNKNOWN, "contacts/{}/share"])
def test_a_hidden_contact_is_as_one_that_never_was(team: Stack, where: str) -> None:
    """By each route, and for the same calls, a contact out of sight, a deleted one and none at all are one."""
    upsert(
        team,
        contacts=[
            {"id": "secret", "name": "Secret", "addresses": ["mia@customer.example"], "owner": "anna"},
            {"id": "gone", "name": "Gone", "addresses": ["mia@customer.example"], "owner": "ben"},
        ],
    )
    upsert(team, contacts=[{"id": "gone", "deleted": True}])
    team.mail("anna", MIA)
    method = "PUT" if where.endswith("share") else "POST" if where.endswith("emails") else "GET"

    def ask(stack: Stack, contact: str) -> requests.Response:
        path = f"/mail_proxy/{where.format(contact)}"
        return stack.call("ben", method, path, json=None if method == "GET" else {})

    first = told(ask(team, "nobody"))
    nobody, secret, gone = (asked(team, ask, one) for one in ("nobody", "secret", "gone"))

    assert 404 == first[0]
    assert first == nobody[0]
    assert nobody == secret == gone


def test_a_hidden_contact_is_left_out_of_lists_as_one_that_never_was(team: Stack) -> None:
    """A list of contacts names those that the reader may see, and is silent on all others."""
    upsert(team, contacts=[{"id": "secret", "name": "Secret", "addresses": ["s@customer.example"], "owner": "anna"}])
    summaries = [
        told(team.call("ben", "POST", "/mail_proxy/contacts/summary", json={"ids": ["mia", one]}))
        for one in ("secret", "nobody")
    ]

    assert [summaries[0]] * 2 == summaries
    assert b'"mia"' in summaries[0][1]


@pytest.mark.parametrize("owner", ["carla", "nobody", "anna"])
def test_who_shares_nothing_is_as_nobody(team: Stack, owner: str) -> None:
    """A colleague without a mailbox, one who shares nothing, and nobody at all: the same page for the same calls."""
    upsert(team, contacts=[{"id": "bens", "name": "Mia", "addresses": ["mia@customer.example"], "owner": "ben"}])
    mail_id = team.mail("anna", MIA)
    team.ask("anna", "PATCH", CONNECTION, json={"sharing": "private"})

    def page(stack: Stack, of: str) -> requests.Response:
        return stack.call("ben", "POST", "/mail_proxy/contacts/bens/emails", json={"mailboxes": [of]})

    def mail(stack: Stack, of: str) -> requests.Response:
        return opened(stack, mail_id, "ben", "bens", of)

    for ask in (page, mail):
        ask(team, "nobody")
        assert asked(team, ask, "nobody") == asked(team, ask, owner)
