"""Owns mail for later: it waits as a draft in Gmail, a task brings its ids when it is due, and all is checked again.

A reconnect cancels it; it can be moved and cancelled until it goes; that it did not go is told as a notice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import structs

from common import clock, log, send_ledger, send_lookup, send_tasks, sharing
from common.auth import Caller
from common.composing import write_letter
from common.errors import Conflict, Forbidden, NotFound, Problem, RetryableConflict, Unprocessable
from common.gmail.client import Gmail
from common.lazy import google_errors
from common.model import Send, SendState
from common.send_api import Parcel, SendAnswer
from common.send_ledger import RECONNECTED, Held
from common.send_tasks import SendTask
from common.sending import answer_again, answer_of, hand_over, prepare_draft
from common.session import Access, Member, Session, open_mailbox
from common.store.client import store

_FARTHEST: Final = timedelta(days=366)
# Gmail's daily limit on sending lets go within a day.
_TRY_FOR: Final = timedelta(hours=26)
# Cloud Tasks' clock and ours need not agree.
_EARLY: Final = timedelta(seconds=1)
_FIRST_PAUSE_S: Final = 60
_LONGEST_PAUSE_S: Final = 3600
_STORING_PAUSE: Final = timedelta(seconds=30)
_MOST_STORING: Final = 5


def schedule(session: Session, key: str, parcel: Parcel, send_at: datetime) -> SendAnswer:
    """Puts the mail among the drafts, to go out at ``send_at``; or tells what became of it when the key came first.

    Raises what ``send_mail`` does, Unprocessable for a time that is past or more than a year ahead, Conflict for a
    missing scope.
    """
    session.verify_access(Access.CHANGE)
    claimed = send_ledger.claim(session.user_id, key, session.connection.generation, ["mail", *parcel.fingerprint])
    if not claimed.fresh:
        return answer_again(session, claimed.held)
    held = claimed.held
    with send_ledger.releasing(held):
        due = verify_time(send_at)
        with write_letter(session, parcel, held.value.marker) as letter:
            draft = session.gmail.create_draft(letter.raw, thread_id=letter.thread_id)
        try:
            return answer_of(_enter(held, draft.draft_id, due))
        except BaseException:
            _discard(session.gmail, draft.draft_id)
            raise


def verify_time(send_at: datetime) -> datetime:
    """The time in UTC. Raises Unprocessable unless it has a zone, and lies ahead by no more than a year."""
    if send_at.tzinfo is None:
        raise Unprocessable("invalid-send-at", "send_at has no time zone", field="send_at")
    now = clock.now()
    if not now < send_at <= now + _FARTHEST:
        raise Unprocessable("invalid-send-at", "send_at lies ahead, by no more than a year", field="send_at")
    return send_at.astimezone(UTC)


def _enter(held: Held, draft_id: str, due: datetime) -> Send:
    # The task first: one without a record does nothing, but a record without a task would wait for ever.
    version = held.value.version + 1
    send_tasks.leave(held.value, "send", due, version=version)
    now = clock.now()
    return send_ledger.advance(
        held,
        state=SendState.SCHEDULED,
        draft_id=draft_id,
        send_at=due,
        changed_at=now,
        expires_at=send_ledger.expiry(due),
    ).value


def _discard(gmail: Gmail, draft_id: str) -> None:
    try:
        gmail.delete_draft(draft_id)
    except Problem as problem:
        # Left among the drafts, where its user sees it.
        log.failure("draft-discard", problem)


def move(member: Member, key: str, send_at: datetime) -> SendAnswer:
    """Gives a scheduled mail another time. Raises NotFound, Conflict where it is not waiting, Unprocessable."""
    member.verify_access(Access.CHANGE)
    held = _load_waiting(member, key)
    due = verify_time(send_at)
    send_tasks.leave(held.value, "send", due, version=held.value.version + 1)
    moved = send_ledger.advance(held, send_at=due, changed_at=clock.now(), expires_at=send_ledger.expiry(due))
    return answer_of(moved.value)


def cancel(member: Member, key: str) -> SendAnswer:
    """Takes a scheduled mail back; its draft stays among the drafts. Raises NotFound, Conflict where it is not waiting.

    Cancelling twice is no error.
    """
    held = send_ledger.load_of_key(member.user_id, key)
    if held.value.state is SendState.CANCELLED:
        return answer_of(held.value)
    held = _load_waiting(member, key)
    now = clock.now()
    cancelled = send_ledger.advance(
        held, state=SendState.CANCELLED, changed_at=now, expires_at=now + send_ledger.KEPT_FOR
    )
    return answer_of(cancelled.value)


def _load_waiting(member: Member, key: str) -> Held:
    held = send_ledger.load_of_key(member.user_id, key)
    is_waiting = held.value.state is SendState.SCHEDULED
    if not is_waiting or held.value.generation != member.connection.generation:
        raise Conflict("not-scheduled", "only a mail that is still waiting can be moved or cancelled")
    return held


def run(task: SendTask) -> None:
    """What ``POST /tasks/send`` does for a scheduled mail. Doing it twice, late or early sends the mail once, in time.

    Trouble of the mailbox leaves a task for later. Raises GoogleAPIError for trouble of ours.
    """
    held = store().sends.load(task.user, task.key)
    if held is None:
        return
    match held.value.state:
        case SendState.CLAIMED:
            _wait_for_storing(held.value, task)
        case SendState.SCHEDULED if held.value.version == task.version:
            _run_scheduled(held, task)
        case SendState.HANDING_OVER if send_ledger.is_under_way(held.value):
            send_lookup.look_when_over(held.value)
        case SendState.HANDING_OVER:
            send_lookup.pursue(held)
        case _:
            return


def _wait_for_storing(send: Send, task: SendTask) -> None:
    # So soon that the request is still about to write that it is scheduled; or that request has died.
    if task.attempt < _MOST_STORING:
        _leave_again(send, task, clock.now() + _STORING_PAUSE)


def _run_scheduled(held: Held, task: SendTask) -> None:
    send, now = held.value, clock.now()
    due = send.send_at or now
    if now < due - _EARLY:
        _leave_again(send, task, due)
        return
    try:
        session = _open_session(send)
    except Problem as problem:
        _postpone_or_give_up(held, task, problem)
        return
    if session is None:
        send_lookup.give_up(held, SendState.CANCELLED, RECONNECTED)
        return
    _send_due(session, held, task)


def _send_due(session: Session, held: Held, task: SendTask) -> None:
    try:
        draft = prepare_draft(session, held.value.draft_id, held.value.marker)
    except NotFound:
        send_lookup.give_up(held, SendState.FAILED, "draft-gone")
        return
    except Problem as problem:
        _postpone_or_give_up(held, task, problem)
        return

    def refused(handed: Held, problem: Problem) -> None:
        _settle_refusal(handed, task, problem)

    try:
        hand_over(
            session.gmail, held, lambda: session.gmail.send_draft(draft.draft_id), marker=draft.marker, refused=refused
        )
    except Problem as problem:
        # It is written down, and told by a notice.
        log.event("scheduled-send", severity="WARNING", code=problem.code, attempt=task.attempt)


def _open_session(send: Send) -> Session | None:
    """The mailbox of a mail's sender, after all that decides was read anew; None if it was connected anew since.

    Raises Forbidden for a user that is not active any more, and what ``open_mailbox`` does.
    """
    context = store().load_context(send.user_id)
    user = context.user.value if context.user else None
    if user is None or not sharing.is_serviceable(user, clock.now()):
        raise Forbidden("user-inactive")
    if context.connection is None or context.connection.value.generation != send.generation:
        return None
    caller = Caller(user.user_id, user.role, user.permissions, user.email, clock.now(), is_admin=False)
    member = Member(caller, context, user)
    member.verify_access(Access.CHANGE)
    return Session(caller, context, user, open_mailbox(member))


def _postpone_or_give_up(held: Held, task: SendTask, problem: Problem) -> None:
    at = _next_try(held.value, task, problem)
    if at is not None:
        _leave_again(held.value, task, at)
    else:
        send_lookup.give_up(held, SendState.FAILED, problem.code)


def _settle_refusal(handed: Held, task: SendTask, problem: Problem) -> None:
    """Gmail has refused the mail: it waits on, or has failed."""
    at = _next_try(handed.value, task, problem)
    if at is not None:
        try:
            waiting = structs.replace(task, version=handed.value.version + 1)
            _leave_again(handed.value, waiting, at)
            send_ledger.advance(handed, state=SendState.SCHEDULED)
            return
        except (RetryableConflict, google_errors.GoogleAPIError) as error:
            log.failure("scheduled-retry", error)
    send_ledger.settle(handed, SendState.FAILED, reason=problem.code)
    send_lookup.tell(handed.value.user_id)


def _next_try(send: Send, task: SendTask, problem: Problem) -> datetime | None:
    return plan_next_try(problem, task.attempt, send.send_at or send.changed_at, clock.now())


def plan_next_try(problem: Problem, attempt: int, due: datetime, now: datetime) -> datetime | None:
    """When a mail that was ``due`` is tried again after ``problem``; None where it has failed.

    Trouble that passes is waited for: a minute at first, an hour at last, for a day and as long as Gmail says.
    """
    if not problem.retryable or now >= due + _TRY_FOR:
        return None
    at = now + timedelta(seconds=min(_FIRST_PAUSE_S * 2 ** min(attempt, 20), _LONGEST_PAUSE_S))
    return max(at, problem.retry_at or at)


def _leave_again(send: Send, task: SendTask, at: datetime) -> None:
    send_tasks.leave(send, "send", at, version=task.version, attempt=task.attempt + 1)
