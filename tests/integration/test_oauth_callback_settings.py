"""Settings, policy, acceptance, audit and held data over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, refusal

pytestmark = pytest.mark.integration


@pytest.fixture
def held(stack: Stack) -> Iterator[Stack]:
    """The stack with Cloud Tasks holding back what is due."""
    stack.google.tasks.pause()
    yield stack
    stack.google.tasks.clear()
    stack.google.tasks.resume()


def patch(stack: Stack, user: str = "anna", /, **changes: Any) -> Any:
    return stack.call(user, "PATCH", f"{FUNCTION}/connection", json=changes)


def show(stack: Stack, user: str = "anna", language: str = "en") -> Any:
    return stack.ask(user, "GET", f"{FUNCTION}/connection", headers={"Accept-Language": language})


def put_policy(stack: Stack, **policy: Any) -> Any:
    return stack.ask("carla", "PUT", f"{FUNCTION}/policy", json=policy)


def left_tasks(stack: Stack) -> list[tuple[str, str]]:
    """The function and the kind of each task that was left."""
    payloads = stack.google.tasks.payload_log
    return [(one.url.split("/")[3], json.loads(one.body)["kind"]) for one in payloads]


def test_turning_features_on_leaves_tasks(held: Stack) -> None:
    """MailMagnet and labels say starting, and each function that has to do something has a task."""
    held.connect("anna")

    shown = patch(held, mailmagnet=True, labels=True).json()

    assert ("starting", "starting") == (shown["mailmagnet"]["state"], shown["labels"]["state"])
    assert [("magnet_ingest", "start"), ("label_sweep", "start")] == left_tasks(held)


def test_turning_mailmagnet_off_turns_labels_off(held: Stack) -> None:
    """Labels are off at once, another user of the mailbox may have them, and ingest is told to stop."""
    held.connect("anna", address="carla@demo-crm.example")
    held.connect("ben", address="carla@demo-crm.example")
    patch(held, mailmagnet=True, labels=True)
    patch(held, "ben", mailmagnet=True)

    shown = patch(held, mailmagnet=False).json()

    assert ("off", "off") == (shown["mailmagnet"]["state"], shown["labels"]["state"])
    assert ("magnet_ingest", "stop") == left_tasks(held)[-1]
    assert 200 == patch(held, "ben", labels=True).status_code


@pytest.mark.parametrize("changes", [{"labels": True}, {"labels": True, "mailmagnet": False}])
def test_labels_need_mailmagnet(held: Stack, changes: dict[str, Any]) -> None:
    """Labels cannot be on without MailMagnet; nothing is changed and no task is left."""
    held.connect("anna")

    assert (409, "mailmagnet-required") == refusal(patch(held, **changes))
    assert [] == left_tasks(held)


def test_labels_need_their_scope(held: Stack) -> None:
    """Without gmail.modify labels are refused, with what to ask for; MailMagnet stays off too: nothing half-done."""
    held.connect("anna", untick=["https://www.googleapis.com/auth/gmail.modify"])

    answer = patch(held, mailmagnet=True, labels=True)

    assert (409, "scope-missing") == refusal(answer)
    assert ["labels"] == answer.json()["features"]
    assert "off" == show(held)["mailmagnet"]["state"]


def test_labels_are_on_for_one_user_of_a_mailbox(held: Stack) -> None:
    """The second is told who has them, and so is shown beforehand."""
    held.connect("anna", address="carla@demo-crm.example")
    held.connect("ben", address="carla@demo-crm.example")
    patch(held, mailmagnet=True, labels=True)

    answer = patch(held, "ben", mailmagnet=True, labels=True)

    assert (409, "labels-elsewhere") == refusal(answer)
    assert "anna" == answer.json()["owner"] == show(held, "ben")["labels"]["elsewhere"]


def test_of_two_who_turn_labels_on_at_once_one_wins(held: Stack) -> None:
    """Exactly one of two parallel requests gets the labels."""
    for user in ("anna", "ben"):
        held.connect(user, address="carla@demo-crm.example")
        patch(held, user, mailmagnet=True)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda user: patch(held, user, labels=True).status_code, ("anna", "ben")))

    assert [200, 409] == sorted(answers)


def test_without_a_connection_there_is_nothing_to_set(stack: Stack) -> None:
    """PATCH before connecting is refused."""
    assert (409, "not-connected") == refusal(patch(stack, sharing="public"))


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"sharing": "everyone"}, 400, "invalid-body"),
        ({"locale": "fr"}, 400, "invalid-body"),
        ({"status": "connected"}, 400, "invalid-body"),
        ({"excluded_domains": ["not a domain"]}, 422, "invalid-domain"),
        ({"excluded_domains": ["com"]}, 422, "invalid-domain"),
        ({"accepted_level": "public"}, 409, "level-not-asked"),
    ],
)
def test_a_setting_of_another_form_is_refused(stack: Stack, changes: dict[str, Any], status: int, code: str) -> None:
    """What cannot be set ends in a problem that says why."""
    stack.connect("anna")

    assert (status, code) == refusal(patch(stack, **changes))


def test_domains_are_kept_in_the_form_in_which_they_compare(stack: Stack) -> None:
    """Case, an @ in front and umlauts do not matter."""
    stack.connect("anna")

    shown = patch(stack, excluded_domains=["@Private.Example", "bäcker.example", "private.example."]).json()

    assert ["private.example", "xn--bcker-gra.example"] == shown["excluded_domains"]


def test_policy_narrows_at_once_and_widens_on_acceptance(stack: Stack) -> None:
    """A wider level is asked for, counted while it waits, and holds once accepted; a narrower one holds at once."""
    stack.connect("anna")
    waiting = put_policy(stack, sharing="public")["not_accepted"]
    asked = show(stack)["sharing"]
    accepted = patch(stack, accepted_level="public").json()["sharing"]
    still = stack.ask("carla", "GET", f"{FUNCTION}/policy")["not_accepted"]
    put_policy(stack, sharing="custom")
    narrowed = show(stack)["sharing"]

    assert (1, "private", "public") == (waiting, asked["effective"], asked["asked"])
    assert (0, "public", None) == (still, accepted["effective"], accepted["asked"])
    assert "custom" == narrowed["effective"]


def test_a_level_set_by_policy_is_not_the_users_choice(stack: Stack) -> None:
    """While administrators set the level, PATCH of sharing is refused; a level for another role does not count."""
    stack.connect("anna")
    put_policy(stack, sharing_by_role={"support": "public"}, sharing_by_user={"ben": "public"})
    assert 200 == patch(stack, sharing="custom").status_code
    put_policy(stack, sharing_by_role={"sales": "public"})

    assert (409, "sharing-set-by-policy") == refusal(patch(stack, sharing="public"))


@pytest.mark.parametrize(
    ("policy", "status", "code"),
    [
        ({"time_zone": "Europe/Atlantis"}, 422, "invalid-time-zone"),
        ({"time_zone": "../../etc/passwd"}, 422, "invalid-time-zone"),
        ({"internal_domains": ["-x.example"]}, 422, "invalid-domain"),
        ({"notice_retention_days": 29}, 400, "invalid-body"),
        ({"notice_retention_days": 91}, 400, "invalid-body"),
        ({"sharing": "all"}, 400, "invalid-body"),
        ({"features": ["calendar"]}, 400, "invalid-body"),
        ({"surprise": 1}, 400, "invalid-body"),
    ],
)
def test_a_policy_of_another_form_is_refused(stack: Stack, policy: dict[str, Any], status: int, code: str) -> None:
    """What cannot be a policy changes nothing."""
    assert (status, code) == refusal(stack.call("carla", "PUT", f"{FUNCTION}/policy", json=policy))
    assert "UTC" == stack.ask("carla", "GET", f"{FUNCTION}/policy")["time_zone"]


def test_a_policy_is_read_as_it_was_written(stack: Stack) -> None:
    """PUT replaces all of it; what is left out is the default again."""
    put_policy(stack, internal_domains=["Demo-CRM.example"], notice_retention_days=90, features=["labels", "mail"])
    read = stack.ask("carla", "GET", f"{FUNCTION}/policy")
    assert (["demo-crm.example"], 90, ["mail", "labels"]) == (
        read["internal_domains"],
        read["notice_retention_days"],
        read["features"],
    )

    put_policy(stack)
    read = stack.ask("carla", "GET", f"{FUNCTION}/policy")
    assert ([], 30) == (read["internal_domains"], read["notice_retention_days"])


def test_of_two_administrators_the_slower_is_told(stack: Stack) -> None:
    """With If-Match a policy is replaced only as it was read; without, and with ``*``, whatever it is."""

    def put(tag: str | None, zone: str) -> Any:
        headers = {} if tag is None else {"If-Match": tag}
        return stack.call("carla", "PUT", f"{FUNCTION}/policy", json={"time_zone": zone}, headers=headers)

    read = stack.call("carla", "GET", f"{FUNCTION}/policy").headers["ETag"]
    first = put(read, "Europe/Berlin")

    assert (412, "policy-changed-meanwhile") == refusal(put(read, "Europe/Paris"))
    assert (412, "policy-changed-meanwhile") == refusal(put(f"W/{first.headers['ETag']}", "Europe/Paris"))
    assert [200] * 3 == [
        put(tag, zone).status_code
        for tag, zone in ((first.headers["ETag"], "Europe/Rome"), (None, "Europe/Oslo"), ("*", "Europe/Kyiv"))
    ]
    assert stack.call("carla", "GET", f"{FUNCTION}/policy").headers["ETag"] != read


def test_what_is_turned_off_goes_even_if_its_task_was_not_left(stack: Stack) -> None:
    """Where Cloud Tasks fails after the setting is stored, the task left before it ends watch and notices."""
    stack.load_directory()
    stack.connect("anna")
    stack.switch_on("anna", mailmagnet=True)
    stack.mail("anna", "mia@customer.example", auth="pass")
    stack.settle()
    stack.faults.inject(Fault("cloudtasks", "CreateTask", status=503, skip=1))

    assert 503 == patch(stack, mailmagnet=False).status_code
    assert "off" == show(stack)["mailmagnet"]["state"]
    stack.catch_up(61)

    assert [] == [path for path in stack.documents() if "/notices/" in path or path.startswith("sync/")]
    with stack.google.gmail.mailbox("anna@demo-crm.example").lock:
        assert stack.google.gmail.mailbox("anna@demo-crm.example").watch is None


def test_changes_leave_an_audit_record(stack: Stack) -> None:
    """Who, what, when of each change, the newest first; a change that changes nothing leaves none."""
    stack.connect("anna")
    patch(stack, sharing="custom")
    patch(stack, sharing="custom")
    put_policy(stack, time_zone="Europe/Berlin", internal_domains=["demo-crm.example"])

    records = stack.ask("carla", "GET", f"{FUNCTION}/audit")["records"]

    assert [
        ("policy_changed", "carla", "policy", "internal_domains; time_zone=Europe/Berlin"),
        ("connection_changed", "anna", "anna", "sharing=custom"),
        ("connection_created", "anna", "anna", ""),
    ] == [(one["action"], one["actor"], one["subject"], one["what"]) for one in records]


def test_the_audit_comes_in_pages(stack: Stack) -> None:
    """A page token leads on to what is older; one made up, or another administrator's, is refused."""
    stack.connect("anna")
    for number in range(101):
        patch(stack, excluded_domains=[f"d{number}.example"])

    first = stack.ask("carla", "GET", f"{FUNCTION}/audit")
    path = f"{FUNCTION}/audit?page_token={first['next_page_token']}"
    second = stack.ask("carla", "GET", path)

    assert (100, 2, "") == (len(first["records"]), len(second["records"]), second["next_page_token"])
    assert (400, "invalid-page-token") == refusal(stack.call("carla", "GET", f"{path}x"))
    stack.add_person("dora", role="administrator")
    assert (400, "invalid-page-token") == refusal(stack.call("dora", "GET", path))


