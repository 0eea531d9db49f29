"""What every command of ``python -m ops`` has in common: help, exit codes, files of variables, trouble in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local.administration import write_file
from local.faults import Fault
from local.functions import ROOT
from local.stack import Stack
from ops.cli import COMMANDS
from tests.integration.ops_rig import ops, run_here, run_ops

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_teaches_by_examples(command: str) -> None:
    """Each command's help says what it does and shows examples, and needs no environment."""
    ended = run_here({}, command, "--help")

    assert (0, "") == (ended.code, ended.err)
    assert COMMANDS[command][1][1:] in ended.out
    assert f"python -m ops {command}" in ended.out


def test_what_is_not_understood_is_a_usage_error() -> None:
    """No command, an unknown one, and an unknown option end with 2 and a word on stderr."""
    for arguments in ([], ["fly"], ["status", "--fast"]):
        ended = run_here({}, *arguments)
        assert (arguments, 2, "") == (arguments, ended.code, ended.out)
        assert "usage: python -m ops" in ended.err


def test_a_missing_environment_is_told() -> None:
    """Without variables the answer says which is missing and how to give them, also as JSON."""
    ended = run_ops({}, "sweep-now")
    as_json = run_here({}, "sweep-now", "--json")

    assert (2, "") == (ended.code, ended.out)
    assert "PROJECT_ID is not set" in ended.err
    assert "--environment FILE" in ended.err
    assert "usage" == as_json.json["error"]["code"]


def test_the_file_that_the_stack_writes_is_enough(stack: Stack) -> None:
    """--environment takes what the local stack, or terraform output, writes; the file is its owner's alone."""
    path = write_file(stack)

    ended = run_ops({}, "--environment", path, "pause", "--json")
    again = run_here({}, "resume", "--json", "--environment", path)

    assert (0, "PAUSED") == (ended.code, ended.json["state"])
    assert (0, "ENABLED") == (again.code, again.json["state"])
    assert 0o600 == path.stat().st_mode & 0o777


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    """A missing file, one that is not JSON, and one with other values are usage errors."""
    not_json, nested = tmp_path / "a.json", tmp_path / "b.json"
    not_json.write_text("PROJECT_ID=x")
    nested.write_text(json.dumps({"PROJECT_ID": {"value": "x"}}))

    for path in (tmp_path / "missing.json", not_json, nested):
        assert (path.name, 2) == (path.name, run_here({}, "--environment", path, "status").code)


def test_a_refusal_of_google_is_told_in_a_line(stack: Stack) -> None:
    """What Google refuses ends with 1 and its own word, without a traceback."""
    stack.faults.inject(Fault("scheduler", "PauseJob", status=403, message="lacks cloudscheduler.jobs.pause"))

    ended = ops(stack, "pause")

    assert (1, "") == (ended.code, ended.out)
    assert "google-refused: Google answered 403: lacks cloudscheduler.jobs.pause\n" == ended.err


def test_a_reader_that_has_had_enough_ends_it() -> None:
    """An output that nobody reads any more ends the command without a traceback."""
    line = f"{sys.executable} -u -m ops cost --json | true"

    ended = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=90)

    assert "" == ended.stderr
