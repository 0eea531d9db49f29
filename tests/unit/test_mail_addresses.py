from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.mail.addresses import (
    Address,
    domain,
    from_address,
    is_address,
    normalise,
    organisational_domain,
    parse_address_list,
    parse_addresses,
)
from common.mail.limits import MAX_HEADER_CHARS

# RFC 5322, appendix A; RFC 6854; and what real senders make of it.
LISTS: list[tuple[str, list[tuple[str, str]]]] = [
    ("John Doe <jdoe@machine.example>", [("John Doe", "jdoe@machine.example")]),
    ('"Joe Q. Public" <john.q.public@example.com>', [("Joe Q. Public", "john.q.public@example.com")]),
    ("Joe Q. Public <john.q.public@example.com>", [("Joe Q. Public", "john.q.public@example.com")]),
    (
        'Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>, "Giant; \\"Big\\" Box" <big@example.net>',
        [
            ("Mary Smith", "mary@x.test"),
            ("", "jdoe@example.org"),
            ("Who?", "one@y.test"),
            ('Giant; "Big" Box', "big@example.net"),
        ],
    ),
    (
        "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
        [("Ed Jones", "c@a.test"), ("", "joe@where.test"), ("John", "jdoe@one.test")],
    ),
    ("Undisclosed recipients:;", []),
    ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", [("Pete", "pete@silly.test")]),
    (
        "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n  joe@example.org;",
        [("Chris Jones", "c@public.example"), ("", "joe@example.org")],
    ),
    (
        "Mary Smith <@machine.tld:mary@example.net>, , jdoe@test   . example",
        [("Mary Smith", "mary@example.net"), ("", "jdoe@test.example")],
    ),
    ("MAILER-DAEMON@x.test (Mail Delivery System)", [("Mail Delivery System", "MAILER-DAEMON@x.test")]),
    ('"Mary Smith: Personal Account" <smith@home.example>', [("Mary Smith: Personal Account", "smith@home.example")]),
    ('"john doe"@x.test, "jane"@x.test', [("", '"john doe"@x.test'), ("", "jane@x.test")]),
    ("=?utf-8?B?TcO8bGxlciwgQW5uYQ==?= <anna@x.test>", [("Müller, Anna", "anna@x.test")]),
    ("Müller, Anna <anna@x.test>", [("Müller, Anna", "anna@x.test")]),
    ('"Jöhn Doe" <jdöe@mächine.example>', [("Jöhn Doe", "jdöe@mächine.example")]),
    ("root@[192.0.2.1]", [("", "root@[192.0.2.1]")]),
    ("Big Bug bb@bug.test", [("Big Bug", "bb@bug.test")]),
    ("one@x.test two@y.test", [("", "one@x.test"), ("", "two@y.test")]),
    ("<one@x.test> two@y.test", [("", "one@x.test"), ("", "two@y.test")]),
    ("<one@x.test> <two@y.test>", [("", "one@x.test"), ("", "two@y.test")]),
    ("boss@bank.test <crook@evil.test>", [("boss@bank.test", "crook@evil.test")]),
    ('"boss@bank.test, x" <crook@evil.test>', [("boss@bank.test, x", "crook@evil.test")]),
    ("Mary <mary@x.test", [("Mary", "mary@x.test")]),
    ("a@b@c", []),
    ("<>", []),
    ("nobody", []),
    ("", []),
]


@pytest.mark.parametrize(("header", "expected"), LISTS)
def test_lists_are_read_as_people_mean_them(header: str, expected: list[tuple[str, str]]) -> None:
    """Names, groups, comments, quotes, routes and broken lists give the addresses that the header means."""
    assert parse_addresses([header]) == [Address(name, address) for name, address in expected]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("Mia@Customer.Example", "mia@customer.example"),
        (" mia@customer.example ", "mia@customer.example"),
        ("M.i.a+crm@Customer.example", "m.i.a+crm@customer.example"),
        ("mia@bücher.example", "mia@xn--bcher-kva.example"),
        ("mia@XN--BCHER-KVA.example", "mia@xn--bcher-kva.example"),
        ("JDÖE@MÄCHINE.example", "jdöe@xn--mchine-bua.example"),
        ("strasse@straße.example", "strasse@xn--strae-oqa.example"),
        ("mi\u212aa@customer.example", "mi\u212aa@customer.example"),
        ("nobody", "nobody"),
    ],
)
def test_addresses_compare_without_case_and_exactly_otherwise(address: str, expected: str) -> None:
    """Case and the spelling of an international domain do not matter; dots, tags and look-alike letters do."""
    assert normalise(address) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("customer.example", "customer.example"),
        ("mail.eu.customer.example", "customer.example"),
        ("a.b.victim.co.uk", "victim.co.uk"),
        ("co.uk", "co.uk"),
        ("alice.github.io", "alice.github.io"),
        ("Mail.Bücher.de", "xn--bcher-kva.de"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("", ""),
    ],
)
def test_an_organisation_is_one_label_below_the_public_suffix(host: str, expected: str) -> None:
    """Two customers of one public suffix are never one organisation."""
    assert organisational_domain(host) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("From", "Mia <Mia@Customer.example>")], "mia@customer.example"),
        ([("from", "mia@customer.example")], "mia@customer.example"),
        ([("From", "mia@customer.example, ben@customer.example")], None),
        ([("From", "mia@customer.example"), ("From", "mia@customer.example")], None),
        ([("From", "mia@customer.example ben@customer.example")], None),
        ([("From", "Mia")], None),
        ([("To", "mia@customer.example")], None),
    ],
)
def test_from_is_one_address_or_none(headers: list[tuple[str, str]], expected: str | None) -> None:
    """A mail with no, two or an unreadable From is from nobody."""
    assert from_address(headers) == expected


