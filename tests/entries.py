"""The entries of the log in a store, by the run that they are of."""

from __future__ import annotations

import asyncio

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.target import NAME


def entries(store: MemoryStore, layout: Layout) -> dict[str, str]:
    """The name of the entry of each run."""
    names = [name for name in store.names_now() if name.startswith(layout.log)]
    return {match["run"]: name for name in names if (match := NAME.fullmatch(name, len(layout.log)))}


def entry(store: MemoryStore, layout: Layout, run: str) -> str:
    """The name of the entry of this run."""
    return entries(store, layout)[run]


def renew(store: MemoryStore, layout: Layout, run: str) -> None:
    """Let the entry of a run be about its manifest as it is stored now."""
    name, stored = entry(store, layout, run), store.peek(layout.run(run).manifest.name)
    found = store.peek(name)
    assert stored
    assert found
    renewed = msgspec.json.decode(found[0]) | {"generation": stored[1].generation}
    asyncio.run(store.write_note(name, msgspec.json.encode(renewed), None))
