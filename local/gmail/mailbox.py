"""One mailbox: its messages, threads, drafts, labels and history, behind one lock.

Whoever changes it does so inside ``changing()``; the records that came of it are handed to ``notify`` once the lock is
free again. Knows nothing of HTTP, tokens or quota.
"""

from __future__ import annotations

import re
import secrets
import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from local.gmail import wire
from local.gmail.errors import invalid_argument, not_found
from local.gmail.history import History, Kind, Record
from local.gmail.labels import FIXED_LABELS, Label, LabelBook
from local.gmail.payload import file_names, parse_mime, readable_text, snippet_of

if TYPE_CHECKING:
    from local.gmail.contract import SendAs
    from local.gmail.watch import Watch

_WORD = re.compile(r"[^\W_]+")
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
_REPLY_PREFIX = re.compile(r"^\s*(?:(?:re|fw|fwd|aw|wg|antw|sv)\s*(?:\[\d+\])?\s*:\s*)+", re.IGNORECASE)
# A message is in one of these places at most.
_EXCLUSIVE = frozenset({"INBOX", "SPAM", "TRASH"})
Notify = Callable[["Mailbox", Sequence[Record]], None]


class Message:
    """A stored message. What its source says is parsed when first asked for."""

    __slots__ = (
        "_text", "_words", "added_at_s", "history_id", "id", "internal_ms", "labels", "message_id", "raw", "snippet",
        "subject", "thread_id",
    )  # fmt: skip

    def __init__(self, raw: bytes, message_id: str, thread_id: str, internal_ms: int, added_at_s: float) -> None:
        self.raw = raw
        self.id = message_id
        self.thread_id = thread_id
        self.internal_ms = internal_ms
        self.added_at_s = added_at_s
        self.labels: set[str] = set()
        self.history_id = 0
        self.message_id = wire.header_value(raw, "message-id")
        self.subject = wire.header_value(raw, "subject")
        mime = parse_mime(raw)
        self._text: str | None = readable_text(mime)
        self.snippet = snippet_of(self._text)
        self._words: dict[str, str] = {}

    @property
    def key(self) -> tuple[int, str]:
        """Its place in the order of time."""
        return self.internal_ms, self.id

    def words(self, field: str) -> str:
        """The searchable words of a field (a header's name, ``body`` or ``filename``), kept once asked for."""
        if field not in self._words:
            self._words[field] = searchable(self._field_text(field))
        return self._words[field]

    def _field_text(self, field: str) -> str:
        if field == "body":
            return self._text if self._text is not None else readable_text(parse_mime(self.raw))
        if field == "filename":
            return "\n".join(file_names(parse_mime(self.raw)))
        return "\n".join(wire.header_values(self.raw, field))

    def forget_text(self) -> None:
        """Frees the body's text; a search reads it again."""
        self._text = None


def searchable(text: str) -> str:
    """Lower-case words with blanks between and around, so that a phrase is found as a part."""
    return " " + " ".join(_WORD.findall(text.casefold())) + " "


def base_subject(subject: str) -> str:
    """The subject without its Re:, Fwd:, AW: and the like, for comparing."""
    return " ".join(_REPLY_PREFIX.sub("", subject).split()).casefold()


def references_of(raw: bytes) -> list[str]:
    """The Message-IDs that a mail answers, the nearest first."""
    found = _MESSAGE_ID.findall(wire.header_value(raw, "in-reply-to"))
    return found + list(reversed(_MESSAGE_ID.findall(wire.header_value(raw, "references"))))


