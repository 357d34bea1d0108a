"""Bytes as a forger makes them, who cannot be told by size and checksum."""

from __future__ import annotations

import google_crc32c


def with_checksum_of(data: bytes, start: bytes) -> bytes:
    """Bytes of this size and CRC32C that begin in another way: the last four are chosen, as CRCs are linear."""
    begun = start.ljust(len(data) - 4)[: len(data) - 4]

    def checksum(tail: int) -> int:
        return int(google_crc32c.value(begun + tail.to_bytes(4, "little")))

    base = checksum(0)
    rows = [(checksum(1 << bit) ^ base, 1 << bit) for bit in range(32)]
    left, tail = int(google_crc32c.value(data)) ^ base, 0
    for bit in reversed(range(32)):
        pivot = next((row for row in rows if row[0] >> bit & 1), None)
        if pivot is None:
            continue
        rows = [(row[0] ^ pivot[0], row[1] ^ pivot[1]) if row[0] >> bit & 1 else row for row in rows if row != pivot]
        if left >> bit & 1:
            left, tail = left ^ pivot[0], tail ^ pivot[1]
    forged = begun + tail.to_bytes(4, "little")
    assert (len(forged), google_crc32c.value(forged)) == (len(data), google_crc32c.value(data))
    return forged
