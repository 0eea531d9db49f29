"""Runs ``python -m ops``: mostly within this process, on the local stack's environment; a few times as people do."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import clock, secrets
from common.config import config
from common.directory import directory
from common.keys import keys
from common.store.client import store
from local.administration import administration
from local.functions import ROOT
from local.stack import Stack
from ops import cli, google

_CACHES = (
    *(config, keys, store, directory, secrets._client),
    *(google.scheduler, google.tasks, google.secret_manager, google.firestore_admin, google.pubsub),
)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def ops(stack: Stack, *arguments: str | Path, **changes: str | None) -> Ended:
    """One command on the stack. ``changes`` are variables given or, with None, taken away."""
    variables: dict[str, str | None] = {**administration(stack), **changes}
    return run_here({name: value for name, value in variables.items() if value is not None}, *arguments)


def run_here(variables: Mapping[str, str], *arguments: str | Path) -> Ended:
    """One command in this process, on an environment that holds these variables and nothing else of ours."""
    out, err = io.StringIO(), io.StringIO()
    with _environment(variables), redirect_stdout(out), redirect_stderr(err):
        try:
            code = cli.main([str(one) for one in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


def run_ops(variables: Mapping[str, str], *arguments: str | Path) -> Ended:
    """One command in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "ops", *map(str, arguments)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        timeout=90,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before, offset_file = dict(os.environ), clock._OFFSET_FILE
    _forget()
    os.environ.clear()
    os.environ.update({"PATH": before.get("PATH", ""), "HOME": before.get("HOME", ""), "NO_GCE_CHECK": "true"})
    os.environ.update(variables)
    clock._OFFSET_FILE = variables.get("CLOCK_OFFSET_FILE", "")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        clock._OFFSET_FILE = offset_file
        _forget()


def _forget() -> None:
    for cached in _CACHES:
        cached.cache_clear()


def put_deployment_secrets(stack: Stack) -> None:
    """The four secrets of a deployment, with one version each, as after the two applies."""
    for name, value in {
        "oauth-client-secret": stack.functions["oauth_callback"].env["OAUTH_CLIENT_SECRET"],
        "hmac-key": "aG1hYw==",
        "sealing-keys": "c2VhbGluZw==",
        "webhook-key": "d2ViaG9vaw==",
    }.items():
        stack.google.secrets.put(name, value.encode())
