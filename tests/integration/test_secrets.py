"""Refresh tokens in Secret Manager, against the local one over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from google.api_core import exceptions as google_errors

from common import clock, secrets
from tests.integration.google_rig import Google, running

pytestmark = pytest.mark.integration
NAME = "gmail-abc"


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    with running(monkeypatch, tmp_path) as rig:
        yield rig


def test_newest_version_alone_lives(google: Google) -> None:
    """A second token takes the first one's place, and the first is destroyed."""
    secrets.create(NAME)
    secrets.add_version(NAME, "one")
    secrets.add_version(NAME, "two")

    states = [version.state.name for version in secrets._client().list_secret_versions(parent=secrets._path(NAME))]
    assert "two" == secrets.access_latest(NAME)
    assert ["ENABLED", "DESTROYED"] == states


def test_create_twice_is_create_once(google: Google) -> None:
    """A handler that runs twice finds its secret made, and the token in it kept."""
    secrets.create(NAME)
    secrets.add_version(NAME, "one")
    secrets.create(NAME)

    assert "one" == secrets.access_latest(NAME)


def test_what_is_gone_is_not_found(google: Google) -> None:
    """A secret that was destroyed, never made or never filled has no token; destroying it again is fine."""
    secrets.create(NAME)
    secrets.add_version(NAME, "one")
    secrets.destroy(NAME)
    secrets.destroy(NAME)
    secrets.create("gmail-empty")

    for name in (NAME, "gmail-unknown", "gmail-empty"):
        with pytest.raises(secrets.SecretNotFound):
            secrets.access_latest(name)
    with pytest.raises(secrets.SecretNotFound):
        secrets.add_version("gmail-unknown", "one")


def test_lists_our_secrets_made_before(google: Google) -> None:
    """Of the project's secrets only ours are listed, and of those only the ones made before a time."""
    secrets.create("gmail-old")
    google.clock.advance(3600)
    secrets.create("gmail-new")
    request = {"parent": "projects/local-project", "secret_id": "other", "secret": {"replication": {"automatic": {}}}}
    secrets._client().create_secret(request=request)

    before = clock.now() - timedelta(minutes=30)
    assert (["gmail-old"], "") == secrets.list_page(created_before=before)
    assert (["gmail-new", "gmail-old"], "") == secrets.list_page(created_before=clock.now() + timedelta(minutes=1))


def test_lists_page_by_page(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page leads to the next one until the last."""
    monkeypatch.setattr(secrets, "_PAGE", 2)
    for number in range(3):
        secrets.create(f"gmail-{number}")
    before = clock.now() + timedelta(minutes=1)

    first, page = secrets.list_page(created_before=before)
    second, end = secrets.list_page(page, created_before=before)

    assert (2, 1, "") == (len(first), len(second), end)
    assert {"gmail-0", "gmail-1", "gmail-2"} == {*first, *second}


def test_name_reveals_nothing(google: Google) -> None:
    """A secret's name is stable, differs by generation, and does not show the user."""
    name = secrets.secret_name("anna", "1")

    assert secrets.secret_name("anna", "1") == name
    assert secrets.secret_name("anna", "2") != name
    assert "anna" not in name


def test_trouble_is_not_absence(google: Google) -> None:
    """When Secret Manager fails, the token is not said to be gone."""
    secrets.create(NAME)
    secrets.add_version(NAME, "one")
    google.inject("secretmanager", "AccessSecretVersion", status=500)

    with pytest.raises(google_errors.InternalServerError):
        secrets.access_latest(NAME)


def test_passing_trouble_is_waited_out(google: Google) -> None:
    """A read that meets a passing failure is repeated by itself; a write is not."""
    secrets.create(NAME)
    secrets.add_version(NAME, "one")
    google.inject("secretmanager", "AccessSecretVersion", status=503, count=2)
    google.inject("secretmanager", "AddSecretVersion", status=503)

    assert "one" == secrets.access_latest(NAME)
    with pytest.raises(google_errors.ServiceUnavailable):
        secrets.add_version(NAME, "two")
