"""Each function's archive holds what it needs and nothing else, and runs on its own: unpacked, installed, started."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
import pytest
import requests

from common.auth import REMOVED_SIGNATURE
from local.functions import FunctionFailed, FunctionProcess
from tests.terraform import hcl
from tests.terraform.archives import (
    MANIFEST,
    IndexUnreachable,
    archive_files,
    install,
    pack,
    requirements,
    unpack,
)
from tests.terraform.told import told_plainly, told_secretly
from tests.unit.import_graph import FUNCTIONS, ROOT, files_of_function

PUBLIC = {"oauth_callback": ("POST", "/authorize"), "mail_proxy": ("POST", "/messages/search")}
# A route of each function that takes a service account's token alone.
INTERNAL = {
    "oauth_callback": "/tasks/housekeeping",
    "mail_proxy": "/tasks/send",
    "magnet_ingest": "/",
    "label_sweep": "/",
}
KEY = base64.b64encode(bytes(range(32))).decode()
SECRETS = {
    "hmac_key": KEY,
    "sealing_keys": f"{KEY},{KEY}",
    "webhook_key": KEY,
    "oauth_client_secret": "made-up",
}

Install = Callable[[str], Path]


def environment_of(function: str) -> dict[str, str]:
    """What Terraform sets for the function, by name; the values are made up, and limits are at their defaults."""
    told = {name: value for name, value in told_plainly(function).items() if value}
    made_up = {name: _made_up(name, value) for name, value in told.items()}
    # One of the two gives the CRM's keys.
    made_up.pop("CRM_JWKS_URL", None)
    return made_up | {name.upper(): SECRETS[name] for name in told_secretly(function)}


def _made_up(name: str, value: str) -> str:
    if name == "CRM_JWKS":
        return json.dumps({"keys": []})
    if name == "THREADS":
        return "4"
    if value.strip('"').isalnum():
        return value.strip('"')
    if name.endswith("_SERVICE_ACCOUNT"):
        return f"{name.lower().replace('_', '-')}@made-up.iam.gserviceaccount.com"
    return f"https://{name.lower().replace('_', '-')}.example" if name.endswith(("_URL", "_URI")) else "made-up"


@pytest.fixture(scope="module")
def installed() -> Iterator[Install]:
    """Gives a function the Python of a clean environment of its requirements; those of the same list share one."""
    made: dict[tuple[str, ...], Path] = {}

    def python_for(function: str) -> Path:
        pins = requirements(function)
        if pins not in made:
            try:
                made[pins] = install(pins, folder / str(len(made)))
            except IndexUnreachable as error:
                pytest.skip(f"SKIPPED LOUDLY: no archive was started, as no package index can be reached here: {error}")
        return made[pins]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield python_for


def unpacked(function: str, folder: Path) -> Path:
    """The archive's files in a folder of their own."""
    pack(function, folder / "source.zip")
    unpack(folder / "source.zip", folder / "source")
    return folder / "source"


@contextmanager
def deployed(function: str, source: Path, python: Path) -> Iterator[FunctionProcess]:
    """The function as it runs from its archive: it sees no other files of the project."""
    process = FunctionProcess(
        function,
        environment_of(function),
        source.parent / "log",
        source=source,
        root=source,
        python=str(python),
    )
    try:
        process.start(timeout_s=120)
        yield process
    finally:
        process.stop()


def unsigned_token(**claims: object) -> str:
    """A token as IAM hands it to a private function: its signature is replaced."""
    signed = jwt.encode({"iss": "https://accounts.google.com", **claims}, "k" * 32, algorithm="HS256")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    return f"{header}.{signed.split('.')[1]}.{REMOVED_SIGNATURE}"


def test_the_manifest_is_read_as_terraform_reads_it() -> None:
    """archives.tf takes each part's files below its folder, and puts ``to`` before their paths."""
    (expression,) = [value for name, value in hcl.local_values().items() if name == "archive_files"]
    parts = [part for parts in json.loads(MANIFEST.read_text()).values() for part in parts]

    assert 'in jsondecode(file("${path.module}/archives.json"))' in expression
    assert 'for path in fileset("${local.root}/${part.folder}", part.files)' in expression
    assert '"${part.to}${path}" => "${local.root}/${part.folder}/${path}"' in expression
    assert [] == [part for part in parts if set(part) != {"folder", "files", "to"}]


def test_every_function_has_an_archive() -> None:
    """The manifest names the four functions, as Terraform's table does."""
    assert set(FUNCTIONS) == set(json.loads(MANIFEST.read_text())) == set(hcl.local_values()["functions"])


