"""Owns what a day of a user takes by profile, and 1,000 users in dollars; writes ``work.json`` for ``ops cost``.

Prices are ``ops``'s: list prices, free quotas left out.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from bench.figures import Figure
from bench.results import RESULTS
from bench.rig import MIA, PAGE, SEARCH, Rig
from ops.figures import DAYS, DISPATCHES, PRICES, SECRET_MONTH

OTHER: Final = "stranger@else.example"
Counts = dict[str, int]
# Mails a day, a third of them of customers, in ten hours; dispatches come all day.
PROFILES: Final = {"idle": 0, "40 mails": 40, "400 mails": 400}
USERS: Final = 1000
_CUSTOMERS_SHARE: Final = 3
_SLOT_S: Final = 600
_SLOTS_OF_WORK: Final = 60
_BILLED: Final = ("firestore_reads", "firestore_writes", "firestore_deletes", "tasks", "secret_accesses", "requests")


def measure(rig: Rig) -> Iterator[Figure]:
    """A day of each profile, played slot by slot; then the pieces of work that ``ops cost`` adds up."""
    for name, mails in PROFILES.items():
        rig.stack.reset()
        user, dispatch = _day(rig, mails, _SLOTS_OF_WORK // rig.size(1, 12))
        for what in ("firestore_reads", "firestore_writes", "secret_accesses", "tasks"):
            yield Figure(f"a user and day, {name}: {what.replace('_', ' ')}", user[what], "a day")
        month = USERS * DAYS * _dollars(user) + DISPATCHES * _dollars(dispatch)
        beside = f"and {USERS * SECRET_MONTH:.0f} USD for the secrets held; instances' time not counted"
        yield Figure(f"{USERS:,} users a month, {name}, beyond the secrets held", month, "USD", "< 10", beside)
    rig.stack.reset()
    _write_work(rig)


def _day(rig: Rig, mails: int, slots: int) -> tuple[dict[str, float], Counts]:
    """What a day takes of one user, without the dispatches that all share; and what one of those takes.

    Where only some slots are played, with as many mails each, the rest is taken to be like them.
    """
    stack = rig.sorted()
    stack.sweep()
    stack.catch_up(within_s=900)
    dispatch = rig.taken(stack.sweep)
    played = mails * slots // _SLOTS_OF_WORK
    arrivals = Counter(number * slots // played for number in range(played))
    numbers = itertools.count()

    def pass_slot(slot: int) -> None:
        for _ in range(arrivals[slot]):
            _arrive(rig, OTHER if next(numbers) % _CUSTOMERS_SHARE else MIA)
        stack.advance(_SLOT_S - 60 - 1.1 * arrivals[slot])
        stack.sweep()
        stack.catch_up(within_s=60)

    def work() -> None:
        for slot in range(slots):
            pass_slot(slot)

    worked = rig.taken(work)
    renewed = rig.taken(lambda: _renew(rig))
    idle = {what: slots * dispatch.get(what, 0) for what in _BILLED}
    return {
        what: (worked.get(what, 0) - idle[what]) * _SLOTS_OF_WORK / slots + renewed.get(what, 0) for what in _BILLED
    }, dispatch


def _dollars(counts: Mapping[str, float]) -> float:
    return sum(counts.get(what, 0) * PRICES[what] for what in _BILLED)


def _write_work(rig: Rig) -> None:
    """The pieces that ``ops cost`` adds up, as they are measured here."""
    stack = rig.sorted()
    rig.fill("anna", 25)
    stack.advance(61)
    tag = stack.call("anna", "GET", "/mail_proxy/notices").headers["ETag"]
    body = {"to": [{"address": MIA}], "subject": "x", "text": "y"}
    works: dict[str, Callable[[], object]] = {
        "dispatch": stack.sweep,
        "page": lambda: stack.ask("anna", "POST", SEARCH, json=PAGE),
        "page_again": lambda: stack.ask("anna", "POST", SEARCH, json=PAGE),
        "contact_page": lambda: stack.ask("anna", "POST", "/mail_proxy/contacts/mia/emails", json={}),
        "poll": lambda: stack.call("anna", "GET", "/mail_proxy/notices", headers={"If-None-Match": tag}),
        "send": lambda: stack.ask(
            "anna", "POST", "/mail_proxy/messages", json=body, headers={"Idempotency-Key": "figures"}
        ),
        "customer_mail": lambda: _arrive(rig, MIA),
        "sweep": lambda: _sweep(rig),
        "other_mail": lambda: _arrive(rig, OTHER),
        "renewal": lambda: _renew(rig),
    }
    found = {}
    for name, work in works.items():
        found[name] = rig.taken(work)
        stack.settle()
        stack.advance(61)
    (RESULTS / "work.json").write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


def _arrive(rig: Rig, sender: str) -> None:
    rig.stack.mail("anna", sender)
    rig.stack.settle()


def _sweep(rig: Rig) -> None:
    rig.stack.sweep()
    rig.stack.catch_up(within_s=60)


def _renew(rig: Rig) -> None:
    # Renewals are spread over an hour.
    rig.stack.advance(86_400)
    rig.stack.run_job("magnet-renew")
    rig.stack.catch_up(within_s=3600)
