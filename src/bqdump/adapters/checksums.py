"""CRC32C as Cloud Storage writes it: four bytes, big-endian, in base64."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import IO, Any

from bqdump.adapters.lean_imports import Later

google_crc32c: Any = Later("google_crc32c")
CHUNK = 1 << 20


def crc32c(data: bytes) -> str:
    """The checksum of these bytes."""
    checksum: int = google_crc32c.value(data)
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()


def crc32c_of_file(path: Path) -> str:
    """The checksum of a file's content, read in chunks."""
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            checksum = google_crc32c.extend(checksum, chunk)
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()


class Summed:
    """A writable file that records the size and the checksum of what was written. file: gets it, if there is one.

    failed: the error that a write has raised, if any.
    """

    def __init__(self, file: IO[bytes] | None) -> None:
        self._file, self._checksum = file, 0
        self.size = 0
        self.failed: OSError | None = None

    @property
    def crc32c(self) -> str:
        """The checksum so far."""
        return base64.b64encode(self._checksum.to_bytes(4, "big")).decode()

    def write(self, data: bytes) -> int:
        """Write all of the data."""
        try:
            if self._file:
                self._file.write(data)
        except OSError as error:
            self.failed = error
            raise
        self._checksum = google_crc32c.extend(self._checksum, bytes(data))
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """The number of bytes written."""
        return self.size

    def flush(self) -> None:
        """Do nothing: the file is flushed once it is complete."""
