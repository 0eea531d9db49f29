"""Owns sending now: a mail, or a draft, at most once for each Idempotency-Key, also when Gmail's answer is lost.

The ledger is ``send_ledger``'s, what is in the mail ``composing``'s, looking for a lost one ``send_lookup``'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from common import clock, send_ledger, send_lookup
from common.composing import verified_identities, write_letter
from common.errors import Problem, Unprocessable
from common.gmail.client import Gmail
from common.gmail.errors import SendAmbiguous
from common.gmail.results import Message, MessageRef
from common.mail.addresses import from_address, normalise
from common.mail.headers import all_values, first_value
from common.mail.reading import header_pairs
from common.memory import byte_budget
from common.model import Send, SendState
from common.opening import COPIES, named_thing
from common.send_api import Parcel, SendAnswer
from common.send_ledger import RECONNECTED, SEND_HEADER, Held
from common.session import Member, Session

_MARKER: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_DRAFT_FIELDS: Final = "message(id,threadId,sizeEstimate,payload/headers)"
_STATES: Final[dict[SendState, Any]] = {
    SendState.CLAIMED: "pending",
    SendState.HANDING_OVER: "pending",
    SendState.SCHEDULED: "scheduled",
    SendState.SENT: "sent",
    SendState.FAILED: "failed",
    SendState.UNKNOWN: "unknown",
    SendState.CANCELLED: "cancelled",
}
Refused = Callable[[Held, Problem], None]


@dataclass(frozen=True)
class ReadyDraft:
    """A draft that may go out, and the marker in it."""

    draft_id: str
    marker: str


def send_mail(session: Session, key: str, parcel: Parcel) -> SendAnswer:
    """Sends the mail, or tells what became of it when the key came first: 100 units for a new one.

    Raises what ``write_letter`` does, Unprocessable for a key of another mail, RetryableConflict while the mail is in
    flight, and Gmail's refusal, after which the same key may be tried again.
    """
    claimed = send_ledger.claim(session.user_id, key, session.connection.generation, ["mail", *parcel.fingerprint])
    if not claimed.fresh:
        return answer_again(session, claimed.held)
    with send_ledger.releasing(claimed.held):
        letter = write_letter(session, parcel, claimed.held.value.marker)
    with letter:
        return hand_over(
            session.gmail, claimed.held, lambda: session.gmail.send(letter.raw, thread_id=letter.thread_id)
        )


def send_draft(session: Session, key: str, draft_id: str) -> SendAnswer:
    """Sends a draft of the caller's likewise. Raises NotFound where it is gone."""
    claimed = send_ledger.claim(session.user_id, key, session.connection.generation, ["draft", draft_id])
    if not claimed.fresh:
        return answer_again(session, claimed.held)
    with send_ledger.releasing(claimed.held):
        draft = prepare_draft(session, draft_id, claimed.held.value.marker)
    return hand_over(session.gmail, claimed.held, lambda: session.gmail.send_draft(draft_id), marker=draft.marker)


def hand_over(
    gmail: Gmail, held: Held, send: Callable[[], MessageRef], *, marker: str = "", refused: Refused | None = None
) -> SendAnswer:
    """Notes that the mail goes to Gmail, has ``send`` do that once, and notes what came of it.

    ``refused`` notes a refusal, as ``failed`` unless it is given. Raises that refusal, and RetryableConflict where
    somebody else has taken the mail over.
    """
    now = clock.now()
    handed = send_ledger.advance(
        held,
        state=SendState.HANDING_OVER,
        marker=marker or held.value.marker,
        changed_at=now,
        expires_at=now + send_ledger.KEPT_FOR,
    )
    try:
        sent = send()
    except SendAmbiguous:
        sent = None
    except Problem as problem:
        (refused or note_failure)(handed, problem)
        raise
    if sent is None:
        return answer_of(send_lookup.look_at_once(gmail, handed))
    settled = send_ledger.settle(handed, SendState.SENT, gmail_id=sent.message_id)
    return answer_of(settled, thread_id=sent.thread_id)


def note_failure(handed: Held, problem: Problem) -> None:
    """Writes that Gmail has refused the mail."""
    send_ledger.settle(handed, SendState.FAILED, reason=problem.code)


def answer_again(session: Session, held: Held) -> SendAnswer:
    """The answer to a key that came before. Raises RetryableConflict while its mail is in flight."""
    send = held.value
    if send.state is SendState.HANDING_OVER and send_ledger.is_under_way(send):
        raise send_ledger.in_flight()
    if send.state is SendState.SENT:
        return answer_of(send, thread_id=_thread_of(session.gmail, send.gmail_id))
    return status_of(session, held)


def status_of(member: Member, held: Held) -> SendAnswer:
    """What is known of a mail; one that seems lost is looked for by a task."""
    send = held.value
    if send.state is SendState.HANDING_OVER:
        send = send_lookup.pursue(held)
    answer = answer_of(send)
    if send.state is SendState.SCHEDULED and send.generation != member.connection.generation:
        answer.state, answer.reason = "cancelled", RECONNECTED
    return answer


def answer_of(send: Send, *, thread_id: str = "") -> SendAnswer:
    """The record as its user sees it."""
    is_kept = send.state in (SendState.SCHEDULED, SendState.FAILED, SendState.CANCELLED)
    return SendAnswer(
        state=_STATES[send.state],
        id=send.gmail_id,
        thread_id=thread_id,
        draft_id=send.draft_id if is_kept else "",
        send_at=send.send_at,
        reason=send.reason,
    )


def _thread_of(gmail: Gmail, message_id: str) -> str:
    """The conversation of a sent mail, which is not stored; empty where Gmail does not say."""
    try:
        return str(gmail.fetch_message(message_id, format="minimal", fields="threadId")["threadId"])
    except Problem:
        return ""


def prepare_draft(session: Session, draft_id: str, spare_marker: str) -> ReadyDraft:
    """Checks who a draft is from, and sees that it bears a marker: ``spare_marker`` where it was last saved elsewhere.

    20 units, 56 where it is marked, one more for an alias. Raises NotFound, and Unprocessable for a sender that is not
    the caller's.
    """
    with named_thing():
        draft = session.gmail.fetch_draft(draft_id, format="metadata", fields=_DRAFT_FIELDS)
    headers = header_pairs(draft)
    _verify_from(session, headers)
    markers = all_values(headers, SEND_HEADER)
    if len(markers) == 1 and _MARKER.fullmatch(markers[0]):
        return ReadyDraft(draft_id, markers[0])
    _mark(session.gmail, draft_id, draft, spare_marker)
    return ReadyDraft(draft_id, spare_marker)


def _verify_from(session: Session, headers: list[tuple[str, str]]) -> None:
    # Where there is none at all, Gmail puts the user's own.
    if not all_values(headers, "From"):
        return
    sender = from_address(headers)
    if sender == session.connection.address:
        return
    if sender not in {normalise(one.address) for one in verified_identities(session)}:
        raise Unprocessable("sender-not-verified", "GET /identities lists the addresses to send from", field="from")


def _mark(gmail: Gmail, draft_id: str, draft: Message, marker: str) -> None:
    # Whoever edits a draft on Gmail's own page takes our header off it.
    is_answer = bool(first_value(header_pairs(draft), "In-Reply-To"))
    with byte_budget().reserve(int(draft.get("sizeEstimate", 0)) * COPIES):
        raw = f"{SEND_HEADER}: {marker}\r\n".encode() + gmail.fetch_draft_raw(draft_id)
        gmail.update_draft(draft_id, raw, thread_id=str(draft["threadId"]) if is_answer else "")
