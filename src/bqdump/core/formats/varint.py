"""Numbers of variable length, as Thrift, Avro and protocol buffers write them: seven bits a byte, the lowest first.

Signed ones are zigzag-encoded: 0, -1, 1, -2 … become 0, 1, 2, 3 …
Source: https://protobuf.dev/programming-guides/encoding/#varints
"""

from __future__ import annotations

LARGEST_BYTES = 10


def unsigned(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and the position after it.

    Raises IndexError if the data end within it, and ValueError if it is longer than LARGEST_BYTES.
    """
    value = data[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    for shift in range(7, 7 * LARGEST_BYTES, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")


def signed(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """The zigzag-encoded number that begins at `at`, and the position after it. Raises as `unsigned` does."""
    zigzag, at = unsigned(data, at)
    return (zigzag >> 1) ^ -(zigzag & 1), at


def put_unsigned(out: bytearray, value: int) -> None:
    """Append a number of zero or more."""
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def put_signed(out: bytearray, value: int) -> None:
    """Append a number, zigzag-encoded."""
    put_unsigned(out, value << 1 if value >= 0 else (-value << 1) - 1)
