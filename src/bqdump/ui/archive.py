"""The documents that the console reads. Each page reads only what it shows; immutable documents are cached.

Immutable documents in memory, up to a limit: the least recently used ones are evicted.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.document import RUN_ID
from bqdump.core.documents.manifest import TableEntry
from bqdump.core.documents.manifest_index import Contents, Line, Summary
from bqdump.core.documents.run import Plan, Receipt
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.target import Drill
from bqdump.core.documents.validation import CHANGED
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.progress.tally import Progress, View
from bqdump.core.settings.settings import Settings
from bqdump.observe.history import LOOKS_AT_ONCE, RunLine, published_run, read_runs, with_storage, with_tags
from bqdump.observe.status import newest_run
from bqdump.ports.store import ObjectStore
from bqdump.repository.drills import read_drills
from bqdump.repository.ledger import Ledger
from bqdump.repository.manifests import contents_of
from bqdump.repository.references import read_storage
from bqdump.repository.repository import exists, read
from bqdump.ui.frame import Place

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


# Unfinished runs whose pages are open.
KEPT_RUNS = 8


class Archive:
    """The runs of one export. place: see Place. kept: documents that were read before."""

    def __init__(
        self, store: ObjectStore, settings: Settings, place: Place | None = None, kept: Kept | None = None
    ) -> None:
        self.store, self.settings = store, settings
        self.place = place or Place(str(settings.target).rstrip("/"))
        self._summaries: dict[str, Summary] = {}
        self._kept = kept or Kept()
        # With the receipts at the last look.
        self._progress: OrderedDict[str, tuple[Progress, frozenset[Receipt]]] = OrderedDict()

    def layout(self, run: str) -> RunLayout:
        """The object names of a run. Raises NotFoundError for an invalid run id."""
        if RUN_ID.fullmatch(run):
            return self.settings.layout.run(run)
        raise NotFoundError("find", f"run {run[:100]!r}", "it is not a valid run id")

    async def runs(self, published: str = "", drills: Sequence[Drill] = ()) -> list[RunLine]:
        """All runs, the latest snapshot time first. published: the one to mark as published."""
        return await read_runs(self.store, self.settings, published, self._summaries, drills)

    async def with_storage(self, lines: Sequence[RunLine]) -> list[RunLine]:
        """The same with what each run shares with others. Reads every manifest."""
        return with_storage(lines, await read_storage(self.store, self.settings))

    async def with_tags(self, lines: Sequence[RunLine]) -> list[RunLine]:
        """The same with their tags."""
        return await with_tags(self.store, self.settings, lines)

    async def drills(self) -> list[Drill]:
        """All drills, the earliest first."""
        return await read_drills(self.store, self.settings.layout)

    async def published(self) -> str:
        """The published run, "" when there is none."""
        return await published_run(self.store, self.settings)

    async def newest(self) -> str:
        """The run planned last, "" when there is none."""
        try:
            return await newest_run(self.store, self.settings)
        except NotFoundError:
            return ""

    async def contents(self, run: str) -> Contents | None:
        """The tables of a finished run, None while it has no manifest."""
        layout = self.layout(run)
        index, manifest = layout.contents, layout.manifest
        # An erasure writes both anew.
        info = await self.store.stat(index.name) or await self.store.stat(manifest.name)
        version = f"{index.name}#{info.generation}" if info else ""
        if version and (data := self._kept.get(version)) is not None:
            return decode(data, index.type, index.name)
        # Where the index is damaged or not written yet, it can be made from the manifest.
        with suppress(DocumentError):
            if stored := await read(self.store, index):
                contents = _about(run, decode(stored.data, index.type, index.name), index.name)
                self._kept.keep(f"{index.name}#{stored.generation}", stored.data)
                return contents
        stored = await read(self.store, manifest)
        if stored is None:
            return None
        contents = _about(run, contents_of(stored.data, manifest.name), manifest.name)
        self._kept.keep(version, encode(contents))
        return contents

    async def locks(self, runs: Sequence[str]) -> dict[str, int]:
        """Until when runs are locked, in milliseconds since 1970 UTC; none where the first one is not."""

        async def until(run: str) -> int:
            info = await self.store.stat(self.layout(run).manifest.name)
            return info.locked_until if info and info.locked_until > time.time() * 1000 else 0

        if not (runs and await until(runs[0])):
            return {}
        return {run: end for run, end in zip(runs, await gathered(until, runs, LOOKS_AT_ONCE), strict=True) if end}

    async def finished(self, run: str) -> Contents:
        """The tables of a finished run. Raises NotFoundError for an unfinished one."""
        contents = await self.contents(run)
        if contents is None:
            raise NotFoundError("find", f"the manifest of run {run}", "it does not exist: the run has not finished")
        return contents

    async def line(self, run: str, table: str) -> tuple[Contents, Line]:
        """A table of a run. Raises NotFoundError."""
        contents = await self.finished(run)
        for line in contents.tables:
            if line.table == table:
                return contents, line
        raise NotFoundError("find", f"table {table!r}", f"run {run} did not export it")

    async def entry(self, run: str, line: Line) -> TableEntry:
        """The manifest's entry for a table, by one read of that part of the manifest."""
        name = self.layout(run).manifest.name
        return decode((await self.store.read(name, line.offset, line.length)).data, TableEntry, name)

    async def plan(self, run: str) -> Plan | None:
        """The plan of a run, None while it is being planned. Raises NotFoundError when there is no such run."""
        layout = self.layout(run)
        data = self._kept.get(layout.plan.name)
        if data is None:
            stored = await read(self.store, layout.plan)
            if stored is None and not await exists(self.store, layout.planner):
                raise NotFoundError("find", f"run {run}", f"{self.place} has no documents of this run")
            if stored is None:
                return None
            data = stored.data
            self._kept.keep(layout.plan.name, data)
        return decode(data, Plan, layout.plan.name)

    def view(self, plan: Plan, ledger: Ledger) -> View:
        """The progress of a run, from this ledger and, for rate and time left, from earlier ones."""
        progress, done = self._progress.pop(plan.run, (Progress(), frozenset[Receipt]()))
        receipts = frozenset(ledger.receipts)
        if not done <= receipts:
            # Receipts stop counting once their read session is retired; their work has to be repeated.
            progress = Progress()
        self._progress[plan.run] = progress, receipts
        while len(self._progress) > KEPT_RUNS:
            self._progress.popitem(last=False)
        now = time.monotonic()
        progress.take(plan, now)
        progress.take(ledger.seen, now)
        return progress.view(now)


def _about(run: str, contents: Contents, name: str) -> Contents:
    """The same contents. Raises DocumentError if they are another run's, as in a copied folder."""
    if contents.run != run:
        raise DocumentError("read", name, f"it is about run {contents.run[:100]!r}", CHANGED)
    return contents
