"""Owns a finished mail as a stream: its attachments' base64 is made while it is read, never held.

Imports nothing of ours. Knows no headers and no MIME.
"""

from __future__ import annotations

import io
from binascii import b2a_base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import WriteableBuffer

# RFC 2045, 6.8: lines of at most 76 characters.
_LINE_BYTES = 57
_LINE_CHARS = 76
_LINE_BREAK = b"\r\n"
_FULL_LINE_CHARS = _LINE_CHARS + len(_LINE_BREAK)
_BUFFER_BYTES = 64 * 1024


@dataclass(frozen=True, repr=False)
class Base64:
    """Bytes that are to stand in the mail in base64, in lines; the last one without its end."""

    data: bytes

    def __len__(self) -> int:
        chars = -(-len(self.data) // 3) * 4
        return chars + len(_LINE_BREAK) * max(-(-chars // _LINE_CHARS) - 1, 0)

    def piece(self, start: int, end: int) -> bytes:
        """Characters ``start`` to ``end`` of the encoded lines."""
        first, last = start // _FULL_LINE_CHARS, -(-end // _FULL_LINE_CHARS)
        bytes_ = memoryview(self.data)[first * _LINE_BYTES : last * _LINE_BYTES]
        lines = [b2a_base64(bytes_[at : at + _LINE_BYTES], newline=False) for at in range(0, len(bytes_), _LINE_BYTES)]
        skipped = first * _FULL_LINE_CHARS
        return _LINE_BREAK.join([*lines, b""])[start - skipped : end - skipped]


Piece = bytes | Base64


def open_stream(pieces: Sequence[Piece]) -> io.BufferedReader:
    """The pieces one after the other, as a seekable stream that holds no more than a buffer of what it encodes."""
    return io.BufferedReader(_Pieces(pieces), _BUFFER_BYTES)


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._size_bytes = sum(map(len, pieces))
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fills the buffer as far as the present piece goes; 0 at the end."""
        target = memoryview(buffer).cast("B")
        start = self._position
        for piece in self._pieces:
            if start < len(piece):
                end = min(len(piece), start + len(target))
                content = piece[start:end] if isinstance(piece, bytes) else piece.piece(start, end)
                target[: len(content)] = content
                self._position += len(content)
                return len(content)
            start -= len(piece)
        return 0
