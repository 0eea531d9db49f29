"""``doctor``: a stack that is well, and each trouble found with how it is mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local import environment
from local.faults import Fault
from local.pubsub import PubSub
from local.stack import Stack
from tests.integration.ops_rig import ops, put_deployment_secrets

pytestmark = pytest.mark.integration

PUBLISHER = "roles/pubsub.publisher"


@pytest.fixture
def deployed(stack: Stack) -> Iterator[Stack]:
    """The stack after the two applies: secrets filled, jobs run once."""
    put_deployment_secrets(stack)
    for job in ("label-sweep", "magnet-renew", "housekeeping"):
        stack.run_job(job)
    yield stack
    stack.google.firestore_admin.missing.clear()
    assert isinstance(stack.google.pubsub, PubSub)
    stack.google.pubsub.grant(environment.TOPIC, PUBLISHER, environment.GMAIL_PUSH)


def found(stack: Stack, **changes: str | None) -> dict[str, dict[str, Any]]:
    """The checks by name."""
    return {one["name"]: one for one in ops(stack, "doctor", "--json", **changes).json["checks"]}


def troubles(stack: Stack, **changes: str | None) -> list[str]:
    """The names of the checks that found trouble."""
    return [name for name, one in found(stack, **changes).items() if one["state"] == "trouble"]


def test_a_stack_that_is_well(deployed: Stack) -> None:
    """Everything is asked, nothing is found, and nothing was changed."""
    before = deployed.documents()

    ended = ops(deployed, "doctor", OAUTH_CLIENT_SECRET=None, HMAC_KEY=None, SEALING_KEYS=None, WEBHOOK_KEY=None)

    assert (0, "21 ok, 0 in trouble, 0 skipped") == (ended.code, ended.out.splitlines()[-1])
    assert "ok      OAuth client: Google takes its id and secret" in ended.out
    assert "ok      magnet_ingest refuses strangers: HTTP 401" in ended.out
    assert before == deployed.documents()


def test_gmail_without_its_grant(deployed: Stack) -> None:
    """The missing grant is named with the organisation policy that may forbid it."""
    assert isinstance(deployed.google.pubsub, PubSub)
    deployed.google.pubsub.revoke(environment.TOPIC, PUBLISHER, environment.GMAIL_PUSH)

    check = found(deployed)["Gmail may publish"]

    assert ("trouble", True) == (check["state"], "iam.allowedPolicyMemberDomains" in check["advice"])


def test_an_oauth_client_that_google_does_not_take(deployed: Stack) -> None:
    """A wrong secret, and a redirect URI that is not registered, are told apart."""
    wrong_uri = f"{deployed.url('/oauth_callback')}/elsewhere/callback"

    assert ["OAuth client"] == troubles(deployed, OAUTH_CLIENT_SECRET="GOCSPX-wrong")
    named = troubles(deployed, OAUTH_REDIRECT_URI=wrong_uri)
    assert "redirect URI" in named
    assert "OAuth client" not in named


def test_a_paused_and_a_failing_job(deployed: Stack) -> None:
    """A paused job comes with the command that resumes it, a failing one with its code; a late one is found, too."""
    ops(deployed, "pause")
    deployed.faults.inject(Fault("scheduler", "fire", status=500))
    deployed.run_job("housekeeping")

    checks = found(deployed)
    ops(deployed, "resume")
    deployed.advance(3600)

    assert "python -m ops resume --job label-sweep" == checks["job label-sweep"]["advice"]
    assert "its last run failed (code 13" in checks["job housekeeping"]["detail"]
    assert "it last ran " in found(deployed)["job label-sweep"]["detail"]
    deployed.run_job("housekeeping")


def test_missing_secrets_and_indexes(deployed: Stack) -> None:
    """An empty deployment is told what to fill and to apply."""
    deployed.google.secrets.clear()
    deployed.google.firestore_admin.missing.update({0, 5})

    checks = found(deployed, HMAC_KEY=None, OAUTH_CLIENT_SECRET=None)

    assert ("trouble", "ok") == (checks["secret hmac-key"]["state"], checks["secret sealing-keys"]["state"])
    assert ("ok", "its secret has no value") == (checks["redirect URI"]["state"], checks["OAuth client"]["detail"])
    assert checks["indexes"]["detail"].startswith("2 are missing: notices by mailbox_key, received_at; sweeps by ")


def test_a_function_that_is_down(deployed: Stack) -> None:
    """An address where nobody answers is trouble, and the rest is checked all the same."""
    named = troubles(deployed, MAIL_PROXY_URL="http://127.0.0.1:9/mail_proxy", LABEL_SWEEP_URL="http://127.0.0.1:9/x")

    assert ["mail_proxy answers", "label_sweep refuses strangers"] == named


def test_what_may_not_be_read_is_skipped(deployed: Stack) -> None:
    """Rights that the administrator lacks are no trouble of the deployment."""
    deployed.faults.inject(Fault("pubsub", "topics.getIamPolicy", status=403, message="denied"))
    deployed.faults.inject(Fault("firestoreadmin", "ListIndexes", status=403, message="denied"))

    ended = ops(deployed, "doctor")

    assert (0, "19 ok, 0 in trouble, 2 skipped") == (ended.code, ended.out.splitlines()[-1])
    assert "skipped Gmail may publish: your credentials may not read it: denied" in ended.out
