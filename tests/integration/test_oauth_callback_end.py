"""The end of a connection over HTTP: deactivation, what is owed, housekeeping, Google's security events."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import grpc
import jwt
import pytest
import requests
from google.cloud import firestore, secretmanager_v1
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

from common.keys import encode_id
from local.environment import PROJECT
from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, claim, is_granted, kept, refusal, ticket_of

pytestmark = pytest.mark.integration


@pytest.fixture
def database(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> firestore.Client:
    """Firestore as the CRM's back end and handlers would have written it."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", stack.google.firestore.address)
    return firestore.Client(project=PROJECT)


@pytest.fixture
def magnet(stack: Stack, database: firestore.Client) -> Stack:
    """Anna with MailMagnet and labels on, as magnet_ingest and label_sweep leave it; Cloud Tasks hold still."""
    stack.connect("anna")
    stack.google.tasks.pause()
    stack.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"mailmagnet": True, "labels": True})
    stack.google.tasks.clear()
    stack.google.tasks.resume()
    return stack


def deactivate(stack: Stack, query: str = "") -> requests.Response:
    return stack.call("anna", "DELETE", f"{FUNCTION}/connection{query}")


def methods(stack: Stack, mark: int) -> list[str]:
    """What was called at Gmail and OAuth since, in order."""
    names = {"users.stop", "users.labels.delete", "revoke", "DeleteSecret"}
    return [call.method for call in stack.ledger.since(mark) if call.method in names]


def held_of(stack: Stack, user: str = "anna") -> dict[str, Any]:
    answer: dict[str, Any] = stack.ask(user, "GET", f"{FUNCTION}/connection/data")
    return answer


def make_inactive(database: firestore.Client, user: str, since: datetime) -> None:
    database.collection("users").document(encode_id(user)).update(
        {"active": False, "inactive_since": since, "updated_at": since}
    )


def test_deactivation_leaves_nothing(stack: Stack) -> None:
    """Connection, secret, grant and mailbox record are gone; the audit alone remembers."""
    stack.connect("anna")

    assert 204 == deactivate(stack).status_code

    assert ({}, False) == (kept(stack), is_granted(stack))
    assert [] == [path for path in stack.documents() if path.startswith(("mailboxes/", "sync/", "work/"))]
    assert "absent" == stack.ask("anna", "GET", f"{FUNCTION}/connection")["status"]


def test_the_end_comes_in_order(magnet: Stack) -> None:
    """Stop needs the grant, revoking needs the token: stop, revoke, destroy."""
    mark = magnet.ledger.mark()

    deactivate(magnet)

    assert ["users.stop", "revoke", "DeleteSecret"] == methods(magnet, mark)


def test_everything_of_the_users_is_deleted(magnet: Stack, database: firestore.Client) -> None:
    """Notices, senders, sweeps, cursor, work, shares and sends go with the connection."""
    root = database.collection("connections").document(encode_id("anna"))
    for collection in ("notices", "senders", "sweeps"):
        for number in range(3):
            root.collection(collection).document(f"d{number}").set({"mailbox_key": "k"})
    documents: dict[str, dict[str, Any]] = {
        "sync/YW5uYQ": {"user_id": "anna", "generation": "g", "mailbox_key": "k", "cursor": "7"},
        "work/YW5uYQ": {"user_id": "anna", "generation": "g", "due_at": magnet.clock.now()},
        "shares/s": {"owner": "anna"},
        "sends/s": {"user_id": "anna"},
        "shares/of-ben": {"owner": "ben"},
    }
    for path, fields in documents.items():
        database.document(path).set(fields)

    deactivate(magnet)

    left = {path.split("/")[0] for path in magnet.documents()}
    assert {"users", "audit", "shares"} == left
    assert "shares/of-ben" in magnet.documents()


def test_deactivating_twice_is_fine(stack: Stack) -> None:
    """The second time nothing is left to do, and nothing is said against it."""
    stack.connect("anna")
    deactivate(stack)
    mark = stack.ledger.mark()

    assert 204 == deactivate(stack).status_code
    assert [] == methods(stack, mark)


