"""CRC32C as Cloud Storage writes it: four bytes, big-endian, in base64."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import IO

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


class Summed:
    """A file to write to that knows the size and the checksum of what was written, and what the file has raised.

    failed: why the file did not take what was written, None while it does.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._checksum = file, 0
        self.size = 0
        self.failed: OSError | None = None

    @property
    def crc32c(self) -> str:
        """The checksum so far."""
        return base64.b64encode(self._checksum.to_bytes(4, "big")).decode()

    def write(self, data: bytes) -> int:
        """Write all of it."""
        try:
            self._file.write(data)
        except OSError as error:
            self.failed = error
            raise
        self._checksum = google_crc32c.extend(self._checksum, bytes(data))
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """How much was written."""
        return self.size

    def flush(self) -> None:
        """The file is flushed when it is whole."""
