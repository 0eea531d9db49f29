"""What is looked at in a chaos run: what can be seen from outside, and rules that need no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from local import environment
from local.stack import Stack
from tests.chaos.events import BOXES
from tests.chaos.model import Seen
from tests.chaos.stage import SECRET, Stage, decoded
from tests.integration.webhook_rig import Receiver

_MODIFIES: Final = ("users.messages.batchModify", "users.messages.modify")


class Seeing(Stage):
    """Looks at what came of it all."""

    def __init__(self, stack: Stack, receiver: Receiver) -> None:
        super().__init__(stack, receiver)
        self._log_marks = {path: path.stat().st_size for path in self._logs() if path.exists()}

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
            user, cursor = decoded(name), int(record["cursor"])
            if cursor < self._cursors.get(user, 0):
                self.wrong.append(f"{user}: the cursor went back from {self._cursors[user]} to {cursor}")
            self._cursors[user] = cursor

    def _see(self) -> Seen:
        notices: dict[str, set[str]] = {}
        held: dict[str, list[str]] = {}
        for path in self.stack.documents():
            parts = path.split("/")
            if parts[0] == "connections" and len(parts) > 2:
                held.setdefault(decoded(parts[1]), []).append(path)
                if parts[2] == "notices":
                    notices.setdefault(decoded(parts[1]), set()).add(decoded(parts[3]))
            elif parts[0] in ("sync", "work"):
                held.setdefault(decoded(parts[1]), []).append(path)
        told: dict[tuple[str, str], set[str]] = {}
        for headers, body in self.receiver.requests:
            news = json.loads(body)
            if news["type"] == "notice.created":
                told.setdefault((news["data"]["user"], news["data"]["mail_id"]), set()).add(headers["webhook-id"])
        return Seen({box: self._labels(box) for box in BOXES}, notices, held, told)

    def _logs(self) -> list[Path]:
        return [self.stack.log_file(name) for name in environment.FUNCTIONS] + [self.stack.directory / "requests.log"]
