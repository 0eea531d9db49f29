"""Owns the question whether Gmail has authenticated a mail's From (RFC 8601, RFC 7489).

May import only the mail package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.mail.addresses import domain, normalise, organisational_domain
from common.mail.addresses import from_address as only_from_address
from common.mail.headers import all_values
from common.mail.limits import MAX_HEADER_CHARS

if TYPE_CHECKING:
    from common.mail.headers import Headers

_GMAIL = "mx.google.com"
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|;|[^"();]+', re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
# A value may be an address whose local part is quoted, and hold "=" (RFC 8601, 2.2: pvalue).
_PAIR = re.compile(r'([^\s="]+)\s*=\s*((?:"(?:[^"\\]|\\.)*"|[^\s"]+)+)\s*', re.DOTALL)
_COMMENT_PIECE = re.compile(r"[^()\\]+|\\.|[()]", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class Result:
    """One method's result: ``dkim``, ``pass``, and its properties, such as ``header.i``, lower-case names."""

    method: str
    result: str
    properties: dict[str, str] = field(default_factory=dict)


class _UnreadableError(Exception):
    """The header does not follow RFC 8601: it vouches for nothing."""


def is_authenticated(headers: Headers, from_address: str) -> bool:
    """Whether Gmail's own, topmost Authentication-Results vouch for From.

    True for ``dmarc=pass``; where the domain has no DMARC record, also for a dkim or spf pass of From's own
    organisational domain. What stands below the topmost header may be the sender's work and never counts.
    """
    stated = all_values(headers, "From")
    if stated and only_from_address(headers) != normalise(from_address):
        return False
    values = all_values(headers, "Authentication-Results")
    try:
        server, results = parse_results(values[0]) if values else ("", [])
    except _UnreadableError:
        return False
    return server == _GMAIL and _vouches(results, organisational_domain(domain(from_address)))


def _vouches(results: list[Result], own_domain: str) -> bool:
    if not own_domain or not _is_plausible(results):
        return False
    dmarc = next((result for result in results if result.method == "dmarc"), None)
    # RFC 7489, 11.2: "none" says that the domain publishes no record.
    if dmarc and dmarc.result != "none":
        stated = dmarc.properties.get("header.from")
        return dmarc.result == "pass" and (stated is None or _organisation(stated) == own_domain)
    return any(result.result == "pass" and _signer(result) == own_domain for result in results)


def _is_plausible(results: list[Result]) -> bool:
    """False where a sender's address may have closed Gmail's comment and written results of its own.

    Gmail repeats the sender's address after what such an address could insert: a second spf result, or a property of
    spf under another method, then stands in the header.
    """
    methods = [result.method for result in results]
    if methods.count("dmarc") > 1 or methods.count("spf") > 1:
        return False
    others = [result for result in results if result.method != "spf"]
    return not any(name.startswith("smtp.") for result in others for name in result.properties)


def _signer(result: Result) -> str | None:
    """The organisational domain that a dkim or spf result speaks for."""
    found = result.properties
    if result.method == "dkim":
        identity = found.get("header.d") or found.get("header.i")
    elif result.method == "spf":
        # RFC 7208, 2.4: HELO stands in only where the return path is empty.
        identity = found.get("smtp.mailfrom", found.get("smtp.helo"))
    else:
        identity = None
    return _organisation(identity) if identity else None


def _organisation(identity: str) -> str:
    return organisational_domain(identity.rpartition("@")[2])


def parse_results(value: str) -> tuple[str, list[Result]]:
    """The authserv-id, lower-case, and the results of an Authentication-Results header (RFC 8601, 2.2).

    Raises an exception of this module where quotes or comments do not close, or a part is no result.
    """
    server, *clauses = _clauses(value[:MAX_HEADER_CHARS])
    # An optional version may follow the id.
    name, *version = server.lower().split() or [""]
    if version not in ([], ["1"]):
        raise _UnreadableError
    return name, [_parse_result(clause) for clause in clauses if clause not in {"", "none"}]


def _parse_result(clause: str) -> Result:
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(clause):
        found = _PAIR.match(clause, at)
        if not found:
            raise _UnreadableError
        pairs.append((found[1].lower(), _unquoted(found[2])))
        at = found.end()
    (method, result), *properties = pairs
    return Result(method.partition("/")[0], result.lower(), dict(properties))


def _unquoted(value: str) -> str:
    return _QUOTED_PAIR.sub(r"\1", value[1:-1]) if _QUOTED.fullmatch(value) else value


def _clauses(value: str) -> list[str]:
    """What stands between the semicolons, comments taken out, quoted strings as they are."""
    clauses: list[list[str]] = [[]]
    at = 0
    while at < len(value):
        if value[at] == "(":
            at = _comment_end(value, at)
            clauses[-1].append(" ")
            continue
        found = _TOKEN.match(value, at)
        if not found:
            raise _UnreadableError
        if found[0] == ";":
            clauses.append([])
        else:
            clauses[-1].append(found[0])
        at = found.end()
    return ["".join(clause).strip() for clause in clauses]


def _comment_end(value: str, start: int) -> int:
    depth = 0
    for piece in _COMMENT_PIECE.finditer(value, start):
        depth += {"(": 1, ")": -1}.get(piece[0], 0)
        if depth == 0:
            return piece.end()
    raise _UnreadableError
