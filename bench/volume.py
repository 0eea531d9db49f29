"""Sweeps very many due users through the queue, on one machine: is none lost, none swept twice, and memory flat?

``python -m bench.volume --users 10000`` writes ``bench/results/volume.json`` and ``.md``. Owns the run and its figures.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from bench.crowd import PATTERN, Crowd, Member, encoded, work_left
from bench.dispatch import call_dispatch
from bench.processes import resident_mib
from bench.results import machine, table, write
from local.stack import Stack

_POLL_S = 0.5
_LONGEST_SWEEP_S = 3.0
_ECHOES_S = 60
_RSS_EVERY = 1000
# The whole run; a machine that others use, too, may not get to the end.
_BUDGET_S = 530.0


@dataclass
class Figures:
    """What a run has shown. Bytes resident are those of ``label_sweep``, all its processes, by users swept."""

    users: int
    filed: int = 0
    left: int = 0
    lost: int = 0
    echoes_left: int = 0
    swept_once: int = 0
    tasks_a_user: dict[int, int] = field(default_factory=dict)
    gmail_units_a_user: float = 0.0
    firestore_reads_a_user: float = 0.0
    firestore_writes_a_user: float = 0.0
    setting_up_s: float = 0.0
    dispatching_s: float = 0.0
    sweeping_s: float = 0.0
    settling_s: float = 0.0
    resident_mib: dict[int, float] = field(default_factory=dict)


class Volume:
    """One run: the crowd is made, the scheduler fires once, and the queue does the rest."""

    def __init__(self, stack: Stack, users: int, say: Callable[[str], None]) -> None:
        self._stack = stack
        self._say = say
        self._began_s = time.monotonic()
        self.figures = Figures(users)
        self.members: list[Member] = []

    def run(self, budget_s: float = _BUDGET_S, *, settle: bool = True) -> Figures:
        """Ends when the time is over, too: ``left`` says how many were not swept by then.

        Without ``settle`` the tasks that read each sweep's echo are left out.
        """
        ends_s = self._began_s + budget_s
        self._set_up()
        mark = self._stack.ledger.mark()
        self._sweep(ends_s)
        if settle:
            self._settle(ends_s)
        self._count(mark)
        return self.figures

    def _set_up(self) -> None:
        crowd = Crowd(self._stack)
        for piece in crowd.add_with_mail(self.figures.users):
            self.members += piece
            self._say(f"{len(self.members):6} users made")
        self._label = crowd.label
        self.figures.setting_up_s = time.monotonic() - self._began_s

    def _sweep(self, ends_s: float) -> None:
        users, started_s = self.figures.users, time.monotonic()
        dispatch = threading.Thread(target=self._dispatch)
        dispatch.start()
        self.figures.resident_mib[0] = self._resident_mib()
        said = 0
        while left := work_left(self._stack):
            if time.monotonic() > ends_s:
                left = self._break_off()
                break
            if users - left >= said + _RSS_EVERY:
                said = (users - left) // _RSS_EVERY * _RSS_EVERY
                self._note_progress(said, started_s)
            time.sleep(_POLL_S)
        self.figures.sweeping_s, self.figures.left = time.monotonic() - started_s, left
        self._note_progress(users - left, started_s)
        dispatch.join()

    def _break_off(self) -> int:
        """Begins no more sweeps, lets those under way end, and returns how many users are left."""
        self._stack.google.tasks.pause()
        left, before = work_left(self._stack), -1
        while left != before:
            time.sleep(_LONGEST_SWEEP_S)
            left, before = work_left(self._stack), left
        return left

    def _dispatch(self) -> None:
        started_s = time.monotonic()
        call_dispatch(self._stack)
        self.figures.dispatching_s = time.monotonic() - started_s

    def _note_progress(self, swept: int, started_s: float) -> None:
        self.figures.resident_mib[swept] = resident = self._resident_mib()
        self._say(f"{swept:6} users swept in {time.monotonic() - started_s:5.0f} s, label_sweep holds {resident} MiB")

    def _resident_mib(self) -> float:
        return resident_mib(self._stack.functions["label_sweep"].pid)

    def _settle(self, ends_s: float) -> None:
        """The tasks that read each sweep's echo."""
        started_s = time.monotonic()
        self._stack.advance(_ECHOES_S)
        with suppress(TimeoutError):
            self._stack.settle(max(0.1, ends_s - started_s))
        self.figures.echoes_left = len(self._stack.google.tasks.pending()) - self.figures.left
        self.figures.settling_s = time.monotonic() - started_s

    def _count(self, mark: int) -> None:
        figures, users = self.figures, max(1, self.figures.users)
        calls = self._stack.ledger.since(mark)
        modified = Counter(call.mailbox for call in calls if call.method == "users.messages.batchModify")
        figures.swept_once = sum(modified[member.address] == 1 for member in self.members)
        figures.filed = sum(self._is_filed(member) for member in self.members)
        figures.lost = figures.users - figures.filed - figures.left
        figures.tasks_a_user = dict(Counter(self._tasks().values()))
        figures.gmail_units_a_user = round(sum(call.units for call in calls if call.service == "gmail") / users, 2)
        documents = [call for call in calls if call.service == "firestore"]
        reads = sum(call.units for call in documents if call.method.endswith(".read"))
        writes = sum(call.units for call in documents if call.method.endswith((".write", ".delete")))
        figures.firestore_reads_a_user, figures.firestore_writes_a_user = (
            round(reads / users, 2),
            round(writes / users, 2),
        )

    def _is_filed(self, member: Member) -> bool:
        mailbox = self._stack.google.gmail.mailbox(member.address)
        with mailbox.lock:
            names = {str(mailbox.labels.one(label)["name"]) for label in mailbox.message(member.mail_id).labels}
        return self._label in names and "INBOX" not in names

    def _tasks(self) -> Counter[str]:
        """How many sweeps were left for each user."""
        payloads = [one for one in self._stack.google.tasks.payload_log if b'"kind": "sweep"' in one.body]
        counted = Counter(one.url for one in payloads if "/label_sweep/" in one.url)
        return Counter({url: count for url, count in counted.items() if not url.endswith(f"/{encoded(PATTERN)}")})


def main() -> int:
    """Runs it once, shows progress, writes the results; 1 where somebody was lost or swept twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=_BUDGET_S, help="for all of it; what is left then is told")
    given = parser.parse_args()
    users: int = given.users
    with Stack() as stack:
        figures = Volume(stack, users, lambda line: print(line, flush=True)).run(given.seconds)
    rows = {name: value for name, value in asdict(figures).items() if name != "resident_mib"}
    resident = {f"resident MiB at {swept} users": mib for swept, mib in figures.resident_mib.items()}
    write("volume", "Volume: due users swept through the queue", machine() | asdict(figures), table(rows | resident))
    print(table(rows | resident))
    return 0 if (figures.left, figures.lost, figures.swept_once) == (0, 0, users) else 1


if __name__ == "__main__":
    sys.exit(main())
