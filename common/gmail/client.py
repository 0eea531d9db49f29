"""Owns the calls to Gmail that the product makes: one method each, Gmail's words in, plain data out.

How they are made (token, budgets, trying again) is ``session``'s, how they travel ``transport``'s. Never stores.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from common import clock, log
from common.errors import NotFound, RateLimited, ReauthRequired, TooLarge
from common.gmail.budget import share_of
from common.gmail.errors import HistoryLost, Remedy, SendAmbiguous, Trouble, WatchedElsewhere
from common.gmail.results import (
    DraftPage,
    DraftRef,
    Fetched,
    HistoryPage,
    Label,
    Message,
    MessagePage,
    MessageRef,
    Profile,
    SendAs,
    ThreadPage,
    Watch,
)
from common.gmail.session import Session
from common.lazy import google_errors, lazy_module
from common.model import Connection, ConnectionStatus
from common.store.client import store

if TYPE_CHECKING:
    from common.gmail import transport
else:
    transport = lazy_module("common.gmail.transport")

A = TypeVar("A")
B = TypeVar("B")

# Google discourages more in one batch (Gmail API, batching requests).
_BATCH: Final = 50
# Parts that met the limit on concurrency are asked again in smaller batches.
_BATCH_AGAIN: Final = 10
MAX_MODIFY: Final = 1000
MAX_MAIL_BYTES: Final = 36_700_160
# What the watch leaves out: all else is pushed, also what a filter kept from the inbox.
_UNWATCHED: Final = ("SENT", "DRAFT", "SPAM", "TRASH")


def open_gmail(
    connection: Connection,
    *,
    background: bool = False,
    viewer: str = "",
    timeout_s: float | None = None,
    retry_after: datetime | None = None,
    keep_retry_after: Callable[[datetime], None] | None = None,
) -> Gmail:
    """The connection's mailbox. ``viewer`` is the colleague who looks, and spends from a budget of that viewer's.

    ``timeout_s`` bounds all calls together; ``retry_after`` is the mailbox record's; a new one is kept there, unless
    ``keep_retry_after`` says otherwise. Raises RateLimited while ``retry_after`` lies ahead, ReauthRequired.
    """
    if connection.status is ConnectionStatus.REAUTH_REQUIRED:
        raise ReauthRequired(reason=connection.reauth_reason)
    own = viewer == connection.user_id
    session = Session(
        connection=connection,
        share=share_of(connection.mailbox_key, background=background, viewer="" if own else viewer),
        background=background,
        keep_retry_after=keep_retry_after or (lambda until: _save_retry_after(connection.mailbox_key, until)),
        ends_s=None if timeout_s is None else time.monotonic() + timeout_s,
        retry_after=retry_after,
    )
    session.verify_open()
    return Gmail(session)


def _save_retry_after(mailbox_key: str, until: datetime) -> None:
    try:
        store().mailboxes.set_retry_after(mailbox_key, until)
    except google_errors.GoogleAPIError as error:
        # The limit itself is what the caller must hear of.
        log.failure("retry-after", error)


class Gmail:
    """One mailbox. Every method may raise RateLimited, ReauthRequired or Unavailable; never the library's errors."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def calls(self) -> list[tuple[str, int]]:
        """The calls made so far, with their units."""
        return list(self._session.calls)

    @property
    def units(self) -> int:
        """What the calls made so far cost."""
        return sum(units for _, units in self._session.calls)

    def in_parallel(self, first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
        """Runs two calls at once, and returns both answers. Raises the first one's error, else the second's."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="gmail") as threads:
            other = threads.submit(second)
            answer = first()
            return answer, other.result()

    # ---- Reading

    def fetch_profile(self) -> Profile:
        answer = self._session.read("users.getProfile", _users().getProfile(userId="me"))
        return Profile(str(answer["emailAddress"]), int(answer["historyId"]))

    def list_messages(
        self,
        *,
        q: str = "",
        label_ids: Sequence[str] = (),
        page_token: str = "",
        limit: int = 20,
        include_spam_trash: bool = False,
    ) -> MessagePage:
        """A page of ids, newest first. Raises BadRequest for a page token that is not Gmail's."""
        request = _messages().list(
            userId="me",
            q=q or None,
            labelIds=list(label_ids) or None,
            pageToken=page_token or None,
            maxResults=limit,
            includeSpamTrash=include_spam_trash or None,
        )
        answer = self._session.read("users.messages.list", request)
        refs = [MessageRef(entry["id"], entry["threadId"]) for entry in answer.get("messages", ())]
        return MessagePage(refs, answer.get("nextPageToken", ""), int(answer.get("resultSizeEstimate", 0)))

    def fetch_message(
        self, message_id: str, *, format: str = "full", fields: str = "", headers: Sequence[str] = ()
    ) -> Message:
        """Raises NotFound where it is gone."""
        message: Message = self._session.read("users.messages.get", _get_request(message_id, format, fields, headers))
        return message

    def fetch_raw(self, message_id: str) -> bytes:
        """The mail's source (RFC 5322). Raises NotFound."""
        return _decode(self.fetch_message(message_id, format="raw", fields="raw")["raw"])

    def fetch_messages(
        self,
        ids: Iterable[str],
        *,
        format: str = "full",
        fields: str = "",
        headers: Sequence[str] = (),
        take: Callable[[int], None] | None = None,
    ) -> Fetched:
        """The messages, in batches. What one message fails of is filed; raised are ReauthRequired and Unavailable.

        Raised is, too, what ``take`` does: it hears the bytes read of each batch.
        """

        def fetch(some: list[str]) -> dict[str, Any]:
            requests = {key: _get_request(key, format, fields, headers) for key in some}
            return self._session.read_batch("users.messages.get", requests, take=take)

        fetched = Fetched()
        waiting = list(dict.fromkeys(ids))
        for start in range(0, len(waiting), _BATCH):
            self._fetch_batch(waiting[start : start + _BATCH], fetched, fetch)
        return fetched

    def _fetch_batch(self, ids: list[str], fetched: Fetched, fetch: Callable[[list[str]], dict[str, Any]]) -> None:
        attempt, size, waiting = 0, _BATCH, ids
        while waiting:
            again: list[str] = []
            for start in range(0, len(waiting), size):
                parts = self._fetch_parts(waiting[start : start + size], fetched, fetch)
                again += [key for key, part in parts.items() if self._file(key, part, fetched, attempt)]
            attempt, size, waiting = attempt + 1, _BATCH_AGAIN, again
            if waiting and not self._pause(attempt):
                return

    def _pause(self, attempt: int) -> bool:
        hint = self._session.retry_after
        is_over = hint is not None and hint > clock.now() and self._session.sit_out(hint)
        return is_over or self._session.back_off(attempt)

    def _fetch_parts(
        self, ids: list[str], fetched: Fetched, fetch: Callable[[list[str]], dict[str, Any]]
    ) -> dict[str, Any]:
        try:
            return fetch(ids)
        except RateLimited as problem:
            fetched.failed.update(dict.fromkeys(ids, problem))
            return {}

    def _file(self, key: str, part: Message | Trouble, fetched: Fetched, attempt: int) -> bool:
        """Files one answer. True where it may be asked for again; its problem is filed meanwhile."""
        fetched.failed.pop(key, None)
        if not isinstance(part, Trouble):
            fetched.messages[key] = part
            return False
        if isinstance(part.problem, NotFound):
            fetched.gone.add(key)
            return False
        if isinstance(part.problem, ReauthRequired):
            raise part.problem
        fetched.failed[key] = part.problem
        if attempt == 0 and part.keep_until is not None:
            return self._session.is_near(part.keep_until)
        may_repeat = attempt == 0 and not self._session.background
        return part.remedy is Remedy.BACK_OFF or (part.remedy is Remedy.REPEAT and may_repeat)

    def fetch_attachment(self, message_id: str, attachment_id: str) -> bytes:
        """An attachment's bytes. Raises NotFound; an attachment id is good only beside the message just fetched."""
        request = _messages().attachments().get(userId="me", messageId=message_id, id=attachment_id)
        return _decode(self._session.read("users.messages.attachments.get", request)["data"])

    def list_threads(
        self, *, q: str = "", label_ids: Sequence[str] = (), page_token: str = "", limit: int = 20
    ) -> ThreadPage:
        request = (
            _users()
            .threads()
            .list(
                userId="me",
                q=q or None,
                labelIds=list(label_ids) or None,
                pageToken=page_token or None,
                maxResults=limit,
            )
        )
        answer = self._session.read("users.threads.list", request)
        return ThreadPage([entry["id"] for entry in answer.get("threads", ())], answer.get("nextPageToken", ""))

    def fetch_thread(
        self, thread_id: str, *, format: str = "full", fields: str = "", take: Callable[[int], None] | None = None
    ) -> list[Message]:
        """The messages of a thread, oldest first. Raises NotFound, and what ``take`` does: it hears the bytes read."""
        request = _users().threads().get(userId="me", id=thread_id, format=format, fields=fields or None)
        return list(self._session.read("users.threads.get", request, take=take).get("messages", ()))

    def fetch_history(self, start: int, *, page_token: str = "", limit: int = 500) -> HistoryPage:
        """What has happened since ``start``, in order, of all four types. Raises HistoryLost."""
        request = (
            _users()
            .history()
            .list(userId="me", startHistoryId=str(start), pageToken=page_token or None, maxResults=limit)
        )
        lost = False
        try:
            answer = self._session.read("users.history.list", request)
        except NotFound:
            lost = True
        if lost:
            raise HistoryLost
        return HistoryPage(list(answer.get("history", ())), int(answer["historyId"]), answer.get("nextPageToken", ""))

    def list_send_as(self) -> list[SendAs]:
        """The user's own address and aliases."""
        answer = self._session.read("users.settings.sendAs.list", _users().settings().sendAs().list(userId="me"))
        return [_parse_send_as(entry) for entry in answer.get("sendAs", ())]

    # ---- Labels and places

    def list_labels(self) -> list[Label]:
        answer = self._session.read("users.labels.list", _users().labels().list(userId="me"))
        return [_parse_label(entry) for entry in answer.get("labels", ())]

    def create_label(self, name: str, *, background_color: str = "", text_color: str = "") -> Label:
        """Raises Conflict where there is one of this name, in whatever case."""
        body: dict[str, Any] = {
            "name": name,
            "labelListVisibility": "labelShow",
            "messageListVisibility": "show",
        }
        if background_color:
            body["color"] = {"backgroundColor": background_color, "textColor": text_color}
        request = _users().labels().create(userId="me", body=body)
        return _parse_label(self._session.write("users.labels.create", request))

    def update_label(self, label_id: str, *, name: str) -> Label:
        """Renames a label and leaves the rest of it. Raises NotFound, or Conflict where there is one of this name."""
        request = _users().labels().patch(userId="me", id=label_id, body={"name": name})
        return _parse_label(self._session.write("users.labels.patch", request))

    def delete_label(self, label_id: str) -> None:
        """Raises NotFound where it is gone."""
        self._session.write("users.labels.delete", _users().labels().delete(userId="me", id=label_id))

    def batch_modify(self, ids: Sequence[str], *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Changes labels of up to 1,000 messages. Gmail says nothing of ids that it does not know."""
        if len(ids) > MAX_MODIFY:
            raise ValueError(f"at most {MAX_MODIFY} messages at a time")
        body = {"ids": list(ids), "addLabelIds": list(add), "removeLabelIds": list(remove)}
        self._session.write("users.messages.batchModify", _messages().batchModify(userId="me", body=body))

    def modify_message(self, message_id: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Message:
        """Changes one message's labels; the answer has its ids and labels. Raises NotFound."""
        body = {"addLabelIds": list(add), "removeLabelIds": list(remove)}
        request = _messages().modify(userId="me", id=message_id, body=body)
        message: Message = self._session.write("users.messages.modify", request)
        return message

    def trash(self, message_id: str) -> None:
        """Raises NotFound."""
        self._session.write("users.messages.trash", _messages().trash(userId="me", id=message_id))

    def untrash(self, message_id: str) -> None:
        """Raises NotFound."""
        self._session.write("users.messages.untrash", _messages().untrash(userId="me", id=message_id))

    # ---- The watch

    def watch(self, topic: str) -> Watch:
        """Watches for a week. ``topic`` is a full name; a watch that another topic has is stopped first."""
        body = {"topicName": topic, "labelIds": list(_UNWATCHED), "labelFilterBehavior": "exclude"}
        refused = False
        try:
            answer = self._session.write("users.watch", _users().watch(userId="me", body=body))
        except WatchedElsewhere:
            refused = True
        if refused:
            self.stop()
            answer = self._session.write("users.watch", _users().watch(userId="me", body=body))
        expires_at = datetime.fromtimestamp(int(answer["expiration"]) / 1000, tz=UTC)
        return Watch(int(answer["historyId"]), expires_at)

    def stop(self) -> None:
        """Stops the watch, for everybody who uses this mailbox through this project."""
        self._session.write("users.stop", _users().stop(userId="me"))

    # ---- Sending

    def send(self, raw: bytes | IO[bytes], *, thread_id: str = "") -> MessageRef:
        """Sends a mail (RFC 5322) once, and returns its ids. A stream must be seekable.

        Raises SendAmbiguous where it may or may not have gone out; Problem where it has not.
        """
        body = {"threadId": thread_id} if thread_id else None
        request = _messages().send(userId="me", body=body, media_body=_media(raw, thread_id))
        return _parse_sent(self._session.send("users.messages.send", request))

    def list_drafts(self, *, page_token: str = "", limit: int = 20, q: str = "") -> DraftPage:
        request = _users().drafts().list(userId="me", pageToken=page_token or None, maxResults=limit, q=q or None)
        answer = self._session.read("users.drafts.list", request)
        return DraftPage([_parse_draft(entry) for entry in answer.get("drafts", ())], answer.get("nextPageToken", ""))

    def fetch_draft(self, draft_id: str, *, format: str = "full", fields: str = "") -> Message:
        """The draft's message. Raises NotFound."""
        request = _users().drafts().get(userId="me", id=draft_id, format=format, fields=fields or None)
        message: Message = self._session.read("users.drafts.get", request)["message"]
        return message

    def fetch_draft_raw(self, draft_id: str) -> bytes:
        """The draft's source (RFC 5322), with its Bcc. Raises NotFound."""
        return _decode(self.fetch_draft(draft_id, format="raw", fields="message/raw")["raw"])

    def create_draft(self, raw: bytes | IO[bytes], *, thread_id: str = "") -> DraftRef:
        request = _users().drafts().create(userId="me", body=_draft_body(thread_id), media_body=_media(raw, thread_id))
        return _parse_draft(self._session.write("users.drafts.create", request))

    def update_draft(self, draft_id: str, raw: bytes | IO[bytes], *, thread_id: str = "") -> DraftRef:
        """Puts another mail in the draft's place. Raises NotFound."""
        request = (
            _users()
            .drafts()
            .update(userId="me", id=draft_id, body=_draft_body(thread_id), media_body=_media(raw, thread_id))
        )
        return _parse_draft(self._session.write("users.drafts.update", request))

    def send_draft(self, draft_id: str) -> MessageRef:
        """Sends a draft once, as ``send`` does, and returns the mail's ids. Raises NotFound where it is gone."""
        request = _users().drafts().send(userId="me", body={"id": draft_id})
        return _parse_sent(self._session.send("users.drafts.send", request))

    def delete_draft(self, draft_id: str) -> None:
        """Raises NotFound."""
        self._session.write("users.drafts.delete", _users().drafts().delete(userId="me", id=draft_id))


def _users() -> Any:
    return transport.users()


def _messages() -> Any:
    return transport.messages()


def _get_request(message_id: str, format: str, fields: str, headers: Sequence[str]) -> Any:
    return _messages().get(
        userId="me", id=message_id, format=format, fields=fields or None, metadataHeaders=list(headers) or None
    )


def _media(raw: bytes | IO[bytes], thread_id: str) -> Any:
    stream = io.BytesIO(raw) if isinstance(raw, bytes) else raw
    if stream.seek(0, io.SEEK_END) > MAX_MAIL_BYTES:
        raise TooLarge("mail-too-large", f"a mail has at most {MAX_MAIL_BYTES} bytes")
    return transport.media_of(stream, beside_json=bool(thread_id))


def _draft_body(thread_id: str) -> dict[str, Any] | None:
    return {"message": {"threadId": thread_id}} if thread_id else None


def _parse_sent(answer: Any) -> MessageRef:
    message_id = answer.get("id") if isinstance(answer, dict) else None
    if not isinstance(message_id, str) or not message_id:
        raise SendAmbiguous
    return MessageRef(message_id, str(answer.get("threadId", "")))


def _decode(data: str) -> bytes:
    # What is whole already is not copied.
    return base64.urlsafe_b64decode(data + "=" * (-len(data) % 4) if len(data) % 4 else data)


def _parse_label(entry: dict[str, Any]) -> Label:
    return Label(entry["id"], entry["name"], own=entry.get("type") == "user")


def _parse_draft(entry: dict[str, Any]) -> DraftRef:
    message = entry.get("message", {})
    return DraftRef(entry["id"], message.get("id", ""), message.get("threadId", ""))


def _parse_send_as(entry: dict[str, Any]) -> SendAs:
    # The primary address has no verificationStatus: it needs none (users.settings.sendAs).
    primary = bool(entry.get("isPrimary", False))
    return SendAs(
        address=entry["sendAsEmail"],
        name=entry.get("displayName", ""),
        signature=entry.get("signature", ""),
        reply_to=entry.get("replyToAddress", ""),
        primary=primary,
        default=bool(entry.get("isDefault", False)),
        verified=primary or entry.get("verificationStatus") == "accepted",
    )
