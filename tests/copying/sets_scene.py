"""A set of datasets in one bucket, and locked copies of it in another, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.copying.sets import copy_exports
from bqdump.copying.survey import Locking, Place, Task
from bqdump.core.copy.plan import Copied
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.documents.sets import SetManifest
from bqdump.core.retention.policy import Policy, policy_for
from bqdump.core.retention.pruned import Pruned
from bqdump.core.settings.target import Target
from bqdump.ports.signer import Signer, TrustedKeys
from bqdump.ports.store import Abilities, Lock
from bqdump.repository.exports import exports_at
from bqdump.repository.repository import value_of
from bqdump.repository.set_runs import read_set_manifest
from bqdump.retain.prune import prune_exports
from retain.scene import DAY, KEEP
from sets.world import SetWorld

THERE = Target("gs", "second", "copies/")


class Sets:
    """Two datasets, one night a day, and their vault."""

    def __init__(self, abilities: Abilities | None = None) -> None:
        self.world = SetWorld("ops", "sales")
        self.target = MemoryStore("second", page=100, abilities=abilities)
        self.target.clock = lambda: self.world.time
        self.here = self.world.settings(path=KEEP)
        self.there = msgspec.structs.replace(self.here, target=THERE)

    def export(self, run: str, **settings: Any) -> None:
        """A run of the set, a day after the last one; the orders of sales are others each time."""
        self.world.time += DAY
        self.world.warehouse.put("p", "sales", "orders", [f"order of {run}"])
        self.world.run(run, path=KEEP, **settings)

    def copy(
        self,
        *runs: str,
        lock: int = 14,
        target: Any = None,
        signer: Signer | None = None,
        every: bool = False,
        source: Any = None,
        trusted: TrustedKeys | None = None,
        policy: Policy | None = None,
    ) -> Copied:
        """Copy these runs, or the published set, with a lock of so many days. source: a store of what it trusts."""
        there = target or self.target
        until = (self.world.time // 1000 + 1) * 1000 + lock * DAY
        self.target.lock = Lock(until) if lock else None
        locking = Locking(self.target, until, "governance", lambda: self.world.time) if lock else None
        sides = Place(source or self.world.store, self.here, self.world.store), Place(there, self.there)
        mover = StreamMover(self.world.store, there)
        work = Task(*sides, mover, Owner("copy", 0), self.world.time, lock=locking, signer=signer, trusted=trusted)
        return asyncio.run(copy_exports(work, runs, policy or Policy(), every=every))

    def published(self) -> SetManifest | None:
        """The set that readers of the vault find."""
        return asyncio.run(read_set_manifest(self.target, self.there))

    def tied(self) -> dict[str, str]:
        """The run of each dataset of that; all of them are there, as the set names them."""
        found = self.published()
        assert found
        for entry in found.datasets:
            manifest = asyncio.run(value_of(self.target, Document(entry.manifest, Manifest)))
            assert manifest
            assert (manifest.run, manifest.dataset) == (entry.run, entry.dataset)
            peeked = self.target.peek(entry.manifest)
            assert peeked
            assert peeked[1].generation == entry.manifest_generation
        return {entry.dataset: entry.run for entry in found.datasets}

    def prune(self, days: int, **settings: Any) -> tuple[Pruned, Sequence[str]]:
        """Prune so many days later; what it says, and the names of the set's documents that are left."""
        self.world.time += days * DAY
        self.target.lock = None
        chosen = msgspec.structs.replace(self.there, **settings)

        async def work() -> Pruned:
            found = await exports_at(lambda _: self.target, chosen)
            return await prune_exports(found, policy_for(chosen, ()), self.world.time, delete=True)

        done = asyncio.run(work())
        state = self.there.layout.root
        return done, [name.removeprefix(state) for name in self.target.names_now() if name.startswith(state)]
