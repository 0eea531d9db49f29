"""Unit tests touch no network: a socket that is opened fails the test."""

from __future__ import annotations

import pytest
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def _sockets_off() -> object:
    disable_socket()
    yield
    enable_socket()
