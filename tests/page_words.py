"""The words of the demo CRM's page, read from its files: keys and texts of a language."""

from __future__ import annotations

import json
import re

from local.functions import ROOT

STATIC = ROOT / "local" / "crm" / "static"
_ENTRY = re.compile(r'^\s*"([\w.-]+)":\s*("(?:[^"\\]|\\.)*")', re.MULTILINE)


def entries(language: str) -> list[tuple[str, str]]:
    """Keys and texts, in the order of the files."""
    files = sorted(STATIC.glob(f"words_*{language}.js"))
    return [(key, json.loads(text)) for file in files for key, text in _ENTRY.findall(file.read_text())]
