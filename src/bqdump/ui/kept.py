"""Immutable documents in memory, up to a limit: the least recently used ones are evicted."""

from __future__ import annotations

from collections import OrderedDict

KEPT_BYTES = 128 << 20


class Kept:
    """Documents by object name."""

    def __init__(self) -> None:
        self._documents: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, name: str) -> bytes | None:
        """The document, None where it is not kept."""
        if name in self._documents:
            self._documents.move_to_end(name)
        return self._documents.get(name)

    def keep(self, name: str, data: bytes) -> None:
        """Keep a document."""
        self._bytes += len(data) - len(self._documents.pop(name, b""))
        self._documents[name] = data
        while self._bytes > KEPT_BYTES and len(self._documents) > 1:
            _, forgotten = self._documents.popitem(last=False)
            self._bytes -= len(forgotten)

    @property
    def names(self) -> list[str]:
        """The documents that are kept, the least recently used one first."""
        return list(self._documents)
