"""Owns the export of what administrators may keep: the audit, the policy and the connections, as JSON lines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from common import audit, policy
from common.connection import PAGE, load_rows
from common.store.client import store
from ops.output import OK, Output, Trouble, Usage, plain

_PAGE = 500

HELP = {
    "export": """
        One JSON object a line, to stdout or a file that must not exist yet. The audit comes newest first: who did
        what to connections, sharing and policy, and how often whose shared mail was read, by day; never a mail.
        It names people: keep it as your own rules say. Connections come as administrators see them in the CRM.

        examples:
          python -m ops export audit --since 2026-01-01 --out audit.jsonl
          python -m ops export audit | jq -r 'select(.action == "policy_changed")'
          python -m ops export policy
          python -m ops export connections | jq -r .user_id
        """
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["audit", "policy", "connections"])
    parser.add_argument("--since", metavar="TIME", help="audit: nothing older than this date or time (UTC)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there, readable by you alone")


def run(options: argparse.Namespace, output: Output) -> int:
    """Writes the lines; with --out, the result is how many there are."""
    since = _parse_time(options.since) if options.since else None
    records = {"audit": lambda: _audit(since), "policy": _policy, "connections": _connections}[options.what]()
    count = 0
    with _target(options.out) as target:
        for record in records:
            target.write(json.dumps(msgspec.to_builtins(record), ensure_ascii=False, default=plain) + "\n")
            count += 1
            if count % _PAGE == 0:
                output.progress(f"{count} records written")
    if options.out:
        output.show({"records": count, "file": str(options.out)}, [f"{count} records in {options.out}"])
    return OK


def _audit(since: datetime | None) -> Iterator[Any]:
    before = None
    while True:
        page = store().audit.page(before=before, limit=_PAGE)
        for record in page:
            if since is not None and record.at < since:
                return
            yield audit.entry(record)
        if len(page) < _PAGE:
            return
        before = (page[-1].at, page[-1].record_id)


def _policy() -> Iterator[Any]:
    yield policy.answer(store().policies.load_policy().value)


def _connections() -> Iterator[Any]:
    after = ""
    while True:
        rows = load_rows(after, "en")
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1].user_id


def _parse_time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"{text} is not a date or time such as 2026-01-31") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@contextmanager
def _target(path: Path | None) -> Iterator[IO[str]]:
    if path is None:
        yield sys.stdout
        return
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise Trouble("file-exists", f"{path} exists already; it is not overwritten") from None
    except OSError:
        raise Usage(f"{path} cannot be written") from None
    with path.open("w", encoding="utf-8") as target:
        yield target
