"""Retry around a Reader."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bqdump.adapters.patience import Attempts, Patience, Retrying
from bqdump.core.errors import BqdumpError
from bqdump.ports.reader import Batch, Reader, ReadRequest, ReadSession


class RetryingReader:
    """A Reader that retries: a broken stream resumes after the last row that has arrived."""

    def __init__(self, reader: Reader, patience: Patience | None = None) -> None:
        self._reader, self._retrying = reader, Retrying(patience)

    async def open(self, request: ReadRequest) -> ReadSession:
        """See Reader."""
        return await self._retrying.call(lambda: self._reader.open(request))

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        """See Reader. Every batch resets the patience."""
        attempts = Attempts(self._retrying)
        while True:
            try:
                for batch in self._reader.read(stream, offset):
                    offset += batch.rows
                    attempts.reset()
                    yield batch
            except BqdumpError as error:
                pause = attempts.failed(error)
            else:
                return
            time.sleep(pause)

    def now(self) -> int:
        """See Reader."""
        return self._reader.now()

    async def close(self) -> None:
        """See Reader."""
        await self._reader.close()
