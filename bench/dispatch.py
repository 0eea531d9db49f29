"""Dispatches among few and among very many connected users, with as many due: does it cost the same?

``python -m bench.dispatch --users 100000`` writes ``bench/results/dispatch.json`` and ``.md``. Owns the count of calls
and documents.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Final

from bench.crowd import Crowd
from bench.results import machine, table, write
from local import environment
from local.stack import Stack

DUE: Final = 50
_FEW: Final = 100
_TIMEOUT_S: Final = 300.0


@dataclass(frozen=True)
class Cost:
    """What one dispatch has cost: calls and documents of Firestore, tasks made."""

    firestore_calls: int
    documents_read: int
    documents_written: int
    tasks: int


def cost_of_dispatch(stack: Stack, idle: int, due: int = DUE) -> Cost:
    """Of one dispatch among ``idle`` users with nothing to do and ``due`` with work. Leaves their tasks undone."""
    crowd = Crowd(stack)
    crowd.add_idle(idle)
    crowd.add_due(due)
    mark = stack.ledger.mark()
    stack.google.tasks.pause()
    call_dispatch(stack)
    calls = stack.ledger.since(mark)
    stack.google.tasks.clear()
    stack.google.tasks.resume()
    units: Counter[str] = Counter()
    for call in calls:
        if call.service == "firestore":
            units[call.method.rpartition(".")[2]] += call.units
    return Cost(
        firestore_calls=len({call.http_id for call in calls if call.service == "firestore"}),
        documents_read=units["read"],
        documents_written=units["write"] + units["delete"],
        tasks=sum(call.method == "CreateTask" for call in calls),
    )


def call_dispatch(stack: Stack) -> None:
    """The scheduler's call, and its answer."""
    url = stack.url("/label_sweep")
    headers = {"Authorization": f"Bearer {stack.google.tokens.mint(environment.SCHEDULER, url)}"}
    stack.call(None, "POST", "/label_sweep/", headers=headers, timeout_s=_TIMEOUT_S).raise_for_status()


def main() -> int:
    """Runs both, writes the results; 1 where they do not cost the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    many: int = parser.parse_args().users
    with Stack() as stack:
        costs = {}
        for users in (_FEW, many):
            costs[users] = cost_of_dispatch(stack, users - DUE)
            print(f"{users:7} users: {costs[users]}", flush=True)
            stack.reset()
    figures = {f"{users} users, {DUE} due": asdict(cost) for users, cost in costs.items()}
    write("dispatch", "Dispatch: few and many connected users, as many due", machine() | figures, table(figures))
    return 0 if costs[_FEW] == costs[many] else 1


if __name__ == "__main__":
    sys.exit(main())
