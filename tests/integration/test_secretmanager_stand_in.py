"""The Secret Manager stand-in, driven by Google's client: it must do what Google's reference says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from google.api_core import exceptions as google_errors
from google.cloud import secretmanager_v1
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)

from local.clock import LocalClock
from local.faults import Fault, Faults
from local.ledger import Ledger
from local.secretmanager import SecretManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

PROJECT = "projects/local-project"
NUMBERED = "projects/123456789012"
AUTOMATIC: dict[str, dict[str, str]] = {"automatic": {}}


class Bench:
    """The stand-in, Google's client for it, and what the tests turn."""

    def __init__(self, folder: Path) -> None:
        self.ledger, self.faults = Ledger(), Faults()
        self.server = SecretManager(LocalClock(folder / "clock"), self.ledger, self.faults)
        self.channel = grpc.insecure_channel(self.server.address)
        self.client = secretmanager_v1.SecretManagerServiceClient(
            transport=SecretManagerServiceGrpcTransport(channel=self.channel)
        )

    def create(self, secret_id: str, **labels: str) -> secretmanager_v1.Secret:
        return self.client.create_secret(
            request={
                "parent": PROJECT,
                "secret_id": secret_id,
                "secret": {"replication": AUTOMATIC, "labels": labels},
            }
        )

    def add(self, secret_id: str, data: bytes, **payload: int) -> secretmanager_v1.SecretVersion:
        return self.client.add_secret_version(
            request={"parent": f"{PROJECT}/secrets/{secret_id}", "payload": {"data": data, **payload}}
        )

    def access(self, secret_id: str, version: str = "latest") -> bytes:
        name = f"{PROJECT}/secrets/{secret_id}/versions/{version}"
        return self.client.access_secret_version(name=name).payload.data

    def ids(self, text: str) -> list[str]:
        found = self.client.list_secrets(request={"parent": PROJECT, "filter": text})
        return sorted(secret.name.rpartition("/")[2] for secret in found)

    def close(self) -> None:
        self.channel.close()
        self.server.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_latest_is_newest(bench: Bench) -> None:
    """``latest`` gives the newest version, a number gives its own."""
    bench.create("token")
    bench.add("token", b"one")
    bench.add("token", b"two")

    assert (b"two", b"one", b"two") == (bench.access("token"), bench.access("token", "1"), bench.access("token", "2"))


def test_latest_of_a_destroyed_version_fails(bench: Bench) -> None:
    """``latest`` stays the newest version even when that is destroyed: no older one is given instead."""
    bench.create("token")
    bench.add("token", b"one")
    newest = bench.add("token", b"two")
    bench.client.destroy_secret_version(name=newest.name)

    with pytest.raises(google_errors.FailedPrecondition, match="DESTROYED"):
        bench.access("token")
    assert b"one" == bench.access("token", "1")


def test_destroyed_payload_is_gone(bench: Bench) -> None:
    """Destroying a version leaves nothing of its payload behind, and cannot be undone."""
    bench.create("token")
    version = bench.add("token", b"a secret word")
    destroyed = bench.client.destroy_secret_version(name=version.name)

    assert secretmanager_v1.SecretVersion.State.DESTROYED == destroyed.state
    assert {"state": "DESTROYED", "payload": b""} == bench.server.dump()["token"]["versions"][1]
    with pytest.raises(google_errors.FailedPrecondition):
        bench.client.enable_secret_version(name=version.name)


def test_disabled_version_is_refused_until_enabled(bench: Bench) -> None:
    """A disabled version cannot be read; enabled again it can."""
    bench.create("token")
    version = bench.add("token", b"one")
    bench.client.disable_secret_version(name=version.name)

    with pytest.raises(google_errors.FailedPrecondition, match="DISABLED"):
        bench.access("token")
    bench.client.enable_secret_version(name=version.name)
    assert b"one" == bench.access("token")


