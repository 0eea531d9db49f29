"""``status``, ``unhealthy``, ``orphaned-secrets`` and ``export``: what administrators see, for people and as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from local import environment
from local.faults import Fault
from local.pubsub import PubSub
from local.stack import Stack
from tests.integration.ops_rig import ops

pytestmark = pytest.mark.integration


def lose_grant(stack: Stack, user: str) -> None:
    """Google takes the user's grant back, and the next request of the user finds out."""
    stack.google.accounts.revoke_account(stack.people[user].email)
    stack.advance(3700)
    stack.call(user, "GET", "/mail_proxy/labels")


def test_status_of_a_stack_that_is_well(stack: Stack) -> None:
    """Every part is shown, and the exit code is 0."""
    stack.connect("anna")
    stack.sweep()

    ended = ops(stack, "status", "--json")
    parts = ended.json

    assert (0, True) == (ended.code, all(part["ok"] for part in parts.values()))
    assert ["oauth_callback", "mail_proxy", "magnet_ingest", "label_sweep"] == [
        row["name"] for row in parts["functions"]["rows"]
    ]
    assert {"RUNNING"} == {row["state"] for row in parts["queues"]["rows"]}
    assert ["ENABLED"] * 3 == [row["state"] for row in parts["jobs"]["rows"]]
    assert parts["jobs"]["rows"][0]["last_run_at"] is not None
    assert {"ok": True, "connected": 1, "reauth_required": 0} == parts["connections"]
    assert 0 == parts["dead_letters"]["count"]


def test_status_names_what_is_wrong(stack: Stack) -> None:
    """A dead letter and a part that may not be read are shown, the rest too, and the exit code is 1."""
    stack.google.pubsub.publish(environment.DEAD_LETTERS, b'{"emailAddress":"anna@demo-crm.example","historyId":1}')
    stack.faults.inject(Fault("cloudtasks", "GetQueue", status=403, message="lacks cloudtasks.queues.get"))

    ended = ops(stack, "status")

    assert 1 == ended.code
    assert "dead letters: count 1, may be more no" in ended.out
    assert "queues: could not be read. Google answered 403: lacks cloudtasks.queues.get" in ended.out
    assert "connections: connected 0, reauth required 0" in ended.out
    assert "anna" not in ended.out


def test_looking_at_dead_letters_leaves_them(stack: Stack) -> None:
    """status gives the letters back, so that who replays them finds them at once."""
    stack.google.pubsub.publish(environment.DEAD_LETTERS, b"{}")

    counts = [ops(stack, "status", "--json").json["dead_letters"]["count"] for _ in range(2)]

    assert [1, 1] == counts


def test_unhealthy_names_user_and_reason(stack: Stack) -> None:
    """Who must connect again is listed with the reason and the advice; healthy users are not."""
    stack.connect("anna")
    stack.connect("ben")
    well = ops(stack, "unhealthy")
    lose_grant(stack, "ben")

    ended = ops(stack, "unhealthy")
    row = ops(stack, "unhealthy", "--json", "--language", "de").json["connections"][0]

    assert (0, "0 of 2 connections\n") == (well.code, well.out)
    assert 1 == ended.code
    assert re.search(r"^ben +broken +reauth-required .+connect your Gmail again", ended.out, re.MULTILINE)
    assert ("ben", "reauth_required", "broken") == (row["user_id"], row["status"], row["word"])
    assert "Verbinden Sie Ihr Gmail neu" in row["advice"]
    assert (0, "0 of 2 connections\n") == _words(stack, "degraded")


def _words(stack: Stack, word: str) -> tuple[int, str]:
    ended = ops(stack, "unhealthy", "--word", word)
    return ended.code, ended.out


def test_orphaned_secrets_are_found_and_deleted(stack: Stack) -> None:
    """A secret of ours that nobody owns is found; --delete destroys it and leaves that of a connection."""
    stack.connect("anna")
    owned = next(iter(stack.google.secrets.dump()))
    secret = next(iter(stack.google.secrets._secrets.values()))
    stack.google.secrets.put("gmail-orphan", b"token")
    stack.google.secrets._secrets["gmail-orphan"].labels = dict(secret.labels)
    stack.advance(7200)

    found = ops(stack, "orphaned-secrets", "--json")
    deleted = ops(stack, "orphaned-secrets", "--delete")

    assert (1, ["gmail-orphan"]) == (found.code, found.json["orphans"])
    assert (0, "gmail-orphan\n1 of 2 secrets have no owner; 1 deleted\n") == (deleted.code, deleted.out)
    assert [owned] == list(stack.google.secrets.dump())


