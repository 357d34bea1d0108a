"""The state of one resumable upload."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bqdump_local.storage.errors import ApiError, invalid

if TYPE_CHECKING:
    from bqdump_local.storage.methods.planned import Plan
    from bqdump_local.storage.store.files import Content, Spool
    from bqdump_local.storage.store.records import ObjectRecord
    from bqdump_local.storage.wire import Request

# The service keeps only complete multiples of this size of an incomplete upload.
QUANTUM = 256 * 1024
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A Content-Range: the position of a request's bytes. start: None requests the status."""

    start: int | None
    end: int | None
    total: int | None


def parse_content_range(header: str | None) -> Chunk:
    """A Content-Range header; without one, the request contains all bytes."""
    if header is None:
        return Chunk(0, None, None)
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if not match:
        raise invalid(f"Failed to parse Content-Range header: {header}")
    first, last, total = match.groups()
    return Chunk(int(first) if first else None, int(last) + 1 if last else None, None if total == "*" else int(total))


class Session:
    """Bytes received so far, in order and without gaps."""

    def __init__(self, plan: Plan, spool: Spool, expected: list[dict[str, str]], total: int | None) -> None:
        self.identifier = secrets.token_urlsafe(24)
        self.plan = plan
        self.expected = expected
        self.record: ObjectRecord | None = None
        self._spool = spool
        self._total = total
        self._busy = False
        self._cancelled = False

    async def receive(self, chunk: Chunk, request: Request) -> bool:
        """Receive a request's bytes. Returns True once the upload is complete."""
        if self._busy:
            raise ApiError(503, "Another request for this upload is in progress.")
        if chunk.total is not None:
            if self._total not in (None, chunk.total):
                raise invalid(f"The upload was announced with {self._total} bytes, not {chunk.total}.")
            self._total = chunk.total
        if chunk.start is None:
            await request.body()
            return self._spool.size == self._total
        if chunk.start > self._spool.size:
            raise ApiError(503, f"Bytes {self._spool.size}-{chunk.start - 1} are missing.")
        self._busy = True
        try:
            await self._take(chunk, chunk.start, request)
        finally:
            self._busy = False
        return self._spool.size == self._total

    def progress(self) -> list[tuple[str, str]]:
        """Headers with the upload's progress."""
        return [("range", f"bytes=0-{self._spool.size - 1}")] if self._spool.size else []

    def finish(self) -> Content:
        """The complete bytes."""
        return self._spool.finish()

    def cancel(self) -> None:
        """Drop the bytes. A request that brings more of them is refused."""
        self._cancelled = True
        if self.record is None:
            self._spool.discard()

    async def _take(self, chunk: Chunk, position: int, request: Request) -> None:
        pending = bytearray()
        async for piece in request.stream():
            # Bytes that were received before are skipped.
            known = min(max(self._spool.size + len(pending) - position, 0), len(piece))
            position += len(piece)
            pending += piece[known:]
            if self._cancelled:
                return
            if len(pending) >= QUANTUM:
                cut = len(pending) - (self._spool.size + len(pending)) % QUANTUM
                self._spool.write(bytes(pending[:cut]))
                del pending[:cut]
        if self._cancelled:
            return
        if chunk.end is not None and position != chunk.end:
            raise invalid(f"Content-Range says that the request ends at byte {chunk.end}, but it ends at {position}.")
        if chunk.end is None:
            if self._total not in (None, position):
                raise invalid(f"The upload was announced with {self._total} bytes, not {position}.")
            self._total = position
        if self._total is not None and position > self._total:
            raise invalid(f"The upload was announced with {self._total} bytes, not {position}.")
        if position == self._total:
            self._spool.write(bytes(pending))
