"""One schedule of a vault: locked copies at the same time as exports, prunes and thieves, all of which may die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.adapters.retry import RetryingStore
from bqdump.copying.run import copy
from bqdump.copying.survey import Locking, Place
from bqdump.copying.survey import Task as CopyTask
from bqdump.core.copy.plan import Copied
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import NAME, LogEntry
from bqdump.core.errors import BqdumpError, ConflictError, DeniedError
from bqdump.core.retention.policy import Policy
from bqdump.core.times import rfc3339
from bqdump.ports.store import Lock, ObjectInfo
from bqdump.repository.published import read_latest
from simulation.copies.laws import CopyLaws
from simulation.copies.world import ABANDONED_SECONDS, SimulatedCopies, Streaming
from simulation.faults import Network
from simulation.law import Law
from simulation.laws import Broken
from simulation.process import Process


class VaultLaws(CopyLaws):
    """Law 12 in addition, asserted at every change of the vault: what is locked restores until its date."""

    def blame(self, what: str) -> None:
        """See CopyLaws."""
        if self.broken is None:
            self.broken = Broken(Law.LOCKED, what)
            self._stop()

    def heard(self, process: str, operation: str, arguments: tuple[Any, ...], again: bool) -> None:
        """A request to the vault was carried out."""
        name = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        if operation == "write" and name.endswith("/manifest.json") and (manifest := self.manifest(name)):
            self.whole(manifest)
        if operation != "read":
            self.locked()

    def deleting(self, process: str, objects: Sequence[tuple[str, int]]) -> None:
        """Nobody but a thief deletes a file of the newest run, locked or not."""
        newest = self.newest()
        named = {(file.name, file.generation) for entry in newest.tables for file in entry.files} if newest else set()
        for one in objects:
            self.hold(process.startswith("thief") or one not in named, f"{process} deletes {one[0]} of the newest run")

    def locked(self) -> None:
        """Hold that every published run whose date has not come is whole, and locked until then."""
        for manifest in self.published():
            until = manifest.copy_of.locked_until if manifest.copy_of else 0
            if until <= self.target.clock():
                continue
            self.whole(manifest)
            for entry in manifest.tables:
                for file in entry.files:
                    found = self.target.peek(file.name)
                    long = found is not None and found[1].locked_until >= until
                    self.hold(long, f"{file.name} of {manifest.run} is not locked until its date")

    def published(self) -> list[Manifest]:
        """The runs that have a pointer which copies have written."""
        found = []
        for name in self.target.names_now():
            match = NAME.fullmatch(name.removeprefix(self.there.layout.log))
            if match and "thief" not in name:
                run = match["run"]
                if manifest := self.manifest(self.there.layout.run(run).manifest.name):
                    found.append(manifest)
        return found

    def newest(self) -> Manifest | None:
        """The published run."""
        return max(self.published(), key=lambda manifest: (manifest.snapshot, manifest.run), default=None)


class Locked:
    """The vault as a copier writes to it: with a lock of its own on every object."""

    def __init__(self, store: MemoryStore, lock: Lock) -> None:
        self._store, self._lock = store, lock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        self._store.lock = self._lock
        return await self._store.write(name, data, expect)

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        self._store.lock = self._lock
        return await self._store.write_note(name, data, expect)

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        """See ObjectStore."""
        data = b"".join([piece async for piece in pieces])

        async def whole() -> AsyncIterator[bytes]:
            yield data

        self._store.lock = self._lock
        return await self._store.stream(name, whole(), expect)


class VaultWorld(SimulatedCopies):
    """The world of copies, with a vault in place of the second bucket. Nothing is erased from that."""

    erases = False

    def __init__(self, seed: int, trace: int | None) -> None:
        super().__init__(seed, trace)
        self.laws: VaultLaws = VaultLaws(self.source, self.target, self.here, self.there, self.loop.stop)

    def _place_foreign(self) -> None:
        """What is at the name of a file stops copies, by name; nobody can delete it where all is locked."""

    async def main(self) -> None:
        """See SimulatedCopies: thieves come while it runs."""
        thieves = [asyncio.create_task(self._thief(self.rng.uniform(0.0, 900.0))) for _ in range(3)]
        await super().main()
        for thief in thieves:
            await thief

    async def _copy(
        self, start: float = 0.0, *, every: bool = False, tasks: int = 1, locks: Sequence[int] = (30, 200, 1000, 5000)
    ) -> Any:
        await asyncio.sleep(start)
        seconds = self.rng.choice(locks)

        def work(process: Process, network: Network) -> Coroutine[Any, Any, Copied]:
            until = (self.clock() // 1000 + 1 + seconds) * 1000
            source: Any = RetryingStore(Streaming(self.source, network, lambda *_: None), self._patience())
            locked: Any = Locked(self.target, Lock(until))
            target: Any = RetryingStore(Streaming(locked, network, self.laws.heard), self._patience())
            sides, mover = (Place(source, self.here), Place(target, self.there)), StreamMover(source, target)
            lock = Locking(target, until, "governance", self.clock)
            return copy(
                CopyTask(*sides, mover, Owner(process.name, 0), self.clock(), lock=lock), (), Policy(), every=every
            )

        return await self._process("copy", "", work)

    def _target(self, process: Process, network: Network) -> Any:
        # What a prune or a thief writes is not locked.
        self.target.lock = None
        return super()._target(process, network)

    async def _thief(self, start: float) -> None:
        """Somebody who has the grants of the copier and of the pruner."""
        await asyncio.sleep(start)
        for number in range(self.rng.randint(1, 6)):
            await asyncio.sleep(self.rng.uniform(0.0, 300.0))
            names = self.target.names_now()
            if not names:
                continue
            name = self.rng.choice(names)
            self.target.lock = None
            with suppress(DeniedError, ConflictError):
                await self._attack(name, number)
            self.laws.locked()

    async def _attack(self, name: str, number: int) -> None:
        found = self.target.peek(name)
        kind = self.rng.choice(("delete", "overwrite", "shorten", "pointer", "junk"))
        if found and kind == "delete" and not name.endswith(".json"):
            await self.target.delete([(name, found[1].generation)])
        elif found and kind == "overwrite" and self.clock() < found[1].locked_until:
            await self.target.write(name, b"forged", None)
        elif found and kind == "shorten":
            await self.target.extend([(name, found[1].generation)], self.clock() + 1)
        elif kind == "pointer":
            run, layout = f"thief-{number}-{self.clock()}", self.there.layout
            newest = self.laws.newest()
            forged, name = b"junk", layout.entry(run, self.clock()).name
            if newest and (own := self.target.peek(layout.entry(newest.run, newest.snapshot).name)):
                entry = decode(own[0], LogEntry, layout.entry(newest.run, newest.snapshot).name)
                snapshot = entry.snapshot + 1000
                later = msgspec.structs.replace(entry, run=run, snapshot=snapshot, snapshot_time=rfc3339(snapshot))
                forged, name = encode(later), layout.entry(run, snapshot).name
            await self.target.write(name, forged, 0)
        else:
            await self.target.write(f"y/thief-{number}-{self.clock()}", b"junk", 0)

    async def _finish(self) -> None:
        """In calm weather: a last export is copied and found by readers; once locks have ended, the rest goes."""
        await self._export("night-last")
        ended = await self._copy()
        for _ in range(3):
            # A file that a thief has deleted meanwhile, once it was not locked any more, is moved again.
            if isinstance(ended, Copied):
                break
            # Without a lock that ends before the copy is complete.
            ended = await self._copy(locks=(1000, 5000))
        copied = isinstance(ended, Copied) and [one.run for one in ended.runs] == ["night-last"]
        self.laws.hold(copied, f"the last copy ends with {ended!r}")
        self.laws.locked()
        await self._read()
        await asyncio.sleep(ABANDONED_SECONDS + 5000.0)
        for _ in range(2):
            pruned = await self._prune(self.there)
            self.laws.hold(not isinstance(pruned, BqdumpError), f"the last prune ends with {pruned!r}")
        await self._read()
        runs = [manifest.run for manifest in self.laws.published()]
        self.laws.hold(runs == ["night-last"], f"prune keeps {runs}")

    async def _read(self) -> None:
        latest = await read_latest(self.target, self.there)
        self.laws.hold(latest is not None and latest.run == "night-last", f"readers find {latest}")
