"""CRC32C as Cloud Storage writes it: four bytes, big-endian, in base64."""

from __future__ import annotations

import base64
from pathlib import Path

import google_crc32c

CHUNK = 1 << 20


def crc32c(data: bytes) -> str:
    """The checksum of these bytes."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def crc32c_of_file(path: Path) -> str:
    """The checksum of a file's bytes, read piece by piece."""
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            checksum = google_crc32c.extend(checksum, chunk)
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()
