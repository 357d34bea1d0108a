"""Files that BigQuery wrote get field ids before they are published: once each, whichever tasks do it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bqdump.core.errors import DeniedError, UnavailableError
from bqdump.core.iceberg.metadata import NAME_MAPPING
from bqdump.core.iceberg.parquet import FIELD_ID, SCHEMA, decoded
from bqdump.core.settings.settings import Settings
from bqdump.export.run import run
from bqdump.ports.store import ObjectInfo
from bqdump_memory.lines import rows_of
from export.overlap import in_a_loop, published
from export.test_iceberg import BOTH, KEEPING, IcebergExport
from iceberg.tables import footer_of


def has_ids(data: bytes) -> bool:
    return FIELD_ID in decoded(footer_of(data), "file")[SCHEMA].value.values[1]


async def files(world: IcebergExport) -> list[bytes]:
    """The published files of table a, each as its manifest records it."""
    (entry, _) = (await world.manifest()).tables
    found = [world.store.peek(file.name) for file in entry.files]
    assert [one and (one[1].size, one[1].crc32c, one[1].generation) for one in found] == [
        (file.size, file.crc32c, file.generation) for file in entry.files
    ]
    return [one[0] for one in found if one]


def leftovers(world: IcebergExport) -> list[str]:
    return [name for name in world.store.names_now() if "/footers/" in name]


@BOTH
async def test_files_have_ids_and_the_same_rows(settings: Settings) -> None:
    world = IcebergExport(settings)
    await run(world.task("r1"))
    data = await files(world)
    assert [rows_of(one, "file") for one in data] == [["1", "2"], ["3"]]
    assert all(map(has_ids, data))
    assert not leftovers(world)


@BOTH
async def test_without_the_setting_files_are_left_as_they_are(settings: Settings) -> None:
    world = IcebergExport(msgspec.structs.replace(settings, iceberg=False))
    await run(world.task("r1"))
    assert not any(map(has_ids, await files(world)))


@BOTH
async def test_tasks_that_publish_at_once_add_ids_once(settings: Settings) -> None:
    world = IcebergExport(settings)
    task, plan = await world.planned("r1")
    await asyncio.gather(*(published(task, plan) for _ in range(4)))
    data = await files(world)
    assert all(map(has_ids, data))
    # The footer that BigQuery wrote and one more.
    assert [one.count(b"PAR1") for one in data] == [3, 3]


@BOTH
def test_a_lost_answer_adds_nothing_twice(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        world = IcebergExport(settings)
        append, lost = world.store.append, 0

        async def unanswered(name: str, generation: int, data: bytes, scratch: str) -> ObjectInfo:
            nonlocal lost
            await append(name, generation, data, scratch)
            lost += 1
            if lost == 1:
                raise UnavailableError("append to", name, "the connection broke")
            return await append(name, generation, data, scratch)

        monkeypatch.setattr(world.store, "append", unanswered)
        task, plan = await world.planned("r1")
        with pytest.raises(UnavailableError):
            await published(task, plan)
        await published(task, plan)
        assert [one.count(b"PAR1") for one in await files(world)] == [3, 3]

    in_a_loop(check)


async def test_where_files_cannot_be_changed_columns_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    world = IcebergExport(KEEPING)

    async def denied(name: str, generation: int, data: bytes, scratch: str) -> ObjectInfo:
        raise DeniedError("append to", name, "the bucket's retention policy")

    monkeypatch.setattr(world.store, "append", denied)
    await run(world.task("r1"))
    assert not any(map(has_ids, await files(world)))
    metadata = await world.metadata("a")
    (column,) = metadata["schemas"][0]["fields"]
    assert msgspec.json.decode(metadata["properties"][NAME_MAPPING]) == [{"field-id": column["id"], "names": ["line"]}]


async def test_what_a_killed_task_has_left_is_deleted() -> None:
    world = IcebergExport(KEEPING)
    task, plan = await world.planned("r1")
    world.store.put_now(f"{task.layout.staging}footers/x-0/r1/a_000000000000.parquet", b"a footer")
    await published(task, plan)
    assert not leftovers(world)
