"""Plays the events of a chaos run on a stack, tells the model what was done, and looks at what came of it.

Owns the one place where the run touches the product: its routes, Gmail's own page, Google's faults.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import requests

from local import environment
from local.crm.people import BACKEND
from local.faults import Fault
from local.pubsub import PubSub
from local.stack import CallFailed, Stack
from tests.chaos.events import BOX_OF, BOXES, STRANGER, Event
from tests.chaos.model import AWAY, INBOX, NONE, SPAM, TRASH, Mail, Model, Seen
from tests.integration.webhook_rig import Receiver

SECRET: Final = "qzx9chaoscanary"
_NAMES: Final = ("Renamed", "My own name", "Kunden und mehr")
_MODIFIES: Final = ("users.messages.batchModify", "users.messages.modify")
_TRIES: Final = 40


class World:
    """A stack under chaos. ``wrong`` has a sentence for each rule found broken."""

    def __init__(self, stack: Stack, receiver: Receiver) -> None:
        self.stack, self.receiver = stack, receiver
        self.model = Model()
        self.wrong: list[str] = []
        self._projects: dict[str, str] = {}
        self._cursors: dict[str, int] = {}
        self._log_marks = {path: path.stat().st_size for path in self._logs() if path.exists()}
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

    @staticmethod
    def address(box: str) -> str:
        return f"{box}@demo-crm.example"

    def play(self, event: Event) -> None:
        """Does what the event says, where what it names is there; then looks at what must hold at any time."""
        act: Callable[[Event], None] = getattr(self, f"_play_{event.kind}")
        act(event)
        if not event["rush"]:
            self.settle()
        self._look_at_cursors()

    # Mail and hands

    def _play_mail(self, event: Event) -> None:
        box, place = event["box"], event["place"]
        answered = self.model.mails.get(event["answers"] or "")
        reference = f"<{answered.name}@x.example>" if answered else ""
        thread: dict[str, Any] = {"in_reply_to": reference, "references": reference} if reference else {}
        labels = ["UNREAD", *([place] if place in (INBOX, SPAM) else [])]
        mail_id = self.stack.mail(
            self.address(box),
            event["sender"],
            f"{SECRET} subject",
            auth=event["auth"],
            labels=labels,
            text=f"{SECRET} body",
            cc=f"{SECRET}@elsewhere.example",
            message_id=f"<{event['name']}@x.example>",
            **thread,
        )
        self._note_mail(event["name"], box, mail_id, event["sender"], frozenset(labels), event["auth"] == "pass")

    def _play_own_mail(self, event: Event) -> None:
        box, labels = event["box"], event["labels"]
        raw = f"From: {self.address(box)}\r\nTo: {self.address(box)}\r\nSubject: {SECRET}\r\n\r\n{SECRET}\r\n".encode()
        mail_id = self.stack.deliver(raw, to=self.address(box), labels=labels)[self.address(box)]
        self._note_mail(event["name"], box, mail_id, self.address(box), frozenset(labels), True)
        self.model.mails[event["name"]].is_received = False

    def _note_mail(
        self, name: str, box: str, mail_id: str, sender: str, labels: frozenset[str], is_verified: bool
    ) -> None:
        arrival, others = labels & {INBOX, *AWAY}, labels - {INBOX, *AWAY}
        self.model.mails[name] = Mail(
            name, box, mail_id, sender, self.stack.clock.now(), arrival, others, self.model.known_now, is_verified
        )

    def _play_hand(self, event: Event, *, calm: bool | None = None) -> None:
        mail = self.model.mails.get(event["mail"])
        if mail is None:
            return
        is_calm = self._is_calm() if calm is None else calm
        if not is_calm or self.model.filer(mail.box) == "":
            self._learn_labels()
        mailbox = self.stack.google.gmail.mailbox(self.address(mail.box))
        with mailbox.changing():
            before = frozenset(mailbox.message(mail.mail_id).labels)
            add, remove = self._plan_move(mail, event["move"], before)
            notice = self._notice(mail)
            if event["move"] != "delete":
                mailbox.change_labels([mailbox.message(mail.mail_id)], add - before, remove & before)
            after = frozenset(mailbox.message(mail.mail_id).labels)
        if event["move"] == "delete":
            self._delete(mail)
        elif after != before:
            self._note_hand(mail, before, after, notice, is_calm)

    def _plan_move(self, mail: Mail, move: str, labels: frozenset[str]) -> tuple[set[str], set[str]]:
        """The label ids that the hand puts on and takes off; none where the move means nothing for the mail."""
        ours = {category: label for label, category in self.model.ours[mail.box].items()}
        every = {*ours.values(), INBOX}
        is_away, is_own = bool(labels & AWAY), bool(labels & {"SENT", "DRAFT"})
        match move.partition(":"):
            case ("star", _, _):
                return {"STARRED"}, set()
            case ("project", _, _):
                return {self._projects[mail.box]}, set()
            case ("untrash", _, _) if TRASH in labels:
                return {INBOX}, {TRASH}
            case ("unspam", _, _) if SPAM in labels:
                return {INBOX}, {SPAM}
            case _ if is_away or is_own:
                return set(), set()
            case ("archive", _, _):
                return set(), {INBOX}
            case ("inbox", _, _):
                return {INBOX}, every - {INBOX}
            case ("label", _, category) if category in ours:
                return {ours[category]}, every - {ours[category]}
            case ("unlabel", _, _):
                return set(), every - {INBOX}
            case ("trash" | "spam", _, _):
                return {move.upper()}, set()
        return set(), set()

    def _note_hand(
        self, mail: Mail, before: frozenset[str], after: frozenset[str], notice: Mapping[str, Any] | None, calm: bool
    ) -> None:
        """Tells the model, and whether this hand may be taken for a step of the sweep's own."""
        mail.others = after - {INBOX, *AWAY} - self.model.ever_ours[mail.box]
        was, now = self.model.places_of(mail.box, before), self.model.places_of(mail.box, after)
        if was == now:
            return
        filer = self.model.filer(mail.box)
        target = self.model.category(filer, mail.sender, self.today) if filer and mail.is_verified else NONE
        is_under_way = not calm or bool(notice and notice["intent"])
        looks_like_ours = self._looks_like_ours(was, now, target, str(notice["intent"]) if notice else "")
        is_known = notice is not None or (INBOX in mail.arrival and not (was | now) & AWAY and self._drains(mail))
        mail.is_loose = mail.is_loose and not (notice and calm)
        if (is_under_way and looks_like_ours) or not is_known:
            mail.is_loose = True
        mail.was_taken_out = mail.was_taken_out or bool(was & AWAY and not now & AWAY)
        mail.is_moved = mail.moved_since_peace = True
        mail.healing = frozenset() if calm else mail.lost_labels
        mail.places, mail.lost_labels = now, frozenset()

    @staticmethod
    def _looks_like_ours(was: frozenset[str], now: frozenset[str], target: str, intent: str) -> bool:
        meant = {one for one in (target, intent) if one}
        added = now - was
        # What only takes off, the step takes off as well: both come to the same.
        return not added or bool(added & meant) or INBOX in added

    def _drains(self, mail: Mail) -> bool:
        """Whether history will tell of a mail's arrival and of this hand, in this order."""
        filer = self.model.filer(mail.box)
        return bool(filer) and mail.is_new and self.model.notice(filer, mail, self.stack.clock.now()) == "must"

    def _delete(self, mail: Mail) -> None:
        self.stack.google.gmail.person_deletes(self.address(mail.box), mail.mail_id)
        self.model.gone.add(mail.mail_id)
        del self.model.mails[mail.name]

    def _play_label(self, event: Event) -> None:
        self._learn_labels()
        box, category = event["box"], event["category"]
        label = next((one for one, name in self.model.ours[box].items() if name == category), "")
        gmail = self.stack.google.gmail
        if not label:
            return
        if event["act"] == "rename":
            names = {str(one["name"]) for one in gmail.mailbox(self.address(box)).labels.as_json()}
            name = next((one for one in _NAMES if one not in names), "")
            if name:
                gmail.person_renames_label(self.address(box), label, name)
            return
        gmail.person_deletes_label(self.address(box), label)
        del self.model.ours[box][label]
        for mail in self.model.mails_of(box):
            mail.lost_labels |= {category}
            mail.is_loose = mail.is_loose or mail.moved_since_peace

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

    def _run_job(self, name: str) -> None:
        self.stack.google.run_job(name)

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

    @property
    def today(self) -> date:
        return self.stack.clock.now().date()

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
        for _ in range(_TRIES):
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
        for _ in range(_TRIES):
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

    # Peace, and what is seen then

    def settle(self) -> None:
        """Waits until nothing is under way, and lets time pass where something waits for it."""
        for _ in range(_TRIES):
            try:
                self.stack.settle(timeout_s=1)
            except TimeoutError:
                self.stack.advance(15)
            else:
                return
        self.wrong.append("it never settles")

    def _is_calm(self) -> bool:
        return self.stack.google._is_quiet() and not self.stack.faults.waiting() and not self._waits_soon()

    def _waits_soon(self) -> bool:
        until = self.stack.clock.now() + timedelta(minutes=10)
        return any("label_sweep" in one.http_request.url and one.schedule_time < until
                   for one in self.stack.google.tasks.pending())  # fmt: skip

    def _catch_up(self, within_s: float) -> None:
        until = self.stack.clock.now() + timedelta(seconds=within_s)
        self.settle()
        while due := [at for task in self.stack.google.tasks.pending() if (at := task.schedule_time) <= until]:
            self.stack.advance(max(0.0, (min(due) - self.stack.clock.now()).total_seconds()))
            self.settle()

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

    def _look_for_moves(self) -> None:
        """Whatever was to be done has been done: another sweep moves nothing, and its preview says so."""
        for user, told in self.model.users.items():
            if told.is_running and told.labels:
                moves = self.stack.ask(user, "GET", "/mail_proxy/sweep/preview")["moves"]
                self.wrong += [f"{user}: the preview would move {len(moves)}"] if moves else []
        mark = self.stack.ledger.mark()
        self.stack.advance(600)
        self._run_job("label-sweep")
        self._catch_up(60)
        calls = [call for call in self.stack.ledger.since(mark, service="gmail") if call.method in _MODIFIES]
        self.wrong += [f"a second sweep moves mail of {calls[0].mailbox}"] if calls else []

    def _look_for_words(self) -> None:
        """Nothing of a mail stands in a document, a task or a log."""
        needle = SECRET.encode()
        documents = {path: one for path, one in self.stack.documents().items() if not path.startswith("contacts/")}
        places = {"documents": json.dumps(documents, default=str).encode()}
        places["tasks"] = b"".join(one.body for one in self.stack.google.tasks.payload_log)
        for path in filter(Path.exists, self._logs()):
            with path.open("rb") as file:
                file.seek(self._log_marks.get(path, 0))
                places[path.name] = file.read()
        self.wrong += [f"something of a mail stands in {place}" for place, text in places.items() if needle in text]

    def _look_at_cursors(self) -> None:
        """The cursor of a running MailMagnet never moves backwards."""
        for path, record in self.stack.documents().items():
            collection, _, name = path.partition("/")
            if collection != "sync":
                continue
            user, cursor = _decoded(name), int(record["cursor"])
            if cursor < self._cursors.get(user, 0):
                self.wrong.append(f"{user}: the cursor went back from {self._cursors[user]} to {cursor}")
            self._cursors[user] = cursor

    def _see(self) -> Seen:
        notices: dict[str, set[str]] = {}
        held: dict[str, list[str]] = {}
        for path in self.stack.documents():
            parts = path.split("/")
            if parts[0] == "connections" and len(parts) > 2:
                held.setdefault(_decoded(parts[1]), []).append(path)
                if parts[2] == "notices":
                    notices.setdefault(_decoded(parts[1]), set()).add(_decoded(parts[3]))
            elif parts[0] in ("sync", "work"):
                held.setdefault(_decoded(parts[1]), []).append(path)
        told: dict[tuple[str, str], set[str]] = {}
        for headers, body in self.receiver.requests:
            news = json.loads(body)
            if news["type"] == "notice.created":
                told.setdefault((news["data"]["user"], news["data"]["mail_id"]), set()).add(headers["webhook-id"])
        return Seen({box: self._labels(box) for box in BOXES}, notices, held, told)

    def _labels(self, box: str) -> dict[str, frozenset[str]]:
        mailbox = self.stack.google.gmail.mailbox(self.address(box))
        with mailbox.lock:
            return {mail_id: frozenset(message.labels) for mail_id, message in mailbox.messages.items()}

    def _learn_labels(self) -> None:
        """Which labels are ours is what the connections say, as long as they are in the mailbox."""
        for user, box in BOX_OF.items():
            record = self.stack.documents().get(f"connections/{_encoded(user)}")
            if record is None:
                continue
            mailbox = self.stack.google.gmail.mailbox(self.address(box))
            for category, label in record.get("label_ids", {}).items():
                self.model.ever_ours[box].add(label)
                if mailbox.labels.exists(label):
                    self.model.ours[box][label] = category

    def _notice(self, mail: Mail) -> Mapping[str, Any] | None:
        filer = self.model.filer(mail.box)
        if not filer or mail.sender == STRANGER:
            return None
        return self.stack.documents().get(f"connections/{_encoded(filer)}/notices/{_encoded(mail.mail_id)}")

    def _logs(self) -> list[Path]:
        return [self.stack.log_file(name) for name in environment.FUNCTIONS] + [self.stack.directory / "requests.log"]


def _function_of(url: str) -> str:
    return url.split("/")[3] if url.count("/") >= 3 else ""


def _is_retryable(answer: requests.Response) -> bool:
    is_problem = "problem+json" in answer.headers.get("Content-Type", "")
    return answer.status_code >= 400 and is_problem and bool(answer.json().get("retryable"))


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decoded(name: str) -> str:
    return base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
