"""Google's Secret Manager: secrets, their versions, labels and etags, over gRPC (google.cloud.secretmanager.v1).

Owns the secrets of a local stack. May import no other stand-in. Behaviour as in Google's reference
(https://cloud.google.com/secret-manager/docs/reference/rpc): names are answered with the project's *number*,
``latest`` is the newest version whatever its state, and etags change with every modification.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.secretmanager_v1 import types
from google.protobuf.empty_pb2 import Empty

from local.crc32c import crc32c
from local.paging import page_of
from local.rpc import Method, RpcServer, refuse
from local.secret_filters import parse_filter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from local.clock import LocalClock
    from local.faults import Faults
    from local.ledger import Ledger

MAX_PAYLOAD_BYTES = 65_536
_SECRET_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_SECRET_NAME = re.compile(r"projects/([^/]+)/secrets/([^/]+)")
_VERSION_NAME = re.compile(r"projects/([^/]+)/secrets/([^/]+)/versions/([^/]+)")
_LABEL_KEY = re.compile(r"[^\W\d_A-Z][\w-]{0,62}")
_LABEL_VALUE = re.compile(r"[\w-]{0,63}")
_SUPPORTED_FIELDS = {"replication", "labels", "annotations"}
_OUTPUT_FIELDS = {"name", "create_time", "etag"}

_State = types.SecretVersion.State
_Code = grpc.StatusCode


@dataclass
class _Version:
    number: int
    created_at: datetime
    etag: str
    payload: bytes
    state: int = _State.ENABLED
    destroyed_at: datetime | None = None
    checksum_given: bool = False


@dataclass
class _Secret:
    secret_id: str
    created_at: datetime
    etag: str
    replication: types.Replication
    labels: dict[str, str]
    annotations: dict[str, str]
    versions: list[_Version] = field(default_factory=list)


class SecretManager:
    """The running service; ``address`` is for ``grpc.insecure_channel``."""

    def __init__(
        self,
        clock: LocalClock,
        ledger: Ledger,
        faults: Faults,
        *,
        project: str = "local-project",
        project_number: str = "123456789012",
        port: int = 0,
    ) -> None:
        self._clock = clock
        self._project = project
        self._number = project_number
        self._lock = threading.RLock()
        self._secrets: dict[str, _Secret] = {}
        self._etags = 0
        self._server = RpcServer(
            "google.cloud.secretmanager.v1.SecretManagerService",
            self._methods(),
            ledger=ledger,
            ledger_service="secretmanager",
            faults=faults,
            port=port,
        )
        self.address = self._server.address

    def _methods(self) -> Mapping[str, Method]:
        return {
            "CreateSecret": Method(types.CreateSecretRequest, self._create),
            "GetSecret": Method(types.GetSecretRequest, self._get),
            "ListSecrets": Method(types.ListSecretsRequest, self._list),
            "UpdateSecret": Method(types.UpdateSecretRequest, self._update),
            "DeleteSecret": Method(types.DeleteSecretRequest, self._delete),
            "AddSecretVersion": Method(types.AddSecretVersionRequest, self._add_version),
            "GetSecretVersion": Method(types.GetSecretVersionRequest, self._get_version),
            "ListSecretVersions": Method(types.ListSecretVersionsRequest, self._list_versions),
            "AccessSecretVersion": Method(types.AccessSecretVersionRequest, self._access),
            "EnableSecretVersion": Method(types.EnableSecretVersionRequest, self._enable),
            "DisableSecretVersion": Method(types.DisableSecretVersionRequest, self._disable),
            "DestroySecretVersion": Method(types.DestroySecretVersionRequest, self._destroy),
        }

    def dump(self) -> dict[str, dict[str, Any]]:
        """Everything that is stored: by secret id its labels, annotations and versions (number → state, payload)."""
        with self._lock:
            return {
                secret.secret_id: {
                    "labels": dict(secret.labels),
                    "annotations": dict(secret.annotations),
                    "versions": {
                        version.number: {"state": _State(version.state).name, "payload": version.payload}
                        for version in secret.versions
                    },
                }
                for secret in self._secrets.values()
            }

    def put(self, secret_id: str, payload: bytes) -> None:
        """A secret with one version, made past the wire and the ledger: a crowd in seconds."""
        now = self._clock.now()
        with self._lock:
            secret = _Secret(secret_id, now, self._new_etag(), types.Replication(), {}, {})
            secret.versions.append(_Version(1, now, self._new_etag(), payload))
            self._secrets[secret_id] = secret

    def clear(self) -> None:
        """Forgets all secrets."""
        with self._lock:
            self._secrets.clear()

    def stop(self) -> None:
        self._server.stop()

    # Secrets

    def _create(self, request: types.CreateSecretRequest) -> types.Secret:
        self._check_parent(request.parent)
        if not _SECRET_ID.fullmatch(request.secret_id):
            refuse(_Code.INVALID_ARGUMENT, f"Secret ID [{request.secret_id}] is not valid: [A-Za-z0-9_-]{{1,255}}.")
        secret = request.secret
        _check_supported(secret)
        if "replication" not in secret:
            refuse(_Code.INVALID_ARGUMENT, "The replication field must be set.")
        _check_labels(secret.labels)
        with self._lock:
            if request.secret_id in self._secrets:
                refuse(_Code.ALREADY_EXISTS, f"Secret [{self._name(request.secret_id)}] already exists.")
            stored = _Secret(
                request.secret_id,
                self._clock.now(),
                self._new_etag(),
                secret.replication,
                dict(secret.labels),
                dict(secret.annotations),
            )
            self._secrets[request.secret_id] = stored
            return self._secret(stored)

    def _get(self, request: types.GetSecretRequest) -> types.Secret:
        with self._lock:
            return self._secret(self._find(request.name))

    def _list(self, request: types.ListSecretsRequest) -> types.ListSecretsResponse:
        self._check_parent(request.parent)
        matches = parse_filter(request.filter)
        with self._lock:
            # The newest first, as Google answers them.
            found = [self._secret(s) for s in reversed(self._secrets.values()) if matches(s.secret_id, s.labels)]
        page, token = page_of(found, request.page_token, request.page_size, largest=25_000)
        return types.ListSecretsResponse(secrets=page, next_page_token=token, total_size=len(found))

    def _update(self, request: types.UpdateSecretRequest) -> types.Secret:
        paths = set(request.update_mask.paths)
        if not paths:
            refuse(_Code.INVALID_ARGUMENT, "The update mask must not be empty.")
        if unsupported := paths - {"labels", "annotations"}:
            refuse(_Code.UNIMPLEMENTED, f"updating {sorted(unsupported)} is not part of this stand-in")
        _check_labels(request.secret.labels)
        with self._lock:
            stored = self._find(request.secret.name)
            _check_etag(request.secret.etag, stored.etag)
            if "labels" in paths:
                stored.labels = dict(request.secret.labels)
            if "annotations" in paths:
                stored.annotations = dict(request.secret.annotations)
            stored.etag = self._new_etag()
            return self._secret(stored)

    def _delete(self, request: types.DeleteSecretRequest) -> Empty:
        with self._lock:
            stored = self._find(request.name)
            _check_etag(request.etag, stored.etag)
            del self._secrets[stored.secret_id]
        return Empty()

    # Versions

    def _add_version(self, request: types.AddSecretVersionRequest) -> types.SecretVersion:
        payload = request.payload
        if not payload.data:
            refuse(_Code.INVALID_ARGUMENT, "Secret Payload cannot be empty.")
        if len(payload.data) > MAX_PAYLOAD_BYTES:
            refuse(_Code.INVALID_ARGUMENT, f"The secret payload exceeds the maximum of {MAX_PAYLOAD_BYTES} bytes.")
        checksum_given = "data_crc32c" in payload
        if checksum_given and payload.data_crc32c != crc32c(payload.data):
            refuse(_Code.INVALID_ARGUMENT, "The payload's checksum does not match its data.")
        with self._lock:
            stored = self._find(request.parent)
            version = _Version(
                len(stored.versions) + 1,
                self._clock.now(),
                self._new_etag(),
                payload.data,
                checksum_given=checksum_given,
            )
            stored.versions.append(version)
            return self._version(stored, version)

    def _get_version(self, request: types.GetSecretVersionRequest) -> types.SecretVersion:
        with self._lock:
            return self._version(*self._find_version(request.name))

    def _list_versions(self, request: types.ListSecretVersionsRequest) -> types.ListSecretVersionsResponse:
        if request.filter:
            refuse(_Code.UNIMPLEMENTED, "filtering versions is not part of this stand-in")
        with self._lock:
            stored = self._find(request.parent)
            found = [self._version(stored, version) for version in reversed(stored.versions)]
        page, token = page_of(found, request.page_token, request.page_size, largest=25_000)
        return types.ListSecretVersionsResponse(versions=page, next_page_token=token, total_size=len(found))

    def _access(self, request: types.AccessSecretVersionRequest) -> types.AccessSecretVersionResponse:
        with self._lock:
            stored, version = self._find_version(request.name)
            name = self._version_name(stored, version)
            if version.state != _State.ENABLED:
                refuse(_Code.FAILED_PRECONDITION, f"Secret Version [{name}] is in {_State(version.state).name} state.")
            payload = types.SecretPayload(data=version.payload, data_crc32c=crc32c(version.payload))
        return types.AccessSecretVersionResponse(name=name, payload=payload)

    def _enable(self, request: types.EnableSecretVersionRequest) -> types.SecretVersion:
        return self._change_state(request.name, request.etag, _State.ENABLED)

    def _disable(self, request: types.DisableSecretVersionRequest) -> types.SecretVersion:
        return self._change_state(request.name, request.etag, _State.DISABLED)

    def _destroy(self, request: types.DestroySecretVersionRequest) -> types.SecretVersion:
        return self._change_state(request.name, request.etag, _State.DESTROYED)

    def _change_state(self, name: str, etag: str, state: int) -> types.SecretVersion:
        with self._lock:
            stored, version = self._find_version(name)
            _check_etag(etag, version.etag)
            if version.state == _State.DESTROYED:
                name = self._version_name(stored, version)
                refuse(_Code.FAILED_PRECONDITION, f"Secret Version [{name}] is in DESTROYED state.")
            if state == _State.DESTROYED:
                version.payload = b""
                version.destroyed_at = self._clock.now()
            version.state = state
            version.etag = self._new_etag()
            return self._version(stored, version)

    # Names and answers

    def _check_parent(self, parent: str) -> None:
        self._check_project(parent.removeprefix("projects/"))

    def _check_project(self, project: str) -> None:
        if project not in (self._project, self._number):
            refuse(_Code.PERMISSION_DENIED, f"Permission denied on project [{project}].")

    def _find(self, name: str) -> _Secret:
        match = _SECRET_NAME.fullmatch(name)
        if match is None:
            refuse(_Code.INVALID_ARGUMENT, f"[{name}] is not the name of a secret.")
        self._check_project(match[1])
        if match[2] not in self._secrets:
            refuse(_Code.NOT_FOUND, f"Secret [{self._name(match[2])}] not found.")
        return self._secrets[match[2]]

    def _find_version(self, name: str) -> tuple[_Secret, _Version]:
        match = _VERSION_NAME.fullmatch(name)
        if match is None:
            refuse(_Code.INVALID_ARGUMENT, f"[{name}] is not the name of a secret's version.")
        stored = self._find(f"projects/{match[1]}/secrets/{match[2]}")
        number = len(stored.versions) if match[3] == "latest" else int(match[3]) if match[3].isdecimal() else -1
        if number == -1:
            refuse(_Code.INVALID_ARGUMENT, f"[{match[3]}] is neither a version's number nor latest.")
        if not 1 <= number <= len(stored.versions):
            refuse(_Code.NOT_FOUND, f"Secret Version [{self._name(match[2])}/versions/{match[3]}] not found.")
        return stored, stored.versions[number - 1]

    def _name(self, secret_id: str) -> str:
        return f"projects/{self._number}/secrets/{secret_id}"

    def _version_name(self, stored: _Secret, version: _Version) -> str:
        return f"{self._name(stored.secret_id)}/versions/{version.number}"

    def _new_etag(self) -> str:
        with self._lock:
            self._etags += 1
            return f'"{0x15FE8B2D000000 + self._etags:x}"'

    def _secret(self, stored: _Secret) -> types.Secret:
        return types.Secret(
            name=self._name(stored.secret_id),
            replication=stored.replication,
            create_time=stored.created_at,
            labels=stored.labels,
            annotations=stored.annotations,
            etag=stored.etag,
        )

    def _version(self, stored: _Secret, version: _Version) -> types.SecretVersion:
        return types.SecretVersion(
            name=self._version_name(stored, version),
            create_time=version.created_at,
            destroy_time=version.destroyed_at,
            state=version.state,
            etag=version.etag,
            client_specified_payload_checksum=version.checksum_given,
        )


def _check_etag(given: str, current: str) -> None:
    if given and given != current:
        refuse(_Code.FAILED_PRECONDITION, f"The etag {given} does not match the current etag {current}.")


def _check_supported(secret: types.Secret) -> None:
    known = _SUPPORTED_FIELDS | _OUTPUT_FIELDS
    asked = {name for name in types.Secret.meta.fields if name in secret}
    if unsupported := asked - known:
        refuse(_Code.UNIMPLEMENTED, f"a secret's {sorted(unsupported)} is not part of this stand-in")


def _check_labels(labels: Mapping[str, str]) -> None:
    """Google's rule: at most 64, keys begin with a letter, nothing in capitals."""
    if len(labels) > 64:
        refuse(_Code.INVALID_ARGUMENT, "A secret has at most 64 labels.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value) or (key + value) != (key + value).lower():
            refuse(_Code.INVALID_ARGUMENT, f"The label {key} is not valid.")
