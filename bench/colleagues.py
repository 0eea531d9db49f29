"""Owns what colleagues' views take of a mailbox's minute when they press: in every minute, by the stack's clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from bench.figures import Figure
from bench.rig import MIA, Rig
from local.crm.people import ANNA
from local.ledger import units

_MINUTE_UNITS: Final = 6000
# The defaults of COLLEAGUE_SHARE: each may spend a fifth, all together two fifths.
_EACH: Final = 0.2
_TOGETHER: Final = 0.4
_STEP_S: Final = 5
_STEPS_A_MINUTE: Final = 60 // _STEP_S


def measure(rig: Rig) -> Iterator[Figure]:
    """One colleague, then four at once, who look at Anna's mails with a contact as often as they are let."""
    stack = rig.connected()
    rig.load_contact()
    stack.ask("anna", "PATCH", "/oauth_callback/connection", json={"sharing": "custom"})
    stack.ask("anna", "PUT", "/mail_proxy/contacts/mia/share")
    rig.fill("anna", 50, MIA)
    viewers = [f"viewer-{number}" for number in range(4)]
    for name in viewers:
        stack.add_person(name)
    steps = rig.size(3, 2) * _STEPS_A_MINUTE
    for some, share, who in ((viewers[:1], _EACH, "one"), (viewers, _TOGETHER, "four")):
        spent = [_press(rig, some) for _ in range(steps)]
        worst = max(_in_a_minute(spent, start) for start in range(steps))
        name = f"share of a mailbox's minute that {who} of the colleagues took at most"
        yield Figure(name, worst / _MINUTE_UNITS, "", f"<= {share}", f"asked {steps * _STEP_S} s long")
        stack.advance(120)


def _in_a_minute(spent: Sequence[tuple[datetime, datetime, int]], start: int) -> int:
    """What was spent in the steps that lie whole in the minute that begins with one of them."""
    ends_at = spent[start][0] + timedelta(minutes=1)
    return sum(cost for _, until, cost in spent[start:] if until <= ends_at)


def _press(rig: Rig, viewers: Sequence[str]) -> tuple[datetime, datetime, int]:
    """Each viewer asks until being refused: from when, until when, at what cost; then some seconds pass."""
    began_at = rig.stack.clock.now()
    mark = rig.stack.ledger.mark()
    for name in viewers:
        refused = False
        while not refused:
            page = rig.stack.ask(name, "POST", "/mail_proxy/contacts/mia/emails", json={"mailboxes": ["anna"]})
            refused = any(one["state"] != "ok" for one in page["mailboxes"])
    ended_at = rig.stack.clock.now()
    rig.stack.advance(_STEP_S)
    return began_at, ended_at, units(rig.stack.ledger.since(mark, service="gmail", mailbox=ANNA.email))
