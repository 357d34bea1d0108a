"""The first export over files that were written by other means, under the very names of its tables."""

from __future__ import annotations

import asyncio

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Latest
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.ports.warehouse import JobError
from bqdump_memory import MemoryWarehouse

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"), allow_partial=True)
BY_HAND = ("a/a_000000000000.csv", "a/a_000000000001.csv", "b/b_000000000000.csv", "b/b_000000000001.csv")


def test_a_table_that_fails_keeps_them_until_an_export_succeeds() -> None:
    store, failing = MemoryStore(), {"b"}
    now = [1_790_000_000_000]
    warehouse = MemoryWarehouse(
        store, lambda: now[0],
        failing=lambda table, job_id: JobError("invalid", "cannot be read") if table in failing else None,
    )  # fmt: skip
    for table in ("a", "b"):
        warehouse.put("p", "d", table, [f"{table},1"])
    for name in BY_HAND:
        store.put_now(name, b"by hand")

    def export(name: str) -> Manifest:
        now[0] += 1000
        assert asyncio.run(run(Task(store, warehouse, SETTINGS, name, Owner(name, 0), 1))).state == "published"
        latest = decode(read(SETTINGS.layout.latest.name), Latest, "latest.json")
        return decode(read(latest.manifest), Manifest, "manifest.json")

    def read(name: str) -> bytes:
        found = store.peek(name)
        assert found, name
        return found[0]

    first = export("first")
    assert [(table.table, [file.name for file in table.files]) for table in first.left] == [("b", list(BY_HAND[2:]))]
    assert [read(name) for name in BY_HAND[2:]] == [b"by hand", b"by hand"]
    assert store.peek(BY_HAND[1]) is None
    assert [file.name for file in first.found] == list(BY_HAND[:2])
    failing.clear()
    export("second")
    assert [name for name in store.names_now() if not name.startswith("_bqdump/")] == [BY_HAND[0], BY_HAND[2]]
    assert read(BY_HAND[2]) == b"b,1\n"
