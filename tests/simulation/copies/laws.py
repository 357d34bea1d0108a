"""Law 11, asserted at the instant of every change in the place of the copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import File, Manifest
from bqdump.core.documents.target import Latest
from bqdump.core.settings.settings import Settings
from simulation.law import Law
from simulation.laws import Broken

Rows = dict[str, list[bytes]]


class CopyLaws:
    """Judges what happens to copies. `broken`: the first finding; `stop` is called with it.

    rows: of each table of each run, as the files of the source had them when its manifest was stored. foreign: the
    generations of files in the place of the copies that are not theirs. lost: tables that were erased from runs of the
    source. gone: those that were erased from their copies after that.
    """

    def __init__(
        self, source: MemoryStore, target: MemoryStore, here: Settings, there: Settings, stop: Callable[[], None]
    ) -> None:
        self._source, self.target, self._here, self.there, self._stop = source, target, here, there, stop
        self.broken: Broken | None = None
        self.rows: dict[str, Rows] = {}
        self.foreign: dict[str, int] = {}
        self.lost: set[tuple[str, str]] = set()
        self.gone: set[tuple[str, str]] = set()
        self._latest: tuple[int, str] | None = None

    def hold(self, holds: bool, what: str) -> None:
        """Blame what does not hold."""
        if not holds:
            self.blame(what)

    def blame(self, what: str) -> None:
        """Keep the first finding, and end the schedule."""
        if self.broken is None:
            self.broken = Broken(Law.COPIED, what)
            self._stop()

    def heard_source(self, _: str, operation: str, arguments: tuple[Any, ...], __: bool) -> None:
        """A request to the source was carried out."""
        name = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        found = self._source.peek(name) if operation == "write" and name.endswith("/manifest.json") else None
        if found:
            manifest = decode(found[0], Manifest, name)
            read = {entry.table: self._lines(self._source, entry.files) for entry in manifest.tables}
            self.rows.setdefault(manifest.run, read)

    def heard(self, process: str, operation: str, arguments: tuple[Any, ...], _: bool) -> None:
        """A request to the place of the copies was carried out."""
        name = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        manifest = self.manifest(name) if operation == "write" and name.endswith("/manifest.json") else None
        if manifest and not self.target.peek(self.there.layout.mark(manifest.run).name):
            self.whole(manifest)
            self.without(manifest, self.gone)
        if operation == "stream":
            self._replaced(process, name)
        if operation == "write" and name == self.there.layout.latest.name:
            self._moved(process)
        for own, generation in self.foreign.items():
            found = self.target.peek(own)
            self.hold(found is not None and found[1].generation == generation, f"{process} changes {own}: not its own")

    def deleting(self, process: str, objects: Sequence[tuple[str, int]]) -> None:
        """A process deletes these in the place of the copies."""
        named = {(one.name, one.generation): run.run for run in self.kept() for one in _files(run)}
        for one in objects:
            self.hold(one not in named, f"{process} deletes {one[0]}, which {named.get(one)} names")

    def manifest(self, name: str) -> Manifest | None:
        """A manifest among the copies, by its object name."""
        found = self.target.peek(name)
        return decode(found[0], Manifest, name) if found else None

    def kept(self) -> list[Manifest]:
        """The manifests of copies that are not being pruned."""
        found = []
        for name in self.target.names_now():
            if name.endswith("/manifest.json") and (manifest := self.manifest(name)):
                marked = self.target.peek(self.there.layout.mark(manifest.run).name)
                if not marked:
                    found.append(manifest)
        return found

    def whole(self, manifest: Manifest) -> None:
        """Hold that every file of a copy is there as its manifest says, and has the rows of its source."""
        for file in _files(manifest):
            found = self.target.peek(file.name)
            facts = (found[1].size, found[1].crc32c, found[1].generation) if found else None
            as_named = facts == (file.size, file.crc32c, file.generation)
            self.hold(as_named, f"the copy of {manifest.run} names {file.name}, which is not there so")
        for entry in manifest.tables:
            has, had = self._lines(self.target, entry.files), self.rows[manifest.run][entry.table]
            self.hold(has == had, f"{entry.table} of {manifest.run} is copied with {has}, and had {had}")

    def erased(self, lost: set[tuple[str, str]]) -> None:
        """An erasure in the place of the copies has ended. lost: what was erased in the source before it began."""
        self.gone |= lost
        for manifest in self.kept():
            self.without(manifest, self.gone)

    def without(self, manifest: Manifest, erased: set[tuple[str, str]]) -> None:
        """Hold that a copy has none of these tables of its run."""
        for entry in manifest.tables:
            back = (manifest.run, entry.table) in erased
            self.hold(not back, f"the copy of {manifest.run} has {entry.table}, which was erased from it")

    def latest(self) -> Latest | None:
        """The run that the copies' latest.json names."""
        name = self.there.layout.latest.name
        found = self.target.peek(name)
        return decode(found[0], Latest, name) if found else None

    def _replaced(self, process: str, name: str) -> None:
        found = self.target.peek(name)
        for run in self.kept() if found else ():
            as_named = all(
                found and found[1].generation == file.generation for file in _files(run) if file.name == name
            )
            self.hold(as_named, f"{process} writes over {name}, which {run.run} names")

    def _moved(self, process: str) -> None:
        latest = self.latest()
        if latest is None:
            return
        self.hold(self._latest is None or latest.age >= self._latest, f"{process} moves latest.json back in time")
        self._latest = latest.age
        manifest = self.manifest(latest.manifest)
        self.hold(manifest is not None, f"{process} makes latest.json name {latest.run}, which has no manifest")

    def _lines(self, store: MemoryStore, files: Sequence[File]) -> list[bytes]:
        return [found[0] for file in files if (found := store.peek(file.name))]


def _files(manifest: Manifest) -> list[File]:
    return [file for entry in manifest.tables for file in entry.files]
