"""Owns the list of connections that are not healthy, with the reason that their users are told."""

from __future__ import annotations

import argparse
from collections import Counter

import msgspec

from common.connection import PAGE, ConnectionRow, load_rows
from ops.output import OK, TROUBLE, Output, moment, table

HELP = {
    "unhealthy": """
        Each user is told the same on the page of the CRM, with what to do about it. The word is `degraded` where
        something waits or repeats by itself, `broken` where a person must act. Reads five documents a connection.

        examples:
          python -m ops unhealthy
          python -m ops unhealthy --word broken --json | jq -r '.connections[].user_id'

        exit code: 1 where there is any.
        """
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--word", choices=["degraded", "broken"], help="only those called so")
    parser.add_argument("--language", choices=["en", "de"], default="en", help="of the advice (default: en)")


def run(options: argparse.Namespace, output: Output) -> int:
    """Reads all connections and shows those that are not healthy."""
    words: Counter[str] = Counter()
    found: list[ConnectionRow] = []
    after = ""
    while True:
        rows = load_rows(after, options.language)
        words.update(row.health.word for row in rows)
        found += [row for row in rows if row.health.word != "healthy" and options.word in (None, row.health.word)]
        if len(rows) < PAGE:
            break
        after = rows[-1].user_id
        output.progress(f"{words.total()} connections read, {len(found)} found")
    result = {"looked_at": words.total(), "words": dict(words), "connections": [_shown(row) for row in found]}
    output.show(result, _lines(found, words))
    return TROUBLE if found else OK


def _shown(row: ConnectionRow) -> dict[str, object]:
    health = msgspec.to_builtins(row.health)
    return {"user_id": row.user_id, "status": row.status, "connected_at": row.connected_at, **health}


def _lines(found: list[ConnectionRow], words: Counter[str]) -> list[str]:
    cells = [
        (row.user_id, row.health.word, row.health.reason, moment(row.connected_at), row.health.advice) for row in found
    ]
    counted = f"{len(found)} of {words.total()} connections"
    return [*table(cells, ("user", "word", "reason", "connected", "what to do")), counted] if found else [counted]