def test_deactivating_a_connection_that_google_refuses_works(stack: Stack) -> None:
    """After the user has withdrawn consent at Google, there is nothing to revoke, and everything goes all the same."""
    stack.connect("anna")
    stack.google.accounts.revoke_account("anna@demo-crm.example")

    assert 204 == deactivate(stack).status_code
    assert {} == kept(stack)


def test_labels_go_only_when_asked(magnet: Stack, database: firestore.Client) -> None:
    """?labels=remove takes our labels out of Gmail, and no other."""
    mailbox = magnet.google.gmail.mailbox("anna@demo-crm.example")
    with mailbox.lock:
        ours = mailbox.labels.create({"name": "Customers"}).id
        mailbox.labels.create({"name": "My own"})
    database.document("connections/YW5uYQ").update({"label_ids": {"customers": ours}})

    deactivate(magnet, "?labels=remove")

    with mailbox.lock:
        names = {one["name"] for one in mailbox.labels.as_json() if one["type"] == "user"}
    assert {"My own"} == names


def test_what_google_does_not_revoke_is_owed_and_retried(stack: Stack) -> None:
    """With Google down the connection is gone at once; the revocation owns the secret until a task succeeds."""
    stack.connect("anna")
    stack.faults.inject(Fault("oauth", "revoke", status=503, count=2))

    assert 204 == deactivate(stack).status_code
    shown = stack.ask("anna", "GET", f"{FUNCTION}/connection")
    assert ("absent", True) == (shown["status"], shown["revocation_owed_until"] is not None)
    assert ({"revocations": 1, "secrets": 1}, True) == (kept(stack), is_granted(stack))
    assert 1 == len(held_of(stack)["revocations"])

    for _ in range(4):
        stack.advance(300)
        stack.settle()
    assert ({}, False) == (kept(stack), is_granted(stack))


def test_what_is_owed_is_given_up_after_72_hours(stack: Stack) -> None:
    """When Google has not revoked in time, the secret is destroyed and an audit record says so."""
    stack.connect("anna")
    stack.faults.inject(Fault("oauth", "revoke", status=503, count=1000))
    deactivate(stack)

    for _ in range(20):
        stack.advance(6 * 3600)
        stack.settle()

    assert {} == kept(stack)
    records = stack.ask("carla", "GET", f"{FUNCTION}/audit")["records"]
    assert "revocation_given_up" in {one["action"] for one in records}


def test_a_request_that_dies_is_finished_by_its_task(stack: Stack) -> None:
    """If Firestore fails after the connection is gone, the task left before finishes the rest."""
    stack.connect("anna")
    stack.faults.inject(Fault("firestore", "RunQuery", status=429, count=200, skip=2))
    stack.call("anna", "DELETE", f"{FUNCTION}/connection", timeout_s=120)
    stack.faults.clear()

    stack.advance(61)
    stack.settle()

    assert {} == kept(stack)
    assert not is_granted(stack)


def test_of_a_teams_mailbox_the_last_to_leave_revokes(stack: Stack) -> None:
    """While Ben has the mailbox too, Anna's leaving neither stops nor revokes; Ben's does."""
    for user in ("anna", "ben"):
        stack.connect(user, address="carla@demo-crm.example")

    deactivate(stack)
    assert ({"connections": 1, "secrets": 1}, True) == (kept(stack), is_granted(stack, "carla"))

    stack.ask("ben", "DELETE", f"{FUNCTION}/connection")
    assert ({}, False) == (kept(stack), is_granted(stack, "carla"))


def test_reconnecting_while_a_revocation_is_owed_keeps_the_new_grant(stack: Stack) -> None:
    """A revocation that comes late must not end what the same user has granted since."""
    stack.connect("anna")
    stack.faults.inject(Fault("oauth", "revoke", status=503))
    deactivate(stack)
    stack.connect("anna")

    stack.advance(3600)
    stack.settle()

    assert ({"connections": 1, "secrets": 1}, True) == (kept(stack), is_granted(stack))