def test_names_carry_the_project_number(bench: Bench) -> None:
    """Google answers with the project's number, whatever the request named."""
    secret = bench.create("token")
    version = bench.add("token", b"one")

    assert f"{NUMBERED}/secrets/token" == secret.name
    assert f"{NUMBERED}/secrets/token/versions/1" == version.name
    assert secret == bench.client.get_secret(name=f"{NUMBERED}/secrets/token")


def test_secret_exists_once(bench: Bench) -> None:
    """Creating a secret a second time is ALREADY_EXISTS."""
    bench.create("token")

    with pytest.raises(google_errors.AlreadyExists):
        bench.create("token")


@pytest.mark.parametrize(
    "name", ["missing/versions/latest", "missing/versions/1", "empty/versions/latest", "empty/versions/7"]
)
def test_missing_is_not_found(bench: Bench, name: str) -> None:
    """What does not exist is NOT_FOUND: the secret, its version, the latest of none."""
    bench.create("empty")

    with pytest.raises(google_errors.NotFound):
        bench.client.access_secret_version(name=f"{PROJECT}/secrets/{name}")


def test_delete_takes_all_versions(bench: Bench) -> None:
    """A deleted secret is gone with its versions, and its name is free again."""
    bench.create("token")
    bench.add("token", b"one")
    bench.client.delete_secret(name=f"{PROJECT}/secrets/token")

    with pytest.raises(google_errors.NotFound):
        bench.access("token")
    assert {} == bench.server.dump()
    bench.create("token")
    assert {} == bench.server.dump()["token"]["versions"]


@pytest.mark.parametrize("secret_id", ["", "a" * 256, "with space", "slash/inside", "dot.ted", "ünicode"])
def test_bad_ids_are_refused(bench: Bench, secret_id: str) -> None:
    """An id is 1 to 255 letters, digits, hyphens and underscores."""
    with pytest.raises(google_errors.InvalidArgument):
        bench.create(secret_id)


def test_longest_id_is_taken(bench: Bench) -> None:
    """255 characters are allowed."""
    assert bench.create("a" * 255).name.endswith("a" * 255)


@pytest.mark.parametrize(("size", "is_taken"), [(0, False), (1, True), (65_536, True), (65_537, False)])
def test_payload_size(bench: Bench, size: int, is_taken: bool) -> None:
    """A payload is 1 byte to 64 KiB."""
    bench.create("token")
    taken = True
    try:
        bench.add("token", b"x" * size)
    except google_errors.InvalidArgument:
        taken = False

    assert is_taken == taken


def test_checksum_is_checked_and_given(bench: Bench) -> None:
    """A wrong checksum is refused; reading gives the CRC-32C (its check value, RFC 3720: E3069283)."""
    bench.create("token")
    with pytest.raises(google_errors.InvalidArgument):
        bench.add("token", b"123456789", data_crc32c=1)
    version = bench.add("token", b"123456789", data_crc32c=0xE3069283)

    assert version.client_specified_payload_checksum
    answer = bench.client.access_secret_version(name=version.name)
    assert 0xE3069283 == answer.payload.data_crc32c


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["other", "token-anna", "token-ben"]),
        ("labels.kind=refresh-token", ["token-anna", "token-ben"]),
        ("labels.kind=refresh-token AND labels.user=ben", ["token-ben"]),
        ("labels.user:*", ["token-anna", "token-ben"]),
        ("name:token-*", ["token-anna", "token-ben"]),
        ("name:anna", ["token-anna"]),
        ("name:token- labels.user=anna", ["token-anna"]),
        ("labels.kind=refresh", []),
    ],
)
def test_list_filters(bench: Bench, text: str, expected: list[str]) -> None:
    """Lists are filtered by labels and by parts of the name."""
    bench.create("token-anna", kind="refresh-token", user="anna")
    bench.create("token-ben", kind="refresh-token", user="ben")
    bench.create("other", kind="key")

    assert expected == bench.ids(text)


def test_unknown_filter_is_refused(bench: Bench) -> None:
    """A filter beyond the supported part is UNIMPLEMENTED, never half applied."""
    with pytest.raises(google_errors.MethodNotImplemented):
        bench.ids("create_time>2026-01-01")


