"""The words of the demo CRM's page: both languages say the same, and every word that the page asks for is there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.page_words import STATIC, entries

_ASKED = re.compile(r'\bt\(\s*"([\w.-]+)"')
_FORMS = ("one", "other")


def names(text: str) -> set[str]:
    """The values that a text names in braces."""
    return set(re.findall(r"\{(\w+)\}", text))


def test_both_languages_have_the_same_keys() -> None:
    """What can be said in English can be said in German, and the other way round."""
    assert {key for key, _ in entries("en")} == {key for key, _ in entries("de")}


@pytest.mark.parametrize("language", ["en", "de"])
def test_each_key_stands_once(language: str) -> None:
    """No file of words overrules another, and no text is empty."""
    assert {} == {key: count for key, count in Counter(key for key, _ in entries(language)).items() if count > 1}
    assert [] == [key for key, text in entries(language) if not text.strip()]


def test_both_languages_name_the_same_values() -> None:
    """A text takes in what its counterpart takes in; the singular may leave the number out."""
    german = dict(entries("de"))
    differing = {key for key, text in entries("en") if names(text) - {"count"} != names(german[key]) - {"count"}}

    assert set() == differing


def test_what_is_asked_for_is_there() -> None:
    """Each key that a script names in full has words, or forms for one and many."""
    known = dict(entries("en"))
    asked = {(script.name, key) for script in STATIC.glob("*.js") for key in _ASKED.findall(_code(script))}
    missing = {
        (script, key)
        for script, key in asked
        if key not in known and not all(f"{key}.{form}" in known for form in _FORMS)
    }

    assert set() == missing
    assert 100 < len(asked)


def _code(script: Path) -> str:
    return re.sub(r"^\s*//.*$", "", script.read_text(), flags=re.MULTILINE)
