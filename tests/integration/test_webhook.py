"""The CRM's webhook: each new notice and each change of status is told, signed, at least once, and to nobody else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator

import pytest

from common.webhook_transport import Undeliverable, post
from local import environment
from local.crm.people import ANNA
from local.faults import Fault
from local.http import HttpServer
from local.stack import Stack
from tests.integration.magnet_rig import MIA, STRANGER, call_as, encoded, generation, notices, start_magnet, sync
from tests.integration.webhook_rig import Receiver, hooked

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Receiver]]:
    with hooked(tmp_path_factory.mktemp("hooked")) as running:
        yield running


@pytest.fixture
def receiver(_running: tuple[Stack, Receiver]) -> Receiver:
    """The CRM's webhook, which has heard nothing yet."""
    return _running[1]


@pytest.fixture
def stack(_running: tuple[Stack, Receiver]) -> Iterator[Stack]:
    """A stack with a webhook, and Anna with MailMagnet on."""
    running, receiver = _running
    running.reset()
    running.load_directory()
    start_magnet(running)
    receiver.forget()
    yield running
    running.faults.clear()


def wait_until(is_so: Callable[[], bool], *, within_s: float = 10) -> None:
    """Waits until something is so, or the time is over."""
    ends_s = time.monotonic() + within_s
    while not is_so() and time.monotonic() < ends_s:
        time.sleep(0.02)


def test_new_notice_is_told_once(stack: Stack, receiver: Receiver) -> None:
    """A notice is told with its ids and its contacts; strangers' mail is not, and nothing of the mail itself is."""
    mail_id = stack.mail("anna", MIA, "Secret subject")
    stack.mail("anna", STRANGER)
    stack.settle()

    (told,) = receiver.told("notice.created")
    received_at = told.pop("received_at")
    assert {"user": "anna", "mail_id": mail_id, "from": MIA, "contact_ids": ["mia"], "unverified": False} == told
    assert received_at.endswith("Z")
    assert [] == sync(stack)["announce"]


def test_news_is_signed(stack: Stack, receiver: Receiver) -> None:
    """The signature is Standard Webhooks': HMAC-SHA256 over id, time and body, with the deployment's key."""
    stack.mail("anna", MIA)
    stack.settle()

    ((headers, body),) = receiver.requests
    key = base64.b64decode(stack.functions["magnet_ingest"].env["WEBHOOK_KEY"])
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert f"v1,{expected}" == headers["webhook-signature"]
    assert abs(int(headers["webhook-timestamp"]) - stack.clock.now().timestamp()) < 60


@pytest.mark.parametrize("status", [500, 503, 429])
def test_webhook_that_is_down_hears_later(stack: Stack, receiver: Receiver, status: int) -> None:
    """A webhook that fails is told again, under the same id."""
    receiver.statuses += [status, status]
    stack.mail("anna", MIA)
    stack.catch_up(within_s=600)

    assert (3, 1) == (len(receiver.ids()), len(set(receiver.ids())))


def test_webhook_that_is_down_for_a_day_loses_nothing(stack: Stack, receiver: Receiver) -> None:
    """After a day without the CRM each notice made meanwhile is told, under the id that it had all along."""
    receiver.statuses += [503] * 5000
    mails = set()
    for hour in range(24):
        if hour % 6 == 0:
            mails.add(stack.mail("anna", MIA))
            wait_until(lambda: mails == set(notices(stack)))
        # The queue has slowed down: it is not waited for until nothing is due.
        stack.advance(3600)
        wait_until(lambda: bool(receiver.requests), within_s=0.5)
    tried = set(receiver.ids())
    receiver.forget()
    for _ in range(12):
        stack.advance(3600)
        wait_until(lambda: len(set(receiver.ids())) == len(mails), within_s=2)

    assert mails == {told["mail_id"] for told in receiver.told("notice.created")}
    assert tried <= set(receiver.ids())
    assert len(mails) == len(set(receiver.ids()))


