from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.mail.authentication import is_authenticated

FROM = "mia@customer.example"
GMAIL = "mx.google.com; "
DKIM = "dkim=pass header.i=@customer.example header.s=s1 header.b=AbC=d12+"
SPF = (
    "spf=pass (google.com: domain of bounce@mail.customer.example designates 192.0.2.1 as permitted sender) "
    "smtp.mailfrom=bounce@mail.customer.example"
)
DMARC = "dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=customer.example"
EVIL_SPF = "spf=pass (google.com: domain of x@evil.test designates 192.0.2.6) smtp.mailfrom=x@evil.test"


@pytest.mark.parametrize(
    "value",
    [
        GMAIL + "; ".join([DKIM, SPF, DMARC]),
        GMAIL + DMARC,
        GMAIL + "dmarc = pass",
        GMAIL + DKIM,
        GMAIL + "dkim=pass header.d=eu.customer.example",
        GMAIL + SPF,
        GMAIL + 'spf=pass smtp.mailfrom="bounce+x=y.test@customer.example"',
        GMAIL + "spf=pass smtp.helo=mail.customer.example",
        GMAIL + f"dkim=fail header.i=@customer.example; {SPF}",
        GMAIL + f"{DKIM}; dmarc=none header.from=customer.example",
        "mx.google.com 1; " + DMARC,
        "(Gmail) MX.Google.com (v (nested \\) comment)) ;\r\n       " + DMARC,
        GMAIL + "dkim/1=pass header.i=@customer.example",
        GMAIL + "dkim=pass header.i=@evil.test; " + DKIM,
    ],
)
def test_gmails_own_results_vouch_for_from(value: str) -> None:
    """A dmarc pass, or without a DMARC record a pass of From's own organisation, authenticates the mail."""
    assert is_authenticated([("Authentication-Results", value), ("From", f"Mia <{FROM}>")], FROM)


@pytest.mark.parametrize(
    "value",
    [
        "mx.google.com; none",
        "mx.google.com",
        "",
        GMAIL + f"{DKIM}; {SPF}; dmarc=fail (p=NONE dis=NONE) header.from=customer.example",
        GMAIL + f"{DKIM}; dmarc=temperror header.from=customer.example",
        GMAIL + "dmarc=pass header.from=evil.test",
        GMAIL + EVIL_SPF,
        GMAIL + "dkim=pass header.i=@customer.example.evil.test",
        GMAIL + "dkim=pass header.i=@example",
        GMAIL + "dkim=neutral header.i=@customer.example",
        GMAIL + "spf=softfail smtp.mailfrom=x@customer.example",
        GMAIL + "spf=pass smtp.mailfrom=x@evil.test smtp.helo=mail.customer.example",
        GMAIL + "arc=pass (i=1 dmarc=pass fromdomain=customer.example)",
        GMAIL + f"spf=none (comment; {DMARC})",
        GMAIL + f'spf=pass smtp.mailfrom="; {DMARC}"',
        GMAIL + f"{DMARC}; dmarc=fail",
        GMAIL + f"{DMARC} (never closed",
        GMAIL + f'{DMARC} reason="never closed',
        GMAIL + "dmarc pass",
        f"mx.google.com.evil.test; {DMARC}",
        f"evil.test; {DMARC}",
        f"mx.google.com 2; {DMARC}",
        f"evil.test (mx.google.com; {DMARC}); none",
    ],
)
def test_nothing_else_vouches(value: str) -> None:
    """A failure, another domain's pass, another server's word or a broken header authenticate nothing."""
    assert not is_authenticated([("Authentication-Results", value), ("From", FROM)], FROM)


def test_a_forged_header_below_gmails_never_counts() -> None:
    """What a sender writes as Gmail's results stands below Gmail's own, and is not looked at."""
    headers = [
        ("Authentication-Results", f"mx.google.com; {EVIL_SPF}"),
        ("Received", "from evil.test by mx.google.com"),
        ("Authentication-Results", f"mx.google.com; {DMARC}"),
        ("From", FROM),
    ]
    assert not is_authenticated(headers, FROM)


def test_another_servers_header_on_top_leaves_nothing_to_trust() -> None:
    """Where Gmail's header is not the topmost, it may be anyone's."""
    headers = [("Authentication-Results", "evil.test; none"), ("Authentication-Results", f"mx.google.com; {DMARC}")]
    assert not is_authenticated(headers, FROM)


@pytest.mark.parametrize("name", ["ARC-Authentication-Results", "X-Authentication-Results", "X-Google-DKIM-Signature"])
def test_headers_of_other_names_never_count(name: str) -> None:
    """Results that travel under another name are a stranger's word."""
    assert not is_authenticated([(name, f"mx.google.com; {DMARC}"), ("From", FROM)], FROM)


@pytest.mark.parametrize("ending", ["dkim=none (", "spf=none (", "dmarc=none (", "arc=none ("])
def test_an_address_that_closes_gmails_comment_writes_no_results(ending: str) -> None:
    """A sender's address that breaks out of the comment it is quoted in cannot add results of its own."""
    local = f"x) smtp.mailfrom=a@evil.test; {DMARC}; {ending}"
    value = f'spf=pass (google.com: domain of "{local}"@evil.test designates 192.0.2.6) smtp.mailfrom="x"@evil.test'
    assert not is_authenticated([("Authentication-Results", GMAIL + value), ("From", FROM)], FROM)


def test_mail_without_the_header_is_not_authenticated() -> None:
    """Mail that Gmail has said nothing about is not authenticated."""
    assert not is_authenticated([("From", FROM)], FROM)


def test_another_from_than_the_mails_own_is_not_authenticated() -> None:
    """Gmail has vouched for the From of the mail, not for one that somebody read out of it."""
    headers = [("Authentication-Results", GMAIL + "dmarc=pass"), ("From", f"{FROM}, x@evil.test")]
    assert not is_authenticated(headers, FROM)


def test_customers_of_one_public_suffix_do_not_vouch_for_each_other() -> None:
    """Relaxed alignment ends at the public suffix."""
    headers = [("Authentication-Results", GMAIL + "dkim=pass header.d=evil.co.uk"), ("From", "a@victim.co.uk")]
    assert not is_authenticated(headers, "a@victim.co.uk")


@given(st.text(alphabet=st.sampled_from('adkimspf=;()"\\ .@\r\n'), max_size=80))
def test_no_header_breaks_the_reader(value: str) -> None:
    """Whatever stands in the header, without a result that passes nothing is authenticated."""
    assert not is_authenticated([("Authentication-Results", GMAIL + value), ("From", FROM)], FROM)
