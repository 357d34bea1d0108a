"""Runs that overlap do not remove each other's tables: what a plan has not named is carried over, or refused."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.signing_keys import FileKey
from bqdump.core.documents.target import Intent
from bqdump.core.errors import UsageError, VerificationError
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.placement.choose import running_export
from bqdump.export.placement.final_names import announce, withdraw
from bqdump.export.publish.publish import publish
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.pool.tables import read_ledger
from bqdump.repository.repository import overwrite
from export.overlap import Overlap, published

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"))
KEEPING = msgspec.structs.replace(SETTINGS, path="{run}/{table}_*.{ext}")


class CarryingExport(Overlap):
    """Two tables."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__(settings)
        self.put("a", "1")
        self.put("b", "2")


@pytest.mark.parametrize("settings", [SETTINGS, KEEPING], ids=["replace", "keep"])
async def test_a_table_that_an_overlapping_run_publishes_is_carried_over(settings: Settings) -> None:
    world = CarryingExport(settings)
    first = await world.planned("r1")
    second = await world.planned("r2", include=("a",))
    await published(*first)
    await published(*second)
    assert await world.origins() == {"a": "r2", "b": "r1"}
    assert (await world.manifest()).removed == ()
    files = [file.name for entry in (await world.manifest()).tables for file in entry.files]
    assert len(files) == 2
    assert all([await world.store.stat(name) for name in files])
    # The next run is planned with both in sight, and refused as any other.
    with pytest.raises(UsageError, match=r"b \(excluded\)"):
        await run(world.task("r3", include=("a",)))


async def test_a_late_task_leaves_files_that_the_published_export_has_kept_from_its_run() -> None:
    world = CarryingExport()
    first, second = await world.planned("r1"), await world.planned("r2", include=("a",))
    third = await world.planned("r3", include=("a",))
    await published(*first)
    await published(*second)
    # Of table b, the published export has the file of r1. The run that takes over need not name it.
    later, late = running_export(*third), running_export(*first)
    assert await announce(later, ["a/a_000000000000.csv"], None, ["a"])
    await overwrite(later.store, later.layout.intent, Intent("r3", ("a/a_000000000000.csv",)))
    await overwrite(late.store, late.layout.intent, Intent("r1", ("a/a_000000000000.csv", "b/b_000000000000.csv")))
    await withdraw(late)
    assert await world.origins() == {"a": "r2", "b": "r1"}
    files = [file.name for entry in (await world.manifest()).tables for file in entry.files]
    assert [bool(await world.store.stat(name)) for name in files] == [True, True]


async def test_what_an_overlapping_run_publishes_stays_even_where_removal_is_allowed() -> None:
    world = CarryingExport()
    first = await world.planned("r1")
    world.warehouse.drop("p", "d", "b")
    second = await world.planned("r2", allow=(Risk.REMOVED_TABLES,))
    await published(*first)
    await published(*second)
    assert await world.origins() == {"a": "r2", "b": "r1"}
    await run(world.task("r3"))
    assert await world.origins() == {"a": "r3"}
    assert [(one.table, one.reason, one.run) for one in (await world.manifest()).removed] == [("b", "dropped", "r1")]


async def test_a_run_whose_manifest_lacks_what_was_published_since_is_refused() -> None:
    world = CarryingExport(KEEPING)
    first = await world.planned("r1")
    late, second = await world.planned("r2", include=("a",))
    ledger = await read_ledger(late.store, late.layout, second)

    class Waiting(MemoryStore):
        """Publishes the other run just after this one has written its manifest."""

        async def write(self, name: str, data: bytes, expect: int | None) -> int:
            written = await world.store.write(name, data, expect)
            if name == late.layout.manifest.name:
                await published(*first)
            return written

    store = Waiting()
    store.__dict__.update(world.store.__dict__)
    with pytest.raises(UsageError, match=r"does not have 1 table of run r1, which was published meanwhile \(b\)"):
        await publish(running_export(replace(late, store=store), second), ledger)
    assert await world.origins() == {"a": "r1", "b": "r1"}


async def test_nothing_is_carried_over_from_files_that_a_stopped_run_was_replacing() -> None:
    world = CarryingExport()
    await run(world.task("r1"))
    middle, halfway = await world.planned("r2")
    assert await announce(running_export(middle, halfway), ["b/b_000000000000.csv"], None, ["a", "b"])
    late, plan = await world.planned("r3", include=("a",), keep_others=True)
    with pytest.raises(UsageError, match=r"bqdump\.run\(run_id='r2'\)"):
        await published(late, plan)
    assert await world.origins() == {"a": "r1", "b": "r1"}
    await published(middle, halfway)
    await published(late, plan)
    assert await world.origins() == {"a": "r3", "b": "r2"}


async def test_a_carried_file_that_is_gone_is_not_named_in_a_manifest() -> None:
    world = CarryingExport()
    await run(world.task("r1"))
    late = await world.planned("r2", include=("a",), keep_others=True)
    found = await world.store.stat("b/b_000000000000.csv")
    assert found is not None
    await world.store.delete([(found.name, found.generation)])
    with pytest.raises(VerificationError, match="is gone since run r1 exported it"):
        await published(*late)
    assert (await world.manifest()).run == "r1"


@pytest.mark.parametrize("settings", [SETTINGS, KEEPING], ids=["replace", "keep"])
async def test_a_signed_run_carries_over_no_table_of_a_run_that_its_key_has_not_signed(settings: Settings) -> None:
    mine, other = (FileKey(Ed25519PrivateKey.generate()) for _ in range(2))

    world = CarryingExport(settings)

    def some(name: str, key: FileKey) -> Task:
        return replace(world.task(name, include=("a",), keep_others=True), signer=key)

    async def refuse(task: Task, published: str) -> None:
        with pytest.raises(UsageError) as error:
            await run(task)
        cause, hint = error.value.cause, error.value.hint
        assert cause == f"1 table would be carried over from run {published}, which is not signed with this key"
        assert hint == "Export all tables once."
        assert (await world.manifest()).run == published

    await run(world.task("r1"))
    await refuse(some("r2", mine), "r1")
    # As the error says: once all tables are signed, a signed run can be of some.
    await run(replace(world.task("r3"), signer=mine))
    await run(some("r4", mine))
    assert await world.origins() == {"a": "r4", "b": "r3"}
    await refuse(some("r5", other), "r4")


async def test_an_older_snapshot_that_will_be_superseded_removes_nothing() -> None:
    world = CarryingExport()
    before = world.now
    await run(world.task("r1"))
    outcome = await run(world.task("r2", include=("a",), snapshot_time=str(before)))
    assert outcome.state == "superseded"
    assert await world.origins() == {"a": "r1", "b": "r1"}


async def test_risks_of_a_carried_table_stay_on_record() -> None:
    world = CarryingExport()
    world.warehouse.policies = {"b": ["some_rows"]}
    await run(world.task("r1", allow=(Risk.ROW_POLICIES,)))
    await run(world.task("r2", include=("a",), keep_others=True))
    assert [(flag.risk, flag.table) for flag in (await world.manifest()).flags] == [(Risk.ROW_POLICIES, "b")]
