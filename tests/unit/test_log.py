"""What may stand in the log."""

from __future__ import annotations

import json
import logging

import pytest

from common import log


def test_a_line_is_json_with_fields_of_the_closed_list(capsys: pytest.CaptureFixture[str]) -> None:
    """One event is one line of JSON."""
    log.event("sweep", user="u", count=3, reason=None)
    line = json.loads(capsys.readouterr().err)
    del line["time"]
    assert {"severity": "INFO", "event": "sweep", "user": "u", "count": 3} == line


def test_a_field_outside_the_list_is_refused() -> None:
    """Nobody logs a subject by accident."""
    with pytest.raises(ValueError, match="subject"):
        log.event("sweep", subject="hello")


def test_an_exception_is_told_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Class, code and frames are written; the text, which may hold a URL or a mail, is not."""

    def crash() -> None:
        raise RuntimeError("https://gmail.example/?q=xylophone")

    try:
        crash()
    except RuntimeError as error:
        log.failure("crash", error)
    text = capsys.readouterr().err
    assert "RuntimeError" in text
    assert "test_log.py" in text
    assert "xylophone" not in text


def test_the_libraries_loggers_are_off(capsys: pytest.CaptureFixture[str]) -> None:
    """What googleapiclient or urllib3 would print goes nowhere."""
    saved = logging.getLogger().handlers
    try:
        log.silence_libraries()
        for name in ("googleapiclient.http", "urllib3.connectionpool", "werkzeug"):
            logging.getLogger(name).error("https://gmail.example/?q=xylophone")
    finally:
        logging.getLogger().handlers = saved
    captured = capsys.readouterr()
    assert "xylophone" not in captured.err + captured.out
