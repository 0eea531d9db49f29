"""Owns when the heavy libraries are imported: at their first use, not when a function starts.

Google's clients, PyJWT and requests take longer to import than all the rest. Imports nothing of the project.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any


class _LazyModule:
    """Stands for a module. Importing is safe between threads, and once done a look into a dictionary."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


def lazy_module(name: str) -> Any:
    """The module of this name, which is imported when something of it is first asked for."""
    return _LazyModule(name)


if TYPE_CHECKING:
    import jwt
    import requests
    from google.api_core import exceptions as google_errors
    from google.api_core import retry as google_retry
    from google.cloud import firestore
else:
    jwt = lazy_module("jwt")
    requests = lazy_module("requests")
    google_errors = lazy_module("google.api_core.exceptions")
    google_retry = lazy_module("google.api_core.retry")
    firestore = lazy_module("google.cloud.firestore")


@cache
def passing_errors() -> tuple[type[Exception], ...]:
    """Trouble of Google's services that passes by itself, by the classes of their libraries."""
    return (
        google_errors.ServiceUnavailable,
        google_errors.DeadlineExceeded,
        google_errors.TooManyRequests,
        google_errors.Aborted,
        google_errors.InternalServerError,
        google_errors.RetryError,
    )


__all__ = [
    "firestore", "google_errors", "google_retry", "jwt", "lazy_module", "passing_errors", "requests",
]  # fmt: skip
