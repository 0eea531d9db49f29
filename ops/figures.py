"""Owns what the estimate rests on: what each piece of work was measured to take, list prices, how people work. Pure.

The counts are what the local stack's ledger shows (tests/integration/test_ops_cost.py holds them to it). ``seconds``
are assumed, since only a deployment shows Google's latency: how long an instance is busy with it, alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final


@dataclass(frozen=True)
class Work:
    """What one piece of work takes."""

    gmail_units: float = 0
    firestore_reads: float = 0
    firestore_writes: float = 0
    firestore_deletes: float = 0
    tasks: float = 0
    secret_accesses: float = 0
    requests: float = 0
    seconds: float = 0


WORK: Final = {
    # Every ten minutes, for all users together.
    "dispatch": Work(firestore_reads=8, requests=1, seconds=0.3),
    # Daily, for each user with MailMagnet: watch, identities, and what was missed.
    "renewal": Work(108, 28, 2, 0, tasks=1, secret_accesses=1, requests=2, seconds=1.5),
    "customer_mail": Work(22, 10, 4, 0, requests=1, seconds=0.6),
    "other_mail": Work(22, 8, 1, 0, requests=1, seconds=0.6),
    "sweep": Work(54, 31, 5, 1, tasks=2, requests=2, seconds=1.5),
    "page": Work(406, 5, requests=1, seconds=0.8),
    "page_again": Work(7, 5, requests=1, seconds=0.3),
    "contact_page": Work(405, 18, requests=1, seconds=0.8),
    "poll": Work(firestore_reads=6, requests=1, seconds=0.05),
    "send": Work(100, 5, 3, requests=1, seconds=1.2),
    # An access token lives an hour; each instance that needs one reads the refresh token.
    "token": Work(secret_accesses=1),
}

# Per user and working day.
PROFILES: Final[dict[str, dict[str, float]]] = {
    "light": {
        "customer_mail": 5,
        "other_mail": 20,
        "sweep": 4,
        "page": 4,
        "page_again": 8,
        "contact_page": 5,
        "poll": 120,
        "send": 3,
        "token": 8,
    },
    "typical": {
        "customer_mail": 20,
        "other_mail": 40,
        "sweep": 15,
        "page": 10,
        "page_again": 20,
        "contact_page": 15,
        "poll": 480,
        "send": 10,
        "token": 16,
    },
    "heavy": {
        "customer_mail": 80,
        "other_mail": 120,
        "sweep": 40,
        "page": 30,
        "page_again": 60,
        "contact_page": 40,
        "poll": 960,
        "send": 40,
        "token": 24,
    },
}
WORKING_DAYS: Final = 22
DAYS: Final = 30
DISPATCHES: Final = DAYS * 24 * 6

# List prices, us-central1, US dollars (cloud.google.com/pricing, 2026-11). Free quotas are left out.
PRICES: Final = {
    "firestore_reads": 0.03 / 100_000,
    "firestore_writes": 0.09 / 100_000,
    "firestore_deletes": 0.01 / 100_000,
    "tasks": 0.40 / 1_000_000,
    "secret_accesses": 0.03 / 10_000,
    "requests": 0.40 / 1_000_000,
    # One vCPU and half a GiB.
    "seconds": 0.000024 + 0.5 * 0.0000025,
}
SECRET_MONTH: Final = 0.06
DEPLOYMENT_SECRETS: Final = 4
JOB_MONTH: Final = 0.10
JOBS: Final = 3
PUBSUB_BYTE: Final = 40 / 2**40
# Each message counts as 1 kB at least, once when published and once when pushed.
PUSH_BYTES: Final = 2 * 1000
# What a project may spend a day without paying for it.
FREE_UNITS_A_DAY: Final = 80_000_000


def parse_work(found: Any) -> dict[str, Work]:
    """The table with what ``found`` (work: count: number) replaces in it. Raises ValueError for unknown names."""
    known = {entry.name for entry in fields(Work)}
    if not isinstance(found, dict):
        raise ValueError("one object is wanted")  # noqa: TRY004  (the caller tells all of these alike)
    table = dict(WORK)
    for name, counts in found.items():
        if name not in table or not isinstance(counts, dict) or not counts.keys() <= known:
            raise ValueError(f"{name} is no work, or has counts that are none")
        if not all(isinstance(one, int | float) and one >= 0 for one in counts.values()):
            raise ValueError(f"{name} has a count that is no number")
        table[name] = replace(table[name], **counts)
    return table
