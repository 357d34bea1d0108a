"""One schedule of a vault of a set: locked copies beside nights, prunes and thieves, all of which may die."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from bqdump.adapters.movers import StreamMover
from bqdump.adapters.retry import RetryingStore
from bqdump.copying.sets import copy_exports
from bqdump.copying.survey import Locking, Place
from bqdump.copying.survey import Task as CopyTask
from bqdump.core.copy.plan import Copied
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.documents.sets import DatasetEntry, SetManifest
from bqdump.core.documents.target import Latest
from bqdump.core.errors import BqdumpError, ConflictError, DeniedError, DocumentError
from bqdump.core.retention.policy import Policy, policy_of
from bqdump.core.retention.pruned import Pruned
from bqdump.core.settings.settings import Settings
from bqdump.export.task import ReadRoute
from bqdump.ports.store import Lock
from bqdump.repository.exports import exports_at
from bqdump.repository.set_runs import read_set_manifest
from bqdump.retain.prune import prune_exports
from bqdump.sets.run import run_set
from bqdump.sets.task import SetTask
from bqdump_memory import MemoryWarehouse
from simulation.copies.laws import CopyLaws
from simulation.copies.vaults import Locked, VaultWorld
from simulation.copies.world import (
    ABANDONED_SECONDS,
    EPOCH,
    PATHS,
    PROJECT,
    SETTINGS,
    THERE,
    SimulatedCopies,
    Streaming,
)
from simulation.faults import Network
from simulation.law import Law
from simulation.laws import Broken
from simulation.process import Process
from simulation.schedule import Verdict, nothing_by_chance, without_pages

DATASETS = ("d", "e")
# The pointers and manifests of a thief, under the name of whatever run.
FORGED = "f" * 16
# Later than any schedule ends.
LATER = 1 << 60


def simulate(seed: int, *, whole_trace: bool = False) -> Verdict:
    """Run the schedule of this seed: of a set at times, and else of one dataset.

    The same seed gives the same verdict, whatever ran before.
    """
    vault = SetVaultWorld if random.Random(f"{seed} set").random() < 0.3 else VaultWorld
    with nothing_by_chance(seed, EPOCH) as (patches, _):
        without_pages(patches, "report.render_report", "report.render_unpublished", "report.render_set")
        return vault(seed, None if whole_trace else 60).verdict()


class SetVaultLaws(CopyLaws):
    """Law 12 of a set, asserted at every change of the vault: what its manifest names restores until its date."""

    def __init__(self, *of: Any) -> None:
        super().__init__(*of)
        self.ends: dict[tuple[str, int], int] = {}

    def blame(self, what: str) -> None:
        """See CopyLaws."""
        if self.broken is None:
            self.broken = Broken(Law.LOCKED, what)
            self._stop()

    def heard(self, process: str, operation: str, arguments: tuple[Any, ...], again: bool) -> None:
        """A request to the vault was carried out."""
        if operation != "read":
            self.tied()

    def deleting(self, process: str, objects: Any) -> None:
        """What is deleted is looked at afterwards."""

    def honest(self) -> list[tuple[Latest, SetManifest, int]]:
        """The pointers of copies with the manifests that they name, and until when those are locked."""
        pointers = []
        for name in self.target.names_now():
            if not name.startswith(self.there.layout.pointers.folder) or "thief" in name or FORGED in name:
                continue
            peeked = self.target.peek(name)
            pointer = decode(peeked[0], Latest, name) if peeked else None
            stored = self.target.peek(pointer.manifest) if pointer else None
            if pointer and stored and stored[1].generation == pointer.manifest_generation:
                of_set = decode(stored[0], SetManifest, pointer.manifest)
                pointers.append((pointer, of_set, stored[1].locked_until))
        return pointers

    def tied(self) -> None:
        """Hold that each dataset of every set whose date has not come is whole, of its run, and locked until then.

        A set is locked as long as its manifest and those of its datasets are.
        """
        for _, of_set, until in self.honest():
            entries = [entry for entry in of_set.datasets if entry.run]
            ends = [self._end(entry.manifest, entry.manifest_generation) for entry in entries]
            if (date := min([until, *ends])) <= self.target.clock():
                continue
            for entry in entries:
                self.hold(entry.state != "published" or entry.run == of_set.run, f"{of_set.run} is mixed")
                self._entry(entry, date)

    def _end(self, name: str, generation: int) -> int:
        """Until when a manifest is locked, or was when it was last seen."""
        found = self.target.peek(name)
        if found and found[1].generation == generation:
            self.ends[name, generation] = found[1].locked_until
        return self.ends.get((name, generation), LATER)

    def _entry(self, entry: DatasetEntry, until: int) -> None:
        stored = self.target.peek(entry.manifest)
        self.hold(stored is not None, f"the set names {entry.manifest}, which is not there")
        manifest = decode(stored[0], Manifest, entry.manifest) if stored else None
        if stored is None or manifest is None:
            return
        self.hold(stored[1].generation == entry.manifest_generation, f"{entry.manifest} is of another generation")
        named = manifest.run, manifest.dataset
        self.hold(named == (entry.run, entry.dataset), f"{entry.manifest} is of {named}")
        for table in manifest.tables:
            for file in table.files:
                found = self.target.peek(file.name)
                facts = (found[1].size, found[1].crc32c, found[1].generation) if found else None
                self.hold(facts == (file.size, file.crc32c, file.generation), f"{file.name} is not as named")
                self.hold(bool(found and found[1].locked_until >= until), f"{file.name} is locked too briefly")

    def placed(self, until: int, runs: set[str]) -> None:
        """Hold that what a copy has just ended with is locked as long: the place is a set's, and these are its runs."""
        layout = self.there.layout
        for document in (layout.latest, layout.set_manifest, layout.copies, layout.owner):
            found = self.target.peek(document.name)
            long = found is not None and found[1].locked_until >= until
            self.hold(long, f"{document.name} is not locked until {until}")
        whole = {of_set.run for _, of_set, end in self.honest() if end >= until and self._is_there(of_set, until)}
        self.hold(runs <= whole, f"nothing names the datasets of {runs - whole} together")

    def _is_there(self, of_set: SetManifest, until: int) -> bool:
        """Whether all is there that the set names and that is locked as long: what only an earlier copy had may go."""
        named = [(entry.manifest, entry.manifest_generation) for entry in of_set.datasets if entry.run]
        stored = [
            (self.target.peek(name), generation) for name, generation in named if self._end(name, generation) >= until
        ]
        return bool(stored) and all(found and found[1].generation == generation for found, generation in stored)