def test_a_late_task_leaves_a_new_consent_alone(stack: Stack) -> None:
    """The task that looks after a deactivation a minute later does not disturb the user who is connecting again."""
    stack.connect("anna")
    deactivate(stack)
    ticket = ticket_of(stack)

    stack.advance(61)
    stack.settle()

    assert 201 == claim(stack, "anna", ticket).status_code


def test_administrators_deactivate_a_users_connection(stack: Stack) -> None:
    """Carla ends Anna's connection; the audit says that it was Carla; an unknown user is no error."""
    stack.connect("anna")

    assert 204 == stack.call("carla", "DELETE", f"{FUNCTION}/connections/anna").status_code
    assert 204 == stack.call("carla", "DELETE", f"{FUNCTION}/connections/nobody").status_code

    assert {} == kept(stack)
    ended = held_of(stack)["done_to_you"][0]
    assert ("connection_deactivated", "carla") == (ended["action"], ended["actor"])


def test_users_do_not_deactivate_each_other(stack: Stack) -> None:
    """Only administrators may end another's connection."""
    stack.connect("anna")

    answer = stack.call("ben", "DELETE", f"{FUNCTION}/connections/anna")

    assert (403, "administrators-only") == refusal(answer)
    assert {"connections": 1, "secrets": 1} == kept(stack)


def test_a_user_made_inactive_can_do_nothing_but_leave(stack: Stack, database: firestore.Client) -> None:
    """With an old token nothing is begun or changed, the connection is shown broken, and leaving works."""
    stack.connect("anna")
    ticket = ticket_of(stack)
    token = stack.token("anna")
    stack.advance(60)
    make_inactive(database, "anna", stack.clock.now())
    headers = {"Authorization": f"Bearer {token}"}

    def call(method: str, path: str, body: Any = None) -> requests.Response:
        return stack.call(None, method, FUNCTION + path, json=body, headers=headers)

    begin = {"return_to": f"{stack.crm_url}/connected", "features": ["mail"]}
    assert (403, "user-inactive") == refusal(call("POST", "/authorize", begin))
    assert (403, "user-inactive") == refusal(call("POST", "/connection", {"ticket": ticket}))
    assert (403, "user-inactive") == refusal(call("PATCH", "/connection", {"sharing": "public"}))
    assert ("broken", "user-inactive") == tuple(call("GET", "/connection").json()["health"].values())[:2]
    assert 204 == call("DELETE", "/connection").status_code


@pytest.mark.parametrize(("days", "expected"), [(6.9, {"connections": 1, "secrets": 1}), (7.1, {})])
def test_users_who_left_are_deactivated_after_seven_days(
    stack: Stack, database: firestore.Client, days: float, expected: dict[str, int]
) -> None:
    """The daily run ends the connection of a user who has been inactive for a week, and of nobody else."""
    stack.connect("anna")
    make_inactive(database, "anna", stack.clock.now() - timedelta(days=days))

    stack.run_job("housekeeping")
    stack.settle()

    assert expected == kept(stack)


