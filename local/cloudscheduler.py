"""Google's Cloud Scheduler: cron jobs with HTTP targets and OIDC, over gRPC (google.cloud.scheduler.v1).

Owns the jobs of a local stack and fires them by its clock. May import no other stand-in. Defaults and limits:
https://cloud.google.com/scheduler/docs/reference/rpc/google.cloud.scheduler.v1 (Job, RetryConfig).
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import grpc
from google.cloud import scheduler_v1
from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from local.cron import Cron, parse_cron
from local.dispatch import NO_ANSWER, Loop, Mint, Workers, send_http, wait_until_idle
from local.ledger import Call
from local.paging import page_of
from local.rpc import HTTP_BY_CODE, Method, RpcServer, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from local.clock import LocalClock
    from local.faults import Faults
    from local.ledger import Ledger

# proto-plus annotates fields with their wire types (Timestamp), yet gives and takes Python's (datetime).
JobProto: TypeAlias = Any
"""A scheduler_v1.Job."""

_JOB_NAME = re.compile(r"(projects/[^/]+/locations/[^/]+)/jobs/([A-Za-z0-9_-]{1,500})")
_DEADLINES = (timedelta(seconds=15), timedelta(minutes=30))
_UPDATABLE = {"description", "schedule", "time_zone", "http_target", "retry_config", "attempt_deadline"}

_Code = grpc.StatusCode
_State = scheduler_v1.Job.State


@dataclass
class _Job:
    proto: JobProto
    cron: Cron
    zone: ZoneInfo
    due: datetime
    running: int = 0


@dataclass
class _Run:
    """One execution with its retries."""

    job: _Job
    scheduled_at: datetime
    due: datetime
    began_at: datetime
    failures: int = 0


class CloudScheduler:
    """The running service; ``address`` is for ``grpc.insecure_channel``.

    With ``automatic`` False nothing fires by itself: tests fire with RunJob. A clock that jumps over several times
    fires a job once. The ledger has each rpc, and each call of a target as ``fire``, with faults as of Cloud Tasks.
    ``observe``, where somebody has set it, hears of each job that fired, and how its target answered.
    """

    observe: Callable[[str, int], None] | None = None

    def __init__(
        self,
        clock: LocalClock,
        ledger: Ledger,
        faults: Faults,
        mint: Mint,
        *,
        port: int = 0,
        automatic: bool = True,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._mint = mint
        self._automatic = automatic
        self._lock = threading.RLock()
        self._jobs: dict[str, _Job] = {}
        self._runs: list[_Run] = []
        self._workers = Workers("scheduler", 8)
        self._loop = Loop("scheduler", self._fire_due, poll_s=0.05)
        self._server = RpcServer(
            "google.cloud.scheduler.v1.CloudScheduler",
            self._methods(),
            ledger=ledger,
            ledger_service="scheduler",
            faults=faults,
            port=port,
            max_workers=4,
        )
        self.address = self._server.address

    def _methods(self) -> Mapping[str, Method]:
        return {
            "CreateJob": Method(scheduler_v1.CreateJobRequest, self._create),
            "GetJob": Method(scheduler_v1.GetJobRequest, self._get),
            "ListJobs": Method(scheduler_v1.ListJobsRequest, self._list),
            "UpdateJob": Method(scheduler_v1.UpdateJobRequest, self._update),
            "DeleteJob": Method(scheduler_v1.DeleteJobRequest, self._delete),
            "PauseJob": Method(scheduler_v1.PauseJobRequest, self._pause),
            "ResumeJob": Method(scheduler_v1.ResumeJobRequest, self._resume),
            "RunJob": Method(scheduler_v1.RunJobRequest, self._run_now),
        }

    def set_automatic(self, on: bool) -> None:
        """Switches the firing by the clock; what became due meanwhile fires once."""
        self._automatic = on
        self._loop.wake()

    def idle(self) -> bool:
        """Whether nothing runs, waits for a retry or is due."""
        now = self._clock.now()
        with self._lock:
            is_due = any(self._is_due(job, now) for job in self._jobs.values())
            return not is_due and not self._runs and not any(job.running for job in self._jobs.values())

    def drain(self, timeout_s: float) -> None:
        """Waits until idle. Raises TimeoutError."""
        wait_until_idle(self.idle, timeout_s, lambda: "jobs are still running")

    def stop(self) -> None:
        self._server.stop()
        self._loop.stop()
        self._workers.stop()

    # Jobs

    def _create(self, request: scheduler_v1.CreateJobRequest) -> JobProto:
        match = _JOB_NAME.fullmatch(request.job.name)
        if match is None or match[1] != request.parent:
            refuse(_Code.INVALID_ARGUMENT, f"Job name must be formatted: {request.parent}/jobs/JOB_ID.")
        proto: JobProto = scheduler_v1.Job(request.job)
        proto.state = _State.ENABLED
        job = self._checked(proto)
        with self._lock:
            if proto.name in self._jobs:
                refuse(_Code.ALREADY_EXISTS, f"Job [{proto.name}] already exists.")
            self._jobs[proto.name] = job
            answer = _copy(proto)
        self._loop.wake()
        return answer

    def _checked(self, proto: JobProto) -> _Job:
        """The job with Google's defaults filled in; refuses with INVALID_ARGUMENT what Google would."""
        _check_target(proto)
        proto.time_zone = proto.time_zone or "UTC"
        proto.attempt_deadline = proto.attempt_deadline or timedelta(seconds=180)
        if not _DEADLINES[0] <= proto.attempt_deadline <= _DEADLINES[1]:
            refuse(_Code.INVALID_ARGUMENT, "The attempt_deadline must be between 15s and 30m.")
        _fill_retry(proto.retry_config)
        try:
            cron, zone = parse_cron(proto.schedule), ZoneInfo(proto.time_zone)
            due = cron.next_after(self._clock.now(), zone)
        except (ValueError, ZoneInfoNotFoundError) as problem:
            refuse(_Code.INVALID_ARGUMENT, f"Schedule or time zone is invalid: {problem}")
        proto.schedule_time = due
        proto.user_update_time = self._clock.now()
        return _Job(proto, cron, zone, due)

    def _get(self, request: scheduler_v1.GetJobRequest) -> JobProto:
        with self._lock:
            return _copy(self._find(request.name).proto)

    def _list(self, request: scheduler_v1.ListJobsRequest) -> scheduler_v1.ListJobsResponse:
        with self._lock:
            found = [
                job.proto for name, job in sorted(self._jobs.items()) if name.startswith(f"{request.parent}/jobs/")
            ]
        page, token = page_of(found, request.page_token, request.page_size, largest=500)
        return scheduler_v1.ListJobsResponse(jobs=page, next_page_token=token)

    def _update(self, request: scheduler_v1.UpdateJobRequest) -> JobProto:
        paths = set(request.update_mask.paths) or {name for name in _UPDATABLE if name in request.job}
        if unsupported := {path.partition(".")[0] for path in paths} - _UPDATABLE:
            refuse(_Code.INVALID_ARGUMENT, f"{sorted(unsupported)} cannot be updated.")
        with self._lock:
            job = self._find(request.job.name)
            proto = _copy(job.proto)
            for name in {path.partition(".")[0] for path in paths}:
                setattr(proto, name, getattr(request.job, name))
            changed = self._checked(proto)
            job.proto, job.cron, job.zone, job.due = changed.proto, changed.cron, changed.zone, changed.due
            return _copy(proto)

    def _delete(self, request: scheduler_v1.DeleteJobRequest) -> Empty:
        with self._lock:
            job = self._find(request.name)
            del self._jobs[request.name]
            self._runs = [run for run in self._runs if run.job is not job]
        return Empty()

    def _pause(self, request: scheduler_v1.PauseJobRequest) -> JobProto:
        with self._lock:
            job = self._find(request.name)
            job.proto.state = _State.PAUSED
            return _copy(job.proto)

    def _resume(self, request: scheduler_v1.ResumeJobRequest) -> JobProto:
        with self._lock:
            job = self._find(request.name)
            job.proto.state = _State.ENABLED
            self._plan_next(job, self._clock.now())
            answer = _copy(job.proto)
        self._loop.wake()
        return answer

    def _run_now(self, request: scheduler_v1.RunJobRequest) -> JobProto:
        now = self._clock.now()
        with self._lock:
            job = self._find(request.name)
            self._runs.append(_Run(job, now, now, now))
            answer = _copy(job.proto)
        self._loop.wake()
        return answer

    def _find(self, name: str) -> _Job:
        if not _JOB_NAME.fullmatch(name):
            refuse(_Code.INVALID_ARGUMENT, f"[{name}] is not the name of a job.")
        if name not in self._jobs:
            refuse(_Code.NOT_FOUND, "Job not found.")
        return self._jobs[name]

    # Firing

    def _is_due(self, job: _Job, now: datetime) -> bool:
        return self._automatic and job.proto.state == _State.ENABLED and job.due <= now

    def _plan_next(self, job: _Job, now: datetime) -> None:
        job.due = job.cron.next_after(now, job.zone)
        job.proto.schedule_time = job.due

    def _fire_due(self) -> bool:
        now = self._clock.now()
        with self._lock:
            for job in self._jobs.values():
                # A job that still runs is not run beside itself; it goes when it has ended.
                if self._is_due(job, now) and not job.running:
                    self._runs.append(_Run(job, job.due, now, now))
                    self._plan_next(job, now)
            for run in [run for run in self._runs if run.due <= now]:
                self._runs.remove(run)
                run.job.running += 1
                self._workers.submit(partial(self._execute, run))
            return bool(self._jobs)

    def _execute(self, run: _Run) -> None:
        started_s = time.monotonic()
        attempted_at = self._clock.now()
        status = self._call(run)
        with self._lock:
            run.job.running -= 1
            run.job.proto.last_attempt_time = attempted_at
            run.job.proto.status = Status(code=_rpc_code(status))
            if not 200 <= status <= 299:
                self._plan_retry(run)
        http_id = self._ledger.next_http_id()
        self._ledger.record(Call("scheduler", "fire", "", 0, status, started_s, time.monotonic(), http_id))
        if self.observe is not None:
            self.observe(run.job.proto.name.rpartition("/")[2], status)
        self._loop.wake()

    def _plan_retry(self, run: _Run) -> None:
        retry, now = run.job.proto.retry_config, self._clock.now()
        run.failures += 1
        is_late = retry.max_retry_duration and now - run.began_at >= retry.max_retry_duration
        if run.failures > retry.retry_count or is_late or self._jobs.get(run.job.proto.name) is not run.job:
            return
        factor = 2 ** min(run.failures - 1, retry.max_doublings)
        run.due = now + min(retry.min_backoff_duration * factor, retry.max_backoff_duration)
        self._runs.append(run)

    def _call(self, run: _Run) -> int:
        fault = self._faults.take("scheduler", "fire")
        if fault is not None:
            time.sleep(fault.delay_s)
            if fault.status and not fault.drop_answer:
                return fault.status
        target = run.job.proto.http_target
        answer = send_http(
            scheduler_v1.HttpMethod(target.http_method or scheduler_v1.HttpMethod.POST).name,
            target.uri,
            self._headers(run),
            target.body,
            run.job.proto.attempt_deadline.total_seconds(),
        )
        return NO_ANSWER if fault is not None and fault.drop_answer else answer.status

    def _headers(self, run: _Run) -> dict[str, str]:
        target = run.job.proto.http_target
        headers = {name: value for name, value in target.headers.items() if not name.lower().startswith("x-cloudsch")}
        headers |= {
            "User-Agent": "Google-Cloud-Scheduler",
            "X-CloudScheduler": "true",
            "X-CloudScheduler-JobName": run.job.proto.name.rpartition("/")[2],
            "X-CloudScheduler-ScheduleTime": run.scheduled_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        if target.oidc_token.service_account_email:
            token = self._mint(target.oidc_token.service_account_email, target.oidc_token.audience or target.uri)
            headers["Authorization"] = f"Bearer {token}"
        return headers


def _copy(proto: JobProto) -> JobProto:
    """What may be written to the wire while the original changes."""
    return scheduler_v1.Job(proto)


def _check_target(proto: JobProto) -> None:
    if "pubsub_target" in proto or "app_engine_http_target" in proto or "oauth_token" in proto.http_target:
        refuse(_Code.UNIMPLEMENTED, "only HTTP targets with OIDC are part of this stand-in")
    if not proto.http_target.uri.startswith(("http://", "https://")):
        refuse(_Code.INVALID_ARGUMENT, "HttpTarget.uri must start with http:// or https://.")


def _fill_retry(retry: Any) -> None:
    """Google's defaults: no retry; 5 s to 1 h, five doublings. More than five retries are refused."""
    if not 0 <= retry.retry_count <= 5:
        refuse(_Code.INVALID_ARGUMENT, "The retry_count must be between 0 and 5.")
    retry.min_backoff_duration = retry.min_backoff_duration or timedelta(seconds=5)
    retry.max_backoff_duration = retry.max_backoff_duration or timedelta(hours=1)
    retry.max_doublings = retry.max_doublings or 5


def _rpc_code(status: int) -> int:
    """The google.rpc.Code that a job's status shows for the target's answer."""
    if 200 <= status <= 299:
        return 0
    if status == NO_ANSWER:
        return int(_Code.UNAVAILABLE.value[0])
    by_status = {http: int(code.value[0]) for code, http in reversed(list(HTTP_BY_CODE.items()))}
    return by_status.get(status, int(_Code.UNKNOWN.value[0]))
