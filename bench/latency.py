"""Owns the figures of time at a distance: a page of 20, and a contact over many mailboxes, with 60 ms to Google."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from bench.figures import Figure, ratio
from bench.rig import PAGE, SEARCH, Rig, interleaved, wall_ms
from local.functions import ROOT

_LATENCY_S: Final = 0.06
_MAILBOXES: Final = 5


def measure(rig: Rig) -> Iterator[Figure]:
    """Each beside its baseline, in turn. The way to Gmail and the one to Firestore take as long."""
    stack = rig.connected()
    rig.fill("anna", 40)
    rig.load_contact()
    colleagues = rig.add_colleagues(_MAILBOXES - 1)
    for name in colleagues:
        rig.fill(name, 5)
        stack.ask(name, "GET", "/mail_proxy/labels")
    repeats = rig.size(15, 5)
    numbers = itertools.count()
    with Straightforward(rig) as program, rig.far(_LATENCY_S):

        def page_ms() -> float:
            # Another search each time, so that each page is cold.
            asked = {**PAGE, "q": f"-nothing{next(numbers)}"}
            return _unhurried(rig, lambda: stack.ask("anna", "POST", SEARCH, json=asked))

        def program_ms() -> float:
            stack.advance(61)
            return program.page_ms(20)

        def contact_ms(mailboxes: list[str]) -> float:
            asked = {"mailboxes": mailboxes, "page_size": 10}
            path = "/mail_proxy/contacts/mia/emails"
            return _unhurried(rig, lambda: stack.ask("anna", "POST", path, json=asked))

        pages = interleaved(repeats, page_ms, program_ms)
        yield ratio("wall time of a page of 20 at 60 ms over the straightforward program's", pages, "< 0.2")
        everybody = ["anna", *colleagues]
        contacts = interleaved(repeats, lambda: contact_ms(everybody), lambda: contact_ms(["anna"]))
        yield ratio(f"wall time of a contact over {_MAILBOXES} mailboxes over that over 1", contacts, "< 1.5")


def _unhurried(rig: Rig, work: object) -> float:
    """The time of a piece of work that begins with a fresh minute of everybody's quota."""
    rig.stack.advance(61)
    return wall_ms(work)  # type: ignore[arg-type]


class Straightforward:
    """The running baseline program."""

    def __init__(self, rig: Rig) -> None:
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        env |= {"GMAIL_URL": rig.stack.addresses.gmail, "ACCESS_TOKEN": rig.access_token("anna")}
        command = [sys.executable, "-m", "bench.baselines.straightforward"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, text=True)

    def __enter__(self) -> Straightforward:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def page_ms(self, count: int) -> float:
        """How long it takes for a page of so many mails. Raises LookupError where there are fewer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise LookupError("the program was not started with pipes")
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if answer["rows"] != count:
            raise LookupError(f"{answer['rows']} mails on the program's page")
        return float(answer["ms"])
