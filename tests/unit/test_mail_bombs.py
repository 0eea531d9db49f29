"""Mails made to fill or hold up whoever reads them: what is read of each is bounded."""

from __future__ import annotations

import msgspec
import pytest

from common.mail.html import sanitise
from common.mail.limits import MAX_ADDRESSES, MAX_HTML_CHARS, MAX_PARTS, MAX_REFERENCES, MAX_TEXT_CHARS, MOST_IN_A_ROW
from common.mail.reading import read_message, read_summary
from common.mail.view import summary_as_json
from tests.mail_bombs import BOMBS
from tests.unit.mail_payloads import resource

# A row has at most a hundred addresses of To and of Cc each, a subject, and a name.
_MOST_ROW_BYTES = 50_000
# Where text is cut, a note says so.
_NOTE_CHARS = 200
# Deeper than the builder of payloads can walk; they go through the whole product in tests/integration.
_TOO_DEEP = {"1,000 levels", "1,000 forwarded mails"}


@pytest.mark.parametrize("bomb", sorted(BOMBS.keys() - _TOO_DEEP))
def test_what_is_read_of_a_bomb_is_bounded(bomb: str) -> None:
    """Every list that a mail gives has a limit of its own, and so has every text."""
    mail = resource(BOMBS[bomb])

    row, view = read_summary(mail), read_message(mail)

    assert _MOST_ROW_BYTES > len(msgspec.json.encode(summary_as_json(row)))
    assert MOST_IN_A_ROW >= max(len(row.to), len(row.cc))
    assert MAX_ADDRESSES >= max(len(view.to), len(view.cc), len(view.bcc), len(view.reply_to))
    assert MAX_REFERENCES >= len(view.references)
    assert MAX_PARTS >= len(view.attachments)
    assert MAX_PARTS >= len(view.delivery_report or ())
    assert MAX_TEXT_CHARS + _NOTE_CHARS >= len(view.text or "")
    # Attributes that make markup safe add to it, by a factor that is known.
    assert 5 * MAX_HTML_CHARS > len(sanitise(view.unverified_html or "", remote=True, cid_urls={}).html)
