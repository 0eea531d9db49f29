from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.mail.plain import html_to_text


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>Hi  Mia,</p><p>done &amp;\n sent.</p>", "Hi Mia,\n\ndone & sent."),
        ("one<br>two<div>three</div>four", "one\ntwo\nthree\nfour"),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ('<a href="https://x.test">our page</a>', "our page <https://x.test>"),
        ('<a href="https://x.test/">x.test</a>', "x.test"),
        ('<a href="mailto:mia@x.test">mia@x.test</a>', "mia@x.test"),
        ('<a href="javascript:alert(1)">x</a>', "x"),
        ("<p>Yes.</p><blockquote>Really?<blockquote>No.</blockquote></blockquote>", "Yes.\n\n> Really?\n>\n> > No."),
        ("<blockquote>a</blockquote>b", "> a\n\nb"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<pre>a  b\n  c</pre>", "a  b\n  c"),
        ("<style>p{}</style><script>x</script><title>t</title>text<!-- no -->", "text"),
        ('<img src="cid:x" alt="Logo">', "Logo"),
        ("a<hr>b", "a\n\n---\n\nb"),
        ("", ""),
    ],
)  # fmt: skip
def test_html_reads_as_plain_mail(html: str, expected: str) -> None:
    """Paragraphs, lists, quotes, tables and links read as in a mail written as text."""
    assert html_to_text(html) == expected


@given(st.text(alphabet=st.sampled_from("<>/=abpreliquotdv &;#x\n"), max_size=200))
def test_no_markup_breaks_the_writer(html: str) -> None:
    """Whatever the markup is, text without leading or trailing empty lines comes out."""
    text = html_to_text(html)
    assert text == text.strip("\n")
