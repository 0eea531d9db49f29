"""The whole product, started once for all integration tests; each test finds it empty. And one browser for all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from local.stack import Stack
from tests.integration.browser import started_browser
from tests.integration.magnet_rig import start_magnet
from tests.integration.sweep_rig import load_directory, start_labels


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


@pytest.fixture
def crm(stack: Stack) -> Stack:
    """The stack with the CRM's records."""
    stack.load_directory()
    return stack


@pytest.fixture
def magnet(crm: Stack) -> Stack:
    """The CRM's records, and Anna with MailMagnet on."""
    return start_magnet(crm)


@pytest.fixture
def sorted_mailbox(stack: Stack) -> Stack:
    """Anna with MailMagnet and labels on, and nothing left to do."""
    load_directory(stack)
    return start_labels(stack)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, started once; the tests that ask for it are skipped, loudly, where there is none."""
    with started_browser() as running:
        yield running
