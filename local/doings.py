"""What people can make happen on a local stack: a customer writes, a deal is won, a month passes, Google revokes.

Owns the deeds behind the buttons of the demo CRM's side panel: each does what it says through the front doors that it
has in production too (SMTP, the CRM's back end, the scheduler, Google's page), and returns when what follows is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from email import message_from_bytes, policy
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from local.control import compose
from local.crm.inside import Busy, Unusable
from local.crm.people import BACKEND, USERS
from local.faults import Fault
from local.ready_mails import ANSWER, MAILS

if TYPE_CHECKING:
    from local.stack import Stack

_MONTHS_ZONE = ZoneInfo("UTC")
_SWEEP_EVERY_S = 600
_JOBS_OF_A_DAY = ("magnet-renew", "housekeeping")
_FOLLOWS_WITHIN_S = 900
_SLOW_S = 6.0
# So many of a mailbox's calls are slow, or fail, before all is well again by itself.
_STRIKES = 12
_STATES = ("open", "won", "lost")


class Doings:
    """``do(name, body)`` does one of them; one at a time."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._lock = threading.Lock()
        self._deeds: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "mail": self._mail,
            "answer": self._answer,
            "deal": self._deal,
            "sweep": self._sweep,
            "day": self._day,
            "month": self._month,
            "revoke": self._revoke,
            "quota": self._quota,
            "slow": self._slow,
            "outage": self._outage,
            "mend": self._mend,
        }

    def names(self) -> list[str]:
        return list(self._deeds)

    def choices(self) -> dict[str, Any]:
        """What can be chosen: mails and deals; and what is wrong at present."""
        deals = [{name: deal[name] for name in ("id", "title", "state")} for deal in self._stack.records.all()["deals"]]
        troubles = [
            {name: asdict(fault)[name] for name in ("service", "method", "mailbox", "status", "delay_s", "count")}
            for fault in self._stack.faults.waiting()
        ]
        mails = [{"id": mail.id, "from": mail.sender.partition(" <")[0], "subject": mail.subject} for mail in MAILS]
        return {"deeds": self.names(), "mails": mails, "deals": deals, "troubles": troubles}

    def do(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Does it and says what came of it. Raises KeyError for an unknown deed, Unusable, Busy, TimeoutError."""
        deed = self._deeds[name]
        if not self._lock.acquire(blocking=False):
            raise Busy
        try:
            self._stack.happenings.add("done", name, str(body.get("user", "")))
            return deed(body)
        finally:
            self._lock.release()

    # Customers and colleagues

    def _mail(self, body: Mapping[str, Any]) -> dict[str, Any]:
        wanted = next((mail for mail in MAILS if mail.id == body.get("mail")), None)
        if wanted is None:
            raise Unusable(f"mail must be one of {', '.join(mail.id for mail in MAILS)}")
        address = self._address(body)
        now, parts = self._stack.clock.now(), wanted.as_json()
        auth = parts.pop("auth", None)
        source = wanted.source.format(to=address, date=format_datetime(now)).encode() if wanted.source else None
        colleagues = [person.email for person in USERS if person.email in parts.get("cc", "")]
        raw = source or compose(parts, [address], now)
        delivered = self._stack.deliver(raw, to=[address, *colleagues], auth=auth)
        return {"mail_id": delivered[address], "subject": wanted.subject}

    def _answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Whoever the user has last written to answers, in the same conversation."""
        address = self._address(body)
        mailbox = self._stack.google.gmail.mailbox(address)
        with mailbox.lock:
            sent = next((one for one in mailbox.newest_first() if "SENT" in one.labels), None)
        if sent is None:
            raise Unusable("nothing was sent yet that could be answered")
        asked = message_from_bytes(sent.raw, policy=policy.default)
        subject, references = str(asked["Subject"] or ""), f"{asked['References'] or ''} {asked['Message-ID']}".strip()
        parts = {
            "from": str(asked["To"]).partition(",")[0],
            "subject": subject if subject.lower().startswith("re:") else f"Re: {subject}",
            "in_reply_to": str(asked["Message-ID"]),
            "references": references,
            "text": ANSWER,
        }
        delivered = self._stack.deliver(compose(parts, [address], self._stack.clock.now()), to=address)
        return {"mail_id": delivered[address], "subject": parts["subject"]}

    def _deal(self, body: Mapping[str, Any]) -> dict[str, Any]:
        state = body.get("state", "won")
        if state not in _STATES:
            raise Unusable(f"state must be one of {', '.join(_STATES)}")
        try:
            deal = self._stack.records.change("deals", str(body.get("deal", "")), state=state)
        except KeyError as unknown:
            raise Unusable("deal must be the id of a deal") from unknown
        self._stack.ask(BACKEND.id, "POST", "/mail_proxy/directory", json={"deals": [deal]})
        return {"title": deal["title"], "state": state}

    # Time

    def _sweep(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Ten minutes pass, and the scheduler fires as it does every ten minutes."""
        self._stack.advance(_SWEEP_EVERY_S)
        self._fire("label-sweep")
        return {}

    def _day(self, _: Mapping[str, Any]) -> dict[str, Any]:
        self._pass_days(1)
        self._fire("label-sweep")
        return {"days": 1}

    def _month(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """To the first of the next month, day by day: what is due daily must not be missed."""
        now = self._stack.clock.now().astimezone(_MONTHS_ZONE)
        first = (now.replace(day=1, hour=6, minute=0) + timedelta(days=32)).replace(day=1)
        days = (first.date() - now.date()).days
        self._pass_days(days)
        self._fire("label-sweep")
        return {"days": days}

    def _pass_days(self, days: int) -> None:
        began = self._stack.clock.now()
        for number in range(1, days + 1):
            # What follows takes its time, too: thirty such days must not become thirty-one.
            left = began + timedelta(days=number) - self._stack.clock.now()
            self._stack.advance(max(left.total_seconds(), 0.0))
            for job in _JOBS_OF_A_DAY:
                self._stack.run_job(job)
            self._stack.catch_up(within_s=_FOLLOWS_WITHIN_S)

    def _fire(self, job: str) -> None:
        self._stack.run_job(job)
        self._stack.catch_up(within_s=60)

    # Trouble

    def _revoke(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The user takes the grant back at Google, and Google tells us, as Cross-Account Protection does."""
        address = self._address(body)
        google = self._stack.google
        google.accounts.revoke_account(address)
        event = google.oauth.security_event("tokens-revoked", address)
        answer = self._stack.call(None, "POST", "/oauth_callback/risc", data=event)
        self._stack.settle()
        return {"status": answer.status_code}

    def _quota(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Another program of the user's has spent the minute: what comes now is told when to come again."""
        gmail = self._stack.google.gmail
        gmail.quota.use_up(gmail.mailbox(self._address(body)))
        return {}

    def _slow(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self._stack.faults.inject(Fault("gmail", mailbox=self._address(body), delay_s=_SLOW_S, count=_STRIKES))
        return {"seconds": _SLOW_S, "calls": _STRIKES}

    def _outage(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self._stack.faults.inject(
            Fault("gmail", mailbox=self._address(body), status=503, reason="backendError", count=_STRIKES)
        )
        return {"calls": _STRIKES}

    def _mend(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """All faults go, and a minute, so that every mailbox has its quota again."""
        self._stack.faults.clear()
        self._stack.advance(61)
        self._stack.settle()
        return {}

    def _address(self, body: Mapping[str, Any]) -> str:
        person = next((one for one in USERS if one.id == body.get("user")), None)
        if person is None:
            raise Unusable(f"user must be one of {', '.join(one.id for one in USERS)}")
        return person.email