def test_functions_are_built_for_the_version_that_is_checked() -> None:
    """The runtime is the version of Python that the project's code is checked for."""
    build = hcl.inner(hcl.resource("google_cloudfunctions2_function", "this"), "build_config")
    target = f'target-version = "{build["runtime"].replace("python", "py")}"'

    assert target in (ROOT / "pyproject.toml").read_text()
    assert "${each.key}" == build["entry_point"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_archive_holds_every_module_that_the_function_imports(function: str) -> None:
    """What is reached from main.py is there, at the path by which it is imported, and main.py itself."""
    files = archive_files(function)
    needed = {
        path.relative_to(
            ROOT if path.is_relative_to(ROOT / "common") else ROOT / "functions" / function
        ).as_posix(): path
        for path in files_of_function(function)
    }

    assert needed == {name: files.get(name) for name in needed}
    assert {"main.py", "requirements.txt"} <= set(files)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_archive_holds_nothing_else(function: str) -> None:
    """Only the function's own files and common's modules: no tests, tools, caches, nor another function's files."""
    own, common = ROOT / "functions" / function, ROOT / "common"
    names = archive_files(function)

    assert {path.name for path in own.iterdir() if path.name != "__pycache__"} == {
        name for name, path in names.items() if path.parent == own
    }
    assert [] == [name for name, path in names.items() if path.parent != own and not path.is_relative_to(common)]
    assert [] == [name for name in names if not name.endswith(".py") and name != "requirements.txt"]
    assert [] == [name for name in names if "__pycache__" in name or "/." in name or name.startswith(".")]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_made_up_environment_is_terraforms(function: str) -> None:
    """The archives are started with the variables that Terraform sets by default, and no others."""
    told = {name for name, value in told_plainly(function).items() if value}

    assert told - {"CRM_JWKS_URL"} | {name.upper() for name in told_secretly(function)} == set(environment_of(function))


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("function", sorted(PUBLIC))
def test_public_archive_runs_on_its_own(function: str, installed: Install, tmp_path: Path) -> None:
    """A public function describes itself to anyone, and answers 401 without a token and to one that IAM has cut."""
    method, path = PUBLIC[function]
    account, audience = _internal_names(function)

    with deployed(function, unpacked(function, tmp_path), installed(function)) as process:
        described = requests.get(f"{process.url}/openapi.json", timeout=60)
        refused = requests.request(method, f"{process.url}{path}", json={}, timeout=60)
        cut = unsigned_token(aud=audience, email=account, email_verified=True, exp=2**33)
        forged = requests.post(
            f"{process.url}{INTERNAL[function]}", headers={"Authorization": f"Bearer {cut}"}, timeout=60
        )

    assert (200, "3.1.0") == (described.status_code, described.json()["openapi"])
    assert path in described.json()["paths"]
    assert (401, "missing-token") == (refused.status_code, refused.json()["code"])
    assert (401, "invalid-token") == (forged.status_code, forged.json()["code"])


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("function", sorted(set(FUNCTIONS) - set(PUBLIC)))
def test_private_archive_runs_on_its_own(function: str, installed: Install, tmp_path: Path) -> None:
    """A private function answers 401 without a token, and to one that IAM has cut but that another account bears."""
    _, audience = _internal_names(function)

    with deployed(function, unpacked(function, tmp_path), installed(function)) as process:
        refused = requests.post(f"{process.url}/", json={}, timeout=60)
        cut = unsigned_token(aud=audience, email="another@made-up.example", email_verified=True, exp=2**33)
        other = requests.post(f"{process.url}/", headers={"Authorization": f"Bearer {cut}"}, timeout=60)
        hidden = requests.get(f"{process.url}/openapi.json", timeout=60)

    assert (401, "missing-token") == (refused.status_code, refused.json()["code"])
    assert (401, "invalid-token") == (other.status_code, other.json()["code"])
    assert 404 == hidden.status_code


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_archive_without_a_module_does_not_run(installed: Install, tmp_path: Path) -> None:
    """What is missing in an archive is not found elsewhere: the function does not come up, and says what it lacks."""
    source = unpacked("label_sweep", tmp_path)
    (source / "common" / "dispatch.py").unlink()

    with (
        pytest.raises(FunctionFailed, match=r"cannot import name 'dispatch'|No module named 'common\.dispatch'"),
        deployed("label_sweep", source, installed("label_sweep")),
    ):
        raise AssertionError("it came up")


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_an_index_that_cannot_be_reached_is_told_from_a_wrong_pin(tmp_path: Path) -> None:
    """Nothing is skipped for a pin that does not exist; only where nobody answers, it is."""
    nobody = ("--index-url", "http://127.0.0.1:9/simple")
    with pytest.raises(IndexUnreachable):
        install(("certifi==1.0",), tmp_path / "unreachable", *nobody)

    shutil.rmtree(tmp_path / "unreachable")
    with pytest.raises(AssertionError):
        install(("certifi==1.0",), tmp_path / "wrong", "--no-index", "--find-links", os.devnull)


def _internal_names(function: str) -> tuple[str, str]:
    """The made-up account and audience of the function's internal route."""
    environment = environment_of(function)
    account = "HOUSEKEEPING_SERVICE_ACCOUNT" if function == "oauth_callback" else "TASKS_SERVICE_ACCOUNT"
    return environment[account], environment[f"{function.upper()}_URL"]
