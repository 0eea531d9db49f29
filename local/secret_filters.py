"""The part of Secret Manager's list filter that is used: terms on name and labels, joined by AND or a space.

Pure. Source: https://cloud.google.com/secret-manager/docs/filtering. Anything else is refused, never half understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import grpc

from local.rpc import refuse

Matches = Callable[[str, Mapping[str, str]], bool]
"""Says whether a secret, by its id and labels, is listed."""

_TERM = re.compile(r'\s*(name|labels\.[\w-]+)\s*(:|=)\s*("[^"]*"|[\w./*-]+)')
_AND = re.compile(r"\s+AND\s+|\s+")


def parse_filter(text: str) -> Matches:
    """What the filter lets through; an empty one everything. Refuses with UNIMPLEMENTED what is outside this part."""
    terms: list[Matches] = []
    at = 0
    text = text.strip()
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None:
            refuse(grpc.StatusCode.UNIMPLEMENTED, f"the filter {text!r} is not part of this stand-in")
        terms.append(_term(term[1], term[2], term[3].strip('"')))
        joint = _AND.match(text, term.end())
        if joint is None and term.end() != len(text):
            refuse(grpc.StatusCode.UNIMPLEMENTED, f"the filter {text!r} is not part of this stand-in")
        at = joint.end() if joint else len(text)
    return lambda secret_id, labels: all(term(secret_id, labels) for term in terms)


def _term(field: str, operator: str, value: str) -> Matches:
    if field == "name":
        return _name_term(operator, value)
    key = field.removeprefix("labels.")
    if value == "*":
        return lambda _, labels: key in labels
    if operator == "=":
        return lambda _, labels: labels.get(key) == value
    return lambda _, labels: value in labels.get(key, "")


def _name_term(operator: str, value: str) -> Matches:
    wanted = value.rpartition("/")[2]
    if operator == "=":
        return lambda secret_id, _: secret_id == wanted
    if wanted.endswith("*"):
        return lambda secret_id, _: secret_id.startswith(wanted[:-1])
    return lambda secret_id, _: wanted in secret_id
