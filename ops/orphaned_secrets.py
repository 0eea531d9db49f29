"""Owns the search for secrets of connections that neither a connection nor a revocation owns."""

from __future__ import annotations

import argparse
from datetime import timedelta

from common import clock, secrets
from common.housekeeping import ORPHAN_AFTER
from common.store.client import store
from ops.output import OK, TROUBLE, Output, Usage

HELP = {
    "orphaned-secrets": """
        Refresh tokens lie in Secret Manager, one secret a connection (gmail-...). The daily housekeeping destroys
        those that nobody owns; this command finds them without waiting. Values are never read.

        examples:
          python -m ops orphaned-secrets
          python -m ops orphaned-secrets --delete

        exit code: 1 where there are some that were not deleted.
        """
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--delete", action="store_true", help="destroy them; that cannot be taken back")
    parser.add_argument(
        "--older-than-hours",
        type=float,
        default=ORPHAN_AFTER.total_seconds() / 3600,
        metavar="N",
        help="leave out younger ones, as a claim may be under way (default and least: %(default)s)",
    )


def run(options: argparse.Namespace, output: Output) -> int:
    """Finds them all, then deletes them if that was asked for."""
    age = timedelta(hours=options.older_than_hours)
    if age < ORPHAN_AFTER:
        raise Usage(f"younger than {ORPHAN_AFTER} a secret may belong to a claim under way")
    looked_at, orphans, page = 0, [], ""
    while True:
        names, page = secrets.list_page(page, created_before=clock.now() - age)
        looked_at += len(names)
        owned = store().connections.find_secrets(names) | store().revocations.find_secrets(names)
        orphans += [name for name in names if name not in owned]
        if not page:
            break
        output.progress(f"{looked_at} secrets looked at, {len(orphans)} without an owner")
    if options.delete:
        _delete(orphans, output)
    done = "deleted" if options.delete else "found"
    result = {"looked_at": looked_at, "orphans": orphans, "deleted": options.delete}
    output.show(result, [*orphans, f"{len(orphans)} of {looked_at} secrets have no owner; {len(orphans)} {done}"])
    return TROUBLE if orphans and not options.delete else OK


def _delete(orphans: list[str], output: Output) -> None:
    for number, name in enumerate(orphans, 1):
        secrets.destroy(name)
        if number % 50 == 0:
            output.progress(f"{number} of {len(orphans)} deleted")
