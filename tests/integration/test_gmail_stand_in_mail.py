"""Real and broken mail through the Gmail stand-in: a hundred samples, where they are there."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.gmail_rig import ANNA, Rig, running

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).parents[3] / "shared" / "mail"


def _samples() -> list[Any]:
    found = sorted(SAMPLES.rglob("*.eml"))
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no sample mails in {SAMPLES.name}"))]
    return [pytest.param(path, id=path.stem) for path in found]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("gmail"), units_per_minute=10_000_000, project_units_per_minute=10**9) as rig:
        yield rig


@pytest.fixture(scope="module")
def anna(rig: Rig) -> Any:
    return rig.client(ANNA)


def _parts(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield part
    for child in part.get("parts", []):
        yield from _parts(child)


@pytest.mark.parametrize("sample", _samples())
def test_a_sample_is_delivered_and_read_in_every_format(rig: Rig, anna: Any, sample: Path) -> None:
    """Each part has its id, type and body; texts are UTF-8, attachments come whole; raw ends with the source."""
    source = sample.read_bytes()
    message_id = rig.gmail.deliver(source, to=ANNA)[ANNA]
    messages = anna.messages()
    full = messages.get(userId="me", id=message_id).execute()
    for part in _parts(full["payload"]):
        body = part["body"]
        if "data" in body:
            data = base64.urlsafe_b64decode(body["data"])
            assert body["size"] == len(data)
            assert data.decode("utf-8")
        if "attachmentId" in body:
            file = messages.attachments().get(userId="me", messageId=message_id, id=body["attachmentId"]).execute()
            assert body["size"] == file["size"] == len(base64.urlsafe_b64decode(file["data"]))
    raw = base64.urlsafe_b64decode(messages.get(userId="me", id=message_id, format="raw").execute()["raw"])
    assert raw.replace(b"\r\n", b"\n").endswith(source.replace(b"\r\n", b"\n"))
    metadata = messages.get(userId="me", id=message_id, format="metadata").execute()
    assert full["payload"]["headers"] == metadata["payload"]["headers"]
    assert ANNA == next(one["value"] for one in metadata["payload"]["headers"] if one["name"] == "Delivered-To")


@pytest.mark.parametrize("sample", _samples())
def test_a_sample_may_be_sent(rig: Rig, anna: Any, sample: Path) -> None:
    """Whatever stands in a mail, sending it is a clean answer: sent, or refused as a bad request."""
    raw = b"To: mia@customer.example\r\n" + sample.read_bytes()
    body = {"raw": base64.urlsafe_b64encode(raw).decode()}
    headers = {"Authorization": f"Bearer {rig.token(ANNA)}"}
    answer = requests.post(f"{rig.url}/gmail/v1/users/me/messages/send", json=body, headers=headers, timeout=10)
    assert answer.status_code in (200, 400)


def _delivered(rig: Rig, raw: bytes) -> str:
    return rig.gmail.deliver(raw, to=ANNA)[ANNA]


TWO_PARTS = b"""From: mia@customer.example\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: text/plain\r
\r
hi\r
--b\r
Content-Type: text/csv\r
Content-Disposition: attachment; filename=a.csv\r
\r
a;b\r
--b--\r
"""


def test_an_attachments_id_is_another_at_each_get(rig: Rig, anna: Any) -> None:
    """Ids change from get to get; each still opens the same part."""
    message_id = _delivered(rig, TWO_PARTS)
    ids = [
        anna.messages().get(userId="me", id=message_id).execute()["payload"]["parts"][1]["body"]["attachmentId"]
        for _ in range(2)
    ]
    assert ids[0] != ids[1]
    files = [
        anna.messages().attachments().get(userId="me", messageId=message_id, id=one).execute()["data"] for one in ids
    ]
    assert ["YTti"] * 2 == files


def test_an_attachment_id_opens_its_own_message_only(rig: Rig, anna: Any) -> None:
    """With another message's id, and with an invented one, there is nothing to fetch."""
    token = rig.token(ANNA)
    first, second = _delivered(rig, TWO_PARTS), _delivered(rig, TWO_PARTS)
    tree = anna.messages().get(userId="me", id=first).execute()["payload"]
    own = tree["parts"][1]["body"]["attachmentId"]
    paths = [
        f"/gmail/v1/users/me/messages/{second}/attachments/{own}",
        f"/gmail/v1/users/me/messages/{first}/attachments/x",
    ]
    assert [400, 400] == [rig.get(path, token).status_code for path in paths]


def test_names_of_attachments_come_without_their_bodies(rig: Rig, anna: Any) -> None:
    """full with ``fields`` tells file names and fetches no text."""
    message_id = _delivered(rig, TWO_PARTS)
    answer = (
        anna.messages().get(userId="me", id=message_id, fields="payload(filename,parts(filename,partId))").execute()
    )
    expected = {"payload": {"filename": "", "parts": [
        {"partId": "0", "filename": ""}, {"partId": "1", "filename": "a.csv"}]}}  # fmt: skip
    assert expected == answer
