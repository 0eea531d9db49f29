"""Partial responses of the Gmail stand-in."""

from __future__ import annotations

from typing import Any

import pytest

from local.gmail.errors import GmailError
from local.gmail.fields import parse_fields, select, verify_fields

ANSWER: dict[str, Any] = {
    "messages": [{"id": "1", "threadId": "a"}, {"id": "2", "threadId": "b"}],
    "nextPageToken": "t",
    "payload": {"headers": [{"name": "From", "value": "x"}], "parts": [{"partId": "0", "body": {"size": 1}}]},
}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("nextPageToken", {"nextPageToken": "t"}),
        ("messages/id", {"messages": [{"id": "1"}, {"id": "2"}]}),
        ("messages(id), nextPageToken", {"messages": [{"id": "1"}, {"id": "2"}], "nextPageToken": "t"}),
        ("payload(headers/name,parts(body/size))", {
            "payload": {"headers": [{"name": "From"}], "parts": [{"body": {"size": 1}}]}}),
        ("payload/headers/name,payload/parts/partId", {
            "payload": {"headers": [{"name": "From"}], "parts": [{"partId": "0"}]}}),
        ("*", ANSWER),
        ("*/id", {"messages": [{"id": "1"}, {"id": "2"}], "nextPageToken": "t", "payload": {}}),
        ("historyId", {}),
    ],
)  # fmt: skip
def test_an_answer_holds_what_is_asked_for(fields: str, expected: dict[str, Any]) -> None:
    """Names, paths, groups and the star select parts of an answer."""
    assert expected == select(parse_fields(fields), ANSWER)


@pytest.mark.parametrize("fields", ["a(", "a)", "a,", ",a", "a/", "a b$", "()", "a(b"])
def test_a_broken_selection_is_refused(fields: str) -> None:
    """What is no selection is 400."""
    with pytest.raises(GmailError) as refusal:
        parse_fields(fields)
    assert 400 == refusal.value.code


@pytest.mark.parametrize("fields", ["subject", "payload/parts/name", "payload(body(bytes))"])
def test_a_field_outside_the_schema_is_refused(fields: str) -> None:
    """A name that the resource does not have is 400, on every level."""
    with pytest.raises(GmailError) as refusal:
        verify_fields(parse_fields(fields), "Message")
    assert 400 == refusal.value.code


def test_fields_of_the_schema_pass() -> None:
    """Nested names of the resource are fine, through its parts of parts too."""
    mask = parse_fields("id,payload(mimeType,parts(filename,parts/partId)),labelIds")
    verify_fields(mask, "Message")
    assert {"id", "payload", "labelIds"} == set(mask)
