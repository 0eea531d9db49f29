"""The samples of docs/integrate.md, run as they stand there against the local stack."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.crm.people import BACKEND
from local.functions import ROOT
from local.stack import Stack
from tests.integration.webhook_rig import Receiver, hooked

pytestmark = pytest.mark.integration

GUIDE = (ROOT / "docs" / "integrate.md").read_text()
# What plays the browser for the opener: the popup says where it was sent, and the ticket comes back by stdin.
BROWSER = """
import { createInterface } from "node:readline";
import { connectGmail } from "./connect.mjs";
const [base, origin, token] = process.argv.slice(2);
globalThis.location = { origin };
globalThis.window = { open: () => ({ close() {}, location: { replace: (url) => console.log(url) } }) };
createInterface({ input: process.stdin }).once("line", (ticket) => {
  const channel = new BroadcastChannel("gmail-connection");
  channel.postMessage({ ticket });
  channel.close();
});
const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
const call = async (method, path, body) =>
  (await fetch(base + path, { method, headers, body: JSON.stringify(body) })).json();
console.log((await connectGmail(call, ["mail"])).status);
process.exit(0);
"""


def sample(name: str) -> str:
    """The code block of the guide that begins with its file's name."""
    found = re.findall(r"```\w+\n(?:#|//) " + re.escape(name) + r"\n(.*?)```", GUIDE, re.DOTALL)
    assert len(found) == 1, name
    return str(found[0])


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def python(_: Path) -> list[str]:
    return [sys.executable, "mint.py"]


def node(_: Path) -> list[str]:
    return [tool("node"), "mint.mjs"]


def go(directory: Path) -> list[str]:
    built = [tool("go"), "build", "-o", "mint", "mint.go"]
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    subprocess.run(built, cwd=directory, env=env, check=True, capture_output=True, timeout=300)
    return ["./mint"]


def run(command: list[str], directory: Path) -> str:
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (ended.returncode, ended.stderr)
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Receiver]]:
    """A stack of its own, with a webhook: its clock is the machine's, by which the samples go."""
    with hooked(tmp_path_factory.mktemp("samples")) as running:
        yield running


@pytest.fixture
def crm(hearing: tuple[Stack, Receiver]) -> Stack:
    """The same, with its directory."""
    stack, _ = hearing
    stack.load_directory()
    return stack


@pytest.mark.parametrize(("name", "command"), [("mint.py", python), ("mint.mjs", node), ("mint.go", go)])
def test_a_minted_token_signs_its_user_in(
    crm: Stack, tmp_path: Path, name: str, command: Callable[[Path], list[str]]
) -> None:
    """Each language's sample mints a token that is taken for its user, and for nothing but its permission."""
    kid, pem = crm.issuer.private_key()
    (tmp_path / "key.pem").write_text(pem)
    (tmp_path / name).write_text(sample(name))
    token = run([*command(tmp_path), "key.pem", kid, "anna", "sales", "mail_integration"], tmp_path)
    headers = {"Authorization": f"Bearer {token}"}

    own = crm.call(None, "GET", "/oauth_callback/connection", headers=headers)
    administrators = crm.call(None, "GET", "/oauth_callback/policy", headers=headers)
    back_ends = crm.call(None, "POST", "/mail_proxy/directory", headers=headers, json={})
    assert [200, 403, 403] == [one.status_code for one in (own, administrators, back_ends)]


def test_the_directory_is_loaded(crm: Stack, tmp_path: Path) -> None:
    """The full load takes every record, and deletes what it did not name."""
    (tmp_path / "load.py").write_text(sample("load.py"))
    told = run([sys.executable, "load.py", crm.url("/mail_proxy"), crm.token(BACKEND.id)], tmp_path)
    contacts = [one for path, one in crm.documents().items() if path.startswith("contacts/")]

    assert 3 == told.count("'ok': True")
    assert 3 == len(told.splitlines())
    assert ["Mia Schneider"] == [one["name"] for one in contacts if not one["deleted"]]


def test_a_popup_hands_over_its_ticket(crm: Stack, tmp_path: Path) -> None:
    """The opener's sample sends the popup to Google, hears the ticket and claims it: the user is connected."""
    (tmp_path / "connect.mjs").write_text(sample("connect.mjs"))
    (tmp_path / "browser.mjs").write_text(BROWSER)
    command = [tool("node"), "browser.mjs", crm.url("/oauth_callback"), crm.crm_url, crm.token("anna")]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdin is not None
        assert page.stdout is not None
        returned = crm.consent(page.stdout.readline().strip(), "anna@demo-crm.example")
        page.stdin.write(f"{returned['ticket']}\n")
        page.stdin.flush()
        said = page.stdout.read().strip()

    assert ("connected", 0) == (said, page.returncode)


def test_the_page_after_consent_is_the_demos() -> None:
    """The guide shows the demo CRM's page to the letter."""
    assert (ROOT / "local" / "crm" / "static" / "connected.js").read_text() == sample("local/crm/static/connected.js")


def test_a_webhooks_news_is_genuine(hearing: tuple[Stack, Receiver], crm: Stack) -> None:
    """The sample takes what the product sends under either key of a rotation, and nothing changed, old or unsigned."""
    _, receiver = hearing
    receiver.forget()
    crm.connect("ben")
    crm.settle()
    headers, body = receiver.requests[0]
    made: dict[str, Any] = {}
    exec(sample("webhook.py"), made)
    is_genuine = made["is_genuine"]
    key, other = crm.functions["magnet_ingest"].env["WEBHOOK_KEY"], base64.b64encode(bytes(32)).decode()

    assert "connection.status" == json.loads(body)["type"]
    assert [True, True, False] == [is_genuine(headers, body, keys) for keys in ([key], [other, key], [other])]
    assert not is_genuine(headers, body + b" ", [key])
    assert not is_genuine({**headers, "webhook-timestamp": "1700000000"}, body, [key])
    assert not is_genuine({}, body, [key])
