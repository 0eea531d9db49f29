"""Owns the loading of the CRM's records from files, by the product's own route, so that all its rules hold."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from requests import Response

from common import clock
from ops import google, names
from ops.directory_files import BadLine, Line, read_lines
from ops.environment import TOKEN, load_token
from ops.output import OK, TROUBLE, Output, Trouble, Usage

KINDS: Final = ("users", "contacts", "deals")
# Both are limits of the route (common/directory_load.py, common/web.py); the second with room for the frame.
_MOST_RECORDS: Final = 400
_MOST_BYTES: Final = 1_000_000
_TRIES: Final = 6
_LONGEST_PAUSE_S: Final = 60.0
_SHOWN: Final = 50
_TIMEOUT_S: Final = 120.0

HELP = {
    "load-directory": f"""
        Records are written by POST /directory with a token of the CRM that has the permission directory_write
        ({TOKEN}, or --token-file). Each line is judged by itself: a bad one is reported and spoils no other.
        Loading the same file again changes nothing.

        JSON lines hold what the route takes, one object a line (openapi.yaml, POST /directory). CSV files have a
        head line; several values in one cell are parted by semicolons:

          users.csv     id,active,role,permissions,email,name
                        anna,true,sales,mail_integration,anna@crm.example,Anna Berger
          contacts.csv  id,name,addresses,owner,visible_to
                        mia,Mia Schneider,mia@customer.example;m.s@customer.example,anna,everyone
          deals.csv     id,title,state,closing_date,contacts,owner,visible_to
                        d-1,Office,open,2026-11-30,mia,anna,role:sales;ben

        An address may say since when it stands on the contact: mia@customer.example@2024-01-31T00:00:00Z; else
        that is now, and colleagues see no older mail by it.

        --full: what of the kinds given the files do not name is deleted at the end, unless a line was bad, since
        a record in a bad line would be deleted, too. Mend the lines, then load again. An empty file ends it as well.

        examples:
          python -m ops load-directory --users users.csv --contacts contacts.jsonl --token-file backend.jwt
          python -m ops load-directory --full --users users.csv --contacts contacts.csv --deals deals.csv

        exit code: 1 where a line was bad; the others are loaded.
        """
}


@dataclass
class _Loaded:
    """How far the load has come."""

    written: int = 0
    empty: list[str] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)


@dataclass
class _Portion:
    """Lines of one kind that go into one request."""

    kind: str
    path: Path
    lines: list[Line] = field(default_factory=list)
    bytes: int = 0

    def takes(self, size: int) -> bool:
        return not self.lines or (len(self.lines) < _MOST_RECORDS and self.bytes + size <= _MOST_BYTES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=Path, metavar="FILE", help=f"{kind}: .csv, .jsonl or .ndjson")
    parser.add_argument("--full", action="store_true", help="delete what the files do not name")
    parser.add_argument("--allow-empty", action="store_true", help="with --full: a file may be empty")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a file that holds the CRM's token")


def run(options: argparse.Namespace, output: Output) -> int:
    """Loads the files, ends a full load, and reports the bad lines."""
    files = {kind: path for kind in KINDS if (path := getattr(options, kind)) is not None}
    if not files:
        raise Usage("name at least one file: --users, --contacts, --deals")
    token = load_token(options.token_file)
    load_id = clock.now().strftime("ops-%Y%m%dT%H%M%S.%fZ") if options.full else ""
    loaded = _Loaded()
    for kind, path in files.items():
        _load_file(kind, path, load_id, token, loaded, output)
    if loaded.empty and options.full and not options.allow_empty:
        what = ", ".join(loaded.empty)
        raise Trouble("file-empty", f"{what}: no record; --full would delete all of the kind. If so: --allow-empty")
    is_ended = bool(load_id) and not loaded.bad
    if is_ended:
        _end(load_id, list(files), token, output)
    _show(loaded, is_full=options.full, is_ended=is_ended, output=output)
    return TROUBLE if loaded.bad else OK


def _load_file(kind: str, path: Path, load_id: str, token: str, loaded: _Loaded, output: Output) -> None:
    before = loaded.written
    for portion in _portions(kind, path, loaded):
        body: dict[str, Any] = {kind: [line.record for line in portion.lines]}
        answer = _post(body | ({"full_load": load_id} if load_id else {}), token, output)
        _take(answer, portion, loaded)
        output.progress(f"{path.name}: line {portion.lines[-1].number}, {loaded.written} loaded, {len(loaded.bad)} bad")
    if loaded.written == before:
        loaded.empty.append(path.name)


def _portions(kind: str, path: Path, loaded: _Loaded) -> Iterator[_Portion]:
    portion = _Portion(kind, path)
    for line in read_lines(path, kind):
        if isinstance(line, BadLine):
            loaded.bad.append(line)
            continue
        size = len(json.dumps(line.record)) + 1
        if not portion.takes(size):
            yield portion
            portion = _Portion(kind, path)
        portion.lines.append(line)
        portion.bytes += size
    if portion.lines:
        yield portion


def _take(answer: dict[str, Any], portion: _Portion, loaded: _Loaded) -> None:
    for result in answer["results"]:
        if result["ok"]:
            loaded.written += 1
            continue
        line = portion.lines[result["index"]]
        detail = str(result.get("detail", ""))
        loaded.bad.append(BadLine(portion.path.name, line.number, str(result.get("id", "")), result["code"], detail))


def _post(body: dict[str, Any], token: str, output: Output) -> dict[str, Any]:
    """The answer of the route, tried again where it says that this may help. Raises Trouble."""
    url = f"{names.public_url('mail_proxy')}/directory"
    for attempt in range(_TRIES):
        answer = google.call("POST", url, json=body, token=token, timeout_s=_TIMEOUT_S)
        pause_s = None
        if not answer.ok:
            hint = answer.headers.get("Retry-After", "")
            pause_s = plan_pause_s(answer.status_code, hint, attempt, is_retryable=_is_retryable(answer))
        if pause_s is None or attempt == _TRIES - 1:
            break
        output.progress(f"answered {answer.status_code}; tried again in {pause_s:.0f} s")
        time.sleep(pause_s)
    google.verify_answer(answer)
    taken: dict[str, Any] = answer.json()
    return taken


def plan_pause_s(status: int, retry_after: str, attempt: int, *, is_retryable: bool) -> float | None:
    """How long to wait before a request is repeated, in seconds; None where that is of no use."""
    if not is_retryable and status not in (429, 502, 503, 504):
        return None
    asked_s = float(retry_after) if retry_after.isdecimal() else 0.0
    return min(max(asked_s, 2.0**attempt), _LONGEST_PAUSE_S)


def _is_retryable(answer: Response) -> bool:
    try:
        return answer.json().get("retryable") is True
    except (ValueError, AttributeError):
        return False


def _end(load_id: str, kinds: list[str], token: str, output: Output) -> None:
    # Named even where a file is empty: then everything of this kind goes.
    body: dict[str, Any] = {kind: [] for kind in kinds} | {"full_load": load_id, "done": True}
    pages = 0
    while _post(body, token, output)["more"]:
        pages += 1
        output.progress(f"deleting what was not named: {pages * 300} records looked at")
        body = {"full_load": load_id, "done": True}
        if pages > 100_000:
            raise Trouble("full-load-endless", "the end of the full load is not reached; run the command again")


def _show(loaded: _Loaded, *, is_full: bool, is_ended: bool, output: Output) -> None:
    bad = [f"{one.file}:{one.line}  {one.id or '-'}  {one.code}  {one.detail}".rstrip() for one in loaded.bad]
    lines = bad[:_SHOWN]
    if len(bad) > _SHOWN:
        lines.append(f"... and {len(bad) - _SHOWN} more; --json names all")
    lines.append(f"{loaded.written} records loaded, {len(bad)} lines bad")
    if is_full:
        lines.append(
            "what the files do not name is deleted" if is_ended else "nothing was deleted, since lines were bad"
        )
    result = {
        "loaded": loaded.written,
        "bad_lines": [asdict(one) for one in loaded.bad],
        "full_load": is_full,
        "deleted_unnamed": is_ended,
    }
    output.show(result, lines)
