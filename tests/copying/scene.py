"""An export in one bucket, one run a day, and copies of it in another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.check.findings import Verified
from bqdump.check.verify import verify
from bqdump.copying.run import copy
from bqdump.copying.survey import Locking, Mode, Place, Task
from bqdump.core.copy.plan import Copied
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.path_template import DEFAULT
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Latest
from bqdump.core.retention.policy import Policy, policy_for
from bqdump.core.settings.target import Target
from bqdump.ports.mover import Mover
from bqdump.ports.signer import Signer
from bqdump.ports.store import Abilities, Lock, ObjectStore
from bqdump.retain.prune import prune
from bqdump.retain.survey import Task as Pruning
from retain.scene import DAY, KEEP, SETTINGS, Scene

THERE = Target("gs", "second", "copies/")
ALONE = Owner("copy", 0)


class Copies:
    """Source and copy. target: the store of the copies, with these abilities, which a test may replace."""

    def __init__(self, mode: str = "keep", abilities: Abilities | None = None) -> None:
        self.path = KEEP if mode == "keep" else DEFAULT
        self.source = Scene()
        self.target = MemoryStore("second", page=100, abilities=abilities)
        self.target.clock = lambda: self.source.now
        self.settings = msgspec.structs.replace(SETTINGS, path=self.path)
        self.there = msgspec.structs.replace(self.settings, target=THERE)

    def export(self, *names: str, **settings: Any) -> None:
        """Runs of the export, a day apart; between them, one table changes."""
        for name in names:
            self.source.warehouse.put("p", "sales", "items", [f"item of {name} {number}" for number in range(3)])
            self.source.run(name, path=self.path, **settings)

    def task(
        self,
        source: ObjectStore | None = None,
        target: ObjectStore | None = None,
        *,
        dry: bool = False,
        mover: Mover | None = None,
        owner: Owner = ALONE,
        tasks: int = 1,
        lock: int = 0,
        lock_mode: Mode = "governance",
        signer: Signer | None = None,
    ) -> Task:
        """A call of copy. source, target: instead of the stores as they are. lock: in days, 0 for none."""
        here, there = source or self.source.store, target or self.target
        sides = Place(here, self.settings), Place(there, self.there)
        until = self.source.now + lock * DAY
        self.target.lock = Lock(until) if lock else None
        locking = Locking(self.target, until, lock_mode, lambda: self.source.now) if lock else None
        mover = mover or StreamMover(here, there)
        return Task(*sides, mover, owner, self.source.now, dry=dry, tasks=tasks, lock=locking, signer=signer)

    def copy(self, *runs: str, every: bool = False, policy: Policy | None = None, **options: Any) -> Copied:
        """Copy these runs."""
        return asyncio.run(copy(self.task(**options), runs, policy or Policy(), every=every))

    def manifest(self, run: str) -> Manifest:
        """The copy's manifest of a run."""
        name = self.there.layout.run(run).manifest.name
        found = self.target.peek(name)
        assert found
        return decode(found[0], Manifest, name)

    def latest(self) -> str:
        """The run that the copy's latest.json names, "" for none."""
        name = self.there.layout.latest.name
        found = self.target.peek(name)
        return decode(found[0], Latest, name).run if found else ""

    def manifests(self) -> list[Manifest]:
        """All of the copy's manifests."""
        return [
            self.manifest(name.split("/")[-2]) for name in self.target.names_now() if name.endswith("/manifest.json")
        ]

    def lines(self, run: str) -> dict[str, list[bytes]]:
        """The content of each table's files in the copy of a run."""
        found = {}
        for entry in self.manifest(run).tables:
            peeked = [self.target.peek(file.name) for file in entry.files]
            found[entry.table] = [one[0] for one in peeked if one]
        return found

    def data(self) -> list[str]:
        """The names of the copy's files."""
        return [name for name in self.target.names_now() if not name.startswith(self.there.layout.root)]

    def verify(self, run: str = "") -> Verified:
        """A verification of the copy."""
        return asyncio.run(verify(self.target, self.there, run))

    def prune(self, days: int = 1, named: tuple[str, ...] = (), **settings: Any) -> Sequence[str]:
        """Prune the copy by its own policy, or these runs, some days after the last run, and once more when their
        day is over; the runs that went.

        A dry run before shows the same.
        """
        chosen = msgspec.structs.replace(self.there, **settings)
        now = self.source.now + days * DAY
        task = Pruning(self.target, chosen, policy_for(chosen, named), now)
        shown, pruned = asyncio.run(prune(task)), asyncio.run(prune(task._replace(delete=True)))
        assert (shown.files, shown.later_files) == (pruned.files, pruned.later_files)
        assert [run.run for run in shown.removed] == [run.run for run in pruned.removed]
        if not any("/log/pruned/" in name for name in self.target.names_now()):
            return [run.run for run in pruned.removed]
        self.source.now += DAY
        followed = asyncio.run(prune(task._replace(delete=True, now=now + DAY)))
        return list(dict.fromkeys(run.run for run in (*pruned.removed, *followed.removed)))


def complete(copies: Copies) -> None:
    """Hold that no manifest names a missing or different file, and that latest.json names a manifest."""
    for manifest in copies.manifests():
        for entry in manifest.tables:
            for file in entry.files:
                found = copies.target.peek(file.name)
                assert found, f"{manifest.run} names {file.name}, which is not there"
                info = found[1]
                assert (info.size, info.crc32c, info.generation) == (file.size, file.crc32c, file.generation)
    if latest := copies.latest():
        assert copies.manifest(latest)
