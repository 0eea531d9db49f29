"""Owns the command line: which commands there are, what all of them take, and how trouble is told.

A command is a module with ``add_arguments(parser)`` and ``run(options, output) -> exit code``; it is imported only when
it is called, after the environment is complete.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ops import environment
from ops.output import OK, TROUBLE, Output, Trouble, Usage

# Name: module, summary.
COMMANDS: Final = {
    "doctor": ("ops.doctor", "check everything after an apply, and say what to mend"),
    "status": ("ops.status", "show functions, queues, jobs, dead letters, connections, the last sweep"),
    "unhealthy": ("ops.unhealthy", "list connections that are not healthy, and why"),
    "load-directory": ("ops.load_directory", "load users, contacts and deals from CSV or JSON lines"),
    "sweep-now": ("ops.sweeping", "let the scheduler sweep now"),
    "pause": ("ops.sweeping", "pause the sweep"),
    "resume": ("ops.sweeping", "let the sweep run again"),
    "deactivate": ("ops.deactivate", "end the connections of users"),
    "rotate": ("ops.rotate", "renew the webhook's key or the sealing keys, step by step"),
    "register-risc": ("ops.register_risc", "have Google tell us of endangered accounts"),
    "replay-dead-letters": ("ops.replay_dead_letters", "publish dead pushes once more"),
    "orphaned-secrets": ("ops.orphaned_secrets", "find refresh tokens that nobody owns"),
    "cost": ("ops.cost", "estimate a month's cost and Gmail's units"),
    "export": ("ops.export", "write the audit, the policy or the connections as JSON lines"),
}

_TEXT: Final = """\
For administrators of one deployment. What it works on is named by the functions' own environment:

  terraform -chdir=terraform output -json ops_environment > ops.json
  gcloud auth application-default login
  python -m ops --environment ops.json doctor

  make run                          # in another terminal
  python -m ops --local status      # the local stack

Results go to stdout, as JSON with --json; progress goes to stderr.
Exit code: 0 all is well, 1 trouble was found, 2 the command was not understood.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit code."""
    shared = _shared()
    options, rest = shared.parse_known_args(arguments)
    output = Output(as_json=options.json)
    parser = _top(shared)
    if not rest or rest[0] not in COMMANDS:
        # It says what there is, or what was not understood.
        parser.parse_args(rest)
    try:
        _prepare(options)
        code = _run(rest[0], rest[1:], shared, output)
        # Here, where a closed pipe can still be told from trouble.
        sys.stdout.flush()
    except Trouble as trouble:
        return output.fail(trouble)
    except BrokenPipeError:
        # Whoever read the output has had enough of it; Python would try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TROUBLE
    except KeyboardInterrupt:
        return output.fail(Trouble("interrupted", "what was done until now stays done; the command can be run again"))
    return code


def _shared() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = shared.add_argument_group("for every command")
    group.add_argument("--json", action="store_true", help="one JSON document on stdout")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="work on the local stack that `make run` started")
    where.add_argument("--environment", type=Path, metavar="FILE", help="variables as JSON, over those that are set")
    return shared


def _top(shared: argparse.ArgumentParser) -> argparse.ArgumentParser:
    commands = "\n".join(f"  {name:20} {summary}" for name, (_, summary) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m ops",
        parents=[shared],
        description=_TEXT,
        epilog=f"commands:\n{commands}\n\nMore on one of them: python -m ops COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND")
    return parser


def _prepare(options: argparse.Namespace) -> None:
    if options.local:
        environment.use_file(environment.LOCAL_FILE)
    elif options.environment:
        environment.use_file(options.environment)


def _run(name: str, arguments: Sequence[str], shared: argparse.ArgumentParser, output: Output) -> int:
    module_name, summary = COMMANDS[name]
    command: Any = importlib.import_module(module_name)
    parser = argparse.ArgumentParser(
        prog=f"python -m ops {name}",
        parents=[shared],
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{textwrap.dedent(command.HELP[name]).strip()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    options = parser.parse_args(arguments)
    options.command = name
    return _guarded(command, options, output)


def _guarded(command: Any, options: argparse.Namespace, output: Output) -> int:
    # Only here: importing them takes half a second, and --help must not.
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from googleapiclient.errors import HttpError
    from httplib2 import HttpLib2Error

    from common.config import ConfigurationError, config
    from common.errors import Problem

    for library in ("google.auth", "googleapiclient"):
        # They warn of what is told in our own words.
        logging.getLogger(library).setLevel(logging.ERROR)
    try:
        if getattr(command, "NEEDS_DEPLOYMENT", True):
            # First, since without it clients would look for credentials in vain.
            config()
        code: int = command.run(options, output)
    except BrokenPipeError:
        raise
    except ConfigurationError as error:
        raise Usage(f"{error}: give --environment FILE or --local (python -m ops --help)") from None
    except DefaultCredentialsError:
        advice = "sign in first: gcloud auth application-default login"
        raise Trouble("no-credentials", advice) from None
    except GoogleAuthError as error:
        # Its text may hold a whole answer of the token endpoint.
        raise Trouble("credentials-refused", f"Google refused the credentials ({type(error).__name__})") from None
    except GoogleAPICallError as error:
        raise Trouble("google-refused", f"Google answered {error.code}: {error.message}") from None
    except (RetryError, TimeoutError, ConnectionError, HttpLib2Error):
        raise Trouble("google-silent", "Google did not answer in time") from None
    except HttpError as error:
        raise Trouble("google-refused", f"Google answered {error.resp.status}: {error.reason}") from None
    except Problem as problem:
        raise Trouble(problem.code, "the product refused it") from None
    return code if code else OK
