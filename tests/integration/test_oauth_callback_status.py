"""What is shown of a connection: an honest status page, the list for administrators, everything that is held."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from google.cloud import firestore

from local.environment import PROJECT
from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, refusal
from tests.integration.magnet_rig import encoded

pytestmark = pytest.mark.integration
ANNA = "anna@demo-crm.example"


def show(stack: Stack, user: str = "anna", language: str = "en") -> dict[str, Any]:
    shown: dict[str, Any] = stack.ask(user, "GET", f"{FUNCTION}/connection", headers={"Accept-Language": language})
    return shown


def held(stack: Stack, user: str = "anna") -> dict[str, Any]:
    answer: dict[str, Any] = stack.ask(user, "GET", f"{FUNCTION}/connection/data")
    return answer


@pytest.fixture
def database(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> firestore.Client:
    """Firestore as handlers would have written it."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", stack.google.firestore.address)
    return firestore.Client(project=PROJECT)


@pytest.fixture
def running(stack: Stack) -> Stack:
    """Anna with MailMagnet and labels on, and one mail from a customer filed."""
    stack.load_directory()
    stack.connect("anna")
    stack.switch_on("anna")
    stack.catch_up(within_s=300)
    stack.mail("anna", "mia@customer.example", "Offer", auth="pass")
    stack.settle()
    stack.sweep()
    # What the sweep left for itself is done before anything else comes.
    stack.catch_up(within_s=60)
    return stack


def test_before_connecting_all_is_offered(stack: Stack) -> None:
    """Who has no connection is told which features there are, what each asks of Google, and which are not allowed."""
    stack.ask("carla", "PUT", f"{FUNCTION}/policy", json={"features": ["mail", "mailmagnet", "actions"]})

    shown = show(stack)

    assert ("absent", None, []) == (shown["status"], shown["health"], shown["features"]["granted"])
    offered = {one["feature"]: (one["reason"], len(one["scopes"])) for one in shown["features"]["missing"]}
    assert {
        "mail": ("scope-missing", 4),
        "mailmagnet": ("scope-missing", 3),
        "actions": ("scope-missing", 5),
        "labels": ("feature-not-allowed", 0),
    } == offered


def test_a_status_page_that_works_says_when(running: Stack) -> None:
    """Last push, last sweep, the watch's end, nothing pending: healthy."""
    shown, now = show(running), running.clock.now()

    assert ("healthy", "on", "on") == (shown["health"]["word"], shown["mailmagnet"]["state"], shown["labels"]["state"])
    pushed, swept, ends = (
        datetime.fromisoformat(at)
        for at in (
            shown["mailmagnet"]["last_push_at"],
            shown["labels"]["last_sweep_at"],
            shown["mailmagnet"]["watch_expires_at"],
        )
    )
    # In either order: the sweep's own changes are pushed, too.
    assert now - timedelta(minutes=5) < min(pushed, swept) <= max(pushed, swept) <= now
    assert now + timedelta(days=6, hours=23) < ends <= now + timedelta(days=7)
    assert (None, None) == (shown["labels"]["pending_since"], shown["rate_limited_until"])


def test_work_that_waits_is_shown_and_then_called_late(running: Stack) -> None:
    """Mail that is to be filed is pending at once, and a delay after half an hour."""
    running.mail("anna", "mia@customer.example", "Another", auth="pass")
    running.settle()
    fresh = show(running)
    running.advance(31 * 60)
    late = show(running)

    assert fresh["labels"]["pending_since"] is not None
    assert ("healthy", "filing-late") == (fresh["health"]["word"], late["health"]["reason"])


def test_a_limit_of_gmails_is_shown_with_its_end(running: Stack) -> None:
    """Google's own hint is what the page says, in both languages, and it is over by itself."""
    until = running.clock.now() + timedelta(minutes=10)
    hint = f"User-rate limit exceeded.  Retry after {until.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}"
    running.faults.inject(Fault("gmail", "users.labels.list", status=429, reason="userRateLimitExceeded", message=hint))
    assert 429 == running.call("anna", "GET", "/mail_proxy/labels").status_code

    limited, german = show(running), show(running, language="de")
    running.advance(601)

    assert abs(datetime.fromisoformat(limited["rate_limited_until"]) - until) < timedelta(milliseconds=2)
    assert ("degraded", "rate-limited") == (limited["health"]["word"], limited["health"]["reason"])
    assert german["health"]["advice"].startswith("Google begrenzt")
    assert "healthy" == show(running)["health"]["word"]


def test_a_watch_that_nobody_renewed_is_shown(running: Stack) -> None:
    """After two days without renewal it is degraded, after seven broken."""
    words = []
    for days in (2.1, 5):
        running.advance(days * 86400)
        words.append((show(running)["health"]["word"], show(running)["health"]["reason"]))

    assert [("degraded", "watch-not-renewed"), ("broken", "watch-expired")] == words


def test_administrators_see_the_same_word(running: Stack) -> None:
    """The list judges by the same facts as the page of the user."""
    running.mail("anna", "mia@customer.example", "Another", auth="pass")
    running.settle()
    running.advance(31 * 60)

    rows = running.ask("carla", "GET", f"{FUNCTION}/connections")["connections"]

    assert [show(running)["health"]] == [row["health"] for row in rows]
    assert "filing-late" == rows[0]["health"]["reason"]


