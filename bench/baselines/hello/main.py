"""The bare framework: a function that imports nothing else and answers a word."""

from __future__ import annotations

import flask
import functions_framework


@functions_framework.http
def hello(_request: flask.Request) -> str:
    """The entry point."""
    return "hello"
