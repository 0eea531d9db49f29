"""What all parts of a chaos run stand on: the stack, the model, time that passes, and what a mailbox holds."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

from local.stack import Stack
from tests.chaos.events import BOX_OF, STRANGER
from tests.chaos.model import Mail, Model
from tests.integration.webhook_rig import Receiver

SECRET: Final = "qzx9chaoscanary"
TRIES: Final = 40


class Stage:
    """A stack, and the model of what was done on it. ``wrong`` has a sentence for each rule found broken."""

    def __init__(self, stack: Stack, receiver: Receiver) -> None:
        self.stack, self.receiver = stack, receiver
        self.model = Model()
        self.wrong: list[str] = []
        self._projects: dict[str, str] = {}
        self._cursors: dict[str, int] = {}

    @staticmethod
    def address(box: str) -> str:
        return f"{box}@demo-crm.example"

    @property
    def today(self) -> date:
        return self.stack.clock.now().date()

    def settle(self) -> None:
        """Waits until nothing is under way, and lets time pass where something waits for it."""
        for _ in range(TRIES):
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

    def _run_job(self, name: str) -> None:
        self.stack.google.run_job(name)

    def _labels(self, box: str) -> dict[str, frozenset[str]]:
        mailbox = self.stack.google.gmail.mailbox(self.address(box))
        with mailbox.lock:
            return {mail_id: frozenset(message.labels) for mail_id, message in mailbox.messages.items()}

    def _learn_labels(self) -> None:
        """Which labels are ours is what the connections say, as long as they are in the mailbox."""
        for user, box in BOX_OF.items():
            record = self.stack.documents().get(f"connections/{encoded(user)}")
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
        return self.stack.documents().get(f"connections/{encoded(filer)}/notices/{encoded(mail.mail_id)}")


def encoded(text: str) -> str:
    """An id as it stands in names of documents."""
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decoded(name: str) -> str:
    """The id that a document's name stands for."""
    return base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
