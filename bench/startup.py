"""Owns the figures of start and size: CPU to import and build, process start to first answer, resident memory."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bench.figures import Figure, ratio
from bench.load import Target, repeat
from bench.processes import resident_mib
from bench.rig import Rig, baseline_source
from local import environment
from local.functions import ROOT, FunctionProcess

_BUILD: Final = "import sys; from functions_framework import create_app; create_app(sys.argv[1], sys.argv[2])"
_POLL_S: Final = 0.002
_GIVE_UP_S: Final = 30.0
_INHERITED: Final = ("PATH", "HOME", "LANG")


def measure(rig: Rig) -> Iterator[Figure]:
    """Each function beside the bare one, in turn. ``first answer``: by the function's own code, that nobody called."""
    hello, floor = baseline_source("hello"), baseline_source("floor")
    rig.connected()
    mail_id = rig.fill("anna", 1)[0]
    bare = rig.start_floor("anna")
    sources = {name: (ROOT / "functions" / name, rig.stack.functions[name].env) for name in environment.FUNCTIONS}
    sources["floor"] = (floor, bare.env)
    yield from _builds(rig, sources, hello)
    yield from _starts(rig, sources, hello)
    yield from _memory(rig, bare, mail_id)


def _builds(rig: Rig, sources: Mapping[str, tuple[Path, dict[str, str]]], hello: Path) -> Iterator[Figure]:
    for name, (source, env) in sources.items():
        pairs = [(_build_ms(name, source, env), _build_ms("hello", hello, {})) for _ in range(rig.size(9, 2))]
        goal = "" if name == "floor" else "< 2.0"
        yield ratio(f"CPU to import and build {name} over the framework alone", pairs, goal)


def _build_ms(name: str, source: Path, env: Mapping[str, str]) -> float:
    """CPU of a process that does what the framework does before it listens."""
    command = [sys.executable, "-c", _BUILD, name, str(source / "main.py")]
    process = subprocess.Popen(command, cwd=ROOT, env=_environment(env), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise LookupError(f"{name} was not built")
    return (usage.ru_utime + usage.ru_stime) * 1000


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    base = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**base, **env, "PYTHONPATH": str(ROOT)}


def _starts(rig: Rig, sources: Mapping[str, tuple[Path, dict[str, str]]], hello: Path) -> Iterator[Figure]:
    for name, (source, env) in sources.items():
        pairs = []
        for _ in range(rig.size(7, 2)):
            pairs.append((_start_ms(rig, name, source, env), _start_ms(rig, "hello", hello, {})))
        goal = "" if name == "floor" else "< 2.0"
        yield ratio(f"process start to first answer, {name} over hello", pairs, goal)


def _start_ms(rig: Rig, name: str, source: Path, env: Mapping[str, str]) -> float:
    process = FunctionProcess(name, env, rig.stack.directory / f"start-{name}.log", source=source)
    started_s = time.perf_counter()
    process.begin()
    try:
        while not _is_answered(process.port):
            if time.perf_counter() - started_s > _GIVE_UP_S or not process.is_running:
                raise LookupError(f"{name} did not come up")
            time.sleep(_POLL_S)
        return (time.perf_counter() - started_s) * 1000
    finally:
        process.kill()


def _is_answered(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_GIVE_UP_S)
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/anything")
        connection.getresponse().read()
        return True
    return False


def _memory(rig: Rig, bare: FunctionProcess, mail_id: str) -> Iterator[Figure]:
    """After each has worked: a function that was never called holds less than it will."""
    stack = rig.stack
    hello = rig.start("hello", {}, baseline_source("hello"))
    repeat(Target(hello.port, "/"), 20)
    repeat(Target(bare.port, f"/{mail_id}"), 20)
    read = Target(
        stack.functions["mail_proxy"].port, f"/messages/{mail_id}", {"Authorization": f"Bearer {stack.token('anna')}"}
    )
    repeat(read, 20)
    stack.switch_on("anna")
    stack.sweep()
    base = resident_mib(hello.pid)
    for name, process in (*stack.functions.items(), ("floor", bare)):
        goal = "" if name == "floor" else "< 2.0"
        yield ratio(f"resident memory of {name} over hello's", [(resident_mib(process.pid), base)], goal, "MiB")
