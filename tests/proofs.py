"""Notes on drills of runs, with the tables that they have proven, as drills leave them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bqdump.core.documents.layout import Layout
from bqdump.core.documents.target import Drill
from bqdump.ports.store import ObjectStore
from bqdump.repository.drills import with_proofs
from bqdump.repository.manifests import read_contents
from bqdump.repository.repository import create


def note_of(
    store: ObjectStore, layout: Layout, run: str, began: int, proven: Sequence[str] | None = None,
    different: Sequence[str] = (), problems: Sequence[str] = (), last: str = "",
) -> Drill:  # fmt: skip
    """The note on a drill of a run that has proven these tables (default: all); its tables are stored, itself is not.

    began: in ms.
    """

    async def made() -> Drill:
        contents = await read_contents(store, layout.run(run))
        assert contents
        every = [line.table for line in contents.tables]
        found = [table for table in every if table not in different] if proven is None else proven
        note = Drill(run=run, snapshot=contents.snapshot, dataset="p.drill", tool="1", began=began, ended=began,
                     tables=len(found), of=len(every), different=len(different), last=last,
                     problems=tuple(problems) or tuple(f"{table}: rows" for table in different))  # fmt: skip
        return await with_proofs(store, layout, contents, note, found, different)

    return asyncio.run(made())


def drilled(
    store: ObjectStore, layout: Layout, run: str, began: int, proven: Sequence[str] | None = None,
    different: Sequence[str] = (), problems: Sequence[str] = (), last: str = "",
) -> Drill:  # fmt: skip
    """The same; the note is stored."""
    note = note_of(store, layout, run, began, proven, different, problems, last)
    asyncio.run(create(store, layout.drill(f"{began}-{run}"), note))
    return note
