"""The whole product on one machine: Google's stand-ins, the demo CRM, the front, and the four functions behind it.

Owns their start and end, and the handles by which tests, the demo and benchmarks use them. Never imports the
product: it runs it, as functions-framework does.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

import requests

from local import browser, environment
from local.clock import LocalClock
from local.control import Control, compose
from local.crm.app import CrmApp, FunctionUrls
from local.crm.inside import Inside
from local.crm.issuer import CrmIssuer
from local.crm.people import BACKEND, USERS, Person
from local.crm.records import Records
from local.crm.webhook import Webhook
from local.doings import Doings
from local.faults import Faults
from local.front import Front, Route
from local.functions import FunctionProcess
from local.google import Google, Kind
from local.happenings import Happenings
from local.http import HttpServer
from local.ledger import Ledger

ALL_FEATURES = ("mail", "mailmagnet", "actions", "labels")
_TIMEOUT_S = 60.0
# A watch pushes at most once a second a mailbox; what comes sooner has no push of its own.
_PUSH_INTERVAL_S = 1.1


class CallFailed(Exception):
    """A call that had to succeed did not; the text says which, and how it was answered."""


class Stack:
    """Starts everything when entered, and stops it at the end.

    ``directory`` keeps logs and the clock; a temporary one where none is given. ``people`` have a Google account each.
    With ``webhook`` the demo CRM has one. ``inside`` is its side panel, which can move the clock.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        firestore: Kind = "embedded",
        pubsub: Kind = "embedded",
        automatic_jobs: bool = False,
        crm_port: int = 0,
        front_port: int = 0,
        extra_environment: Mapping[str, str] | None = None,
        request_log: Path | None = None,
        webhook: bool = False,
        inside: bool = True,
    ) -> None:
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="gmail-in-crm-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self._options: dict[str, Any] = {"firestore": firestore, "pubsub": pubsub, "automatic_jobs": automatic_jobs}
        self._ports = (crm_port, front_port)
        self._request_log = request_log or self.directory / "requests.log"
        self._extra = dict(extra_environment or {})
        self._has_webhook, self._has_inside = webhook, inside
        self._keys = environment.DeploymentKeys()
        self._servers: list[HttpServer | Front] = []
        self.functions: dict[str, FunctionProcess] = {}
        self.people: dict[str, Person] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends functions, servers and stand-ins, and removes a temporary directory. Doing it twice does nothing."""
        with ThreadPoolExecutor(len(environment.FUNCTIONS)) as pool:
            list(pool.map(FunctionProcess.stop, self.functions.values()))
        self.functions.clear()
        while self._servers:
            self._servers.pop().stop()
        if hasattr(self, "google"):
            self.google.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    # Its parts

    @property
    def clock(self) -> LocalClock:
        return self.google.clock

    @property
    def ledger(self) -> Ledger:
        return self.google.ledger

    @property
    def faults(self) -> Faults:
        return self.google.faults

    def log_file(self, function: str) -> Path:
        """Where a function writes its log."""
        return self.directory / f"{function}.log"

    def documents(self) -> dict[str, dict[str, Any]]:
        """All documents by path; of the official emulator with their values as REST shows them."""
        return self.google.firestore.dump()

    # People

    def add_person(
        self,
        user_id: str,
        *,
        name: str = "",
        email: str = "",
        role: str = "sales",
        permissions: Sequence[str] = ("mail_integration",),
    ) -> Person:
        """A CRM user more, with a Google account of the same address."""
        address = email or f"{user_id}@demo-crm.example"
        person = Person(user_id, name or user_id.title(), address, role, tuple(permissions))
        self.people[user_id] = person
        self.google.add_account(person.email, person.name)
        return person

    def token(self, user: str, **overrides: Any) -> str:
        """The CRM's token of a user; ``overrides`` as for ``CrmIssuer.token``."""
        person = self.people[user]
        claims: dict[str, Any] = {"role": person.role, "permissions": person.permissions, "email": person.email}
        return self.issuer.token(person.id, **(claims | overrides))

    # Calls

    def url(self, path: str) -> str:
        """The address of ``/function/route`` as callers use it."""
        return f"{self.front.url}{path}"

    def call(
        self,
        user: str | None,
        method: str,
        path: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = _TIMEOUT_S,
        **options: Any,
    ) -> requests.Response:
        """Calls ``/function/route`` with the user's token, or without one; ``options`` go to ``requests``."""
        sent = dict(headers or {})
        if user is not None:
            sent.setdefault("Authorization", f"Bearer {self.token(user)}")
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method,
                self.url(path),
                json=json,
                headers=sent,
                timeout=timeout_s,
                **{"allow_redirects": False, **options},
            )

    def ask(self, user: str, method: str, path: str, *, json: Any = None, **options: Any) -> Any:
        """The JSON of a call that must succeed, None where it has no body. Raises CallFailed."""
        response = self.call(user, method, path, json=json, **options)
        if not response.ok:
            raise CallFailed(f"{method} {path} answered {response.status_code}: {response.text[:500]}")
        return response.json() if response.content else None

    def connect(
        self,
        user: str,
        *,
        features: Sequence[str] = ALL_FEATURES,
        address: str | None = None,
        untick: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Takes a user through consent, redirect and claim, as the CRM's page does; returns the connection."""
        asked = {"return_to": f"{self.crm_url}/connected", "features": list(features)}
        started = self.ask(user, "POST", "/oauth_callback/authorize", json=asked)
        returned = self.consent(started["url"], address or self.people[user].email, untick=untick)
        if "ticket" not in returned:
            raise CallFailed(f"the consent came back with {returned}")
        body = {"ticket": returned["ticket"]}
        claimed: dict[str, Any] = self.ask(user, "POST", "/oauth_callback/connection", json=body)
        return claimed

    def consent(self, auth_url: str, address: str, *, untick: Sequence[str] = (), deny: bool = False) -> dict[str, str]:
        """Goes through Google's page and ``/callback``; returns what the CRM finds in the fragment."""
        location = browser.consent(auth_url, address, untick=untick, deny=deny)
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(location, allow_redirects=False, timeout=_TIMEOUT_S)
        return dict(parse_qsl(answer.headers.get("Location", "").partition("#")[2]))

    def switch_on(self, user: str, **settings: Any) -> None:
        """Changes a user's settings (MailMagnet and labels if none is named) and waits until what follows is done."""
        wanted = settings or {"mailmagnet": True, "labels": True}
        self.ask(user, "PATCH", "/oauth_callback/connection", json=wanted)
        self.settle()

    def load_directory(self, records: Mapping[str, Any] | None = None) -> Any:
        """Writes the CRM's records as its back end does; the demo's own where none are given."""
        if records is None:
            self.records.renew(self.clock.now().date())
        wanted = self.records.all() if records is None else records
        return self.ask(BACKEND.id, "POST", "/mail_proxy/directory", json=wanted)

    # Mail and time

    def mail(
        self,
        to: str,
        sender: str,
        subject: str = "Hello",
        *,
        auth: str | None = None,
        labels: Sequence[str] = ("INBOX", "UNREAD"),
        at: datetime | None = None,
        **parts: Any,
    ) -> str:
        """Delivers a mail to a user (id or address) and returns Gmail's id; ``parts`` as ``POST /mail`` takes them."""
        address = self.people[to].email if to in self.people else to
        body = {"from": sender, "subject": subject, "text": "Hello!", **parts}
        raw = compose(body, [address], at or self.clock.now())
        return next(iter(self.deliver(raw, to=address, auth=auth, labels=labels, at=at).values()))

    def deliver(
        self,
        raw: bytes,
        *,
        to: str | Sequence[str],
        auth: str | None = None,
        labels: Sequence[str] = ("INBOX", "UNREAD"),
        at: datetime | None = None,
    ) -> dict[str, str]:
        """Delivers as ``GmailService.deliver``, late enough that the mail has a push of its own."""
        self.clock.advance(_PUSH_INTERVAL_S)
        return self.google.gmail.deliver(raw, to=to, auth=auth, labels=labels, at=at)

    def labels_of(self, user: str, mail_id: str) -> set[str]:
        """The names of the labels that a mail has now in the user's mailbox, as Gmail's page shows them."""
        mailbox = self.google.gmail.mailbox(self.people[user].email)
        with mailbox.lock:
            return {str(mailbox.labels.one(label)["name"]) for label in mailbox.message(mail_id).labels}

    def label_names(self, user: str) -> set[str]:
        """The names of all labels of the user's mailbox."""
        mailbox = self.google.gmail.mailbox(self.people[user].email)
        with mailbox.lock:
            return {str(label["name"]) for label in mailbox.labels.as_json()}

    def advance(self, seconds: float) -> datetime:
        """Moves the clock forward and returns the time."""
        return self.clock.advance(seconds)

    def settle(self, timeout_s: float = 30.0) -> None:
        """Waits until no push and no task is under way. Raises TimeoutError."""
        self.google.settle(timeout_s)

    def catch_up(self, within_s: float) -> None:
        """Lets everything run that is due within the time, moving the clock from one task to the next."""
        until = self.clock.now() + timedelta(seconds=within_s)
        self.settle()
        while due := [at for task in self.google.tasks.pending() if (at := task.schedule_time) <= until]:
            self.advance(max(0.0, (min(due) - self.clock.now()).total_seconds()))
            self.settle()

    def run_job(self, name: str) -> None:
        """Fires a scheduler job (``label-sweep``, ``magnet-renew``, ``housekeeping``) and waits for what follows."""
        self.google.run_job(name)
        self.settle()

    def sweep(self) -> None:
        """The scheduler fires, dispatch finds what is due, and the sweeps run to their end."""
        self.run_job("label-sweep")

    def reset(self) -> None:
        """Empties everything, and brings the demo's people back."""
        self.settle()
        self.google.reset()
        self.records.renew(self.clock.now().date())
        self._add_people()

    # Start

    def _start(self) -> None:
        self.google = Google(self.directory, **self._options)
        self.issuer = CrmIssuer(self.clock)
        self.records = Records(self.clock.now().date())
        self.crm = CrmApp(self.issuer, self.records.all)
        self._watch()
        self.crm_url = self._serve(HttpServer(self.crm.app, self._ports[0])).url
        self.control_url = self._serve(HttpServer(Control(self.clock, self.faults, self.ledger, self).app)).url
        certs = f"{self.google.oauth_server.url}/oauth2/v3/certs"
        self.front = Front(self.clock, certs, self._request_log, port=self._ports[1])
        self.front.observe = self.happenings.note_request
        self._servers.append(self.front)
        self.crm.functions = FunctionUrls(self.front.url_of("oauth_callback"), self.front.url_of("mail_proxy"))
        self.addresses = self._addresses()
        self.google.set_up(self.addresses)
        self._start_functions()
        self._add_people()

    def _watch(self) -> None:
        """Lets the demo CRM's side panel see what happens, and hear the webhook's news."""
        self.happenings = Happenings(self.clock)
        if self._has_inside:
            self.happenings.watch(self.google)
            self.crm.show_inside(Inside(self.happenings, Doings(self)))
        if self._has_webhook:
            self.crm.webhook = Webhook(self._keys.webhook, self.clock.now)
            self.crm.heard = lambda kind: self.happenings.add("webhook", kind, "demo CRM", status=204)

    def _serve(self, server: HttpServer) -> HttpServer:
        self._servers.append(server)
        return server

    def _addresses(self) -> environment.Addresses:
        return environment.Addresses(
            front=self.front.url,
            oauth=self.google.oauth_server.url,
            gmail=self.google.gmail_server.url,
            firestore=self.google.firestore.address,
            secret_manager=self.google.secrets.address,
            cloud_tasks=self.google.tasks.address,
            crm=self.crm_url,
        )

    def _start_functions(self) -> None:
        crm = environment.Crm(issuer=self.issuer.issuer, audience=self.issuer.audience, tenant=self.issuer.tenant)
        clock_file = str(self.clock.offset_file)
        webhook_url = f"{self.crm_url}/webhook" if self._has_webhook else ""
        for name in environment.FUNCTIONS:
            variables = environment.function_environment(name, self.addresses, crm, self._keys, clock_file, webhook_url)
            self.functions[name] = FunctionProcess(name, variables | self._extra, self.log_file(name))
        with ThreadPoolExecutor(len(environment.FUNCTIONS)) as pool:
            list(pool.map(FunctionProcess.start, self.functions.values()))
        for name, process in self.functions.items():
            self.front.add(Route(name, [process.url], environment.INVOKERS.get(name)))

    def _add_people(self) -> None:
        self.people = {BACKEND.id: BACKEND}
        for person in USERS:
            self.people[person.id] = person
            self.google.add_account(person.email, person.name)
