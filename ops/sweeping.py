"""Owns what administrators do with Cloud Scheduler's jobs: run one now, pause it, let it run again."""

from __future__ import annotations

import argparse

from ops import google, names
from ops.output import OK, Output, moment

_EXAMPLES = """
Jobs are left alone by `terraform apply`: what is paused stays paused until it is resumed.
"""
HELP = {
    "sweep-now": f"""
        The job runs once, beside its schedule, even where it is paused. Sweeps are tasks: mail is filed
        within the next minutes, and nothing is done twice.

        examples:
          python -m ops sweep-now
          python -m ops sweep-now --job magnet-renew    # renew all watches, read what was missed
          python -m ops sweep-now --job housekeeping    # retry revocations, look for leftovers
        {_EXAMPLES}""",
    "pause": f"""
        Mail stays in the inbox until the sweep is resumed; notices go on. Nothing is lost: what is due waits.

        examples:
          python -m ops pause
          python -m ops resume
        {_EXAMPLES}""",
    "resume": """
        The next sweep files what has waited.

        examples:
          python -m ops resume && python -m ops sweep-now
        """,
}
_DONE = {"sweep-now": "runs now", "pause": "is paused", "resume": "runs again"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--job", choices=list(names.JOBS), default=names.SWEEP_JOB, help=f"which job (default: {names.SWEEP_JOB})"
    )


def run(options: argparse.Namespace, output: Output) -> int:
    """Asks Cloud Scheduler, and shows the job as it is then."""
    client = google.scheduler()
    ask = {"sweep-now": client.run_job, "pause": client.pause_job, "resume": client.resume_job}[options.command]
    job = ask(name=names.job(options.job), timeout=google.TIMEOUT_S)
    result = {"job": options.job, "state": job.state.name, "next_run_at": _next_run(job)}
    when = f"; next by schedule: {moment(_next_run(job))}" if options.command != "pause" else ""
    output.show(result, [f"{options.job} {_DONE[options.command]}{when}"])
    return OK


def _next_run(job: object) -> object:
    state = getattr(getattr(job, "state", None), "name", "")
    return getattr(job, "schedule_time", None) if state == "ENABLED" else None
