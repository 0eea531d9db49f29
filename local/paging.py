"""Google's paging of lists in the gRPC stand-ins. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import grpc

from local.rpc import refuse

Item = TypeVar("Item")


def page_of(items: Sequence[Item], token: str, size: int, *, largest: int) -> tuple[list[Item], str]:
    """One page and the token of the next one, ``""`` at the end. ``size`` 0: the largest. Refuses foreign tokens."""
    if size < 0:
        refuse(grpc.StatusCode.INVALID_ARGUMENT, "page_size must not be negative.")
    if token and not token.isdecimal():
        refuse(grpc.StatusCode.INVALID_ARGUMENT, "The page token is not valid.")
    start = int(token or 0)
    end = start + min(size or largest, largest)
    return list(items[start:end]), str(end) if end < len(items) else ""
