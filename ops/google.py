"""Owns the ways to Google's services: its own clients, with the administrator's credentials, or a stand-in's address.

A variable that names an address (host:port for gRPC, a URL for HTTP) leads to the local stack, without credentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import requests

from common.config import config
from ops.environment import address
from ops.output import Trouble

TIMEOUT_S: Final = 30.0
_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}


@cache
def scheduler() -> Any:
    """Cloud Scheduler's client."""
    from google.cloud.scheduler_v1 import CloudSchedulerClient
    from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcTransport

    return _client(CloudSchedulerClient, CloudSchedulerGrpcTransport, address("CLOUD_SCHEDULER_ADDRESS"))


@cache
def tasks() -> Any:
    """Cloud Tasks' client."""
    from google.cloud.tasks_v2 import CloudTasksClient
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    return _client(CloudTasksClient, CloudTasksGrpcTransport, config().cloud_tasks_address)


@cache
def secret_manager() -> Any:
    """Secret Manager's client."""
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient
    from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
        SecretManagerServiceGrpcTransport,
    )

    return _client(SecretManagerServiceClient, SecretManagerServiceGrpcTransport, config().secret_manager_address)


@cache
def firestore_admin() -> Any:
    """The client of Firestore's administration: indexes."""
    from google.cloud.firestore_admin_v1 import FirestoreAdminClient
    from google.cloud.firestore_admin_v1.services.firestore_admin.transports import FirestoreAdminGrpcTransport

    return _client(FirestoreAdminClient, FirestoreAdminGrpcTransport, address("FIRESTORE_ADMIN_ADDRESS"))


def _client(client: Any, transport: Any, at: str) -> Any:
    return client(transport=transport(channel=grpc.insecure_channel(at))) if at else client()


@cache
def pubsub() -> Any:
    """Pub/Sub's client; its ``projects()``."""
    import httplib2
    from googleapiclient.discovery import build

    url = address("PUBSUB_URL")
    if url:
        http = httplib2.Http(timeout=TIMEOUT_S)
        return build("pubsub", "v1", http=http, client_options={"api_endpoint": url}).projects()
    return build("pubsub", "v1").projects()


def call(
    method: str, url: str, *, json: Any = None, data: Mapping[str, str] | None = None, token: str = "", **options: Any
) -> requests.Response:
    """One HTTP request, redirects not followed. Raises Trouble where nobody answers."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with requests.Session() as session:
        # A proxy that leads out of the house knows no local stack.
        session.trust_env = urlsplit(url).hostname not in _LOOPBACK
        try:
            return session.request(
                method,
                url,
                json=json,
                data=data,
                headers=headers,
                timeout=options.pop("timeout_s", TIMEOUT_S),
                allow_redirects=False,
                **options,
            )
        except requests.RequestException as error:
            where = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
            raise Trouble("no-answer", f"{where} does not answer ({type(error).__name__})") from None


def verify_answer(answer: requests.Response) -> None:
    """Raises Trouble, by the code of the product's answer, for anything but success."""
    status = answer.status_code
    if 200 <= status < 300:
        return
    try:
        problem = answer.json()
        code, detail = str(problem.get("code", "refused")), str(problem.get("detail", ""))
    except (ValueError, AttributeError):
        code, detail = "refused", ""
    advice = {
        401: "the token is not taken: is it of this CRM, for this audience and tenant, not expired?",
        403: "the token is valid, but whom it names may not do this",
    }.get(status, detail or "it was refused")
    raise Trouble(code, f"{advice} (HTTP {status})")
