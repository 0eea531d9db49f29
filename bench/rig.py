"""Owns what the groups of figures share: the running stack, how large a run is, people and mails, calls counted.

Never imports the product.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests

from bench.crowd import encoded, grant
from local import environment
from local.crm.people import ANNA, BACKEND
from local.faults import Fault
from local.functions import ROOT, FunctionProcess
from local.ledger import Call
from local.pubsub import PubSub
from local.stack import Stack
from local.watchdog import watchdog

READONLY: Final = "https://www.googleapis.com/auth/gmail.readonly"
SEARCH: Final = "/mail_proxy/messages/search"
PAGE: Final = {"page_size": 20}
MIA, JONAS, EMILY = "mia@customer.example", "jonas.weber@weber-bau.example", "emily@carter-design.example"
TEXT: Final = "Good morning,\r\n\r\nplease find our answer below.\r\n\r\n" + "All the best from the coast. " * 40
HTML: Final = (
    f"<html><body><p>Good morning,</p><p>{TEXT}</p><p><a href='https://customer.example'>Mia</a></p></body></html>"
)


# The product's own, of a whole mail.
_FIELDS: Final = "id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate,payload"


class Upstream:
    """The running ``bench.upstream``; ``environment`` is what leads a function there."""

    def __init__(self, firestore: str, gmail: str) -> None:
        command = [sys.executable, "-m", "bench.upstream", firestore, gmail]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        watchdog().guard(self._process.pid)
        at = json.loads(self._process.stdout.readline() if self._process.stdout else "")
        self._url = at["gmail"]
        self.environment = {"FIRESTORE_EMULATOR_HOST": at["firestore"], "GMAIL_URL": self._url}

    def set_latency(self, latency_s: float) -> None:
        """How long each of its answers takes from now on."""
        requests.get(f"{self._url}/-/latency/{latency_s}", timeout=5).raise_for_status()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(timeout=5)
        watchdog().release(self._process.pid)


@dataclass
class Rig:
    """A running stack, emptied before each group. ``quick`` asks for small sizes; ``say`` shows progress."""

    stack: Stack
    quick: bool
    say: Callable[[str], None]
    _processes: list[FunctionProcess | Upstream] = field(default_factory=list)

    def size(self, full: int, quick: int) -> int:
        """How often something is repeated."""
        return quick if self.quick else full

    # Mailboxes

    def connected(self) -> Stack:
        """The CRM's records, and Anna connected with her access token in memory."""
        self.stack.load_directory()
        self.stack.connect("anna")
        self.stack.ask("anna", "GET", "/mail_proxy/labels")
        return self.stack

    def sorted(self) -> Stack:
        """The same with MailMagnet and labels on, and nothing left to do."""
        stack = self.connected()
        stack.switch_on("anna")
        stack.catch_up(within_s=900)
        stack.sweep()
        stack.catch_up(within_s=60)
        return stack

    def fill(self, user: str, count: int, sender: str = MIA, html: str = HTML) -> list[str]:
        """Mails of common size in a user's mailbox, without pushes of their own."""
        address = self.stack.people[user].email
        gmail = self.stack.google.gmail
        mails = (mail_of(sender, address, f"Mail {number}", html) for number in range(count))
        return [gmail.deliver(mail, to=address)[address] for mail in mails]

    def deliver_unpushed(self, *senders: str) -> list[str]:
        """Mails to Anna that arrive within one second: Gmail pushes once for all of them."""
        with self.unpushed():
            self.stack.advance(2)
            return [self.fill("anna", 1, sender)[0] for sender in senders]

    @contextmanager
    def unpushed(self) -> Iterator[None]:
        """What happens within the block is pushed only at its end."""
        self.pubsub.pause(environment.SUBSCRIPTION)
        try:
            yield
        finally:
            self.pubsub.resume(environment.SUBSCRIPTION)

    @contextmanager
    def distant(self, latency_s: float) -> Iterator[None]:
        """Within the block each request to Gmail takes so long on its way."""
        app = self.stack.google.gmail.app
        app.latency_s = latency_s
        try:
            yield
        finally:
            app.latency_s = 0.0

    @contextmanager
    def far(self, latency_s: float) -> Iterator[None]:
        """Within the block each request to Gmail, and each to Firestore, takes so long on its way."""
        fault = self.stack.faults.inject(Fault("firestore", delay_s=latency_s, count=1_000_000_000))
        try:
            with self.distant(latency_s):
                yield
        finally:
            self.stack.faults.clear()
        if not fault.struck:
            raise LookupError("nobody asked Firestore")

    def access_token(self, user: str) -> str:
        """An access token of the user's own, as a program that does without the product has one."""
        return grant(self.stack, self.stack.people[user].email, [READONLY]).access_token

    @property
    def pubsub(self) -> PubSub:
        service = self.stack.google.pubsub
        if not isinstance(service, PubSub):
            raise TypeError("the embedded Pub/Sub is needed")
        return service

    def add_colleagues(self, count: int, contact: str = "mia") -> list[str]:
        """Users more, connected, each of whom shares a contact that everyone sees; returns their ids."""
        names = [f"colleague-{number}" for number in range(count)]
        for name in names:
            self.stack.add_person(name)
            self.stack.connect(name, features=("mail",))
            self.stack.ask(name, "PATCH", "/oauth_callback/connection", json={"sharing": "custom"})
            self.stack.ask(name, "PUT", f"/mail_proxy/contacts/{contact}/share")
        return names

    def load_contact(self, contact: str = "mia", address: str = MIA) -> None:
        """One contact that everyone sees."""
        record = {"id": contact, "name": "Mia Schneider", "addresses": [address], "visible_to": ["everyone"]}
        self.stack.ask(BACKEND.id, "POST", "/mail_proxy/directory", json={"contacts": [record]})

    # Counting

    def gmail_calls(self, work: Callable[[], object], mailbox: str | None = ANNA.email) -> list[Call]:
        """The calls to Gmail that a piece of work makes, in one mailbox or in all (None)."""
        mark = self.stack.ledger.mark()
        work()
        return self.stack.ledger.since(mark, service="gmail", mailbox=mailbox)

    def taken(self, work: Callable[[], object]) -> dict[str, int]:
        """What a piece of work takes of each thing that is billed, by the ledger."""
        mark, before = self.stack.ledger.mark(), sum(self.stack.front.counts().values())
        work()
        counts = Counter({"requests": sum(self.stack.front.counts().values()) - before})
        for call in self.stack.ledger.since(mark):
            match call.service, call.method:
                case "gmail", _:
                    counts["gmail_units"] += call.units
                case "firestore", method:
                    counts[f"firestore_{method.rpartition('.')[2]}s"] += call.units
                case "cloudtasks", "CreateTask":
                    counts["tasks"] += 1
                case "secretmanager", "AccessSecretVersion":
                    counts["secret_accesses"] += 1
        return dict(counts)

    # Processes

    def start_upstream(self) -> Upstream:
        """Google at a steady distance, which ``stop_processes`` ends."""
        upstream = Upstream(self.stack.addresses.firestore, self.stack.addresses.gmail)
        self._processes.append(upstream)
        return upstream

    def start_proxy(self, upstream: Upstream) -> FunctionProcess:
        """A mail_proxy that finds Firestore and Gmail there."""
        return self.start("mail_proxy", self.stack.functions["mail_proxy"].env | upstream.environment)

    def start_floor(self, user: str, upstream: Upstream | None = None) -> FunctionProcess:
        """The bare libraries, which read the documents that decide on a user, and mails of that user's."""
        name = encoded(user)
        mailbox = next(path for path in self.stack.documents() if path.startswith("mailboxes/"))
        paths = [f"connections/{name}", f"sync/{name}", f"users/{name}", "policies/organisation", mailbox]
        env = self.stack.functions["mail_proxy"].env | (upstream.environment if upstream else {})
        own = {"FLOOR_DOCUMENTS": ",".join(paths), "FLOOR_TOKEN": self.access_token(user), "FLOOR_FIELDS": _FIELDS}
        return self.start("floor", env | own, baseline_source("floor"))

    def start(self, name: str, env: dict[str, str], source: Path | None = None) -> FunctionProcess:
        """A function process more, which ``stop_processes`` ends."""
        log = self.stack.directory / f"{name}-{len(self._processes)}.log"
        process = FunctionProcess(name, env, log, source=source)
        self._processes.append(process)
        process.start()
        return process

    def stop_processes(self) -> None:
        while self._processes:
            self._processes.pop().stop()


