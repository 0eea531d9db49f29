"""Plays the events of a chaos run on a stack, tells the model what was done, and looks at what came of it.

With its bases it owns the one place where the run touches the product: its routes, Gmail's own page, Google's faults.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import requests

from local import environment
from local.crm.people import BACKEND
from local.faults import Fault
from local.pubsub import PubSub
from local.stack import CallFailed, Stack
from tests.chaos.events import BOX_OF, BOXES, Event
from tests.chaos.hands import Hands
from tests.chaos.seeing import Seeing
from tests.chaos.stage import SECRET, TRIES
from tests.integration.webhook_rig import Receiver


class World(Hands, Seeing):
    """A stack under chaos. ``wrong`` has a sentence for each rule found broken."""

    def __init__(self, stack: Stack, receiver: Receiver) -> None:
        super().__init__(stack, receiver)
        receiver.forget()
        stack.reset()
        for user, box in BOX_OF.items():
            if user not in stack.people:
                stack.add_person(user, email=f"{user}@demo-crm.example")
            stack.google.add_account(self.address(box), box)
        for box in BOXES:
            self._projects[box] = stack.google.gmail.person_creates_label(self.address(box), "Projects").id
        self._start_in_midmonth()
        self._write(users=[self._user_record(user) for user in BOX_OF])

    def play(self, event: Event) -> None:
        """Does what the event says, where what it names is there; then looks at what must hold at any time."""
        act: Callable[[Event], None] = getattr(self, f"_play_{event.kind}")
        act(event)
        if not event["rush"]:
            self.settle()
        self._look_at_cursors()

    # The sweep and time

    def _play_sweep(self, event: Event) -> None:
        """Dispatch and sweeps; the hands ``between`` come while Gmail is about to carry out the first step."""
        self.stack.advance(600)
        between = [Event(one.kind, one.args) for one in event["between"] or ()]
        if not between:
            self._run_job("label-sweep")
            return
        fault = self.stack.faults.inject(Fault("gmail", "users.messages.batchModify", delay_s=0.3))
        ended = threading.Event()

        def act() -> None:
            while not fault.struck and not ended.is_set():
                time.sleep(0.005)
            for one in between:
                self._play_hand(one, calm=False)

        thread = threading.Thread(target=act)
        thread.start()
        self._run_job("label-sweep")
        self.settle()
        ended.set()
        thread.join()

    def _play_job(self, event: Event) -> None:
        self._run_job(event["name"])

    def _play_advance(self, event: Event) -> None:
        self.stack.advance(event["seconds"])

    def _play_month(self, event: Event) -> None:
        """The first minutes of the next month, reached in steps in which the daily jobs run."""
        now = self.stack.clock.now()
        turn = (now.replace(day=1, hour=0, minute=1) + timedelta(days=32)).replace(day=1)
        while (left_s := (turn - self.stack.clock.now()).total_seconds()) > 0:
            self.stack.advance(min(left_s, 5 * 86_400.0))
            self._run_job("magnet-renew")
            self._catch_up(3700)
        for user in self.model.users.values():
            user.is_disturbed = True

    def _start_in_midmonth(self) -> None:
        now = self.stack.clock.now()
        middle = now.replace(day=14, hour=9)
        if now.day > 14:
            middle = (now.replace(day=1) + timedelta(days=32)).replace(day=14, hour=9)
        self.stack.advance((middle - now).total_seconds())

    # The directory

    def _play_contact(self, event: Event) -> None:
        told = dict(event.args)
        record = {name: told[name] for name in ("id", "addresses", "owner", "visible_to")}
        self._write(contacts=[{"id": told["id"], "deleted": True} if told["deleted"] else {**record, "name": SECRET}])
        self.model.note_contact(told)

    def _play_deal(self, event: Event) -> None:
        told = dict(event.args)
        first = self.today.replace(day=1)
        closing = {
            "this": first.replace(day=28),
            "next": first + timedelta(days=40),
            "past": first - timedelta(days=40),
            "none": None,
        }[told.pop("closing")]
        told["closing_date"] = closing.isoformat() if closing else None
        record = {name: told[name] for name in ("id", "state", "closing_date", "contacts", "visible_to")}
        self._write(deals=[{"id": told["id"], "deleted": True} if told["deleted"] else record])
        self.model.deals[told["id"]] = told

    def _play_user(self, event: Event) -> None:
        user = self.model.users[event["user"]]
        if user.is_active == event["active"]:
            return
        self.stack.advance(2)
        self._write(users=[self._user_record(event["user"], event["active"])])
        user.is_active, user.is_disturbed = event["active"], True
        self.stack.advance(2)

    def _user_record(self, user: str, active: bool = True) -> dict[str, Any]:
        person = self.stack.people[user]
        return {
            "id": user,
            "active": active,
            "role": person.role,
            "permissions": list(person.permissions),
            "email": person.email,
        }

    def _write(self, **records: list[dict[str, Any]]) -> None:
        self._insist(lambda: self.stack.call(BACKEND.id, "POST", "/mail_proxy/directory", json=records))

    def _insist(self, call: Callable[[], requests.Response]) -> requests.Response:
        """The answer of a call that a client repeats until the trouble is over."""
        for _ in range(TRIES):
            answer = call()
            if answer.status_code < 500 and answer.status_code != 429 and not _is_retryable(answer):
                return answer
            self.stack.advance(31)
        raise CallFailed(f"{answer.request.method} {answer.request.path_url}: {answer.status_code} {answer.text[:200]}")

    # Connections

    def _play_connect(self, event: Event) -> None:
        name = event["user"]
        user = self.model.users[name]
        if not user.is_active:
            return
        for _ in range(TRIES):
            try:
                self.stack.connect(name, address=self.address(BOX_OF[name]))
                break
            except (CallFailed, requests.RequestException, KeyError):
                self.stack.advance(31)
        else:
            raise CallFailed(f"{name} cannot connect")
        if not user.is_connected:
            user.mailmagnet = user.labels = False
        user.is_connected, user.is_revoked, user.is_disturbed = True, False, True

    def _play_deactivate(self, event: Event) -> None:
        user = self.model.users[event["user"]]
        if not user.is_active or not user.is_connected:
            return
        self.settle()
        self._insist(lambda: self.stack.call(event["user"], "DELETE", "/oauth_callback/connection"))
        self.model.users[event["user"]] = type(user)(user.role, is_disturbed=True)
        self._cursors.pop(event["user"], None)

    def _play_revoke(self, event: Event) -> None:
        """The person takes the grant back at Google: for a team's mailbox, everybody's."""
        box = BOX_OF[event["user"]]
        self.stack.google.accounts.revoke_account(self.address(box))
        for name in BOXES[box]:
            user = self.model.users[name]
            if user.is_connected:
                user.is_revoked = user.is_disturbed = True

    def _play_switch(self, event: Event) -> None:
        name = event["user"]
        user = self.model.users[name]
        if not user.is_active or not user.is_connected or user.is_revoked:
            return
        settings = {key: event[key] for key in ("mailmagnet", "labels") if event[key] is not None}
        is_calm = self._is_calm()
        answer = self._insist(lambda: self.stack.call(name, "PATCH", "/oauth_callback/connection", json=settings))
        if answer.status_code >= 400:
            return
        former, begins = user.labels, not user.mailmagnet and settings.get("mailmagnet", False)
        user.mailmagnet = settings.get("mailmagnet", user.mailmagnet)
        user.labels = settings.get("labels", user.labels) and user.mailmagnet
        box = BOX_OF[name]
        if begins:
            user.is_disturbed = True
            self._cursors.pop(name, None)
        is_anew = user.labels and (not former or begins) and (begins or self.model.last_filer.get(box) != name)
        if is_anew or (former and not user.labels and not is_calm) or (former and not user.mailmagnet):
            self._begin_anew(box)
        if not user.mailmagnet:
            self._cursors.pop(name, None)
            self.model.last_filer.pop(box, None)
        if user.labels:
            self.model.last_filer[box] = name

    def _begin_anew(self, box: str) -> None:
        """From here on nobody knows what hands did before: what lies where it lies is where people left it."""
        self.settle()
        self._learn_labels()
        labels = self._labels(box)
        for mail in self.model.mails_of(box):
            mail.places, mail.is_loose = self.model.places_of(box, labels[mail.mail_id]), True

    def _play_back(self, event: Event) -> None:
        """A user who left, was suspended or turned something off is there again, with everything on."""
        told = {"user": event["user"]}
        self._play_user(Event("user", {**told, "active": True}))
        user = self.model.users[event["user"]]
        if user.is_revoked or not user.is_connected:
            self._play_connect(Event("connect", told))
        if not user.mailmagnet or not self.model.users[event["user"]].labels:
            self._play_switch(Event("switch", {**told, "mailmagnet": True, "labels": True}))

    # Google's weather

    def _play_fault(self, event: Event) -> None:
        told: dict[str, Any] = {name: event[name] for name in ("service", "method", "count", "skip")}
        at = (self.stack.clock.now() + timedelta(seconds=90)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        limit = "rateLimitExceeded"
        how: dict[str, dict[str, Any]] = {
            "hint": {"status": 429, "reason": limit, "message": f"User-rate limit exceeded.  Retry after {at}"},
            "limit": {"status": 403, "reason": "userRateLimitExceeded", "message": "User Rate Limit Exceeded"},
            "concurrent": {"status": 429, "reason": limit, "message": "Too many concurrent requests for user"},
            "500": {"status": 500, "reason": "backendError"},
            "lost": {"drop_answer": True},
        }  # fmt: skip
        self.stack.faults.inject(Fault(**told, **(how.get(event["how"]) or {"status": int(event["how"])})))

    def _play_expire(self, event: Event) -> None:
        self.stack.google.gmail.expire_history(self.address(event["box"]))
        for mail in self.model.mails_of(event["box"]):
            mail.is_loose = mail.is_loose or mail.moved_since_peace

    def _play_push(self, event: Event) -> None:
        pubsub = self._pubsub
        match event["act"]:
            case "hold":
                pubsub.pause(environment.SUBSCRIPTION)
            case "let go":
                pubsub.resume(environment.SUBSCRIPTION, reverse=True)
            case _:
                messages = pubsub.messages(environment.TOPIC)
                if messages:
                    pubsub.redeliver(messages[-1 - event["back"] % len(messages)].message_id, event["times"])

    def _play_task(self, event: Event) -> None:
        """A task of a while ago is delivered once more."""
        private = [one for one in self.stack.google.tasks.payload_log if _function_of(one.url) in environment.INVOKERS]
        if not private:
            return
        task = private[-1 - event["back"] % len(private)]
        audience = self.stack.url(f"/{_function_of(task.url)}")
        token = self.stack.google.tokens.mint(environment.TASKS, audience)
        path = task.url.removeprefix(self.stack.front.url)
        headers = {**task.headers, "Authorization": f"Bearer {token}"}
        self.stack.call(None, "POST", path, headers=headers, data=task.body)

    def _play_webhook(self, event: Event) -> None:
        self.receiver.statuses += [503] * event["failures"]

    @property
    def _pubsub(self) -> PubSub:
        service = self.stack.google.pubsub
        assert isinstance(service, PubSub)
        return service

    # Peace

    def _play_peace(self, _: Event) -> None:
        """The weather clears, a day passes with all its jobs, and then everything must be as it should."""
        self.stack.faults.clear()
        self.receiver.statuses.clear()
        self._pubsub.resume(environment.SUBSCRIPTION)
        self._catch_up(7300)
        self.stack.advance(86_400)
        for job in ("magnet-renew", "housekeeping"):
            self._run_job(job)
            self._catch_up(3700)
        for _sweep in range(2):
            self.stack.advance(600)
            self._run_job("label-sweep")
            self._catch_up(120)
        self._learn_labels()
        self.wrong += self.model.wrong(self._see(), self.stack.clock.now())
        self._look_for_moves()
        self._look_for_words()
        self.model.be_at_peace()


def _function_of(url: str) -> str:
    return url.split("/")[3] if url.count("/") >= 3 else ""


def _is_retryable(answer: requests.Response) -> bool:
    is_problem = "problem+json" in answer.headers.get("Content-Type", "")
    return answer.status_code >= 400 and is_problem and bool(answer.json().get("retryable"))
