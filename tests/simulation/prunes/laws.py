"""Law 10, asserted at the instant of every deletion, and whenever a process that reads reports its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.manifest import File, Manifest
from bqdump.core.errors import BqdumpError
from bqdump.core.iceberg.table import HINT, METADATA
from bqdump.core.settings.settings import Settings
from bqdump_memory import MemoryDestination
from simulation.contents import lines_of
from simulation.lake import untrue
from simulation.law import Law
from simulation.laws import Broken
from simulation.view import View, metadata_of, standing

DAY_MS = 86_400_000
Rows = dict[str, list[bytes]]


class PruneLaws:
    """Judges every deletion. `broken`: the first finding; `stop` is called with it.

    rows: of each table of each run, as its files had them when its manifest was stored. files: the objects of each
    table of each run, likewise. foreign: generations of objects that are not the export's.
    """

    def __init__(self, store: MemoryStore, settings: Settings, stop: Callable[[], None]) -> None:
        self.store, self.stop = store, stop
        self.view = View(store, settings.layout)
        self.broken: Broken | None = None
        self.rows: dict[str, Rows] = {}
        self.files: dict[tuple[str, str], set[tuple[str, int]]] = {}
        # The runs that latest.json has named, in order.
        self.published: list[str] = []
        self.foreign: dict[str, int] = {}

    def hold(self, holds: bool, what: str) -> None:
        """Blame what does not hold."""
        if not holds:
            self.blame(what)

    def blame(self, what: str) -> None:
        """Keep the first finding, and end the schedule."""
        if self.broken is None:
            self.broken = Broken(Law.PRUNED, what)
            self.stop()

    def marked_at(self, run: str) -> int | None:
        """When a run was pruned, by the store's clock; None if it was not."""
        found = self.store.peek(self.view.layout.mark(run).name)
        return found[1].updated if found else None

    def kept(self) -> list[Manifest]:
        """The manifests of runs that are not pruned; of those that replace files, only the published one."""
        latest = self.view.latest()
        found = []
        for run in self.rows:
            manifest = self.view.manifest(run)
            # What a process writes that was taken for dead is withdrawn by it.
            if manifest is None or self.marked_at(run) is not None or self.view.plan(run) is None:
                continue
            if manifest.mode == "keep" or (latest is not None and latest.run == run):
                found.append(manifest)
        return found

    def waiting(self) -> list[Manifest]:
        """The manifests of runs that were pruned less than a day ago, and keep their files."""
        young = [run for run in self.rows if self.store.clock() - (self.marked_at(run) or 0) < DAY_MS]
        manifests = [self.view.manifest(run) for run in young if self.view.plan(run)]
        return [manifest for manifest in manifests if manifest and manifest.mode == "keep"]

    def named(self) -> dict[tuple[str, int], str]:
        """What they name, at its generation, and which run does."""
        return {
            (file.name, file.generation): manifest.run
            for manifest in self.kept()
            for _, file in standing(manifest).values()
        }

    def deleting(self, process: str, objects: Sequence[tuple[str, int]]) -> None:
        """A process deletes these."""
        there = [one for one in objects if (found := self.store.peek(one[0])) and found[1].generation == one[1]]
        if not there:
            return
        named = self.named()
        if process.startswith("prune"):
            waiting = {
                (file.name, file.generation): one.run for one in self.waiting() for _, file in standing(one).values()
            }
            named = waiting | named
        for one in there:
            self.hold(one not in named, f"{process} deletes {one[0]}, which {named.get(one)} names")
            self.hold(self.foreign.get(one[0]) != one[1], f"{process} deletes {one[0]}, which is not the export's")
            led = one[0] in self.metadata() and self._is_shown()
            self.hold(not led, f"{process} deletes {one[0]}, to which latest.json leads")

    def _is_shown(self) -> bool:
        """Whether latest.json names the newest run of the log: a publisher writes it right after its entry."""
        log, latest = self.view.layout.log, self.view.latest()
        entries = [name for name in self.store.names_now() if name.startswith(log)]
        return bool(latest and max(entries, default="").endswith(f"-{latest.run}.json"))

    def metadata(self) -> dict[str, str]:
        """The metadata files to which latest.json leads, and their tables; of runs that keep their files."""
        latest = self.view.latest()
        if latest is None or not latest.iceberg or latest.replaces:
            return {}
        found = self.store.peek(latest.iceberg)
        return {name: table for table, name in self._json(found)["tables"].items()} if found else {}

    def lake_is_clean(self) -> None:
        """What readers of the published Iceberg tables find lists what can be read, and no more."""
        latest = self.view.latest()
        manifest = self.view.manifest(latest.run) if latest else None
        if manifest is None or manifest.mode != "keep":
            return
        named = {table: objects[-1].name for table, objects in metadata_of(manifest).items()}
        found = {table: name for name, table in self.metadata().items()}
        self.hold(named.keys() == found.keys(), f"latest.json leads to {sorted(found)}, of {sorted(named)}")
        kept = {one.run for one in self.kept()}
        for table, name in found.items():
            of_run, now = self._json(self.store.peek(named[table])), self._json(self.store.peek(name))
            same = of_run["current-snapshot-id"] == now["current-snapshot-id"]
            self.hold(same, f"{name} is of another snapshot than {named[table]}")
            for wrong in untrue(self.view, table, now, [run for run in self.published if run in kept], manifest):
                self.blame(f"{name}: {wrong}")
            for snapshot in now["snapshots"]:
                address = snapshot["manifest-list"].removeprefix(f"{self.store.url}/")
                self.hold(self.view.info(address) is not None, f"{name} lists {address}, which was deleted")
            hint = self.store.peek(f"{name.rpartition('/')[0]}/{HINT}")
            shown = hint[0].decode() if hint else ""
            self.hold(name.endswith(f"/{shown}{METADATA}"), f"the hint of {table} names {shown}, not {name}")

    def _json(self, peeked: tuple[bytes, object] | None) -> dict[str, Any]:
        return dict(msgspec.json.decode(peeked[0])) if peeked else {}

    def heard(self, _process: str, operation: str, arguments: tuple[Any, ...], _late: bool) -> None:
        """A request was carried out."""
        name = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        if operation == "write" and name.endswith("/manifest.json"):
            run = name.split("/")[-2]
            manifest = self.view.manifest(run)
            if manifest is not None and run not in self.rows:
                self.rows[run] = {entry.table: self._lines(entry.files) for entry in manifest.tables}
                for entry in manifest.tables:
                    named = {(file.name, file.generation) for file in entry.files}
                    self.files[run, entry.table] = named | {(file.name, file.generation) for file in entry.iceberg}
            elif manifest is not None:
                # It was written anew, without what was erased.
                left = {entry.table for entry in manifest.tables}
                self.rows[run] = {table: rows for table, rows in self.rows[run].items() if table in left}
        if operation == "write" and name == self.view.layout.latest.name:
            self._published()

    def _published(self) -> None:
        """Whatever a run that is published names is there: prune has not taken it away before."""
        latest = self.view.latest()
        manifest = self.view.manifest(latest.run) if latest else None
        self.hold(manifest is not None, "the published run has no manifest")
        self.published += [latest.run] if latest else []
        if manifest is not None and manifest.mode == "keep":
            self.whole(manifest)

    def whole(self, manifest: Manifest) -> None:
        """Hold that every file of a manifest is there."""
        for name, (_, file) in standing(manifest).items():
            found = self.store.peek(name)
            there = found is not None and found[1].generation == file.generation
            self.hold(there, f"{manifest.run} names {name}, which is not there")

    def pruned(self, run: str) -> bool:
        """Whether a run was pruned, or never ended."""
        return self.view.manifest(run) is None or self.marked_at(run) is not None

    def gone(self, run: str) -> bool:
        """Whether a run that ended is there no more."""
        return run in self.rows and self.view.manifest(run) is None

    def erased(self, table: str, runs: Sequence[str]) -> None:
        """An erasure of a table from these runs has ended: none of them has it, and no object of it stays."""
        for run in runs:
            manifest = self.view.manifest(run)
            named = {entry.table for entry in manifest.tables} if manifest else set[str]()
            self.hold(table not in named, f"{run} has {table}, which was erased from it")
            for name, generation in self.files.get((run, table), ()):
                found = self.store.peek(name)
                there = found is not None and found[1].generation == generation
                self.hold(not there, f"{name} of {run} stays, although {table} was erased from it")

    def verified(self, run: str, findings: Sequence[object], *, replaced: bool) -> None:
        """A verification has ended. replaced: a later run may have replaced its files."""
        self.hold(not findings or replaced, f"a verification of {run} finds {findings}")

    def refused(self, what: str, run: str, error: BqdumpError) -> None:
        """A verification or a restore was refused: only because the run is not there, and it is said why."""
        self.hold(self.pruned(run), f"{what} of {run} fails, which is not being pruned: {error!r}")
        self.hold("prune" in str(error) or "there is none" in str(error), f"{what} of {run}: {error}")

    def restored(self, run: str, big: MemoryDestination, dataset: tuple[str, str]) -> None:
        """A restore reports that everything is restored."""
        for table, rows in self.rows[run].items():
            found = big.datasets[dataset].get(table)
            has = sorted(str(row).encode() for row in (found.versions[-1].rows or ())) if found else None
            self.hold(has == rows, f"{table} of {run} is restored with {has}, and had {rows}")

    def _lines(self, files: Sequence[File]) -> list[bytes]:
        content = b"".join(lines_of(found[0]) for file in files if (found := self.store.peek(file.name)))
        return sorted(content.splitlines())
