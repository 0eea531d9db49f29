"""Owns which CSS of a style attribute a mail may keep: a closed list that cannot load, cover or move anything.

Imports nothing of the project.
"""

from __future__ import annotations

import re

_PROPERTY_NAMES = """
    background background-color border border-bottom border-bottom-color border-bottom-style border-bottom-width
    border-collapse border-color border-left border-left-color border-left-style border-left-width border-radius
    border-right border-right-color border-right-style border-right-width border-spacing border-style border-top
    border-top-color border-top-style border-top-width border-width clear color direction display float font
    font-family font-size font-style font-variant font-weight height letter-spacing line-height list-style
    list-style-type margin margin-bottom margin-left margin-right margin-top max-height max-width min-height min-width
    padding padding-bottom padding-left padding-right padding-top table-layout text-align text-decoration text-indent
    text-transform vertical-align white-space width word-break word-spacing word-wrap overflow-wrap
"""
_PROPERTIES = frozenset(_PROPERTY_NAMES.split())
_FUNCTIONS = frozenset({"rgb", "rgba", "hsl", "hsla"})
_DISPLAY_NAMES = """
    block inline inline-block inline-table list-item none table table-cell table-row table-row-group table-header-group
"""
_DISPLAYS = frozenset(_DISPLAY_NAMES.split())
_DECLARATION = re.compile(r"([a-zA-Z-]{1,40}) ?: ?([a-zA-Z0-9#%., '\"()+!äöüÄÖÜß_-]{1,500})")
_FUNCTION = re.compile(r"([a-zA-Z0-9_-]*)\s*\(")
# Negative lengths pull an element over its neighbours.
_NEGATIVE = re.compile(r"(?<![a-zA-Z0-9_-])-\s*\.?[0-9]")


def keep_style(unverified_style: str) -> str:
    """The declarations of a style attribute that are on the list, with values that load nothing and stay in place."""
    kept = (_keep_declaration(declaration) for declaration in unverified_style[:10_000].split(";"))
    return ";".join(declaration for declaration in kept if declaration)


def _keep_declaration(declaration: str) -> str | None:
    found = _DECLARATION.fullmatch(" ".join(declaration.split()))
    if not found:
        return None
    name, value = found[1].lower(), found[2].strip()
    return f"{name}:{value}" if name in _PROPERTIES and _is_harmless(name, value) else None


def _is_harmless(name: str, value: str) -> bool:
    if _NEGATIVE.search(value) or value.count("'") % 2 or value.count('"') % 2 or value.count("(") != value.count(")"):
        return False
    if name == "display" and value.lower().removesuffix("!important").strip() not in _DISPLAYS:
        return False
    return all(function.lower() in _FUNCTIONS for function in _FUNCTION.findall(value))