class Mailbox:
    """A Gmail mailbox. ``now`` is the stack's clock; ``first_history_id`` shows that ids do not begin at 1."""

    def __init__(
        self,
        address: str,
        aliases: list[SendAs],
        now: Callable[[], datetime],
        notify: Notify,
        first_history_id: int,
    ) -> None:
        self.address = address
        self.aliases = aliases
        self.lock = threading.RLock()
        self.messages: dict[str, Message] = {}
        self.threads: dict[str, list[str]] = {}
        self.drafts: dict[str, str] = {}
        self.labels = LabelBook()
        self.history = History(first_history_id)
        self.watch: Watch | None = None
        self._order: list[tuple[int, str]] = []
        self._by_message_id: dict[str, list[str]] = {}
        self._now = now
        self._notify = notify
        self._depth = 0
        self._step = 0
        self._pending: list[Record] = []

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Holds the lock; at the outermost end the records made inside are announced, without it."""
        with self.lock:
            self._depth += 1
            self._step += self._depth == 1
            try:
                yield
            finally:
                self._depth -= 1
                done = self._pending if self._depth == 0 else []
                if self._depth == 0:
                    self._pending = []
        if done:
            self._notify(self, done)

    # Messages

    def add(
        self,
        raw: bytes,
        labels: Collection[str],
        *,
        internal_ms: int | None = None,
        thread_id: str | None = None,
    ) -> Message:
        """Stores a message. Without ``thread_id`` it joins the thread that it answers, or begins one."""
        now_s = self._now().timestamp()
        with self.changing():
            message_id = self._new_id(now_s)
            thread = thread_id or self.thread_of_answer(raw) or message_id
            message = Message(raw, message_id, thread, int(now_s * 1000) if internal_ms is None else internal_ms, now_s)
            message.labels = set(labels)
            message.forget_text()
            self.messages[message.id] = message
            insort(self._order, message.key)
            insort(self.threads.setdefault(thread, []), message.id, key=lambda one: self.messages[one].key)
            if message.message_id:
                self._by_message_id.setdefault(message.message_id, []).append(message.id)
            self._note("messagesAdded", message, ())
        return message

    def message(self, message_id: str) -> Message:
        """Raises GmailError 404, or 400 for what cannot be an id."""
        if not re.fullmatch(r"[0-9a-f]{1,16}", message_id):
            raise invalid_argument("Invalid id value")
        if message_id not in self.messages:
            raise not_found()
        return self.messages[message_id]

    def thread(self, thread_id: str) -> list[Message]:
        """The thread's messages in the order of time. Raises GmailError 404 or 400."""
        if not re.fullmatch(r"[0-9a-f]{1,16}", thread_id):
            raise invalid_argument("Invalid thread_id value")
        if thread_id not in self.threads:
            raise not_found()
        return [self.messages[message_id] for message_id in self.threads[thread_id]]

    def newest_first(self, before: tuple[int, str] | None = None) -> Iterator[Message]:
        """All messages, or those after a place in the list; what arrives meanwhile moves nothing."""
        end = len(self._order) if before is None else bisect_left(self._order, before)
        for index in range(end - 1, -1, -1):
            yield self.messages[self._order[index][1]]

    def delete(self, message_id: str) -> None:
        """Deletes for good. Raises GmailError 404."""
        with self.changing():
            message = self.message(message_id)
            self._note("messagesDeleted", message, ())
            del self.messages[message.id]
            del self._order[bisect_left(self._order, message.key)]
            thread = self.threads[message.thread_id]
            thread.remove(message.id)
            if not thread:
                del self.threads[message.thread_id]
            if message.message_id:
                self._by_message_id[message.message_id].remove(message.id)

    def thread_of_answer(self, raw: bytes) -> str | None:
        """The thread that a mail continues: one of its references is there, and the subject is the same."""
        subject = base_subject(wire.header_value(raw, "subject"))
        for reference in references_of(raw):
            for message_id in self._by_message_id.get(reference, ()):
                message = self.messages[message_id]
                if base_subject(message.subject) == subject:
                    return message.thread_id
        return None

    def joined_thread(self, raw: bytes, thread_id: str | None) -> str | None:
        """The thread asked for, if the mail may join it: it must refer to a mail there and bear its subject.

        (developers.google.com/workspace/gmail/api/guides/threads.) Raises GmailError 404 or 400 for no such thread.
        """
        if not thread_id:
            return None
        references, subject = set(references_of(raw)), base_subject(wire.header_value(raw, "subject"))
        for message in self.thread(thread_id):
            if message.message_id in references and base_subject(message.subject) == subject:
                return thread_id
        return None

    # Labels

    def change_labels(self, messages: Iterable[Message], add: Collection[str], remove: Collection[str]) -> None:
        """Puts labels on and takes them off; each message and direction makes a history record of its own."""
        with self.changing():
            for message in messages:
                taken_off = set(remove) & message.labels
                put_on = set(add) - message.labels
                if put_on & {"SPAM", "TRASH"}:
                    taken_off |= (_EXCLUSIVE & message.labels) - put_on
                if put_on:
                    message.labels |= put_on
                    self._note("labelsAdded", message, put_on)
                if taken_off:
                    message.labels -= taken_off
                    self._note("labelsRemoved", message, taken_off)

    def verify_changeable(self, add: Collection[str], remove: Collection[str]) -> None:
        """Raises GmailError 400 for labels that modify must not name."""
        if not add and not remove:
            raise invalid_argument("No label add or removes specified")
        for label_id in (*add, *remove):
            if label_id in FIXED_LABELS or not self.labels.exists(label_id):
                raise invalid_argument(f"Invalid label: {label_id}")
        if set(add) & set(remove):
            raise invalid_argument("Cannot both add and remove the same label")

    def create_label(self, name: str) -> Label:
        """A label as the user makes it in Gmail's own page."""
        with self.changing():
            return self.labels.create({"name": name})

    def delete_label(self, label_id: str) -> None:
        """Deletes a label: it comes off each of its mails, which history records."""
        with self.changing():
            self.labels.delete(label_id)
            carriers = [message for message in self.messages.values() if label_id in message.labels]
            self.change_labels(carriers, (), {label_id})

    def counts(self, label_id: str) -> dict[str, int]:
        """What ``labels.get`` counts."""
        carriers = [message for message in self.messages.values() if label_id in message.labels]
        unread = [message for message in carriers if "UNREAD" in message.labels]
        return {
            "messagesTotal": len(carriers),
            "messagesUnread": len(unread),
            "threadsTotal": len({message.thread_id for message in carriers}),
            "threadsUnread": len({message.thread_id for message in unread}),
        }

    def _note(self, kind: Kind, message: Message, changed: Collection[str]) -> None:
        record = self.history.append(
            kind, message.id, message.thread_id, message.labels, changed, self._now().timestamp(), self._step
        )
        message.history_id = record.id
        self._pending.append(record)

    def _new_id(self, now_s: float) -> str:
        while True:
            candidate = f"{int(now_s * 1000) << 20 | secrets.randbits(20):016x}"
            if candidate not in self.messages and candidate not in self.threads:
                return candidate
