"""Owns the figures of Gmail's units: what sweeps, pushes and pages cost, by the ledger."""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures import Figure
from bench.rig import EMILY, JONAS, MIA, PAGE, SEARCH, Rig
from local import environment
from local.ledger import units


def measure(rig: Rig) -> Iterator[Figure]:
    """The design's table of costs, row by row."""
    stack = rig.sorted()
    yield _figure("idle sweep", units(rig.gmail_calls(stack.sweep)), 0)
    yield _figure("pushed mail", units(rig.gmail_calls(lambda: _arrive(rig, MIA))), 22)
    yield _figure("stale push", units(rig.gmail_calls(lambda: _push_again(rig))), 0)
    stack.sweep()
    stack.catch_up(within_s=60)
    _arrive(rig, *[MIA, JONAS, EMILY] * 10)
    # The sweep's own changes are to cause no push within this count.
    with rig.unpushed():
        yield _figure("sweep of 30 new mails in 3 categories", units(rig.gmail_calls(stack.sweep)), 152)
    # The sweep's echo is read a minute later.
    stack.catch_up(within_s=120)
    yield _figure("cold page of 20", units(rig.gmail_calls(lambda: _page(rig))), 406)
    yield _figure("warm page", units(rig.gmail_calls(lambda: _page(rig))), 7)
    yield _idle_day(rig)


def _idle_day(rig: Rig) -> Figure:
    stack = rig.stack
    for _ in range(2):
        stack.sweep()
        stack.catch_up(within_s=900)
    stack.advance(24 * 3600)

    def pass_a_day() -> None:
        stack.run_job("magnet-renew")
        stack.catch_up(within_s=3600)
        stack.sweep()

    return _figure("idle day", units(rig.gmail_calls(pass_a_day)), 107)


def _figure(what: str, value: int, goal: int) -> Figure:
    return Figure(f"units: {what}", value, "units", f"= {goal}")


def _arrive(rig: Rig, *senders: str) -> None:
    rig.deliver_unpushed(*senders)
    rig.stack.settle()


def _push_again(rig: Rig) -> None:
    last = rig.pubsub.messages(environment.TOPIC)[-1].message_id
    rig.pubsub.redeliver(last, times=3)
    rig.stack.settle()


def _page(rig: Rig) -> None:
    rig.stack.ask("anna", "POST", SEARCH, json=PAGE)
