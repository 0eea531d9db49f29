"""The whole product, started once for all integration tests; each test finds it empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.stack import Stack


@pytest.fixture(scope="session")
def _running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def stack(_running_stack: Stack) -> Iterator[Stack]:
    """Everything running, with the demo's people and without mail, documents, secrets or tasks."""
    _running_stack.reset()
    yield _running_stack
    _running_stack.faults.clear()
