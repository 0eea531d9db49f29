"""The front ends' client (gmail-client.js): played by Node against the running functions, and its types."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from local.functions import ROOT
from local.stack import Stack
from tests.integration.magnet_rig import MIA, start_magnet
from tests.integration.sending_rig import files_of, mail, received

pytestmark = pytest.mark.integration

TOOLS = ROOT / "tests" / "client"
STATIC = ROOT / "local" / "crm" / "static"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
Play = Callable[..., Any]


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"SKIPPED LOUDLY: no {name} here: the front ends' client is not checked")
    return found


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client and what checks it."""
    folder = tmp_path_factory.mktemp("client")
    for source in [*STATIC.glob("gmail-*.js"), *TOOLS.iterdir()]:
        shutil.copy(source, folder)
    return folder


@pytest.fixture
def play(stack: Stack, workshop: Path) -> Play:
    """Plays a scenario as Anna, whose mailbox is connected, and returns what it tells."""
    node = tool("node")
    stack.google.add_account(MIA, "Mia Schneider")
    stack.load_directory()
    stack.connect("anna")

    def run(scenario: str, **given: Any) -> Any:
        urls = {name: stack.front.url_of(name) for name in ("oauth_callback", "mail_proxy")}
        told = json.dumps({"urls": urls, "token": stack.token("anna"), **given})
        command = [node, "scenarios.mjs", scenario]
        ended = subprocess.run(command, cwd=workshop, input=told, capture_output=True, text=True, timeout=60)
        assert "" == ended.stderr
        return json.loads(ended.stdout)

    return run


def test_reading_is_tried_again_as_retry_after_says(play: Play) -> None:
    """A request that only reads is repeated after just the seconds that the answer names."""
    assert {"tries": 3, "pauses": [1, 2], "inbox": True} == play("reading_again")


def test_a_search_is_tried_again(play: Play) -> None:
    """A search, though a POST, is repeated where no answer came."""
    assert {"tries": 2, "messages": []} == play("searching_again")


def test_a_long_wait_is_the_callers_to_decide(play: Play) -> None:
    """Nothing is repeated that would have the user wait for minutes: the problem says for how long."""
    assert {"problem": [503, "instance-busy", True, 120], "tries": 1} == play("waiting_too_long")


def test_tries_are_bounded(play: Play) -> None:
    """After four tries without an answer the client gives up, with a problem of its own."""
    assert {"problem": [0, "network", True, None], "tries": 4} == play("giving_up")


def test_a_change_is_not_repeated(play: Play) -> None:
    """What changes something is asked for once, since its answer may have been lost."""
    assert {"problem": [503, "instance-busy", True, None], "tries": 1} == play("changing_once")


def test_answers_that_are_problems_are_thrown(play: Play) -> None:
    """Status, code and whether to try again come from problem+json."""
    expected = [
        [404, "not-found", False, None],
        [400, "invalid-body", False, None],
        [403, "administrators-only", False, None],
    ]
    assert expected == play("problems")


def test_a_mail_goes_out_once(play: Play, stack: Stack) -> None:
    """A send whose answer was lost is repeated under its key, and the customer has one mail, with its file."""
    told = play("sending_once", message=mail())

    assert {"state": "sent", "tries": 2, "keys": 1, "same": True} == told
    assert [{"Angebot.pdf": b"%PDF"}] == [files_of(one) for one in received(stack)]


def test_pages_come_as_they_are_asked_for(play: Play, stack: Stack) -> None:
    """Lists are gone through page by page: the user's mail, and that of a contact."""
    for number in range(5):
        stack.mail("anna", MIA, f"Mail {number}")

    told = play("paging")

    assert [["Mail 4", "Mail 3"], ["Mail 2", "Mail 1"], ["Mail 0"]] == told["subjects"]
    assert ["Mail 4", "Mail 3", "Mail 2", "Mail 1", "Mail 0"] == told["contact"]


def test_a_page_that_failed_can_be_asked_for_again(play: Play, stack: Stack) -> None:
    """Trouble with a page loses no page."""
    for number in range(4):
        stack.mail("anna", MIA, f"Mail {number}")

    assert [["Mail 3", "Mail 2"], ["Mail 1", "Mail 0"], ["any"]] == play("page_again")


def test_a_refused_token_is_replaced_once(play: Play) -> None:
    """Three requests with an old token ask the CRM for one new token; a second refusal is told."""
    told = play("one_new_token")

    assert {"refused": ["none", "stale"], "answers": 3, "never": [401, "invalid-token", False, None]} == told


def test_notices_are_watched_by_their_etag(play: Play, stack: Stack) -> None:
    """The watcher hears of a page when it has changed, and of nothing while the answer is 304."""
    start_magnet(stack)
    for number in range(2):
        stack.mail("anna", MIA, f"Mail {number}")
    stack.settle()

    assert {"unread": [2, 1], "first": 200, "unchanged": True, "others": []} == play("watching")


def test_watching_backs_off(play: Play) -> None:
    """Trouble makes the watcher come less often, and never sooner than Retry-After says."""
    told = play("watching_backs_off")

    assert ["instance-busy"] * 4 + ["invalid-token"] == told["problems"]
    assert [60, 60, 80, 160] == told["pauses"]


