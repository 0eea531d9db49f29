"""``terraform/`` is checked as far as can be without a cloud: form, types, its own tests, and checkov's rules."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.terraform.rig import SOURCE, TOOLS, Copy, missing, read_lines, run

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing()), reason=missing() or "nothing is missing"),
]
# A resource with an argument that the provider does not know, and one with a value that it does not take.
_WRONG_ARGUMENT = 'resource "google_pubsub_topic" "wrong" {\n  name = "wrong"\n  nmae = "x"\n}\n'
_WRONG_VALUE = (
    'resource "google_firestore_field" "wrong" {\n  collection = "c"\n  field = "f"\n'
    '  index_config {\n    indexes {\n      order = "SIDEWAYS"\n    }\n  }\n}\n'
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of ``terraform/``, with the providers' real schema."""
    return Copy.make(tmp_path_factory.mktemp("terraform"))


def test_it_is_formatted() -> None:
    """``terraform fmt`` would change nothing, in the examples and tests either."""
    done = run(["terraform", "fmt", "-check", "-recursive", "-diff", str(SOURCE)])

    assert (0, "") == (done.returncode, done.stdout)


def test_it_is_valid(copy: Copy) -> None:
    """Every argument is one that the provider knows, of the type that it takes."""
    done = copy.run("validate", "-json")

    found = json.loads(done.stdout)
    assert (True, []) == (found["valid"], found["diagnostics"])


@pytest.mark.parametrize(
    ("wrong", "told"), [(_WRONG_ARGUMENT, "nmae"), (_WRONG_VALUE, "SIDEWAYS")], ids=["argument", "value"]
)
def test_what_is_wrong_is_found(tmp_path: Path, wrong: str, told: str) -> None:
    """The schema is the real one: an unknown argument and an impossible value are errors."""
    copy = Copy.make(tmp_path)
    (copy.folder / "wrong.tf").write_text(wrong)

    found = json.loads(copy.run("validate", "-json").stdout)

    assert not found["valid"]
    assert told in json.dumps(found["diagnostics"])


def test_its_own_tests_pass(copy: Copy) -> None:
    """Every run of every file in terraform/tests was made, and passed; that none was found would be no success."""
    files = sorted((SOURCE / "tests").glob("*.tftest.hcl"))
    written = sum(len(re.findall(r'^run "', file.read_text(), re.M)) for file in files)

    done = copy.run("test", "-json")

    lines = read_lines(done.stdout)
    summary = next((line["test_summary"] for line in lines if line["type"] == "test_summary"), None)
    complaints = [line["@message"] for line in lines if line["@level"] == "error"]
    assert [] == complaints
    assert {"status": "pass", "passed": written, "failed": 0, "errored": 0, "skipped": 0} == summary
    assert 0 < written


def test_a_broken_promise_is_found(tmp_path: Path) -> None:
    """Terraform's tests can fail: with TRUST_RUN_IAM on a public function, they do."""
    copy = Copy.make(tmp_path)
    functions = copy.folder / "functions.tf"
    kept, broken = (
        "function.is_public ? local.environment_of_public",
        "function.is_public ? local.environment_of_private",
    )
    assert 1 == functions.read_text().count(kept)
    functions.write_text(functions.read_text().replace(kept, broken))

    done = copy.run("test", "-json", "-filter=tests/defaults.tftest.hcl", "-filter=tests/options.tftest.hcl")

    summary = next(line["test_summary"] for line in read_lines(done.stdout) if line["type"] == "test_summary")
    assert "fail" == summary["status"]


def test_checkov_passes(tmp_path: Path) -> None:
    """Checkov finds nothing; each of its rules that is passed over has its reason beside the resource."""
    hidden = shutil.ignore_patterns(".*", "tests", "examples")
    shutil.copytree(SOURCE, tmp_path / "terraform", ignore=hidden)
    command = [str(TOOLS / "checkov"), "-d", str(tmp_path / "terraform"), "--framework", "terraform", "-o", "json"]

    done = run([*command, "--skip-download", "--skip-results-upload", "--compact", "--quiet"])

    found = json.loads(done.stdout)
    assert (0, []) == (done.returncode, [one["check_id"] for one in found["results"]["failed_checks"]])
    assert 0 == found["summary"]["parsing_errors"]
    assert 20 < found["summary"]["passed"]
    skips = [line for file in SOURCE.glob("*.tf") for line in file.read_text().splitlines() if "checkov:skip=" in line]
    assert len(skips) == found["summary"]["skipped"]
    assert [] == [line for line in skips if not re.search(r"checkov:skip=CKV\w+:.{20,}", line)]
