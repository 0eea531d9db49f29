"""How many owners a policy still waits for: what the count looks at, and what it says of its own limits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from common.model import PERMISSION, Connection, Policy, SharingLevel, SharingTerms, User
from common.policy import count_not_accepted
from common.store.client import Store
from tests.integration.store_rig import Backend, close_store, open_store, started

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)
MOST = 2000


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with started("embedded", tmp_path_factory.mktemp("firestore")) as running:
        yield running


@pytest.fixture
def store(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    yield open_store(backend, monkeypatch)
    close_store()


def save(store: Store, numbers: range, **more: Any) -> None:
    """Connections of users who are active."""
    for start in numbers[::200]:
        with store.batch() as batch:
            for number in range(start, min(start + 200, numbers.stop)):
                user_id = f"u{number}"
                connection = Connection(
                    user_id=user_id, address=f"{user_id}@demo-crm.example", mailbox_key=user_id, generation="g",
                    secret="s", scopes=frozenset(), connected_at=NOW, **more,
                )  # fmt: skip
                user = User(user_id=user_id, active=True, permissions=frozenset({PERMISSION}), heard_at=NOW)
                store.connections.create(connection, batch)
                store.users.save(user, batch)


def test_where_users_choose_only_those_who_share_are_read(store: Store, backend: Backend) -> None:
    """Owners with a level of their own are asked about terms; nobody else costs a read."""
    former = SharingTerms(excluded_domains=("bank.example",))
    save(store, range(30))
    save(store, range(30, 32), sharing=SharingLevel.CUSTOM, accepted_terms=former)
    save(store, range(32, 34), sharing=SharingLevel.PUBLIC)
    mark = backend.ledger.mark()

    assert (2, False) == count_not_accepted(Policy())
    assert 8 == backend.reads(mark)


def test_where_nobody_may_share_nobody_is_read(store: Store, backend: Backend) -> None:
    """A policy that only narrows asks for nothing."""
    save(store, range(3), sharing=SharingLevel.PUBLIC)
    mark = backend.ledger.mark()

    only_private = Policy(sharing=SharingLevel.PRIVATE, sharing_by_role={"sales": SharingLevel.PRIVATE})
    assert (0, False) == count_not_accepted(only_private)
    assert 0 == backend.reads(mark)


def test_a_count_that_stopped_early_says_so(store: Store) -> None:
    """Of more than 2,000 connections those looked at are counted, and the figure is called partial."""
    save(store, range(MOST - 1))
    whole = count_not_accepted(Policy(sharing=SharingLevel.PUBLIC))
    save(store, range(MOST - 1, MOST + 1))

    assert (MOST - 1, False) == whole
    assert (MOST, True) == count_not_accepted(Policy(sharing=SharingLevel.PUBLIC))