def test_young_secrets_may_not_be_asked_for(stack: Stack) -> None:
    """A claim under way owns its secret only a moment later: that time cannot be shortened."""
    assert 2 == ops(stack, "orphaned-secrets", "--older-than-hours", "0.1").code


def test_the_audit_is_exported(stack: Stack, tmp_path: Path) -> None:
    """Each record is one JSON line, newest first; a file is its owner's alone and is never overwritten."""
    stack.connect("anna")
    stack.connect("ben")
    path = tmp_path / "audit.jsonl"

    shown = [json.loads(line) for line in ops(stack, "export", "audit").out.splitlines()]
    written = ops(stack, "export", "audit", "--out", path, "--json")
    again = ops(stack, "export", "audit", "--out", path)

    assert [("connection_created", "ben"), ("connection_created", "anna")] == [
        (one["action"], one["subject"]) for one in shown
    ]
    assert {"records": 2, "file": str(path)} == written.json
    assert shown == [json.loads(line) for line in path.read_text().splitlines()]
    assert 0o600 == path.stat().st_mode & 0o777
    assert (1, True) == (again.code, again.err.startswith("file-exists: "))


def test_the_audit_can_begin_at_a_time(stack: Stack) -> None:
    """--since leaves older records out."""
    stack.connect("anna")
    since = stack.advance(60).isoformat()
    stack.connect("ben")

    ended = ops(stack, "export", "audit", "--since", since)

    assert ["ben"] == [json.loads(line)["subject"] for line in ended.out.splitlines()]
    assert 2 == ops(stack, "export", "audit", "--since", "yesterday").code


def test_the_policy_is_exported(stack: Stack) -> None:
    """The policy is one line, in the form that PUT /policy takes and more."""
    stack.ask("carla", "PUT", "/oauth_callback/policy", json={"time_zone": "Europe/Berlin", "sharing": "custom"})

    policy = json.loads(ops(stack, "export", "policy").out)

    assert ("Europe/Berlin", "custom", 30) == (policy["time_zone"], policy["sharing"], policy["notice_retention_days"])


def test_connections_are_exported(stack: Stack) -> None:
    """Each connection is a line, with its status and health; what people wrote or may see is not in it."""
    stack.connect("anna")
    stack.connect("ben")

    rows = [json.loads(line) for line in ops(stack, "export", "connections").out.splitlines()]

    assert [("anna", "connected", "healthy"), ("ben", "connected", "healthy")] == [
        (row["user_id"], row["status"], row["health"]["word"]) for row in rows
    ]


def test_dead_letters_are_replayed(stack: Stack) -> None:
    """Each letter is published once more as it first came, handled, and gone from where it waited."""
    stack.load_directory()
    stack.connect("anna")
    stack.switch_on("anna", mailmagnet=True)
    pubsub = stack.google.pubsub
    assert isinstance(pubsub, PubSub)
    attributes = {"CloudPubSubDeadLetterSourceDeliveryCount": "20", "kept": "yes"}
    for number in range(3):
        body = json.dumps({"emailAddress": stack.people["anna"].email, "historyId": number + 1}).encode()
        pubsub.publish(environment.DEAD_LETTERS, body, attributes)
    before = len(pubsub.messages(environment.TOPIC))

    ended = ops(stack, "replay-dead-letters", "--json")
    stack.settle()
    replayed = pubsub.messages(environment.TOPIC)[before:]

    assert (0, {"replayed": 3, "may_be_more": False}) == (ended.code, ended.json)
    assert "3 published again" in ended.err
    assert [{"kept": "yes"}] * 3 == [dict(message.attributes) for message in replayed]
    assert "0 dead letters replayed\n" == ops(stack, "replay-dead-letters").out


def test_a_replay_is_bounded(stack: Stack) -> None:
    """--most ends it, and says that there may be more; what is left stays."""
    for _ in range(3):
        stack.google.pubsub.publish(environment.DEAD_LETTERS, b"{}")

    ended = ops(stack, "replay-dead-letters", "--most", "2")

    assert "2 dead letters replayed; there may be more: run it again\n" == ended.out
    assert 1 == ops(stack, "status", "--json").json["dead_letters"]["count"]
    assert 2 == ops(stack, "replay-dead-letters", "--most", "0").code