def test_orphaned_secrets_are_destroyed_after_an_hour(stack: Stack) -> None:
    """A secret that a dead claim left goes; those of connections, of what is owed, and of others stay."""
    stack.connect("anna")
    stack.connect("ben")
    stack.faults.inject(Fault("oauth", "revoke", status=503, count=1000))
    stack.ask("ben", "DELETE", f"{FUNCTION}/connection")
    with grpc.insecure_channel(stack.google.secrets.address) as channel:
        client = secretmanager_v1.SecretManagerServiceClient(
            transport=SecretManagerServiceGrpcTransport(channel=channel)
        )
        for name, kind in {"gmail-orphan": "refresh-token", "oauth-client": "client-secret"}.items():
            secret = secretmanager_v1.Secret(labels={"app": "crm-mail", "kind": kind})
            secret.replication.automatic = secretmanager_v1.Replication.Automatic()
            client.create_secret(parent=f"projects/{PROJECT}", secret_id=name, secret=secret)

    stack.google.tasks.pause()
    stack.google.run_job("housekeeping")
    assert "gmail-orphan" in stack.google.secrets.dump()
    stack.advance(3601)
    stack.google.run_job("housekeeping")
    stack.google.tasks.resume()

    names = set(stack.google.secrets.dump())
    assert ("gmail-orphan" in names, "oauth-client" in names, 3) == (False, True, len(names))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("tokens-revoked", "revoked"),
        ("sessions-revoked", "sessions-revoked"),
        ("account-disabled", "account-disabled"),
    ],
)
def test_a_security_event_stops_the_connection(stack: Stack, event: str, reason: str) -> None:
    """Each of the events makes a new consent necessary, once, with its own reason; others' connections go on."""
    stack.connect("anna")
    stack.connect("ben")
    token = stack.google.oauth.security_event(event, "anna@demo-crm.example")

    answers = [stack.call(None, "POST", f"{FUNCTION}/risc", data=token).status_code for _ in range(2)]

    shown = stack.ask("anna", "GET", f"{FUNCTION}/connection")
    assert ([202, 202], "reauth_required", reason) == (answers, shown["status"], shown["reauth_reason"])
    assert "connected" == stack.ask("ben", "GET", f"{FUNCTION}/connection")["status"]
    actions = [one["action"] for one in held_of(stack)["done_to_you"]]
    assert ["reauth_required", "connection_created"] == actions


def test_an_event_of_the_past_does_not_end_a_newer_grant(stack: Stack) -> None:
    """An event that was issued before the present consent says nothing about it."""
    token = stack.google.oauth.security_event("tokens-revoked", "anna@demo-crm.example")
    stack.advance(60)
    stack.connect("anna")

    assert 202 == stack.call(None, "POST", f"{FUNCTION}/risc", data=token).status_code
    assert "connected" == stack.ask("anna", "GET", f"{FUNCTION}/connection")["status"]


def test_a_new_consent_after_an_event_works(stack: Stack) -> None:
    """The whole former grant is asked for again, and the connection is whole."""
    stack.connect("anna")
    token = stack.google.oauth.security_event("tokens-revoked", "anna@demo-crm.example")
    stack.call(None, "POST", f"{FUNCTION}/risc", data=token)

    stack.advance(5)
    shown = claim(stack, "anna", ticket_of(stack, features=["mail"])).json()

    assert ("connected", "", 4) == (shown["status"], shown["reauth_reason"], len(shown["features"]["granted"]))


def test_googles_test_event_is_accepted(stack: Stack) -> None:
    """The verification event is answered with 202 and changes nothing."""
    token = stack.google.oauth.security_event("verification", state="hello")

    assert 202 == stack.call(None, "POST", f"{FUNCTION}/risc", data=token).status_code


def _forged(stack: Stack) -> dict[str, str]:
    good = stack.google.oauth.security_event("tokens-revoked", "anna@demo-crm.example")
    claims = jwt.decode(good, options={"verify_signature": False})
    sign = stack.google.oauth.risc_keys.sign
    return {
        "empty": "",
        "no token": "hello",
        "unsigned": jwt.encode(claims, key="", algorithm="none"),
        "signed by id tokens' key": stack.google.oauth.keys.sign(claims),
        "another audience": sign({**claims, "aud": ["other-client"]}),
        "issuer of id tokens": sign({**claims, "iss": "https://accounts.google.com"}),
        "from the future": sign({**claims, "iat": claims["iat"] + 3600}),
        "no events": sign({name: value for name, value in claims.items() if name != "events"}),
        "events of another form": sign({**claims, "events": ["tokens-revoked"]}),
        "cut": good[:-4],
    }