def test_the_domain_of_an_address_is_comparable() -> None:
    """The domain comes in lower-case A-labels, and is empty where there is none."""
    assert [domain("a@Bücher.Example"), domain("a")] == ["xn--bcher-kva.example", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@b.c", True),
        ("a b@c.d", False),
        ("a@b.c>", False),
        ("a@b.c\r\nBcc: x@y.z", False),
        ("@b", False),
        ("a", False),
    ],
)
def test_a_bare_address_has_nothing_around_it(text: str, expected: bool) -> None:
    """What is put into a header as an address is an address and nothing more."""
    assert is_address(text) is expected


@given(st.lists(st.text(alphabet=st.sampled_from('ab@.,;:<>()[]"\\ \r\n=?é'), max_size=60), max_size=3))
def test_no_header_breaks_the_reader(values: list[str]) -> None:
    """Whatever stands in a header, what comes out is addresses that can be written again."""
    assert all(is_address(found.address) for found in parse_addresses(values))


@given(st.text(max_size=50))
def test_normalising_twice_changes_nothing(text: str) -> None:
    """The comparable form of an address is its own comparable form."""
    once = normalise(text)
    assert normalise(once) == once


@pytest.mark.parametrize("value", ["(" * 200_000, '"' * 200_000, " " * 200_000, "<" * 200_000, "a@b.c " * 40_000])
def test_address_bombs_cost_little(value: str) -> None:
    """Lists made to hold up a reader are read in time that grows with their length only."""
    began = time.process_time()
    parse_addresses([value])
    assert time.process_time() - began < 5


def test_a_long_list_is_bounded() -> None:
    """Of a list longer than the limits the first addresses are kept."""
    assert parse_addresses([", ".join(f"u{number}@x.test" for number in range(10_000))])[0] == Address("", "u0@x.test")


def test_no_more_addresses_are_read_than_wanted() -> None:
    """The first addresses are there, and whether they are all."""
    values = ["Mia <mia@x.test>, Jo <jo@x.test>", "Li <li@x.test>"]
    two = parse_address_list(values, most=2)

    assert (["mia@x.test", "jo@x.test"], False) == ([one.address for one in two.found], two.complete)
    assert (3, True) == (len(parse_address_list(values, most=3).found), parse_address_list(values, most=3).complete)


@pytest.mark.parametrize("junk", ["," * 50_000, ";" * 50_000, '""' * 50_000, "x " * 50_000, "x, " * 20_000])
def test_what_stands_behind_junk_is_not_known(junk: str) -> None:
    """Reading ends where a list goes on without addresses, and says so; what was read until then is kept."""
    read = parse_address_list([f"mia@x.test, {junk}, jo@x.test"])

    assert (["mia@x.test"], False) == ([one.address for one in read.found], read.complete)


def test_an_entry_that_was_cut_is_no_address() -> None:
    """Of an entry beyond a limit only a piece is known, which may look like another address: it is left out."""
    cut = "x" * (MAX_HEADER_CHARS - 10) + ", mia@x.test.evil"

    assert [] == parse_address_list([cut]).found


@pytest.mark.parametrize("comment", ["((a)(b))", "(((a)))", "(a (b) c (d))", "()", r"(a \) \( b)", "(a)(b)"])
def test_comments_end_where_they_began(comment: str) -> None:
    """Comments in comments end with the outermost one, and what follows is read."""
    assert ["mia@x.test", "jo@x.test"] == [one.address for one in parse_addresses([f"{comment}mia@x.test, jo@x.test"])]
