"""Page tokens."""

from __future__ import annotations

import os

import pytest

from common import paging
from common.errors import BadRequest
from common.keys import Keys


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Keys(b"h" * 32, [os.urandom(32)])
    monkeypatch.setattr(paging, "keys", lambda: made)


def test_a_token_gives_its_position_back() -> None:
    """What was sealed comes back for the same caller and query; no token is the beginning."""
    token = paging.seal_page({"after": "x"}, "route", "anna")

    assert {"after": "x"} == paging.parse_page(token, "route", "anna")
    assert None is paging.parse_page("", "route", "anna")


def test_a_token_hides_what_it_holds() -> None:
    """Nothing of the position can be read from the token."""
    assert "mia@customer.example" not in paging.seal_page("mia@customer.example", "route")


@pytest.mark.parametrize("bound", [("route", "ben"), ("other", "anna"), ("route",), ()])
def test_a_token_is_good_for_its_own_query_alone(bound: tuple[str, ...]) -> None:
    """Another caller or query is refused."""
    with pytest.raises(BadRequest) as raised:
        paging.parse_page(paging.seal_page("x", "route", "anna"), *bound)
    assert "invalid-page-token" == raised.value.code


@pytest.mark.parametrize("token", ["x", "é", "AAAA" * 20, "A" * 5000, "====", "\x00"])
def test_what_is_no_token_is_refused(token: str) -> None:
    """Broken, foreign and overlong tokens end in the same error."""
    with pytest.raises(BadRequest) as raised:
        paging.parse_page(token, "route", "anna")
    assert "invalid-page-token" == raised.value.code
