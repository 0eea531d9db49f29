"""What Gmail's refusals mean."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from common.errors import Problem
from common.gmail.errors import Remedy, parse_trouble

HINT = "User-rate limit exceeded.  Retry after 2026-09-16T03:57:19.386Z"
HINTED = datetime(2026, 9, 16, 3, 57, 19, 386000, UTC)


def body(reason: str, message: str = "anna@demo-crm.example q=secret") -> bytes:
    return json.dumps({"error": {"message": message, "errors": [{"reason": reason}]}}).encode()


@pytest.mark.parametrize(
    ("status", "content", "code", "remedy"),
    [
        (401, body("authError"), "reauth-required", Remedy.REFRESH),
        (403, body("insufficientPermissions"), "reauth-required", Remedy.NONE),
        (403, body("domainPolicy"), "reauth-required", Remedy.NONE),
        (403, body("dailyLimitExceeded"), "gmail-daily-limit", Remedy.NONE),
        (403, body("rateLimitExceeded", HINT), "gmail-rate-limited", Remedy.NONE),
        (403, body("userRateLimitExceeded", HINT), "gmail-rate-limited", Remedy.NONE),
        (429, body("rateLimitExceeded", HINT), "gmail-rate-limited", Remedy.NONE),
        (403, body("rateLimitExceeded", "Quota exceeded"), "gmail-busy", Remedy.BACK_OFF),
        (429, body("rateLimitExceeded", "Too many concurrent requests for user"), "gmail-busy", Remedy.BACK_OFF),
        (429, b"<html>", "gmail-busy", Remedy.BACK_OFF),
        (403, body("forbidden"), "gmail-refused", Remedy.NONE),
        (404, body("notFound"), "not-found", Remedy.NONE),
        (409, body("aborted"), "gmail-conflict", Remedy.NONE),
        (413, body("uploadTooLarge"), "mail-too-large", Remedy.NONE),
        (400, body("invalidArgument"), "gmail-refused", Remedy.NONE),
        (400, body("failedPrecondition", "Mail service not enabled"), "reauth-required", Remedy.NONE),
        (500, body("backendError"), "gmail-unavailable", Remedy.REPEAT),
        (302, b"", "gmail-unavailable", Remedy.REPEAT),
        (503, b"", "gmail-unavailable", Remedy.REPEAT),
        (400, b"[]", "gmail-refused", Remedy.NONE),
        (400, b'{"error": "invalid_request"}', "gmail-refused", Remedy.NONE),
        (400, b'{"error": {"errors": 3}}', "gmail-refused", Remedy.NONE),
    ],
)
def test_refusals(status: int, content: bytes, code: str, remedy: Remedy) -> None:
    """Each refusal has its code and its remedy, whatever the shape of its body."""
    trouble = parse_trouble(status, content)

    assert (code, remedy) == (trouble.problem.code, trouble.remedy)


def test_hint_is_kept_for_the_mailbox() -> None:
    """The time in the message is when to come again, for everybody who uses the mailbox."""
    trouble = parse_trouble(429, body("rateLimitExceeded", HINT))

    assert (HINTED, HINTED) == (trouble.keep_until, trouble.problem.retry_at)


def test_limit_on_sending_leaves_reading_alone() -> None:
    """The limit on mail sent in a day has a hint too, which does not close the mailbox."""
    trouble = parse_trouble(429, body("rateLimitExceeded", f"{HINT} (Mail sending)"))

    assert HINTED == trouble.problem.retry_at
    assert trouble.keep_until is None


@pytest.mark.parametrize("hint", ["Retry after soon", "Retry after 2026-99-99T03:57:19Z", "Retry after "])
def test_unreadable_hint_is_no_hint(hint: str) -> None:
    """A hint that is no time is not kept, and does not raise."""
    assert parse_trouble(429, body("rateLimitExceeded", hint)).keep_until is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 429, 500])
def test_nothing_of_the_message_is_told(status: int) -> None:
    """Gmail's text, which may hold addresses and search terms, gets into no problem."""
    problem: Problem = parse_trouble(status, body("x")).problem

    assert "secret" not in f"{problem!r} {problem.detail} {problem.members} {problem.code}"
    assert "anna" not in f"{problem!r} {problem.detail} {problem.members} {problem.code}"
