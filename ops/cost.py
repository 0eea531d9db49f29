"""Owns the estimate of a month: Gmail's units, and Google Cloud's services by their list prices."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ops import figures
from ops.figures import PRICES, PROFILES, WORK, Work, parse_work
from ops.output import OK, Output, Usage, table

NEEDS_DEPLOYMENT = False
_COMMITTED: Final = Path(__file__).resolve().parent.parent / "bench" / "results" / "work.json"

HELP = {
    "cost": """
        What each piece of work takes was measured on the local stack: Gmail's units and Firestore's operations
        are exact; the seconds that an instance is busy are assumed, and counted as if nobody shared it, so that
        the bill will be lower. Free quotas and taxes are left out; list prices of us-central1.

        Needs no environment. --set changes what a user does a working day: see --json for the names.

        examples:
          python -m ops cost --users 1000
          python -m ops cost --users 50 --profile heavy --set send=100 --set poll=0
          python -m ops cost --users 1000 --figures measured.json   # {"page": {"seconds": 0.6}}
        """
}


@dataclass(frozen=True)
class Estimate:
    """A month of a deployment: amounts and dollars by what is billed, and Gmail's units on a working day."""

    amounts: Mapping[str, float]
    dollars: Mapping[str, float]
    gmail_units_a_day: float

    @property
    def total(self) -> float:
        return sum(self.dollars.values())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=int, default=1000, metavar="N", help="connected users (default: %(default)s)")
    parser.add_argument("--profile", choices=list(PROFILES), default="typical", help="how they work (default: typical)")
    parser.add_argument("--set", action="append", default=[], metavar="WORK=N", help="so many a user and working day")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="other measured figures, as JSON")


def run(options: argparse.Namespace, output: Output) -> int:
    """Works it out and shows it."""
    if options.users < 1:
        raise Usage("--users must be 1 or more")
    habits = PROFILES[options.profile] | _parse_settings(options.set)
    estimate = plan_estimate(options.users, habits, _load_work(options.figures))
    result = {
        "users": options.users,
        "profile": options.profile,
        "habits": habits,
        "amounts": estimate.amounts,
        "dollars": {name: round(value, 4) for name, value in estimate.dollars.items()},
        "dollars_total": round(estimate.total, 2),
        "dollars_per_user": round(estimate.total / options.users, 4),
        "gmail_units_a_day": round(estimate.gmail_units_a_day),
    }
    output.show(result, _lines(options.users, options.profile, estimate))
    return OK


def plan_estimate(users: int, habits: Mapping[str, float], work: Mapping[str, Work]) -> Estimate:
    """A month of ``users`` who work like that, each with MailMagnet and labels on."""
    times = {name: users * count * figures.WORKING_DAYS for name, count in habits.items()}
    times |= {"renewal": users * figures.DAYS, "dispatch": figures.DISPATCHES}
    amounts: defaultdict[str, float] = defaultdict(float)
    for name, count in times.items():
        for what, amount in asdict(work[name]).items():
            amounts[what] += amount * count
    day = users * sum(work[name].gmail_units * count for name, count in habits.items())
    pushes = times.get("customer_mail", 0) + times.get("other_mail", 0)
    dollars = {what: amounts[what] * price for what, price in PRICES.items()}
    dollars["secrets_held"] = (users + figures.DEPLOYMENT_SECRETS) * figures.SECRET_MONTH
    dollars["scheduler_jobs"] = figures.JOBS * figures.JOB_MONTH
    dollars["pubsub"] = pushes * figures.PUSH_BYTES * figures.PUBSUB_BYTE
    amounts |= {"secrets_held": users + figures.DEPLOYMENT_SECRETS, "scheduler_jobs": figures.JOBS, "pubsub": pushes}
    return Estimate(dict(amounts), dollars, day + users * work["renewal"].gmail_units)


def _parse_settings(texts: list[str]) -> dict[str, float]:
    settings = {}
    for text in texts:
        name, equals, count = text.partition("=")
        try:
            settings[name] = float(count)
        except ValueError:
            raise Usage(f"--set {text}: WORK=N is wanted, such as send=20") from None
        if name not in PROFILES["typical"] or not equals or not 0 <= settings[name] < 1e6:
            raise Usage(f"--set {text}: WORK is one of {', '.join(PROFILES['typical'])}, N a number from 0")
    return settings


def _load_work(path: Path | None) -> Mapping[str, Work]:
    if path is None and not _COMMITTED.exists():
        return WORK
    source = path or _COMMITTED
    try:
        found: Any = json.loads(source.read_text(encoding="utf-8"))
        return parse_work(found)
    except OSError:
        raise Usage(f"{source} cannot be read") from None
    except ValueError as error:
        raise Usage(f"{source}: {error}") from None


def _lines(users: int, profile: str, estimate: Estimate) -> list[str]:
    ordered = sorted(estimate.dollars.items(), key=lambda item: -item[1])
    rows = [(name.replace("_", " "), f"{estimate.amounts[name]:,.0f}", f"{dollars:,.2f}") for name, dollars in ordered]
    share = 100 * estimate.gmail_units_a_day / figures.FREE_UNITS_A_DAY
    return [
        f"{users} users, {profile}: {estimate.total:,.2f} USD a month, {estimate.total / users:,.3f} USD a user",
        *(f"  {line}" for line in table(rows, ("what", "a month", "USD"))),
        f"Gmail: {estimate.gmail_units_a_day:,.0f} units a working day, {share:.1f} % of what costs nothing",
    ]
