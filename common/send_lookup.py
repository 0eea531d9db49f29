"""Owns finding out what became of a mail whose answer from Gmail was lost, without trusting search.

Gmail's search lags and its Message-ID is Gmail's own, so SENT is listed without a query, and our own header is looked
for. Not found is ``unknown``, never ``failed``. Sends nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from common import clock, log, send_ledger, send_tasks, sharing
from common.errors import Problem, RetryableConflict
from common.gmail.client import Gmail, open_gmail
from common.gmail.results import Message
from common.lazy import firestore, google_errors
from common.mail.headers import all_values
from common.mail.reading import header_pairs
from common.model import Send, SendState
from common.send_ledger import ANSWER_LOST, SEND_HEADER, Held
from common.send_tasks import SendTask
from common.store.client import Lost, store

LOOK_FOR: Final = timedelta(minutes=10)
# Where looking itself was impossible, the mailbox being rate limited say, it goes on for longer.
_LOOK_FOR_AT_MOST: Final = timedelta(days=1)
_FIRST_PAUSE_S: Final = 10
_LONGEST_PAUSE_S: Final = 900
# Gmail's clock and ours need not agree.
_SLACK: Final = timedelta(minutes=2)
_PAGE: Final = 20
_MOST_PAGES: Final = 5
UNKNOWN: Final = "send-unknown"


def find_sent(gmail: Gmail, marker: str, since: datetime) -> str:
    """The id of the sent mail with this marker, empty where there is none: 5 units a list and 20 a mail looked at.

    ``since`` is when it was handed over: older mails are not asked for. Raises the Problem of a mail that might be the
    one and could not be read.
    """
    page_token = ""
    for _ in range(_MOST_PAGES):
        page = gmail.list_messages(label_ids=["SENT"], page_token=page_token, limit=_PAGE)
        fetched = gmail.fetch_messages(
            page.ids, format="metadata", fields="id,internalDate,payload/headers", headers=[SEND_HEADER]
        )
        for message in fetched.messages.values():
            if marker in all_values(header_pairs(message), SEND_HEADER):
                return str(message["id"])
        if fetched.failed:
            raise next(iter(fetched.failed.values()))
        if not page.next_page_token or any(_sent_at(one) < since - _SLACK for one in fetched.messages.values()):
            return ""
        page_token = page.next_page_token
    return ""


def _sent_at(message: Message) -> datetime:
    return datetime.fromtimestamp(int(message["internalDate"]) / 1000, tz=UTC)


def look_at_once(gmail: Gmail, handed: Held) -> Send:
    """After a lost answer: looks whether the mail is there already, and if it is not, leaves a task that looks again.

    Raises nothing: the record as it stands then says that nobody knows yet.
    """
    try:
        held = send_ledger.advance(handed, reason=ANSWER_LOST)
        found = _try_to_find(gmail, held.value)
        if found:
            return send_ledger.settle(held, SendState.SENT, gmail_id=found)
        _leave_look(held.value, 1)
        return held.value
    except (RetryableConflict, google_errors.GoogleAPIError) as error:
        # Whoever asks for it next will find it handed over long ago, and have it looked for.
        log.failure("send-lookup", error)
        return handed.value


def _try_to_find(gmail: Gmail, send: Send) -> str:
    try:
        return find_sent(gmail, send.marker, send.changed_at)
    except Problem:
        return ""


def pursue(held: Held) -> Send:
    """For a mail handed over: has it looked for, where who did so must have died. Asks Gmail nothing.

    Returns the record as it is then. Raises GoogleAPIError where the task could not be left.
    """
    send = held.value
    if send.reason == ANSWER_LOST or send_ledger.is_under_way(send):
        return send
    try:
        marked = send_ledger.advance(held, reason=ANSWER_LOST)
    except RetryableConflict:
        return send
    _leave_look(marked.value, 1)
    return marked.value


def _leave_look(send: Send, attempt: int, at: datetime | None = None) -> None:
    send_tasks.leave(send, "lookup", at or clock.now() + _pause(attempt), attempt=attempt)


def _pause(attempt: int) -> timedelta:
    return timedelta(seconds=min(_FIRST_PAUSE_S * 2 ** min(attempt - 1, 20), _LONGEST_PAUSE_S))


def plan_next_look(failure: Problem | None, attempt: int, handed_over_at: datetime, now: datetime) -> datetime | None:
    """When a mail that look ``attempt`` did not find is looked for again; None where it is given up as unknown.

    ``failure`` is why the look itself failed: one that passes is waited for, a day at most, else ten minutes are all.
    """
    could_not = failure is not None and failure.retryable
    if now - handed_over_at >= (_LOOK_FOR_AT_MOST if could_not else LOOK_FOR):
        return None
    at = now + _pause(attempt + 1)
    return max(at, failure.retry_at or at) if failure else at


def look_when_over(send: Send) -> None:
    """Leaves a look at a mail that somebody is handing over just now, for when that must be over."""
    send_tasks.leave(send, "lookup", send.changed_at + send_ledger.HANDING_OVER_TAKES, attempt=1)


def look_again(task: SendTask) -> None:
    """A task's look at a mail whose answer was lost: found, to be looked for again, or given up as unknown."""
    held = store().sends.load(task.user, task.key)
    if held is None or held.value.state is not SendState.HANDING_OVER:
        return
    send = held.value
    failure: Problem | None = None
    found = ""
    try:
        gmail = _open(send)
        found = find_sent(gmail, send.marker, send.changed_at) if gmail else ""
    except Problem as problem:
        failure = problem
    if found:
        send_ledger.settle(held, SendState.SENT, gmail_id=found)
        return
    at = plan_next_look(failure, task.attempt, send.changed_at, clock.now())
    if at is not None:
        _leave_look(send, task.attempt + 1, at)
        return
    give_up(held, SendState.UNKNOWN, UNKNOWN)


def _open(send: Send) -> Gmail | None:
    """The mailbox that the mail went out from, None where there is no such connection any more."""
    context = store().load_context(send.user_id)
    connection = context.connection.value if context.connection else None
    user = context.user.value if context.user else None
    if connection is None or connection.generation != send.generation or not sharing.is_serviceable(user, clock.now()):
        return None
    retry_after = context.mailbox.value.retry_after if context.mailbox else None
    return open_gmail(connection, background=True, retry_after=retry_after)


def give_up(held: Held, state: SendState, reason: str) -> None:
    """Writes that a mail did not go out, or perhaps did not; a scheduled one's user is told by a notice.

    Nothing happens where somebody was faster, who then knows better.
    """
    now = clock.now()
    try:
        send_ledger.advance(held, state=state, reason=reason, changed_at=now, expires_at=now + send_ledger.KEPT_FOR)
    except RetryableConflict:
        return
    if held.value.send_at is not None:
        tell(held.value.user_id)


def tell(user_id: str) -> None:
    """Makes every ETag of the user's notices change, if there is anybody who watches them."""
    try:
        store().syncs.patch(user_id, notices_version=firestore.Increment(1))
    except Lost:
        return
