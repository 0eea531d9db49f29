"""Owns the replay of dead letters: from the subscription that keeps them back to Gmail's topic."""

from __future__ import annotations

import argparse
import time
from typing import Final

from ops import dead_letters
from ops.output import OK, Output, Usage

HELP = {
    "replay-dead-letters": """
        A push that was never taken (twenty tries in two to three hours) waits in gmail-push-dead for a week. It
        only says that a mailbox has something new: once what was wrong is mended, it is published again, and then
        handled like any other. A letter is acknowledged after it was published: who is interrupted publishes some
        twice, which does no harm. What dies again comes back in hours, not in this run.

        examples:
          python -m ops replay-dead-letters
          python -m ops replay-dead-letters --most 100
        """
}
_PAUSE_S: Final = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--most", type=int, default=1000, metavar="N", help="replay no more than that (default: %(default)s)"
    )


def run(options: argparse.Namespace, output: Output) -> int:
    """Replays page by page."""
    if options.most < 1:
        raise Usage("--most must be 1 or more")
    replayed, empty = 0, 0
    while replayed < options.most and empty < dead_letters.EMPTY_ANSWERS:
        letters = dead_letters.pull(options.most - replayed)
        if not letters:
            empty += 1
            if empty < dead_letters.EMPTY_ANSWERS:
                time.sleep(_PAUSE_S)
            continue
        empty = 0
        dead_letters.publish(letters)
        dead_letters.acknowledge(letters)
        replayed += len(letters)
        output.progress(f"{replayed} published again")
    may_be_more = replayed >= options.most
    more = "; there may be more: run it again" if may_be_more else ""
    output.show({"replayed": replayed, "may_be_more": may_be_more}, [f"{replayed} dead letters replayed{more}"])
    return OK
