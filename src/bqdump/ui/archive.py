"""The documents that the console reads. Each page reads only what it shows; immutable documents are cached.

Immutable documents in memory, up to a limit: the least recently used ones are evicted.

The archives of a set's datasets.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Container, Sequence
from contextlib import suppress

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.document import RUN_ID
from bqdump.core.documents.manifest import TableEntry
from bqdump.core.documents.manifest_index import Contents, Line
from bqdump.core.documents.run import Plan, Receipt
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.target import Drill, LogEntry
from bqdump.core.documents.validation import CHANGED
from bqdump.core.errors import DocumentError, NotFoundError, VerificationError
from bqdump.core.progress.tally import Progress, View
from bqdump.core.restore.drill import Proof
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.observe.history import (
    LOOKS_AT_ONCE,
    RunLine,
    read_runs,
    with_lost_manifests,
    with_storage,
    with_tags,
)
from bqdump.observe.status import newest_run
from bqdump.pool.tables import Ledger
from bqdump.ports.store import ObjectStore
from bqdump.repository.complete_runs import visible_log
from bqdump.repository.drills import proof_of, read_drills
from bqdump.repository.exports import Exports, exports_at
from bqdump.repository.log import entries_in
from bqdump.repository.manifests import contents_of, problem_of
from bqdump.repository.published import read_latest
from bqdump.repository.repository import exists, read
from bqdump.repository.storage import read_storage
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
    """The runs of one export.

    place: see Place.
    kept: documents that were read before.
    trusting: where keys are trusted, the store that raises VerificationError about a run that none of them has signed.
    """

    def __init__(
        self,
        store: ObjectStore,
        settings: Settings,
        place: Place | None = None,
        kept: Kept | None = None,
        trusting: ObjectStore | None = None,
    ) -> None:
        self.store, self.settings = store, settings
        self._trusting = trusting
        self.place = place or Place(str(settings.target).rstrip("/"))
        self._entries: dict[str, LogEntry] = {}
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
        store = self._trusting or self.store
        entered = await visible_log(store, self.settings)
        return await read_runs(store, self.settings, published, self._entries, drills, entered)

    async def judged(self, lines: Sequence[RunLine], runs: Container[str]) -> list[RunLine]:
        """The same, these runs as their manifests say: lost or damaged, or signed by no trusted key.

        Whatever was made of a manifest says nothing about that.
        """
        store, looked_at = self._trusting or self.store, [line for line in lines if line.run in runs]
        looked_at = await with_lost_manifests(store, self.settings, looked_at, self._entries)
        judged = {line.run: line for line in looked_at}
        return [judged.get(line.run, line) for line in lines]

    async def untrusted(self, *runs: str) -> dict[str, str]:
        """Why these runs are not trusted; those that are, or need not be, are left out."""
        if self._trusting is None:
            return {}
        problems = {run: await problem_of(self._trusting, self.layout(run).manifest.name) for run in runs}
        return {run: why for run, why in problems.items() if why}

    async def with_storage(self, lines: Sequence[RunLine]) -> list[RunLine]:
        """The same with what each run shares with others. Reads every manifest."""
        return with_storage(lines, await read_storage(self.store, self.settings))

    async def with_tags(self, lines: Sequence[RunLine]) -> list[RunLine]:
        """The same with their tags."""
        return await with_tags(self.store, self.settings, lines)

    async def drills(self) -> list[Drill]:
        """All drills, the earliest first."""
        return await read_drills(self.store, self.settings.layout)

    async def proof(self, run: str) -> Proof | None:
        """What drills have proven of a run, None while it has no manifest."""
        contents, drills = await self.contents(run), await self.drills()
        return await proof_of(self.store, self.settings.layout, contents, drills) if contents else None

    async def published(self) -> str:
        """The published run, "" when there is none."""
        latest = await read_latest(self._trusting or self.store, self.settings)
        return latest.run if latest else ""

    async def newest(self) -> str:
        """The run planned last, "" when there is none."""
        with suppress(NotFoundError):
            # Which one was planned last is shown also where none is trusted.
            with suppress(VerificationError):
                return await newest_run(self._trusting or self.store, self.settings)
            return await newest_run(self.store, self.settings)
        return ""

    async def contents(self, run: str) -> Contents | None:
        """The tables of a finished run, None while it has no manifest."""
        layout = self.layout(run)
        index, manifest = layout.contents, layout.manifest
        info = await self.store.stat(manifest.name)
        if info is None:
            return None
        version = f"{manifest.name}#{info.generation}"
        if (data := self._kept.get(version)) is not None:
            return decode(data, index.type, index.name)
        # The index is only as good as the manifest. Where it is damaged or not written yet, it is made from that.
        with suppress(DocumentError):
            stored = await read(self.store, index) if await self._is_sound(run, info.generation) else None
            if stored:
                contents = _about(run, decode(stored.data, index.type, index.name), index.name)
                self._kept.keep(version, stored.data)
                return contents
        stored = await read(self.store, manifest)
        if stored is None:
            return None
        contents = _about(run, contents_of(stored.data, manifest.name), manifest.name)
        self._kept.keep(version, encode(contents))
        return contents

    async def _is_sound(self, run: str, generation: int) -> bool:
        """Whether the manifest of a run is the one that the log is about. generation: of the manifest."""
        if run not in self._entries:
            self._entries |= await entries_in(
                self.store, self.settings.layout, await visible_log(self.store, self.settings)
            )
        return run in self._entries and self._entries[run].generation == generation

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


class Collection:
    """The archives of a prefix. `whole` is that of the prefix itself; `of` those of a set's datasets.

    trusting: see Archive.
    """

    def __init__(self, store: ObjectStore, settings: Settings, trusting: ObjectStore | None = None) -> None:
        self.store, self.settings = store, settings
        self.trusting = trusting
        self._kept = Kept()
        self._several = False
        self._datasets: dict[str, Archive] = {}
        self.whole = Archive(store, settings, kept=self._kept, trusting=self.trusting)

    @property
    def place(self) -> Place:
        """Where all of them are."""
        return self.whole.place._replace(several=self._several)

    async def several(self) -> bool:
        """Whether a set is there. A prefix that has become that of a set stays so.

        Raises DocumentError for a set whose documents cannot be read.
        """
        self._several = self._several or (await self.exports()).set_at is not None
        return self._several

    async def names(self) -> list[str]:
        """The datasets of the set, none where there is no set."""
        return (await self.exports()).names

    async def exports(self) -> Exports:
        """What is there."""
        return await exports_at(lambda _: self.store, self.settings)

    async def of(self, dataset: str) -> Archive:
        """The archive of a dataset of the set. Raises NotFoundError."""
        if dataset not in self._datasets:
            if dataset not in await self.names():
                cause = f"the set in {self.place} has no dataset of this name"
                raise NotFoundError("find", f"dataset {dataset[:100]!r}", cause)
            settings = one_dataset(self.settings, dataset)
            place = Place(str(settings.target).rstrip("/"), dataset)
            self._datasets[dataset] = Archive(self.store, settings, place, self._kept, self.trusting)
        return self._datasets[dataset]