def baseline_source(name: str) -> Path:
    """The folder of one of the functions that figures stand beside."""
    return ROOT / "bench" / "baselines" / name


def mail_of(sender: str, to: str, subject: str, html: str = HTML) -> bytes:
    """A mail with text and HTML, of some kilobytes, as customers write them."""
    head = f"From: Mia Schneider <{sender}>\r\nTo: {to}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
    parts = "".join(
        f'--b\r\nContent-Type: text/{kind}; charset="utf-8"\r\n\r\n{text}\r\n'
        for kind, text in (("plain", TEXT), ("html", html))
    )
    return f'{head}Content-Type: multipart/alternative; boundary="b"\r\n\r\n{parts}--b--\r\n'.encode()


def interleaved(count: int, own: Callable[[], float], base: Callable[[], float]) -> list[tuple[float, float]]:
    """Both results, measured in turn (A B A B …), since the machine is busier at one time than at another."""
    return [(own(), base()) for _ in range(count)]


def wall_ms(work: Callable[[], Any]) -> float:
    """How long a piece of work takes."""
    started_s = time.perf_counter()
    work()
    return (time.perf_counter() - started_s) * 1000


def names_of(calls: Sequence[Call]) -> dict[str, int]:
    """How many calls there are of each method."""
    return dict(Counter(call.method for call in calls))
