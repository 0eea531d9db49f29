"""mail_proxy over HTTP: sources and attachments, as files."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from local.crm.people import ANNA
from local.stack import Stack
from tests.integration.mailbox_rig import MIA, deliver, download, mail_with, show

pytestmark = pytest.mark.integration


@pytest.fixture
def anna(stack: Stack) -> Stack:
    """The stack with Anna connected."""
    stack.connect("anna")
    return stack


def test_source_comes_as_a_file(anna: Stack) -> None:
    """The source is the mail byte for byte, named by its subject."""
    mail_id = anna.mail("anna", MIA, "Grüße")

    response = anna.call("anna", "GET", f"/mail_proxy/messages/{mail_id}/raw")

    assert anna.google.gmail.mailbox(ANNA.email).message(mail_id).raw == response.content
    assert "message/rfc822" == response.headers["Content-Type"]
    assert "filename*=UTF-8''Gr%C3%BC%C3%9Fe.eml" in response.headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("kind", "name", "served"),
    [
        ("application/pdf", "Angebot März.pdf", "application/pdf"),
        ("text/html", "page.html", "application/octet-stream"),
        ("image/svg+xml", "logo.svg", "application/octet-stream"),
        ("application/xhtml+xml", "page.xhtml", "application/octet-stream"),
        ("text/csv", "list.csv", "text/csv"),
    ],
)
def test_attachment_is_saved_never_shown(anna: Stack, kind: str, name: str, served: str) -> None:
    """Whatever it is, an attachment comes whole, as a file, and as nothing that a browser runs."""
    content = bytes(range(256)) * 10
    mail_id = deliver(anna, mail_with((content, kind, name)))
    part_id = show(anna, mail_id)["attachments"][0]["part_id"]

    response = download(anna, mail_id, part_id)

    assert content == response.content
    assert served == response.headers["Content-Type"].partition(";")[0]
    assert response.headers["Content-Disposition"].startswith("attachment;")
    assert "nosniff" == response.headers["X-Content-Type-Options"]
    assert "default-src 'none'; sandbox" == response.headers["Content-Security-Policy"]


def test_mail_that_is_a_file_itself(anna: Stack) -> None:
    """The one part of a mere PDF is called ``root``."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = MIA, ANNA.email, "Scan"
    mail.set_content(b"%PDF-1.7", "application", "pdf", disposition="attachment", filename="scan.pdf")
    mail_id = deliver(anna, mail)

    assert ["root"] == [one["part_id"] for one in show(anna, mail_id)["attachments"]]
    assert b"%PDF-1.7" == download(anna, mail_id, "root").content


def test_forwarded_mail_comes_as_its_source(anna: Stack) -> None:
    """A mail attached to a mail can be saved."""
    inner = EmailMessage()
    inner["From"], inner["Subject"] = "boss@customer.example", "Inside"
    inner.set_content("inner text")
    outer = mail_with()
    outer.add_attachment(inner)
    mail_id = deliver(anna, outer)
    (attachment,) = show(anna, mail_id)["attachments"]

    response = download(anna, mail_id, attachment["part_id"])

    assert "message" == attachment["kind"]
    assert b"Subject: Inside" in response.content
    assert b"inner text" in response.content


def test_big_attachment_is_streamed(anna: Stack) -> None:
    """A big file comes whole, in pieces: its answer has no length of its own."""
    content = b"0123456789abcdef" * 300_000
    mail_id = deliver(anna, mail_with((content, "application/zip", "plan.zip")))
    part_id = show(anna, mail_id)["attachments"][0]["part_id"]

    response = download(anna, mail_id, part_id)

    assert content == response.content
    assert "Content-Length" not in response.headers


@pytest.mark.parametrize("part_id", ["9", "0.9", "root.1", "..%2F..%2Fetc", "0" * 300, "%2e%2e"])
def test_part_that_does_not_exist(anna: Stack, part_id: str) -> None:
    """A part that the mail does not have is 404, whatever it is called."""
    mail_id = deliver(anna, mail_with((b"x", "application/pdf", "a.pdf")))

    assert 404 == download(anna, mail_id, part_id).status_code