def test_a_page_that_could_not_be_drawn_is_told_again(play: Play) -> None:
    """What the watcher's owner failed to take comes once more, though the notices are as they were."""
    assert {"unread": [3, 3], "problems": ["not drawn"]} == play("watching_again")


def test_an_answer_that_is_no_json_is_a_problem(play: Play) -> None:
    """A page in the place of the answer, as proxies give, is told as a Problem, for one answer as for a list."""
    assert [[200, "unknown", False, None]] * 2 == play("not_json")


def test_attachments_are_blobs_with_an_end(play: Play, stack: Stack) -> None:
    """An attachment is a blob URL with its name, and gone once it is revoked; a mail's source is a file, too."""
    name = "Übersicht, neu.txt"
    data = base64.b64encode(b"Preise").decode()
    files = [{"filename": name, "content_type": "text/plain", "data_base64": data}]
    mail_id = stack.mail("anna", MIA, "Preise", attachments=files)

    assert {"filename": name, "shown": "Preise", "gone": "gone", "source": "Preise.eml"} == play(
        "downloading", id=mail_id
    )


def test_inline_images_that_were_left_out_are_put_in(play: Play, stack: Stack) -> None:
    """A mail's HTML gets its images as data, which the frame of a mail can show."""
    image = base64.b64encode(PNG).decode()
    files = [{"filename": "logo.png", "content_type": "image/png", "data_base64": image, "content_id": "logo"}]
    mail_id = stack.mail("anna", MIA, "Logo", html='<p><img src="cid:logo"></p>', attachments=files)

    told = play("inline_images", id=mail_id)

    assert {"before": True, "after": False, "image": f"data:image/png;base64,{image}"} == told


def test_the_client_gives_up_when_told_to(play: Play) -> None:
    """An AbortSignal ends a request, and the wait before the next one."""
    assert {"before": "AbortError", "during": "AbortError"} == play("giving_up_on_wish")


def test_hostile_ids_and_answers_lead_nowhere(play: Play) -> None:
    """An id of dots asks for nothing, an unreadable problem or file name does no harm, and no redirect is followed."""
    told = play("hostile")

    assert {"astray": [[404, "not-found", False, None]] * 3, "asked": 0} == {
        key: told[key] for key in ("astray", "asked")
    }
    assert [400, "unknown", False, None] == told["nothing"]
    assert "%E0%A4%A" == told["filename"]
    assert ["error"] == told["redirects"]


def test_watching_waits_for_as_long_as_it_is_told(play: Play) -> None:
    """A Retry-After of years leads to one request, not to one after the other."""
    assert 1 == play("watching_with_patience")


def test_types_made_from_openapi_yaml_fit_the_client(workshop: Path) -> None:
    """TypeScript's types come from openapi.yaml, and with them tsc finds nothing wrong in the client, strictly."""
    npm = tool("npm")
    run = partial(subprocess.run, cwd=workshop, capture_output=True, text=True, timeout=110)
    installed = run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"])
    tools = workshop / "node_modules" / ".bin"
    generate = [tools / "openapi-typescript", ROOT / "openapi.yaml", "--default-non-nullable=false"]

    made = run([*generate, "-o", "gmail-api.d.ts"])
    checked = run([tools / "tsc", "--project", "tsconfig.json"])

    assert (0, 0, (0, "")) == (installed.returncode, made.returncode, (checked.returncode, checked.stdout))


def test_the_node_tools_are_pinned_and_name_no_registry() -> None:
    """The lock file has every package's hash and no address, so that it serves wherever packages come from."""
    packages = json.loads((TOOLS / "package-lock.json").read_text())["packages"]
    tools = {path: entry for path, entry in packages.items() if path}

    assert [] == [path for path, entry in tools.items() if "resolved" in entry or not entry.get("integrity")]
    assert [] == re.findall(r"https?://\S*registry\S*", (TOOLS / "package-lock.json").read_text())


def test_an_upload_tells_of_its_progress(stack: Stack, browser: Browser) -> None:
    """In a browser the sender sees how much of a mail with files is on its way, up to all of it."""
    stack.load_directory()
    stack.connect("anna")
    given = {"mail_proxy": stack.front.url_of("mail_proxy"), "token": stack.token("anna"), "message": mail()}
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(stack.crm_url)
        told = page.evaluate(
            """async ({ mail_proxy, token, message }) => {
              const { GmailClient } = await import("/static/gmail-client.js");
              const client = new GmailClient({ urls: { mail_proxy }, getToken: async () => token });
              const steps = [];
              const onProgress = (sent, total) => steps.push([sent, total]);
              const file = new File([new Uint8Array(3_000_000)], "plan.bin");
              const { state } = await client.send(message, [file], { onProgress });
              const last = steps.at(-1);
              const wrong = client.send({ ...message, to: [{}] }, [file], { onProgress });
              const stop = new AbortController();
              const stopped = client.send(message, [file], { onProgress: () => stop.abort(), signal: stop.signal });
              const refused = await wrong.catch((one) => one.code);
              return { state, last, refused, stopped: await stopped.catch((one) => one.name) };
            }""",
            given,
        )

    assert ("sent", "invalid-body", "AbortError") == (told["state"], told["refused"], told["stopped"])
    assert told["last"][0] == told["last"][1] > 3_000_000
