"""Who is an administrator: by the verified token, and by what the directory has said of the role since."""

from __future__ import annotations

from typing import Any

import pytest

from local.crm.people import BACKEND
from local.stack import Stack
from tests.integration.connecting import FUNCTION, refusal

pytestmark = pytest.mark.integration


def tell_role(stack: Stack, role: str) -> None:
    """What the CRM's back end writes about Carla."""
    person = stack.people["carla"]
    record: dict[str, Any] = {"id": "carla", "active": True, "permissions": list(person.permissions), "role": role}
    stack.ask(BACKEND.id, "POST", "/mail_proxy/directory", json={"users": [record]})


def test_who_is_no_administrator_any_more_cannot_use_an_old_token(stack: Stack) -> None:
    """A token from before the directory took the role away opens nothing; one that the CRM issues later does."""
    headers = {"Authorization": f"Bearer {stack.token('carla')}"}
    assert 200 == stack.call(None, "GET", f"{FUNCTION}/audit", headers=headers).status_code
    stack.advance(5)
    tell_role(stack, "sales")

    for method, path in (("GET", "/audit"), ("GET", "/policy"), ("DELETE", "/connections/anna")):
        answer = stack.call(None, method, FUNCTION + path, headers=headers)
        assert (path, 403, "administrators-only") == (path, *refusal(answer))

    stack.advance(5)
    assert 200 == stack.call("carla", "GET", f"{FUNCTION}/audit").status_code


def test_a_directory_without_roles_takes_none_away(stack: Stack) -> None:
    """Where the CRM's back end states no role, the token's holds."""
    headers = {"Authorization": f"Bearer {stack.token('carla')}"}
    stack.advance(5)
    tell_role(stack, "")

    assert 200 == stack.call(None, "GET", f"{FUNCTION}/audit", headers=headers).status_code