def test_administrators_see_who_has_not_accepted(stack: Stack) -> None:
    """The policy says how many, the list says who."""
    for user in ("anna", "ben", "carla"):
        stack.connect(user)
    stack.ask("carla", "PUT", f"{FUNCTION}/policy", json={"sharing": "public"})
    stack.ask("ben", "PATCH", f"{FUNCTION}/connection", json={"accepted_level": "public"})

    rows = stack.ask("carla", "GET", f"{FUNCTION}/connections")["connections"]

    assert {"anna", "carla"} == {row["user_id"] for row in rows if row["sharing"]["asked"]}
    assert 2 == stack.ask("carla", "GET", f"{FUNCTION}/policy")["not_accepted"]


def test_an_acceptance_is_its_owners_alone(stack: Stack) -> None:
    """A level that a policy asks for again, after it had narrowed, holds for those who accepted it, and no one else."""
    for user in ("anna", "ben"):
        stack.connect(user)
    for level in ("public", "private", "public"):
        stack.ask("carla", "PUT", f"{FUNCTION}/policy", json={"sharing": level})
        if level == "public":
            stack.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"accepted_level": "public"})

    assert ("public", "private") == tuple(show(stack, user)["sharing"]["effective"] for user in ("anna", "ben"))


def test_the_owner_sees_who_read(stack: Stack) -> None:
    """Each day's reads of a colleague's mail are counted for the owner and for administrators, never by mail."""
    stack.load_directory()
    for user in ("anna", "ben"):
        stack.connect(user)
    stack.mail("anna", "mia@customer.example", "Offer", auth="pass")
    stack.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"sharing": "custom"})
    stack.ask("anna", "PUT", "/mail_proxy/contacts/mia/share")
    entries = stack.ask("ben", "POST", "/mail_proxy/contacts/mia/emails", json={})["entries"]
    assert [] != entries

    reads = held(stack)["reads_by_colleagues"]
    records = stack.ask("carla", "GET", f"{FUNCTION}/audit")["records"]

    expected = ("shared_mail_read", "ben", "anna", "mia", f"{stack.clock.now():%Y-%m-%d}")
    for found in (reads, records):
        told = [one for one in found if one["action"] == "shared_mail_read"]
        names = ("action", "actor", "subject", "contact_id", "day")
        assert [expected] == [tuple(one[name] for name in names) for one in told]
        assert told[0]["count"] >= 1
    assert [] == held(stack, "ben")["reads_by_colleagues"]


def test_what_is_held_is_complete(running: Stack) -> None:
    """Everything that stands in the store about Anna is in the answer, by the manifest's records."""
    running.ask("anna", "PUT", "/mail_proxy/contacts/mia/share")

    answer = held(running)

    counts = {name: len(answer[name]) for name in ("notices", "senders", "sweeps", "shares")}
    documents = running.documents()
    stored = {
        name: sum(f"connections/YW5uYQ/{name}/" in path for path in documents)
        for name in ("notices", "senders", "sweeps")
    }
    assert stored | {"shares": sum(path.startswith("shares/") for path in documents)} == counts
    assert min(counts.values()) > 0
    assert (True, 1, True) == (
        answer["holds_refresh_token"],
        answer["mailbox"]["users"],
        answer["sync"]["cursor"] > 0,
    )


def test_much_that_is_held_comes_in_pages(stack: Stack, database: firestore.Client) -> None:
    """A page token leads through all of it, each record once, also where many are of one moment."""
    stack.connect("anna")
    at = stack.clock.now()
    expires_at = at + timedelta(days=30)
    with_id: dict[str, dict[str, Any]] = {}
    for number in range(1003):
        record = {"record_id": f"r{number}", "actor": "ben", "action": "shared_mail_read", "subject": "anna", "at": at}
        with_id[f"audit/{encoded(f'r{number}')}"] = {**record, "expires_at": expires_at}
        notice = {"mail_id": f"m{number}", "from_address": "mia@customer.example", "mailbox_key": "k"}
        path = f"connections/YW5uYQ/notices/{encoded(f'm{number}')}"
        with_id[path] = {**notice, "received_at": at, "expires_at": expires_at}
    paths = list(with_id)
    for start in range(0, len(paths), 400):
        batch = database.batch()
        for path in paths[start : start + 400]:
            batch.set(database.document(path), with_id[path])
        batch.commit()

    pages = [held(stack)]
    while token := pages[-1]["next_page_token"]:
        pages.append(stack.ask("anna", "GET", f"{FUNCTION}/connection/data?page_token={token}"))

    told = [notice["mail_id"] for page in pages for notice in page["notices"]]
    reads = sum(len(page["reads_by_colleagues"]) for page in pages)
    assert (2, 1003, 1003, 1003) == (len(pages), len(told), len(set(told)), reads)
    assert [True, False] == [page["connection"] is not None for page in pages]


def test_after_the_end_nothing_is_held_but_what_google_owes(running: Stack) -> None:
    """The user record and the audit apart, a revocation that Google has not taken is all that is left."""
    running.ask("anna", "PUT", "/mail_proxy/contacts/mia/share")
    running.faults.inject(Fault("oauth", "revoke", status=503, count=2))
    running.ask("anna", "DELETE", f"{FUNCTION}/connection")

    answer = held(running)

    left = {name for name, value in answer.items() if value}
    assert {"user", "revocations", "holds_refresh_token", "done_to_you", "done_by_you"} == left
    running.catch_up(3600)
    answer = held(running)
    assert ([], False) == (answer["revocations"], answer["holds_refresh_token"])


def test_what_is_held_of_others_is_not_shown(running: Stack) -> None:
    """Ben's answer has nothing of Anna's, and a page token of hers is refused to him."""
    assert {"user"} == {name for name, value in held(running, "ben").items() if value}
    for user in ("anna", "ben"):
        answer = running.call(user, "GET", f"{FUNCTION}/connection/data?page_token=x")
        assert (400, "invalid-page-token") == refusal(answer)