def test_administrators_see_everyones_connection(stack: Stack) -> None:
    """Address, status, features, sharing and health of each."""
    stack.connect("anna")
    stack.connect("ben", features=["mail"])

    rows = stack.ask("carla", "GET", f"{FUNCTION}/connections")["connections"]

    assert [
        ("anna", "anna@demo-crm.example", "connected", "healthy"),
        ("ben", "ben@demo-crm.example", "connected", "healthy"),
    ] == [(row["user_id"], row["address"], row["status"], row["health"]["word"]) for row in rows]


def test_held_data_is_complete_and_holds_no_secret(stack: Stack) -> None:
    """What is held is shown, the refresh token apart, of which only its being there is told."""
    stack.connect("anna")
    held = stack.ask("anna", "GET", f"{FUNCTION}/connection/data")
    payloads = [
        version["payload"].decode()
        for secret in stack.google.secrets.dump().values()
        for version in secret["versions"].values()
    ]

    assert ("anna@demo-crm.example", True) == (held["connection"]["address"], held["holds_refresh_token"])
    assert ["connection_created"] == [one["action"] for one in held["done_to_you"]]
    assert [] == [token for token in payloads if token in json.dumps(held)]
    assert 1 == len(payloads)


def test_advice_comes_in_the_readers_language(stack: Stack) -> None:
    """What to do is said in German or English, by Accept-Language."""
    stack.connect("anna")
    stack.google.accounts.revoke_account("anna@demo-crm.example")
    event = stack.google.oauth.security_event("tokens-revoked", "anna@demo-crm.example")
    stack.advance(2)
    stack.call(None, "POST", f"{FUNCTION}/risc", data=event)

    german, english = show(stack, language="de")["health"], show(stack, language="en-GB")["health"]

    assert ("broken", "reauth-required") == (german["word"], german["reason"])
    assert german["advice"].startswith("Google meldet")
    assert english["advice"].startswith("Google says")


def test_a_feature_cannot_start_on_a_dead_grant(held: Stack) -> None:
    """While consent has to be given anew, turning something on is refused; turning off works."""
    held.connect("anna")
    patch(held, mailmagnet=True)
    event = held.google.oauth.security_event("tokens-revoked", "anna@demo-crm.example")
    held.call(None, "POST", f"{FUNCTION}/risc", data=event)

    assert (409, "reauth-required") == refusal(patch(held, labels=True))
    assert 200 == patch(held, mailmagnet=False).status_code
