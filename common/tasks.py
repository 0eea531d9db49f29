"""Owns Cloud Tasks: what is left for later, under names that make a task exist once. Imports the Tasks client.

Payloads hold ids, kinds and numbers alone; ``docs/data-manifest.md`` lists their fields.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from common import clock
from common.config import config
from common.keys import encode_id, keys
from common.lazy import google_errors, lazy_module

if TYPE_CHECKING:
    from google.cloud import tasks_v2
    from google.protobuf import duration_pb2, timestamp_pb2
else:
    tasks_v2 = lazy_module("google.cloud.tasks_v2")
    duration_pb2 = lazy_module("google.protobuf.duration_pb2")
    timestamp_pb2 = lazy_module("google.protobuf.timestamp_pb2")

PAYLOAD_FIELDS: Final = frozenset(
    {"kind", "user", "generation", "mail", "key", "id", "page", "attempt", "reason", "contact", "version"}
)
# Cloud Tasks schedules at most 30 days ahead: what is due later hops.
FARTHEST: Final = timedelta(days=29)
_DEADLINE_S: Final = 300
_CALL_TIMEOUT_S: Final = 10.0

Payload = dict[str, str | int | bool]


@cache
def _client() -> tasks_v2.CloudTasksClient:
    address = config().cloud_tasks_address
    if not address:
        return tasks_v2.CloudTasksClient()
    import grpc
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(address)))


def user_url(function_url: str, user_id: str) -> str:
    """The address of a function's route for one user; the id is encoded, since platforms log addresses."""
    return f"{function_url}/users/{encode_id(user_id)}"


def enqueue(
    queue: str,
    url: str,
    payload: Payload,
    *,
    user_id: str,
    generation: str,
    slot: str,
    audience: str,
    at: datetime | None = None,
    service_account: str = "",
) -> bool:
    """Leaves a task that posts ``payload`` to ``url``. False if one of this kind, user, generation and slot exists.

    A name stays taken for an hour or more after its task has run (Cloud Tasks, task de-duplication), so ``slot``
    holds the time due and the attempt. Beyond 29 days the task comes early and its handler sends it on.
    ``service_account`` is who calls, where that is not the usual one.
    Raises GoogleAPICallError.
    """
    unknown = payload.keys() - PAYLOAD_FIELDS
    if unknown:
        raise ValueError(f"not a payload field: {sorted(unknown)}")
    settings = config()
    parent = f"projects/{settings.project_id}/locations/{settings.region}/queues/{queue}"
    # Hashed from the start on: names that begin alike make Cloud Tasks slow.
    name = keys().hash("task", str(payload["kind"]), user_id, generation, slot)
    task = tasks_v2.Task(
        name=f"{parent}/tasks/{name}",
        dispatch_deadline=duration_pb2.Duration(seconds=_DEADLINE_S),
        http_request=tasks_v2.HttpRequest(
            url=url,
            http_method=tasks_v2.HttpMethod.POST,
            headers={"Content-Type": "application/json"},
            body=json.dumps(payload).encode(),
            oidc_token=tasks_v2.OidcToken(
                service_account_email=service_account or settings.tasks_service_account, audience=audience
            ),
        ),
    )
    if at is not None:
        due = timestamp_pb2.Timestamp()
        due.FromDatetime(min(at, clock.now() + FARTHEST))
        task.schedule_time = due
    try:
        _client().create_task(parent=parent, task=task, timeout=_CALL_TIMEOUT_S)
    except google_errors.AlreadyExists:
        return False
    return True
