"""A store whose writes are two steps, as a folder's are: a file gets its name, and then an index records what it is."""

from __future__ import annotations

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents import layout
from bqdump.ports.store import ObjectInfo


class TwoStepStore(MemoryStore):
    """Where the second step is missing, everything is made of the file, and of what was announced before a copy."""

    def enter_again(self, name: str) -> ObjectInfo:
        """Whoever has written this object was killed before it was recorded: it is found later, and entered anew."""
        found = self._objects[name]
        self._generation += 1
        info = found.info._replace(generation=self._generation)
        self._objects[name] = found._replace(info=info, note=layout.is_note(name))
        return info
