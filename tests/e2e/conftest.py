"""What the browser's tests share: Chromium, and a stack of their own with the demo's people and mail to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser

from local.stack import Stack
from tests.e2e.axe import fetch_axe
from tests.e2e.desk import Desk, sit_down
from tests.integration.browser import started_browser

Sit = Callable[..., Desk]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; the tests that ask for it are skipped, loudly, where there is none."""
    with started_browser() as running:
        yield running


@pytest.fixture(scope="session")
def _running_stack(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # Named with the browser, so that nothing is started where there is none.
    assert browser.is_connected()
    with Stack(tmp_path_factory.mktemp("e2e")) as running:
        yield running


@pytest.fixture
def stack(_running_stack: Stack) -> Iterator[Stack]:
    """Everything running, with the CRM's people and records, and a customer who can be written to."""
    _running_stack.reset()
    _running_stack.google.add_account("mia@customer.example", "Mia Schneider")
    _running_stack.load_directory()
    yield _running_stack
    _running_stack.faults.clear()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core; without npm or a registry the tests that ask for it are skipped, loudly."""
    return fetch_axe(tmp_path_factory.mktemp("axe"))


@pytest.fixture
def sit(browser: Browser, stack: Stack) -> Iterator[Sit]:
    """Opens the page for a person: ``sit("Anna Berger", locale="de")``; nothing may go wrong in it."""
    with ExitStack() as desks:

        def one(person: str | None = None, **options: Any) -> Desk:
            return desks.enter_context(sit_down(browser, stack.crm_url, person, **options))

        yield one