class SetVaultWorld(SimulatedCopies):
    """The world of copies with two datasets, and a vault in place of the second bucket."""

    erases = False

    def __init__(self, seed: int, trace: int | None) -> None:
        super().__init__(seed, trace)
        changes = {"dataset": "*", "format": "csv", "compression": "none", "path": PATHS[0]}
        self.here = msgspec.structs.replace(SETTINGS, incremental=self.here.incremental, **changes)
        self.there = msgspec.structs.replace(self.here, target=THERE)
        self.laws: SetVaultLaws = SetVaultLaws(self.source, self.target, self.here, self.there, self.loop.stop)
        self.warehouse = MemoryWarehouse(self.source, self.clock)

    def _put(self, table: str) -> None:
        for dataset in DATASETS:
            rows = [f"{dataset}.{table} at {self.clock()} {number}" for number in range(self.rng.randint(0, 3))]
            self.warehouse.put(PROJECT, dataset, table, rows)

    def _place_foreign(self) -> None:
        """See VaultWorld."""

    async def main(self) -> None:
        """See SimulatedCopies: thieves come while it runs."""
        thieves = [asyncio.create_task(self._thief(self.rng.uniform(0.0, 900.0))) for _ in range(3)]
        await super().main()
        for thief in thieves:
            await thief

    async def _export(self, run: str, start: float = 0.0) -> Any:
        """A night, which nothing disturbs: what it is copied to is looked at here."""
        await asyncio.sleep(start)
        for table in self.rng.sample(("a", "b", "c"), self.rng.randint(0, 2)):
            self._put(table)
        task = SetTask(self.source, self.warehouse, self.here, run, Owner(run, 0), 1, _nothing_to_read)
        return await run_set(task)

    async def _copy(
        self, start: float = 0.0, *, every: bool = False, tasks: int = 1, locks: Sequence[int] = (30, 200, 1000, 5000)
    ) -> Any:
        await asyncio.sleep(start)
        seconds, untils = self.rng.choice(locks), list[int]()

        def work(process: Process, network: Network) -> Coroutine[Any, Any, Copied]:
            until = (self.clock() // 1000 + 1 + seconds) * 1000
            untils.append(until)
            source: Any = RetryingStore(Streaming(self.source, network, lambda *_: None), self._patience())
            locked: Any = Locked(self.target, Lock(until))
            target: Any = RetryingStore(Streaming(locked, network, self.laws.heard), self._patience())
            sides, mover = (Place(source, self.here), Place(target, self.there)), StreamMover(source, target)
            lock = Locking(target, until, "governance", self.clock)
            task = CopyTask(*sides, mover, Owner(process.name, 0), self.clock(), lock=lock)
            return copy_exports(task, (), Policy(), every=every)

        ended = await self._process("copy", "", work)
        if isinstance(ended, Copied) and untils[-1] > self.clock() and not ended.not_copied:
            self.laws.placed(untils[-1], {one.run for one in ended.runs})
        return ended

    def _target(self, process: Process, network: Network) -> Any:
        # What a prune or a thief writes is not locked.
        self.target.lock = None
        return super()._target(process, network)

    async def _prune(self, settings: Settings, start: float = 0.0, **policy: Any) -> Any:
        await asyncio.sleep(start)
        chosen = msgspec.structs.replace(settings, **policy)

        async def pruned(store: Any) -> Pruned:
            found = await exports_at(lambda _: store, chosen)
            return await prune_exports(found, policy_of(chosen), self.clock(), delete=True)

        def work(process: Process, network: Network) -> Coroutine[Any, Any, Pruned]:
            source: Any = RetryingStore(Streaming(self.source, network, lambda *_: None), self._patience())
            return pruned(self._target(process, network) if settings is self.there else source)

        return await self._process("prune", "", work)

    async def _thief(self, start: float) -> None:
        """Somebody who has the grants of the copier and of the pruner."""
        await asyncio.sleep(start)
        for number in range(self.rng.randint(1, 6)):
            await asyncio.sleep(self.rng.uniform(0.0, 300.0))
            names = [name for name in self.target.names_now() if name.startswith(self.there.layout.root)]
            if not names:
                continue
            self.target.lock = None
            with suppress(DeniedError, ConflictError):
                await self._attack(self.rng.choice(names), number)
            self.laws.tied()
            await self._read()

    async def _attack(self, name: str, number: int) -> None:
        found, kind = (
            self.target.peek(name),
            self.rng.choice(("delete", "overwrite", "shorten", "of one", "of set", "junk")),
        )
        locked = found is not None and self.clock() < found[1].locked_until
        if found and locked and kind == "delete":
            await self.target.delete([(name, found[1].generation)])
        elif locked and kind == "overwrite":
            await self.target.write(name, b"forged", None)
        elif found and locked and kind == "shorten":
            await self.target.extend([(name, found[1].generation)], self.clock() + 1)
        elif kind in ("of one", "of set"):
            await self._plant(f"thief-{number}-{self.clock()}", of_set=kind == "of set")
        else:
            await self.target.write(
                f"{self.there.layout.pointers.folder}thief-{number}-{self.clock()}.json", b"junk", 0
            )

    async def _plant(self, run: str, *, of_set: bool) -> None:
        """A pointer to a later run of one dataset, which fits its manifest, or of the set, with an old manifest."""
        honest, layout = self.laws.honest(), self.there.layout
        if not honest:
            return
        pointer, manifest, _ = honest[0]
        later = pointer.snapshot + 10**9
        own = layout.set_run(run).manifest(FORGED).name if of_set else layout.run(run).manifest.name
        taken = manifest if of_set else {"run": run, "snapshot": later, "datasets": []}
        generation = await self.target.write(own, encode(taken), 0)
        changed = {"dataset": "*" if of_set else "d", "manifest": own, "manifest_generation": generation}
        forged = msgspec.structs.replace(pointer, run=run, snapshot=later, **changed)
        name = layout.set_pointer(run, FORGED if of_set else "0" * 16)
        await self.target.write(name.name, encode(forged), 0)

    async def _read(self) -> None:
        """What readers find is the newest set that a copy has stored."""
        honest = self.laws.honest()
        if not honest:
            return
        newest = max(honest, key=lambda one: (one[0].age, one[0].number))[1]
        try:
            found = await read_set_manifest(self.target, self.there)
        except (BqdumpError, DocumentError) as error:
            self.laws.blame(f"readers of the set find nothing: {error!r}")
            return
        self.laws.hold(
            found is not None and found.run == newest.run, f"readers find {found and found.run}, not {newest.run}"
        )

    async def _finish(self) -> None:
        """In calm weather: a last night is copied and found by readers; once locks have ended, the rest goes."""
        await self._export("night-last")
        ended = await self._copy()
        for _ in range(3):
            if isinstance(ended, Copied) and not ended.not_copied:
                break
            # Without a lock that ends before the copy is complete.
            ended = await self._copy(locks=(1000, 5000))
        copied = isinstance(ended, Copied) and {one.run for one in ended.runs} == {"night-last"}
        self.laws.hold(copied, f"the last copy ends with {ended!r}")
        self.laws.tied()
        await self._read()
        await asyncio.sleep(ABANDONED_SECONDS + 5000.0)
        for _ in range(2):
            pruned = await self._prune(self.there)
            self.laws.hold(isinstance(pruned, Pruned), f"the last prune ends with {pruned!r}")
        await self._read()
        runs = {pointer.run for pointer, _, _ in self.laws.honest()}
        self.laws.hold(runs == {"night-last"}, f"prune keeps the sets {runs}")


def _nothing_to_read() -> ReadRoute:
    raise AssertionError("nothing is read here")
