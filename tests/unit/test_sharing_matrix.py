"""Rule 3 in full: every combination of what decides, and the product held to a second statement of the rule."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.rule_three import Address, Case, Shared, Terms, is_visible
from tests.unit.sharing_cases import decide

MIA, BANK, CARLA = "mia@customer.example", "x@sub.bank.example", "carla@demo-crm.example"
LEVELS = ("private", "custom", "public")

# What holds, by what the owner chose, what the owner accepted, and what the policy says (None: users choose).
EFFECTIVE = {
    ("private", "private"): {None: "private", "private": "private", "custom": "private", "public": "private"},
    ("private", "custom"): {None: "private", "private": "private", "custom": "custom", "public": "custom"},
    ("private", "public"): {None: "private", "private": "private", "custom": "custom", "public": "public"},
    ("custom", "private"): {None: "custom", "private": "private", "custom": "custom", "public": "custom"},
    ("custom", "custom"): {None: "custom", "private": "private", "custom": "custom", "public": "custom"},
    ("custom", "public"): {None: "custom", "private": "private", "custom": "custom", "public": "public"},
    ("public", "private"): {None: "public", "private": "private", "custom": "custom", "public": "public"},
    ("public", "custom"): {None: "public", "private": "private", "custom": "custom", "public": "public"},
    ("public", "public"): {None: "public", "private": "private", "custom": "custom", "public": "public"},
}  # fmt: skip

# The mail is from five days ago. By the address's age, and by the terms' time limit where that decides: which levels
# open it for a colleague, given that the owner has shared the contact without (False) or with (True) seeing it.
AGES: dict[str, tuple[dict[str, Any], dict[bool, set[str]]]] = {
    "newer than the mail": ({"days_ago": 2}, {False: set(), True: {"custom", "public"}}),
    "older than the mail": ({"days_ago": 9}, {False: {"public"}, True: {"custom", "public"}}),
    "put there by the owner": (
        {"days_ago": 2, "added_by": "anna"}, {False: {"custom", "public"}, True: {"custom", "public"}},
    ),
}  # fmt: skip

# The terms of policy and acceptance, and whether they lift the limit of time.
TERMS: dict[str, tuple[dict[str, Any], bool]] = {
    "limit": ({}, False),
    "lifted and not accepted": ({"terms": Terms(time_limit=False)}, False),
    "lifted and accepted": ({"terms": Terms(time_limit=False), "accepted_terms": Terms(time_limit=False)}, True),
    "accepted, then set again": ({"accepted_terms": Terms(time_limit=False)}, False),
}

INVOLVED: dict[str, tuple[dict[str, Any], bool, bool]] = {
    # what the mail says; whether a colleague may see it, and whether its owner finds it with the contact
    "From": ({}, True, True),
    "To": ({"sender": "anna@demo-crm.example", "to": (MIA,)}, True, True),
    "Cc": ({"sender": "y@y.example", "cc": (MIA,)}, True, True),
    "Bcc": ({"sender": "anna@demo-crm.example", "to": ("y@y.example",), "bcc": (MIA,)}, False, True),
    "none": ({"sender": "y@y.example"}, False, False),
}

EXCLUDED: dict[str, tuple[dict[str, Any], bool]] = {
    "none": ({}, True),
    "the policy's": ({"terms": Terms(excluded=frozenset({"customer.example"}))}, False),
    "accepted once": ({"accepted_terms": Terms(excluded=frozenset({"customer.example"}))}, False),
    "the owner's": ({"excluded_by_owner": frozenset({"customer.example"})}, False),
    "internal": ({"terms": Terms(internal=frozenset({"customer.example"}))}, False),
    "internal once": ({"accepted_terms": Terms(internal=frozenset({"customer.example"}))}, False),
    "a connected mailbox": ({"inside": frozenset({MIA})}, False),
}

STATES: dict[str, tuple[dict[str, Any], bool, bool]] = {
    # what is so; whether a colleague sees the mail, and whether the owner does (who is active and may, or is refused)
    "connected": ({}, True, True),
    "reauth": ({"connected": False}, False, False),
    "may not read": ({"may_read": False}, False, False),
    "unknown": ({"owner_known": False}, False, True),
    "inactive": ({"owner_active": False}, False, True),
    "deleted": ({"owner_deleted": True}, False, True),
    "no permission": ({"owner_permitted": False}, False, True),
    "heard of 89 days ago": ({"owner_heard_days_ago": 89}, True, True),
    "unheard 91 days": ({"owner_heard_days_ago": 91}, False, True),
    "never heard of": ({"owner_heard_days_ago": None}, False, True),
    "draft": ({"places": frozenset({"DRAFT"})}, False, False),
    "spam": ({"places": frozenset({"SPAM", "UNREAD"})}, False, False),
    "trash": ({"places": frozenset({"TRASH", "SENT"})}, False, False),
    "chat": ({"places": frozenset({"CHAT"})}, False, False),
    "hidden": ({"hidden": True}, False, True),
    "sent": ({"places": frozenset({"SENT"})}, True, True),
    "contact deleted": ({"contact_deleted": True}, False, False),
}

VISIBLE: dict[str, tuple[dict[str, Any], bool]] = {
    "everyone": ({"visible_to": frozenset({"everyone"})}, True),
    "by name": ({"visible_to": frozenset({"ben", "anna"})}, True),
    "by role": ({"visible_to": frozenset({"role:sales"})}, True),
    "their own": ({"visible_to": frozenset({"anna"}), "contact_owner": "ben"}, True),
    "another role": ({"visible_to": frozenset({"role:service", "anna"})}, False),
    "nobody": ({"visible_to": frozenset({"anna"})}, False),
}


def merged(*changes: dict[str, Any]) -> Case:
    """A case with these changes, their terms joined."""
    told: dict[str, Any] = {}
    for change in changes:
        for name, value in change.items():
            known = told.get(name)
            if isinstance(known, Terms):
                value = Terms(
                    known.internal | value.internal,
                    known.excluded | value.excluded,
                    known.time_limit and value.time_limit,
                )
            told[name] = value
    return Case(**told)


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("policy", [None, *LEVELS])
@pytest.mark.parametrize("agreed", EFFECTIVE)
def test_level_policy_acceptance_age_and_involvement(agreed: tuple[str, str], policy: str | None, terms: str) -> None:
    """What a colleague sees follows from the level that holds, the age of the address and the part that it has."""
    level, (changed_terms, lifted) = EFFECTIVE[agreed][policy], TERMS[terms]
    for age, seen, involved, excluded in product(AGES, [None, False, True], INVOLVED, ["none", "the owner's"]):
        (entry, opens), (mail, sees_mail, _), (exclusion, is_free) = AGES[age], INVOLVED[involved], EXCLUDED[excluded]
        share = None if seen is None else Shared(frozenset({MIA} if seen else {"other@customer.example"}))
        levels = opens[bool(seen)] - (set() if share else {"custom"}) | ({"public"} if lifted else set())
        case = merged(
            {"chosen": agreed[0], "accepted": agreed[1], "policy": policy, "share": share},
            {"addresses": (Address(MIA, **entry),)}, changed_terms, mail, exclusion,
        )  # fmt: skip

        assert (level in levels and sees_mail and is_free) is decide(case), (age, seen, involved, excluded)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("visible", VISIBLE)
def test_state_visibility_and_exclusion(visible: str, state: str) -> None:
    """One condition that does not hold closes a mail, whatever the others are."""
    (sees, sees_contact), (is_so, is_open, _) = VISIBLE[visible], STATES[state]
    for involved, excluded, level in product(INVOLVED, EXCLUDED, LEVELS):
        (mail, sees_mail, _), (exclusion, is_free) = INVOLVED[involved], EXCLUDED[excluded]
        case = merged({"chosen": level, "share": Shared(frozenset({MIA}))}, sees, is_so, mail, exclusion)
        expected = sees_contact and is_open and sees_mail and is_free and level != "private"

        assert expected is decide(case), (involved, excluded, level)


@pytest.mark.parametrize("state", STATES)
def test_the_owner_sees_the_own_mail_whatever_is_shared(state: str) -> None:
    """Level, exclusion and age are about others; one's own mail with a contact is that of every header."""
    is_so, _, is_open = STATES[state]
    for involved, excluded, level in product(INVOLVED, EXCLUDED, LEVELS):
        (mail, _, finds_mail), (exclusion, _) = INVOLVED[involved], EXCLUDED[excluded]
        case = merged({"viewer": "anna", "chosen": level, "addresses": (Address(MIA, 1),)}, is_so, mail, exclusion)

        assert (is_open and finds_mail) is decide(case), (involved, excluded, level)


