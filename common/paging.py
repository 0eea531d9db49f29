"""Owns page tokens: opaque, sealed, and good only for the caller and the query they were made for. Knows no store."""

from __future__ import annotations

from typing import Any

from common.errors import BadRequest
from common.keys import Unsealable, keys

# A timeline of ten mailboxes remembers where each goes on.
_MAX_TOKEN_CHARS = 65_536


def seal_page(position: Any, *bound: str) -> str:
    """A token that holds ``position`` (JSON), bound to ``bound``: the route, the caller, whatever the query says."""
    return keys().seal("page", [list(bound), position])


def parse_page(unverified_token: str, *bound: str) -> Any:
    """The position that the token holds; None for an empty one. Raises BadRequest for a foreign or changed token."""
    if not unverified_token:
        return None
    if len(unverified_token) > _MAX_TOKEN_CHARS:
        raise BadRequest("invalid-page-token")
    try:
        sealed_bound, position = keys().unseal("page", unverified_token)
    except (Unsealable, UnicodeError) as error:
        raise BadRequest("invalid-page-token") from error
    if sealed_bound != list(bound):
        raise BadRequest("invalid-page-token", "the token belongs to another query")
    return position
