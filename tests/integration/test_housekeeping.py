"""The daily run: what it clears away, page by page, and that trouble with one part leaves no other undone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
import requests
from google.cloud import firestore, secretmanager_v1
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

from local.environment import HOUSEKEEPING, PROJECT
from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, claim, is_granted, kept, ticket_of
from tests.integration.magnet_rig import encoded

pytestmark = pytest.mark.integration
# Of a first claim: how many commits come before the one that makes the connection.
LAST_COMMIT = 4


@pytest.fixture
def secrets(stack: Stack) -> Iterator[secretmanager_v1.SecretManagerServiceClient]:
    """Secret Manager, as whoever left something there used it."""
    with grpc.insecure_channel(stack.google.secrets.address) as channel:
        yield secretmanager_v1.SecretManagerServiceClient(transport=SecretManagerServiceGrpcTransport(channel=channel))


def leave_secret(secrets: secretmanager_v1.SecretManagerServiceClient, name: str) -> None:
    secret = secretmanager_v1.Secret(labels={"app": "crm-mail", "kind": "refresh-token"})
    secret.replication.automatic = secretmanager_v1.Replication.Automatic()
    secrets.create_secret(parent=f"projects/{PROJECT}", secret_id=name, secret=secret)


def keep_house(stack: Stack, **errand: Any) -> requests.Response:
    """Calls the internal route as Scheduler or Tasks would."""
    token = stack.google.tokens.mint(HOUSEKEEPING, stack.url(FUNCTION))
    headers = {"Authorization": f"Bearer {token}"}
    return stack.call(None, "POST", f"{FUNCTION}/tasks/housekeeping", json=errand, headers=headers)


def test_orphans_behind_the_first_page_are_found(
    stack: Stack, secrets: secretmanager_v1.SecretManagerServiceClient
) -> None:
    """However many secrets there are, a task a page looks at all of them."""
    stack.connect("anna")
    for number in range(260):
        leave_secret(secrets, f"gmail-{number:04}")
    stack.advance(3601)

    stack.run_job("housekeeping")

    assert {"connections": 1, "secrets": 1} == kept(stack)
    assert "healthy" == stack.ask("anna", "GET", f"{FUNCTION}/connection")["health"]["word"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("firestore", "RunQuery", status=403),
        Fault("firestore", "RunQuery", status=403, skip=1),
        Fault("secretmanager", "ListSecrets", status=403),
        Fault("firestore", "RunQuery", status=403, skip=4),
    ],
    ids=["revocations", "users", "secrets", "consents"],
)
def test_a_part_that_fails_is_told_and_leaves_the_others_done(
    stack: Stack, secrets: secretmanager_v1.SecretManagerServiceClient, fault: Fault
) -> None:
    """Scheduler hears 503 and tries again; of the other parts everything was done the first time."""
    ticket_of(stack)
    leave_secret(secrets, "gmail-orphan")
    stack.advance(3601)
    stack.faults.inject(fault)

    first = keep_house(stack)
    left = kept(stack)
    second = keep_house(stack)

    assert (503, 204) == (first.status_code, second.status_code)
    assert left in ({}, {"secrets": 1}, {"pending_connections": 1})
    assert {} == kept(stack)


def test_a_dead_claims_grant_is_revoked(stack: Stack) -> None:
    """What a claim could not make a connection of is revoked after an hour, and its secret destroyed."""
    ticket = ticket_of(stack)
    stack.faults.inject(Fault("firestore", "Commit", status=504, skip=LAST_COMMIT))
    assert 503 == claim(stack, "anna", ticket).status_code
    assert ({"revocations": 1, "secrets": 1, "pending_connections": 1}, True) == (kept(stack), is_granted(stack))

    stack.run_job("housekeeping")
    assert is_granted(stack)
    stack.advance(3601)
    stack.run_job("housekeeping")

    assert ({}, False) == (kept(stack), is_granted(stack))


def test_a_dead_claim_of_a_connected_mailbox_revokes_nothing(stack: Stack) -> None:
    """The same in a team's mailbox: the secret goes, and Ben's grant, which is the same one at Google, stays."""
    stack.connect("ben", address="carla@demo-crm.example")
    ticket = ticket_of(stack, address="carla@demo-crm.example")
    stack.faults.inject(Fault("firestore", "Commit", status=504, skip=LAST_COMMIT))
    assert 503 == claim(stack, "anna", ticket).status_code

    stack.advance(3601)
    stack.run_job("housekeeping")

    assert ({"connections": 1, "secrets": 1}, True) == (kept(stack), is_granted(stack, "carla"))
    assert "healthy" == stack.ask("ben", "GET", f"{FUNCTION}/connection")["health"]["word"]


def test_two_dead_claims_of_one_mailbox_revoke_it_once(stack: Stack) -> None:
    """Each looks whether the other still wants the mailbox; the hour over, neither does."""
    for user in ("anna", "ben"):
        ticket = ticket_of(stack, user, address="carla@demo-crm.example")
        stack.faults.inject(Fault("firestore", "Commit", status=504, skip=LAST_COMMIT))
        assert 503 == claim(stack, user, ticket).status_code
    stack.advance(3601)

    stack.run_job("housekeeping")

    assert ({}, False) == (kept(stack), is_granted(stack, "carla"))


def test_users_who_left_are_found_on_every_page(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are connected, the one on the second page who left a week ago is deactivated, and nobody else."""
    stack.connect("anna")
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", stack.google.firestore.address)
    database = firestore.Client(project=PROJECT)
    documents = stack.documents()
    batch = database.batch()
    for number in range(101):
        user_id = f"z{number:03}"
        connected = {**documents["connections/YW5uYQ"], "user_id": user_id, "mailbox_key": user_id, "secret": user_id}
        batch.set(database.document(f"connections/{encoded(user_id)}"), connected)
        left = {"active": number < 100, "inactive_since": stack.clock.now() - timedelta(days=8)}
        user = {**documents["users/YW5uYQ"], "user_id": user_id, **left}
        batch.set(database.document(f"users/{encoded(user_id)}"), user)
    batch.commit()

    stack.run_job("housekeeping")

    assert {"connections": 101, "secrets": 1} == kept(stack)
    assert f"connections/{encoded('z100')}" not in stack.documents()


def test_running_twice_at_once_is_fine(stack: Stack) -> None:
    """A second daily run of the same day finds its tasks left already."""
    stack.connect("anna")
    stack.faults.inject(Fault("oauth", "revoke", status=503, count=1))
    stack.ask("anna", "DELETE", f"{FUNCTION}/connection")

    assert [204, 204] == [keep_house(stack).status_code for _ in range(2)]
    stack.settle()

    assert ({}, False) == (kept(stack), is_granted(stack))


@pytest.mark.parametrize(
    "errand",
    [{"kind": "revoke", "id": "unknown"}, {"kind": "leave", "user": "nobody"}, {"kind": "secrets", "page": ""}],
)
def test_an_errand_for_what_is_gone_does_nothing(stack: Stack, errand: dict[str, str]) -> None:
    """A task that comes late or twice ends well."""
    stack.connect("anna")

    assert 204 == keep_house(stack, **errand).status_code
    assert {"connections": 1, "secrets": 1} == kept(stack)


@pytest.mark.parametrize("errand", [{"kind": "made-up"}, {"kind": "users", "page": 7}])
def test_an_errand_that_cannot_be_read_is_acknowledged(stack: Stack, errand: dict[str, object]) -> None:
    """Trying it again would mend nothing: it is logged and done with."""
    assert 204 == keep_house(stack, **errand).status_code
    assert "task-poison" in stack.log_file("oauth_callback").read_text()
