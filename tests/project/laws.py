"""The laws of a set, asserted at every write: what project.json names is published, and it never goes back in time."""

from __future__ import annotations

from typing import Any

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.project import Project
from bqdump.core.documents.publication import Latest


class LawStore(MemoryStore):
    """A store that notes broken laws. together: none is published before every dataset is complete."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: list[str] = []
        self.together = 0

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        before = self.peek(name)
        generation = await super().write(name, data, expect)
        if name.endswith("/project.json"):
            self._named(decode(data, Project, name), decode(before[0], Project, name) if before else None)
        elif name.endswith("/latest.json") and self.together:
            ready = [one for one in self.names_now() if "/ready/" in one]
            self._hold(len(ready) >= self.together, f"{name} was written with {len(ready)} datasets ready")
        return generation

    def _named(self, project: Project, before: Project | None) -> None:
        self._hold(before is None or before.age <= project.age, "project.json went back in time")
        for entry in project.datasets:
            if entry.state != "published":
                continue
            latest = self._latest(f"{project.prefix}{entry.dataset}/_bqdump/latest.json")
            self._hold(latest is not None, f"{entry.dataset} is named and not published")
            if latest:
                found = (latest.run, latest.snapshot, latest.manifest)
                expected = (project.run, project.snapshot, entry.manifest)
                self._hold(found == expected, f"{entry.dataset} is {found}, and project.json says {expected}")

    def _latest(self, name: str) -> Latest | None:
        found = self.peek(name)
        return decode(found[0], Latest, name) if found else None

    def _hold(self, true: bool, what: Any) -> None:
        if not true:
            self.broken.append(what)
