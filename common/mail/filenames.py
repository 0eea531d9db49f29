"""Owns names of attached files: cleaned of tricks, and put into Content-Disposition. Imports only the limits."""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from urllib.parse import quote

from common.mail.limits import MAX_FILENAME_BYTES

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_RESERVED_CHARS = re.compile(r'[<>:"|?*]')
# Windows' device names, with any extension (learn.microsoft.com: Naming Files, Paths, and Namespaces).
_RESERVED_NAMES = re.compile(r"(?i)^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)")
_MAX_EXTENSION_BYTES = 20


def clean_filename(unverified_name: str, content_type: str = "application/octet-stream") -> str:
    """A name that is safe to show and to save: no path, control, bidi or reserved character, at most 200 bytes.

    Without anything usable it is ``attachment`` with the extension of ``content_type``.
    """
    last = re.split(r"[/\\]", unverified_name)[-1]
    visible = "".join(" " if char.isspace() else char for char in last if _is_visible(char))
    # Composed last, for dropping an invisible character may let two others combine.
    plain = unicodedata.normalize("NFC", _RESERVED_CHARS.sub("_", visible))
    name = re.sub(r" {2,}", " ", plain).strip(". ")
    if not name:
        return "attachment" + (mimetypes.guess_extension(content_type) or "")
    return _shorten(_RESERVED_NAMES.sub(lambda found: f"_{found[0]}", name))


def content_disposition(filename: str) -> str:
    """``attachment`` with the cleaned name by RFC 6266: an ASCII one, and by RFC 8187 the real one if that differs."""
    name = clean_filename(filename)
    # RFC 6266, appendix D: no percent sign in the plain form, since some browsers decode it.
    ascii_name = name.encode("ascii", "replace").decode("ascii").replace("?", "_").replace("%", "_")
    plain = f'attachment; filename="{ascii_name}"'
    return plain if ascii_name == name else f"{plain}; filename*=UTF-8''{quote(name, safe='')}"


def _is_visible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) not in _INVISIBLE


def _shorten(name: str) -> str:
    if len(name.encode()) <= MAX_FILENAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > _MAX_EXTENSION_BYTES:
        return _cut(name, MAX_FILENAME_BYTES)
    return f"{_cut(stem, MAX_FILENAME_BYTES - len(extension.encode()) - 1)}.{extension}"


def _cut(text: str, size_bytes: int) -> str:
    return text.encode()[:size_bytes].decode("utf-8", "ignore").rstrip(". ")
