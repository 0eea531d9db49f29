"""A mail as a stream whose base64 is made while it is read."""

from __future__ import annotations

import base64
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.mail.stream import Base64, open_stream


def lines(data: bytes) -> bytes:
    """The data in base64 as RFC 2045 wants it, by the standard library."""
    return base64.encodebytes(data).replace(b"\n", b"\r\n").removesuffix(b"\r\n")


@settings(deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=30), st.integers(0, 700), st.integers(1, 200))
def test_any_part_of_the_stream_can_be_read(data: bytes, head: bytes, start: int, size: int) -> None:
    """From wherever it is read, the stream has the bytes of the whole."""
    whole = head + lines(data) + b"end"
    stream = open_stream([head, Base64(data), b"", Base64(b""), b"end"])

    assert len(whole) == stream.seek(0, io.SEEK_END)
    assert min(start, len(whole)) == stream.seek(min(start, len(whole)))
    assert whole[start : start + size] == stream.read(size)
    stream.seek(0)
    assert whole == stream.read()


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 114, 200_000, 200_001])
def test_size_is_known_before(size: int) -> None:
    """The encoded size follows from the data's."""
    assert len(lines(bytes(size))) == len(Base64(bytes(size)))