def test_list_pages(bench: Bench) -> None:
    """Pages give each secret once, and the total."""
    for number in range(7):
        bench.create(f"s{number}")
    pages = list(bench.client.list_secrets(request={"parent": PROJECT, "page_size": 3}).pages)

    assert [3, 3, 1] == [len(page.secrets) for page in pages]
    assert [7, 7, 7] == [page.total_size for page in pages]
    assert 7 == len({secret.name for page in pages for secret in page.secrets})


def test_list_versions(bench: Bench) -> None:
    """Versions are listed newest first, with their states and without payloads."""
    bench.create("token")
    first = bench.add("token", b"one")
    bench.add("token", b"two")
    bench.client.destroy_secret_version(name=first.name)
    found = list(bench.client.list_secret_versions(parent=f"{PROJECT}/secrets/token"))

    assert [("2", "ENABLED"), ("1", "DESTROYED")] == [(v.name.rpartition("/")[2], v.state.name) for v in found]


def test_update_labels(bench: Bench) -> None:
    """Labels are replaced by the update mask; the etag changes."""
    before = bench.create("token", kind="old")
    after = bench.client.update_secret(
        request={"secret": {"name": before.name, "labels": {"kind": "new"}}, "update_mask": {"paths": ["labels"]}}
    )

    assert {"kind": "new"} == dict(after.labels)
    assert before.etag != after.etag


def test_stale_etags_are_refused(bench: Bench) -> None:
    """An etag that is no longer current is FAILED_PRECONDITION, for a version and for its secret."""
    secret = bench.create("token")
    version = bench.add("token", b"one")
    again = bench.client.enable_secret_version(name=version.name)

    assert version.etag != again.etag
    with pytest.raises(google_errors.FailedPrecondition):
        bench.client.destroy_secret_version(request={"name": version.name, "etag": version.etag})
    with pytest.raises(google_errors.FailedPrecondition):
        bench.client.delete_secret(request={"name": secret.name, "etag": '"1"'})
    bench.client.destroy_secret_version(request={"name": version.name, "etag": again.etag})
    bench.client.delete_secret(request={"name": secret.name, "etag": secret.etag})


@pytest.mark.parametrize("labels", [{"Kind": "a"}, {"kind": "A"}, {"1kind": "a"}, {"kind": "a b"}, {"kind": "a" * 64}])
def test_bad_labels_are_refused(bench: Bench, labels: dict[str, str]) -> None:
    """Label keys begin with a small letter; values are small letters, digits, hyphens, underscores, at most 63."""
    with pytest.raises(google_errors.InvalidArgument):
        bench.create("token", **labels)


def test_other_projects_are_denied(bench: Bench) -> None:
    """A secret of another project is PERMISSION_DENIED, as Google hides whether it exists."""
    with pytest.raises(google_errors.PermissionDenied):
        bench.client.access_secret_version(name="projects/other/secrets/token/versions/latest")


def test_other_methods_are_unimplemented(bench: Bench) -> None:
    """What the stand-in does not know it refuses loudly, and notes."""
    with pytest.raises(google_errors.MethodNotImplemented, match="GetIamPolicy"):
        bench.client.get_iam_policy(request={"resource": f"{PROJECT}/secrets/token"})
    assert [501] == [call.status for call in bench.ledger.since(service="secretmanager")]


def test_fault_refuses_without_work(bench: Bench) -> None:
    """An injected 503 is UNAVAILABLE, and nothing is done."""
    bench.faults.inject(Fault("secretmanager", "CreateSecret", status=503))

    with pytest.raises(google_errors.ServiceUnavailable):
        bench.create("token")
    assert {} == bench.server.dump()


