"""A store whose writes are two steps, as a folder's are: a file gets its name, and then an index records what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents import layout
from bqdump.ports.store import Note, ObjectInfo


class TwoStepStore(MemoryStore):
    """Where the second step is missing, everything is made of the file, and of what was announced before a copy."""

    def __init__(self, bucket: str = "memory", *, page: int) -> None:
        super().__init__(bucket, page=page)
        self._entered = set[str]()

    def enter_again(self, name: str) -> ObjectInfo:
        """Whoever has written this object was killed before it was recorded: it is found later, and entered anew."""
        found = self._objects[name]
        self._generation += 1
        info = found.info._replace(generation=self._generation)
        self._objects[name] = found._replace(info=info)
        self._entered.add(name)
        return info

    async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        """See ObjectStore. The name of a file shows that it is a note."""
        async for page in super().notes(prefix, start):
            yield [note for note in page if note.name not in self._entered or layout.is_note(note.name)]
