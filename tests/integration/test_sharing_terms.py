"""What a policy keeps from colleagues: wider terms wait for each owner, narrower ones hold at once, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from local.stack import Stack
from tests.integration.connecting import FUNCTION, refusal

pytestmark = pytest.mark.integration
FORMER = {"internal_domains": ["in.example"], "excluded_domains": ["partner.example"], "address_time_limit": True}
LIFTED = {"internal_domains": [], "excluded_domains": [], "address_time_limit": False}


@pytest.fixture
def team(stack: Stack) -> Stack:
    """Anna shares everything, and Ben sees what she shares; a mail of Mia's went to a partner, too."""
    stack.load_directory()
    put_policy(stack, **FORMER)
    for user in ("anna", "ben"):
        stack.connect(user)
    patch(stack, sharing="public")
    return stack


def put_policy(stack: Stack, **policy: Any) -> Any:
    return stack.ask("carla", "PUT", f"{FUNCTION}/policy", json=policy)


def patch(stack: Stack, user: str = "anna", /, **changes: Any) -> Any:
    return stack.call(user, "PATCH", f"{FUNCTION}/connection", json=changes)


def sharing_of(stack: Stack, user: str = "anna") -> Any:
    return stack.ask(user, "GET", f"{FUNCTION}/connection")["sharing"]


def seen_by_ben(stack: Stack) -> list[str]:
    page = stack.ask("ben", "POST", "/mail_proxy/contacts/mia/emails", json={})
    return [entry["id"] for entry in page["entries"] if entry["owner"] == "anna"]


def test_wider_terms_wait_for_each_owner(team: Stack) -> None:
    """A domain taken off the policy's list stays closed until the owner takes just these terms; then it opens."""
    mail_id = team.mail("anna", "mia@customer.example", "Offer", cc="law@partner.example", auth="pass")
    put_policy(team, **LIFTED)
    before = seen_by_ben(team)
    asked = sharing_of(team)
    answer = patch(team, accepted_terms=asked["asked_terms"])

    assert [] == before
    assert (FORMER, LIFTED) == (asked["terms"], asked["asked_terms"])
    assert (LIFTED, None) == (answer.json()["sharing"]["terms"], answer.json()["sharing"]["asked_terms"])
    assert [mail_id] == seen_by_ben(team)


def test_narrower_terms_hold_at_once(team: Stack) -> None:
    """A domain that the policy adds is closed by the next request, and nobody is asked."""
    team.mail("anna", "mia@customer.example", "Offer", auth="pass")
    before = seen_by_ben(team)
    answer = put_policy(team, **FORMER | {"internal_domains": ["customer.example", "in.example"]})

    assert (1, []) == (len(before), seen_by_ben(team))
    assert (0, None) == (answer["not_accepted"], sharing_of(team)["asked_terms"])


def test_administrators_see_who_has_not_taken_the_terms(team: Stack) -> None:
    """Owners who share are counted and named until they accept; who shares nothing is not asked."""
    waiting = put_policy(team, **LIFTED)["not_accepted"]
    rows = team.ask("carla", "GET", f"{FUNCTION}/connections")["connections"]
    patch(team, accepted_terms=LIFTED)
    answer = team.ask("carla", "GET", f"{FUNCTION}/policy")

    assert 1 == waiting
    assert ["anna"] == [row["user_id"] for row in rows if row["sharing"]["asked_terms"]]
    assert (0, False) == (answer["not_accepted"], answer["not_accepted_is_partial"])


def test_terms_that_changed_meanwhile_are_not_accepted(team: Stack) -> None:
    """Whoever was shown other terms than the policy's is told to read them again, and nothing opens."""
    put_policy(team, **LIFTED)

    assert (409, "terms-not-asked") == refusal(patch(team, accepted_terms=LIFTED | {"address_time_limit": True}))
    assert FORMER == sharing_of(team)["terms"]


def test_a_first_level_comes_with_the_policys_terms(team: Stack) -> None:
    """Who has shared nothing so far is shown the terms with the level, and takes both at once."""
    put_policy(team, **LIFTED)
    shown = sharing_of(team, "ben")
    chosen = patch(team, "ben", sharing="public").json()["sharing"]

    assert (LIFTED, None) == (shown["terms"], shown["asked_terms"])
    assert (LIFTED, None) == (chosen["terms"], chosen["asked_terms"])


def test_level_and_terms_are_accepted_together(team: Stack) -> None:
    """Who is asked for both answers both at once; a level accepted by itself opens nothing that was kept back."""
    patch(team, sharing="custom")
    put_policy(team, sharing="public", **LIFTED)
    asked = sharing_of(team)
    level = patch(team, accepted_level="public").json()["sharing"]
    patch(team, sharing="custom")
    both = patch(team, accepted_level="public", accepted_terms=LIFTED).json()["sharing"]

    assert ("public", LIFTED) == (asked["asked"], asked["asked_terms"])
    assert ("public", FORMER, LIFTED) == (level["effective"], level["terms"], level["asked_terms"])
    assert ("public", LIFTED, None, None) == (both["effective"], both["terms"], both["asked"], both["asked_terms"])


def test_accepted_terms_live_on_with_the_mailbox(team: Stack) -> None:
    """Reconnecting the same mailbox accepts nothing; what was taken is shown as held, and audited by its name alone."""
    put_policy(team, **LIFTED)
    team.connect("anna")
    kept = sharing_of(team)
    patch(team, accepted_terms=LIFTED)
    held = team.ask("anna", "GET", f"{FUNCTION}/connection/data")

    assert (FORMER, LIFTED) == (kept["terms"], kept["asked_terms"])
    assert LIFTED == held["connection"]["accepted_terms"]
    assert "accepted_terms" == held["done_to_you"][0]["what"]


def test_an_owner_may_withdraw_at_any_time(team: Stack) -> None:
    """While the policy asks for more, a narrower level holds at once and is asked for anew; wider is not chosen."""
    put_policy(team, sharing="public", **FORMER)
    narrowed = patch(team, sharing="private").json()["sharing"]

    assert ("private", "private", "public") == (narrowed["effective"], narrowed["accepted_level"], narrowed["asked"])
    assert (409, "sharing-set-by-policy") == refusal(patch(team, sharing="custom"))
    assert "public" == patch(team, accepted_level="public").json()["sharing"]["effective"]


def test_an_acceptance_stands_until_its_owner_withdraws_it(team: Stack) -> None:
    """A policy that narrows and asks again finds it; after the owner has chosen less in between, it must ask anew."""
    put_policy(team, sharing="public", **FORMER)
    patch(team, "ben", accepted_level="public")
    effective = []
    for level in ("public", "private", "public"):
        put_policy(team, sharing=level, **FORMER)
        effective.append(sharing_of(team, "ben")["effective"])
    put_policy(team, **FORMER)
    patch(team, "ben", sharing="private")
    put_policy(team, sharing="public", **FORMER)

    assert ["public", "private", "public"] == effective
    assert ("private", "public") == (sharing_of(team, "ben")["effective"], sharing_of(team, "ben")["asked"])
