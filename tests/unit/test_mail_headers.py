from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.mail import headers

# RFC 2047, section 8, and the subjects of real mails.
VALUES = [
    ("=?ISO-8859-1?Q?a?=", "a"),
    ("=?ISO-8859-1?Q?a?= b", "a b"),
    ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
    ("=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab"),
    ("=?ISO-8859-1?Q?a_b?=", "a b"),
    ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
    ("=?iso-8859-1*en?q?Keld_J=F8rn?=", "Keld Jørn"),
    ("=?UTF-8?B?44G+4w==?= =?UTF-8?B?gb7jgoA=?=", "ままむ"),
    ("=?EUC-KR?Q?NOTE:_=C7=D1=B1=B9=B8=BB?=", "NOTE: 한국말"),
    ("=?ISO-2022-JP?B?GyRCJUYlOSVIGyhC?=", "テスト"),
    ("=?NONE?B?VEVTVA=?=", "TEST"),
    ("=?utf-8?Q?What?now?=", "What?now"),
    ("=?utf-8?Q?a b?=", "a b"),
    ("=?utf-8?B?VEVTVA?= tail", "TEST tail"),
    ("=?utf-8?Q?50=ZZ?=", "50=ZZ"),
    ("=?utf-8?B??=", ""),
    ("=?broken", "=?broken"),
    ("Säying Hello", "Säying Hello"),
    ("one\r\n two\t three", "one two  three"),
    ("evil\u202egnp.exe\x07", "evilgnp.exe"),
    ("=?utf-8?Q?a=0D=0ABcc:_x=00?=", "a Bcc: x"),
    ("=?undefined?Q?a?= =?idna?Q?b?=", "ab"),
    ("lone \ud800", "lone \ufffd"),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_header_values_read_as_people_wrote_them(value: str, expected: str) -> None:
    """Encoded words, folds and broken words come out as one readable line."""
    assert headers.decode(value) == expected


@pytest.mark.parametrize(
    ("data", "charset", "expected"),
    [
        (b"\xc7\xd1", "ks_c_5601-1987", "한"),
        (b"\x82\xa0", "Shift_JIS", "あ"),
        (b"\x80", "iso-8859-1", "€"),
        (b"caf\xc3\xa9", "x-nobody-knows", "café"),
        (b"\xff", "utf-8", "\ufffd"),
        (b"plain", "rot13", "plain"),
        (b"plain", "a\x00b", "plain"),
    ],
)
def test_charsets_mean_what_mailers_mean(data: bytes, charset: str, expected: str) -> None:
    """A charset is read as mailers use it; an unknown one, or none at all, as UTF-8."""
    assert headers.decode_bytes(data, charset) == expected


@given(st.text(alphabet=st.sampled_from("=?QBqb_ utf-8iso-2022-jp\r\nàΩ/+"), max_size=80))
def test_no_value_breaks_the_reader(value: str) -> None:
    """Whatever the value is, one line without control characters comes out."""
    shown = headers.decode(value)
    assert "\r" not in shown
    assert "\n" not in shown


# Each is quadratic for a careless expression.
BOMBS = [
    " " * 200_000,
    "\r\n " * 60_000,
    "=?" * 100_000,
    "=?a?q?x" * 30_000,
    "=?a?q?" + "?x" * 90_000,
    ";a*0=b" * 30_000,
]


@pytest.mark.parametrize("value", BOMBS, ids=range(len(BOMBS)))
def test_header_bombs_cost_little(value: str) -> None:
    """Values made to hold up a reader are read in time that grows with their length only."""
    began = time.process_time()
    headers.decode(value)
    headers.parse_parameters(value)
    headers.parse_message_ids([value])
    assert time.process_time() - began < 5


# RFC 5322, appendix A, with its obsolete forms; RFC 822 zones; what cannot be read.
DATES = [
    ("Fri, 21 Nov 1997 09:55:06 -0600", datetime(1997, 11, 21, 15, 55, 6, tzinfo=UTC)),
    ("21 Nov 97 09:55:06 GMT", datetime(1997, 11, 21, 9, 55, 6, tzinfo=UTC)),
    ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", datetime(1997, 11, 21, 15, 55, 6, tzinfo=UTC)),
    (
        "Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)",
        datetime(1969, 2, 14, 3, 2, tzinfo=UTC),
    ),
    ("Wed, 9 Jan 2002 19:47:50 MST", datetime(2002, 1, 10, 2, 47, 50, tzinfo=UTC)),
    ("Tue, 22 Jan 2002 14:35:28 -0000", datetime(2002, 1, 22, 14, 35, 28, tzinfo=UTC)),
    ("Wed, 15 Dec 2010    59:10 -0500", None),
    ("yesterday", None),
    ("", None),
    ("Mon, 31 Dec 9999 23:59:59 -0100", None),
]


@pytest.mark.parametrize(("value", "expected"), DATES)
def test_dates_are_utc_or_none(value: str, expected: datetime | None) -> None:
    """A date in any form of the RFCs is a time in UTC; what is no date is None."""
    assert headers.parse_date(value) == expected


def test_message_ids_are_read_with_their_brackets() -> None:
    """Folding and comments inside an id are taken out."""
    assert headers.message_id([("Message-Id", "<1234   @   local(blah)  .machine .example>")]) == (
        "<1234@local.machine.example>"
    )


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("References", "<a@x> <b@x>"), ("In-Reply-To", "<c@x>")], ["<a@x>", "<b@x>"]),
        (
            [("References", "<foo@bar.net>"), ("References", "<baz@bar.net>, <in.   \r\n valid@bar.net>")],
            ["<foo@bar.net>", "<baz@bar.net>", "<in.valid@bar.net>"],
        ),
        ([("In-Reply-To", "<c@x>")], ["<c@x>"]),
        ([("In-Reply-To", "<c@x> <d@x>")], []),
        ([("In-Reply-To", "someone@yahoo.example")], []),
        ([("References", "<a@x> <a@x>")], ["<a@x>"]),
    ],
)
def test_references_are_those_before_oldest_first(pairs: list[tuple[str, str]], expected: list[str]) -> None:
    """References win; a single In-Reply-To stands in for them."""
    assert headers.references(pairs) == expected


def test_long_references_keep_the_first_and_the_latest() -> None:
    """Of more than a hundred ids the root of the thread and the latest ninety-nine stay."""
    ids = [f"<{number}@x>" for number in range(300)]
    assert headers.references([("References", " ".join(ids))]) == ["<0@x>", *ids[-99:]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('Text/Plain; charset="utf-8"', ("text/plain", {"charset": "utf-8"})),
        ("attachment; filename*=iso-8859-1''p%E4ring.jpg", ("attachment", {"filename": "päring.jpg"})),
        ("attachment; filename*0*=utf-8''a%C3%A4; filename*1=b.txt", ("attachment", {"filename": "aäb.txt"})),
        ('a/b; name="=?UTF-8?B?44Gm44GZ44GoLnR4dA==?="', ("a/b", {"name": "てすと.txt"})),
        ("", ("", {})),
    ],
)
def test_parameters_are_decoded(value: str, expected: tuple[str, dict[str, str]]) -> None:
    """Parameters come out by RFC 2045 and RFC 2231, and by RFC 2047 where senders misuse it."""
    assert headers.parse_parameters(value) == expected


@given(st.text(alphabet=st.sampled_from("ab/;=*'\"%0129 \r\né"), max_size=60))
def test_no_parameters_break_the_reader(value: str) -> None:
    """Whatever the header is, a kind in lower case comes out."""
    kind, _parameters = headers.parse_parameters(value)
    assert kind == kind.lower()