@pytest.mark.parametrize("status", [410, 400, 302])
def test_webhook_that_refuses_is_not_told_again(stack: Stack, receiver: Receiver, status: int) -> None:
    """A refusal is taken for good, and no redirect is followed."""
    receiver.statuses += [status]
    stack.mail("anna", MIA)
    stack.catch_up(within_s=600)

    assert 1 == len(receiver.requests)


def test_notice_is_told_though_tasks_failed_at_first(stack: Stack, receiver: Receiver) -> None:
    """Where the task could not be left after the commit, the repeated push leaves it, though it brings nothing new."""
    stack.faults.inject(Fault("cloudtasks", "CreateTask", status=503))
    stack.mail("anna", MIA)
    stack.settle()
    stack.advance(5)
    stack.settle()

    assert 1 == len(receiver.told("notice.created"))
    assert [] == sync(stack)["announce"]


def test_backfill_is_not_told(stack: Stack, receiver: Receiver) -> None:
    """Notices of the first 30 days call no webhook."""
    stack.switch_on("anna", mailmagnet=False)
    stack.mail("anna", MIA)
    stack.switch_on("anna", mailmagnet=True)
    stack.catch_up(within_s=300)

    assert [] == receiver.told("notice.created")


def test_changed_status_is_told(stack: Stack, receiver: Receiver) -> None:
    """A revoked grant and a deactivation are told with the status as it is at delivery."""
    stack.google.accounts.revoke_account(ANNA.email)
    stack.mail("anna", MIA)
    stack.settle()
    stack.ask("anna", "DELETE", "/oauth_callback/connection")
    stack.settle()

    assert ["reauth_required", "absent"] == [told["status"] for told in receiver.told("connection.status")]


def test_notice_that_is_gone_is_not_told(stack: Stack, receiver: Receiver) -> None:
    """A task of a notice that no longer exists, or of an older generation, tells nothing."""
    for name in (generation(stack), "old"):
        news = {"kind": "notice", "user": "anna", "generation": name, "mail": "gone"}
        assert 204 == call_as(stack, environment.TASKS, "/deliver", news)

    assert [] == receiver.requests


def test_delivery_takes_tasks_alone(stack: Stack) -> None:
    """The route of deliveries refuses every service account but that of Tasks."""
    assert 401 == call_as(stack, environment.PUSH, "/deliver", {"kind": "status", "user": "anna"})


def test_task_holds_ids_alone(stack: Stack) -> None:
    """What lies in the queue names user, generation and mail, and no address."""
    stack.google.tasks.pause()
    mail_id = stack.mail("anna", MIA)
    stack.google.pubsub.drain(30)  # type: ignore[union-attr]
    (task,) = stack.google.tasks.pending()
    stack.google.tasks.resume()
    stack.settle()

    expected = {"kind": "notice", "user": "anna", "generation": generation(stack), "mail": mail_id}
    assert expected == json.loads(task.http_request.body)
    assert encoded("anna") not in task.name


# How it travels


@pytest.mark.parametrize("allow_loopback", [False, True])
def test_plain_http_goes_nowhere_but_to_loopback(allow_loopback: bool) -> None:
    """Without TLS, nothing is sent anywhere, except to loopback where the local stack allows it."""
    receiver = Receiver()
    server = HttpServer(receiver.app)
    try:
        if allow_loopback:
            assert 204 == post(server.url, b"{}", {}, allow_loopback=True)
        else:
            with pytest.raises(Undeliverable):
                post(server.url, b"{}", {})
    finally:
        server.stop()
    assert (1 if allow_loopback else 0) == len(receiver.requests)


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/", "https://localhost:1/", "https://[::1]:1/", "https:///x"])
def test_loopback_is_not_public(url: str) -> None:
    """A webhook that leads to this machine is refused before a connection is made."""
    with pytest.raises(Undeliverable) as refused:
        post(url, b"{}", {})

    assert refused.value.reason in ("not-public", "not-https")
