"""What works for everybody and dies at any of its calls leaves nothing undone and nothing done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from local import environment
from local.crm.people import BACKEND
from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import FUNCTION, kept, ticket_of
from tests.integration.dying import each_trouble
from tests.integration.magnet_rig import call_as as call_magnet
from tests.integration.sweep_rig import write

pytestmark = pytest.mark.integration
FAR = "2999-01-01"


def deal_of(user: str, kind: str, state: str) -> dict[str, Any]:
    """A deal with the one contact of this kind that is this user's alone."""
    return {"id": f"{kind}-{user}", "title": "x", "state": state, "closing_date": FAR, "contacts": [f"{kind}-{user}"],
            "owner": user, "visible_to": [user]}  # fmt: skip


def contact_of(user: str, kind: str) -> dict[str, Any]:
    addresses = [{"address": f"{kind}@{user}.example"}]
    return {"id": f"{kind}-{user}", "name": "x", "addresses": addresses, "owner": user, "visible_to": [user]}


def test_the_fan_out_of_the_day(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mailbox has one renewal a day, however often the scheduler has to try."""
    for user in ("anna", "ben", "carla"):
        stack.connect(user)
        stack.switch_on(user, mailmagnet=True)
    stack.catch_up(300)
    stack.google.tasks.pause()

    def prepare(_: int) -> Callable[[], object]:
        stack.google.tasks.clear()
        stack.advance(86_400)
        return lambda: call_magnet(stack, environment.SCHEDULER, "/renew", {})

    try:
        for _, trouble in each_trouble(stack, monkeypatch, prepare):
            waiting = Counter(task.http_request.url.rpartition("/")[2] for task in stack.google.tasks.pending())
            assert [1, 1, 1] == list(waiting.values()), trouble.calls
    finally:
        stack.google.tasks.clear()
        stack.google.tasks.resume()


def test_a_load_of_the_directory(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes records again after trouble has all of them written."""
    records: dict[str, Any] = {}

    def prepare(number: int) -> Callable[[], object]:
        user = f"user-{number:02}"
        records.update(
            users=[{"id": user, "active": True, "role": "sales", "permissions": [], "email": f"{user}@x.example"}],
            contacts=[contact_of(user, "old"), contact_of(user, "new")],
            deals=[deal_of(user, "old", "won"), {"id": f"gone-{number}", "deleted": True}],
        )
        body = dict(records)
        return lambda: stack.call(BACKEND.id, "POST", "/mail_proxy/directory", json=body)

    def loaded(number: int) -> list[str]:
        found = stack.documents()
        return sorted(
            path.partition("/")[0]
            for path, record in found.items()
            if any(str(value).endswith(f"user-{number:02}") for value in record.values())
        )

    for number, trouble in each_trouble(stack, monkeypatch, prepare):
        assert ["contacts", "contacts", "deals", "users"] == loaded(number), trouble.calls


def keep_house(stack: Stack) -> int:
    token = stack.google.tokens.mint(environment.HOUSEKEEPING, stack.url(FUNCTION))
    headers = {"Authorization": f"Bearer {token}"}
    return stack.call(None, "POST", f"{FUNCTION}/tasks/housekeeping", json={}, headers=headers).status_code


def test_housekeeping(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is owed is paid, who left is gone and what is over is forgotten, wherever the daily run has died."""

    def user(user_id: str, *, active: bool) -> dict[str, Any]:
        person = stack.people[user_id]
        return {"id": user_id, "active": active, "role": person.role, "permissions": list(person.permissions),
                "email": person.email}  # fmt: skip

    def prepare(_: int) -> Callable[[], object]:
        stack.google.tasks.resume()
        stack.reset()
        write(stack, users=[user(one, active=True) for one in ("anna", "ben")])
        for one in ("anna", "ben"):
            stack.connect(one)
        write(stack, users=[user("ben", active=False)])
        stack.settle()
        stack.faults.inject(Fault("oauth", "revoke", status=503))
        stack.call("anna", "DELETE", f"{FUNCTION}/connection")
        stack.advance(7 * 86_400 + 60)
        ticket_of(stack, "anna")
        stack.google.tasks.clear()
        stack.advance(3700)
        stack.google.tasks.pause()
        return lambda: keep_house(stack)

    try:
        # Each part by itself meets all of them (``test_errand_deaths``).
        for _, trouble in each_trouble(stack, monkeypatch, prepare, stride=7):
            stack.google.tasks.resume()
            stack.settle()
            stack.catch_up(300)
            assert {} == kept(stack), trouble.calls
    finally:
        stack.google.tasks.resume()
