"""What a timeline asks Gmail for, and that a reader's words cannot reach beyond it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadRequest
from common.timeline_query import Asked, Search, is_found_by_bcc, parse_search, plan_query

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOWHERE = "-in:drafts -in:chats -in:spam -in:trash"


def query(*, own: bool = False, search: str = "", **more: object) -> str:
    settings: dict[str, object] = {"addresses": {"mia@x.example": None}, "own": own, "search": parse_search(search)}
    return plan_query(Asked(**(settings | more)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("", ""),
        ("Angebot Büro", "Angebot Büro"),
        ('"zwölf Tische" from:mia@x.example', '"zwölf Tische" from:mia@x.example'),
        ("SUBJECT:Angebot has:attachment after:2026/01/01", 'subject:Angebot has:attachment after:"2026/01/01"'),
        ('subject:"zwei Worte"', 'subject:"zwei Worte"'),
        ("or", '"or"'),
        ("https://x.example/a?b=c", '"https://x.example/a?b=c"'),
        ("50%", '"50%"'),
        ("in:", '"in:"'),
        ('""', ""),
        ('"in:anywhere) OR {"', '"in:anywhere  OR"'),
        ("a.in:trash", '"a.in:trash"'),
        ("subject:in:trash", 'subject:"in:trash"'),
    ],
)
def test_words_phrases_and_some_operators_are_searched_for(typed: str, asked: str) -> None:
    """What is typed is asked for, quoted where Gmail would take it for something else."""
    assert asked == parse_search(typed).q


@pytest.mark.parametrize(
    "typed",
    ["-word", '-"phrase"', "a OR b", "a AND b", "{a b}", "(a)", "a)", "in:anywhere", "label:secret", "is:unread",
     "bcc:boss@x.example", "rfc822msgid:x", "has:userlabels", 'has:"attachment"', '"open', "x" * 501, "A\x00B"],
)  # fmt: skip
def test_what_could_reach_beyond_is_refused(typed: str) -> None:
    """Negation, alternatives, brackets and operators on the owner's own marks are refused, never dropped in silence."""
    with pytest.raises(BadRequest) as raised:
        parse_search(typed)
    assert "unsupported-search" == raised.value.code


@given(st.text(max_size=60))
def test_no_bracket_or_sign_gets_out_of_a_quotation(typed: str) -> None:
    """Whatever is typed, outside of quotations there are only words and operators of the list."""
    try:
        asked = parse_search(typed).q
    except BadRequest:
        return
    assert 0 == asked.count('"') % 2
    outside = " ".join(asked.split('"')[::2])
    assert not set("{}()") & set(outside)
    assert not {"OR", "AND"} & set(outside.split())
    assert not any(one.startswith("-") for one in outside.split())


def test_ones_own_mailbox_is_asked_for_bcc_as_well() -> None:
    """Mail that the owner sent in secret is in the owner's own timeline, and asked of no colleague's mailbox."""
    listed = "{from:mia@x.example to:mia@x.example cc:mia@x.example"
    assert f"{listed} bcc:mia@x.example}} {NOWHERE}" == query(own=True)
    assert f"{listed}}} {NOWHERE}" == query()


def test_an_address_that_came_later_is_asked_for_from_then_on() -> None:
    """Each address has its own time."""
    addresses = {"mia@x.example": None, "new@x.example": SINCE}

    assert (
        "{{from:mia@x.example to:mia@x.example cc:mia@x.example} "
        "({from:new@x.example to:new@x.example cc:new@x.example} after:1793491200)} " + NOWHERE
    ) == query(addresses=addresses)


def test_a_page_goes_on_before_a_second_ends() -> None:
    """Gmail counts in seconds: the second of the last mail is asked for again."""
    assert query(before_ms=1_793_491_200_999).endswith(f"{NOWHERE} before:1793491201")


def test_in_colleagues_mailboxes_a_search_leaves_out_what_is_not_shared() -> None:
    """Else the number of hits would tell of words in mail that is not to be seen."""
    asked = query(search="Angebot", excluded_domains=("bank.example",), hidden_label="Not shared")

    assert asked.endswith("-label:not-shared -{from:bank.example to:bank.example cc:bank.example} (Angebot)")
    assert query(own=True, search="Angebot", excluded_domains=("bank.example",), hidden_label="Not shared").endswith(
        f"{NOWHERE} (Angebot)"
    )


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("Not shared", "-label:not-shared"),
        ("Privat/Nur für mich", "-label:privat-nur-für-mich"),
        ("Ganz: privat!", '-label:"ganz:-privat!"'),
        ('" OR x', '-label:"--or-x"'),
        ("!!", ""),
        ("", ""),
    ],
)
def test_the_label_that_hides_is_left_out_by_its_present_name(name: str, term: str) -> None:
    """A search names labels with hyphens; what no search can name is left to the look at each mail."""
    assert query(hidden_label=name).removeprefix(query()).strip() == term


@pytest.mark.parametrize(
    "address", ['"odd} {in:anywhere"@x.example', "a{b@x.example", "-a@x.example", "müller@x.example"]
)
def test_odd_addresses_are_quoted(address: str) -> None:
    """An address is never taken for a bracket or an operator."""
    asked = query(addresses={address: None})

    assert 6 == asked.count('"')
    assert 1 == asked.count("{") == asked.count("}")


@pytest.mark.parametrize(
    ("words", "bcc", "visible", "expected"),
    [
        ("boss", "boss@x.example", "mia@x.example offer", True),
        ("boss", "boss@x.example", "the boss asks", False),
        ("offer", "boss@x.example", "offer", False),
        ("Boss", "Big BOSS <b@x.example>", "", True),
        ("offer", "", "", False),
    ],
)
def test_a_word_that_stands_in_bcc_alone_finds_nothing(words: str, bcc: str, visible: str, expected: bool) -> None:
    """A colleague cannot find out by searching to whom a mail went in secret."""
    assert expected is is_found_by_bcc(parse_search(words), bcc, visible)


def test_no_search_is_no_word() -> None:
    """Without words nothing is compared."""
    assert Search() == parse_search("  ")
