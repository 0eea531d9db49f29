"""The decisions of the administrators' commands: what a finding means, what a line holds, what comes next."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ops import checks
from ops.dead_letters import plan_message
from ops.directory_files import BadLine, Line, read_lines
from ops.load_directory import plan_pause_s
from ops.output import Trouble, Usage, table
from ops.reach import Reached
from ops.rotate import plan_sealing


@pytest.mark.parametrize(
    ("status", "state", "word"),
    [
        (200, "ok", ""),
        (403, "trouble", "allowedPolicyMemberDomains"),
        (404, "trouble", "apply"),
        (500, "trouble", "log"),
    ],
)
def test_a_public_function_answers_everybody(status: int, state: str, word: str) -> None:
    """Only 200 is well; a refusal points at the organisation policy."""
    check = checks.judge_public(Reached("mail_proxy", "https://x", status, is_public=True))

    assert (state, True) == (check.state, word in check.advice)


@pytest.mark.parametrize(
    ("status", "state"), [(401, "ok"), (403, "ok"), (404, "ok"), (204, "trouble"), (500, "trouble"), (0, "trouble")]
)
def test_a_private_function_answers_nobody(status: int, state: str) -> None:
    """401, 403 and, without ingress from outside, 404 are refusals; all else means that a stranger came in."""
    assert state == checks.judge_private(Reached("label_sweep", "https://x", status, is_public=False)).state


@pytest.mark.parametrize(
    ("binding", "state"),
    [
        ({"role": checks.PUBLISHER, "members": ["serviceAccount:g"]}, "ok"),
        ({"role": checks.PUBLISHER, "members": ["serviceAccount:other"]}, "trouble"),
        ({"role": "roles/pubsub.viewer", "members": ["serviceAccount:g"]}, "trouble"),
        ({"role": checks.PUBLISHER, "members": ["serviceAccount:g"], "condition": {"title": "x"}}, "trouble"),
    ],
)
def test_gmails_grant_is_whole(binding: dict[str, object], state: str) -> None:
    """Another role, another member and a conditional grant do not count."""
    assert state == checks.judge_grant([binding], "serviceAccount:g").state


@pytest.mark.parametrize(
    ("error", "state"),
    [("invalid_grant", "ok"), ("invalid_client", "trouble"), ("redirect_uri_mismatch", "trouble"), ("", "trouble")],
)
def test_a_refused_code_means_that_the_client_is_known(error: str, state: str) -> None:
    """Google looks at the client first: only when that is right it refuses the code."""
    assert state == checks.judge_client(400, {"error": error}).state


def test_googles_error_page_is_understood() -> None:
    """A redirect to Google's error page names its reason in a base64 protobuf; the sign-in page is no error."""
    packed = base64.urlsafe_b64encode(b"\x0a\x15redirect_uri_mismatch\x12\x03abc").decode().rstrip("=")
    disabled = base64.urlsafe_b64encode(b"\x0a\x0finvalid_client\x00\x12\x00").decode()
    page = "https://accounts.google.com/signin/oauth/error?authError="

    unknown = checks.judge_redirect(302, page + packed, "https://x/callback")
    other = checks.judge_redirect(302, page + disabled, "https://x/callback")
    well = checks.judge_redirect(302, "https://accounts.google.com/v3/signin/identifier?x=1", "https://x/callback")

    assert ("trouble", True) == (unknown.state, unknown.advice.endswith("https://x/callback"))
    assert ("trouble", True) == (other.state, "invalid_client" in other.detail)
    assert "ok" == well.state


def test_indexes_are_compared_whole() -> None:
    """The order of a field makes another index; one that is being built is not there yet."""
    declared = checks.parse_declared(
        [{"collectionGroup": "a", "queryScope": "COLLECTION", "fields": [{"fieldPath": "x", "order": "ASCENDING"}]}]
    )
    (index,) = declared
    other = ("a", "COLLECTION", (("x", "DESCENDING"),))

    assert "ok" == checks.judge_indexes(declared, {index: "READY"}).state
    assert "1 are missing: a by x" == checks.judge_indexes(declared, {other: "READY"}).detail
    assert "1 are not built yet" == checks.judge_indexes(declared, {index: "CREATING"}).detail


def test_sealing_keys_step_by_step() -> None:
    """Added second, promoted to the front, the old one dropped; anything else is refused."""
    assert "a,b" == plan_sealing("a", "add", "b")
    assert "b,a" == plan_sealing("a,b", "promote", "c")
    assert "b" == plan_sealing("b,a", "drop", "c")
    for current, step in (("a,b", "add"), ("a", "promote"), ("a", "drop"), ("", "add"), ("a,b,c", "drop")):
        with pytest.raises(Trouble):
            plan_sealing(current, step, "x")  # type: ignore[arg-type]


def test_a_dead_letter_loses_what_its_death_added() -> None:
    """Only attributes of the message itself come back."""
    letter = {"data": "eA==", "attributes": {"CloudPubSubDeadLetterSourceSubscription": "s", "own": "1"}}

    assert {"data": "eA==", "attributes": {"own": "1"}} == plan_message(letter)
    assert {"data": "eA=="} == plan_message({"data": "eA==", "attributes": {"CloudPubSubX": "s"}})


def test_pauses_grow_and_follow_hints() -> None:
    """A hint counts where it is longer, a minute is the longest, and refusals for good are not repeated."""
    assert 1.0 == plan_pause_s(503, "", 0, is_retryable=True)
    assert 8.0 == plan_pause_s(429, "", 3, is_retryable=False)
    assert 20.0 == plan_pause_s(429, "20", 1, is_retryable=True)
    assert 60.0 == plan_pause_s(503, "900", 0, is_retryable=True)
    assert plan_pause_s(409, "", 0, is_retryable=False) is None
    assert plan_pause_s(403, "5", 0, is_retryable=False) is None


def test_csv_lines_are_read_one_by_one(tmp_path: Path) -> None:
    """A byte order mark and Windows' line ends are taken; short lines and odd flags are named by their number."""
    path = tmp_path / "users.csv"
    path.write_bytes("\ufeffid,active,permissions\r\nanna,TRUE,a;b\r\nben\r\ncarla,maybe,\r\nd,no,\r\n".encode())

    found = list(read_lines(path, "users"))

    assert [
        Line(2, {"id": "anna", "active": True, "permissions": ["a", "b"]}),
        BadLine("users.csv", 3, "ben", "invalid-csv", "more or fewer cells than the head line has"),
        BadLine("users.csv", 4, "carla", "invalid-record", "active must be true or false"),
        Line(5, {"id": "d", "active": False, "permissions": []}),
    ] == found


def test_files_of_another_form_are_refused(tmp_path: Path) -> None:
    """An unknown ending, unknown columns, a file that is not UTF-8 and one that is not there are usage errors."""
    latin, columns, ending = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "c.txt"
    latin.write_bytes(b"id,name\nx,M\xfcller\n")
    columns.write_text("id,shoe_size\n")
    ending.write_text("")

    for path in (latin, columns, ending, tmp_path / "missing.csv"):
        with pytest.raises(Usage):
            list(read_lines(path, "users"))


def test_tables_line_up() -> None:
    """Columns are as wide as their widest cell."""
    assert ["user  word", "anna  ok", "b     broken"] == table([("anna", "ok"), ("b", "broken")], ("user", "word"))
