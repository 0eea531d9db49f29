"""Owns the refresh tokens in Secret Manager: one secret a connection, of which only the newest version lives.

Alone imports google.cloud.secretmanager, and only when the first secret is asked for. A secret's name is a keyed hash
and reveals nothing. Reads are repeated for a few seconds (the library's default is a minute), writes never.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from common.config import config
from common.keys import keys
from common.lazy import google_errors, google_retry

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

_TIMEOUT_S: Final = 10.0
_PAGE: Final = 250
_LABELS: Final = {"app": "crm-mail", "kind": "refresh-token"}
_FILTER: Final = " AND ".join(f"labels.{name}={value}" for name, value in _LABELS.items())


@cache
def _read_retry() -> Retry:
    predicate = google_retry.if_exception_type(google_errors.ServiceUnavailable)
    return google_retry.Retry(predicate=predicate, initial=0.2, maximum=2.0, timeout=_TIMEOUT_S)


class SecretNotFound(Exception):
    """There is no such secret, or no living version of it."""


def secret_name(user_id: str, generation: str) -> str:
    """The short name of the secret of one connection's one generation."""
    return f"gmail-{keys().hash('secret', user_id, generation)}"


def create(name: str) -> None:
    """Makes the secret, without a version yet; one that exists is left as it is."""
    secret = {"replication": {"automatic": {}}, "labels": _LABELS}
    request = {"parent": f"projects/{config().project_id}", "secret_id": name, "secret": secret}
    try:
        _client().create_secret(request=request, timeout=_TIMEOUT_S)
    except google_errors.AlreadyExists:
        return


def add_version(name: str, refresh_token: str) -> None:
    """Keeps the token as the newest version and destroys all older ones. Raises SecretNotFound."""
    request = {"parent": _path(name), "payload": {"data": refresh_token.encode()}}
    try:
        added = _client().add_secret_version(request=request, timeout=_TIMEOUT_S)
    except google_errors.NotFound:
        added = None
    if added is None:
        raise SecretNotFound
    _destroy_versions_before(name, _number(added.name))


def access_latest(name: str) -> str:
    """The refresh token. Raises SecretNotFound."""
    try:
        answer = _client().access_secret_version(
            name=f"{_path(name)}/versions/latest", retry=_read_retry(), timeout=_TIMEOUT_S
        )
    # A version that is disabled or destroyed is FAILED_PRECONDITION.
    except (google_errors.NotFound, google_errors.FailedPrecondition):
        answer = None
    if answer is None:
        raise SecretNotFound
    return answer.payload.data.decode()


def destroy(name: str) -> None:
    """Deletes the secret with all its versions; one that is gone already is fine."""
    try:
        _client().delete_secret(name=_path(name), timeout=_TIMEOUT_S)
    except google_errors.NotFound:
        return


def list_page(page: str = "", *, created_before: datetime) -> tuple[list[str], str]:
    """A page of the short names of our secrets made before a time, so that new ones are spared; and the next page.

    A page may be empty and not the last; the last one's next page is empty.
    """
    request = {"parent": f"projects/{config().project_id}", "filter": _FILTER, "page_size": _PAGE, "page_token": page}
    pager = _client().list_secrets(request=request, retry=_read_retry(), timeout=_TIMEOUT_S)
    answer = next(iter(pager.pages))
    names = []
    for secret in answer.secrets:
        # The stubs say Timestamp; what proto-plus hands out is a datetime, aware and in UTC.
        created_at: Any = secret.create_time
        if created_at < created_before:
            names.append(secret.name.rpartition("/")[2])
    return names, answer.next_page_token


def _destroy_versions_before(name: str, newest: int) -> None:
    for version in _client().list_secret_versions(parent=_path(name), retry=_read_retry(), timeout=_TIMEOUT_S):
        if _number(version.name) < newest and version.state.name != "DESTROYED":
            _client().destroy_secret_version(name=version.name, timeout=_TIMEOUT_S)


def _number(version_path: str) -> int:
    return int(version_path.rpartition("/")[2])


def _path(name: str) -> str:
    return f"projects/{config().project_id}/secrets/{name}"


@cache
def _client() -> SecretManagerServiceClient:
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    address = config().secret_manager_address
    if not address:
        return SecretManagerServiceClient()
    import grpc
    from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
        SecretManagerServiceGrpcTransport,
    )

    return SecretManagerServiceClient(
        transport=SecretManagerServiceGrpcTransport(channel=grpc.insecure_channel(address))
    )