# ---- The second statement

ADDRESSES = st.sampled_from([MIA, "mia@work.example", BANK, CARLA, "ben@demo-crm.example", "z@customer.example"])
DOMAINS = st.frozensets(
    st.sampled_from(["customer.example", "bank.example", "demo-crm.example", "work.example"]), max_size=1
)
LEVEL = st.sampled_from(LEVELS)
USERS = st.sampled_from(["anna", "ben", "carla", ""])
TERMS_OF = st.builds(Terms, internal=DOMAINS, excluded=DOMAINS, time_limit=st.booleans())
SOME = st.lists(ADDRESSES, max_size=2, unique=True).map(tuple)


ENTRIES = st.lists(
    st.builds(Address, ADDRESSES, st.sampled_from([1, 5, 9]), USERS),
    min_size=1, max_size=3, unique_by=lambda one: one.address,
).map(tuple)  # fmt: skip
SHARES = st.builds(Shared, st.frozensets(ADDRESSES, max_size=3), st.booleans(), st.booleans())
ANYTHING: dict[str, st.SearchStrategy[Any]] = {
    "viewer": st.sampled_from(["ben", "anna"]),
    "viewer_role": st.sampled_from(["sales", "service", ""]),
    "owner_role": st.sampled_from(["sales", "service"]),
    "owner_known": st.booleans(),
    "owner_active": st.booleans(),
    "owner_deleted": st.booleans(),
    "owner_permitted": st.booleans(),
    "owner_heard_days_ago": st.sampled_from([30, 90, 90.001, None]),
    "connected": st.booleans(),
    "may_read": st.booleans(),
    "chosen": LEVEL,
    "accepted": LEVEL,
    "policy": st.none() | LEVEL,
    "policy_by_role": st.lists(st.tuples(st.just("sales"), LEVEL), max_size=1).map(tuple),
    "policy_by_user": st.lists(st.tuples(st.just("anna"), LEVEL), max_size=1).map(tuple),
    "terms": TERMS_OF,
    "accepted_terms": TERMS_OF,
    "excluded_by_owner": DOMAINS,
    "share": st.none() | SHARES,
    "inside": st.frozensets(ADDRESSES, max_size=1),
    "contact_owner": USERS,
    "visible_to": st.frozensets(st.sampled_from(["everyone", "ben", "role:sales", "role:", "carla"]), max_size=2),
    "contact_deleted": st.booleans(),
    "addresses": ENTRIES,
    "sender": ADDRESSES,
    "to": SOME,
    "cc": SOME,
    "bcc": SOME,
    "received_days_ago": st.sampled_from([1, 5, 5.001, 9]),
    "places": st.sampled_from([frozenset({one}) for one in ("SENT", "DRAFT", "SPAM", "TRASH", "CHAT", "Label_1")]),
    "hidden": st.booleans(),
}
# From these a few things are changed at a time: where everything is drawn, next to nothing is visible.
BASES = st.sampled_from([
    Case(),
    Case(chosen="custom", share=Shared(frozenset({MIA}))),
    Case(chosen="custom", share=Shared(frozenset({MIA})), addresses=(Address(MIA, 1), Address(BANK, 1, "anna"))),
    Case(addresses=(Address(MIA, 5), Address(BANK, 5)), cc=(BANK,), policy="public", accepted="public"),
])  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Cases of which a good part is visible."""
    names = draw(st.lists(st.sampled_from(sorted(ANYTHING)), max_size=6, unique=True))
    return replace(draw(BASES), **{name: draw(ANYTHING[name]) for name in names})


@settings(max_examples=1200, deadline=None)
@given(cases())
@example(Case(received_days_ago=100))
@example(Case(owner_heard_days_ago=90))
@example(Case(cc=(BANK,), excluded_by_owner=frozenset({"bank.example"})))
@example(Case(visible_to=frozenset({"role:"}), viewer_role=""))
@example(Case(policy="private", policy_by_role=(("sales", "private"),), policy_by_user=(("anna", "public"),)))
@example(Case(chosen="custom", share=Shared(frozenset({MIA}), shared=False)))
@example(Case(chosen="custom", share=Shared(frozenset({MIA}), of_this_mailbox=False)))
@example(Case(chosen="custom", share=Shared(frozenset()), addresses=(Address(MIA, 1, "anna"),)))
@example(Case(share=Shared(frozenset({MIA}), shared=False, of_this_mailbox=False), received_days_ago=100))
def test_the_product_decides_as_the_rule_says(case: Case) -> None:
    """The product and the rule, written down a second time, agree on every mail."""
    assert is_visible(case) is decide(case)


def test_the_second_statement_sees_some_mail_and_not_other() -> None:
    """The statement that the product is held to is none that always says no."""
    verdicts = Counter(
        is_visible(replace(Case(), chosen=level, share=share, received_days_ago=days))
        for level, share, days in product(LEVELS, [None, Shared(frozenset({MIA}))], [5, 200])
    )

    assert {True: 5, False: 7} == verdicts