def test_dropped_answer_did_the_work(bench: Bench) -> None:
    """With a dropped answer the caller sees UNAVAILABLE, and the version is there."""
    bench.create("token")
    bench.faults.inject(Fault("secretmanager", "AddSecretVersion", drop_answer=True))

    with pytest.raises(google_errors.ServiceUnavailable):
        bench.add("token", b"one")
    assert b"one" == bench.access("token")


def test_ledger_counts_calls(bench: Bench) -> None:
    """Each rpc is in the ledger by its name, with its HTTP status."""
    bench.create("token")
    bench.add("token", b"one")
    bench.access("token")
    with pytest.raises(google_errors.NotFound):
        bench.access("missing")

    calls = [(call.method, call.status) for call in bench.ledger.since(service="secretmanager")]
    assert [
        ("CreateSecret", 200),
        ("AddSecretVersion", 200),
        ("AccessSecretVersion", 200),
        ("AccessSecretVersion", 404),
    ] == calls


@pytest.mark.parametrize("changes", [{"page_token": "foreign"}, {"page_size": -1}])
def test_bad_paging_is_refused(bench: Bench, changes: dict[str, str | int]) -> None:
    """A foreign page token and a negative page size are INVALID_ARGUMENT."""
    with pytest.raises(google_errors.InvalidArgument):
        bench.client.list_secrets(request={"parent": PROJECT, **changes})


@pytest.mark.parametrize("name", [f"{PROJECT}/token", f"{PROJECT}/secrets/token/versions/newest"])
def test_malformed_names_are_refused(bench: Bench, name: str) -> None:
    """What is not the name of a version is INVALID_ARGUMENT."""
    bench.create("token")

    with pytest.raises(google_errors.InvalidArgument):
        bench.client.access_secret_version(name=name)


def test_update_needs_a_mask(bench: Bench) -> None:
    """An update without a mask is INVALID_ARGUMENT; one of what the stand-in does not know is UNIMPLEMENTED."""
    name = bench.create("token").name

    with pytest.raises(google_errors.InvalidArgument):
        bench.client.update_secret(request={"secret": {"name": name}})
    with pytest.raises(google_errors.MethodNotImplemented):
        bench.client.update_secret(request={"secret": {"name": name}, "update_mask": {"paths": ["topics"]}})


def test_unsupported_settings_are_refused(bench: Bench) -> None:
    """A secret needs replication; settings that the stand-in does not know are UNIMPLEMENTED."""
    with pytest.raises(google_errors.InvalidArgument):
        bench.client.create_secret(request={"parent": PROJECT, "secret_id": "a", "secret": {}})
    with pytest.raises(google_errors.MethodNotImplemented, match="ttl"):
        bench.client.create_secret(
            request={"parent": PROJECT, "secret_id": "a", "secret": {"replication": AUTOMATIC, "ttl": {"seconds": 9}}}
        )
    assert {} == bench.server.dump()


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (409, "", google_errors.AlreadyExists),
        (409, "ABORTED", google_errors.Aborted),
        (400, "", google_errors.InvalidArgument),
        (403, "", google_errors.PermissionDenied),
        (412, "", google_errors.FailedPrecondition),
        (429, "", google_errors.ResourceExhausted),
        (500, "", google_errors.InternalServerError),
        (504, "", google_errors.DeadlineExceeded),
    ],
)
def test_faults_by_status(bench: Bench, status: int, reason: str, error: type[Exception]) -> None:
    """A fault's HTTP status becomes its gRPC status, unless its reason names another."""
    bench.faults.inject(Fault("secretmanager", status=status, reason=reason))

    with pytest.raises(error):
        bench.create("token")


def test_slow_fault_only_delays(bench: Bench) -> None:
    """A fault with nothing but a delay lets the call succeed, later."""
    bench.faults.inject(Fault("secretmanager", delay_s=0.1))
    bench.create("token")
    (call,) = bench.ledger.since(service="secretmanager")

    assert call.ended_s - call.started_s >= 0.1


def test_clear_forgets_everything(bench: Bench) -> None:
    """After clear the stand-in is as new."""
    bench.create("token")
    bench.server.clear()

    assert {} == bench.server.dump()
