from __future__ import annotations

import pytest

from common.mail.html import sanitise
from common.mail.links import claimed_hosts, keep_url, link_host


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://x.test/a b", "https://x.test/ab"),
        ("HTTPS:\\\\evil.test\\x?y=\\z", "https://evil.test/x?y=\\z"),
        ("https:evil.test", "https://evil.test"),
        ("http:/evil.test", "http://evil.test"),
        ("mailto:mia@x.test", "mailto:mia@x.test"),
        ("tel:+49301234", "tel:+49301234"),
        ("javascript:alert(1)", None),
        ("java\tscript:alert(1)", None),
        ("https://", None),
        ("https://[x", None),
        ("//evil.test", None),
        ("", None),
    ],
)
def test_links_lead_where_they_say(url: str, expected: str | None) -> None:
    """A kept link reads the same to every parser; other schemes and none are dropped."""
    assert keep_url(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Bank.test@evil.test:8080/x", "evil.test"),
        ("https://bücher.test", "xn--bcher-kva.test"),
        ("mailto:a@x.test?subject=b@y.test", "x.test"),
        ("tel:1", ""),
    ],
)
def test_the_host_is_what_a_browser_would_ask(url: str, expected: str) -> None:
    """What stands before an @ is no host."""
    assert link_host(url) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Click https://bank.test/login now", ["bank.test"]),
        ("www.bank.test", ["www.bank.test"]),
        ("bank.com/login", ["bank.com"]),
        ("b\u200bank.com", ["bank.com"]),
        ("help@bank.test", ["bank.test"]),
        ("click here", []),
        ("report.final.v2", []),
        ("e.g. this", []),
    ],
)
def test_a_text_claims_the_hosts_that_it_names(text: str, expected: list[str]) -> None:
    """URLs, host names and addresses are claims; words with dots are not."""
    assert claimed_hosts(text) == expected


@pytest.mark.parametrize(
    ("href", "text", "warning"),
    [
        ("https://evil.test/x", "https://bank.test", "evil.test"),
        ("https://evil.test/x", "<b>www.bank</b>.test", "evil.test"),
        ("https://bank.test@evil.test", "https://bank.test", "evil.test"),
        ("https://evil.test", "https://bank.test@evil.test/", "evil.test"),
        ("https://evil.test", "bank.com", "evil.test"),
        ("mailto:x@evil.test", "help@bank.test", "evil.test"),
        ("https://xn--bnk-ola.test", "https://bank.test", "xn--bnk-ola.test"),
        ("https://victim.co.uk.evil.test", "https://victim.co.uk", "victim.co.uk.evil.test"),
        ("https://login.bank.test/x", "www.bank.test", None),
        ("https://bank.test", "our page", None),
    ],
)
def test_a_text_that_names_another_host_is_marked(href: str, text: str, warning: str | None) -> None:
    """A link whose text names another organisation than it leads to says where it leads."""
    html = sanitise(f'<a href="{href}">{text}</a>', remote=False, cid_urls={}).html
    found = f'data-warning="{warning}"' in html if warning else "data-warning" not in html
    assert found


@pytest.mark.parametrize(
    ("href", "warning"),
    [
        ("https://p\u0430ypal.com/", "xn--pypal-4ve.com"),
        ("https://\u0430\u0440\u0440\u04cf\u0435.com/", "xn--80ak6aa92e.com"),
        ("https://xn--80ak6aa92e.com/", "xn--80ak6aa92e.com"),
        ("https://bank.test@evil.test/login", "evil.test"),
        ("https://bücher.example/", None),
        ("https://пример.рф/", None),
        ("https://例え.example/", None),
        ("https://bank.test/", None),
    ],
)
def test_a_host_made_to_look_like_another_is_marked(href: str, warning: str | None) -> None:
    """Letters of scripts that look like Latin ones under a Latin ending, and names before an @, are called by name."""
    html = sanitise(f'<a href="{href}">Open</a>', remote=False, cid_urls={}).html

    assert (f'data-warning="{warning}"' in html) is (warning is not None)
    assert ("data-warning" in html) is (warning is not None)
