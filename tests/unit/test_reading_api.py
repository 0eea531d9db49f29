"""Mail in JSON: nothing of a view is lost on the way, and Bcc is shown only where asked for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from common.mail.html import FRAME_CSP, FRAME_CSP_REMOTE, SanitisedHtml
from common.mail.reading import read_message, read_summary
from common.mail.view import as_json, summary_as_json
from common.reading_api import message, row
from tests.unit.mail_payloads import resource

RAW = (
    b"From: =?utf-8?Q?M=C3=BCller?= <mia@customer.example>\n"
    b"To: anna@demo-crm.example\nCc: ben@demo-crm.example\nBcc: boss@demo-crm.example\n"
    b"Reply-To: office@customer.example\nSubject: Angebot\nDate: Thu, 1 Jan 2026 10:00:00 +0100\n"
    b'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\nHallo\n--b\n'
    b'Content-Type: application/pdf; name="a.pdf"\nContent-Disposition: attachment; filename="a.pdf"\n\n%PDF\n--b--\n'
)
BODY = SanitisedHtml("<p>Hallo</p>", 2)


def as_plain(answer: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(answer))


def test_row_has_all_that_a_summary_tells() -> None:
    """The row is the mail package's JSON, and whether its owner hid it."""
    summary = read_summary(resource(RAW))

    assert {**summary_as_json(summary), "hidden": False} == as_plain(row(summary))


@pytest.mark.parametrize("with_bcc", [True, False])
def test_message_has_all_that_a_view_tells(with_bcc: bool) -> None:
    """The answer is the mail package's JSON, and how to show it."""
    view = read_message(resource(RAW))
    answer = as_plain(message(view, BODY, with_bcc=with_bcc))
    added = {name: answer.pop(name) for name in ("hidden", "body_left_out", "frame")}

    assert {"bcc": [], **as_json(view, BODY, with_bcc=with_bcc)} == answer
    assert (False, False) == (added["hidden"], added["body_left_out"])
    assert with_bcc == ("boss@demo-crm.example" in str(answer["bcc"]))


@pytest.mark.parametrize(("remote", "csp"), [(False, FRAME_CSP), (True, FRAME_CSP_REMOTE)])
def test_frame_allows_remote_images_only_when_asked(remote: bool, csp: str) -> None:
    """The frame's policy goes with what the reader asked for."""
    frame = message(read_message(resource(RAW)), BODY, remote=remote).frame

    assert frame is not None
    assert csp == frame.csp


@pytest.mark.parametrize(
    ("labels", "hidden_label_id", "hidden"),
    [(["Label_7"], "Label_7", True), (["Label_7"], "Label_8", False), ([], "", False), ([""], "", False)],
)
def test_hidden_is_what_bears_the_owners_label(labels: list[str], hidden_label_id: str, hidden: bool) -> None:
    """A mail is hidden by its owner's label and by no other; without such a label none is."""
    mail = resource(RAW, labelIds=labels)

    assert hidden == row(read_summary(mail), hidden_label_id=hidden_label_id).hidden
    assert hidden == message(read_message(mail), BODY, hidden_label_id=hidden_label_id).hidden
