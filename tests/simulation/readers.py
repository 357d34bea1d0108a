"""Those who read while exports go on: they follow latest.json to its manifest and to each file."""

from __future__ import annotations

import asyncio
import random

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.manifest_index import snapshot_of
from bqdump.core.documents.target import Latest
from bqdump.core.errors import NotFoundError
from simulation.contents import in_order, lines_of
from simulation.law import Law
from simulation.laws import Laws


class Reader:
    """One that reads slowly, and knows a file by its generation."""

    def __init__(self, seed: float, store: MemoryStore, latest: str, laws: Laws) -> None:
        self._rng, self._store, self._latest = random.Random(seed), store, latest
        self._laws = laws
        self._seen: tuple[int, str] = (0, "")

    async def run(self) -> None:
        """Read again and again."""
        while True:
            await asyncio.sleep(self._rng.expovariate(0.1))
            await self._once()

    async def _once(self) -> None:
        try:
            latest = msgspec.json.decode((await self._store.read(self._latest)).data, type=Latest)
        except NotFoundError:
            self._laws.hold(Law.COMPLETE, self._seen == (0, ""), "latest.json has gone")
            return
        self._laws.hold(Law.FORWARD, latest.age >= self._seen, f"a reader saw {latest.run} after {self._seen}")
        self._seen = latest.age
        manifest = msgspec.json.decode((await self._store.read(latest.manifest)).data, type=Manifest)
        replaced = False
        for entry in manifest.tables:
            content = b""
            for file in entry.files:
                await asyncio.sleep(self._rng.choice((0.0, 0.01, 1.0)))
                try:
                    stored = await self._store.read(file.name)
                except NotFoundError:
                    replaced = True
                    break
                if stored.generation != file.generation:
                    replaced = True
                    break
                content += lines_of(stored.data)
            if replaced:
                break
            wanted = self._laws.histories[manifest.dataset].content_at(entry.table, snapshot_of(manifest, entry))
            self._laws.hold(
                Law.COMPLETE,
                in_order(content) == wanted,
                f"a reader of {manifest.run} got {content!r} of {entry.table}",
            )
        if replaced:
            now, announced = self._laws.view.latest(), self._laws.view.publishing()
            later = any(pointer is not None and pointer.age > manifest.age for pointer in (now, announced))
            self._laws.hold(
                Law.COMPLETE, later, f"a reader found {manifest.run} replaced, and no later run has replaced it"
            )