def test_forged_security_events_are_refused(stack: Stack) -> None:
    """Only what Google signed with these keys, for our client, is taken; nothing else changes anything."""
    stack.connect("anna")

    for name, token in _forged(stack).items():
        answer = stack.call(None, "POST", f"{FUNCTION}/risc", data=token)
        assert (name, 400, "invalid-security-event") == (name, *refusal(answer))
        assert (name, "invalid_request") == (name, answer.json()["err"])
    assert (413, "body-too-large") == refusal(stack.call(None, "POST", f"{FUNCTION}/risc", data="x" * 20_000))
    assert "connected" == stack.ask("anna", "GET", f"{FUNCTION}/connection")["status"]


_DEATHS = [
    *(Fault("firestore", "Commit", status=504, skip=skip) for skip in range(5)),
    *(Fault("firestore", "Commit", drop_answer=True, skip=skip) for skip in range(5)),
    Fault("firestore", "BatchGetDocuments", status=404, skip=1),
    *(Fault("secretmanager", method, status=500) for method in ("CreateSecret", "AddSecretVersion")),
    *(Fault("secretmanager", method, drop_answer=True) for method in ("CreateSecret", "AddSecretVersion")),
    Fault("oauth", "token", drop_answer=True),
]


@pytest.mark.parametrize("fault", _DEATHS, ids=lambda fault: f"{fault.method}-{fault.status}-{fault.skip}")
def test_a_claim_that_fails_anywhere_leaves_no_orphan(stack: Stack, fault: Fault) -> None:
    """Wherever a step fails, an hour later each secret has its connection, and nothing is pending."""
    ticket = ticket_of(stack)
    injected = stack.faults.inject(replace(fault))

    claim(stack, "anna", ticket)
    assert injected.struck
    stack.faults.clear()
    stack.advance(3601)
    stack.run_job("housekeeping")

    left = kept(stack)
    assert left in ({}, {"connections": 1, "secrets": 1})
    shown = stack.ask("anna", "GET", f"{FUNCTION}/connection")["status"]
    assert ("connected" if left else "absent") == shown


_DELETE_DEATHS = [
    *(Fault("firestore", "Commit", status=504, skip=skip) for skip in range(4)),
    *(Fault("firestore", "Commit", drop_answer=True, skip=skip) for skip in range(4)),
    *(Fault("firestore", "RunQuery", status=504, skip=skip) for skip in range(4)),
    Fault("secretmanager", "AccessSecretVersion", status=500),
    Fault("secretmanager", "DeleteSecret", status=503),
    Fault("secretmanager", "DeleteSecret", drop_answer=True),
    Fault("cloudtasks", "CreateTask", status=503),
    Fault("gmail", "users.stop", status=503, count=3),
    Fault("gmail", "users.stop", status=429, reason="rateLimitExceeded", count=3),
    Fault("oauth", "token", status=503, count=3),
    Fault("oauth", "revoke", drop_answer=True),
]


@pytest.mark.parametrize("fault", _DELETE_DEATHS, ids=lambda fault: f"{fault.method}-{fault.status}-{fault.skip}")
def test_a_deactivation_that_fails_anywhere_is_finished(magnet: Stack, fault: Fault) -> None:
    """Wherever a step fails, either the caller is told to try again or the rest is done by tasks and the daily run."""
    magnet.advance(3600)
    injected = magnet.faults.inject(replace(fault))

    first = deactivate(magnet)
    assert injected.struck
    magnet.faults.clear()
    if not first.ok and "connections" in kept(magnet):
        assert first.json()["retryable"]
        deactivate(magnet)
    for _ in range(6):
        magnet.advance(1800)
        magnet.run_job("housekeeping")

    assert ({}, False) == (kept(magnet), is_granted(magnet))


def test_who_lost_the_permission_can_still_look_and_leave(stack: Stack) -> None:
    """What is held can be seen, and ended, by the person whom it is about; nothing else opens any more."""
    stack.connect("anna")
    headers = {"Authorization": f"Bearer {stack.token('anna', permissions=[])}"}

    def call(method: str, path: str) -> int:
        return stack.call(None, method, FUNCTION + path, headers=headers).status_code

    assert (200, 403) == (call("GET", "/connection/data"), call("GET", "/connection"))
    assert (204, {}) == (call("DELETE", "/connection"), kept(stack))
