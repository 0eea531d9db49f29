"""What holds for all tests: the threads of the stand-ins are not traced for coverage."""

from __future__ import annotations

import threading

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Takes coverage off threads that start from now on; the functions, in processes of their own, are traced whole.

    CPython 3.11 refuses a trace function while another thread is just setting one ("Cannot install a trace function
    while another trace function is being installed"). The stand-ins start a thread a connection, tens of thousands in a
    run, so now and then one died of it and left its client without an answer.
    """
    threading.settrace(None)
