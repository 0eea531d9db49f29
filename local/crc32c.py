"""CRC-32C (Castagnoli, RFC 3720 appendix B.4): the checksum that Secret Manager sends beside a payload. Pure."""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78


def _row(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE = [_row(value) for value in range(256)]


def crc32c(data: bytes) -> int:
    """The checksum of the bytes."""
    state = 0xFFFFFFFF
    for byte in data:
        state = (state >> 8) ^ _TABLE[(state ^ byte) & 0xFF]
    return state ^ 0xFFFFFFFF
